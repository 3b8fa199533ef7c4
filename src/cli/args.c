/* args.c - the one table of verbs and flags: parsing reads it, and so does every --help. */
#include "base/rfc3339.h"
#include "cli/cli.h"
#include <stdio.h>
#include <stdlib.h>

const struct cli_flag_help cli_flag_helps[FLAG_COUNT] = {
    [FLAG_DATA] = { "data", "DIR", "the node whose data directory this is, running or not", .choices = "DIR" },
    [FLAG_NODE] = { "node", "PATH", "the running node that listens on this socket", .choices = "FILE" },
    [FLAG_JSON] = { "json", NULL, "one JSON object a line; of send: also the lines that come in" },
    [FLAG_YES] = { "yes", NULL, "do not ask; needed where nobody can be asked" },
    [FLAG_TIMEOUT] = { "timeout", "TIME", "give up after this (250ms, 5s, 2m): exit 7" },
    [FLAG_UNTIL_IDLE] = { "until-idle", NULL, "leave when finite sources are used up and all is committed" },
    [FLAG_SUMMARY] = { "summary", "json", "print the summary as the last line of standard output", .choices = "json" },
    [FLAG_SUMMARY_FILE] = { "summary-file", "PATH", "write the summary into a file", .choices = "FILE" },
    [FLAG_FAIL_ON_DEAD_LETTERS] = { "fail-on-dead-letters", NULL, "exit 3 when this run made dead letters" },
    [FLAG_STRICT] = { "strict", NULL, "warnings fail, too" },
    [FLAG_PARTITIONS] = { "partitions", "N", "how many partitions the topic has" },
    [FLAG_PARTITION] = { "partition", "N", "only this partition" },
    [FLAG_KEY] = { "key", "TEXT", "the key of the events; of what is sent it chooses the partition" },
    [FLAG_FROM] = { "from", "OFFSET", "begin at this offset; tail also: earliest, latest",
                    .choices = "earliest latest" },
    [FLAG_LIMIT] = { "limit", "N",
                     "at most this many; without a word tail shows the last 10 of a partition, dlq list 20, dlq show "
                     "10",
                     .letter = 'n' },
    [FLAG_SECONDS] = { "seconds", "N", "time per measurement (default 1)" },
    [FLAG_LOG] = { "log", "LEVEL", "debug, info (default), warn, error or off; on standard error",
                   .choices = "debug info warn error off" },
    [FLAG_SINCE] = { "since", "TIME", "what came in since then: 10m ago, or 2026-11-20T10:00Z" },
    [FLAG_FOLLOW] = { "follow", NULL, "go on with what comes in, until interrupted", .letter = 'f' },
    [FLAG_TO] = { "to", "PLACE", "an offset, earliest, latest, or a time: 10m ago, or 2026-11-20T10:00Z",
                  .choices = "earliest latest" },
    [FLAG_DRY_RUN] = { "dry-run", NULL, "say what would change, and change nothing" },
    [FLAG_HEADER] = { "header", "NAME=VALUE", "a header of what is sent; may be given again" },
    [FLAG_CREATE] = { "create", NULL, "make the topic when there is none" },
    [FLAG_FILE] = { "file", "FILE", "the pipeline file whose node it is", .choices = "FILE" },
    [FLAG_RETENTION] = { "retention", "TIME",
                         "how long events are kept: 7d, forever, or done: till all have processed them",
                         .choices = "done forever" },
    [FLAG_RETENTION_SIZE] = { "retention-size", "SIZE", "how much of a partition is kept: 10GiB, or any",
                              .choices = "any" },
    [FLAG_DURABILITY] = { "durability", "HOW",
                          "fsync: answered when synced; 50ms: synced within that time of the answer",
                          .choices = "fsync" },
    [FLAG_CLEANUP] = { "cleanup", "HOW", "delete what is too old, or compact: keep the newest of each key",
                       .choices = "delete compact" },
    [FLAG_REPAIR] = { "repair", NULL, "show what would be declared lost; with --yes, declare it" },
    [FLAG_REASON] = { "reason", "REASON", "only letters of this reason, such as expression, refused, not_json",
                      .choices = "expression refused not_json too_large timeout crash unreadable lost" },
    [FLAG_STAGE] = { "stage", "NAME", "only letters of this stage or sink; source: of the door" },
    [FLAG_UNTIL] = { "until", "TIME", "what came in before then: 10m ago, or 2026-11-20T10:00Z" },
    [FLAG_WHERE] = { "where", "EXPR",
                     "only letters of which this is true: event.total > 100, headers[\"neap.reason\"]" },
    [FLAG_OLDEST] = { "oldest", NULL, "begin with the oldest letters, partition by partition" },
    [FLAG_ALL] = { "all", NULL, "those that were dropped or redriven, too" },
    [FLAG_RATE] = { "rate", "N/s", "no faster than this: 100/s, 30/m" },
    [FLAG_REDRIVES] = { "redrives", "N", "letters that were redriven so often (default 3) stay, but with --force" },
    [FLAG_FORCE] = { "force", NULL, "however often they were redriven" },
    [FLAG_FOR] = { "for", "PIPELINE", "for this pipeline; where the one that the letters name was renamed" },
    [FLAG_HELP] = { "help", NULL, "this help", .letter = 'h' },
};

