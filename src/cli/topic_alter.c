/* topic_alter.c - what a topic keeps, how it syncs, how many partitions it has: changed while it is there. */
#include "cli/session.h"
#include <stdio.h>
#include <stdlib.h>

static bool request_retention(struct cli *cli, struct request *request)
{
    const char *text = cli->flags[FLAG_RETENTION];
    int64_t ns = 0;
    if (text == NULL)
        return true;
    if (strcmp(text, "done") == 0) {
        request_text(request, "retention", "done");
        return true;
    }
    request_text(request, "retention", "limits");
    if (strcmp(text, "forever") == 0)
        request_int(request, "retention_ms", -1);
    else if (!cli_duration(cli, FLAG_RETENTION, &ns))
        return false;
    else
        request_int(request, "retention_ms", ns / NS_PER_MS);
    return true;
}

static bool request_size(struct cli *cli, struct request *request)
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
    const char *text = cli->flags[FLAG_RETENTION_SIZE];
    char *end;
    if (text == NULL)
        return true;
    if (strcmp(text, "any") == 0) {
        request_int(request, "retention_size", -1);
        return true;
    }
    double n = text[0] >= '0' && text[0] <= '9' ? strtod(text, &end) : -1;
    for (uint32_t i = 0; n > 0 && i < COUNT_OF(units); i++, n *= 1024) {
        if (strcmp(end, units[i]) == 0 && n >= 1 && n < 9e18) {
            request_int(request, "retention_size", (int64_t)n);
            return true;
        }
    }
    say(cli, "--retention-size: '%s' is no size such as 512MiB or 10GiB, nor any", text);
    return false;
}

static bool request_durability(struct cli *cli, struct request *request)
{
    const char *text = cli->flags[FLAG_DURABILITY];
    int64_t ns = 0;
    if (text == NULL)
        return true;
    if (strcmp(text, "fsync") != 0 && !cli_duration(cli, FLAG_DURABILITY, &ns))
        return false;
    request_int(request, "interval_ms", ns > 0 && ns < NS_PER_MS ? 1 : ns / NS_PER_MS);
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
