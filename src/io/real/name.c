/* name.c - names of files and what the process was given: directories, environment. */
#include "io/real/inside.h"
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define LINK_COUNT_MAX 40 /* as many as Linux follows */

void real_info_of_stat(const struct stat *stat, struct io_file_info *ret_info)
{
    *ret_info = (struct io_file_info){
        .size = (uint64_t)stat->st_size,
        .device = stat->st_dev,
        .inode = stat->st_ino,
        .modified = { stat->st_mtim.tv_sec * 1000ll + stat->st_mtim.tv_nsec / NS_PER_MS },
        .kind = S_ISREG(stat->st_mode)   ? IO_KIND_FILE
                : S_ISDIR(stat->st_mode) ? IO_KIND_DIRECTORY
                                         : IO_KIND_OTHER,
        .shared = (stat->st_mode & S_IROTH) != 0,
    };
}

enum neap_status real_path_info(struct io *io, const char *path, struct io_file_info *ret_info)
{
    struct stat found;
    if (stat(path, &found) != 0)
        return real_status(errno);
    real_info_of_stat(&found, ret_info);
    return NEAP_OK;
}

/* Follows `path` while it is a link, so that one whose target is not there yet leads to the target's name. */
static int follow_links(char path[PATH_MAX]) /* gives 0 or an error number */
{
    char target[PATH_MAX];
    for (int hop = 0; hop < LINK_COUNT_MAX; hop++) {
        ssize_t size = readlink(path, target, sizeof(target) - 1);
        if (size < 0)
            return 0; /* no link, or nothing at all: the name stands */
        target[size] = '\0';
        char *slash = strrchr(path, '/');
        char *at = target[0] == '/' || slash == NULL ? path : slash + 1;
        if ((size_t)(at - path) + (size_t)size >= PATH_MAX)
            return ENAMETOOLONG;
        memcpy(at, target, (size_t)size + 1);
    }
    return ELOOP;
}

