/* test_address.c - an address is private unless routers of the Internet carry it to one host, however it is written. */
#include "check.h"

#include "io/address.h"
#include <arpa/inet.h>

static bool is_private(const char *text)
{
    uint8_t bytes[16];
    if (inet_pton(AF_INET, text, bytes) == 1)
        return io_address_is_private((struct bytes){ bytes, 4 });
    assert_int_equal(inet_pton(AF_INET6, text, bytes), 1);
    return io_address_is_private((struct bytes){ bytes, 16 });
}

static void each_block_ends_where_it_ends(void **state)
{
    static const char *const inside[] = {
        "0.0.0.0",        "0.255.255.255",   "10.0.0.0",      "10.255.255.255",  "100.64.0.0",      "100.127.255.255",
        "127.0.0.1",      "127.255.255.255", "169.254.0.0",   "169.254.169.254", "169.254.255.255", "172.16.0.0",
        "172.31.255.255", "192.0.0.192",     "192.0.2.7",     "192.88.99.1",     "192.168.0.0",     "192.168.255.255",
        "198.18.0.0",     "198.19.255.255",  "198.51.100.1",  "203.0.113.255",   "224.0.0.1",       "239.255.255.255",
        "240.0.0.0",      "255.255.255.255", "168.63.129.16", "100.100.100.200",
    };
    static const char *const outside[] = {
        "1.0.0.0",       "9.255.255.255", "11.0.0.0",    "100.63.255.255", "100.128.0.0",  "126.255.255.255",
        "128.0.0.0",     "169.253.0.0",   "169.255.0.0", "172.15.255.255", "172.32.0.0",   "192.0.1.0",
        "192.167.0.0",   "192.169.0.0",   "198.17.0.0",  "198.20.0.0",     "203.0.114.0",  "223.255.255.255",
        "168.63.129.15", "168.63.129.17", "8.8.8.8",     "192.0.3.0",      "198.51.101.0", "203.0.112.255",
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(inside); i++)
        if (!is_private(inside[i]))
            fail_msg("%s is taken for public", inside[i]);
    for (size_t i = 0; i < COUNT_OF(outside); i++)
        if (is_private(outside[i]))
            fail_msg("%s is taken for private", outside[i]);
}

static void an_address_in_another_is_judged_as_what_it_is(void **state)
{
    static const char *const inside[] = {
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::127.0.0.1",
        "64:ff9b::10.0.0.1",
        "64:ff9b:1::8.8.8.8",
        "2002:7f00:1::",
        "2002:a9fe:a9fe::",
        "2001::1",
        "2001:db8::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "febf::1",
        "fec0::1",
        "ff02::1",
        "100::1",
        "3fff::1",
        "4000::1",
        "5f00::1",
    };
    static const char *const outside[] = {
        "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::",       "2606:4700::1111",
        "2a00:1450::1",   "2001:200::1",      "2001:4860:4860::8888", "3ffe::1",
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(inside); i++)
        if (!is_private(inside[i]))
            fail_msg("%s is taken for public", inside[i]);
    for (size_t i = 0; i < COUNT_OF(outside); i++)
        if (is_private(outside[i]))
            fail_msg("%s is taken for private", outside[i]);
}

static void what_is_no_address_is_private(void **state)
{
    (void)state;
    static const uint8_t bytes[16] = { 8, 8, 8, 8 };
    for (size_t size = 0; size < 16; size++)
        assert_int_equal(io_address_is_private((struct bytes){ bytes, size }), size != 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_block_ends_where_it_ends),
        cmocka_unit_test(an_address_in_another_is_judged_as_what_it_is),
        cmocka_unit_test(what_is_no_address_is_private),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
