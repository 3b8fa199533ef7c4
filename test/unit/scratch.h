/* scratch.h - a directory of the test's own, gone afterwards, and paths in it. */
#ifndef TEST_SCRATCH_H
#define TEST_SCRATCH_H

#include "check.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct scratch {
    char dir[256];
    char path_[8][640]; /* scratch_path() answers them in turn */
    unsigned next_;
};

static inline void scratch_init(struct scratch *scratch)
{
    const char *parent = getenv("TMPDIR");
    scratch->next_ = 0;
    snprintf(scratch->dir, sizeof(scratch->dir), "%s/neap-test-XXXXXX", parent != NULL ? parent : "/tmp");
    assert_non_null(mkdtemp(scratch->dir));
}

static inline const char *scratch_path(struct scratch *scratch, const char *name) /* good for the next seven calls */
{
    char *path = scratch->path_[scratch->next_++ % 8];
    size_t dir_size = strlen(scratch->dir), name_size = strlen(name);
    assert_true(dir_size + 1 + name_size < sizeof(scratch->path_[0]));
    memcpy(path, scratch->dir, dir_size);
    path[dir_size] = '/';
    memcpy(path + dir_size + 1, name, name_size + 1);
    return path;
}

static inline void scratch_fini(struct scratch *scratch)
{
    char command[300];
    snprintf(command, sizeof(command), "rm -rf '%s'", scratch->dir);
    assert_int_equal(system(command), 0);
}

#endif
