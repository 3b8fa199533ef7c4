/* bench_restart.c - how long a log takes to be ready after kill -9.
 *
 *     bench-restart DIR [GB of journal (10) [partitions (100)]]
 *
 * A process appends at full load until its journal holds so many bytes, and is killed in the middle of it. Another opens the
 * directory, with the page cache dropped (where that is allowed), appends a second more, and is killed, and so on. `ready` is
 * log_open(): from then on appends are taken and readers read. Beside it: how much of the journal was read for that, and how
 * long plain reads of the whole journal would have taken, at the rate of 1 GiB of it. */
#include "producer.h"

#include "base/must.h"
#include "io/real.h"
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ROUND_COUNT 5u

struct report { /* from the child */
    double ready_s;
    uint64_t recovered_size;
};

struct job {
    const char *path;
    uint64_t journal_size;
    uint32_t partitions, batch_size;
    bool first;
};

static void child(const struct job *job, int to_parent)
{
    static struct producer p;
    struct log_figures f;
    struct log_topic_settings settings = LOG_SETTINGS_DEFAULT;
    producer_make_batch(&p, job->batch_size, 100);
    struct timespec before, after;
    clock_gettime(CLOCK_MONOTONIC, &before);
    producer_open(&p,
                  &(struct log_options){ .path = job->path, .disk_size = 40ull << 30, .index_count_max = 512u << 10 });
    clock_gettime(CLOCK_MONOTONIC, &after);
    log_figures(p.log, &f);
    struct report r = { (double)(after.tv_sec - before.tv_sec) + (double)(after.tv_nsec - before.tv_nsec) / 1e9,
                        f.recovered_size };
    producer_add_topic(&p, "events", job->partitions, &settings);
    do {
        producer_run(&p, 1, SLOT_COUNT_CONNECTIONS, 0);
        log_figures(p.log, &f);
        must(p.refused == 0);
    } while (job->first && f.durable.n < job->journal_size);
    must(write(to_parent, &r, sizeof r) == sizeof r);
    for (;;)
        producer_run(&p, 60, SLOT_COUNT_CONNECTIONS, 0); /* killed in the middle of it */
}

static struct report live_and_be_killed(const struct job *job)
{
    int ends[2];
    struct report r;
    must(pipe(ends) == 0);
    pid_t pid = fork();
    must(pid >= 0);
    if (pid == 0) {
        close(ends[0]);
        child(job, ends[1]);
    }
    close(ends[1]);
    bool told = read(ends[0], &r, sizeof r) == sizeof r;
    usleep(200000 + (useconds_t)(rand() % 100000));
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    close(ends[0]);
    if (!told)
        exit(1); /* it has said why */
    return r;
}

static void drop_page_cache(void)
{
    sync();
    FILE *f = fopen("/proc/sys/vm/drop_caches", "w");
    if (f != NULL && (fputs("3", f) < 0 || fclose(f) != 0))
        fprintf(stderr, "the page cache could not be dropped: reads may come from it\n");
}

/* Seconds for each byte, of reads of 1 MiB from the first journal files on, with nothing of them in memory. */
static double read_rate(const char *path)
{
    char folder[600], name[1024];
    static uint8_t bytes[1 << 20];
    uint64_t size = 0;
    snprintf(folder, sizeof folder, "%s/journal", path);
    DIR *d = opendir(folder);
    struct timespec before, after;
    must(d != NULL);
    clock_gettime(CLOCK_MONOTONIC, &before);
    for (struct dirent *e; size < 1u << 30 && (e = readdir(d)) != NULL;) {
        if (strstr(e->d_name, ".npj") == NULL)
            continue;
        snprintf(name, sizeof name, "%s/%s", folder, e->d_name);
        int fd = open(name, O_RDONLY | O_CLOEXEC);
        must(fd >= 0);
        for (ssize_t got; (got = read(fd, bytes, sizeof bytes)) > 0;)
            size += (uint64_t)got;
        close(fd);
    }
    clock_gettime(CLOCK_MONOTONIC, &after);
    closedir(d);
    must(size > 0);
    return ((double)(after.tv_sec - before.tv_sec) + (double)(after.tv_nsec - before.tv_nsec) / 1e9) / (double)size;
}

static void restart(const char *folder, double size, uint32_t partitions, uint32_t events)
{
    double ready[ROUND_COUNT];
    char path[512], command[1024];
    uint64_t recovered = 0;
    snprintf(path, sizeof path, "%s/log", folder);
    struct job job = { path, (uint64_t)size, partitions, events, true };
    live_and_be_killed(&job);
    job.first = false;
    for (uint32_t i = 0; i < ROUND_COUNT; i++) {
        drop_page_cache();
        struct report r = live_and_be_killed(&job);
        ready[i] = r.ready_s;
        recovered = r.recovered_size > recovered ? r.recovered_size : recovered;
    }
    drop_page_cache();
    double all = read_rate(path) * size, most = 0;
    for (uint32_t i = 0; i < ROUND_COUNT; i++)
        most = ready[i] > most ? ready[i] : most;
    printf("journal of %.0f GB, 100 B x %4u, %5u partitions, killed %u times: ready after %.3f s (median), %.3f s "
           "(most); at "
           "most %.0f MB read; reading all of it: %.1f s   ratio %.3f\n",
           size / 1e9, events, partitions, ROUND_COUNT, median(ready, ROUND_COUNT), most, (double)recovered / 1e6, all,
           median(ready, ROUND_COUNT) / all);
    fflush(stdout);
    snprintf(command, sizeof command, "rm -rf '%s'", path);
    must(system(command) == 0);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: bench-restart DIR [GB of journal [partitions]]\n");
        return 2;
    }
    double size = (argc > 2 ? atof(argv[2]) : 10) * 1e9;
    uint32_t partitions = argc > 3 ? (uint32_t)atoi(argv[3]) : 0;
    static const uint32_t all[] = { 100, 10000 }, batches[] = { 16, 1024 };
    for (size_t i = 0; i < COUNT_OF(all); i++)
        for (size_t b = 0; b < COUNT_OF(batches); b++)
            if (partitions == 0 || partitions == all[i])
                restart(argv[1], size, all[i], batches[b]);
    return 0;
}
