#include "log/local/entry.h"
#include "base/crc32c.h"
#include "base/must.h"
#include "log/batch.h"

#define BATCH_CRC_AT 17u

void file_header_write(const struct file_header *h, uint8_t *page)
{
    put_le32(page, JOURNAL_MAGIC);
    put_le32(page + 4, JOURNAL_VERSION);
    memcpy(page + 8, h->log_id.bytes, sizeof(h->log_id.bytes));
    put_le64(page + 24, h->sequence);
    put_le64(page + 32, h->base);
    put_le64(page + 40, h->size);
    put_le64(page + 48, h->salt);
    put_le32(page + 56, crc32c(0, page, 56));
}

enum neap_status file_header_read(const uint8_t *page, struct file_header *ret_header)
{
    if (get_le32(page) != JOURNAL_MAGIC)
        return NEAP_BADINPUT;
    if (get_le32(page + 56) != crc32c(0, page, 56))
        return NEAP_CORRUPT;
    if (get_le32(page + 4) > JOURNAL_VERSION)
        return NEAP_VERSION;
    struct file_header h;
    memcpy(h.log_id.bytes, page + 8, sizeof(h.log_id.bytes));
    h.sequence = get_le64(page + 24);
    h.base = get_le64(page + 32);
    h.size = get_le64(page + 40);
    h.salt = get_le64(page + 48);
    if (h.size < 2 * JOURNAL_PAGE_SIZE || h.size % JOURNAL_PAGE_SIZE != 0 || h.base % JOURNAL_PAGE_SIZE != 0 ||
        h.size > UINT32_MAX || h.base > UINT64_MAX / 2)
        return NEAP_CORRUPT;
    *ret_header = h;
    return NEAP_OK;
}

void entry_header_write(const struct entry_header *h, uint8_t *at)
{
    must(h->entry_size % ENTRY_BOUND == 0 && h->entry_size >= ENTRY_HEADER_SIZE + h->body_size);
    put_le32(at, ENTRY_MAGIC);
    put_le64(at + 8, h->salt);
    put_le64(at + 16, h->boot);
    put_le64(at + 24, h->position);
    put_le64(at + 32, h->durable_mark);
    put_le64(at + 40, (uint64_t)h->time_ms);
    put_le32(at + 48, h->entry_size);
    put_le32(at + 52, h->body_size);
    put_le16(at + 56, h->op_count);
    put_le16(at + 58, h->flags);
    put_le32(at + 60, h->body_crc);
    put_le32(at + 4, crc32c(0, at + 8, ENTRY_HEADER_SIZE - 8));
}

enum neap_status entry_header_read(const uint8_t *at, uint64_t salt, uint64_t position, struct entry_header *ret_header)
{
    if (get_le32(at) != ENTRY_MAGIC || get_le64(at + 8) != salt || get_le64(at + 24) != position)
        return NEAP_BADINPUT; /* rule E1 */
    if (get_le32(at + 4) != crc32c(0, at + 8, ENTRY_HEADER_SIZE - 8))
        return NEAP_BADINPUT;
    struct entry_header h = {
        .salt = salt,
        .boot = get_le64(at + 16),
        .position = position,
        .durable_mark = get_le64(at + 32),
        .time_ms = (int64_t)get_le64(at + 40),
        .entry_size = get_le32(at + 48),
        .body_size = get_le32(at + 52),
        .op_count = get_le16(at + 56),
        .flags = get_le16(at + 58),
        .body_crc = get_le32(at + 60),
    };
    if (h.entry_size % ENTRY_BOUND != 0 || h.entry_size < ENTRY_HEADER_SIZE ||
        h.body_size > h.entry_size - ENTRY_HEADER_SIZE || h.durable_mark > position)
        return NEAP_BADINPUT;
    *ret_header = h;
    return NEAP_OK;
}

uint32_t op_payload_crc(enum op_kind kind, struct bytes name, struct bytes payload)
{
    if (kind == OP_APPEND) {
        must(payload.size >= BATCH_HEADER_SIZE);
        return get_be32(payload.at + BATCH_CRC_AT); /* rule E3 */
    }
    return crc32c(crc32c(0, name.at, name.size), payload.at, payload.size);
}

static uint32_t op_seed(uint64_t salt, uint64_t position)
{
    return (uint32_t)(salt + position);
}

void op_header_write(const struct op *op, uint64_t salt, uint8_t *at)
{
    must(op->name.size <= UINT16_MAX && op->payload.size <= UINT32_MAX);
    at[4] = (uint8_t)op->kind;
    at[5] = op->view;
    put_le16(at + 6, (uint16_t)op->name.size);
    put_le32(at + 8, op->target.topic_id);
    put_le32(at + 12, op->target.partition);
    put_le64(at + 16, op->offset);
    put_le32(at + 24, op->count);
    put_le32(at + 28, (uint32_t)op->payload.size);
    put_le32(at + 32, op->payload_crc);
    put_le32(at + 36, op->time_s);
    put_le32(at, crc32c(op_seed(salt, op->position), at + 4, OP_HEADER_SIZE - 4));
}

