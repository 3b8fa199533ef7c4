/* session.h - questions of one command to one node: through its socket when it runs, else in its directory.
 *
 * owner    the verb that opened it
 * memory   one line of the answer at a time, grown up to CLI_LINE_SIZE_MAX
 * errors   exit codes, already said on standard error; session_ask() leaves how the answer ended in `end`
 * promise  every question of a session goes to the same place */
#ifndef CLI_SESSION_H
#define CLI_SESSION_H

#include "cli/cli.h"
#include "config/config.h"
#include "log/log.h"

#define SESSION_PATH_SIZE_MAX 4096u

struct session {
    struct cli *cli;
    char data[SESSION_PATH_SIZE_MAX];     /* empty: only a socket is known */
    char socket[SESSION_PATH_SIZE_MAX];
    char file[SESSION_PATH_SIZE_MAX];     /* the pipeline file that said where; empty: none did */
    bool writes, running;
    bool has_file;                        /* a pipeline file was named */
    bool follows;                         /* a node that ends is no error: session_ask() answers SESSION_GONE */
    bool unanswered;                      /* the last question, in time */
    bool said_something;                  /* of the answer at hand */
    struct log *log;                      /* NULL while a running node answers */
    int64_t timeout_ns;
    struct config_disk disk;              /* as the pipeline file says */
    struct json_parser *parser;
    uint8_t *line;
    size_t line_size, line_room;
    struct error end;                     /* of the last question */
    bool ended, more;
    uint64_t first, next;
    uint64_t failed_count;                /* letters on which --where failed */
    char failure[256];                    /* what it said of the first one */
    void (*each)(struct session *s, void *ctx, struct bytes line);
    void *ctx;
};

#define SESSION_GONE (-1) /* said nothing */

/* `file`: the pipeline file given, or NULL. Answers CLI_OK, or an exit code having said why. */
int  session_open(struct session *s, struct cli *cli, const char *file, bool writes);
void session_close(struct session *s);
/* Lets the directory go, or forgets the node: the next question looks for it anew. */
void session_release(struct session *s);
/* Every answer line but the end goes to `each`, without its newline. Answers an exit code, having said why. */
int  session_ask(struct session *s, struct bytes request, struct bytes body,
                 void (*each)(struct session *s, void *ctx, struct bytes line), void *ctx);

/* A request under construction. Two words of CLI_WORD_SIZE_MAX fit, though each byte of them became six. */
struct request {
    uint8_t room[12u * CLI_WORD_SIZE_MAX + 1024u];
    struct writer w;
};
void         request_begin(struct request *r, const char *verb);
void         request_text(struct request *r, const char *name, const char *text);
void         request_flag(struct request *r, const char *name);
/* {"name":"value"} of "name=value" words; each has its "=". */
void         request_pairs(struct request *r, const char *name, const char *const *pairs, uint32_t count);
void         request_int(struct request *r, const char *name, int64_t number);
void         request_number(struct request *r, const char *name, uint64_t number);
struct bytes request_end(struct request *r);

/* Members of an answer line that was parsed; a missing one is 0 or empty. */
uint64_t     line_number(struct json_value line, const char *name);
#define LINE_SETTINGS_SIZE 192u
/* What a topic keeps and how it syncs, in words. */
const char  *settings_text(const struct log_topic_settings *settings, char room[LINE_SETTINGS_SIZE]);
const char  *line_settings(struct json_value line, char room[LINE_SETTINGS_SIZE]);
struct bytes line_text(struct json_value line, const char *name);
/* The value of an event as it was written: the raw letters of JSON, or text. */
struct bytes line_value(struct bytes line, struct json_value root);
/* In the place of events that cannot be read: said. */
bool         line_is_unreadable(struct session *s, struct json_value line);

#endif
