/* map.c - entries lie in an array in the order they came; a table of entry numbers finds them by hash.
 *
 * Removing leaves a hole in the array and the number in the table, so that probing and iteration go on undisturbed;
 * both are tidied when the array is full. M1: the table is never more than half full, holes included. */
#include "base/map.h"
#include "base/must.h"
#include <stdlib.h>

#define MAP_MAGIC  0x2050414du /* "MAP " */
#define MAP_SEED   0x6e656170ull
#define SLOT_EMPTY 0u

struct entry {
    struct bytes key; /* .at NULL: a hole */
    void *value;
    uint32_t hash;
};

struct map {
    uint32_t magic;
    size_t count_max, count;
    struct entry *entries;
    size_t entry_count, entry_room; /* holes included */
    uint32_t *slots;                /* entry number + 1 */
    size_t slot_mask;
};

struct map *map_new(size_t count_max)
{
    must(count_max > 0 && count_max < UINT32_MAX / 4);
    struct map *map = calloc(1, sizeof *map);
    if (map == NULL)
        return NULL;
    map->magic = MAP_MAGIC;
    map->count_max = count_max;
    return map;
}

void map_free(struct map **map, void (*free_value)(void *value))
{
    struct map *m = *map;
    *map = NULL;
    if (m == NULL)
        return;
    CHECK_MAGIC(m, MAP_MAGIC);
    for (size_t i = 0; i < m->entry_count; i++) {
        if (m->entries[i].key.at == NULL)
            continue;
        if (free_value != NULL)
            free_value(m->entries[i].value);
        free((void *)m->entries[i].key.at);
    }
    m->magic = 0;
    free(m->entries);
    free(m->slots);
    free(m);
}

static uint32_t hash_of(struct bytes key)
{
    return (uint32_t)bytes_hash(key, MAP_SEED);
}

static struct entry *find(const struct map *map, struct bytes key, uint32_t hash)
{
    if (map->slots == NULL)
        return NULL;
    for (size_t i = hash & map->slot_mask; map->slots[i] != SLOT_EMPTY; i = (i + 1) & map->slot_mask) {
        struct entry *entry = &map->entries[map->slots[i] - 1];
        if (entry->key.at != NULL && entry->hash == hash && bytes_equal(entry->key, key))
            return entry;
    }
    return NULL;
}

static void occupy(struct map *map, uint32_t hash, size_t entry_index)
{
    size_t i = hash & map->slot_mask;
    while (map->slots[i] != SLOT_EMPTY)
        i = (i + 1) & map->slot_mask;
    map->slots[i] = (uint32_t)entry_index + 1;
}

/* Makes room for one more: closes the holes, and doubles where that alone would soon be needed again. */
static enum neap_status make_room(struct map *map)
{
    size_t entry_room = map->entry_room > 0 ? map->entry_room : 8;
    if (map->count >= entry_room / 4 * 3)
        entry_room *= 2;
    struct entry *entries = malloc(entry_room * sizeof *entries);
    uint32_t *slots = calloc(entry_room * 2, sizeof *slots);
    if (entries == NULL || slots == NULL) {
        free(entries);
        free(slots);
        return NEAP_NOMEM;
    }
    size_t kept = 0;
    for (size_t i = 0; i < map->entry_count; i++)
        if (map->entries[i].key.at != NULL)
            entries[kept++] = map->entries[i];
    must(kept == map->count && kept < entry_room);
    free(map->entries);
    free(map->slots);
    map->entries = entries;
    map->entry_count = kept;
    map->entry_room = entry_room;
    map->slots = slots;
    map->slot_mask = entry_room * 2 - 1; /* rule M1 */
    for (size_t i = 0; i < kept; i++)
        occupy(map, entries[i].hash, i);
    return NEAP_OK;
}

void *map_get(const struct map *map, struct bytes key)
{
    CHECK_MAGIC(map, MAP_MAGIC);
    struct entry *entry = find(map, key, hash_of(key));
    return entry != NULL ? entry->value : NULL;
}

enum neap_status map_put(struct map *map, struct bytes key, void *value, void **ret_old)
{
    CHECK_MAGIC(map, MAP_MAGIC);
    must(value != NULL);
    uint32_t hash = hash_of(key);
    struct entry *entry = find(map, key, hash);
    if (entry != NULL) {
        if (ret_old != NULL)
            *ret_old = entry->value;
        entry->value = value;
        return NEAP_OK;
    }
    if (map->count >= map->count_max)
        return NEAP_FULL;
    uint8_t *copy = malloc(key.size + 1);
    if (copy == NULL)
        return NEAP_NOMEM;
    if (map->entry_count == map->entry_room && make_room(map) != NEAP_OK) {
        free(copy);
        return NEAP_NOMEM;
    }
    if (key.size > 0)
        memcpy(copy, key.at, key.size);
    copy[key.size] = '\0';
    map->entries[map->entry_count] = (struct entry){ { copy, key.size }, value, hash };
    occupy(map, hash, map->entry_count++);
    map->count++;
    if (ret_old != NULL)
        *ret_old = NULL;
    return NEAP_OK;
}

void *map_remove(struct map *map, struct bytes key)
{
    CHECK_MAGIC(map, MAP_MAGIC);
    struct entry *entry = find(map, key, hash_of(key));
    if (entry == NULL)
        return NULL;
    void *value = entry->value;
    free((void *)entry->key.at); /* `key` may be these very bytes: not read below */
    *entry = (struct entry){ { NULL, 0 }, NULL, 0 };
    must(map->count > 0);
    map->count--;
    return value;
}

size_t map_count(const struct map *map)
{
    CHECK_MAGIC(map, MAP_MAGIC);
    return map->count;
}

bool map_next(const struct map *map, size_t *cursor, struct bytes *ret_key, void **ret_value)
{
    CHECK_MAGIC(map, MAP_MAGIC);
    for (; *cursor < map->entry_count; (*cursor)++) {
        const struct entry *entry = &map->entries[*cursor];
        if (entry->key.at == NULL)
            continue;
        if (ret_key != NULL)
            *ret_key = entry->key;
        if (ret_value != NULL)
            *ret_value = entry->value;
        (*cursor)++;
        return true;
    }
    return false;
}
