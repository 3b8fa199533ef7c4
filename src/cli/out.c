/* out.c - standard output in large pieces, standard error in whole lines. */
#include "base/must.h"
#include "cli/cli.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define OUT_SIZE 32768u

struct out {
    struct io *io;
    size_t size;
    bool closed, failed;
    uint8_t room[OUT_SIZE];
};

struct out *out_open(struct io *io)
{
    struct out *out = calloc(1, sizeof *out);
    if (out != NULL)
        out->io = io;
    return out;
}

void out_close(struct out **out)
{
    free(*out);
    *out = NULL;
}

bool out_is_closed(const struct cli *cli)
{
    return cli->out->closed || cli->out->failed;
}

int out_exit(const struct cli *cli)
{
    return cli->out->failed ? CLI_SURROUNDINGS : cli->out->closed ? CLI_PIPE : CLI_OK;
}

static void send(struct cli *cli, struct bytes bytes)
{
    struct out *out = cli->out;
    if (out->closed || out->failed || bytes.size == 0)
        return;
    size_t size;
    enum neap_status status = io_write_next(io_standard(out->io, 1), bytes, MONO_NEVER, &size);
    if (status == NEAP_CLOSED) {
        out->closed = true; /* as quiet as dying of SIGPIPE */
    } else if (status != NEAP_OK) {
        out->failed = true;
        say(cli, "standard output: %s", status_text(status));
    }
}

bool out_flush(struct cli *cli)
{
    send(cli, (struct bytes){ cli->out->room, cli->out->size });
    cli->out->size = 0;
    return !out_is_closed(cli);
}

void out_write(struct cli *cli, struct bytes bytes)
{
    struct out *out = cli->out;
    if (bytes.size > sizeof out->room - out->size)
        out_flush(cli);
    if (bytes.size > sizeof out->room) {
        send(cli, bytes);
        return;
    }
    if (bytes.size > 0)
        memcpy(out->room + out->size, bytes.at, bytes.size);
    out->size += bytes.size;
}

void out_print(struct cli *cli, const char *format, ...)
{
    char text[4096];
    va_list args;
    va_start(args, format);
    int size = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    must(size >= 0);
    out_write(cli, (struct bytes){ (uint8_t *)text, (size_t)size < sizeof text ? (size_t)size : sizeof text - 1 });
}

void out_stranger(struct cli *cli, struct bytes text)
{
    if (!io_is_terminal(io_standard(cli->io, 1))) {
        out_write(cli, text);
        return;
    }
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.at[i];
        /* C0, DEL, and C1 as UTF-8 writes it: nobody's data drives the terminal. */
        bool c1 = c == 0xC2 && i + 1 < text.size && text.at[i + 1] >= 0x80 && text.at[i + 1] < 0xA0;
        if (c1)
            out_print(cli, "\\x%02x\\x%02x", c,
                      text.at[++i]); /* its second byte alone would drive some terminals, too */
        else if ((c < 0x20 && c != '\t') || c == 0x7F)
            out_print(cli, "\\x%02x", c);
        else
            out_write(cli, (struct bytes){ &text.at[i], 1 });
    }
}

static void say_text(struct cli *cli, const char *prefix, const char *format, va_list args)
    __attribute__((format(printf, 3, 0)));
static void say_text(struct cli *cli, const char *prefix, const char *format, va_list args)
{
    char text[4096];
    size_t size = strlen(prefix);
    memcpy(text, prefix, size);
    int more = vsnprintf(text + size, sizeof text - size - 1, format, args);
    must(more >= 0);
    size += (size_t)more < sizeof text - size - 1 ? (size_t)more : sizeof text - size - 2;
    if (prefix[0] != '\0')
        text[size++] = '\n';
    size_t written;
    io_write_next(io_standard(cli->io, 2), (struct bytes){ (uint8_t *)text, size }, MONO_NEVER, &written);
}

void say(struct cli *cli, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say_text(cli, "neap: ", format, args);
    va_end(args);
}

void say_raw(struct cli *cli, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say_text(cli, "", format, args);
    va_end(args);
}

int say_error(struct cli *cli, const struct error *err)
{
    say(cli, "%s", err->text[0] != '\0' ? err->text : status_text(err->status));
    return cli_exit_of(err->status);
}

int cli_confirm(struct cli *cli, const char *destroys, const char *question)
{
    struct io_file *in = io_standard(cli->io, 0);
    if (cli->flags[FLAG_YES] != NULL)
        return CLI_OK;
    if (!io_is_terminal(in) || !io_is_terminal(io_standard(cli->io, 2))) {
        say(cli, "%s destroys %s: say --yes", cli->verb->name, destroys);
        return CLI_USAGE;
    }
    char answer[16];
    size_t size = 0;
    say_raw(cli, "%s [y/N] ", question);
    if (io_read_next(in, answer, sizeof answer, MONO_NEVER, &size) != NEAP_OK || size == 0 ||
        (answer[0] != 'y' && answer[0] != 'Y')) {
        say(cli, "nothing was changed");
        return CLI_NO;
    }
    return CLI_OK;
}

static uint32_t rest_work(void *ctx, mono_time now)
{
    (void)ctx;
    (void)now;
    return 0;
}

void cli_rest(struct cli *cli, int64_t ns)
{
    struct io_agent agent = { .name = "rest", .work = rest_work };
    enum neap_status status = io_agent_run(cli->io, &agent, mono_after(io_now(cli->io), ns), NULL);
    must(status == NEAP_TIMEOUT); /* nobody wakes it */
    io_agent_stop(&agent);
}

int cli_exit_of(enum neap_status status)
{
    switch (status) {
    case NEAP_OK:
        return CLI_OK;
    case NEAP_NOTFOUND:
    case NEAP_EXISTS:
    case NEAP_MISUSE:
    case NEAP_CONFLICT:
    case NEAP_REFUSED:
    case NEAP_BADINPUT:
    case NEAP_TOOLARGE:
        return CLI_NO;
    case NEAP_DENIED:
    case NEAP_HELD:
    case NEAP_FULL:
    case NEAP_NOMEM:
    case NEAP_CLOSED:
    case NEAP_AGAIN:
        return CLI_SURROUNDINGS;
    case NEAP_CORRUPT:
    case NEAP_VERSION:
        return CLI_DAMAGE;
    case NEAP_IO:
        return CLI_STORAGE;
    case NEAP_TIMEOUT:
        return CLI_TIMEOUT;
    case NEAP_STATUS_COUNT:
        break;
    }
    must(status < NEAP_STATUS_COUNT);
    return CLI_NO;
}

const char *cli_number_text(char room[32], uint64_t n)
{
    char digits[24];
    int size = snprintf(digits, sizeof digits, "%llu", (unsigned long long)n), at = 0;
    for (int i = 0; i < size; i++) {
        if (i > 0 && (size - i) % 3 == 0)
            room[at++] = ',';
        room[at++] = digits[i];
    }
    room[at] = '\0';
    return room;
}

const char *cli_size_text(char room[32], uint64_t size)
{
    static const char *const units[] = { "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
    double n = (double)size;
    if (size < 1024) {
        snprintf(room, 32, "%llu B", (unsigned long long)size);
        return room;
    }
    uint32_t unit = 0;
    for (n /= 1024; n >= 1024 && unit + 1 < COUNT_OF(units); n /= 1024)
        unit++;
    snprintf(room, 32, "%.1f %s", n, units[unit]);
    return room;
}
