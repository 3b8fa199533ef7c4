/* The histogram beside a sorted array, which knows every quantile exactly. */
#include "check.h"

#include "base/histogram.h"
#include <stdlib.h>

#define VALUE_COUNT 5000

__extension__ typedef unsigned __int128 wide;

static int ascending(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void check_quantiles(const struct histogram *h, uint64_t *values, size_t count)
{
    static const double qs[] = { 0, 0.001, 0.01, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 1 };
    qsort(values, count, sizeof *values, ascending);
    for (size_t i = 0; i < COUNT_OF(qs); i++) {
        double exact = qs[i] * (double)count;
        size_t rank = (size_t)exact + ((double)(size_t)exact < exact);
        uint64_t truth = values[rank == 0 ? 0 : rank - 1];
        uint64_t answer = histogram_quantile(h, qs[i]);
        assert_true(answer >= truth && answer <= truth + truth / 32);
    }
}

static void quantiles_are_near_the_truth(void **state)
{
    (void)state;
    static struct histogram h;
    static uint64_t values[VALUE_COUNT];
    for (uint64_t seed = 1; seed <= 40; seed++) {
        uint64_t s = seed;
        wide sum = 0;
        histogram_init(&h);
        for (size_t i = 0; i < VALUE_COUNT; i++) {
            values[i] = chance(&s) >> (4 + chance_below(&s, seed % 4 == 0 ? 60 : 30)); /* many magnitudes, or all */
            sum += values[i];
            histogram_add(&h, values[i]);
        }
        assert_int_equal(h.count, VALUE_COUNT);
        check_quantiles(&h, values, VALUE_COUNT);
        assert_true(h.min == values[0] && h.max == values[VALUE_COUNT - 1]);
        assert_true(h.sum == (sum < UINT64_MAX ? (uint64_t)sum : UINT64_MAX));
    }
}

static void merged_is_as_if_added_to_one(void **state)
{
    (void)state;
    static struct histogram parts[3], all;
    uint64_t seed = 9;
    histogram_init(&all);
    for (int p = 0; p < 3; p++) {
        histogram_init(&parts[p]);
        for (int i = 0; i < 1000; i++) {
            uint64_t value = chance_below(&seed, 1000000);
            histogram_add(&parts[p], value);
            histogram_add(&all, value);
        }
    }
    histogram_merge(&parts[0], &parts[1]);
    histogram_merge(&parts[0], &parts[2]);
    assert_memory_equal(&parts[0], &all, sizeof all);
}

static void edges(void **state)
{
    (void)state;
    static struct histogram h;
    histogram_init(&h);
    assert_int_equal(histogram_quantile(&h, 0.5), 0);
    histogram_add(&h, 0);
    assert_int_equal(histogram_quantile(&h, 1), 0);
    histogram_add(&h, UINT64_MAX);
    histogram_add(&h, 1ull << 62);
    assert_true(histogram_quantile(&h, 1) == (1ull << 62) - 1);
    assert_true(h.max == (1ull << 62) - 1);
    for (int i = 0; i < 10; i++)
        histogram_add(&h, UINT64_MAX);
    assert_true(h.sum == UINT64_MAX); /* and not somewhere small again */
}

static void small_values_are_exact(void **state)
{
    (void)state;
    static struct histogram h;
    histogram_init(&h);
    for (uint64_t v = 0; v < 64; v++)
        histogram_add(&h, v);
    for (uint64_t v = 1; v <= 64; v++)
        assert_int_equal(histogram_quantile(&h, (double)v / 64), v - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantiles_are_near_the_truth),
        cmocka_unit_test(merged_is_as_if_added_to_one),
        cmocka_unit_test(edges),
        cmocka_unit_test(small_values_are_exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