#define FIND_AND(more) (FLAGS_FIND | (more))
#define FLAGS_LETTERS                                                                                                  \
    (FLAG_BIT(FLAG_REASON) | FLAG_BIT(FLAG_STAGE) | FLAG_BIT(FLAG_KEY) | FLAG_BIT(FLAG_SINCE) | FLAG_BIT(FLAG_UNTIL) | \
     FLAG_BIT(FLAG_WHERE) | FLAG_BIT(FLAG_PARTITION) | FLAG_BIT(FLAG_LIMIT) | FLAG_BIT(FLAG_JSON))

const struct cli_verb cli_verbs[] = {
    { "run", "[FILE]", "run the pipelines of FILE (default ./neap.yaml)",
      "neap run commits.yaml --until-idle --summary json",
      FLAG_BIT(FLAG_UNTIL_IDLE) | FLAG_BIT(FLAG_SUMMARY) | FLAG_BIT(FLAG_SUMMARY_FILE) |
          FLAG_BIT(FLAG_FAIL_ON_DEAD_LETTERS) | FLAG_BIT(FLAG_TIMEOUT) | FLAG_BIT(FLAG_LOG),
      0, 1, cli_run },
    { "check", "[FILE]", "read FILE and say everything that is wrong with it", "neap check commits.yaml --strict",
      FLAG_BIT(FLAG_STRICT) | FLAG_BIT(FLAG_JSON), 0, 1, cli_check },
    { "explain", "[FILE]", "the plan of FILE in words: ways, guarantees, and every bound in bytes",
      "neap explain commits.yaml", FLAG_BIT(FLAG_JSON), 0, 1, cli_explain },
    { "send", "TOPIC [EVENT...]",
      "append events: these, or the lines of standard input; says where each is, once durable",
      "neap send orders '{\"id\":1}' --key anna",
      FIND_AND(FLAG_BIT(FLAG_FILE) | FLAG_BIT(FLAG_KEY) | FLAG_BIT(FLAG_HEADER) | FLAG_BIT(FLAG_PARTITION) |
               FLAG_BIT(FLAG_CREATE) | FLAG_BIT(FLAG_JSON)),
      1, CLI_WORD_COUNT_MAX, cli_send },
    { "tail", "TOPIC [FILE]", "the last events of a topic, or those from a place or time on",
      "neap tail orders --since 10m --follow",
      FIND_AND(FLAG_BIT(FLAG_FROM) | FLAG_BIT(FLAG_SINCE) | FLAG_BIT(FLAG_UNTIL) | FLAG_BIT(FLAG_PARTITION) |
               FLAG_BIT(FLAG_KEY) | FLAG_BIT(FLAG_LIMIT) | FLAG_BIT(FLAG_FOLLOW) | FLAG_BIT(FLAG_JSON)),
      1, 2, cli_tail },
    { "status", "[FILE]", "the node and its pipelines in figures", "neap status --json", FIND_AND(FLAG_BIT(FLAG_JSON)),
      0, 1, cli_status },
    { "topic list", "[FILE]", "all topics", "neap topic list --data ./data", FIND_AND(FLAG_BIT(FLAG_JSON)), 0, 1,
      cli_topic_list },
    { "topic create", "NAME [FILE]", "make a topic", "neap topic create orders --partitions 4",
      FIND_AND(FLAG_BIT(FLAG_PARTITIONS) | FLAG_BIT(FLAG_JSON)), 1, 2, cli_topic_create },
    { "topic describe", "NAME [FILE]", "a topic's partitions", "neap topic describe orders",
      FIND_AND(FLAG_BIT(FLAG_JSON)), 1, 2, cli_topic_describe },
    { "topic delete", "NAME [FILE]", "delete a topic and its events", "neap topic delete orders --yes",
      FIND_AND(FLAG_BIT(FLAG_YES) | FLAG_BIT(FLAG_JSON)), 1, 2, cli_topic_delete },
    { "topic alter", "NAME [FILE]", "change what a topic keeps, how it syncs, how many partitions it has",
      "neap topic alter orders --retention 7d",
      FIND_AND(FLAG_BIT(FLAG_PARTITIONS) | FLAG_BIT(FLAG_RETENTION) | FLAG_BIT(FLAG_RETENTION_SIZE) |
               FLAG_BIT(FLAG_DURABILITY) | FLAG_BIT(FLAG_CLEANUP) | FLAG_BIT(FLAG_YES) | FLAG_BIT(FLAG_JSON)),
      1, 2, cli_topic_alter },
    { "topic append", "NAME [FILE]", "append each line of standard input; says its offset once it is durable",
      "echo '{\"id\":1}' | neap topic append orders --key anna",
      FIND_AND(FLAG_BIT(FLAG_PARTITION) | FLAG_BIT(FLAG_KEY) | FLAG_BIT(FLAG_JSON)), 1, 2, cli_topic_append },
    { "topic read", "NAME [FILE]", "the events of a topic, one a line", "neap topic read orders --from 100 --limit 10",
      FIND_AND(FLAG_BIT(FLAG_PARTITION) | FLAG_BIT(FLAG_FROM) | FLAG_BIT(FLAG_LIMIT) | FLAG_BIT(FLAG_JSON)), 1, 2,
      cli_topic_read },
    { "group list", "[FILE]", "all groups and how far behind they are", "neap group list",
      FIND_AND(FLAG_BIT(FLAG_JSON)), 0, 1, cli_group_list },
    { "group describe", "NAME [FILE]", "a group's position in each partition", "neap group describe commits --json",
      FIND_AND(FLAG_BIT(FLAG_JSON)), 1, 2, cli_group_describe },
    { "group reset", "GROUP TOPIC [FILE]", "move a group to another place of a topic",
      "neap group reset orders orders --to 2026-11-20T10:00Z --dry-run",
      FIND_AND(FLAG_BIT(FLAG_TO) | FLAG_BIT(FLAG_PARTITION) | FLAG_BIT(FLAG_DRY_RUN) | FLAG_BIT(FLAG_YES) |
               FLAG_BIT(FLAG_JSON)),
      2, 3, cli_group_reset },
    { "group delete", "GROUP [FILE]", "forget a group and how far it has come", "neap group delete old-orders --yes",
      FIND_AND(FLAG_BIT(FLAG_DRY_RUN) | FLAG_BIT(FLAG_YES) | FLAG_BIT(FLAG_JSON)), 1, 2, cli_group_delete },
    { "dlq list", "[TOPIC|PIPELINE] [FILE]",
      "topics of dead letters, what there is of each kind; or the letters of one",
      "neap dlq list commits --reason expression --since 1h",
      FIND_AND(FLAGS_LETTERS | FLAG_BIT(FLAG_OLDEST) | FLAG_BIT(FLAG_ALL)), 0, 2, cli_dlq_list },
    { "dlq show", "TOPIC|PIPELINE [PARTITION:OFFSET...] [FILE]", "whole dead letters: these, or the newest",
      "neap dlq show commits.dead -n 1", FIND_AND(FLAGS_LETTERS | FLAG_BIT(FLAG_OLDEST) | FLAG_BIT(FLAG_ALL)), 1,
      CLI_WORD_COUNT_MAX, cli_dlq_show },
    { "dlq redrive", "TOPIC|PIPELINE [PARTITION:OFFSET...] [FILE]",
      "let events go their way again, behind all that is there",
      "neap dlq redrive commits.dead --reason refused --rate 100/s",
      FIND_AND(FLAGS_LETTERS | FLAG_BIT(FLAG_DRY_RUN) | FLAG_BIT(FLAG_RATE) | FLAG_BIT(FLAG_REDRIVES) |
               FLAG_BIT(FLAG_FORCE) | FLAG_BIT(FLAG_FOR)),
      1, CLI_WORD_COUNT_MAX, cli_dlq_redrive },
    { "dlq drop", "TOPIC|PIPELINE [PARTITION:OFFSET...] [FILE]", "give up dead letters: they are listed no more",
      "neap dlq drop commits.dead --reason not_json --yes",
      FIND_AND(FLAGS_LETTERS | FLAG_BIT(FLAG_DRY_RUN) | FLAG_BIT(FLAG_YES)), 1, CLI_WORD_COUNT_MAX, cli_dlq_drop },
    { "doctor", "DIR [LOSS...]", "verify every entry, index, archive and snapshot of a data directory, running or not",
      "neap doctor ./data", FLAG_BIT(FLAG_JSON) | FLAG_BIT(FLAG_REPAIR) | FLAG_BIT(FLAG_YES), 1,
      1 + DOCTOR_LOSS_COUNT_MAX, cli_doctor },
    { "bench", "[DIR]", "durable appends against a bare write and sync of the same bytes, in DIR",
      "neap bench --seconds 2", FLAG_BIT(FLAG_SECONDS) | FLAG_BIT(FLAG_JSON), 0, 1, cli_bench },
    { "completion", "bash|zsh|fish", "a script that lets the shell complete this command's words",
      "source <(neap completion bash)", 0, 1, 1, cli_completion },
    { "help", "[VERB | exit]", "this list, a verb's help, or the exit codes", "neap help exit", 0, 0, 2, cli_help },
    { "version", "", "the version, and what it was built with", "neap version", 0, 0, 0, cli_version },
    { NULL, NULL, NULL, NULL, 0, 0, 0, NULL },
};

