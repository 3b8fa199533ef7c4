/* config_docs.c - prints what the table of keys says: `config-docs schema` or `config-docs reference`. */
#include "config/config.h"
#include <stdio.h>

static void print(void *ctx, struct bytes text)
{
    fwrite(text.at, 1, text.size, ctx);
}

int main(int count, char **words)
{
    if (count == 2 && strcmp(words[1], "schema") == 0) {
        config_write_schema(print, stdout);
    } else if (count == 2 && strcmp(words[1], "reference") == 0) {
        config_write_reference(print, stdout);
    } else {
        fprintf(stderr, "usage: config-docs schema|reference\n");
        return 2;
    }
    return fflush(stdout) == 0 ? 0 : 1;
}
