/* error.h - a status, and the trail of what was being done when it happened.
 *
 * owner    whoever declared it; one thread
 * memory   fixed, inside the struct; a trail that does not fit is cut at its outer end
 * promise  the cause is written once by error_set(); every level above adds itself with error_while():
 *          "recover orders/3: open segment 00000017: header checksum 1f22 is not 9c01"
 *
 * A function returns an error or logs it, never both. Passing NULL for `err` is allowed everywhere. */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include "neap/status.h"
#include <stddef.h>

struct error {
    enum neap_status status;
    char text[1024]; /* UTF-8, NUL-terminated; empty when status is NEAP_OK */
};

enum neap_status error_set(struct error *err, enum neap_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Adds "DOING: " in front; answers the status that error_set() got (NEAP_IO where `err` is NULL: never used so). */
enum neap_status error_while(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

const char        *status_name(enum neap_status status); /* "CORRUPT" */
const char        *status_text(enum neap_status status); /* "damaged" */
enum neap_reaction status_reaction(enum neap_status status);

#endif
