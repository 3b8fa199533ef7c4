/* tree.c - libyaml's events become a tree; what YAML has and a pipeline file does not want is said.
 *
 * T1  Places count lines by '\n' and columns by characters, as editors do; libyaml's own lines also end at U+2028 and
 *     the like, so only its character index is used.
 * T2  Nothing is built twice: an alias shares its anchor's node. Its weight is counted again at each use, so what a walk
 *     of the tree can meet is bounded by CONFIG_WEIGHT_MAX, whatever the file.
 * T3  Merge keys are resolved when their map closes: the map's own keys win, then earlier merges. */
#include "config/tree.h"
#include "base/must.h"
#include "config/limits.h"
#include "config/messages.h"
#include "config/traps.h"
#include <yaml.h>

#define MERGE_COUNT_MAX 16u

/* Where something is: libyaml counts characters, the file is bytes. */
struct spot {
    uint32_t chars, bytes;
};

struct frame {
    struct tree_node *node;
    struct tree_node *key; /* a map's key that waits for its value */
    struct tree_node *merges[MERGE_COUNT_MAX];
    uint32_t merge_count;
};

struct anchor {
    const char *name;
    struct tree_node *node;
};

struct builder {
    yaml_parser_t parser;
    struct bytes text;
    struct arena *arena;
    struct config_messages *messages;
    struct spot *lines; /* where each begins */
    uint32_t line_count;
    struct spot near; /* the last one asked for: the next is not far */
    struct frame frames[CONFIG_DEPTH_MAX];
    uint32_t depth, flow_depth;
    struct anchor anchors[CONFIG_ANCHOR_COUNT_MAX];
    uint32_t anchor_count;
    struct tree_node *root;
    bool given_up; /* the reason is among the messages, or memory ran out */
};

/* ---- places ------------------------------------------------------------------------------------------------------- */

static bool is_inside_char(uint8_t byte)
{
    return (byte & 0xc0) == 0x80;
}

static bool find_lines(struct builder *b)
{
    uint32_t count = 1, chars = 0;
    for (size_t i = 0; i < b->text.size; i++)
        count += b->text.at[i] == '\n';
    b->lines = arena_zero(b->arena, count * sizeof *b->lines);
    if (b->lines == NULL)
        return false;
    for (uint32_t i = 0; i < b->text.size; i++) {
        chars += !is_inside_char(b->text.at[i]);
        if (b->text.at[i] == '\n')
            b->lines[++b->line_count] = (struct spot){ chars, i + 1 };
    }
    b->line_count++;
    must(b->line_count == count);
    return true;
}

static struct spot spot_of(struct builder *b, size_t chars)
{
    struct spot s = b->near;
    while (s.chars < chars && s.bytes < b->text.size) {
        do
            s.bytes++;
        while (s.bytes < b->text.size && is_inside_char(b->text.at[s.bytes]));
        s.chars++;
    }
    while (s.chars > chars) {
        do
            s.bytes--;
        while (s.bytes > 0 && is_inside_char(b->text.at[s.bytes]));
        s.chars--;
    }
    b->near = s;
    return s;
}

static struct config_place place_of(const struct builder *b, struct spot s)
{
    uint32_t low = 0, high = b->line_count;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (b->lines[middle].bytes <= s.bytes)
            low = middle;
        else
            high = middle;
    }
    must(s.chars >= b->lines[low].chars);
    return (struct config_place){ low + 1, s.chars - b->lines[low].chars + 1 };
}

static struct config_place place_of_mark(struct builder *b, yaml_mark_t mark)
{
    return place_of(b, spot_of(b, mark.index));
}

static uint8_t byte_at(const struct builder *b, uint32_t at)
{
    return at < b->text.size ? b->text.at[at] : '\0';
}

static bool is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t';
}

static bool is_break(uint8_t byte)
{
    return byte == '\n' || byte == '\r';
}

/* One character on, for bytes that are known to be ASCII. */
static void step(struct spot *s)
{
    s->bytes++;
    s->chars++;
}

static void skip_to_break(const struct builder *b, struct spot *s)
{
    for (; s->bytes < b->text.size && byte_at(b, s->bytes) != '\n'; s->bytes++)
        s->chars += !is_inside_char(byte_at(b, s->bytes));
}

