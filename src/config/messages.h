/* messages.h - what is wrong with a pipeline file, gathered, put in order, and the word somebody probably meant.
 *
 * owner    whoever loads the file; handed out with the configuration
 * memory   an arena, room for all messages taken at the start
 * limits   CONFIG_MESSAGE_COUNT_MAX errors and as many warnings are kept; all are counted
 * errors   none: a message that finds no memory is still counted
 * promise  a file that was refused has at least one error here, and its place lies in the file */
#ifndef CONFIG_MESSAGES_H
#define CONFIG_MESSAGES_H

#include "base/bytes.h"
#include "config/config.h"

struct config_messages *messages_new(void); /* gives; NULL: out of memory */
void message_error(struct config_messages *m, struct config_place place, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void message_warning(struct config_messages *m, struct config_place place, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Puts them in order of place, drops what was said twice, and says how many were not kept. Once, at the end. */
void messages_finish(struct config_messages *m);

/* Somebody's text as it may stand in a message: short, on one line, without control characters. */
struct shown {
    char text[80];
};
struct shown shown(struct bytes text);

/* How far apart two words are: letters changed, put in, left out or swapped with their neighbour; `max` + 1 when further. */
unsigned word_distance(struct bytes a, struct bytes b, unsigned max);

/* Offered one word after the other; keeps the nearest one within reach of a slip of the finger. */
struct nearest {
    struct bytes wanted;
    const char *word; /* NULL: none is near */
    unsigned distance;
};
void nearest_offer(struct nearest *n, const char *word);

#endif
