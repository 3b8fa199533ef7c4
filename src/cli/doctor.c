/* doctor.c - neap doctor: every entry, index and snapshot of a data directory, verified. */
#include "cli/cli.h"
#include "log/log.h"
#include <stdio.h>

struct visit {
    struct cli *cli;
    bool json, draw, drawn;
    uint64_t damage_count, finding_count, size;
    mono_time drawn_at;
};

static void wipe(struct visit *visit)
{
    if (visit->drawn)
        say_raw(visit->cli, "\r\033[K");
    visit->drawn = false;
}

/* As one JSON object, with what of it has a name. */
static void finding_json(struct cli *cli, const struct log_finding *f)
{
    uint8_t room[16384];
    char text[160];
    struct writer w = writer_of(room, sizeof room);
    write_bytes(&w, f->damage ? BYTES("{\"damage\":true,\"finding\":") : BYTES("{\"damage\":false,\"finding\":"));
    json_write_text(&w, bytes_of_text(f->line));
    if (f->file != NULL) {
        write_bytes(&w, BYTES(",\"file\":"));
        json_write_text(&w, bytes_of_text(f->file));
        snprintf(text, sizeof text, ",\"byte\":%llu", (unsigned long long)f->byte);
        write_bytes(&w, bytes_of_text(text));
    }
    if (f->topic != NULL) {
        write_bytes(&w, BYTES(",\"topic\":"));
        json_write_text(&w, bytes_of_text(f->topic));
        snprintf(text, sizeof text, ",\"partition\":%u,\"first\":%llu,\"last\":%llu", f->partition.partition,
                 (unsigned long long)f->first.n, (unsigned long long)f->end.n - 1);
        write_bytes(&w, bytes_of_text(text));
    }
    write_bytes(&w, BYTES("}\n"));
    out_write(cli, writer_bytes(&w));
}

static void finding(void *ctx, const struct log_finding *f)
{
    bool damage = f->damage;
    const char *line = f->line;
    struct visit *visit = ctx;
    struct cli *cli = visit->cli;
    wipe(visit);
    visit->finding_count++;
    visit->damage_count += damage;
    if (visit->json) {
        finding_json(cli, f);
        return;
    }
    const char *red = damage && cli->colour_out ? "\033[1;31m" : "", *plain = *red != '\0' ? "\033[0m" : "";
    out_print(cli, "%s%s%s  ", red, damage ? "damage" : "note  ", plain);
    out_stranger(cli, bytes_of_text(line));
    out_print(cli, "\n");
}

static void progress(void *ctx, uint64_t done_size, uint64_t total_size)
{
    struct visit *visit = ctx;
    mono_time now = io_now(visit->cli->io);
    char done[32], total[32];
    visit->size = done_size;
    if (!visit->draw || now.ns - visit->drawn_at.ns < 100 * NS_PER_MS)
        return;
    visit->drawn_at = now;
    visit->drawn = true;
    say_raw(visit->cli, "\r\033[Kverified %s of %s, %llu %%", cli_size_text(done, done_size),
            cli_size_text(total, total_size),
            (unsigned long long)(total_size > 0 ? done_size * 100 / total_size : 100));
}

int cli_doctor(struct cli *cli)
{
    struct visit visit = { .cli = cli, .json = cli->flags[FLAG_JSON] != NULL };
    struct log_doctor doctor = { .finding = finding, .progress = progress, .ctx = &visit };
    struct io_file_info info;
    struct error error = { 0 };
    char size[32];
    visit.draw = io_is_terminal(io_standard(cli->io, 2));
    enum neap_status found = io_path_info(cli->io, cli->words[0], &info);
    if (found != NEAP_OK || info.kind != IO_KIND_DIRECTORY) {
        say(cli, "%s: %s", cli->words[0], found == NEAP_OK ? "not a directory" : status_text(found));
        return found == NEAP_OK ? CLI_NO : cli_exit_of(found);
    }
    enum neap_status status = log_doctor(cli->io, cli->words[0], &doctor, &error);
    wipe(&visit);
    if (status == NEAP_CORRUPT && visit.damage_count > 0) {
        if (!visit.json)
            out_print(cli, "%llu damaged; nothing was changed\n", (unsigned long long)visit.damage_count);
        return CLI_DAMAGE;
    }
    if (status != NEAP_OK) {
        error.status = status;
        return say_error(cli, &error);
    }
    if (!visit.json)
        out_print(cli, "ok: %s verified, nothing is damaged\n", cli_size_text(size, visit.size));
    return CLI_OK;
}
