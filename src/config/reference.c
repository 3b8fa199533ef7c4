/* reference.c - the table of keys as a page for people. */
#include "base/must.h"
#include "config/config.h"
#include "config/keys.h"
#include "config/limits.h"
#include "config/manners.h"
#include "config/out.h"
#include "flow/script.h"
#include <stdio.h>

static const char intro[] =
    "# The pipeline file\n"
    "\n"
    "<!-- Written by scripts/docs from the table of keys in src/config/keys.c; change it there. -->\n"
    "\n"
    "A pipeline file is YAML. It says where events come from, what happens to them on their way, and where they go.\n"
    "`neap check FILE` reads it as `neap run` does and says everything that is wrong with it at once.\n"
    "\n"
    "```yaml\n"
    "node: {data: ./data, memory: 64MiB}\n"
    "pipelines:\n"
    "  commits:\n"
    "    source:\n"
    "      file: {path: commits.ndjson}\n"
    "      key: event.author\n"
    "      id: event.id\n"
    "    stages:\n"
    "      - filter: event.files > 0\n"
    "      - map: {churn: event.added + event.removed}\n"
    "    sink:\n"
    "      sqlite: {path: commits.db, table: commits, key: [id], columns: [id, author, churn]}\n"
    "```\n"
    "\n"
    "## How values are read\n"
    "\n"
    "- A list where order matters, a map where names matter. Unknown and repeated keys are errors.\n"
    "- A source, a stage or a sink is a map with exactly one kind in it. A kind with one obvious setting takes it "
    "bare:\n"
    "  `file: orders.ndjson` is `file: {path: orders.ndjson}`.\n"
    "- Scalars are text; the key's type reads them, so `no` is a word. Sizes have a unit: `64KiB`, `512MiB`, `1GiB`; "
    "times\n"
    "  too: `250ms`, `30s`, `5m`, `24h`, `7d`; so have shares, `20%`, and rates, `500/s`; a bare number there is an "
    "error. "
    "A range is\n"
    "  `a..b`: `100ms..30s`, `8..256`.\n"
    "- Relative paths are relative to the file's own folder.\n"
    "- Names of pipelines, topics and stages have letters (a to z), digits, `.`, `_` and `-`, up to 249 of them.\n"
    "- `${NAME}` and `${NAME:-default}` put environment variables into values, `${file:PATH}` a file without its last "
    "line\n"
    "  break; after parsing, never in expressions (there: `env.NAME`). A variable that is not set and has no default "
    "is an\n"
    "  error. Quote them inside `{...}`.\n"
    "- Anchors, aliases and `<<` work as in YAML; keys at the top that begin with `x-` are ignored and can hold them.\n"
    "\n"
    "## Expressions\n"
    "\n"
    "An expression is Lua 5.4 over `event key id headers time topic partition offset attempt env`, without clock, "
    "chance,\n"
    "files or network. A missing field and JSON null are nil, and only false and nil are false: `filter: event.n` "
    "keeps 0.\n"
    "An expression that fails makes its event a dead letter that names file, line, column and what was nil.\n"
    "\n"
    "YAML looks at the text first. Quote an expression with `: ` or ` #` in it, or, inside `{...}`, with any of `, [ ] "
    "{ }`:\n"
    "\n"
    "```yaml\n"
    "filter: 'event.title == \"a: b\"'\n"
    "map: {top: 'math.max(event.a, event.b)'}\n"
    "```\n";

