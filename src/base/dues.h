/* dues.h - numbers by when they are due: the one due first is at hand.
 *
 * owner    one thread
 * memory   dues_memory_size(), taken in dues_new()
 * limits   numbers below count_max, each at most once
 * errors   none; more is a bug, and asserts
 * promise  the first is the one with the lowest time; of those with the same, the one with the lowest rank */
#ifndef BASE_DUES_H
#define BASE_DUES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DUES_NONE UINT32_MAX

struct dues;

struct dues *dues_new(uint32_t count_max); /* gives; NULL: out of memory */
void         dues_free(struct dues **dues);
size_t       dues_memory_size(uint32_t count_max);
void         dues_clear(struct dues *dues);

void         dues_add(struct dues *dues, uint32_t number, int64_t at, uint64_t rank);
void         dues_remove(struct dues *dues, uint32_t number);
bool         dues_has(const struct dues *dues, uint32_t number);
uint32_t     dues_first(const struct dues *dues); /* DUES_NONE: there is none */
int64_t      dues_at(const struct dues *dues, uint32_t number); /* of one that is there */
uint32_t     dues_count(const struct dues *dues);

#endif
