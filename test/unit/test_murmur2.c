/* Kafka's partitioner: the known answers of its own client's test (UtilsTest, testMurmur2). */
#include "check.h"

#include "base/murmur2.h"

static void the_same_answers_as_kafka(void **state)
{
    static const struct {
        const char *text;
        int32_t hash;
    } known[] = {
        { "21", -973932308 },
        { "foobar", -790332482 },
        { "a-little-bit-long-string", -985981536 },
        { "a-little-bit-longer-string", -1486304829 },
        { "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971 },
        { "abc", 479470107 },
    };
    for (size_t i = 0; i < COUNT_OF(known); i++) {
        struct bytes text = { (const uint8_t *)known[i].text, strlen(known[i].text) };
        assert_int_equal((int32_t)murmur2(text), known[i].hash);
        assert_int_equal(murmur2_partition(text, 7), (uint32_t)(known[i].hash & 0x7fffffff) % 7);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(the_same_answers_as_kafka) };
    return cmocka_run_group_tests_name("murmur2", tests, NULL, NULL);
}
