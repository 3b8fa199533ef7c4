/* Ids that were seen come out of a record as they went in; and any other bytes are refused, or are entries. */
#include "check.h"

#include "flow/dedup_record.h"
#include <stdlib.h>

static uint64_t seed = 3;

static struct dedup_seen_id any(uint64_t *offset, int64_t *ms)
{
    *offset += 1 + chance_below(&seed, 1000);
    *ms += (int64_t)chance_below(&seed, 100000);
    struct dedup_seen_id seen = { .offset = { *offset }, .appended_ms = *ms };
    for (int i = 0; i < 3; i++)
        seen.id.part[i] = (uint32_t)chance_below(&seed, UINT32_MAX);
    return seen;
}

static void entries_come_out_as_they_went_in(void **state)
{
    static uint8_t room[2000];
    static struct dedup_seen_id list[100];
    for (int round = 0; round < 200; round++) {
        uint64_t offset = chance_below(&seed, UINT64_MAX / 2);
        int64_t ms = (int64_t)chance_below(&seed, 1ull << 42);
        struct writer w = writer_of(room, sizeof room);
        struct dedup_record record = { .count = 0 };
        struct log_partition source = { (uint32_t)chance_below(&seed, 1000), (uint32_t)chance_below(&seed, 1000) };
        uint32_t count = 0;
        for (;; count++) {
            struct dedup_seen_id one = any(&offset, &ms);
            if (!dedup_record_fits(&record, &w, one.offset, one.appended_ms))
                break;
            assert_true(count < 100);
            list[count] = one;
            dedup_record_add(&record, &w, source, &one);
        }
        assert_int_equal(count, (sizeof room - DEDUP_RECORD_HEADER_SIZE) / DEDUP_RECORD_ENTRY_SIZE);
        struct dedup_record_walk walk;
        struct dedup_seen_id back;
        assert_int_equal(dedup_record_read(writer_bytes(&w), &walk), NEAP_OK);
        assert_true(walk.source.topic_id == source.topic_id && walk.source.partition == source.partition);
        for (uint32_t i = 0; i < count; i++) {
            assert_true(dedup_record_next(&walk, &back));
            assert_true(back.offset.n == list[i].offset.n && back.appended_ms == list[i].appended_ms);
            assert_memory_equal(&back.id, &list[i].id, sizeof back.id);
        }
        assert_false(dedup_record_next(&walk, &back));
    }
}

static void what_is_too_far_from_the_first_goes_into_another(void **state)
{
    uint8_t room[200];
    struct writer w = writer_of(room, sizeof room);
    struct dedup_record record = { .count = 0 };
    struct dedup_seen_id first = { .offset = { 10 }, .appended_ms = 10 };
    dedup_record_add(&record, &w, (struct log_partition){ 1, 2 }, &first);
    assert_true(dedup_record_fits(&record, &w, (log_offset){ 10 + (uint64_t)UINT32_MAX }, 10 + (int64_t)UINT32_MAX));
    assert_false(dedup_record_fits(&record, &w, (log_offset){ 11 + (uint64_t)UINT32_MAX }, 10));
    assert_false(dedup_record_fits(&record, &w, (log_offset){ 11 }, 11 + (int64_t)UINT32_MAX));
}

static void other_bytes_are_refused(void **state)
{
    uint8_t room[DEDUP_RECORD_HEADER_SIZE + 2 * DEDUP_RECORD_ENTRY_SIZE];
    struct writer w = writer_of(room, sizeof room);
    struct dedup_record record = { .count = 0 };
    struct dedup_record_walk walk;
    uint64_t offset = 5;
    int64_t ms = 5;
    for (int i = 0; i < 2; i++) {
        struct dedup_seen_id one = any(&offset, &ms);
        dedup_record_add(&record, &w, (struct log_partition){ 1, 2 }, &one);
    }
    for (size_t size = 0; size <= sizeof room; size++) {
        bool whole = size == sizeof room || size == sizeof room - DEDUP_RECORD_ENTRY_SIZE;
        assert_int_equal(dedup_record_read((struct bytes){ room, size }, &walk), whole ? NEAP_OK : NEAP_CORRUPT);
    }
    room[0] = 2;
    assert_int_equal(dedup_record_read(writer_bytes(&w), &walk), NEAP_VERSION);
    room[0] = 0;
    assert_int_equal(dedup_record_read(writer_bytes(&w), &walk), NEAP_CORRUPT);
    room[0] = 1;
    memset(room + 17, 0xff, 8); /* a time before 1970 */
    assert_int_equal(dedup_record_read(writer_bytes(&w), &walk), NEAP_CORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_come_out_as_they_went_in),
        cmocka_unit_test(what_is_too_far_from_the_first_goes_into_another),
        cmocka_unit_test(other_bytes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