/* ---- the nearest word ---- */

/* Edits between two short words (Levenshtein), for "did you mean". */
static uint32_t distance(const char *a, const char *b)
{
    uint32_t row[64];
    size_t b_size = strnlen(b, COUNT_OF(row) - 1);
    for (uint32_t j = 0; j <= b_size; j++)
        row[j] = j;
    for (uint32_t i = 1; a[i - 1] != '\0'; i++) {
        uint32_t diagonal = row[0];
        row[0] = i;
        for (uint32_t j = 1; j <= b_size; j++) {
            uint32_t change = diagonal + (a[i - 1] != b[j - 1]);
            uint32_t edit = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            diagonal = row[j];
            row[j] = change < edit ? change : edit;
        }
    }
    return row[b_size];
}

static const char *nearest_verb(const char *word)
{
    const char *best = NULL;
    uint32_t best_distance = 3; /* further away is no help */
    for (const struct cli_verb *v = cli_verbs; v->name != NULL; v++) {
        uint32_t d = distance(word, v->name);
        if (d < best_distance) {
            best = v->name;
            best_distance = d;
        }
    }
    return best;
}

static const char *nearest_flag(const struct cli_verb *verb, const char *word)
{
    const char *best = NULL;
    uint32_t best_distance = 3;
    for (uint32_t f = 0; f < FLAG_COUNT; f++) {
        if (f != FLAG_HELP && !(verb->flags & FLAG_BIT(f)))
            continue;
        uint32_t d = distance(word, cli_flag_helps[f].name);
        if (d < best_distance) {
            best = cli_flag_helps[f].name;
            best_distance = d;
        }
    }
    return best;
}

