/* cache.h - answers that were given before, by key: within a size and an age, and each asked for once at a time.
 *
 *     find ─▶ HIT, REFRESH   it is there, and young enough
 *          └▶ ASK            nobody asks for it yet: the caller does, and says how it went, cache_put() or cache_fail()
 *          └▶ WAIT           somebody does: the caller is told
 *          └▶ ALONE          there is no place to note it: the caller asks for itself, and says nothing
 *
 * An answer is young for nine to ten tenths of `age_ns`, by chance: what came together does not end together. In the last fifth
 * of that one caller is given it with REFRESH, and asks for a new one besides. Past its age it stays for `stale_ns` more: it
 * is asked for as if it were not there, and given where asking fails.
 *
 * owner    one shard; time and chance come in
 * memory   cache_memory_size(), taken in cache_new(): answers and keys in `size` bytes, entry_count_max structs
 * limits   both; what was not asked for longest goes first, but none that somebody is asking for
 * errors   none: what finds no place is not kept
 * promise  C1  for a key never two callers are told to ask at one time
 *          C2  every waiter is told, once, by the end of the asking that it waits for; or it asks itself
 *          C3  no answer is given past its age, but as STALE, and none past both */
#ifndef FLOW_CACHE_H
#define FLOW_CACHE_H

#include "base/bytes.h"

struct cache;

struct cache_options {
    size_t size; /* bytes of keys and answers */
    uint32_t entry_count_max;
    int64_t age_ns, stale_ns; /* stale_ns 0: none */
};

enum cache_answer { CACHE_HIT, CACHE_REFRESH, CACHE_STALE, CACHE_ASK, CACHE_WAIT, CACHE_ALONE };

#define CACHE_NOBODY UINT32_MAX

/* In the caller's memory until it is told, or taken back. */
struct cache_waiter {
    /* HIT or STALE: `value` is good for this call. ASK: the asking failed, and it is this waiter's turn: `entry` is its own. */
    void (*told)(struct cache_waiter *waiter, enum cache_answer answer, struct bytes value, uint32_t entry);
    void *ctx;
    struct cache_waiter *next_;
    uint32_t entry_; /* CACHE_NOBODY: it does not wait */
};

struct cache_found {
    enum cache_answer answer;
    struct bytes value; /* of HIT and REFRESH; good until the next verb */
    uint32_t entry;     /* of ASK and REFRESH: to be named to cache_put() or cache_fail() */
};

struct cache *cache_new(const struct cache_options *options); /* gives; NULL: out of memory */
void          cache_free(struct cache **cache);               /* nobody asks or waits */
size_t        cache_memory_size(const struct cache_options *options);

struct cache_found cache_find(struct cache *cache, struct bytes key, mono_time now, struct cache_waiter *waiter);
/* The answer has come: all that wait have it, from within this call. Kept where there is a place for it. */
void          cache_put(struct cache *cache, uint32_t entry, struct bytes value, mono_time now, uint64_t chance);
/* None has come. STALE: an old one may be had; all that wait have it. ASK: there is none, and the first of those that wait asks
 * now, if any does. */
struct cache_found cache_fail(struct cache *cache, uint32_t entry, mono_time now);
/* Whether cache_fail() would answer STALE. */
bool          cache_has_old(const struct cache *cache, uint32_t entry, mono_time now);
void          cache_leave(struct cache *cache, struct cache_waiter *waiter); /* it waits no longer; fine when it does not */

struct cache_figures {
    uint64_t hits, refreshes, stales, asks, waits, alone; /* answers so far, waiters' included */
    uint32_t entries;
    size_t left; /* bytes */
};
struct cache_figures cache_figures(const struct cache *cache);

#endif