static const char *type_name(const struct key *key)
{
    static const char *const names[KEY_TYPE_COUNT] = {
        [KEY_TEXT] = "text",
        [KEY_PATH] = "path",
        [KEY_NAME] = "name",
        [KEY_BOOL] = "true or false",
        [KEY_SIZE] = "size",
        [KEY_COUNT] = "number",
        [KEY_DURATION] = "time",
        [KEY_DISK] = "size or share",
        [KEY_RETENTION] = "`done`, `forever`, time, size, or map",
        [KEY_DURABILITY] = "`fsync`, `interval`, or map",
        [KEY_CHOICE] = "one of",
        [KEY_EXPR] = "expression",
        [KEY_SCRIPT] = "script",
        [KEY_EXPRS] = "names: expressions",
        [KEY_COLUMNS] = "names: expressions, or a list of fields",
        [KEY_FIELDS] = "list of names",
        [KEY_BLOCK] = "map",
        [KEY_NAMED] = "names: maps",
        [KEY_LIST] = "list of maps",
        [KEY_SHARE] = "share",
        [KEY_RATE] = "rate",
        [KEY_COUNTS] = "number, or a range of them",
        [KEY_TIMES] = "time, or a range of them",
        [KEY_OUTCOMES] = "list of statuses and words",
        [KEY_COMMAND] = "text, or a list of them",
        [KEY_TEXT_OR_EXPR] = "text, or `{expr: EXPR}`",
        [KEY_HEADERS] = "names: texts, or `{expr: EXPR}`",
        [KEY_DATA] = "any value",
    };
    must(names[key->type] != NULL);
    if (key->type == KEY_BLOCK && key_next(key->of, NULL) == NULL)
        return "{}";
    return key->type == KEY_BLOCK && key->bare != NULL ? "map or path" : names[key->type];
}

static void write_type(const struct out *out, const struct key *key)
{
    struct bytes choice;
    if (key->type == KEY_BLOCK && key->bare != NULL && strcmp(key->bare, "rate") == 0)
        out_text(out, "map or rate");
    else if (key->type == KEY_BLOCK && key->bare != NULL && strcmp(key->bare, "command") == 0)
        out_text(out, "map or command");
    else if (key->type == KEY_BLOCK && key->bare != NULL && strcmp(key->bare, "url") == 0)
        out_text(out, "map or text");
    else if (key->type == KEY_BLOCK && key->bare != NULL && strcmp(key->bare, "name") == 0)
        out_text(out, "map or name");
    else if (key->type != KEY_CHOICE)
        out_text(out, type_name(key));
    else
        for (uint32_t i = 0; (choice = choice_at(key->choices, i)).at != NULL; i++)
            out_format(out, "%s`%.*s`", i == 0 ? "" : ", ", (int)choice.size, (const char *)choice.at);
    if ((key->type == KEY_COUNT || key->type == KEY_COUNTS) && key->most > key->least)
        out_format(out, ", %llu to %llu", (unsigned long long)key->least, (unsigned long long)key->most);
}

static void write_default(const struct out *out, const struct key *key)
{
    if (key->required)
        out_text(out, "required");
    else if (key->fallback != NULL)
        out_format(out, "`%s`", key->fallback);
    else
        out_text(out, key->absent == NULL ? "-" : key->absent);
}

static void write_row(const struct out *out, const struct key *key, const char *indent)
{
    out_format(out, "| %s`%s` | ", indent, key->name);
    write_type(out, key);
    out_text(out, " | ");
    if (key->kind)
        out_text(out, "a kind");
    else
        write_default(out, key);
    out_format(out, " | %s | `%s` |\n", key->doc, key->example);
}

/* Of a map inside a kind. */
static void write_inner(const struct out *out, const struct key *key, const char *outer)
{
    char indent[80];
    snprintf(indent, sizeof indent, "%s%s: ", outer, key->name);
    for (const struct key *in = key_next(key->of, NULL); in != NULL; in = key_next(key->of, in))
        write_row(out, in, indent);
}

static void write_table(const struct out *out, enum scope scope, bool kinds)
{
    out_text(out, "\n| key | value | default | what it is for | for example |\n| --- | --- | --- | --- | --- |\n");
    for (const struct key *key = key_next(scope, NULL); key != NULL; key = key_next(scope, key)) {
        if (key->kind != kinds)
            continue;
        write_row(out, key, "");
        bool has_own = (key->kind && key->type == KEY_BLOCK) || key->type == KEY_RETENTION ||
                       key->type == KEY_DURABILITY || (scope == IN_DEFAULTS && key->type == KEY_BLOCK);
        for (const struct key *in = has_own ? key_next(key->of, NULL) : NULL; in != NULL; in = key_next(key->of, in)) {
            char indent[40];
            snprintf(indent, sizeof indent, "%s: ", key->name);
            write_row(out, in, indent);
            if (in->type == KEY_BLOCK && in->of == IN_CACHE)
                write_inner(out, in, indent);
        }
    }
}

static bool has_beside(enum scope scope)
{
    for (const struct key *key = key_next(scope, NULL); key != NULL; key = key_next(scope, key))
        if (!key->kind)
            return true;
    return false;
}

