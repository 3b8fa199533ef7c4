/* dlq.c - what the words and flags of the verbs about dead letters mean, and how they ask. */
#include "cli/dlq.h"
#include "base/must.h"
#include <stdio.h>
#include <stdlib.h>

#define REASON_SIZE_MAX 256u /* of a reason or a stage that is asked for */
#define KEY_SIZE_MAX    1024u

/* ---- words ---------------------------------------------------------------------------------------------------------- */

/* "0:17". */
static bool read_place(const char *word, struct dlq_place *ret_place)
{
    char *end;
    if (word[0] < '0' || word[0] > '9')
        return false;
    unsigned long long partition = strtoull(word, &end, 10);
    if (*end != ':' || end[1] < '0' || end[1] > '9' || partition > UINT32_MAX)
        return false;
    unsigned long long offset = strtoull(end + 1, &end, 10);
    *ret_place = (struct dlq_place){ (uint32_t)partition, offset };
    return *end == '\0' && offset < INT64_MAX;
}

static bool is_file(const char *word)
{
    size_t size = strlen(word);
    return strchr(word, '/') != NULL || (size > 5 && strcmp(word + size - 5, ".yaml") == 0) ||
           (size > 4 && strcmp(word + size - 4, ".yml") == 0);
}

static bool begins_as_place(const char *word)
{
    return word[0] >= '0' && word[0] <= '9' && !is_file(word);
}

static bool read_words(struct dlq *d, struct cli *cli)
{
    uint32_t at = 0;
    if (cli->word_count > 0 && (cli->verb->word_count_min > 0 || cli->word_count > 1 || !is_file(cli->words[0])))
        d->name = cli->words[at++];
    for (; at < cli->word_count; at++) {
        if (read_place(cli->words[at], &d->places[d->place_count])) {
            d->place_count++;
        } else if (at + 1 == cli->word_count && !begins_as_place(cli->words[at])) {
            d->file = cli->words[at];
        } else {
            say(cli, "%s: '%s' is no place such as 0:17", cli->verb->name, cli->words[at]);
            return false;
        }
    }
    if (d->name != NULL && strlen(d->name) > LOG_NAME_SIZE_MAX) {
        say(cli, "%s: no name is longer than %u bytes", cli->verb->name, LOG_NAME_SIZE_MAX);
        return false;
    }
    return true;
}

static bool is_short(struct cli *cli, enum cli_flag flag, size_t most)
{
    if (cli->flags[flag] == NULL || strlen(cli->flags[flag]) <= most)
        return true;
    say(cli, "--%s: at most %zu bytes", cli_flag_helps[flag].name, most);
    return false;
}

static bool read_flags(struct dlq *d, struct cli *cli)
{
    d->has_since = cli->flags[FLAG_SINCE] != NULL;
    d->has_until = cli->flags[FLAG_UNTIL] != NULL;
    d->has_partition = cli->flags[FLAG_PARTITION] != NULL;
    return (!d->has_since || cli_time(cli, FLAG_SINCE, cli->flags[FLAG_SINCE], &d->since)) &&
           (!d->has_until || cli_time(cli, FLAG_UNTIL, cli->flags[FLAG_UNTIL], &d->until)) &&
           cli_number(cli, FLAG_PARTITION, UINT32_MAX, &d->partition) && is_short(cli, FLAG_REASON, REASON_SIZE_MAX) &&
           is_short(cli, FLAG_STAGE, REASON_SIZE_MAX) && is_short(cli, FLAG_KEY, KEY_SIZE_MAX);
}

/* A place says which letter is meant: nothing can be left of it. */
static bool are_places_alone(const struct dlq *d, struct cli *cli)
{
    static const enum cli_flag filters[] = { FLAG_REASON, FLAG_STAGE,     FLAG_KEY,   FLAG_SINCE,
                                             FLAG_UNTIL,  FLAG_PARTITION, FLAG_WHERE, FLAG_LIMIT };
    for (size_t i = 0; d->place_count > 0 && i < COUNT_OF(filters); i++) {
        if (cli->flags[filters[i]] != NULL) {
            say(cli, "%s: a letter's place and --%s: give one of them", cli->verb->name,
                cli_flag_helps[filters[i]].name);
            return false;
        }
    }
    return true;
}

int dlq_open(struct dlq *d, struct cli *cli, bool writes)
{
    *d = (struct dlq){ 0 };
    if (!read_words(d, cli) || !read_flags(d, cli) || !are_places_alone(d, cli))
        return CLI_USAGE;
    return session_open(&d->session, cli, d->file, writes);
}

void dlq_close(struct dlq *d)
{
    session_close(&d->session);
    free(d->ranges);
    d->ranges = NULL;
}

const char *dlq_node_words(const struct dlq *d, char room[SESSION_PATH_SIZE_MAX])
{
    const struct cli *cli = d->session.cli;
    if (cli->flags[FLAG_DATA] != NULL)
        snprintf(room, SESSION_PATH_SIZE_MAX, " --data %s", cli->flags[FLAG_DATA]);
    else if (cli->flags[FLAG_NODE] != NULL)
        snprintf(room, SESSION_PATH_SIZE_MAX, " --node %s", cli->flags[FLAG_NODE]);
    else
        snprintf(room, SESSION_PATH_SIZE_MAX, "%s%s", d->file != NULL ? " " : "", d->file != NULL ? d->file : "");
    return room;
}

