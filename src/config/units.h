/* units.h - numbers with units, and the values that are made of them: sizes, times, shares, rates, ranges, retention.
 *
 * owner    config_parse(), through read_scalar()
 * memory   none
 * limits   the key's `least` and `most`
 * errors   into the messages, with the way to write it
 * promise  what is read has a unit that was written: no bare number is ever guessed at */
#ifndef CONFIG_UNITS_H
#define CONFIG_UNITS_H

#include "config/read.h"

/* Digits only, up to `most`. */
bool units_number(struct bytes text, uint64_t most, uint64_t *ret_number);
/* KEY_SIZE, KEY_DURATION, KEY_DISK, KEY_RETENTION, KEY_DURABILITY, KEY_SHARE, KEY_RATE, KEY_COUNTS, KEY_TIMES. */
bool units_read(struct reading *r, const struct key *key, struct bytes text, struct config_place place, void *into);

#define UNITS_TEXT_SIZE 24u
/* As a pipeline file writes it, in the largest unit that leaves nothing over: 7d, 100GiB. */
void units_duration_text(char text[UNITS_TEXT_SIZE], uint64_t ms);
void units_size_text(char text[UNITS_TEXT_SIZE], uint64_t size);

#endif
