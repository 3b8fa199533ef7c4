/* exec_line.h - the lines that go to a child and come back (docs/exec.md): version 1.
 *
 *     to it     {"neap":1,"pipeline":"orders","stage":"score"}
 *               {"id":1,"event":{...},"key":"c7","headers":{...},"attempt":1,...}
 *     from it   {"id":1,"event":{...}}   or   {"id":1,"drop":true}   or   {"id":1,"error":"...","permanent":true}
 *
 * owner    none: they write into room that is there, and read what is borrowed
 * memory   none
 * limits   the writer's room; the parser's size
 * errors   the writer is `full`; BADINPUT and a word for people
 * promise  one line is one line: what is written holds no other line break; whatever bytes a child says are read or refused */
#ifndef STAGE_EXEC_LINE_H
#define STAGE_EXEC_LINE_H

#include "flow/event.h"

#define EXEC_PROTOCOL_VERSION 1u
#define EXEC_LINE_MORE_SIZE   (64u << 10) /* of a line, beside the event's JSON: key, headers, id */

struct exec_line {
    const struct event *event; /* all but its JSON */
    struct bytes json;
    uint64_t id;
};

void exec_hello_write(struct writer *w, const char *pipeline, const char *stage);
void exec_event_write(struct writer *w, const struct exec_line *line);
void exec_json_write(struct writer *w, struct bytes json); /* alone on its line */

struct exec_answer {
    enum { EXEC_ANSWER_EVENT, EXEC_ANSWER_DROP, EXEC_ANSWER_ERROR } kind;
    uint64_t id;
    struct bytes event;   /* as it is written in the line */
    struct bytes message; /* of an error; good until the parser is used again */
    bool permanent;
};
/* Without its line break. What fields it does not know it passes over. */
enum neap_status exec_answer_read(struct bytes line, struct json_parser *parser, struct exec_answer *ret_answer,
                                  const char **ret_what);

#endif