static const char calls_in_words[] =
    "\n"
    "### Calls\n"
    "\n"
    "A `call` sends the event's JSON to its `url`, and with `into` the JSON of the answer becomes a field of it. "
    "Events of one key\n"
    "are asked for one at a time and in order, as many keys at once as `concurrency` says. A redirect is an answer, "
    "and not\n"
    "followed; certificates are verified.\n"
    "\n"
    "- **Delivered** is a status from 200 to 299, with a body that is JSON where there is `into`. Without `into` the "
    "body is read and\n"
    "  dropped.\n"
    "- **Tried again** is what `retry` calls transient, and what has no status: `timeout`, `connect`, `dns`, `tls`, "
    "`reset`, and\n"
    "  `answer` (no HTTP, no JSON, too large). After its last attempt the event is a dead letter, with that word as "
    "its reason, or\n"
    "  `unavailable` where there was a status.\n"
    "- **Refused** is what `retry` calls permanent: a dead letter at once, reason `refused`.\n"
    "- **Told to come later** is a 429. It costs no attempt, and neither does an open breaker, nor a call that only "
    "looks whether\n"
    "  the server works again, nor a limit or a retry budget that is used up: the event waits, and so do those behind "
    "it.\n"
    "  `Retry-After` is honoured, for the event and for its destination.\n"
    "\n"
    "Breaker, limit, budget and adaptive concurrency are kept for each destination (scheme, host and port), together "
    "for all calls\n"
    "that have the same manners. While the breaker is open nothing is called, and nothing gives up: events stay in "
    "their topic. With\n"
    "a `fallback` they go on with that instead, as they do when their last attempt has failed transiently; what was "
    "refused is a\n"
    "dead letter all the same. An old answer of the cache (`stale`) comes before the fallback.\n"
    "\n"
    "A call may reach the server twice: after a timeout, or a crash. Each has an `Idempotency-Key`, which is the same "
    "for an event at\n"
    "this stage in each attempt and after each restart, and differs from those of all other events, stages and data "
    "directories. An\n"
    "event that is redriven from the dead letters comes anew, with another one.\n"
    "\n"
    "A `url` out of an event leads to public addresses only, whatever its name said when it was looked up: never to "
    "this machine,\n"
    "private networks or the cloud's metadata, unless `allow_private_network` says so. Such an event is a dead letter, "
    "`refused`.\n"
    "\n"
    "The answers that are at work at once share 1/16 of `node.memory`, with 16KiB each at least: `neap explain` says "
    "how large\n"
    "one may be.\n";

static const char topics_in_words[] =
    "\n"
    "### How long events stay\n"
    "\n"
    "Every topic has a retention. A topic that is made for a pipeline's own source keeps an event until each pipeline "
    "that\n"
    "reads it is done with it: delivered, filtered, or in the dead letters. Dead letters stay until they are looked "
    "after, or\n"
    "for the time that `topics` gives them. Any other topic keeps its events for seven days, as in Kafka. Times count "
    "from when\n"
    "an event came in, by the node's own clock. A clock that jumps more than a day ahead is not believed for a day: "
    "until\n"
    "then nothing is freed by time. That holds for one that was set while the node was down, too.\n"
    "\n"
    "Events that came in while the clock was ahead, and from then on until it has come there again, age by the time "
    "that "
    "the node\n"
    "runs, an eighth slower. Hours when it was off do not count for them, nor do those between the last event and a "
    "stop:\n"
    "nobody can tell such hours from a clock that was set. They are kept longer for it, never shorter.\n"
    "\n"
    "Whoever may have to put a database back to the state of a backup, or to deliver\n"
    "everything again, gives the source's topic a time: `done` keeps nothing for that.\n"
    "\n"
    "What a pipeline still has to process is never freed, whatever the retention says: a sink that is down costs disk, "
    "not\n"
    "events. It holds partitions that its topic is given later from their first event on, also while it does not run. "
    "`neap status`\n"
    "names the pipeline that holds back the oldest events. One that was taken out of the file holds its\n"
    "place too, until its group is deleted.\n"
    "\n"
    "What is written here holds from the next start on, for topics that are there already too. What is not written "
    "stays as it\n"
    "is: to take out a line frees nothing. Partitions can become more, never fewer. With more of them most keys move "
    "to "
    "another\n"
    "partition, as in Kafka; so where a topic has events with keys, `move_keys: true` has to consent, and every "
    "pipeline that\n"
    "reads it has to be done with what is there, so that no later event of a key overtakes an earlier one.\n";

