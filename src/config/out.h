/* out.h - text that is put together and handed on piece by piece: for the schema and the reference. */
#ifndef CONFIG_OUT_H
#define CONFIG_OUT_H

#include "base/bytes.h"

struct out {
    void (*write)(void *ctx, struct bytes text);
    void *ctx;
};

void out_text(const struct out *out, const char *text);
void out_format(const struct out *out, const char *format, ...) __attribute__((format(printf, 2, 3))); /* up to 2 KiB */
void out_json(const struct out *out, const char *text); /* with its quotes, escaped */

#endif