/* libyaml's mark of an anchored value is that of `&name`. */
static void skip_anchor(const struct builder *b, struct spot *s)
{
    if (byte_at(b, s->bytes) != '&')
        return;
    while (s->bytes < b->text.size && !is_blank(byte_at(b, s->bytes)) && !is_break(byte_at(b, s->bytes))) {
        s->chars += !is_inside_char(byte_at(b, s->bytes));
        s->bytes++;
    }
    for (;;) {
        while (is_blank(byte_at(b, s->bytes)) || is_break(byte_at(b, s->bytes)))
            step(s);
        if (byte_at(b, s->bytes) != '#')
            return;
        skip_to_break(b, s);
    }
}

/* From `|` or `>` to the first character of the text below it. */
static void skip_block_header(const struct builder *b, struct spot *s, uint32_t end)
{
    struct spot header = *s;
    skip_to_break(b, s);
    while (s->bytes < end && (is_blank(byte_at(b, s->bytes)) || is_break(byte_at(b, s->bytes))))
        step(s);
    if (s->bytes >= end)
        *s = header; /* an empty block */
}

/* ---- nodes -------------------------------------------------------------------------------------------------------- */

static void give_up(struct builder *b, struct config_place place, const char *text)
{
    message_error(b->messages, place, "%s", text);
    b->given_up = true;
}

static void *take(struct builder *b, size_t size)
{
    void *room = arena_zero(b->arena, size);
    b->given_up = b->given_up || room == NULL;
    return room;
}

static void append(struct builder *b, struct tree_node *to, struct tree_node *key, struct tree_node *value)
{
    struct tree_item *item = take(b, sizeof *item);
    if (item == NULL)
        return;
    *item = (struct tree_item){ .key = key, .value = value };
    if (to->last == NULL)
        to->items = item;
    else
        to->last->next = item;
    to->last = item;
    to->count++;
    to->weight += value->weight + (key == NULL ? 0 : key->weight);
    if (to->weight > CONFIG_WEIGHT_MAX)
        give_up(b, value->place, "the file holds, or its aliases unfold to, more than a pipeline file can have");
    else if (key != NULL && to->count >= CONFIG_MAP_COUNT_MAX)
        give_up(b, value->place, "more keys than one map can have");
}

static struct tree_item *find_bytes(const struct tree_node *map, struct bytes key)
{
    for (struct tree_item *item = map->items; item != NULL; item = item->next)
        if (bytes_equal(item->key->text, key))
            return item;
    return NULL;
}

static bool is_merge_key(const struct tree_node *key)
{
    return key->kind == TREE_TEXT && key->style == TREE_PLAIN && bytes_equal(key->text, BYTES("<<"));
}

static void note_merge(struct builder *b, struct frame *f, struct tree_node *value)
{
    if (value->kind == TREE_MAP && f->merge_count < MERGE_COUNT_MAX) {
        f->merges[f->merge_count++] = value;
        return;
    }
    bool maps_only = value->kind == TREE_LIST && value->count + f->merge_count <= MERGE_COUNT_MAX;
    for (struct tree_item *item = value->items; maps_only && item != NULL; item = item->next)
        maps_only = item->value->kind == TREE_MAP;
    if (!maps_only) {
        message_error(b->messages, value->place, "'<<' takes a map or a list of at most %u maps, such as *name",
                      MERGE_COUNT_MAX);
        return;
    }
    for (struct tree_item *item = value->items; item != NULL; item = item->next)
        f->merges[f->merge_count++] = item->value;
}

static void put_pair(struct builder *b, struct frame *f, struct tree_node *key, struct tree_node *value)
{
    if (key->kind != TREE_TEXT) {
        message_error(b->messages, key->place, "a key is text, not a %s%s", key->kind == TREE_LIST ? "list" : "map",
                      key->in_flow ? "; quote a value that begins with '{' or '['" : "");
        return;
    }
    if (is_merge_key(key)) {
        note_merge(b, f, value);
        return;
    }
    struct tree_item *first = find_bytes(f->node, key->text);
    if (first != NULL)
        message_error(b->messages, key->place, "'%s' stands here twice; the first is in line %u", shown(key->text).text,
                      first->key->place.line);
    else
        append(b, f->node, key, value);
}

/* A finished value goes where it belongs: under the list or map that is open, or to the top. */
static void put(struct builder *b, struct tree_node *node)
{
    if (b->depth == 0) {
        b->root = node;
        return;
    }
    struct frame *f = &b->frames[b->depth - 1];
    if (f->node->kind == TREE_LIST) {
        append(b, f->node, NULL, node);
    } else if (f->key == NULL) {
        f->key = node;
    } else {
        struct tree_node *key = f->key;
        f->key = NULL;
        put_pair(b, f, key, node);
    }
}

