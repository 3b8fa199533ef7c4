/* data.c - any value of a pipeline file as JSON: what a call falls back to. */
#include "base/json.h"
#include "config/limits.h"
#include "config/messages.h"
#include "config/read.h"

struct putting {
    struct reading *r;
    const struct key *key;
    struct writer w;
    bool good;
};

static size_t digits(struct bytes text, size_t at)
{
    size_t count = 0;
    while (at + count < text.size && text.at[at + count] >= '0' && text.at[at + count] <= '9')
        count++;
    return count;
}

static bool stands(struct bytes text, size_t at, const char *one_of)
{
    return at < text.size && text.at[at] != 0 && strchr(one_of, text.at[at]) != NULL;
}

/* JSON's own numbers: 007 and 1_000 are texts. */
static bool is_number(struct bytes text)
{
    size_t at = stands(text, 0, "-"), whole = digits(text, at);
    if (whole == 0 || (whole > 1 && text.at[at] == '0'))
        return false;
    at += whole;
    if (stands(text, at, ".")) {
        size_t part = digits(text, at + 1);
        if (part == 0)
            return false;
        at += 1 + part;
    }
    if (stands(text, at, "eE")) {
        at += 1 + stands(text, at + 1, "+-");
        size_t power = digits(text, at);
        if (power == 0)
            return false;
        at += power;
    }
    return at == text.size;
}

static bool is_word(struct bytes text)
{
    return bytes_equal(text, BYTES("null")) || bytes_equal(text, BYTES("true")) || bytes_equal(text, BYTES("false"));
}

static void put(struct putting *p, const struct tree_node *node)
{
    const char *before = "";
    struct bytes text;
    if (node->kind == TREE_TEXT) {
        if (node->text.size == 0) {
            write_bytes(&p->w, node->style == TREE_PLAIN ? BYTES("null") : BYTES("\"\""));
        } else if (!read_text(p->r, p->key, node, &text)) {
            p->good = false;
        } else if (node->style == TREE_PLAIN && (is_word(text) || is_number(text))) {
            write_bytes(&p->w, text);
        } else {
            json_write_text(&p->w, text);
        }
        return;
    }
    write_u8(&p->w, node->kind == TREE_MAP ? '{' : '[');
    for (const struct tree_item *item = node->items; item != NULL && p->good && !p->w.full; item = item->next) {
        write_bytes(&p->w, bytes_of_text(before));
        if (node->kind == TREE_MAP) {
            json_write_text(&p->w, item->key->text);
            write_u8(&p->w, ':');
        }
        put(p, item->value); /* as deep as the tree may be */
        before = ",";
    }
    write_u8(&p->w, node->kind == TREE_MAP ? '}' : ']');
}

bool read_data(struct reading *r, const struct key *key, const struct tree_node *node, const char **ret_json)
{
    char *room = read_take(r, CONFIG_DATA_SIZE_MAX + 1);
    if (room == NULL)
        return false;
    struct putting p = { .r = r, .key = key, .w = writer_of(room, CONFIG_DATA_SIZE_MAX), .good = true };
    put(&p, node);
    if (p.w.full)
        message_error(r->messages, node->place, "'%s' is larger than %u KiB", key->name, CONFIG_DATA_SIZE_MAX >> 10);
    if (p.w.full || !p.good)
        return false;
    room[writer_size(&p.w)] = '\0';
    *ret_json = room;
    return true;
}
