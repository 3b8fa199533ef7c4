/* map.h - bytes to a value, walked in the order things were put in.
 *
 * owner    whoever made it; one thread
 * memory   a table that doubles up to count_max entries, and one copy of each key
 * limits   count_max entries; one more and map_put() answers NEAP_FULL, changing nothing
 * errors   NEAP_FULL, NEAP_NOMEM
 * promise  iteration order is insertion order (a removed and re-put key comes last): never hash order, so that a
 *          simulated run is the same run on every machine */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include "base/bytes.h"
#include "neap/status.h"

struct map;

struct map      *map_new(size_t count_max); /* gives; NULL: out of memory */
void             map_free(struct map **map, void (*free_value)(void *value)); /* free_value may be NULL */
void            *map_get(const struct map *map, struct bytes key);            /* NULL: not there */
enum neap_status map_put(struct map *map, struct bytes key, void *value, void **ret_old); /* value is not NULL; copies key */
void            *map_remove(struct map *map, struct bytes key);               /* gives the value back, or NULL */
size_t           map_count(const struct map *map);
/* for (size_t i = 0; map_next(map, &i, &key, &value);) … ; removing the entry just seen is allowed */
bool             map_next(const struct map *map, size_t *cursor, struct bytes *ret_key, void **ret_value);

#endif
