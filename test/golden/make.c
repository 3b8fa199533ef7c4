/* make.c - writes the golden directory of this format version: once, when a version is born.
 *
 *     golden-make test/golden/v1 */
#include "golden.h"

int main(int argc, char **argv)
{
    char command[512];
    if (argc != 2) {
        fprintf(stderr, "usage: golden-make DIRECTORY\n");
        return 2;
    }
    struct bench b = golden_bench();
    bench_open(&b);
    golden_write(&b);
    sleep(1); /* the idle mark, the index, the snapshot */
    bench_close(&b);
    snprintf(command, sizeof command, "mkdir -p '%s' && cp -r '%s'/. '%s'", argv[1], b.path, argv[1]);
    must(system(command) == 0);
    bench_open(&b);
    bench_end(&b);
    return 0;
}
