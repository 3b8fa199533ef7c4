/* The ledger's fact against its written format, and against every way of cutting it short. */
#include "check.h"

#include "flow/ledger.h"

static const struct ledger some = { .accepted = 4000,
                                    .filtered = 31,
                                    .duplicates = 2,
                                    .delivered = 3967,
                                    .dead_lettered = 300,
                                    .produced = UINT64_MAX,
                                    .start = 7 };

static void key_names_pipeline_and_part(void **state)
{
    char room[LEDGER_KEY_SIZE_MAX];
    assert_int_equal(ledger_key(room, "commits", 'd'), 9);
    assert_memory_equal(room, "commits\0d", 9);
    assert_int_equal(ledger_key(room, "x", 't'), 3);
    assert_memory_equal(room, "x\0t", 3);
}

static void bytes_are_as_written_down(void **state)
{
    uint8_t room[LEDGER_FACT_SIZE_MAX];
    struct ledger small = { 1, 2, 3, 4, 5, 300, 7 };
    struct bytes fact = ledger_encode(&small, room);
    static const uint8_t expected[] = { 1, 1, 2, 3, 4, 5, 0xac, 0x02, 7 };
    assert_int_equal(fact.size, sizeof expected);
    assert_memory_equal(fact.at, expected, sizeof expected);
}

static void what_was_written_is_read(void **state)
{
    uint8_t room[LEDGER_FACT_SIZE_MAX];
    struct ledger back;
    assert_int_equal(ledger_decode(ledger_encode(&some, room), &back), NEAP_OK);
    assert_memory_equal(&back, &some, sizeof some);
    struct ledger largest;
    memset(&largest, 0xff, sizeof largest);
    assert_int_equal(ledger_decode(ledger_encode(&largest, room), &back), NEAP_OK);
    assert_memory_equal(&back, &largest, sizeof largest);
}

/* Every shorter or longer fact is refused, and the caller's ledger stays as it was. */
static void a_damaged_fact_is_refused(void **state)
{
    uint8_t room[LEDGER_FACT_SIZE_MAX];
    struct bytes fact = ledger_encode(&some, room);
    struct ledger back = { .accepted = 99 };
    for (size_t size = 0; size < fact.size; size++)
        assert_int_equal(ledger_decode((struct bytes){ room, size }, &back), NEAP_CORRUPT);
    room[fact.size] = 0;
    assert_int_equal(ledger_decode((struct bytes){ room, fact.size + 1 }, &back), NEAP_CORRUPT);
    room[0] = 0;
    assert_int_equal(ledger_decode(fact, &back), NEAP_CORRUPT);
    room[0] = 2;
    assert_int_equal(ledger_decode(fact, &back), NEAP_VERSION);
    assert_int_equal(back.accepted, 99);
}

static void parts_add_up(void **state)
{
    struct ledger total = { .accepted = 10, .start = 5 };
    struct ledger part = { 1, 2, 3, 4, 5, 6, 7 };
    ledger_add(&total, &part);
    ledger_add(&total, &part);
    struct ledger expected = { 12, 4, 6, 8, 10, 12, 19 };
    assert_memory_equal(&total, &expected, sizeof expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(key_names_pipeline_and_part),
        cmocka_unit_test(bytes_are_as_written_down),
        cmocka_unit_test(what_was_written_is_read),
        cmocka_unit_test(a_damaged_fact_is_refused),
        cmocka_unit_test(parts_add_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
