/* completion.c - what a shell needs to complete this command's words, made from the table that parsing reads. */
#include "cli/cli.h"
#include <stdio.h>

/* ---- what all shells ask of the table ---- */

static bool has_flag(const struct cli_verb *verb, uint32_t flag)
{
    return flag == FLAG_HELP || (verb->flags & FLAG_BIT(flag)) != 0;
}

/* Size of a verb's first word. */
static int first_size(const struct cli_verb *verb)
{
    const char *blank = strchr(verb->name, ' ');
    return blank != NULL ? (int)(blank - verb->name) : (int)strlen(verb->name);
}

static bool is_pair(const struct cli_verb *verb)
{
    return strchr(verb->name, ' ') != NULL;
}

/* The first verb in the table that begins with this word. */
static bool is_first_of_word(const struct cli_verb *verb)
{
    for (const struct cli_verb *v = cli_verbs; v < verb; v++)
        if (first_size(v) == first_size(verb) && strncmp(v->name, verb->name, (size_t)first_size(v)) == 0)
            return false;
    return true;
}

static bool is_of_word(const struct cli_verb *verb, const struct cli_verb *first)
{
    return is_pair(verb) && first_size(verb) == first_size(first) &&
           strncmp(verb->name, first->name, (size_t)first_size(first)) == 0;
}

/* "bash|zsh|fish": one of these words. */
static bool has_choices(const struct cli_verb *verb)
{
    return strchr(verb->words, '|') != NULL && strchr(verb->words, '[') == NULL;
}

static void print_choices(struct cli *cli, const char *words)
{
    for (const char *c = words; *c != '\0'; c++)
        out_print(cli, "%c", *c == '|' ? ' ' : *c);
}

/* Text between two of a shell's quotes; `also` is set off by a backslash. */
static void print_quoted(struct cli *cli, const char *text, const char *quote, char also)
{
    for (const char *c = text; *c != '\0'; c++) {
        if (*c == '\'')
            out_print(cli, "%s", quote);
        else if (*c == also)
            out_print(cli, "\\%c", *c);
        else
            out_print(cli, "%c", *c);
    }
}

/* ---- bash ---- */

static void bash_verbs(struct cli *cli)
{
    out_print(cli, "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n        COMPREPLY=($(compgen -W '");
    for (const struct cli_verb *v = cli_verbs; v->name != NULL; v++)
        if (is_first_of_word(v))
            out_print(cli, "%.*s ", first_size(v), v->name);
    out_print(cli, "' -- \"$cur\"))\n        return\n    fi\n    case $verb in\n");
    for (const struct cli_verb *first = cli_verbs; first->name != NULL; first++) {
        if (!is_pair(first) || !is_first_of_word(first))
            continue;
        out_print(cli, "    %.*s)\n        if [ \"$COMP_CWORD\" -eq 2 ]; then\n            COMPREPLY=($(compgen -W '",
                  first_size(first), first->name);
        for (const struct cli_verb *v = cli_verbs; v->name != NULL; v++)
            if (is_of_word(v, first))
                out_print(cli, "%s ", v->name + first_size(v) + 1);
        out_print(cli, "' -- \"$cur\"))\n            return\n        fi\n        verb=\"$verb ${COMP_WORDS[2]}\" ;;\n");
    }
    out_print(cli, "    esac\n");
}

static void bash_values(struct cli *cli)
{
    out_print(cli, "    case $prev in\n");
    for (uint32_t f = 0; f < FLAG_COUNT; f++) {
        const struct cli_flag_help *flag = &cli_flag_helps[f];
        if (flag->value == NULL)
            continue;
        out_print(cli, "    --%s", flag->name);
        if (flag->letter != 0)
            out_print(cli, "|-%c", flag->letter);
        if (flag->choices == NULL)
            out_print(cli, ") return ;;\n");
        else if (strcmp(flag->choices, "FILE") == 0)
            out_print(cli, ") COMPREPLY=($(compgen -f -- \"$cur\")); return ;;\n");
        else if (strcmp(flag->choices, "DIR") == 0)
            out_print(cli, ") COMPREPLY=($(compgen -d -- \"$cur\")); return ;;\n");
        else
            out_print(cli, ") COMPREPLY=($(compgen -W '%s' -- \"$cur\")); return ;;\n", flag->choices);
    }
    out_print(cli, "    esac\n");
}

