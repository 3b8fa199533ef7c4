/* tree.h - YAML text as a tree of texts, lists and maps, each with its place in the file.
 *
 * owner    whoever reads the file; read-only once built
 * memory   an arena of the caller's
 * limits   config/limits.h: depth, keys of a map, anchors, weight (an alias weighs what it stands for: no small file
 *          unfolds into a large tree)
 * errors   into the messages, with their place: text that is not YAML, tags, repeated keys, a second document
 * promise  aliases and merge keys are resolved: who walks the tree meets neither. No key stands in a map twice */
#ifndef CONFIG_TREE_H
#define CONFIG_TREE_H

#include "base/arena.h"
#include "base/bytes.h"
#include "config/config.h"

enum tree_kind { TREE_TEXT, TREE_LIST, TREE_MAP };
enum tree_style { TREE_PLAIN, TREE_QUOTED, TREE_BLOCK };

struct tree_node {
    enum tree_kind kind;
    enum tree_style style;     /* of a text */
    bool in_flow;              /* written inside {...} or [...] */
    bool open;                 /* being built: an alias to it would never end */
    struct config_place place; /* of the first character of the text itself, behind quote or `|`; of the first item */
    uint32_t start, end;       /* bytes of the file that the text was written in, quotes included */
    uint32_t weight;
    uint32_t count;            /* of items */
    struct bytes text;         /* a NUL follows */
    struct tree_item *items, *last;
};

struct tree_item {
    struct tree_node *key; /* a text; NULL in a list */
    struct tree_node *value;
    struct tree_item *next;
};

/* NULL: the text is not one YAML document within the limits (an error is among the messages), holds none at all, or memory ran
 * out: ret_starved. */
struct tree_node *tree_read(struct bytes text, struct arena *arena, struct config_messages *messages, bool *ret_starved);
struct tree_item *tree_find(const struct tree_node *map, const char *key); /* NULL: not there, or not a map */
/* Follows keys as far as they lead ("sink", "sqlite", "mode"; NULL ends) and answers the place of the last one's value. */
struct config_place tree_place(const struct tree_node *node, const char *const *keys);

#endif