/* The real name of the directory, and the last part as it stands. */
static int full_of_missing(const char *path, char full[PATH_MAX]) /* gives 0 or an error number */
{
    char left[PATH_MAX];
    if (strlen(path) >= sizeof(left))
        return ENAMETOOLONG;
    int error_number = follow_links(strcpy(left, path));
    if (error_number != 0)
        return error_number;
    char *slash = strrchr(left, '/');
    const char *name = slash == NULL ? left : slash + 1;
    if (name[0] == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return ENOENT; /* a directory, and it is missing */
    char directory[PATH_MAX] = ".";
    if (slash != NULL)
        *(char *)mempcpy(directory, left, slash == left ? 1 : (size_t)(slash - left)) = '\0';
    if (realpath(directory, full) == NULL)
        return errno;
    size_t size = strlen(full);
    if (size + 1 + strlen(name) >= PATH_MAX)
        return ENAMETOOLONG;
    if (full[size - 1] != '/') /* all but the root */
        full[size++] = '/';
    strcpy(full + size, name);
    return 0;
}

enum neap_status real_path_full(struct io *io, const char *path, char *to, size_t size, struct error *err)
{
    char full[PATH_MAX];
    if (realpath(path, full) == NULL) {
        int error_number = errno == ENOENT ? full_of_missing(path, full) : errno;
        if (error_number != 0)
            return real_error(err, error_number, path);
    }
    if (strlen(full) >= size)
        return error_set(err, NEAP_TOOLARGE, "%s: its full name is %zu bytes long", path, strlen(full));
    strcpy(to, full);
    return NEAP_OK;
}

enum neap_status real_rename(struct io *io, const char *from, const char *to, struct error *err)
{
    if (rename(from, to) == 0)
        return NEAP_OK;
    int error_number = errno;
    real_error(err, error_number, from);
    error_while(err, "rename to %s", to);
    return real_status(error_number);
}

enum neap_status real_unlink(struct io *io, const char *path, struct error *err)
{
    return unlink(path) == 0 ? NEAP_OK : real_error(err, errno, path);
}

static enum neap_status sync_parent(struct io *io, const char *path, struct error *err)
{
    char parent[PATH_MAX];
    size_t size = strlen(path);
    while (size > 0 && path[size - 1] != '/')
        size--;
    snprintf(parent, sizeof(parent), "%.*s", size == 0 ? 1 : (int)size, size == 0 ? "." : path);
    return real_dir_sync(io, parent, err);
}

enum neap_status real_dir_make(struct io *io, const char *path, struct error *err)
{
    char part[PATH_MAX];
    size_t size = strlen(path);
    if (size >= sizeof(part))
        return real_error(err, ENAMETOOLONG, path);
    for (size_t i = 1; i <= size; i++) { /* every parent, then the path itself */
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        bool made_now = mkdir(part, 0700) == 0;
        if (!made_now && errno != EEXIST)
            return real_error(err, errno, part);
        enum neap_status status = made_now ? sync_parent(io, part, err) : NEAP_OK;
        if (status != NEAP_OK)
            return status;
    }
    struct stat made;
    if (stat(path, &made) != 0)
        return real_error(err, errno, path);
    if (!S_ISDIR(made.st_mode))
        return error_set(err, NEAP_EXISTS, "%s: is there, and is no directory", path);
    return NEAP_OK;
}

enum neap_status real_dir_sync(struct io *io, const char *path, struct error *err)
{
    int fd = real_high(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (fd < 0)
        return real_error(err, errno, path);
    int rc = fsync(fd);
    int error_number = errno;
    close(fd);
    if (rc == 0)
        return NEAP_OK;
    return error_set(err, NEAP_IO, "%s: the directory could not be synced: %s", path, strerrordesc_np(error_number));
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

struct names {
    char **all;
    size_t count, room;
};

static void names_fini(struct names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->all[i]);
    free(names->all);
}

static bool names_add(struct names *names, const char *name)
{
    if (names->count == names->room) {
        size_t room = names->room == 0 ? 64 : names->room * 2;
        char **all = realloc(names->all, room * sizeof(*all));
        if (all == NULL)
            return false;
        names->all = all;
        names->room = room;
    }
    names->all[names->count] = strdup(name);
    return names->all[names->count] != NULL && ++names->count > 0;
}

static int names_read(struct names *names, DIR *dir) /* gives 0 or an error number */
{
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (entry == NULL)
            return errno;
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 && !names_add(names, entry->d_name))
            return ENOMEM;
    }
}

enum neap_status real_dir_list(struct io *io, const char *path, bool (*each)(void *ctx, const char *name), void *ctx,
                               struct error *err)
{
    int fd = real_high(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir == NULL) {
        int why = errno;
        if (fd >= 0)
            close(fd);
        return real_error(err, why, path);
    }
    struct names names = { .all = NULL };
    int error_number = names_read(&names, dir);
    closedir(dir);
    if (error_number == 0) {
        if (names.count > 0)
            qsort(names.all, names.count, sizeof(*names.all), compare_names);
        for (size_t i = 0; i < names.count && each(ctx, names.all[i]); i++)
            ;
    }
    names_fini(&names);
    return error_number == 0 ? NEAP_OK : real_error(err, error_number, path);
}

uint64_t real_dir_free_size(struct io *io, const char *path)
{
    struct statvfs fs;
    if (statvfs(path, &fs) != 0)
        return 0;
    return (uint64_t)fs.f_bavail * fs.f_frsize;
}

uint64_t real_dir_total_size(struct io *io, const char *path)
{
    struct statvfs fs;
    if (statvfs(path, &fs) != 0)
        return 0;
    return (uint64_t)fs.f_blocks * fs.f_frsize;
}

int64_t real_pid(struct io *io)
{
    return getpid();
}

const char *real_environment(struct io *io, const char *name)
{
    return getenv(name);
}