static void bash_flags(struct cli *cli)
{
    out_print(cli, "    case $cur in\n    -*)\n        case $verb in\n");
    for (const struct cli_verb *v = cli_verbs; v->name != NULL; v++) {
        out_print(cli, "        '%s') COMPREPLY=($(compgen -W '", v->name);
        for (uint32_t f = 0; f < FLAG_COUNT; f++)
            if (has_flag(v, f))
                out_print(cli, "--%s ", cli_flag_helps[f].name);
        out_print(cli, "' -- \"$cur\")) ;;\n");
    }
    out_print(cli, "        esac\n        return ;;\n    esac\n");
}

static void bash_words(struct cli *cli)
{
    out_print(cli, "    case $verb in\n");
    for (const struct cli_verb *v = cli_verbs; v->name != NULL; v++) {
        if (has_choices(v)) {
            out_print(cli, "    '%s') COMPREPLY=($(compgen -W '", v->name);
            print_choices(cli, v->words);
            out_print(cli, "' -- \"$cur\")) ;;\n");
        } else if (strstr(v->words, "DIR") != NULL) {
            out_print(cli, "    '%s') COMPREPLY=($(compgen -d -- \"$cur\")) ;;\n", v->name);
        } else if (strstr(v->words, "FILE") != NULL) {
            out_print(cli, "    '%s') COMPREPLY=($(compgen -f -- \"$cur\")) ;;\n", v->name);
        }
    }
    out_print(cli, "    esac\n");
}

static void print_bash(struct cli *cli)
{
    out_print(cli, "# Completion of neap for bash: source <(neap completion bash)\n"
                   "_neap() {\n"
                   "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} verb=${COMP_WORDS[1]}\n"
                   "    local IFS=$' \\t\\n'\n"
                   "    COMPREPLY=()\n");
    bash_verbs(cli);
    bash_values(cli);
    bash_flags(cli);
    bash_words(cli);
    out_print(cli, "}\ncomplete -o filenames -F _neap neap\n");
}

/* ---- zsh ---- */

static void zsh_verbs(struct cli *cli, const struct cli_verb *family)
{
    out_print(cli, "verbs=(");
    for (const struct cli_verb *v = cli_verbs; v->name != NULL; v++) {
        if (family != NULL ? !is_of_word(v, family) : !is_first_of_word(v))
            continue;
        const char *name = family != NULL ? v->name + first_size(v) + 1 : v->name;
        int size = family != NULL ? (int)strlen(name) : first_size(v);
        out_print(cli, "\n            '%.*s:", size, name);
        print_quoted(cli, family == NULL && is_pair(v) ? "a verb of two words" : v->summary, "'\\''", ':');
        out_print(cli, "'");
    }
    out_print(cli, ")\n");
}

static void zsh_arguments(struct cli *cli, const struct cli_verb *verb)
{
    out_print(cli, "    '%s')\n        _arguments", verb->name);
    for (uint32_t f = 0; f < FLAG_COUNT; f++) {
        const struct cli_flag_help *flag = &cli_flag_helps[f];
        if (!has_flag(verb, f))
            continue;
        out_print(cli, " \\\n            '%s--%s%s[", f == FLAG_HEADER ? "*" : "", flag->name,
                  flag->value != NULL ? "=" : "");
        print_quoted(cli, flag->text, "'\\''", ':');
        out_print(cli, "]");
        if (flag->value != NULL)
            out_print(cli, ":%s:%s%s%s", flag->value,
                      flag->choices == NULL                ? ""
                      : strcmp(flag->choices, "FILE") == 0 ? "_files"
                      : strcmp(flag->choices, "DIR") == 0  ? "_files -/"
                                                           : "(",
                      flag->choices == NULL || flag->choices[0] < 'a' ? "" : flag->choices,
                      flag->choices == NULL || flag->choices[0] < 'a' ? "" : ")");
        out_print(cli, "'");
    }
    if (has_choices(verb)) {
        out_print(cli, " \\\n            '1:%s:(", verb->words);
        print_choices(cli, verb->words);
        out_print(cli, ")'");
    } else {
        out_print(cli, " \\\n            '*: :_files%s'", strstr(verb->words, "DIR") != NULL ? " -/" : "");
    }
    out_print(cli, " ;;\n");
}

