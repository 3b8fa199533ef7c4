/* child.c - the public verbs of children: the contract, once for every door. */
#include "io/child.h"
#include "base/must.h"
#include "io/door.h"
#include <stdio.h>

enum neap_status io_child_start(struct io_agent *agent, const struct io_child_options *options,
                                struct io_child **ret_child, struct error *err)
{
    uint32_t count = 0;
    must(agent->io_ != NULL && options->arguments != NULL && options->arguments[0] != NULL);
    must(options->events->data != NULL && options->events->sent != NULL);
    must(options->events->closed != NULL && options->events->ended != NULL);
    while (options->arguments[count] != NULL)
        count++;
    if (count > IO_CHILD_ARGUMENT_COUNT_MAX)
        return error_set(err, NEAP_MISUSE, "%s: more than %u arguments", options->arguments[0],
                         IO_CHILD_ARGUMENT_COUNT_MAX);
    return agent->io_->verbs->child_start(agent, options, ret_child, err);
}

void *io_child_ctx(struct io_child *child)
{
    return child->ctx;
}

int64_t io_child_pid(struct io_child *child)
{
    return child->pid;
}

enum neap_status io_child_send(struct io_child *child, struct bytes bytes)
{
    must(bytes.size > 0);
    return child->io->verbs->child_send(child, bytes);
}

void io_child_close_input(struct io_child *child)
{
    child->io->verbs->child_close_input(child);
}

void io_child_kill(struct io_child *child)
{
    child->io->verbs->child_kill(child);
}

void io_child_finish(struct io_child **child, mono_time deadline)
{
    must(child != NULL);
    if (*child == NULL)
        return;
    (*child)->io->verbs->child_finish(*child, deadline);
    *child = NULL;
}

void io_child_end_text(const struct io_child_end *end, char *room, size_t size)
{
    static const char *const names[] = {
        [1] = "SIGHUP",   [2] = "SIGINT",   [3] = "SIGQUIT",  [4] = "SIGILL",   [5] = "SIGTRAP",
        [6] = "SIGABRT",  [7] = "SIGBUS",   [8] = "SIGFPE",   [9] = "SIGKILL",  [10] = "SIGUSR1",
        [11] = "SIGSEGV", [12] = "SIGUSR2", [13] = "SIGPIPE", [14] = "SIGALRM", [15] = "SIGTERM"
    };
    bool named = end->number > 0 && (size_t)end->number < COUNT_OF(names);
    if (!end->signalled && end->number < 0)
        snprintf(room, size, "an end that somebody else was told of");
    else if (!end->signalled)
        snprintf(room, size, "exit status %d", end->number);
    else if (named)
        snprintf(room, size, "killed by signal %d (%s)", end->number, names[end->number]);
    else
        snprintf(room, size, "killed by signal %d", end->number);
}
