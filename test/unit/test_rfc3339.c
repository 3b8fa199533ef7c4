/* RFC 3339 times are read and written exactly, and what is no time is refused. */
#include "check.h"

#include "base/rfc3339.h"
#include <stdio.h>

static int64_t read_ms(const char *text)
{
    wall_time t = { -12345 };
    assert_true(rfc3339_read(bytes_of_text(text), &t));
    return t.ms;
}

static void known_times(void **state)
{
    (void)state;
    char room[RFC3339_SIZE];
    assert_string_equal(rfc3339_write(room, (wall_time){ 0 }), "1970-01-01T00:00:00.000Z");
    assert_string_equal(rfc3339_write(room, (wall_time){ -1 }), "1969-12-31T23:59:59.999Z");
    assert_string_equal(rfc3339_write(room, (wall_time){ 1709210096789 }), "2024-02-29T12:34:56.789Z");
    assert_string_equal(rfc3339_write(room, (wall_time){ INT64_MAX }), "9999-12-31T23:59:59.999Z");
    assert_string_equal(rfc3339_write(room, (wall_time){ INT64_MIN }), "0000-01-01T00:00:00.000Z");
    assert_int_equal(read_ms("1970-01-01T00:00:00Z"), 0);
    assert_int_equal(read_ms("2024-02-29T12:34:56.7891Z"), 1709210096789);
    assert_int_equal(read_ms("2024-02-29t12:34:56.7z"), 1709210096700);
    assert_int_equal(read_ms("2024-02-29 14:34:56+02:00"), 1709210096000);
    assert_int_equal(read_ms("2024-02-29T07:04:56-05:30"), 1709210096000);
    assert_int_equal(read_ms("2016-12-31T23:59:60Z"), read_ms("2017-01-01T00:00:00Z"));
}

/* A slow calendar that counts one day after the other. */
static void every_day_of_eight_centuries(void **state)
{
    (void)state;
    static const int lengths[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    int64_t day = -135140; /* 1600-01-01 */
    for (int year = 1600; year < 2400; year++) {
        int leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        for (int month = 1; month <= 12; month++) {
            for (int d = 1; d <= lengths[month - 1] + (month == 2 && leap); d++, day++) {
                char room[RFC3339_SIZE], expected[64];
                snprintf(expected, sizeof expected, "%04d-%02d-%02dT00:00:00.001Z", year, month, d);
                assert_string_equal(rfc3339_write(room, (wall_time){ day * 86400000 + 1 }), expected);
                assert_int_equal(read_ms(expected), day * 86400000 + 1);
            }
        }
    }
}

static void what_is_not_a_time(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "2024",
        "2024-02-30T00:00:00Z",
        "2023-02-29T00:00:00Z",
        "2024-13-01T00:00:00Z",
        "2024-00-01T00:00:00Z",
        "2024-01-00T00:00:00Z",
        "2024-01-01T24:00:00Z",
        "2024-01-01T00:60:00Z",
        "2024-01-01T00:00:61Z",
        "2024-01-01T00:00:00",
        "2024-01-01T00:00:00.Z",
        "2024-01-01T00:00:00+24:00",
        "2024-01-01T00:00:00+0100",
        "2024-01-01T00:00:00Zx",
        "2024-01-01T0:00:00Z",
        "20240101T000000Z",
        "-024-01-01T00:00:00Z",
        "2024-01-01X00:00:00Z",
        "2024-01-01T00:00:00Z ",
        "2024-1-01T00:00:00Z",
    };
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        wall_time t = { 7 };
        assert_false(rfc3339_read(bytes_of_text(texts[i]), &t));
        assert_int_equal(t.ms, 7);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_times),
        cmocka_unit_test(every_day_of_eight_centuries),
        cmocka_unit_test(what_is_not_a_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