/* Who keeps which manners, as the table has it. */
static void write_takers(const struct out *out)
{
    static const enum scope roles[] = { IN_STAGE, IN_SINK };
    out_text(out, "\nThey hold for the kinds that can keep them, and for no others; one at a pipeline or in `defaults` "
                  "that holds "
                  "for\nnothing there is told by `neap check`:\n\n| kind | manners |\n| --- | --- |\n");
    for (size_t i = 0; i < COUNT_OF(roles); i++)
        for (const struct key *kind = key_next(roles[i], NULL); kind != NULL; kind = key_next(roles[i], kind)) {
            const char *before = "";
            for (const struct key *key = key_next(IN_DEFAULTS, NULL); key != NULL; key = key_next(IN_DEFAULTS, key)) {
                if (!kind->kind || !manner_is_kept(kind, key->name, NULL))
                    continue;
                if (before[0] == '\0')
                    out_format(out, "| %s `%s` | ", scopes[roles[i]].name, kind->name);
                out_format(out, "%s`%s`", before, key->name);
                before = ", ";
            }
            out_text(out, before[0] != '\0' ? " |\n" : "");
        }
}
static const char scripts_in_words[] =
    "\n"
    "### Scripts\n"
    "\n"
    "```yaml\n"
    "stages:\n"
    "  - lua: |\n"
    "      local vat = {CH = 0.081, DE = 0.19}\n"
    "      function process(event)\n"
    "        if event.test then return end                   -- filtered\n"
    "        local lines = {}\n"
    "        for i, line in ipairs(event.lines) do           -- one event for each line of the order\n"
    "          lines[i] = {order = event.id, no = i, sku = line.sku, total = line.price * (1 + vat[event.country])}\n"
    "        end\n"
    "        return table.unpack(lines)\n"
    "      end\n"
    "```\n"
    "\n"
    "`process(event)` gives nothing, and the event is filtered; one table, and that is the event from then on; or "
    "several, "
    "and each\n"
    "goes on by itself. An event that became several still counts once: delivered when all that came of it has landed, "
    "in one "
    "batch of\n"
    "its sink, and in the dead letters, as it came, when any of them fails or is refused; `produced` counts what "
    "landed. Key, "
    "id, headers\n"
    "and time stay those of the event, whose names a script has as an expression has them. At most %u come of one "
    "event, and "
    "none in front\n"
    "of a stage that waits, which takes one at a time: let the pipeline end in branches or a topic there.\n"
    "\n"
    "Everything else is as in expressions: the same functions, 1,000,000 instructions and a share of `memory` for each "
    "event, "
    "no clock,\n"
    "chance or I/O, `pairs` in one order. The script begins anew with each event: a local of its own is set again, a "
    "global "
    "cannot be\n"
    "set, so nothing is kept from one event to the next. An event that it fails on is a dead letter, `lua`, with file, "
    "line "
    "and calls.\n"
    "\n"
    "The event cannot be assigned to; `copy(event)` gives a table that can, with the same fields. A part of an event "
    "that is "
    "passed on as\n"
    "it is keeps all its values. Of what is built anew: the fields of a table are written in the order of their names; "
    "integers stay\n"
    "integers, floats have a point (`3.0`, `7 // 2` is `3`), integers beyond 64 bits signed become floats; a missing "
    "field "
    "and null are\n"
    "both nil, and `null` writes a null (`copy` keeps those that are there); `{}` is an object, and `array{}` an "
    "array, "
    "with items or\n"
    "without.\n";