/* ---- parsing ---- */

/* A verb of two words comes before one of one. Answers how many words it took. */
static uint32_t match_verb(struct cli *cli, int count, char **words)
{
    char pair[64];
    for (const struct cli_verb *v = cli_verbs; v->name != NULL; v++) {
        uint32_t taken = strchr(v->name, ' ') != NULL ? 2 : 1;
        if ((int)taken > count || strlen(words[0]) + (taken == 2 ? strlen(words[1]) : 0) > sizeof pair - 2)
            continue;
        strcpy(pair, words[0]);
        if (taken == 2)
            strcat(strcat(pair, " "), words[1]);
        if (strcmp(pair, v->name) == 0) {
            cli->verb = v;
            return taken;
        }
    }
    return 0;
}

static bool is_family(const char *word)
{
    size_t size = strlen(word);
    for (const struct cli_verb *v = cli_verbs; v->name != NULL; v++) {
        if (strncmp(v->name, word, size) == 0 && v->name[size] == ' ')
            return true;
    }
    return false;
}

static int unknown_verb(struct cli *cli, int count, char **words)
{
    if (is_family(words[0])) {
        if (count > 1 && words[1][0] != '-')
            say(cli, "unknown verb '%s %s'; 'neap help %s' lists what there is", words[0], words[1], words[0]);
        else
            say(cli, "'%s' wants a second word; 'neap help %s' lists what there is", words[0], words[0]);
        return CLI_USAGE;
    }
    const char *near = nearest_verb(words[0]);
    if (near != NULL)
        say(cli, "unknown verb '%s'; did you mean '%s'?", words[0], near);
    else
        say(cli, "unknown verb '%s'; 'neap help' lists them", words[0]);
    return CLI_USAGE;
}

