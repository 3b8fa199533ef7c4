#include "flow/settled.h"
#include "base/must.h"
#include <stdlib.h>

#define OLD_COUNT_MAX (SETTLED_OP_COUNT - 2u)

static_assert(SETTLED_SPAN + 16 <= LOG_VALUE_SIZE_MAX, "every second letter of a stretch still fits in a fact");

struct stretch {
    bool known;
    struct log_partition at;
    uint64_t number;
    struct commit sets[2]; /* dropped, redriven */
    bool changed[2];
};

struct settled {
    struct log *log;
    struct stretch looked_at,
        written; /* apart: a look at the next stretch leaves alone what is to be written of this one */
    uint8_t room[LOG_VALUE_SIZE_MAX];
    uint8_t keys[SETTLED_OP_COUNT][SETTLED_KEY_SIZE];
    uint8_t values[2][LOG_VALUE_SIZE_MAX];
};

static const uint8_t letters_of[2] = { 'd', 'r' };

struct settled *settled_new(struct log *log)
{
    struct settled *s = calloc(1, sizeof *s);
    if (s != NULL)
        s->log = log;
    return s;
}

static void forget(struct stretch *stretch)
{
    commit_fini(&stretch->sets[0]);
    commit_fini(&stretch->sets[1]);
    *stretch = (struct stretch){ 0 };
}

void settled_forget(struct settled *s)
{
    forget(&s->looked_at);
    forget(&s->written);
}

void settled_free(struct settled **settled)
{
    if (*settled == NULL)
        return;
    settled_forget(*settled);
    free(*settled);
    *settled = NULL;
}

static struct bytes key_of(uint8_t room[SETTLED_KEY_SIZE], uint8_t letter, uint64_t number)
{
    room[0] = letter;
    put_be64(room + 1, number);
    return (struct bytes){ room, SETTLED_KEY_SIZE };
}

static bool is_at(const struct stretch *stretch, struct log_partition at, log_offset offset)
{
    return stretch->known && stretch->number == offset.n / SETTLED_SPAN && stretch->at.topic_id == at.topic_id &&
           stretch->at.partition == at.partition;
}

static enum neap_status load(struct settled *s, struct stretch *stretch, struct log_partition at, log_offset offset)
{
    uint8_t key[SETTLED_KEY_SIZE];
    uint64_t number = offset.n / SETTLED_SPAN;
    must(!stretch->changed[0] && !stretch->changed[1]);
    forget(stretch);
    for (uint32_t i = 0; i < 2; i++) {
        struct bytes value;
        commit_init(&stretch->sets[i], (log_offset){ number * SETTLED_SPAN }, SETTLED_SPAN);
        if (log_fact_get(s->log, LOG_VIEW_LETTERS, at, key_of(key, letters_of[i], number), s->room, &value) != NEAP_OK)
            continue;
        enum neap_status status = commit_unite(&stretch->sets[i], value);
        if (status != NEAP_OK) {
            forget(stretch);
            return status;
        }
    }
    stretch->at = at;
    stretch->number = number;
    stretch->known = true;
    return NEAP_OK;
}

static enum settled_state state_in(const struct stretch *stretch, log_offset offset)
{
    return commit_has(&stretch->sets[0], offset)   ? SETTLED_DROPPED
           : commit_has(&stretch->sets[1], offset) ? SETTLED_REDRIVEN
                                                   : SETTLED_NOT;
}

enum neap_status settled_of(struct settled *s, struct log_partition letters, log_offset offset,
                            enum settled_state *ret_state)
{
    bool is_written = is_at(&s->written, letters, offset);
    enum neap_status status = NEAP_OK;
    if (!is_written && !is_at(&s->looked_at, letters, offset))
        status = load(s, &s->looked_at, letters, offset);
    if (status == NEAP_OK)
        *ret_state = state_in(is_written ? &s->written : &s->looked_at, offset);
    return status;
}

