/* help.c - what the command says about itself, from the table of its verbs. */
#include "cli/cli.h"
#include <lua.h>
#include <sqlite3.h>
#include <yaml.h>

static const struct {
    const char *code, *meaning, *systemd;
} exits[] = {
    { "0", "done, or drained after SIGTERM or SIGINT; dead letters alone do not change it", "-" },
    { "1", "the answer is no: check errors, run refused its file, unhealthy, no such topic", "do not restart" },
    { "2", "used wrongly: unknown verb or flag, missing argument", "do not restart" },
    { "3", "done, but with dead letters (only with --fail-on-dead-letters)", "-" },
    { "4", "surroundings: node not reachable, directory held, no permission, disk full at start", "restart, backoff" },
    { "5", "storage cannot be trusted: damage found, or a format newer than this binary", "do not restart" },
    { "6", "a failed write or sync stopped the node to keep its promise", "restart" },
    { "7", "time ran out: --timeout, or not drained in time (nothing acknowledged is lost)", "restart" },
    { "128+n", "ended at once by signal n; 134 = an assertion (a bug, with its place)", "restart" },
};

static void print_exits(struct cli *cli)
{
    out_print(cli, "%-6s %-86s %s\n", "exit", "meaning", "systemd");
    for (uint32_t i = 0; i < COUNT_OF(exits); i++)
        out_print(cli, "%-6s %-86s %s\n", exits[i].code, exits[i].meaning, exits[i].systemd);
}

static void print_verbs(struct cli *cli, const char *family)
{
    size_t size = family == NULL ? 0 : strlen(family);
    for (const struct cli_verb *v = cli_verbs; v->name != NULL; v++) {
        char usage[64];
        if (family != NULL && (strncmp(v->name, family, size) != 0 || v->name[size] != ' '))
            continue;
        size_t at = strlen(v->name);
        memcpy(usage, v->name, at);
        usage[at++] = ' ';
        strcpy(usage + at, v->words);
        out_print(cli, "  %-30s %s\n", usage, v->summary);
    }
}

static void print_all(struct cli *cli)
{
    out_print(cli, "neap moves events: in order, on disk, exactly once.\n\n  neap VERB [WORDS] [FLAGS]\n\n");
    print_verbs(cli, NULL);
    out_print(
        cli, "\nA node is found by FILE, --data DIR or --node PATH; else by $NEAP_NODE (a file, a data directory or a\n"
             "socket), else by ./neap.yaml. Standard output is the answer, standard error the talk.\n"
             "'neap VERB --help' shows a verb's flags and an example, 'neap help exit' the exit codes.\n");
}

void cli_help_verb(struct cli *cli, const struct cli_verb *verb)
{
    out_print(cli, "neap %s%s%s%s\n\n%s\n\n", verb->name, verb->words[0] != '\0' ? " " : "", verb->words,
              verb->flags != 0 ? " [FLAGS]" : "", verb->summary);
    for (uint32_t f = 0; f < FLAG_COUNT; f++) {
        const struct cli_flag_help *flag = &cli_flag_helps[f];
        if (f != FLAG_HELP && !(verb->flags & FLAG_BIT(f)))
            continue;
        char usage[48];
        strcpy(usage, "--");
        strcat(usage, flag->name);
        if (flag->value != NULL)
            strcat(strcat(usage, " "), flag->value);
        out_print(cli, "  %-24s %s\n", usage, flag->text);
    }
    out_print(cli, "\nExample:\n  %s\n", verb->example);
}

int cli_help(struct cli *cli)
{
    if (cli->word_count == 0) {
        print_all(cli);
        return CLI_OK;
    }
    if (cli->word_count == 1 && strcmp(cli->words[0], "exit") == 0) {
        print_exits(cli);
        return CLI_OK;
    }
    char name[64] = "";
    bool family = false;
    for (uint32_t i = 0; i < cli->word_count && strlen(name) + strlen(cli->words[i]) < sizeof name - 2; i++)
        strcat(strcat(name, i > 0 ? " " : ""), cli->words[i]);
    size_t size = strlen(name);
    for (const struct cli_verb *v = cli_verbs; v->name != NULL; v++) {
        if (strcmp(v->name, name) == 0) {
            cli_help_verb(cli, v);
            return CLI_OK;
        }
        family = family || (size > 0 && strncmp(v->name, name, size) == 0 && v->name[size] == ' ');
    }
    if (family) {
        print_verbs(cli, name);
        return CLI_OK;
    }
    say(cli, "no help for '%s'; 'neap help' lists the verbs", name);
    return CLI_USAGE;
}

int cli_version(struct cli *cli)
{
    out_print(cli, "neap %s\nSQLite %s, libyaml %s, %s\n", CLI_VERSION, sqlite3_libversion(), yaml_get_version_string(),
              LUA_RELEASE);
    return CLI_OK;
}