static void resolve_merges(struct builder *b, struct frame *f)
{
    for (uint32_t i = 0; i < f->merge_count; i++)
        for (struct tree_item *item = f->merges[i]->items; item != NULL && !b->given_up; item = item->next)
            if (find_bytes(f->node, item->key->text) == NULL)
                append(b, f->node, item->key, item->value);
}

/* ---- events ------------------------------------------------------------------------------------------------------- */

static void name_anchor(struct builder *b, const yaml_char_t *name, struct tree_node *node)
{
    if (name == NULL || b->given_up)
        return;
    struct bytes kept = arena_copy(b->arena, bytes_of_text((const char *)name));
    if (kept.at == NULL) {
        b->given_up = true;
    } else if (b->anchor_count == CONFIG_ANCHOR_COUNT_MAX) {
        give_up(b, node->place, "more anchors than a pipeline file can have");
    } else {
        b->anchors[b->anchor_count++] = (struct anchor){ (const char *)kept.at, node };
    }
}

static void refuse_tag(struct builder *b, const yaml_char_t *tag, struct config_place place)
{
    if (tag != NULL)
        message_error(b->messages, place,
                      "a value that begins with '!' is a YAML tag, which has no meaning here; quote it");
}

static struct tree_node *new_node(struct builder *b, enum tree_kind kind, struct spot spot)
{
    struct tree_node *node = take(b, sizeof *node);
    if (node == NULL)
        return NULL;
    *node = (struct tree_node){ .kind = kind, .weight = 1, .in_flow = b->flow_depth > 0, .start = spot.bytes };
    node->place = place_of(b, spot);
    return node;
}

static void on_text(struct builder *b, const yaml_event_t *event)
{
    yaml_scalar_style_t style = event->data.scalar.style;
    struct spot spot = spot_of(b, event->start_mark.index);
    uint32_t end = spot_of(b, event->end_mark.index).bytes;
    struct bytes text = { event->data.scalar.value, event->data.scalar.length };
    skip_anchor(b, &spot);
    struct tree_node *node = new_node(b, TREE_TEXT, spot);
    if (node == NULL)
        return;
    node->end = end;
    if (style == YAML_SINGLE_QUOTED_SCALAR_STYLE || style == YAML_DOUBLE_QUOTED_SCALAR_STYLE) {
        node->style = TREE_QUOTED;
        node->place.column++;
    } else if (style == YAML_LITERAL_SCALAR_STYLE || style == YAML_FOLDED_SCALAR_STYLE) {
        node->style = TREE_BLOCK;
        skip_block_header(b, &spot, end);
        node->place = place_of(b, spot);
        while (text.size > 0 && text.at[0] == '\n') { /* its place is that of its first word */
            text.at++;
            text.size--;
        }
    }
    node->text = arena_copy(b->arena, text);
    node->weight += (uint32_t)(node->text.size / 64);
    if (node->text.at == NULL) {
        b->given_up = true;
        return;
    }
    refuse_tag(b, event->data.scalar.tag, node->place);
    name_anchor(b, event->data.scalar.anchor, node);
    put(b, node);
}

static void on_start(struct builder *b, const yaml_event_t *event, enum tree_kind kind, const yaml_char_t *anchor,
                     const yaml_char_t *tag, bool flow)
{
    struct spot spot = spot_of(b, event->start_mark.index);
    skip_anchor(b, &spot);
    struct tree_node *node = new_node(b, kind, spot);
    if (node == NULL)
        return;
    refuse_tag(b, tag, node->place);
    if (b->depth == CONFIG_DEPTH_MAX) {
        give_up(b, node->place, "lists and maps stand deeper inside each other than a pipeline file can have");
        return;
    }
    node->open = true;
    b->flow_depth += flow || b->flow_depth > 0;
    b->frames[b->depth++] = (struct frame){ .node = node };
    name_anchor(b, anchor, node);
}

static void on_end(struct builder *b)
{
    must(b->depth > 0);
    struct frame *f = &b->frames[b->depth - 1];
    must(f->key == NULL);
    resolve_merges(b, f);
    f->node->open = false;
    b->flow_depth -= b->flow_depth > 0;
    b->depth--;
    put(b, f->node);
}

