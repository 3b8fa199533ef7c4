/* limit.c - a bucket, and a table of them.
 *
 * The table: keys in an array, found through chains from a hash, and linked in the order of their last grant.
 * L1  With a burst worth B and a call worth C, a key granted at t is at rest at t + B + C at the latest. So when the table is
 *     full, nobody waits longer than that for the head of the list, and the head is the only one that has to be looked at. */
#include "flow/limit.h"
#include "base/must.h"
#include <stdlib.h>
#include <string.h>

#define LIMIT_KEYS_MAGIC 0x59454b4cu /* "LKEY" */
#define NOBODY           UINT32_MAX

void limit_init(struct limit *limit, const struct limit_rate *rate)
{
    must(rate->count > 0 && rate->burst_count > 0 && rate->period_ns >= rate->count);
    int64_t call_ns = (rate->period_ns + rate->count - 1) / rate->count;
    must(rate->burst_count - 1 <= INT64_MAX / 4 / call_ns);
    *limit = (struct limit){ .call_ns = call_ns, .burst_ns = (rate->burst_count - 1) * call_ns };
}

bool limit_ask(const struct limit *limit, mono_time now, mono_time *ret_not_before)
{
    int64_t not_before_ns = limit->full_at.ns - limit->burst_ns;
    if (now.ns >= not_before_ns)
        return true;
    ret_not_before->ns = not_before_ns;
    return false;
}

void limit_take(struct limit *limit, mono_time now)
{
    mono_time not_before;
    must(limit_ask(limit, now, &not_before));
    mono_time from = limit->full_at.ns > now.ns ? limit->full_at : now;
    limit->full_at = mono_after(from, limit->call_ns);
}

bool limit_at_rest(const struct limit *limit, mono_time now)
{
    return limit->full_at.ns <= now.ns;
}

struct key {
    uint64_t hash;
    mono_time full_at;
    uint32_t next;         /* in its chain */
    uint32_t older, newer; /* by last grant */
};

struct limit_keys {
    uint32_t magic;
    struct limit shape; /* a new bucket */
    mono_time full_at;  /* all of them */
    uint32_t count, count_max, oldest, newest;
    uint32_t chain_mask;
    struct key *keys;
    uint32_t *chains;
};

struct limit_keys *limit_keys_new(const struct limit_rate *rate, uint32_t key_count_max)
{
    must(key_count_max > 0 && key_count_max <= UINT32_MAX / 4);
    uint32_t chain_count = 1;
    while (chain_count < key_count_max)
        chain_count *= 2;
    size_t keys_size = key_count_max * sizeof(struct key);
    struct limit_keys *k = malloc(sizeof *k + keys_size + chain_count * sizeof(uint32_t));
    if (k == NULL)
        return NULL;
    *k = (struct limit_keys){
        .magic = LIMIT_KEYS_MAGIC, .count_max = key_count_max, .oldest = NOBODY, .newest = NOBODY
    };
    k->chain_mask = chain_count - 1;
    k->keys = (struct key *)(k + 1);
    k->chains = (uint32_t *)(k->keys + key_count_max);
    limit_init(&k->shape, rate);
    memset(k->chains, 0xff, chain_count * sizeof(uint32_t));
    return k;
}

void limit_keys_free(struct limit_keys **keys)
{
    if (*keys == NULL)
        return;
    CHECK_MAGIC(*keys, LIMIT_KEYS_MAGIC);
    (*keys)->magic = 0;
    free(*keys);
    *keys = NULL;
}

static uint32_t *chain_of(const struct limit_keys *k, uint64_t hash)
{
    return &k->chains[hash & k->chain_mask];
}

static uint32_t find(const struct limit_keys *k, uint64_t hash)
{
    uint32_t index = *chain_of(k, hash);
    while (index != NOBODY && k->keys[index].hash != hash)
        index = k->keys[index].next;
    return index;
}

static struct limit bucket_of(const struct limit_keys *k, uint32_t index)
{
    struct limit bucket = k->shape;
    bucket.full_at = k->keys[index].full_at;
    return bucket;
}

bool limit_keys_ask(const struct limit_keys *keys, uint64_t hash, mono_time now, mono_time *ret_not_before)
{
    CHECK_MAGIC(keys, LIMIT_KEYS_MAGIC);
    uint32_t index = find(keys, hash);
    if (index != NOBODY) {
        struct limit bucket = bucket_of(keys, index);
        return limit_ask(&bucket, now, ret_not_before);
    }
    if (keys->count < keys->count_max || keys->keys[keys->oldest].full_at.ns <= now.ns)
        return true;
    *ret_not_before = keys->keys[keys->oldest].full_at; /* rule L1 */
    return false;
}

static void unlink_use(struct limit_keys *k, uint32_t index)
{
    struct key *key = &k->keys[index];
    *(key->older != NOBODY ? &k->keys[key->older].newer : &k->oldest) = key->newer;
    *(key->newer != NOBODY ? &k->keys[key->newer].older : &k->newest) = key->older;
}

static void link_newest(struct limit_keys *k, uint32_t index)
{
    struct key *key = &k->keys[index];
    key->older = k->newest;
    key->newer = NOBODY;
    *(k->newest != NOBODY ? &k->keys[k->newest].newer : &k->oldest) = index;
    k->newest = index;
}

/* The place of a key that is at rest, emptied. */
static uint32_t forget_oldest(struct limit_keys *k, mono_time now)
{
    uint32_t index = k->oldest;
    must(k->keys[index].full_at.ns <= now.ns);
    uint32_t *link = chain_of(k, k->keys[index].hash);
    while (*link != index)
        link = &k->keys[*link].next;
    *link = k->keys[index].next;
    unlink_use(k, index);
    return index;
}

static uint32_t remember(struct limit_keys *k, uint64_t hash, mono_time now)
{
    uint32_t index = k->count < k->count_max ? k->count++ : forget_oldest(k, now);
    uint32_t *chain = chain_of(k, hash);
    k->keys[index] = (struct key){ .hash = hash, .full_at = k->shape.full_at, .next = *chain };
    *chain = index;
    link_newest(k, index);
    return index;
}

void limit_keys_take(struct limit_keys *keys, uint64_t hash, mono_time now)
{
    CHECK_MAGIC(keys, LIMIT_KEYS_MAGIC);
    uint32_t index = find(keys, hash);
    if (index == NOBODY)
        index = remember(keys, hash, now);
    struct limit bucket = bucket_of(keys, index);
    limit_take(&bucket, now);
    keys->keys[index].full_at = bucket.full_at;
    if (keys->full_at.ns < bucket.full_at.ns)
        keys->full_at = bucket.full_at;
    unlink_use(keys, index);
    link_newest(keys, index);
}

bool limit_keys_at_rest(const struct limit_keys *keys, mono_time now)
{
    CHECK_MAGIC(keys, LIMIT_KEYS_MAGIC);
    return keys->full_at.ns <= now.ns;
}

uint32_t limit_keys_count(const struct limit_keys *keys)
{
    CHECK_MAGIC(keys, LIMIT_KEYS_MAGIC);
    return keys->count;
}