/* ---- asking ------------------------------------------------------------------------------------------------------------ */

bool dlq_takes(const struct dlq *d, uint32_t partition)
{
    return !d->has_partition || d->partition == partition;
}

static void request_time(struct request *request, const char *name, wall_time time)
{
    request_number(request, name, time.ms > 0 ? (uint64_t)time.ms : 0);
}

void dlq_request(const struct dlq *d, struct request *request, const char *verb, uint32_t partition, uint64_t from,
                 uint64_t until)
{
    struct cli *cli = d->session.cli;
    request_begin(request, verb);
    request_text(request, "topic", d->topic);
    request_number(request, "partition", partition);
    request_number(request, "from", from);
    request_number(request, "until", until);
    request_text(request, "pipeline", d->pipeline[0] != '\0' ? d->pipeline : NULL);
    request_text(request, "reason", cli->flags[FLAG_REASON]);
    request_text(request, "stage", cli->flags[FLAG_STAGE]);
    request_text(request, "key", cli->flags[FLAG_KEY]);
    request_text(request, "where", cli->flags[FLAG_WHERE]);
    if (d->has_since)
        request_time(request, "since", d->since);
    if (d->has_until)
        request_time(request, "before", d->until);
}

int dlq_ask(struct dlq *d, struct request *request, void (*each)(struct session *s, void *ctx, struct bytes line),
            void *ctx)
{
    struct session *s = &d->session;
    int code = session_ask(s, request_end(request), (struct bytes){ NULL, 0 }, each, ctx);
    if (code == CLI_OK && s->failed_count > 0 && d->failed_count == 0)
        memcpy(d->failure, s->failure, sizeof d->failure);
    d->failed_count += code == CLI_OK ? s->failed_count : 0;
    return code;
}

void dlq_say_failures(struct dlq *d)
{
    char room[32];
    if (d->failed_count > 0)
        say(d->session.cli, "--where failed on %s letter%s, which %s left out; the first: %s",
            cli_number_text(room, d->failed_count), d->failed_count == 1 ? "" : "s",
            d->failed_count == 1 ? "is" : "are", d->failure);
}

/* ---- the topic --------------------------------------------------------------------------------------------------------- */

void dlq_copy_text(char *room, size_t room_size, struct bytes text)
{
    snprintf(room, room_size, "%.*s", (int)text.size, (const char *)text.at);
}

static void each_match(struct session *s, void *ctx, struct bytes line)
{
    struct dlq *d = ctx;
    struct json_value root;
    if (json_parse(s->parser, line, &root) != NEAP_OK)
        return;
    struct bytes topic = line_text(root, "topic");
    if (d->match_count++ > 0)
        say(s->cli, "letters of '%s' are in topic %.*s, too: name the topic", d->name, (int)topic.size,
            (const char *)topic.at);
    dlq_copy_text(d->topic, sizeof d->topic, topic);
    dlq_copy_text(d->pipeline, sizeof d->pipeline, line_text(root, "pipeline"));
}

static void each_range(struct session *s, void *ctx, struct bytes line)
{
    struct dlq *d = ctx;
    struct json_value root;
    if (json_parse(s->parser, line, &root) != NEAP_OK)
        return;
    struct dlq_range *ranges = realloc(d->ranges, (d->range_count + 1) * sizeof *ranges);
    if (ranges == NULL)
        return;
    d->ranges = ranges;
    d->ranges[d->range_count++] = (struct dlq_range){ line_number(root, "start"), line_number(root, "end") };
}

/* A pipeline whose file is at hand has said where its letters go; else whoever has the log knows, or finds them by their name. */
static bool find_in_file(struct dlq *d, char topic[LOG_NAME_SIZE_MAX + 1])
{
    struct config *config = NULL;
    struct config_messages *messages = NULL;
    struct error error = { 0 };
    bool found = false;
    if (d->session.file[0] == '\0')
        return false;
    if (config_load(d->session.cli->io, d->session.file, &config, &messages, &error) == NEAP_OK) {
        for (uint32_t i = 0; i < config->pipeline_count && !found; i++) {
            const struct config_pipeline *p = &config->pipelines[i];
            found = strcmp(p->name, d->name) == 0;
            if (found)
                dlq_copy_text(topic, LOG_NAME_SIZE_MAX + 1, bytes_of_text(p->dead_letter));
        }
    }
    config_messages_free(&messages);
    config_free(&config);
    return found;
}

int dlq_find(struct dlq *d)
{
    struct request request;
    char topic[LOG_NAME_SIZE_MAX + 1];
    bool in_file = find_in_file(d, topic);
    request_begin(&request, "dlq list");
    request_text(&request, "name", in_file ? topic : d->name);
    int code = dlq_ask(d, &request, each_match, d);
    if (code == CLI_OK && d->match_count != 1)
        code = CLI_NO;
    if (code != CLI_OK)
        return code;
    if (in_file)
        dlq_copy_text(d->pipeline, sizeof d->pipeline, bytes_of_text(d->name));
    request_begin(&request, "topic describe");
    request_text(&request, "topic", d->topic);
    code = dlq_ask(d, &request, each_range, d);
    if (code == CLI_OK && d->has_partition && d->partition >= d->range_count) {
        say(d->session.cli, "topic '%s' has no partition %llu: it has %u", d->topic, (unsigned long long)d->partition,
            d->range_count);
        return CLI_NO;
    }
    return code;
}
