/* calls.c - each rule of a call that no single value can break alone, and what a url or a header may not be. */
#include "config/calls.h"
#include "base/must.h"
#include "config/limits.h"
#include "config/messages.h"
#include "flow/destination.h"
#include <strings.h>

static const char *const methods[] = { [CONFIG_POST] = "POST",
                                       [CONFIG_PUT] = "PUT",
                                       [CONFIG_PATCH] = "PATCH",
                                       [CONFIG_GET] = "GET",
                                       [CONFIG_DELETE] = "DELETE" };

const char *config_method_word(enum config_method method)
{
    must((size_t)method < COUNT_OF(methods));
    return methods[method];
}

static struct config_place place_in(const struct tree_node *node, const char *key)
{
    const struct tree_item *item = tree_find(node, key);
    return item == NULL ? node->place : item->key->place;
}

static bool has_blank(struct bytes text)
{
    for (size_t i = 0; i < text.size; i++)
        if (text.at[i] <= ' ' || text.at[i] == 0x7f)
            return true;
    return false;
}

static bool begins_with(const char *text, const char *start)
{
    return strncasecmp(text, start, strlen(start)) == 0;
}

/* It may hold a password, from the environment too: what is wrong is said without it. */
static void check_url(struct reading *r, const struct config_text *url)
{
    char room[DESTINATION_NAME_SIZE_MAX];
    struct bytes name;
    if (url->text == NULL)
        return;
    if (!begins_with(url->text, "http://") && !begins_with(url->text, "https://"))
        message_error(r->messages, url->place, "a url begins with http:// or https://");
    else if (has_blank(bytes_of_text(url->text)))
        message_error(r->messages, url->place, "a url has no blanks; write %%20");
    else if (strlen(url->text) > CONFIG_URL_SIZE_MAX ||
             destination_name_of(bytes_of_text(url->text), room, &name) != NEAP_OK)
        message_error(r->messages, url->place,
                      "this url has no host that can be called, such as https://example.com/path");
}

static bool is_token(const char *name)
{
    for (const char *c = name; *c != '\0'; c++) {
        bool letter = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9');
        if (!letter && strchr("!#$%&'*+-.^_`|~", *c) == NULL)
            return false;
    }
    return name[0] != '\0';
}

static bool has_control(const char *text)
{
    for (; *text != '\0'; text++)
        if (((unsigned char)*text < ' ' && *text != '\t') || *text == 0x7f)
            return true;
    return false;
}

static void check_header(struct reading *r, const struct config_call *call, uint32_t index)
{
    static const char *const ours[] = { "content-length", "transfer-encoding", "expect" };
    const struct config_header *h = &call->headers[index];
    struct shown name = shown(bytes_of_text(h->name));
    if (!is_token(h->name))
        message_error(r->messages, h->place, "'%s' cannot be the name of a header: it has letters, digits and -",
                      name.text);
    for (size_t i = 0; i < COUNT_OF(ours); i++)
        if (strcasecmp(h->name, ours[i]) == 0)
            message_error(r->messages, h->place, "'%s' follows from the body and cannot be set", name.text);
    for (uint32_t i = 0; i < index; i++)
        if (strcasecmp(h->name, call->headers[i].name) == 0)
            message_error(r->messages, h->place, "header '%s' is there already: capital letters make no other",
                          name.text);
    if (h->value.text != NULL && has_control(h->value.text))
        message_error(r->messages, h->value.place, "header '%s' holds a line break or a control character", name.text);
}

static void check_answer(struct reading *r, const struct config_call *call, const struct tree_node *node)
{
    bool changes = call->method == CONFIG_PUT || call->method == CONFIG_PATCH || call->method == CONFIG_DELETE;
    if (call->into != NULL && call->into[0] == '\0')
        message_error(r->messages, place_in(node, "into"), "'into' names no field");
    if (call->fallback != NULL && call->into == NULL)
        message_error(r->messages, place_in(node, "fallback"),
                      "'fallback' stands in for an answer, and this call drops its answers; write 'into: FIELD' too");
    if (call->cache.by.text != NULL && changes)
        message_warning(r->messages, place_in(node, "cache"),
                        "a %s changes something there: events that find an answer in the cache change nothing",
                        config_method_word(call->method));
    if (call->private_allowed && call->url.text != NULL)
        message_warning(r->messages, place_in(node, "allow_private_network"),
                        "'allow_private_network' says nothing: a url that is written here may lead anywhere");
}

void call_check(struct reading *r, const struct config_stage *stage, const struct tree_node *node)
{
    const struct config_call *call = &stage->call;
    check_url(r, &call->url);
    for (uint32_t i = 0; i < call->header_count; i++)
        check_header(r, call, i);
    check_answer(r, call, node);
}
