/* topic_alter.c - what a topic keeps, how it syncs, how many partitions it has: changed while it is there. */
#include "cli/session.h"
#include "config/limits.h"
#include "config/units.h"
#include <stdio.h>

/* A number and its unit, as in a pipeline file, and within the same limits. */
struct unit {
    const char *name;
    uint64_t worth;
};

/* False: it is no such thing, or too much of it: *ret_number is UINT64_MAX then. */
static bool read_unit(const char *text, const struct unit *units, size_t count, uint64_t *ret_number)
{
    uint64_t number = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9'; at++)
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, (uint64_t)(*at - '0'), &number))
            return false;
    for (size_t i = 0; at > text && i < count; i++)
        if (strcmp(at, units[i].name) == 0)
            return !__builtin_mul_overflow(number, units[i].worth, ret_number);
    return false;
}

static bool read_time(struct cli *cli, enum cli_flag flag, uint64_t least, uint64_t most, int64_t *ret_ms)
{
    static const struct unit units[] = {
        { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 }, { "d", 86400000 }
    };
    char low[UNITS_TEXT_SIZE], high[UNITS_TEXT_SIZE];
    const char *text = cli->flags[flag];
    uint64_t ms = 0;
    bool is_time = read_unit(text, units, COUNT_OF(units), &ms);
    units_duration_text(low, least);
    units_duration_text(high, most);
    if (!is_time)
        say(cli, "--%s: '%s' is not a time; write one like 250ms, 30s, 24h or 7d", cli_flag_helps[flag].name, text);
    else if (ms < least || ms > most)
        say(cli, "--%s: '%s' is not between %s and %s", cli_flag_helps[flag].name, text, low, high);
    *ret_ms = (int64_t)ms;
    return is_time && ms >= least && ms <= most;
}

static bool request_retention(struct cli *cli, struct request *request)
{
    const char *text = cli->flags[FLAG_RETENTION];
    int64_t ms = -1;
    if (text == NULL)
        return true;
    bool done = strcmp(text, "done") == 0;
    if (!done && strcmp(text, "forever") != 0 &&
        !read_time(cli, FLAG_RETENTION, CONFIG_RETENTION_MS_MIN, CONFIG_RETENTION_MS_MAX, &ms))
        return false;
    request_text(request, "retention", done ? "done" : "limits");
    if (!done)
        request_int(request, "retention_ms", ms);
    return true;
}

static bool request_size(struct cli *cli, struct request *request)
{
    static const struct unit units[] = {
        { "B", 1 }, { "KiB", 1u << 10 }, { "MiB", 1u << 20 }, { "GiB", 1u << 30 }, { "TiB", 1ull << 40 }
    };
    char low[UNITS_TEXT_SIZE], high[UNITS_TEXT_SIZE];
    const char *text = cli->flags[FLAG_RETENTION_SIZE];
    uint64_t size = 0;
    if (text == NULL)
        return true;
    bool any = strcmp(text, "any") == 0, is_size = any || read_unit(text, units, COUNT_OF(units), &size);
    bool fits = any || (size >= CONFIG_RETENTION_SIZE_MIN && size <= CONFIG_DISK_SIZE_MAX);
    units_size_text(low, CONFIG_RETENTION_SIZE_MIN);
    units_size_text(high, CONFIG_DISK_SIZE_MAX);
    if (!is_size)
        say(cli, "--retention-size: '%s' is not a size; write one like 512MiB or 100GiB, or any", text);
    else if (!fits)
        say(cli, "--retention-size: '%s' is not between %s and %s", text, low, high);
    if (is_size && fits)
        request_int(request, "retention_size", any ? -1 : (int64_t)size);
    return is_size && fits;
}

static bool request_durability(struct cli *cli, struct request *request)
{
    const char *text = cli->flags[FLAG_DURABILITY];
    int64_t ms = 0;
    if (text == NULL)
        return true;
    if (strcmp(text, "fsync") != 0 && !read_time(cli, FLAG_DURABILITY, 1, CONFIG_INTERVAL_MS_MAX, &ms))
        return false;
    request_int(request, "interval_ms", ms);
    return true;
}

static bool request_cleanup(struct cli *cli, struct request *request)
{
    const char *text = cli->flags[FLAG_CLEANUP];
    if (text == NULL)
        return true;
    if (strcmp(text, "delete") != 0 && strcmp(text, "compact") != 0) {
        say(cli, "--cleanup: '%s' is neither delete nor compact", text);
        return false;
    }
    request_text(request, "cleanup", text);
    return true;
}

/* What keeps less than before lets events go. */
static bool may_destroy(const struct cli *cli)
{
    const char *retention = cli->flags[FLAG_RETENTION], *size = cli->flags[FLAG_RETENTION_SIZE];
    const char *cleanup = cli->flags[FLAG_CLEANUP];
    return (retention != NULL && strcmp(retention, "forever") != 0) || (size != NULL && strcmp(size, "any") != 0) ||
           (cleanup != NULL && strcmp(cleanup, "compact") == 0);
}

static void each_topic(struct session *s, void *ctx, struct bytes line)
{
    struct json_value root;
    (void)ctx;
    if (s->cli->flags[FLAG_JSON] != NULL || json_parse(s->parser, line, &root) != NEAP_OK) {
        out_write(s->cli, line);
        out_write(s->cli, BYTES("\n"));
        return;
    }
    struct bytes topic = line_text(root, "topic");
    unsigned long long count = (unsigned long long)line_number(root, "partitions");
    char keeps[LINE_SETTINGS_SIZE];
    out_print(s->cli, "topic %.*s: %llu partition%s, %s\n", (int)topic.size, (const char *)topic.at, count,
              count == 1 ? "" : "s", line_settings(root, keeps));
}

int cli_topic_alter(struct cli *cli)
{
    struct session s;
    struct request request;
    uint64_t partitions = 0;
    char question[CLI_WORD_SIZE_MAX];
    request_begin(&request, "topic alter");
    request_text(&request, "topic", cli->words[0]);
    size_t size = writer_size(&request.w);
    if (!cli_number(cli, FLAG_PARTITIONS, UINT32_MAX, &partitions) || !request_retention(cli, &request) ||
        !request_size(cli, &request) || !request_durability(cli, &request) || !request_cleanup(cli, &request))
        return CLI_USAGE;
    if (cli->flags[FLAG_PARTITIONS] != NULL)
        request_number(&request, "count", partitions);
    if (writer_size(&request.w) == size) {
        say(cli,
            "topic alter: what is to change? --retention, --retention-size, --durability, --cleanup, --partitions");
        return CLI_USAGE;
    }
    snprintf(question, sizeof question, "let topic %.249s keep no more than that?", cli->words[0]);
    int code = may_destroy(cli) ? cli_confirm(cli, "what is kept no longer", question) : CLI_OK;
    if (code == CLI_OK)
        code = session_open(&s, cli, cli->word_count > 1 ? cli->words[1] : NULL, true);
    if (code != CLI_OK)
        return code;
    code = session_ask(&s, request_end(&request), (struct bytes){ NULL, 0 }, each_topic, NULL);
    session_close(&s);
    return code;
}
