/* main.c - the neap command. */
#include "cli/cli.h"
#include "io/real.h"
#include <stdio.h>

static int run_verb(struct cli *cli, int count, char **words)
{
    int code = cli_parse(cli, count - 1, words + 1);
    if (code != CLI_OK)
        return code;
    if (cli->flags[FLAG_HELP] != NULL) {
        cli_help_verb(cli, cli->verb);
        return CLI_OK;
    }
    return cli->verb->run(cli);
}

int main(int count, char **words)
{
    struct error error = { 0 };
    struct cli cli = { 0 };
    cli.io = io_real_open(&error);
    cli.out = cli.io != NULL ? out_open(cli.io) : NULL;
    if (cli.out == NULL) {
        fprintf(stderr, "neap: %s\n", error.status != NEAP_OK ? error.text : "out of memory");
        return CLI_SURROUNDINGS;
    }
    const char *no_colour = io_environment(cli.io, "NO_COLOR");
    bool colour = no_colour == NULL || no_colour[0] == '\0';
    cli.colour_out = colour && io_is_terminal(io_standard(cli.io, 1));
    cli.colour_err = colour && io_is_terminal(io_standard(cli.io, 2));
    int code = run_verb(&cli, count, words);
    if (!out_flush(&cli) && code == CLI_OK)
        code = out_exit(&cli);
    out_close(&cli.out);
    patience_end(&cli);
    io_real_close(&cli.io);
    return code;
}
