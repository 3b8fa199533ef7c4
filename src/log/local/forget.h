/* forget.h - archives that were given up: once nobody misses anything of them, the journal speaks of them no more.
 *
 * owner    repair, which is alone in the directory
 * memory   what a doctor takes, then a log's
 * limits   ARCHIVE_COUNT_MAX of them
 * errors   as log_doctor() and log_open(); what was forgotten before stays so
 * promise  an archive that anybody could still miss anything of is not touched */
#ifndef LOG_LOCAL_FORGET_H
#define LOG_LOCAL_FORGET_H

#include "log/log.h"

enum neap_status forget_archives(struct io *io, const struct log_options *options, struct error *err);

#endif
