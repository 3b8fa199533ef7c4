/* presence.c - whether the directory is still where it was, and ours.
 *
 * A file that was deleted can be written and synced as ever: nothing fails, and with the last handle everything is gone. So
 * somebody has to look. The lock file stands for the directory: it is never renamed or made anew while a log is open. */
#include "base/must.h"
#include "log/local/journal.h"

static bool same_file(const struct io_file_info *a, const struct io_file_info *b)
{
    return a->device == b->device && a->inode == b->inode;
}

enum neap_status log_look(struct log *log, struct error *err)
{
    CHECK_MAGIC(log, LOG_MAGIC);
    struct io_file_info named, held;
    struct error why = { 0 };
    enum neap_status status = io_path_info(log->io, io_file_path(log->lock), &named);
    bool gone = status == NEAP_NOTFOUND ||
                (status == NEAP_OK && io_file_info(log->lock, &held) == NEAP_OK && !same_file(&named, &held));
    if (!gone)
        return NEAP_OK; /* or nobody can say: whoever writes will be told */
    error_set(&why, NEAP_IO, "%s was %s while it was in use: what is written now would be lost", log->path,
              status == NEAP_NOTFOUND ? "deleted or moved away" : "replaced by another directory");
    io_mutex_take(log->shared.mutex);
    bool first = log->shared.failed == NEAP_OK;
    if (first) {
        log->shared.failed = NEAP_IO;
        log->shared.failure = why;
    }
    io_mutex_drop(log->shared.mutex);
    if (first)
        logging_error(log->logging, "the log has lost its directory", LOGGING_TEXT("error", why.text));
    atomic_store(&log->keeper_failed, true); /* the journal stops at its next turn */
    journal_wake(log->journal);
    if (err != NULL)
        *err = why;
    return NEAP_IO;
}
