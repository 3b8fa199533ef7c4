/* doctor.c - neap doctor: every entry, index and snapshot of a data directory, verified. */
#include "cli/cli.h"
#include "log/log.h"
#include <stdio.h>

struct visit {
    struct cli *cli;
    bool json, draw, drawn;
    uint64_t damage_count, finding_count, size;
    char words[16][LOG_LOSS_TEXT_SIZE];
    uint32_t word_count; /* more than there is room for: none are shown */
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
    struct log_loss loss;
    if (log_loss_of(f, &loss)) {
        char word[LOG_LOSS_TEXT_SIZE];
        log_loss_text(&loss, word);
        write_bytes(&w, BYTES(",\"loss\":"));
        json_write_text(&w, bytes_of_text(word));
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

/* What could be declared lost, to be shown as the command that does it. */
static void keep_word(struct visit *visit, const struct log_finding *f)
{
    struct log_loss loss;
    if (!log_loss_of(f, &loss))
        return;
    char text[LOG_LOSS_TEXT_SIZE];
    log_loss_text(&loss, text);
    for (uint32_t i = 0; i < visit->word_count && i < COUNT_OF(visit->words); i++)
        if (strcmp(visit->words[i], text) == 0)
            return;
    if (visit->word_count < COUNT_OF(visit->words))
        memcpy(visit->words[visit->word_count], text, sizeof text);
    visit->word_count++;
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
    keep_word(visit, f);
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

static void say_damage(struct visit *visit)
{
    struct cli *cli = visit->cli;
    out_print(cli, "%llu damaged; nothing was changed\n", (unsigned long long)visit->damage_count);
    if (visit->word_count == 0 || visit->word_count > COUNT_OF(visit->words))
        return;
    out_print(cli, "to give up what cannot be read, for ever: neap doctor ");
    out_stranger(cli, bytes_of_text(cli->words[0]));
    out_print(cli, " --repair --yes");
    for (uint32_t i = 0; i < visit->word_count; i++) {
        out_print(cli, " ");
        out_stranger(cli, bytes_of_text(visit->words[i]));
    }
    out_print(cli, "\n");
}

static int repair(struct cli *cli)
{
    struct log_loss losses[DOCTOR_LOSS_COUNT_MAX];
    struct log_options options = { .path = cli->words[0], .disk_last = true };
    struct error error = { 0 };
    uint32_t count = 0;
    bool yes = cli->flags[FLAG_YES] != NULL, json = cli->flags[FLAG_JSON] != NULL;
    for (uint32_t i = 1; i < cli->word_count; i++) {
        if (log_loss_parse(cli->words[i], &losses[count++]) == NEAP_OK)
            continue;
        say(cli, "'%s' names no offsets as TOPIC/PARTITION@FIRST..LAST, nor bytes as doctor names them", cli->words[i]);
        return CLI_USAGE;
    }
    enum neap_status status = log_repair(cli->io, &options, losses, count, !yes, &error);
    if (status != NEAP_OK) {
        error.status = status;
        return say_error(cli, &error);
    }
    for (uint32_t i = 0; i < count; i++) {
        char text[LOG_LOSS_TEXT_SIZE];
        log_loss_text(&losses[i], text);
        if (json)
            out_print(cli, "{\"loss\":\"%s\",\"declared\":%s}\n", text, yes ? "true" : "false");
        else
            out_print(cli, "%s %s\n", yes ? "declared lost" : "would be declared lost", text);
    }
    if (!yes && !json)
        out_print(cli, "nothing was changed; --yes does it, and nothing brings them back\n");
    return CLI_OK;
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
    if (cli->flags[FLAG_REPAIR] != NULL && cli->word_count > 1)
        return repair(cli);
    if (cli->word_count > 1) {
        say(cli, "'%s': to declare something lost, --repair is needed", cli->words[1]);
        return CLI_USAGE;
    }
    enum neap_status status = log_doctor(cli->io, cli->words[0], &doctor, &error);
    wipe(&visit);
    if (status == NEAP_CORRUPT && visit.damage_count > 0) {
        if (!visit.json)
            say_damage(&visit);
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
