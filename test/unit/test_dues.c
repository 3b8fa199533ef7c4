/* Dues against a slow, obvious model: a list that is searched for its least. */
#include "check.h"

#include "base/dues.h"
#include <string.h>

#define COUNT_MAX 100u

struct model {
    bool there[COUNT_MAX];
    int64_t at[COUNT_MAX];
    uint64_t rank[COUNT_MAX];
};

static uint32_t first_of(const struct model *m)
{
    uint32_t found = DUES_NONE;
    for (uint32_t i = 0; i < COUNT_MAX; i++)
        if (m->there[i] && (found == DUES_NONE || m->at[i] < m->at[found] ||
                            (m->at[i] == m->at[found] && m->rank[i] < m->rank[found])))
            found = i;
    return found;
}

static void behaves_as_the_model(void **state)
{
    uint64_t seed = 1;
    struct dues *d = dues_new(COUNT_MAX);
    struct model m;
    assert_non_null(d);
    for (uint32_t round = 0; round < 20; round++) {
        uint32_t count = 0;
        memset(&m, 0, sizeof m);
        dues_clear(d);
        for (uint32_t i = 0; i < 5000; i++) {
            uint32_t n =
                chance_below(&seed, 3) == 0 && count > 0 ? dues_first(d) : (uint32_t)chance_below(&seed, COUNT_MAX);
            assert_int_equal(dues_has(d, n), m.there[n]);
            if (m.there[n]) {
                assert_int_equal(dues_at(d, n), m.at[n]);
                dues_remove(d, n);
                count--;
            } else {
                m.at[n] = (int64_t)chance_below(&seed, 50) - 25;
                m.rank[n] = i * 7 % 100000;
                dues_add(d, n, m.at[n], m.rank[n]);
                count++;
            }
            m.there[n] = !m.there[n];
            assert_int_equal(dues_first(d), first_of(&m));
            assert_int_equal(dues_count(d), count);
        }
    }
    dues_free(&d);
    assert_null(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(behaves_as_the_model) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
