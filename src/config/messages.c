/* messages.c - gathering, ordering and wording of what is wrong with a pipeline file. */
#include "config/messages.h"
#include "base/must.h"
#include "config/limits.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define LIST_ROOM          (2 * CONFIG_MESSAGE_COUNT_MAX + 1) /* and one line for those that were not kept */
#define MESSAGE_TEXT_MAX   1200
#define MESSAGE_ARENA_SIZE (16u << 10)

struct config_messages *messages_new(void)
{
    struct config_messages *m = calloc(1, sizeof *m);
    if (m == NULL)
        return NULL;
    m->arena_ =
        arena_new(MESSAGE_ARENA_SIZE, LIST_ROOM * (sizeof *m->list + MESSAGE_TEXT_MAX + 64) + 2 * MESSAGE_ARENA_SIZE);
    m->list = m->arena_ == NULL ? NULL : arena_zero(m->arena_, LIST_ROOM * sizeof *m->list);
    if (m->list == NULL)
        config_messages_free(&m);
    return m;
}

void config_messages_free(struct config_messages **messages)
{
    if (*messages == NULL)
        return;
    arena_free(&(*messages)->arena_);
    free(*messages);
    *messages = NULL;
}

__attribute__((format(printf, 4, 0))) static void add(struct config_messages *m, struct config_place place,
                                                      bool warning, const char *format, va_list values)
{
    must(m != NULL && place.line > 0 && place.column > 0);
    uint32_t *counted = warning ? &m->warning_count : &m->error_count;
    if ((*counted)++ >= CONFIG_MESSAGE_COUNT_MAX)
        return;
    char text[MESSAGE_TEXT_MAX];
    vsnprintf(text, sizeof text, format, values);
    for (char *at = text; *at != '\0'; at++)
        if ((unsigned char)*at < 0x20 || *at == 0x7f)
            *at = ' '; /* a message is one line, whatever it quotes */
    char *kept = arena_text(m->arena_, "%s", text);
    must(m->count < LIST_ROOM - 1);
    m->list[m->count++] = (struct config_message){ place, warning, kept == NULL ? "out of memory" : kept };
}

void message_error(struct config_messages *m, struct config_place place, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    add(m, place, false, format, values);
    va_end(values);
}

void message_warning(struct config_messages *m, struct config_place place, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    add(m, place, true, format, values);
    va_end(values);
}

static bool comes_after(const struct config_message *a, const struct config_message *b)
{
    if (a->place.line != b->place.line)
        return a->place.line > b->place.line;
    return a->place.column > b->place.column;
}

static bool same(const struct config_message *a, const struct config_message *b)
{
    return a->place.line == b->place.line && a->place.column == b->place.column && a->warning == b->warning &&
           strcmp(a->text, b->text) == 0;
}

/* An anchor that is used five times says its mistake five times. */
static void drop_repeated(struct config_messages *m)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < m->count; i++) {
        bool repeated = false;
        for (uint32_t back = kept; back-- > 0 && !comes_after(&m->list[i], &m->list[back]);)
            repeated = repeated || same(&m->list[i], &m->list[back]);
        if (repeated)
            (*(m->list[i].warning ? &m->warning_count : &m->error_count))--;
        else
            m->list[kept++] = m->list[i];
    }
    m->count = kept;
}

void messages_finish(struct config_messages *m)
{
    for (uint32_t i = 1; i < m->count; i++) {
        struct config_message moved = m->list[i];
        uint32_t to = i;
        for (; to > 0 && comes_after(&m->list[to - 1], &moved); to--)
            m->list[to] = m->list[to - 1];
        m->list[to] = moved;
    }
    drop_repeated(m);
    uint32_t unseen = m->error_count + m->warning_count - m->count;
    if (unseen == 0)
        return;
    const char *text = arena_text(m->arena_, "%u more like these are not shown", unseen);
    m->list[m->count] = (struct config_message){ m->list[m->count - 1].place, m->error_count == 0,
                                                 text == NULL ? "more are not shown" : text };
    m->count++;
}

/* ---- words -------------------------------------------------------------------------------------------------------- */

struct shown shown(struct bytes text)
{
    struct shown s;
    size_t room = sizeof s.text - sizeof "…";
    size_t size = text.size < room ? text.size : room;
    while (size < text.size && size > 0 && (text.at[size] & 0xc0) == 0x80)
        size--; /* never half a character */
    for (size_t i = 0; i < size; i++)
        s.text[i] = text.at[i] < 0x20 || text.at[i] == 0x7f ? ' ' : (char)text.at[i];
    memcpy(s.text + size, size < text.size ? "…" : "", size < text.size ? sizeof "…" : 1);
    return s;
}

static uint8_t folded(uint8_t letter)
{
    if (letter == '-')
        return '_';
    return letter >= 'A' && letter <= 'Z' ? (uint8_t)(letter + 32) : letter;
}

static unsigned min_of(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

#define WORD_SIZE_MAX 32

unsigned word_distance(struct bytes a, struct bytes b, unsigned max)
{
    if (a.size > WORD_SIZE_MAX || b.size > WORD_SIZE_MAX)
        return max + 1;
    unsigned rows[3][WORD_SIZE_MAX + 1]; /* Damerau and Levenshtein's table, of which three rows are needed */
    for (unsigned j = 0; j <= b.size; j++)
        rows[0][j] = j;
    for (unsigned i = 1; i <= a.size; i++) {
        unsigned *now = rows[i % 3], *last = rows[(i + 2) % 3], *before = rows[(i + 1) % 3];
        now[0] = i;
        for (unsigned j = 1; j <= b.size; j++) {
            uint8_t x = folded(a.at[i - 1]), y = folded(b.at[j - 1]);
            now[j] = min_of(last[j - 1] + (x != y), min_of(last[j], now[j - 1]) + 1);
            if (i > 1 && j > 1 && x == folded(b.at[j - 2]) && y == folded(a.at[i - 2]))
                now[j] = min_of(now[j], before[j - 2] + 1);
        }
    }
    return min_of(rows[a.size % 3][b.size], max + 1);
}

void nearest_offer(struct nearest *n, const char *word)
{
    struct bytes offered = bytes_of_text(word);
    size_t shorter = n->wanted.size < offered.size ? n->wanted.size : offered.size;
    unsigned reach = shorter >= 5 ? 2 : shorter >= 2 ? 1 : 0; /* of two letters, two changes leave nothing */
    unsigned distance = word_distance(n->wanted, offered, reach);
    if (distance <= reach && (n->word == NULL || distance < n->distance)) {
        n->word = word;
        n->distance = distance;
    }
}