static bool keep_header(struct cli *cli)
{
    if (cli->header_count == CLI_HEADER_COUNT_MAX) {
        say(cli, "--header: an event has at most %u of them here", CLI_HEADER_COUNT_MAX);
        return false;
    }
    cli->headers[cli->header_count++] = cli->flags[FLAG_HEADER];
    return true;
}

/* "-n" is "--limit" to those verbs that know it. NULL: no flag of this verb has that letter alone. */
static char *flag_of_letter(const struct cli *cli, const char *word, char room[32])
{
    for (uint32_t f = 0; f < FLAG_COUNT; f++) {
        bool known = f == FLAG_HELP || (cli->verb->flags & FLAG_BIT(f)) != 0;
        if (known && cli_flag_helps[f].letter != 0 && cli_flag_helps[f].letter == word[1] && word[2] == '\0') {
            snprintf(room, 32, "--%s", cli_flag_helps[f].name);
            return room;
        }
    }
    return NULL;
}

/* Takes "--name", "--name=value" or "--name value"; answers how many words, or 0 having said why not. */
static int take_flag(struct cli *cli, int count, char **words)
{
    const char *name = words[0] + 2, *equals = strchr(name, '=');
    size_t size = equals != NULL ? (size_t)(equals - name) : strlen(name);
    for (uint32_t f = 0; f < FLAG_COUNT; f++) {
        const struct cli_flag_help *flag = &cli_flag_helps[f];
        if (strlen(flag->name) != size || strncmp(flag->name, name, size) != 0)
            continue;
        if (f != FLAG_HELP && !(cli->verb->flags & FLAG_BIT(f)))
            break;
        if (cli->flags[f] != NULL && f != FLAG_HEADER) {
            say(cli, "--%s is given twice", flag->name);
            return 0;
        }
        if (flag->value == NULL && equals != NULL) {
            say(cli, "--%s takes no value", flag->name);
            return 0;
        }
        if (flag->value != NULL && equals == NULL && count < 2) {
            say(cli, "--%s wants %s", flag->name, flag->value);
            return 0;
        }
        cli->flags[f] = flag->value == NULL ? "" : equals != NULL ? equals + 1 : words[1];
        if (f == FLAG_HEADER && !keep_header(cli))
            return 0;
        return flag->value != NULL && equals == NULL ? 2 : 1;
    }
    const char *near = nearest_flag(cli->verb, name);
    if (near != NULL)
        say(cli, "%s: unknown flag '%s'; did you mean '--%s'?", cli->verb->name, words[0], near);
    else
        say(cli, "%s: unknown flag '%s'; 'neap %s --help' lists them", cli->verb->name, words[0], cli->verb->name);
    return 0;
}

static int check_word_count(struct cli *cli)
{
    if (cli->flags[FLAG_HELP] != NULL)
        return CLI_OK;
    if (cli->word_count >= cli->verb->word_count_min && cli->word_count <= cli->verb->word_count_max)
        return CLI_OK;
    bool few = cli->word_count < cli->verb->word_count_min;
    say(cli, "%s: %s: neap %s %s", cli->verb->name, few ? "something is missing" : "too many words", cli->verb->name,
        cli->verb->words);
    return CLI_USAGE;
}

static bool are_short(struct cli *cli, int count, char **words)
{
    if (count > 0 && strcmp(words[0], "send") == 0)
        return true; /* events are as long as they are; its names are looked at there */
    for (int i = 0; i < count; i++) {
        if (strlen(words[i]) > CLI_WORD_SIZE_MAX) {
            say(cli, "'%.20s...' is longer than %u bytes", words[i], CLI_WORD_SIZE_MAX);
            return false;
        }
    }
    return true;
}

