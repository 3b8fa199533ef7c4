/* cli.h - the command: its words, where they lead, how it speaks.
 *
 * owner    main(); one thread
 * memory   struct cli; tables and lines as they are printed
 * limits   CLI_WORD_COUNT_MAX words beside flags, names and values of flags of CLI_WORD_SIZE_MAX; an answer line of
 *          CLI_LINE_SIZE_MAX
 * errors   become exit codes by cli_exit_of(), and one line "neap: ..." on standard error
 * promise  standard output is the answer, standard error the talk; colour and progress only on a terminal */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "base/bytes.h"
#include "base/error.h"
#include "base/json.h"
#include "io/io.h"

#define CLI_WORD_COUNT_MAX 1024u
#define DOCTOR_LOSS_COUNT_MAX 64u      /* named in one repair */
#define CLI_HEADER_COUNT_MAX 16u         /* of one event that is sent */
#define CLI_WORD_SIZE_MAX  4096u         /* of a word or a flag's value; paths are no longer, either */
#define CLI_LINE_SIZE_MAX  (20u << 20)
#define CLI_TIMEOUT_NS     (30 * NS_PER_S) /* of one question, where --timeout says nothing else */
#define CLI_HELD_NS        (2 * NS_PER_S)  /* for a directory that somebody is just done with */
#define CLI_LEAVE_NS       (30 * NS_PER_S) /* for coming to an end, where everything has gone well */
#define CLI_GIVE_UP_NS     (5 * NS_PER_S)  /* and where something has not answered already */
#define CLI_VERSION        "0.1.0"

enum cli_exit {
    CLI_OK = 0,
    CLI_NO = 1,
    CLI_USAGE = 2,
    CLI_DEAD_LETTERS = 3,
    CLI_SURROUNDINGS = 4,
    CLI_DAMAGE = 5,
    CLI_STORAGE = 6,
    CLI_TIMEOUT = 7,
    CLI_PIPE = 128 + 13,
};

/* Every flag of every verb. */
enum cli_flag {
    FLAG_DATA, FLAG_NODE, FLAG_JSON, FLAG_YES, FLAG_TIMEOUT, FLAG_UNTIL_IDLE, FLAG_SUMMARY, FLAG_SUMMARY_FILE,
    FLAG_FAIL_ON_DEAD_LETTERS, FLAG_STRICT, FLAG_PARTITIONS, FLAG_PARTITION, FLAG_KEY, FLAG_FROM, FLAG_LIMIT,
    FLAG_SECONDS, FLAG_LOG, FLAG_SINCE, FLAG_FOLLOW, FLAG_TO, FLAG_DRY_RUN, FLAG_HEADER, FLAG_CREATE, FLAG_FILE,
    FLAG_RETENTION, FLAG_RETENTION_SIZE, FLAG_DURABILITY, FLAG_CLEANUP, FLAG_REPAIR,
    FLAG_REASON, FLAG_STAGE, FLAG_UNTIL, FLAG_WHERE, FLAG_OLDEST, FLAG_ALL, FLAG_RATE, FLAG_REDRIVES, FLAG_FORCE, FLAG_FOR,
    FLAG_HELP, FLAG_COUNT
};
#define FLAG_BIT(flag) (1ull << (flag))
#define FLAGS_FIND     (FLAG_BIT(FLAG_DATA) | FLAG_BIT(FLAG_NODE) | FLAG_BIT(FLAG_TIMEOUT))

struct cli;
struct cli_verb {
    const char *name;             /* "topic create" */
    const char *words;            /* "NAME [FILE]" */
    const char *summary, *example;
    uint64_t flags;
    uint32_t word_count_min, word_count_max;
    int (*run)(struct cli *cli);  /* answers the exit code */
};

struct out;
struct patience;
struct cli {
    struct io *io;
    const struct cli_verb *verb;
    const char *words[CLI_WORD_COUNT_MAX];
    uint32_t word_count;
    const char *flags[FLAG_COUNT]; /* NULL: not given; "" for one without a value */
    const char *headers[CLI_HEADER_COUNT_MAX]; /* --header, each one given */
    uint32_t header_count;
    struct out *out;
    struct patience *patience; /* NULL: nothing has been waited for yet */
    bool colour_out, colour_err;
};

