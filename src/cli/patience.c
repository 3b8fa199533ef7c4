/* patience.c - how long a command waits for what may never answer, such as a disk that hangs.
 *
 * A thread inside a system call cannot be called back, and what it works with cannot be freed under it. So whoever has waited
 * long enough does not tidy up: the process ends, as if it had been killed, and that loses nothing acknowledged. A watchman
 * of its own looks at the clock, because the thread that waits cannot. */
#include "cli/cli.h"
#include "io/real.h"
#include <stdatomic.h>
#include <stdlib.h>

#define LOOK_NS (100 * NS_PER_MS)
#define SAY_NS  NS_PER_S /* whoever reads standard error may hang, too */

struct patience {
    struct io *io;
    struct io_agent agent;
    struct io_timer look;
    bool looking;
    _Atomic int64_t until_ns; /* MONO_NEVER: nothing is waited for */
    _Atomic int code;
};

static void give_up(struct patience *p)
{
    static const char text[] =
        "neap: left as it is, because something does not answer, such as a disk that hangs; nothing acknowledged is "
        "lost\n";
    size_t size;
    (void)io_write_next(io_standard(p->io, 2), bytes_of_text(text), mono_after(io_now(p->io), SAY_NS), &size);
    io_real_leave(atomic_load(&p->code));
}

static void look(struct io_timer *timer, mono_time now)
{
    struct patience *p = timer->ctx;
    if (now.ns >= atomic_load(&p->until_ns))
        give_up(p);
    io_timer_set(timer, mono_after(now, LOOK_NS));
}

static uint32_t patience_work(void *ctx, mono_time now)
{
    struct patience *p = ctx;
    if (!p->looking)
        io_timer_set(&p->look, mono_after(now, LOOK_NS));
    p->looking = true;
    return 0;
}

/* NULL: there is no thread for it, and things go on without. */
static struct patience *patience_new(struct io *io)
{
    struct patience *p = calloc(1, sizeof *p);
    if (p == NULL)
        return NULL;
    p->io = io;
    p->agent = (struct io_agent){ .name = "patience", .work = patience_work, .ctx = p };
    p->look = (struct io_timer){ .agent = &p->agent, .fire = look, .ctx = p };
    atomic_init(&p->until_ns, MONO_NEVER.ns);
    if (io_agent_start(io, &p->agent, NULL) == NEAP_OK)
        return p;
    free(p);
    return NULL;
}

void patience_until(struct cli *cli, mono_time until, int code)
{
    if (cli->patience == NULL && until.ns != MONO_NEVER.ns)
        cli->patience = patience_new(cli->io);
    if (cli->patience == NULL)
        return;
    atomic_store(&cli->patience->code, code);
    atomic_store(&cli->patience->until_ns, until.ns);
}

void patience_end(struct cli *cli)
{
    struct patience *p = cli->patience;
    if (p == NULL)
        return;
    io_agent_stop(&p->agent);
    free(p);
    cli->patience = NULL;
}