static const char branches_in_words[] =
    "\n"
    "### How branches work\n"
    "\n"
    "Each branch reads what the pipeline accepted, and does its part of the way by itself ([an "
    "example](../examples/branches/neap.yaml)):\n"
    "\n"
    "- Where all stages before the branches are inline (`filter map keep remove lua`), each branch reads the "
    "pipeline's "
    "own "
    "topic and\n"
    "  runs them itself. An event that fails in one of them gives up in every branch: a dead letter each, because none "
    "of "
    "them has\n"
    "  had it, and each can be tried again.\n"
    "- A stage that waits or remembers, such as `call`, `exec` or `plugin`, runs once. What comes out of it becomes "
    "durable, with key, "
    "id "
    "and headers,\n"
    "  in topic PIPELINE.out, which the branches read. It has as many partitions as the one before, and keeps an event "
    "until the\n"
    "  last branch is done with it.\n"
    "- In a `route` each branch asks the `if` of those before it first. Where that fails nobody knows whose the event "
    "is: "
    "it gives up\n"
    "  in the branch that the `if` belongs to and in those behind it, and goes to none by mistake.\n"
    "- The ledger of a branch counts every event of what it reads: what it did not take is `filtered`. In the ledger "
    "of a "
    "pipeline\n"
    "  whose branches read its own topic, an event is `in_flight` until the last branch has settled it, and "
    "`delivered` "
    "from then on:\n"
    "  what became of it stands in the branches' lines. Lines that never became events count there alone.\n"
    "- What a branch does not say about its order, its claim, its dead letters and its manners, it has from its "
    "pipeline.\n"
    "- A branch that is added later begins where its pipeline is, at the place of the branch that is furthest behind; "
    "with\n"
    "  `start: earliest` at the first event that is kept. A pipeline that had a `sink` and is given branches goes on "
    "where "
    "it was.\n"
    "- A branch that is taken out of the file is waited for no longer, from the next start on: what only it had still "
    "to "
    "process may\n"
    "  be freed. Its group stays until it is deleted; put back into the file, it goes on where it was, or stops and "
    "says "
    "so where that\n"
    "  is no longer kept. Renamed, it is a new one, unless `was` says which it was.\n"
    "- A branch that comes to read another topic, because the first stage that waits was put in front of the branches "
    "or "
    "taken away,\n"
    "  leaves unprocessed events behind in the former one: they are kept, and the log of the node says so. Let it run "
    "until it is idle\n"
    "  before such a change.\n";

void config_write_reference(void (*write)(void *ctx, struct bytes text), void *ctx)
{
    const struct out out = { write, ctx };
    out_text(&out, intro);
    for (enum scope scope = 0; scope < SCOPE_COUNT; scope++) {
        if (scopes[scope].title == NULL)
            continue;
        out_format(&out, "\n## %s\n\n%s\n", scopes[scope].title, scopes[scope].doc);
        if (scope_has_kinds(scope))
            write_table(&out, scope, true);
        if (scope_has_kinds(scope) && has_beside(scope))
            out_text(&out, "\nBeside the kind:\n");
        if (has_beside(scope))
            write_table(&out, scope, false);
        if (scope == IN_STAGE)
            out_text(&out, calls_in_words);
        if (scope == IN_TOPIC)
            out_text(&out, topics_in_words);
        if (scope == IN_DEFAULTS)
            write_takers(&out);
        if (scope == IN_BRANCH)
            out_text(&out, branches_in_words);
        if (scope == IN_STAGE)
            out_format(&out, scripts_in_words, SCRIPT_OUTPUT_COUNT_MAX);
    }
    out_format(&out,
               "\n## Limits\n\n"
               "A file has at most %u KiB, %u pipelines (with their branches %u, of one list %u, %u deep), %u topics, "
               "and %u lists and\n"
               "maps inside each other; a pipeline at most %u stages, a branch with those that it shares; a `map`, "
               "`keep` or `remove` at most %u names; a table at most %u columns; a value at most "
               "%u KiB.\n"
               "\n"
               "A pipeline that delivers again what lies far below its commit point (`start: earliest`, or a database "
               "of yesterday)\n"
               "remembers up to 131,072 dead letters of earlier runs that lie scattered among it, so that they are not "
               "tried again; where\n"
               "there are more it stops and says how to go on.\n",
               CONFIG_FILE_SIZE_MAX >> 10, CONFIG_PIPELINE_COUNT_MAX, CONFIG_CONSUMER_COUNT_MAX,
               CONFIG_BRANCH_COUNT_MAX, CONFIG_BRANCH_DEPTH_MAX, CONFIG_TOPIC_COUNT_MAX, CONFIG_DEPTH_MAX,
               CONFIG_STAGE_COUNT_MAX, CONFIG_FIELD_COUNT_MAX, CONFIG_COLUMN_COUNT_MAX, CONFIG_TEXT_SIZE_MAX >> 10);
}