int cli_parse(struct cli *cli, int count, char **words)
{
    if (!are_short(cli, count, words))
        return CLI_USAGE;
    if (count == 0) {
        cli_help(cli);
        return CLI_USAGE;
    }
    static char help_word[] = "help", version_word[] = "version";
    if (strcmp(words[0], "--help") == 0 || strcmp(words[0], "-h") == 0)
        words[0] = help_word;
    if (strcmp(words[0], "--version") == 0)
        words[0] = version_word;
    int at = (int)match_verb(cli, count, words);
    if (at == 0)
        return unknown_verb(cli, count, words);
    bool only_words = false;
    char letter[32];
    while (at < count) {
        if (!only_words && strcmp(words[at], "--") == 0) {
            only_words = true;
            at++;
        } else if (!only_words && words[at][0] == '-' &&
                   (words[at][1] == '-' || flag_of_letter(cli, words[at], letter) != NULL)) {
            if (words[at][1] != '-')
                words[at] = letter;
            int taken = take_flag(cli, count - at, words + at);
            if (taken == 0)
                return CLI_USAGE;
            at += taken;
        } else if (!only_words && words[at][0] == '-' && words[at][1] != '\0') {
            say(cli, "%s: unknown flag '%s'; flags are written out: --help", cli->verb->name, words[at]);
            return CLI_USAGE;
        } else if (cli->word_count == CLI_WORD_COUNT_MAX) {
            say(cli, "%s: too many words: neap %s %s", cli->verb->name, cli->verb->name, cli->verb->words);
            return CLI_USAGE;
        } else {
            cli->words[cli->word_count++] = words[at++];
        }
    }
    return check_word_count(cli);
}

/* ---- values ---- */

bool cli_number(struct cli *cli, enum cli_flag flag, uint64_t most, uint64_t *number)
{
    const char *text = cli->flags[flag];
    if (text == NULL)
        return true;
    uint64_t n = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9' && n <= most / 10; at++)
        n = n * 10 + (uint64_t)(*at - '0');
    if (at == text || *at != '\0' || n > most) {
        say(cli, "--%s: '%s' is no number from 0 to %llu", cli_flag_helps[flag].name, text, (unsigned long long)most);
        return false;
    }
    *number = n;
    return true;
}

static bool read_duration(const char *text, int64_t *ns)
{
    static const struct {
        const char *unit;
        int64_t ns;
    } units[] = { { "ms", NS_PER_MS },
                  { "s", NS_PER_S },
                  { "m", 60 * NS_PER_S },
                  { "h", 3600 * NS_PER_S },
                  { "d", 86400 * NS_PER_S } };
    char *end;
    double n = text[0] >= '0' && text[0] <= '9' ? strtod(text, &end) : -1;
    for (uint32_t i = 0; n > 0 && n < 1e9 && i < COUNT_OF(units); i++) {
        if (strcmp(end, units[i].unit) == 0 && n * (double)units[i].ns < 9e18) {
            *ns = (int64_t)(n * (double)units[i].ns);
            return true;
        }
    }
    return false;
}

bool cli_duration(struct cli *cli, enum cli_flag flag, int64_t *ns)
{
    const char *text = cli->flags[flag];
    if (text == NULL || read_duration(text, ns))
        return true;
    say(cli, "--%s: '%s' is no time such as 250ms, 5s, 2m or 1h", cli_flag_helps[flag].name, text);
    return false;
}

/* People leave the seconds out: 2026-11-20T10:00Z. */
static bool read_moment(const char *text, wall_time *ret_time)
{
    static const size_t minutes_size = sizeof "2026-11-20T10:00" - 1;
    char whole[48];
    if (rfc3339_read(bytes_of_text(text), ret_time))
        return true;
    if (strlen(text) <= minutes_size || strlen(text) > sizeof whole - 4 || text[minutes_size] == ':')
        return false;
    snprintf(whole, sizeof whole, "%.*s:00%s", (int)minutes_size, text, text + minutes_size);
    return rfc3339_read(bytes_of_text(whole), ret_time);
}

bool cli_time(struct cli *cli, enum cli_flag flag, const char *text, wall_time *ret_time)
{
    int64_t ns;
    if (read_duration(text, &ns)) {
        ret_time->ms = io_wall(cli->io).ms - ns / NS_PER_MS;
        return true;
    }
    if (read_moment(text, ret_time))
        return true;
    say(cli, "--%s: '%s' is neither a time such as 2026-11-20T10:00Z nor so long ago: 10m", cli_flag_helps[flag].name,
        text);
    return false;
}
