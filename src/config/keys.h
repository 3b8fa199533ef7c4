/* keys.h - the grammar of a pipeline file as one table: what may stand where, of which type, and what it is for.
 *
 * Checking, the JSON Schema and the reference are all driven by it. A key that is not in it does not exist. */
#ifndef CONFIG_KEYS_H
#define CONFIG_KEYS_H

#include "base/bytes.h"

/* What a map in the file can be. */
enum scope {
    IN_FILE,
    IN_NODE,
    IN_TOPIC,
    IN_POOL,
    IN_RETENTION,
    IN_DURABILITY,
    IN_PIPELINE,
    IN_BRANCH,
    IN_SOURCE,
    IN_SOURCE_FILE,
    IN_SOURCE_STDIN,
    IN_STAGE,
    IN_STAGE_DEDUP,
    IN_STAGE_PLUGIN,
    IN_STAGE_EXEC,
    IN_STAGE_CALL,
    IN_CACHE,
    IN_SINK,
    IN_SINK_SQLITE,
    IN_SINK_FILE,
    IN_SINK_STDOUT,
    IN_SINK_TOPIC,
    IN_DEFAULTS,
    IN_LIMIT,
    IN_RETRY,
    IN_BREAKER,
    SCOPE_COUNT
};

/* How a value is read, and the C type it becomes. */
enum key_type {
    KEY_TEXT,    /* const char * */
    KEY_PATH,    /* const char *: relative to the file's folder */
    KEY_NAME,    /* const char *: of a pipeline, a topic or a stage */
    KEY_BOOL,    /* bool */
    KEY_SIZE,    /* uint64_t, in bytes */
    KEY_COUNT,   /* uint32_t within least and most */
    KEY_DURATION, /* int64_t, in milliseconds, within least and most */
    KEY_DISK,    /* struct config_disk: a size, or a share of the disk */
    KEY_CHOICE,  /* an enum (or bool): `first` plus the index among `choices` */
    KEY_EXPR,    /* struct config_expr */
    KEY_SCRIPT,  /* struct config_expr: a Lua script with process(event) */
    KEY_EXPRS,   /* struct config_named_expr[]: a map of names to expressions */
    KEY_COLUMNS, /* the same, or a list of field names */
    KEY_FIELDS,  /* const char *[] */
    KEY_BLOCK,   /* a map of scope `of`, read into the same struct (node) or the component's own */
    KEY_NAMED,   /* an array of structs of scope `of`: a map of names */
    KEY_LIST,    /* an array of structs of scope `of`: a list */
    KEY_RETENTION, /* struct config_retention: a word, a duration, a size, or a map of scope `of` */
    KEY_DURABILITY, /* struct config_durability: a word, or a map of scope `of` */
    KEY_SHARE,   /* uint32_t: percent, within least and most */
    KEY_RATE,    /* struct config_limit: so many in a time */
    KEY_COUNTS,  /* struct config_counts: a number or a range of them, within least and most */
    KEY_TIMES,   /* struct config_times: a duration or a range of them, within least and most */
    KEY_OUTCOMES, /* struct outcome_list */
    KEY_COMMAND, /* const char *[]: a program and its arguments; a text is one for /bin/sh */
    KEY_TEXT_OR_EXPR, /* struct config_text: a text, or {expr: EXPR} */
    KEY_HEADERS, /* struct config_header[]: a map of names to the same */
    KEY_DATA,    /* const char *: any value, as JSON */
    KEY_TYPE_COUNT
};

struct key {
    enum scope scope;
    const char *name;
    enum key_type type;
    bool kind;            /* says what the component is: exactly one of these stands in it; the enum becomes `first` */
    bool required;
    size_t at, size;      /* the member: offset and size */
    size_t count_at;      /* of its count, for arrays */
    enum scope of;        /* of KEY_BLOCK, KEY_NAMED, KEY_LIST, KEY_RETENTION, KEY_DURABILITY */
    const char *bare;     /* of KEY_BLOCK: the key that a bare text stands for */
    const char *choices;  /* of KEY_CHOICE: "a|b|c" */
    int first;
    uint64_t least, most; /* of KEY_COUNT, KEY_SIZE, KEY_DURATION, KEY_DISK; most also bounds arrays */
    const char *fallback; /* read as if it had been written; NULL: none */
    const char *absent;   /* for the reference, where the default is not a text: "the pipeline's name" */
    const char *what;     /* of expressions: names it in messages ("source key") */
    const char *doc, *example;
};

#define NO_MEMBER SIZE_MAX

struct scope_info {
    const char *name;   /* "stage": for "unknown stage"; also its name in the schema */
    const char *noun;   /* "a stage" */
    const char *title;  /* heading in the reference; NULL: told with its kind */
    const char *doc;
    size_t size, name_at, place_at; /* of the struct; NO_MEMBER */
};

extern const struct key keys[];
extern const size_t key_count; /* of one scope at most 64, first to last: a set of them is a uint64_t */
extern const struct scope_info scopes[SCOPE_COUNT];

const struct key *key_find(enum scope scope, struct bytes name); /* NULL: no such key */
const struct key *key_next(enum scope scope, const struct key *after); /* in table order; NULL begins, and ends */
bool              scope_has_kinds(enum scope scope);
/* The name belongs to the whole grammar, but not to this version; and whether it is a kind there. */
bool              key_is_of_later_version(enum scope scope, struct bytes name, bool *ret_kind);
/* The index-th of "a|b|c"; {NULL, 0} past the last. */
struct bytes      choice_at(const char *choices, uint32_t index);

#endif
