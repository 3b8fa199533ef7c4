/* Any bytes as a record's headers: what a dead letter tells of them, and the event that is made of it again, which reads back. */
#include "fuzz.h"

#include "base/must.h"
#include "flow/redrive.h"

#define ROOM_SIZE (1u << 20)

static struct arena *arena;
static uint8_t room[ROOM_SIZE];

static void check_event(const struct record *letter, const struct dead_letter_view *view)
{
    static struct record_header headers[BATCH_HEADER_COUNT_MAX];
    struct record event, back;
    struct batch batch;
    struct batch_walk walk;
    struct batch_builder builder;
    uint32_t count, times = redrive_count(letter);
    if (redrive_event(letter, view, "p", arena, &event, headers, &count) != NEAP_OK)
        return;
    batch_begin(&builder, room, ROOM_SIZE);
    must(batch_record_size_max(&event, headers, count) <= ROOM_SIZE - BATCH_HEADER_SIZE);
    must(batch_add(&builder, &event, headers, count) == NEAP_OK);
    must(batch_open(batch_end(&builder), true, &batch) == NEAP_OK && batch_unpack(&batch, NULL, &walk) == NEAP_OK);
    must(batch_next(&walk, &back) == NEAP_OK && bytes_equal(back.value, letter->value));
    must(back.header_count == count && redrive_count(&back) == (times < 1000000000u ? times + 1 : times));
    struct dead_letter_view again;
    must(dead_letter_read(&back, &again) == NEAP_OK && again.reason.size == 0 && !again.was_in_log);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dead_letter_view view;
    if (arena == NULL)
        arena = arena_new(64u << 10, 4u << 20);
    must(arena != NULL);
    if (size < 1 || size > ROOM_SIZE / 8)
        return 0;
    struct record letter = {
        .key = BYTES("k"), .value = BYTES("{}"), .header_count = data[0], .headers = { data + 1, size - 1 }
    };
    arena_reset(arena);
    if (dead_letter_read(&letter, &view) == NEAP_OK && redrive_hindrance(&view) == NULL)
        check_event(&letter, &view);
    return 0;
}
