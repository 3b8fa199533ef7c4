#include "base/must.h"
#include <stdio.h>
#include <stdlib.h>

void (*must_last_words)(void);

void must_failed(const char *what, const char *file, int line, const char *function)
{
    fprintf(stderr, "neap: bug: %s:%d: %s: this must hold: %s\n", file, line, function, what);
    void (*last_words)(void) = must_last_words;
    must_last_words = NULL; /* a failing last word must not call itself */
    if (last_words != NULL)
        last_words();
    abort();
}