static void print_zsh(struct cli *cli)
{
    out_print(cli, "#compdef neap\n# Completion of neap for zsh: source <(neap completion zsh)\n"
                   "_neap() {\n    local -a verbs\n    local verb=$words[2]\n"
                   "    if (( CURRENT == 2 )); then\n        ");
    zsh_verbs(cli, NULL);
    out_print(cli, "        _describe verb verbs\n        return\n    fi\n    case $verb in\n");
    for (const struct cli_verb *v = cli_verbs; v->name != NULL; v++) {
        if (!is_pair(v) || !is_first_of_word(v))
            continue;
        out_print(cli, "    %.*s)\n        if (( CURRENT == 3 )); then\n        ", first_size(v), v->name);
        zsh_verbs(cli, v);
        out_print(cli, "        _describe verb verbs\n        return\n        fi\n"
                       "        verb=\"$verb $words[3]\"\n        shift words\n        (( CURRENT-- )) ;;\n");
    }
    out_print(cli, "    esac\n    shift words\n    (( CURRENT-- ))\n    case $verb in\n");
    for (const struct cli_verb *v = cli_verbs; v->name != NULL; v++)
        zsh_arguments(cli, v);
    out_print(cli, "    esac\n}\ncompdef _neap neap\n");
}

/* ---- fish ---- */

static void fish_words(struct cli *cli, const struct cli_verb *verb)
{
    if (is_first_of_word(verb)) {
        out_print(cli, "complete -c neap -f -n __fish_use_subcommand -a '%.*s' -d '", first_size(verb), verb->name);
        print_quoted(cli, is_pair(verb) ? "a verb of two words" : verb->summary, "\\'", '\\');
        out_print(cli, "'\n");
    }
    if (is_pair(verb)) {
        out_print(cli, "complete -c neap -f -n '__neap_at %.*s' -a '%s' -d '", first_size(verb), verb->name,
                  verb->name + first_size(verb) + 1);
        print_quoted(cli, verb->summary, "\\'", '\\');
        out_print(cli, "'\n");
    }
    if (has_choices(verb)) {
        out_print(cli, "complete -c neap -f -n '__neap_in %s' -a '", verb->name);
        print_choices(cli, verb->words);
        out_print(cli, "'\n");
    }
}

static void fish_flags(struct cli *cli, const struct cli_verb *verb)
{
    for (uint32_t f = 0; f < FLAG_COUNT; f++) {
        const struct cli_flag_help *flag = &cli_flag_helps[f];
        if (!has_flag(verb, f))
            continue;
        out_print(cli, "complete -c neap -n '__neap_in %s' -l %s", verb->name, flag->name);
        if (flag->letter != 0)
            out_print(cli, " -s %c", flag->letter);
        if (flag->choices != NULL && flag->choices[0] >= 'a')
            out_print(cli, " -x -a '%s'", flag->choices);
        else if (flag->value != NULL)
            out_print(cli, flag->choices != NULL ? " -r -F" : " -x");
        out_print(cli, " -d '");
        print_quoted(cli, flag->text, "\\'", '\\');
        out_print(cli, "'\n");
    }
}

static void print_fish(struct cli *cli)
{
    out_print(
        cli, "# Completion of neap for fish: neap completion fish | source\n"
             "function __neap_in\n"
             "    set -l words (commandline -opc)\n"
             "    test (count $words) -gt (count $argv); and test \"$words[2..(math 1 + (count $argv))]\" = \"$argv\"\n"
             "end\n"
             "function __neap_at\n"
             "    set -l words (commandline -opc)\n"
             "    test (count $words) -eq 2; and test \"$words[2]\" = \"$argv[1]\"\n"
             "end\n");
    for (const struct cli_verb *v = cli_verbs; v->name != NULL; v++) {
        fish_words(cli, v);
        fish_flags(cli, v);
    }
}

int cli_completion(struct cli *cli)
{
    static const struct {
        const char *shell;
        void (*print)(struct cli *cli);
    } shells[] = { { "bash", print_bash }, { "zsh", print_zsh }, { "fish", print_fish } };
    for (uint32_t i = 0; i < COUNT_OF(shells); i++) {
        if (strcmp(cli->words[0], shells[i].shell) == 0) {
            shells[i].print(cli);
            return CLI_OK;
        }
    }
    say(cli, "completion: '%s' is none of bash, zsh, fish", cli->words[0]);
    return CLI_USAGE;
}
