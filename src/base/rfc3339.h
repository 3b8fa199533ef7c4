/* rfc3339.h - a wall time as text, and back: 2026-11-20T19:12:13.456Z.
 *
 * owner    nobody: plain functions
 * memory   the caller's room
 * limits   years 0000 to 9999; a time outside is written as the nearest one inside; finer than a millisecond is cut off
 * errors   false: not a date and time with a zone, as RFC 3339 section 5.6 has it (a space for the T is accepted) */
#ifndef BASE_RFC3339_H
#define BASE_RFC3339_H

#include "base/bytes.h"

#define RFC3339_SIZE 25u /* with the NUL */

const char *rfc3339_write(char room[RFC3339_SIZE], wall_time t); /* answers room */
bool        rfc3339_read(struct bytes text, wall_time *ret_time);

#endif
