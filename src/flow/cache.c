#include "flow/cache.h"
#include "base/must.h"
#include "base/rooms.h"
#include <stdlib.h>
#include <string.h>

#define CACHE_MAGIC 0x43414348u
#define HASH_SEED   0x63616368u

struct entry {
    uint64_t hash;
    struct bytes key, value; /* each in a room of its own; value.at NULL: none yet */
    mono_time young_until, refresh_from, kept_until;
    uint32_t next;          /* of the same bucket, or free */
    uint32_t before, after; /* by use: the one used last comes first */
    bool used, asked;
    struct cache_waiter *waiters, **waiters_end;
};

struct cache {
    uint32_t magic, mask;
    struct cache_options o;
    struct rooms *rooms;
    struct entry *entries;
    uint32_t *buckets;
    uint32_t free_first, first, last;
    struct cache_figures figures;
};

static size_t rooms_size(const struct cache_options *o)
{
    return (o->size + ROOMS_UNIT - 1) / ROOMS_UNIT * ROOMS_UNIT;
}

static uint32_t bucket_count(uint32_t entry_count)
{
    uint32_t count = 16;
    while (count < entry_count)
        count *= 2;
    return count;
}

size_t cache_memory_size(const struct cache_options *o)
{
    return sizeof(struct cache) + rooms_memory_size(rooms_size(o)) + o->entry_count_max * sizeof(struct entry) +
           bucket_count(o->entry_count_max) * sizeof(uint32_t);
}

struct cache *cache_new(const struct cache_options *options)
{
    must(options->size > 0 && options->entry_count_max > 0 && options->entry_count_max <= 1u << 30);
    must(options->age_ns > 0 && options->stale_ns >= 0);
    struct cache *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return NULL;
    c->magic = CACHE_MAGIC;
    c->o = *options;
    c->mask = bucket_count(options->entry_count_max) - 1;
    c->rooms = rooms_new(rooms_size(options));
    c->entries = calloc(options->entry_count_max, sizeof(c->entries[0]));
    c->buckets = malloc((c->mask + 1) * sizeof(c->buckets[0]));
    if (c->rooms == NULL || c->entries == NULL || c->buckets == NULL) {
        cache_free(&c);
        return NULL;
    }
    for (uint32_t i = 0; i <= c->mask; i++)
        c->buckets[i] = CACHE_NOBODY;
    for (uint32_t i = 0; i < options->entry_count_max; i++)
        c->entries[i].next = i + 1 < options->entry_count_max ? i + 1 : CACHE_NOBODY;
    c->first = c->last = CACHE_NOBODY;
    return c;
}

void cache_free(struct cache **cache)
{
    struct cache *c = *cache;
    if (c == NULL)
        return;
    CHECK_MAGIC(c, CACHE_MAGIC);
    for (uint32_t i = c->first; i != CACHE_NOBODY && c->entries != NULL; i = c->entries[i].after)
        must(!c->entries[i].asked && c->entries[i].waiters == NULL);
    rooms_free(&c->rooms);
    free(c->entries);
    free(c->buckets);
    c->magic = 0;
    free(c);
    *cache = NULL;
}

/* ---- entries: by key, and by use ------------------------------------------------------------------------------------------ */

static void unlink_use(struct cache *c, uint32_t i)
{
    struct entry *e = &c->entries[i];
    *(e->before != CACHE_NOBODY ? &c->entries[e->before].after : &c->first) = e->after;
    *(e->after != CACHE_NOBODY ? &c->entries[e->after].before : &c->last) = e->before;
}

static void link_first(struct cache *c, uint32_t i)
{
    struct entry *e = &c->entries[i];
    e->before = CACHE_NOBODY;
    e->after = c->first;
    *(c->first != CACHE_NOBODY ? &c->entries[c->first].before : &c->last) = i;
    c->first = i;
}

static uint32_t find_entry(const struct cache *c, uint64_t hash, struct bytes key)
{
    uint32_t i = c->buckets[hash & c->mask];
    while (i != CACHE_NOBODY && (c->entries[i].hash != hash || !bytes_equal(c->entries[i].key, key)))
        i = c->entries[i].next;
    return i;
}

static void give_value(struct cache *c, struct entry *e)
{
    if (e->value.size > 0)
        rooms_give(c->rooms, (void *)(uintptr_t)e->value.at, e->value.size);
    e->value = (struct bytes){ 0 };
}

