/* out.c - the few ways in which the schema and the reference write. */
#include "config/out.h"
#include "base/must.h"
#include <stdarg.h>
#include <stdio.h>

void out_text(const struct out *out, const char *text)
{
    out->write(out->ctx, bytes_of_text(text));
}

void out_format(const struct out *out, const char *format, ...)
{
    char text[4096];
    va_list values;
    va_start(values, format);
    int size = vsnprintf(text, sizeof text, format, values);
    va_end(values);
    must(size >= 0 && (size_t)size < sizeof text);
    out->write(out->ctx, (struct bytes){ (const uint8_t *)text, (size_t)size });
}

void out_json(const struct out *out, const char *text)
{
    out_text(out, "\"");
    for (; *text != '\0'; text++) {
        must((unsigned char)*text >= 0x20); /* the table has one-line texts */
        if (*text == '"' || *text == '\\')
            out_text(out, "\\");
        out->write(out->ctx, (struct bytes){ (const uint8_t *)text, 1 });
    }
    out_text(out, "\"");
}