enum neap_status settled_add(struct settled *s, struct log_partition letters, log_offset offset, enum settled_state how)
{
    struct stretch *stretch = &s->written;
    uint32_t i = how == SETTLED_DROPPED ? 0 : 1;
    enum neap_status status = NEAP_OK;
    must(how != SETTLED_NOT);
    if (!is_at(stretch, letters, offset) && (stretch->changed[0] || stretch->changed[1]))
        return NEAP_AGAIN;
    if (!is_at(stretch, letters, offset))
        status = load(s, stretch, letters, offset);
    if (status != NEAP_OK)
        return status;
    must(state_in(stretch, offset) == SETTLED_NOT);
    status = commit_add(&stretch->sets[i], offset);
    stretch->changed[i] |= status == NEAP_OK;
    return status;
}

/* ---- forgetting ---------------------------------------------------------------------------------------------------- */

static bool read_key(struct bytes key, uint64_t *ret_number)
{
    if (key.size != SETTLED_KEY_SIZE || (key.at[0] != letters_of[0] && key.at[0] != letters_of[1]))
        return false;
    *ret_number = get_be64(key.at + 1);
    return true;
}

struct old {
    struct settled *s;
    log_offset start;
    uint32_t count;
};

/* A stretch that lies wholly before what is kept. */
static bool see_old(void *ctx, struct bytes key, struct bytes value)
{
    struct old *old = ctx;
    uint64_t number;
    (void)value;
    if (read_key(key, &number) && number < old->start.n / SETTLED_SPAN)
        memcpy(old->s->keys[2 + old->count++], key.at, SETTLED_KEY_SIZE);
    return old->count < OLD_COUNT_MAX;
}

uint32_t settled_ops(struct settled *s, struct log_op *ops)
{
    struct stretch *stretch = &s->written;
    struct old old = { .s = s };
    log_offset end;
    uint32_t count = 0;
    must(stretch->changed[0] || stretch->changed[1]); /* a unit without them would settle nothing */
    for (uint32_t i = 0; i < 2; i++) {
        if (stretch->changed[i])
            ops[count++] = (struct log_op){ .kind = LOG_FACT,
                                            .view = LOG_VIEW_LETTERS,
                                            .target = stretch->at,
                                            .name = key_of(s->keys[i], letters_of[i], stretch->number),
                                            .payload = commit_encode(&stretch->sets[i], s->values[i]) };
    }
    if (log_partition_range(s->log, stretch->at, &old.start, &end) == NEAP_OK && old.start.n >= SETTLED_SPAN)
        log_fact_each(s->log, LOG_VIEW_LETTERS, stretch->at, (struct bytes){ NULL, 0 }, see_old, &old);
    for (uint32_t i = 0; i < old.count; i++)
        ops[count++] = (struct log_op){ .kind = LOG_FACT,
                                        .view = LOG_VIEW_LETTERS,
                                        .target = stretch->at,
                                        .name = { s->keys[2 + i], SETTLED_KEY_SIZE } };
    return count;
}

/* ---- counting ------------------------------------------------------------------------------------------------------- */

struct counting {
    log_offset start;
    struct settled_counts counts;
    enum neap_status status;
};

static bool count_one(void *ctx, struct bytes key, struct bytes value)
{
    struct counting *c = ctx;
    uint64_t number;
    if (!read_key(key, &number) || (number + 1) * SETTLED_SPAN <= c->start.n)
        return true;
    struct commit set;
    commit_init(&set, c->start, SETTLED_SPAN);
    c->status = commit_unite(&set, value);
    *(key.at[0] == letters_of[0] ? &c->counts.dropped : &c->counts.redriven) += set.count;
    commit_fini(&set);
    return c->status == NEAP_OK;
}

enum neap_status settled_count(struct settled *s, struct log_partition letters, struct settled_counts *ret_counts)
{
    struct counting c = { .status = NEAP_OK };
    log_offset end;
    enum neap_status status = log_partition_range(s->log, letters, &c.start, &end);
    if (status != NEAP_OK)
        return status;
    log_fact_each(s->log, LOG_VIEW_LETTERS, letters, (struct bytes){ NULL, 0 }, count_one, &c);
    if (c.status == NEAP_OK)
        *ret_counts = c.counts;
    return c.status;
}
