/* check.h - compares an opened log with the model: what must be there, what may be, and what never.
 *
 * owner    the caller's log and model
 * memory   a table as large as the model's units
 * errors   a verdict, with a line that says what is wrong
 * promise  asks the log only through log.h */
#ifndef SIM_CHECK_H
#define SIM_CHECK_H

#include "model.h"

enum verdict {
    VERDICT_GOOD,
    VERDICT_LOST,     /* promised, and not there */
    VERDICT_INVENTED, /* there, and never submitted before the cut; or refused; or cut away by an earlier crash */
    VERDICT_HALF,     /* a unit is there in part */
    VERDICT_ORDER,    /* a hole, another order, another offset than was told */
    VERDICT_WRONG,    /* facts, offsets or topics that are not those of the units that are there */
    VERDICT_CLOSED,   /* the log does not open, or does not work afterwards */
    VERDICT_COUNT,
};

const char *verdict_name(enum verdict verdict);

struct finding {
    enum verdict verdict;
    char text[400];
    uint32_t reached[CLIENT_COUNT]; /* how many units of each client are there: a prefix of those it submitted */
    uint32_t taken;                 /* early units that were answered, and are not there, as is their right */
};

enum verdict finding_set(struct finding *finding, enum verdict verdict, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* `point`: where the history was cut; NEVER: it was not cut, everything that was submitted may be there. `killed`: the process was,
 * and the power was not. */
enum verdict check_log(struct log *log, const struct model *model, uint32_t point, bool killed,
                       struct finding *ret_finding);

#endif
