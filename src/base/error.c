#include "base/error.h"
#include "base/must.h"
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* A cut never leaves half a UTF-8 character at either end. */
static bool is_continuation(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

static void trim_end(char *text, size_t size)
{
    size_t start = size;
    while (start > 0 && is_continuation(text[start - 1]))
        start--;
    if (start == 0)
        return;
    unsigned char lead = (unsigned char)text[start - 1];
    size_t wanted = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
    if (size - (start - 1) < wanted)
        text[start - 1] = '\0';
}

enum neap_status error_set(struct error *err, enum neap_status status, const char *format, ...)
{
    must(status != NEAP_OK && status < NEAP_STATUS_COUNT);
    if (err == NULL)
        return status;
    err->status = status;
    va_list args;
    va_start(args, format);
    int size = vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    must(size >= 0);
    if ((size_t)size >= sizeof err->text)
        trim_end(err->text, sizeof err->text - 1);
    return status;
}

enum neap_status error_while(struct error *err, const char *format, ...)
{
    if (err == NULL)
        return NEAP_IO;
    must(err->status != NEAP_OK); /* somebody set the cause first */
    char doing[sizeof err->text];
    va_list args;
    va_start(args, format);
    int size = vsnprintf(doing, sizeof doing - 2, format, args);
    va_end(args);
    must(size >= 0);
    if ((size_t)size >= sizeof doing - 2)
        trim_end(doing, sizeof doing - 3);
    strcat(doing, ": ");

    /* The cause matters most: what does not fit is cut at the outer end, which is the front. */
    size_t doing_size = strlen(doing), text_size = strlen(err->text), cut = 0;
    if (doing_size + text_size >= sizeof err->text)
        cut = doing_size + text_size - (sizeof err->text - 1);
    while (cut < doing_size && is_continuation(doing[cut]))
        cut++;
    must(cut <= doing_size);
    memmove(err->text + doing_size - cut, err->text, text_size + 1);
    memcpy(err->text, doing + cut, doing_size - cut);
    return err->status;
}

static const struct {
    const char *name, *text;
    enum neap_reaction reaction;
} statuses[] = {
#define X(name, reaction, text) { #name, text, NEAP_REACTION_##reaction },
    NEAP_STATUS_MAP(X)
#undef X
};

const char *status_name(enum neap_status status)
{
    must((unsigned)status < NEAP_STATUS_COUNT);
    return statuses[status].name;
}

const char *status_text(enum neap_status status)
{
    must((unsigned)status < NEAP_STATUS_COUNT);
    return statuses[status].text;
}

enum neap_reaction status_reaction(enum neap_status status)
{
    must((unsigned)status < NEAP_STATUS_COUNT);
    return statuses[status].reaction;
}
