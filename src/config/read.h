/* read.h - a tree becomes structs, driven by the table of keys. What one value can be wrong about is said here; what
 * several values mean together is meaning.h's.
 *
 * owner    config_parse(); gone when it returns
 * memory   what it gives lies in `arena`, the configuration's
 * errors   into the messages; `starved` when memory ran out: then nothing here is complete
 * promise  every array it fills has only read elements; what was wrong is NULL or its default */
#ifndef CONFIG_READ_H
#define CONFIG_READ_H

#include "config/keys.h"
#include "config/tree.h"
#include "flow/expr.h"
#include "io/io.h"

struct reading {
    struct io *io;              /* NULL: no environment, no files */
    const char *file, *folder;
    struct bytes text;          /* the file */
    struct arena *arena;
    struct config_messages *messages;
    struct expr_machine *machine; /* to compile with: nothing is kept of it */
    uint8_t *scratch;           /* CONFIG_TEXT_SIZE_MAX bytes, for putting values together */
    bool starved;
};

/* Reads `node` (NULL: not written, so only defaults) as a map of `scope` into the struct at `into`. */
void read_scope(struct reading *r, enum scope scope, const struct tree_node *node, struct config_place place, void *into);

/* ---- values: each says what is wrong with the node, and answers false ------------------------------------------------- */

void *read_take(struct reading *r, size_t size); /* zeroed; NULL: starved */
/* A text with ${...} put in; never empty unless it was quoted. */
bool  read_text(struct reading *r, const struct key *key, const struct tree_node *node, struct bytes *ret_text);
bool  read_scalar(struct reading *r, const struct key *key, const struct tree_node *node, void *into);
/* Any value as JSON: what is plain and looks like a number, true, false or null is that; all else is a text. */
bool  read_data(struct reading *r, const struct key *key, const struct tree_node *node, const char **ret_json);
bool  read_expr(struct reading *r, const char *what, const char *name, const struct tree_node *node,
                struct config_expr *ret_expr);
bool  read_script(struct reading *r, const char *what, const struct tree_node *node, struct config_expr *ret_script);
/* The default of `key`, as if it had been written. */
void  read_fallback(struct reading *r, const struct key *key, void *into);
/* `path` as seen from `folder`; "." and doubled slashes are gone. NULL: starved. */
const char *read_path(struct reading *r, struct bytes path);
/* What is wrong with a name of a pipeline or a topic, by the log's own rule; NULL: nothing. A NUL follows `name`. */
const char *name_problem(struct bytes name);

#endif