static void on_alias(struct builder *b, const yaml_event_t *event)
{
    const char *name = (const char *)event->data.alias.anchor;
    struct config_place place = place_of_mark(b, event->start_mark);
    struct tree_node *node = NULL;
    for (uint32_t i = b->anchor_count; i-- > 0 && node == NULL;)
        if (strcmp(b->anchors[i].name, name) == 0)
            node = b->anchors[i].node;
    if (node != NULL && !node->open) {
        put(b, node);
        return;
    }
    if (node == NULL)
        message_error(b->messages, place,
                      "no anchor '&%s' stands before this; an expression that begins with '*' needs quotes",
                      shown(bytes_of_text(name)).text);
    else
        message_error(b->messages, place, "'*%s' stands inside its own anchor: it would never end",
                      shown(bytes_of_text(name)).text);
    b->given_up = true;
}

static void on_event(struct builder *b, const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        on_text(b, event);
        break;
    case YAML_SEQUENCE_START_EVENT:
        on_start(b, event, TREE_LIST, event->data.sequence_start.anchor, event->data.sequence_start.tag,
                 event->data.sequence_start.style == YAML_FLOW_SEQUENCE_STYLE);
        break;
    case YAML_MAPPING_START_EVENT:
        on_start(b, event, TREE_MAP, event->data.mapping_start.anchor, event->data.mapping_start.tag,
                 event->data.mapping_start.style == YAML_FLOW_MAPPING_STYLE);
        break;
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        on_end(b);
        break;
    case YAML_ALIAS_EVENT:
        on_alias(b, event);
        break;
    case YAML_DOCUMENT_START_EVENT:
        if (b->root != NULL)
            give_up(b, place_of_mark(b, event->start_mark), "a second document begins here; a pipeline file is one");
        break;
    default:
        break;
    }
}

static void say_broken(struct builder *b)
{
    const yaml_parser_t *p = &b->parser;
    b->given_up = true;
    if (p->error == YAML_MEMORY_ERROR)
        return;
    struct spot spot = spot_of(b, p->problem_mark.index);
    if (p->error == YAML_READER_ERROR) {
        spot = (struct spot){ 0 };
        while (spot.bytes < p->problem_offset && spot.bytes < b->text.size)
            spot.chars += !is_inside_char(b->text.at[++spot.bytes]);
    }
    struct trap trap = { .text = b->text, .at = spot.bytes, .problem = p->problem, .context = p->context };
    if (p->context != NULL)
        trap.context_line = place_of(b, spot_of(b, p->context_mark.index)).line;
    char text[400];
    trap_explain(&trap, text, sizeof text);
    message_error(b->messages, place_of(b, spot), "%s", text);
}

struct tree_node *tree_read(struct bytes text, struct arena *arena, struct config_messages *messages, bool *ret_starved)
{
    must(text.size <= CONFIG_FILE_SIZE_MAX);
    uint32_t error_count = messages->error_count;
    *ret_starved = true; /* until there is a parser at work */
    struct builder *b = arena_zero(arena, sizeof *b);
    if (b == NULL)
        return NULL;
    b->text = text;
    b->arena = arena;
    b->messages = messages;
    if (!find_lines(b) || !yaml_parser_initialize(&b->parser))
        return NULL;
    yaml_parser_set_input_string(&b->parser, text.at, text.size);
    yaml_parser_set_encoding(&b->parser, YAML_UTF8_ENCODING);
    for (bool more = true; more && !b->given_up;) {
        yaml_event_t event;
        if (!yaml_parser_parse(&b->parser, &event)) {
            say_broken(b);
            break;
        }
        more = event.type != YAML_STREAM_END_EVENT;
        on_event(b, &event);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&b->parser);
    *ret_starved = b->given_up && messages->error_count == error_count;
    return b->given_up ? NULL : b->root;
}

/* ---- walking ------------------------------------------------------------------------------------------------------- */

struct tree_item *tree_find(const struct tree_node *map, const char *key)
{
    return map == NULL || map->kind != TREE_MAP ? NULL : find_bytes(map, bytes_of_text(key));
}

struct config_place tree_place(const struct tree_node *node, const char *const *keys)
{
    struct config_place place = node->place;
    for (; *keys != NULL; keys++) {
        struct tree_item *item = tree_find(node, *keys);
        if (item == NULL)
            return place;
        node = item->value;
        place = node->text.size > 0 || node->kind != TREE_TEXT ? node->place : item->key->place;
    }
    return place;
}
