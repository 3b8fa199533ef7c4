#include "stage/replace.h"

bool event_replace(struct event *event, struct bytes json, struct json_parser *parser, struct arena *arena,
                   const char *who, struct failure *failure)
{
    uint32_t column = 0;
    const char *what = "there is no memory to read it";
    enum neap_status status = json_parse(parser, json, &event->root);
    if (status == NEAP_OK) {
        event->json = json;
        event->fields = NULL;
        event->field_count = event->field_room = 0;
        event->keep_only = false;
        return true;
    }
    if (status == NEAP_TOOLARGE)
        what = "it is larger than an event may be";
    else if (status == NEAP_BADINPUT && json_explain(json, &column, &what) == NEAP_OK)
        what = "it is not JSON";
    const char *said = column > 0 ? arena_text(arena, "%.200s: %s at byte %u", who, what, column)
                                  : arena_text(arena, "%.200s: %s", who, what);
    *failure = (struct failure){ .reason = status == NEAP_BADINPUT ? "not_json" : "too_large",
                                 .message = bytes_of_text(said != NULL ? said : what),
                                 .column = column,
                                 .status = status };
    return false;
}
