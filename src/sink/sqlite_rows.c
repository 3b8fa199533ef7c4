/* sqlite_rows.c - a row on its way from an expression's value to SQLite's parameter, in one copy. */
#include "base/must.h"
#include "base/utf8.h"
#include "sink/sqlite.h"
#include <math.h>

enum cell_kind { CELL_NULL, CELL_INT, CELL_DOUBLE, CELL_TEXT, CELL_BLOB };

static bool is_utf8(struct bytes text)
{
    size_t i = 0;
    while (i < text.size) {
        uint64_t eight;
        if (text.size - i >= sizeof eight) {
            memcpy(&eight, text.at + i, sizeof eight);
            if ((eight & 0x8080808080808080u) == 0) {
                i += sizeof eight;
                continue;
            }
        }
        size_t size = utf8_size(text.at + i, text.size - i);
        if (size == 0)
            return false;
        i += size;
    }
    return true;
}

static size_t cell_size(const struct value *v)
{
    switch (v->kind) {
    case VALUE_NIL:
        return 1;
    case VALUE_DOUBLE:
        return isnan(v->d) ? 1 : 9;
    case VALUE_BOOL:
    case VALUE_INT:
        return 9;
    case VALUE_TEXT:
    case VALUE_JSON:
        return 5 + v->text.size;
    }
    must(!"a kind of value");
    return 0;
}

size_t sqlite_row_size(const struct value *values, uint32_t count)
{
    size_t size = sizeof(uint64_t);
    for (uint32_t i = 0; i < count; i++)
        size += cell_size(&values[i]);
    return size;
}

static uint8_t *put_number(uint8_t *at, enum cell_kind kind, uint64_t bits)
{
    *at = (uint8_t)kind;
    put_le64(at + 1, bits);
    return at + 9;
}

static uint8_t *put_text(uint8_t *at, const struct value *v)
{
    bool text = v->kind == VALUE_JSON || is_utf8(v->text);
    *at = text ? CELL_TEXT : CELL_BLOB; /* bytes that are no text stay the bytes they are */
    put_le32(at + 1, (uint32_t)v->text.size);
    if (v->text.size > 0)
        memcpy(at + 5, v->text.at, v->text.size);
    return at + 5 + v->text.size;
}

static uint8_t *put_cell(uint8_t *at, const struct value *v)
{
    uint64_t bits;
    switch (v->kind) {
    case VALUE_BOOL:
        return put_number(at, CELL_INT, v->b);
    case VALUE_INT:
        return put_number(at, CELL_INT, (uint64_t)v->i);
    case VALUE_DOUBLE:
        if (isnan(v->d))
            break;
        memcpy(&bits, &v->d, sizeof bits);
        return put_number(at, CELL_DOUBLE, bits);
    case VALUE_TEXT:
    case VALUE_JSON:
        return put_text(at, v);
    case VALUE_NIL:
        break;
    }
    *at = CELL_NULL;
    return at + 1;
}

void sqlite_row_write(struct writer *w, log_offset offset, const struct value *values, uint32_t count)
{
    must(!w->full && (size_t)(w->end - w->at) >= sqlite_row_size(values, count));
    put_le64(w->at, offset.n);
    w->at += sizeof(uint64_t);
    for (uint32_t i = 0; i < count; i++)
        w->at = put_cell(w->at, &values[i]);
    must(w->at <= w->end);
}

log_offset sqlite_row_offset(const uint8_t *at)
{
    return (log_offset){ get_le64(at) };
}

static const uint8_t *bind_cell(sqlite3_stmt *statement, int index, const uint8_t *at, int *ret_code)
{
    double d;
    uint64_t bits;
    uint32_t size;
    switch ((enum cell_kind) * at) {
    case CELL_NULL:
        *ret_code = sqlite3_bind_null(statement, index);
        return at + 1;
    case CELL_INT:
        *ret_code = sqlite3_bind_int64(statement, index, (int64_t)get_le64(at + 1));
        return at + 9;
    case CELL_DOUBLE:
        bits = get_le64(at + 1);
        memcpy(&d, &bits, sizeof d);
        *ret_code = sqlite3_bind_double(statement, index, d);
        return at + 9;
    case CELL_TEXT:
        size = get_le32(at + 1);
        *ret_code = sqlite3_bind_text(statement, index, (const char *)at + 5, (int)size, SQLITE_STATIC);
        return at + 5 + size;
    case CELL_BLOB:
        size = get_le32(at + 1);
        *ret_code = sqlite3_bind_blob(statement, index, at + 5, (int)size, SQLITE_STATIC);
        return at + 5 + size;
    }
    must(!"a kind of cell");
    return at;
}

int sqlite_row_bind(sqlite3_stmt *statement, const uint8_t **at, const uint8_t *end, uint32_t count)
{
    const uint8_t *cell = *at + sizeof(uint64_t);
    int code = SQLITE_OK, first_failure = SQLITE_OK;
    for (uint32_t i = 0; i < count; i++) {
        cell = bind_cell(statement, (int)i + 1, cell, &code);
        if (code != SQLITE_OK && first_failure == SQLITE_OK)
            first_failure = code;
    }
    must(cell <= end); /* add() wrote whole rows */
    *at = cell;
    return first_failure;
}
