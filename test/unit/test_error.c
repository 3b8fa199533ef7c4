/* An error keeps its cause and the trail of what was being done. */
#include "check.h"

#include "base/error.h"
#include <string.h>

static void trail_reads_from_outside_in(void **state)
{
    (void)state;
    struct error err = { 0 };
    assert_int_equal(error_set(&err, NEAP_CORRUPT, "header checksum %x is not %x", 0x1f22, 0x9c01), NEAP_CORRUPT);
    assert_int_equal(error_while(&err, "open segment %08d", 17), NEAP_CORRUPT);
    assert_int_equal(error_while(&err, "recover %s", "orders/3"), NEAP_CORRUPT);
    assert_string_equal(err.text, "recover orders/3: open segment 00000017: header checksum 1f22 is not 9c01");
}

static void cause_survives_a_trail_that_does_not_fit(void **state)
{
    (void)state;
    struct error err = { 0 };
    error_set(&err, NEAP_IO, "the cause");
    for (int i = 0; i < 300; i++)
        error_while(&err, "level %d", i);
    size_t size = strlen(err.text);
    assert_true(size < sizeof err.text && size > sizeof err.text - 20);
    assert_string_equal(err.text + size - strlen("level 0: the cause"), "level 0: the cause");
}

static void cut_text_stays_utf8(void **state)
{
    (void)state;
    char text[2048];
    for (size_t shift = 0; shift < 4; shift++) {
        memset(text, 'a', shift);
        for (size_t i = shift; i + 3 < sizeof text; i += 3)
            memcpy(text + i, "\xe2\x82\xac", 4); /* the euro sign */
        struct error err = { 0 };
        error_set(&err, NEAP_IO, "%s", text);
        assert_int_equal((strlen(err.text) - shift) % 3, 0);
        error_set(&err, NEAP_IO, "x");
        error_while(&err, "%s", text);
        error_while(&err, "%s", text); /* now the front is cut */
        assert_true(((unsigned char)err.text[0] & 0xc0) != 0x80);
    }
}

static void null_is_allowed(void **state)
{
    (void)state;
    assert_int_equal(error_set(NULL, NEAP_FULL, "x"), NEAP_FULL);
    assert_int_equal(error_while(NULL, "x"), NEAP_IO);
}

static void each_status_has_its_words(void **state)
{
    (void)state;
    assert_string_equal(status_name(NEAP_CORRUPT), "CORRUPT");
    assert_string_equal(status_text(NEAP_CORRUPT), "damaged");
    assert_int_equal(status_reaction(NEAP_CORRUPT), NEAP_REACTION_STOP);
    assert_int_equal(status_reaction(NEAP_OK), NEAP_REACTION_GO_ON);
    assert_string_equal(status_name(NEAP_VERSION), "VERSION");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trail_reads_from_outside_in), cmocka_unit_test(cause_survives_a_trail_that_does_not_fit),
        cmocka_unit_test(cut_text_stays_utf8),         cmocka_unit_test(null_is_allowed),
        cmocka_unit_test(each_status_has_its_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
