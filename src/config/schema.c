/* schema.c - the table of keys as a JSON Schema (2020-12), for editors.
 *
 * A scalar is text whatever YAML makes of it (`no` is a word), so numbers and booleans pass where a text is wanted, and a
 * text with ${...} passes wherever a value is. What the schema cannot say, `neap check` does. */
#include "base/must.h"
#include "config/config.h"
#include "config/keys.h"
#include "config/out.h"

#define NAME_PATTERN "^[A-Za-z0-9._-]{1,249}$"
#define PUT_IN       "\\\\$\\\\{" /* ${ as a pattern in a JSON text */
#define SIZE         "[0-9]+(B|KiB|MiB|GiB|TiB)"
#define DURATION     "[0-9]+(ms|s|m|h|d)"
#define TEXT_OR_EXPR                                                                                             \
    "{\"type\": [\"string\", \"number\", \"boolean\"]}, {\"type\": \"object\", \"properties\": {\"expr\": {}}, " \
    "\"required\": "                                                                                             \
    "[\"expr\"], \"additionalProperties\": false}"
#define ANY_TEXT "\"type\": [\"string\", \"number\", \"boolean\"]"

static void write_choices(const struct out *out, const char *choices)
{
    struct bytes choice;
    out_text(out, "\"anyOf\": [{\"enum\": [");
    for (uint32_t i = 0; (choice = choice_at(choices, i)).at != NULL; i++)
        out_format(out, "%s\"%.*s\"", i == 0 ? "" : ", ", (int)choice.size, (const char *)choice.at);
    out_text(out, "]}, {\"type\": \"string\", \"pattern\": \"" PUT_IN "\"}]");
}

static void write_type(const struct out *out, const struct key *key)
{
    const char *of = scopes[key->of].name;
    switch (key->type) {
    case KEY_NAME:
        out_text(out, "\"type\": [\"string\", \"number\"], \"pattern\": \"" NAME_PATTERN "|" PUT_IN "\"");
        break;
    case KEY_BOOL:
        out_text(out, "\"type\": [\"boolean\", \"string\"], \"pattern\": \"" PUT_IN "\"");
        break;
    case KEY_SIZE:
        out_text(out, "\"type\": \"string\", \"pattern\": \"^" SIZE "$|" PUT_IN "\"");
        break;
    case KEY_DURATION:
        out_text(out, "\"type\": \"string\", \"pattern\": \"^" DURATION "$|" PUT_IN "\"");
        break;
    case KEY_DISK:
        out_text(out, "\"type\": \"string\", \"pattern\": \"^(" SIZE "|[0-9]+%)$|" PUT_IN "\"");
        break;
    case KEY_RETENTION:
        out_format(out,
                   "\"anyOf\": [{\"type\": \"string\", \"pattern\": \"^(done|forever|" SIZE "|" DURATION ")$|" PUT_IN
                   "\"}, {\"$ref\": \"#/$defs/%s\", \"minProperties\": 1}]",
                   of);
        break;
    case KEY_DURABILITY:
        out_format(out,
                   "\"anyOf\": [{\"type\": \"string\", \"pattern\": \"^(fsync|interval)$|" PUT_IN
                   "\"}, {\"$ref\": \"#/$defs/%s\"}]",
                   of);
        break;
    case KEY_SHARE:
        out_text(out, "\"type\": \"string\", \"pattern\": \"^[0-9]+%$|" PUT_IN "\"");
        break;
    case KEY_RATE:
        out_text(out, "\"type\": \"string\", \"pattern\": \"^[0-9]+/(s|m|h|d)$|" PUT_IN "\"");
        break;
    case KEY_TIMES:
        out_text(out, "\"type\": \"string\", \"pattern\": \"^" DURATION "(\\\\.\\\\." DURATION ")?$|" PUT_IN "\"");
        break;
    case KEY_COUNTS:
        out_format(out,
                   "\"type\": [\"integer\", \"string\"], \"minimum\": %llu, \"maximum\": %llu, "
                   "\"pattern\": \"^[0-9]+(\\\\.\\\\.[0-9]+)?$|" PUT_IN "\"",
                   (unsigned long long)key->least, (unsigned long long)key->most);
        break;
    case KEY_OUTCOMES:
        out_text(out, "\"type\": \"array\", \"minItems\": 1, \"uniqueItems\": true, \"items\": {\"type\": [\"string\", "
                      "\"integer\"], \"pattern\": \"^([1-5][0-9x][0-9x]|[a-z]+)$|" PUT_IN "\"}");
        break;
    case KEY_TEXT_OR_EXPR:
        out_text(out, "\"anyOf\": [" TEXT_OR_EXPR "]");
        break;
    case KEY_HEADERS:
        out_text(out, "\"type\": \"object\", \"minProperties\": 1, \"additionalProperties\": {\"anyOf\": [" TEXT_OR_EXPR
                      "]}");
        break;
    case KEY_DATA:
        out_text(out, "\"default\": null");
        break;
    case KEY_COUNT:
        out_format(out,
                   "\"type\": [\"integer\", \"string\"], \"minimum\": %llu, \"maximum\": %llu, "
                   "\"pattern\": \"^[0-9]+$|" PUT_IN "\"",
                   (unsigned long long)key->least, (unsigned long long)key->most);
        break;
    case KEY_CHOICE:
        write_choices(out, key->choices);
        break;
    case KEY_EXPRS:
        out_text(out, "\"type\": \"object\", \"minProperties\": 1, \"additionalProperties\": {" ANY_TEXT "}");
        break;
    case KEY_COLUMNS:
        out_text(out, "\"type\": [\"object\", \"array\"], \"minProperties\": 1, \"additionalProperties\": {" ANY_TEXT
                      "}, \"minItems\": 1, \"items\": {" ANY_TEXT "}");
        break;
    case KEY_FIELDS:
        out_text(out, "\"type\": \"array\", \"minItems\": 1, \"uniqueItems\": true, \"items\": {" ANY_TEXT "}");
        break;
    case KEY_COMMAND:
        out_text(out,
                 "\"type\": [\"string\", \"array\"], \"minLength\": 1, \"minItems\": 1, \"items\": {" ANY_TEXT "}");
        break;
    case KEY_BLOCK:
        if (key->bare != NULL && strcmp(key->bare, "command") == 0)
            out_format(out, "\"anyOf\": [{\"type\": [\"string\", \"array\"]}, {\"$ref\": \"#/$defs/%s\"}]", of);
        else if (key->bare != NULL)
            out_format(out, "\"anyOf\": [{\"type\": \"string\"}, {\"$ref\": \"#/$defs/%s\"}]", of);
        else
            out_format(out, "\"$ref\": \"#/$defs/%s\"", of);
        break;
    case KEY_NAMED:
        out_format(
            out,
            "\"type\": \"object\", \"minProperties\": 1, \"maxProperties\": %llu, \"propertyNames\": {\"pattern\": "
            "\"" NAME_PATTERN "\"}, \"additionalProperties\": {\"$ref\": \"#/$defs/%s\"}",
            (unsigned long long)key->most, of);
        break;
    case KEY_LIST:
        out_format(out,
                   "\"type\": \"array\", \"minItems\": 1, \"maxItems\": %llu, \"items\": {\"$ref\": \"#/$defs/%s\"}",
                   (unsigned long long)key->most, of);
        break;
    default:
        out_text(out, ANY_TEXT);
        break;
    }
}

