#include "node/disk_watch.h"
#include "base/must.h"

#define CALM_PERCENT 5u /* so much below a mark, and it may be told again */

void disk_watch_look(struct disk_watch *watch, const struct log_figures *f, struct logging *logging)
{
    static const uint32_t marks[] = { 80, 90 };
    uint64_t percent = f->disk_size > 0 ? f->disk_live_size * 100 / f->disk_size : 0;
    uint32_t passed = 0;
    for (size_t i = 0; i < COUNT_OF(marks); i++)
        passed = percent >= marks[i] ? marks[i] : passed;
    if (passed > watch->told_percent) {
        logging_warn(logging,
                     passed < 90 ? "the disk fills up: node.disk is used to 80 %"
                                 : "the disk is nearly full: producers are refused until something is freed",
                     LOGGING_UINT("used", f->disk_live_size), LOGGING_UINT("disk", f->disk_size));
        watch->told_percent = passed;
    } else if (watch->told_percent > 0 && percent + CALM_PERCENT < watch->told_percent) {
        watch->told_percent = passed;
    }
}