/* ---- words: args.c, help.c ---- */

extern const struct cli_verb cli_verbs[]; /* the last one has no name */
struct cli_flag_help {
    const char *name, *value, *text;      /* value NULL: takes none */
    char letter;                          /* -n for --limit; 0: none */
    const char *choices;                  /* "json": what the shell offers; "FILE", "DIR": names of those */
};
extern const struct cli_flag_help cli_flag_helps[FLAG_COUNT];

/* CLI_OK and cli->verb; or CLI_USAGE, having said why. */
int  cli_parse(struct cli *cli, int count, char **words);
bool cli_number(struct cli *cli, enum cli_flag flag, uint64_t most, uint64_t *number); /* untouched when not given; false: said */
bool cli_duration(struct cli *cli, enum cli_flag flag, int64_t *ns);
/* "10m": so long ago; or a time, 2026-11-20T10:00Z or any RFC 3339. */
bool cli_time(struct cli *cli, enum cli_flag flag, const char *text, wall_time *ret_time);
/* On a terminal a person is asked `question`; elsewhere nobody can be, and only --yes will do: CLI_USAGE. CLI_OK: go on. */
int  cli_confirm(struct cli *cli, const char *destroys, const char *question);
int  cli_help(struct cli *cli);
void cli_help_verb(struct cli *cli, const struct cli_verb *verb);
int  cli_version(struct cli *cli);

/* ---- speaking: out.c ---- */

struct out *out_open(struct io *io);
void        out_write(struct cli *cli, struct bytes bytes);
void        out_print(struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Text of somebody else, for a person: on a terminal control characters are shown as \xNN. */
void        out_stranger(struct cli *cli, struct bytes text);
/* False: nobody reads any more, or it could not be written; said where it is worth saying. */
bool        out_flush(struct cli *cli);
bool        out_is_closed(const struct cli *cli);
int         out_exit(const struct cli *cli); /* its reader has left: CLI_PIPE; it takes no more: CLI_SURROUNDINGS, said */
void        out_close(struct out **out);
void        say(struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));   /* "neap: …" on stderr */
void        say_raw(struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));
int         say_error(struct cli *cli, const struct error *err);  /* answers its exit code */
void        cli_rest(struct cli *cli, int64_t ns);
int         cli_exit_of(enum neap_status status);
const char *cli_number_text(char room[32], uint64_t n);           /* 4,000 */
const char *cli_size_text(char room[32], uint64_t size);          /* 2.9 MiB */

/* ---- leaving in time, whatever does not answer: patience.c ---- */

/* From now on the process ends with `code` once it is `until`, whatever it waits for then, and says so: as if it were killed.
 * MONO_NEVER: there is all the time in the world again. */
void patience_until(struct cli *cli, mono_time until, int code);
void patience_end(struct cli *cli);

/* ---- verbs ---- */

int cli_run(struct cli *cli);
int cli_check(struct cli *cli);
int cli_status(struct cli *cli);
int cli_topic_list(struct cli *cli);
int cli_topic_describe(struct cli *cli);
int cli_topic_create(struct cli *cli);
int cli_topic_delete(struct cli *cli);
int cli_topic_append(struct cli *cli);
int cli_topic_read(struct cli *cli);
int cli_group_list(struct cli *cli);
int cli_group_describe(struct cli *cli);
int cli_dlq_list(struct cli *cli);
int cli_dlq_show(struct cli *cli);
int cli_dlq_drop(struct cli *cli);
int cli_dlq_redrive(struct cli *cli);
int cli_topic_alter(struct cli *cli);
int cli_group_reset(struct cli *cli);
int cli_group_delete(struct cli *cli);
int cli_explain(struct cli *cli);
int cli_tail(struct cli *cli);
int cli_send(struct cli *cli);
int cli_completion(struct cli *cli);
int cli_doctor(struct cli *cli);
int cli_bench(struct cli *cli);

#endif
