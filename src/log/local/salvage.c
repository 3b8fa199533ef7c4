#include "log/local/salvage.h"

enum neap_status salvage_next(struct scan *s, struct entry_header *ret_header, struct bytes *ret_body)
{
    struct entry_header h;
    uint64_t end = s->base + s->size;
    const uint8_t *at = scan_bytes(s, s->position, ENTRY_HEADER_SIZE);
    if (at == NULL || entry_header_read(at, s->salt, s->position, &h) != NEAP_OK || h.boot < s->boot ||
        h.entry_size > end - s->position) {
        enum neap_status status = scan_resume(s);
        return status == NEAP_OK ? NEAP_NOTFOUND : status;
    }
    at = scan_bytes(s, s->position, ENTRY_HEADER_SIZE + (size_t)h.body_size);
    *ret_body = (struct bytes){ at != NULL ? at + ENTRY_HEADER_SIZE : NULL, at != NULL ? h.body_size : 0 };
    if (at == NULL && s->status == NEAP_OK && s->from == s->position &&
        s->filled > ENTRY_HEADER_SIZE) /* the file ends in it */
        *ret_body = (struct bytes){ s->buffer + ENTRY_HEADER_SIZE, s->filled - ENTRY_HEADER_SIZE };
    *ret_header = h;
    s->boot = h.boot;
    s->position += h.entry_size;
    return NEAP_OK;
}

/* Where the header at `at` may be believed: it says its own position, and what it speaks of fits. */
static bool stands(const struct entry_header *h, struct bytes body, uint64_t at, struct op *ret_op)
{
    struct bytes rest = { body.at + at, body.size - at };
    return op_header_read(rest, h->salt, h->position + ENTRY_HEADER_SIZE + at, ret_op) == NEAP_OK &&
           op_size(ret_op->name.size, ret_op->payload.size) <= rest.size;
}

void salvage_entry(const struct entry_header *header, struct bytes body, const struct salvage *salvage)
{
    for (uint64_t at = 0; at + OP_HEADER_SIZE <= body.size;) {
        struct op op;
        if (!stands(header, body, at, &op)) {
            at += OP_BOUND;
            continue;
        }
        uint64_t size = op_size(op.name.size, op.payload.size);
        bool intact = op_read((struct bytes){ body.at + at, body.size - at }, header->salt,
                              header->position + ENTRY_HEADER_SIZE + at, &op) == NEAP_OK;
        salvage->op(salvage->ctx, &op, intact);
        at += size;
    }
}