static void write_key(const struct out *out, const struct key *key)
{
    must(key->doc != NULL && key->example != NULL);
    out_format(out, "        \"%s\": {\"description\": ", key->name);
    out_json(out, key->doc);
    out_text(out, ", ");
    write_type(out, key);
    if (key->fallback != NULL) {
        bool is_bool = key->type == KEY_BOOL;
        out_text(out, ", \"default\": ");
        (is_bool ? out_text : out_json)(out, key->fallback);
    }
    out_text(out, "}");
}

/* "required" of those that are, and exactly one of the kinds. */
static void write_needs(const struct out *out, enum scope scope)
{
    const char *before = ",\n      \"required\": [", *after = "";
    for (const struct key *key = key_next(scope, NULL); key != NULL; key = key_next(scope, key)) {
        if (!key->required)
            continue;
        out_format(out, "%s\"%s\"", before, key->name);
        before = ", ";
        after = "]";
    }
    out_text(out, after);
    before = ",\n      \"oneOf\": [";
    after = "";
    for (const struct key *key = key_next(scope, NULL); key != NULL; key = key_next(scope, key)) {
        if (!key->kind)
            continue;
        out_format(out, "%s{\"required\": [\"%s\"]}", before, key->name);
        before = ", ";
        after = "]";
    }
    out_text(out, after);
}

static void write_scope(const struct out *out, enum scope scope)
{
    const char *before = "";
    out_format(out, "    \"%s\": {\n      \"type\": \"%s\",\n", scopes[scope].name, "object");
    out_text(out, "      \"properties\": {\n");
    for (const struct key *key = key_next(scope, NULL); key != NULL; key = key_next(scope, key)) {
        out_text(out, before);
        write_key(out, key);
        before = ",\n";
    }
    out_text(out, "\n      },\n");
    if (scope == IN_FILE)
        out_text(out, "      \"patternProperties\": {\"^x-\": {}},\n");
    out_text(out, "      \"additionalProperties\": false");
    write_needs(out, scope);
    out_text(out, "\n    }");
}

void config_write_schema(void (*write)(void *ctx, struct bytes text), void *ctx)
{
    const struct out out = { write, ctx };
    out_text(&out, "{\n"
                   "  \"$schema\": \"https://json-schema.org/draft/2020-12/schema\",\n"
                   "  \"title\": \"Neap pipeline file\",\n"
                   "  \"$ref\": \"#/$defs/file\",\n"
                   "  \"$defs\": {\n");
    for (enum scope scope = 0; scope < SCOPE_COUNT; scope++) {
        write_scope(&out, scope);
        out_text(&out, scope + 1 < SCOPE_COUNT ? ",\n" : "\n");
    }
    out_text(&out, "  }\n}\n");
}
