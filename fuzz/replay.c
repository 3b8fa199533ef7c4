/* replay.c - runs a fuzz target over every file of the folders named on the command line, in name order. For any
 * compiler: the inputs that once mattered are looked at again in each build. */
#include "fuzz.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool run_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        return false;
    }
    size_t size = 0, room = 4096, got;
    uint8_t *bytes = malloc(room);
    must(bytes != NULL);
    while ((got = fread(bytes + size, 1, room - size, file)) > 0) {
        size += got;
        if (size == room) {
            bytes = realloc(bytes, room *= 2);
            must(bytes != NULL);
        }
    }
    fclose(file);
    uint8_t *exact = malloc(size > 0 ? size : 1); /* so that the address sanitizer sees a byte too many */
    must(exact != NULL);
    memcpy(exact, bytes, size);
    free(bytes);
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    return true;
}

static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static long run_folder(const char *folder)
{
    struct dirent **entries;
    int count = scandir(folder, &entries, is_visible, alphasort);
    if (count < 0) {
        perror(folder);
        return -1;
    }
    long done = 0;
    for (int i = 0; i < count; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
        if (done >= 0)
            done = run_file(path) ? done + 1 : -1;
        free(entries[i]);
    }
    free(entries);
    return done;
}

int main(int argc, char **argv)
{
    long total = 0;
    for (int i = 1; i < argc; i++) {
        long done = run_folder(argv[i]);
        if (done < 0)
            return 1;
        total += done;
    }
    printf("%ld inputs\n", total);
    return total > 0 ? 0 : 1; /* an empty corpus proves nothing */
}