enum neap_status op_header_read(struct bytes bytes, uint64_t salt, uint64_t position, struct op *ret_op)
{
    if (bytes.size < OP_HEADER_SIZE)
        return NEAP_BADINPUT;
    const uint8_t *at = bytes.at;
    if (get_le32(at) != crc32c(op_seed(salt, position), at + 4, OP_HEADER_SIZE - 4))
        return NEAP_CORRUPT;
    if (at[4] < OP_APPEND || at[4] > OP_KIND_MAX)
        return NEAP_VERSION;
    *ret_op = (struct op){
        .kind = (enum op_kind)at[4],
        .view = at[5],
        .target = { get_le32(at + 8), get_le32(at + 12) },
        .offset = get_le64(at + 16),
        .count = get_le32(at + 24),
        .time_s = get_le32(at + 36),
        .payload_crc = get_le32(at + 32),
        .name = { NULL, get_le16(at + 6) },
        .payload = { NULL, get_le32(at + 28) },
        .position = position,
    };
    return NEAP_OK;
}

/* Rule E3: what a batch's own CRC does not cover must be what the operation's header says. */
static bool batch_prefix_is_right(const struct op *op)
{
    const uint8_t *b = op->payload.at;
    return op->name.size == 0 && op->payload.size >= BATCH_HEADER_SIZE && get_be64(b) == op->offset &&
           get_be32(b + 8) == op->payload.size - 12 && get_be32(b + 12) == 0 && b[16] == 2 &&
           get_be32(b + BATCH_CRC_AT) == op->payload_crc && get_be32(b + 23) + 1 == op->count && op->count > 0;
}

enum neap_status op_read(struct bytes bytes, uint64_t salt, uint64_t position, struct op *ret_op)
{
    struct op op;
    enum neap_status status = op_header_read(bytes, salt, position, &op);
    if (status != NEAP_OK)
        return status;
    if (bytes.size - OP_HEADER_SIZE < op.name.size || bytes.size - OP_HEADER_SIZE - op.name.size < op.payload.size)
        return NEAP_CORRUPT;
    op.name.at = bytes.at + OP_HEADER_SIZE;
    op.payload.at = op.name.at + op.name.size;
    if (op.kind == OP_APPEND) {
        if (!batch_prefix_is_right(&op) ||
            crc32c(0, op.payload.at + BATCH_CRC_AT + 4, op.payload.size - BATCH_CRC_AT - 4) != op.payload_crc)
            return NEAP_CORRUPT;
    } else if (op_payload_crc(op.kind, op.name, op.payload) != op.payload_crc) {
        return NEAP_CORRUPT;
    }
    *ret_op = op;
    return NEAP_OK;
}

void entry_walk_begin(struct entry_walk *walk, const struct entry_header *header, struct bytes body)
{
    *walk = (struct entry_walk){ .header = header, .position = header->position + ENTRY_HEADER_SIZE };
    if (body.size > header->body_size)
        body.size = header->body_size;
    walk->left = reader_of(body);
}

enum neap_status entry_walk_next(struct entry_walk *walk, struct op *ret_op)
{
    size_t left = reader_left(&walk->left);
    if (walk->index == walk->header->op_count)
        return left == 0 && walk->crc == walk->header->body_crc ? NEAP_NOTFOUND : NEAP_CORRUPT;
    struct op op;
    enum neap_status status = op_read((struct bytes){ walk->left.at, left }, walk->header->salt, walk->position, &op);
    if (status != NEAP_OK)
        return status == NEAP_VERSION ? NEAP_VERSION : NEAP_CORRUPT;
    uint64_t size = op_size(op.name.size, op.payload.size);
    if (size > left)
        return NEAP_CORRUPT;
    walk->crc = crc32c(walk->crc, walk->left.at, OP_HEADER_SIZE);
    read_bytes(&walk->left, size);
    walk->position += size;
    walk->index++;
    *ret_op = op;
    return NEAP_OK;
}

enum neap_status entry_check(const struct entry_header *header, struct bytes body)
{
    if (body.size < header->body_size)
        return NEAP_CORRUPT;
    struct entry_walk walk;
    struct op op;
    entry_walk_begin(&walk, header, body);
    enum neap_status status;
    do
        status = entry_walk_next(&walk, &op);
    while (status == NEAP_OK);
    return status == NEAP_NOTFOUND ? NEAP_OK : status;
}
