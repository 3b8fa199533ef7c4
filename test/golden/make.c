/* make.c - writes the golden directory of this format version: once, when a version is born.
 *
 *     golden-make test/golden/v2 */
#include "history.h"

static const char *folder;

static void writes_it_down(void **state)
{
    (void)state;
    struct history h = history_new();
    history_write(&h);
    history_export(&h, folder);
    history_free(&h);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(writes_it_down) }; /* what it asserts is told as a test's is */
    if (argc != 2 || mkdir(argv[1], 0777) != 0) {
        fprintf(stderr, "usage: golden-make DIRECTORY, which is not there yet\n");
        return 2;
    }
    folder = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