static void drop(struct cache *c, uint32_t i)
{
    struct entry *e = &c->entries[i];
    must(e->used && !e->asked && e->waiters == NULL);
    uint32_t *at = &c->buckets[e->hash & c->mask];
    while (*at != i)
        at = &c->entries[*at].next;
    *at = e->next;
    unlink_use(c, i);
    give_value(c, e);
    if (e->key.size > 0)
        rooms_give(c->rooms, (void *)(uintptr_t)e->key.at, e->key.size);
    *e = (struct entry){ .next = c->free_first };
    c->free_first = i;
    c->figures.entries--;
}

/* The one that was not wanted longest goes; false: each of them is being asked for. */
static bool drop_oldest(struct cache *c)
{
    uint32_t i = c->last;
    while (i != CACHE_NOBODY && c->entries[i].asked)
        i = c->entries[i].before;
    if (i == CACHE_NOBODY)
        return false;
    drop(c, i);
    return true;
}

static bool copy_bytes(struct cache *c, struct bytes from, struct bytes *ret)
{
    uint8_t *room = NULL;
    if (from.size > c->o.size)
        return false;
    while (from.size > 0 && (room = rooms_take(c->rooms, from.size)) == NULL)
        if (!drop_oldest(c))
            return false;
    if (from.size > 0)
        memcpy(room, from.at, from.size);
    *ret = (struct bytes){ from.size > 0 ? room : (const uint8_t *)"", from.size };
    return true;
}

static uint32_t add_entry(struct cache *c, uint64_t hash, struct bytes key)
{
    struct bytes copy;
    if (c->free_first == CACHE_NOBODY && !drop_oldest(c))
        return CACHE_NOBODY;
    if (!copy_bytes(c, key, &copy))
        return CACHE_NOBODY;
    uint32_t i = c->free_first;
    struct entry *e = &c->entries[i];
    c->free_first = e->next;
    *e = (struct entry){ .hash = hash, .key = copy, .next = c->buckets[hash & c->mask], .used = true };
    e->waiters_end = &e->waiters;
    c->buckets[hash & c->mask] = i;
    link_first(c, i);
    c->figures.entries++;
    return i;
}

/* ---- the verbs -------------------------------------------------------------------------------------------------------------- */

static struct cache_found ask(struct cache *c, uint32_t i)
{
    c->entries[i].asked = true;
    c->figures.asks++;
    return (struct cache_found){ .answer = CACHE_ASK, .entry = i };
}

static struct cache_found wait_for(struct cache *c, uint32_t i, struct cache_waiter *waiter)
{
    struct entry *e = &c->entries[i];
    waiter->next_ = NULL;
    waiter->entry_ = i;
    *e->waiters_end = waiter;
    e->waiters_end = &waiter->next_;
    c->figures.waits++;
    return (struct cache_found){ .answer = CACHE_WAIT, .entry = CACHE_NOBODY };
}

static struct cache_found give(struct cache *c, uint32_t i, mono_time now)
{
    struct entry *e = &c->entries[i];
    bool refresh = !e->asked && now.ns >= e->refresh_from.ns;
    e->asked = e->asked || refresh;
    c->figures.hits += !refresh;
    c->figures.refreshes += refresh;
    return (struct cache_found){ refresh ? CACHE_REFRESH : CACHE_HIT, e->value, refresh ? i : CACHE_NOBODY };
}

struct cache_found cache_find(struct cache *c, struct bytes key, mono_time now, struct cache_waiter *waiter)
{
    CHECK_MAGIC(c, CACHE_MAGIC);
    uint64_t hash = bytes_hash(key, HASH_SEED);
    uint32_t i = find_entry(c, hash, key);
    waiter->entry_ = CACHE_NOBODY;
    if (i == CACHE_NOBODY)
        i = add_entry(c, hash, key);
    if (i == CACHE_NOBODY) {
        c->figures.alone++;
        return (struct cache_found){ .answer = CACHE_ALONE, .entry = CACHE_NOBODY };
    }
    struct entry *e = &c->entries[i];
    unlink_use(c, i);
    link_first(c, i);
    if (e->value.at != NULL && now.ns < e->young_until.ns)
        return give(c, i, now);
    return e->asked ? wait_for(c, i, waiter) : ask(c, i);
}

