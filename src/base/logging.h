/* logging.h - the lines the program prints about itself, structured: logfmt or JSON, one line each.
 *
 * owner    one struct logging, shared by all threads (a line is built on the caller's stack and written by one call)
 * memory   none but the struct; a line is at most LOGGING_LINE_SIZE_MAX, cut with "…" where longer
 * limits   each call site writes at most `burst` lines in `interval`; what is held back is counted, and the next line
 *          that passes says "suppressed=N"
 * promise  values are escaped: nobody's data can forge a line, a field or a terminal sequence
 *
 *     time=2026-11-20T19:12:13.456Z level=warn msg="sink is slow" pipeline=orders age=2.1s
 *
 *     logging_warn(logging, "sink is slow", LOGGING_TEXT("pipeline", name), LOGGING_INT("age_ms", age)); */
#ifndef BASE_LOGGING_H
#define BASE_LOGGING_H

#include "base/bytes.h"
#include <stdatomic.h>

#define LOGGING_LINE_SIZE_MAX 4096u

enum logging_level { LOGGING_DEBUG, LOGGING_INFO, LOGGING_WARN, LOGGING_ERROR, LOGGING_OFF };
enum logging_format { LOGGING_LOGFMT, LOGGING_JSON };

struct logging_options {
    enum logging_level level;
    enum logging_format format;
    wall_time (*wall)(void *ctx);                    /* the time of a line */
    void (*write)(void *ctx, struct bytes line);     /* one whole line with its newline; called from any thread */
    void *ctx;
    uint32_t burst_count_max;      /* per call site; 0: 10 */
    int64_t burst_interval_ms;     /* 0: 1,000 */
};

struct logging;
struct logging *logging_new(const struct logging_options *options);
void            logging_free(struct logging **logging);
bool            logging_enabled(const struct logging *logging, enum logging_level level); /* NULL logging: false */

struct logging_field {
    const char *name; /* [a-z_]+ */
    enum { LOGGING_FIELD_TEXT, LOGGING_FIELD_INT, LOGGING_FIELD_UINT, LOGGING_FIELD_BYTES } kind;
    union {
        const char *text;
        int64_t i;
        uint64_t u;
        struct bytes bytes;
    };
};
#define LOGGING_TEXT(n, v)  { .name = (n), .kind = LOGGING_FIELD_TEXT, .text = (v) }
#define LOGGING_INT(n, v)   { .name = (n), .kind = LOGGING_FIELD_INT, .i = (v) }
#define LOGGING_UINT(n, v)  { .name = (n), .kind = LOGGING_FIELD_UINT, .u = (v) }
#define LOGGING_BYTES(n, v) { .name = (n), .kind = LOGGING_FIELD_BYTES, .bytes = (v) }

struct logging_site { /* one static per call site: the rate limit's memory */
    _Atomic int64_t window_start_ms;
    _Atomic uint32_t count, suppressed_count;
};
void logging_line(struct logging *logging, struct logging_site *site, enum logging_level level, const char *message,
                  const struct logging_field *fields, size_t count);

#define LOGGING_LINE(logging, level, message, ...)                                                                         \
    do {                                                                                                               \
        static struct logging_site logging_site_;                                                                          \
        if (logging_enabled((logging), (level))) {                                                                     \
            const struct logging_field logging_fields_[] = { { .name = NULL }, __VA_ARGS__ };                                  \
            logging_line((logging), &logging_site_, (level), (message), logging_fields_ + 1, COUNT_OF(logging_fields_) - 1);       \
        }                                                                                                              \
    } while (0)
#define logging_debug(logging, ...) LOGGING_LINE(logging, LOGGING_DEBUG, __VA_ARGS__, )
#define logging_info(logging, ...)  LOGGING_LINE(logging, LOGGING_INFO, __VA_ARGS__, )
#define logging_warn(logging, ...)  LOGGING_LINE(logging, LOGGING_WARN, __VA_ARGS__, )
#define logging_error(logging, ...) LOGGING_LINE(logging, LOGGING_ERROR, __VA_ARGS__, )

#endif