/* Whoever is told may come back at once, and change what is here: the list is taken off first. */
static void tell_all(struct cache *c, struct entry *e, enum cache_answer answer, struct bytes value)
{
    struct cache_waiter *waiter = e->waiters;
    e->waiters = NULL;
    e->waiters_end = &e->waiters;
    for (struct cache_waiter *w = waiter; w != NULL; w = w->next_)
        w->entry_ = CACHE_NOBODY;
    while (waiter != NULL) {
        struct cache_waiter *next = waiter->next_;
        c->figures.hits += answer == CACHE_HIT;
        c->figures.stales += answer == CACHE_STALE;
        waiter->told(waiter, answer, value, CACHE_NOBODY);
        waiter = next;
    }
}

static bool is_kept(const struct entry *e, mono_time now)
{
    return e->value.at != NULL && now.ns < e->kept_until.ns;
}

static struct entry *asked_entry(struct cache *c, uint32_t i)
{
    CHECK_MAGIC(c, CACHE_MAGIC);
    must(i < c->o.entry_count_max && c->entries[i].used && c->entries[i].asked);
    return &c->entries[i];
}

static void keep(struct cache *c, uint32_t i, struct bytes value, mono_time now, uint64_t chance)
{
    struct entry *e = &c->entries[i];
    struct bytes copy;
    int64_t age = c->o.age_ns - (int64_t)(chance % ((uint64_t)c->o.age_ns / 10 + 1));
    if (!copy_bytes(c, value, &copy))
        return; /* larger than all of it, or everything else is being asked for */
    e->value = copy;
    e->young_until = mono_after(now, age);
    e->refresh_from = mono_after(now, age / 5 * 4);
    e->kept_until = mono_after(e->young_until, c->o.stale_ns);
}

/* The first of those that wait asks now. */
static void pass_on(struct cache *c, uint32_t i)
{
    struct entry *e = &c->entries[i];
    struct cache_waiter *next = e->waiters;
    e->waiters = next->next_;
    if (e->waiters == NULL)
        e->waiters_end = &e->waiters;
    next->entry_ = CACHE_NOBODY;
    c->figures.asks++;
    next->told(next, CACHE_ASK, (struct bytes){ 0 }, i);
}

/* Whoever was told may have come back already, and wait for what nobody would ask for. */
static void end_asking(struct cache *c, uint32_t i)
{
    struct entry *e = &c->entries[i];
    if (e->waiters != NULL) {
        pass_on(c, i);
        return;
    }
    e->asked = false;
    if (e->value.at == NULL)
        drop(c, i);
}

void cache_put(struct cache *c, uint32_t i, struct bytes value, mono_time now, uint64_t chance)
{
    struct entry *e = asked_entry(c, i);
    give_value(c, e);
    keep(c, i, value, now, chance);
    tell_all(c, e, CACHE_HIT, value); /* still asked for: it stays where it is, whatever they do */
    end_asking(c, i);
}

struct cache_found cache_fail(struct cache *c, uint32_t i, mono_time now)
{
    struct entry *e = asked_entry(c, i);
    struct cache_found found = { .answer = CACHE_ASK, .entry = CACHE_NOBODY };
    if (is_kept(e, now)) {
        bool old = now.ns >= e->young_until.ns;
        found = (struct cache_found){ CACHE_STALE, e->value, CACHE_NOBODY };
        c->figures.stales += old;
        tell_all(c, e, old ? CACHE_STALE : CACHE_HIT, e->value);
    } else {
        give_value(c, e);
    }
    end_asking(c, i);
    return found;
}

bool cache_has_old(const struct cache *c, uint32_t i, mono_time now)
{
    CHECK_MAGIC(c, CACHE_MAGIC);
    must(i < c->o.entry_count_max && c->entries[i].asked);
    return is_kept(&c->entries[i], now);
}

void cache_leave(struct cache *c, struct cache_waiter *waiter)
{
    CHECK_MAGIC(c, CACHE_MAGIC);
    if (waiter->entry_ == CACHE_NOBODY)
        return;
    struct entry *e = &c->entries[waiter->entry_];
    struct cache_waiter **at = &e->waiters;
    while (*at != waiter)
        at = &(*at)->next_;
    *at = waiter->next_;
    if (e->waiters_end == &waiter->next_)
        e->waiters_end = at;
    waiter->entry_ = CACHE_NOBODY;
}

struct cache_figures cache_figures(const struct cache *c)
{
    struct cache_figures f = c->figures;
    f.left = rooms_left(c->rooms);
    return f;
}
