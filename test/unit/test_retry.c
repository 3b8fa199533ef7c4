/* Attempts never pass the policy, and a wait never leaves its bounds nor comes sooner than Retry-After asked. */
#include "check.h"

#include "flow/retry.h"

__extension__ typedef __int128 wide;

static int64_t model_ceiling(const struct retry_policy *policy, uint64_t n)
{
    wide ceiling = policy->backoff_ns_min;
    for (uint64_t i = 0; i < n && ceiling < policy->backoff_ns_max; i++)
        ceiling = ceiling > 0 ? ceiling * 2 : policy->backoff_ns_max;
    return ceiling < policy->backoff_ns_max ? (int64_t)ceiling : policy->backoff_ns_max;
}

static struct retry_policy any_policy(uint64_t *s)
{
    struct retry_policy policy = { .attempt_count_max = 1 + (uint32_t)chance_below(s, 12) };
    policy.backoff_ns_max = (int64_t)(chance(s) >> 1 >> chance_below(s, 63));
    policy.backoff_ns_min = (int64_t)chance_below(s, (uint64_t)policy.backoff_ns_max + 1) >> chance_below(s, 20);
    return policy;
}

/* Outcomes at random until the event is done; the model counts on its own fingers. */
static void one_event(uint64_t *s)
{
    struct retry_policy policy = any_policy(s);
    struct retry retry = { 0 };
    uint32_t attempts = 0, waits = 0;
    mono_time now = { (int64_t)chance_below(s, 1ull << 50) };
    for (enum retry_step step = RETRY_AGAIN; step == RETRY_AGAIN;) {
        enum outcome outcome = chance_below(s, 20) == 0 ? (enum outcome)chance_below(s, 4)
                               : chance_below(s, 3) > 0 ? OUTCOME_TRANSIENT
                                                        : OUTCOME_RELEASED;
        int64_t asked = chance_below(s, 2) ? (int64_t)chance_below(s, 7200) * NS_PER_S : 0;
        mono_time due = { -1 };
        step = retry_ended(&retry, &policy, outcome, asked, now, chance(s), &due);
        attempts += outcome != OUTCOME_RELEASED;
        assert_int_equal(retry.attempt_count, attempts);
        assert_true(attempts <= policy.attempt_count_max);
        enum retry_step expected = outcome == OUTCOME_DELIVERED           ? RETRY_DONE
                                   : outcome == OUTCOME_PERMANENT         ? RETRY_GIVE_UP
                                   : attempts == policy.attempt_count_max ? RETRY_GIVE_UP
                                                                          : RETRY_AGAIN;
        assert_int_equal(step, expected);
        if (step != RETRY_AGAIN) {
            assert_int_equal(due.ns, -1);
            return;
        }
        int64_t believed = asked < RETRY_AFTER_NS_MAX ? asked : RETRY_AFTER_NS_MAX;
        int64_t least = believed > policy.backoff_ns_min ? believed : policy.backoff_ns_min;
        wide most = (wide)least + model_ceiling(&policy, ++waits) - policy.backoff_ns_min;
        assert_true(due.ns >= mono_after(now, least).ns);
        assert_true(due.ns <= now.ns + most || due.ns == INT64_MAX);
        now = due.ns < (1ll << 55) ? due : now;
    }
}

static void attempts_and_waits_keep_their_bounds(void **state)
{
    uint64_t s = 1;
    for (int i = 0; i < 300000; i++)
        one_event(&s);
}

/* A thousand events that fail together come back spread over the whole of their wait, in every tenth of it alike. */
static void who_failed_together_comes_back_apart(void **state)
{
    const struct retry_policy policy = { 8, 100 * NS_PER_MS, 30 * NS_PER_S };
    static const int64_t asks[] = { 0, 5 * NS_PER_S };
    uint64_t s = 7;
    for (uint32_t earlier = 0; earlier < 7; earlier++) {
        for (int a = 0; a < 2; a++) {
            uint32_t tenths[10] = { 0 };
            int64_t width = model_ceiling(&policy, earlier + 1) - policy.backoff_ns_min;
            for (int i = 0; i < 20000; i++) {
                struct retry retry = { .attempt_count = earlier };
                mono_time due;
                assert_int_equal(retry_ended(&retry, &policy, OUTCOME_TRANSIENT, asks[a], (mono_time){ 0 }, chance(&s),
                                             &due),
                                 RETRY_AGAIN);
                tenths[(due.ns - (asks[a] > 0 ? asks[a] : policy.backoff_ns_min)) * 10 / (width + 1)]++;
            }
            for (int i = 0; i < 10; i++)
                assert_in_range(tenths[i], 1800, 2200);
        }
    }
}

/* Told "later" again and again, it asks less and less often, and has all its attempts still. */
static void releases_lengthen_the_wait_and_cost_nothing(void **state)
{
    const struct retry_policy policy = { 2, 100 * NS_PER_MS, 30 * NS_PER_S };
    struct retry retry = { 0 };
    mono_time due;
    for (uint32_t n = 1; n <= 100; n++) {
        assert_int_equal(retry_ended(&retry, &policy, OUTCOME_RELEASED, 0, (mono_time){ 0 }, UINT64_MAX, &due),
                         RETRY_AGAIN);
        assert_true(due.ns == model_ceiling(&policy, n)); /* chance at its highest: the longest wait */
    }
    assert_int_equal(retry.attempt_count, 0);
    assert_int_equal(retry_ended(&retry, &policy, OUTCOME_TRANSIENT, 0, (mono_time){ 0 }, 0, &due), RETRY_AGAIN);
    assert_int_equal(retry_ended(&retry, &policy, OUTCOME_TRANSIENT, 0, (mono_time){ 0 }, 0, &due), RETRY_GIVE_UP);
}

/* The pipeline file was changed while it was parked. */
static void more_attempts_than_there_are_now_is_the_last_one(void **state)
{
    const struct retry_policy policy = { 3, 0, 0 };
    struct retry retry = { .attempt_count = 5 };
    mono_time due = { -1 };
    assert_int_equal(retry_ended(&retry, &policy, OUTCOME_RELEASED, 0, (mono_time){ 0 }, 0, &due), RETRY_AGAIN);
    assert_int_equal(retry_ended(&retry, &policy, OUTCOME_TRANSIENT, 0, (mono_time){ 0 }, 0, &due), RETRY_GIVE_UP);
    assert_int_equal(retry.attempt_count, 6);
}

static void retry_after_is_read(void **state)
{
    const wall_time now = { 784111777000 - 60000 }; /* a minute before RFC 9110's own example */
    static const struct {
        const char *text;
        int64_t seconds; /* -1: refused */
    } cases[] = {
        { "120", 120 },
        { "0", 0 },
        { " 7 ", 7 },
        { "99999999999999999999999999", UINT32_MAX },
        { "Sun, 06 Nov 1994 08:49:37 GMT", 60 },
        { "Sunday, 06-Nov-94 08:49:37 GMT", 60 },
        { "Sun Nov  6 08:49:37 1994", 60 },
        { "Sun, 06 Nov 1994 08:00:00 GMT", 0 },
        { "Monday, 07-Nov-94 08:48:37 GMT", 86400 },
        { "Sun, 06 Nov 1904 08:49:37 GMT", 0 },
        { "Sun, 06 Nov 9999 08:49:37 GMT", -2 },
        { "Saturday, 06-Nov-93 08:49:37 GMT", 0 },
        { "", -1 },
        { "-5", -1 },
        { "1.5", -1 },
        { "12s", -1 },
        { "soon", -1 },
        { "Sun, 06 Nov 1994 08:49:37", -1 },
        { "Sun, 06 Nov 1994 08:49:37 CET", -1 },
        { "Sun, 31 Feb 1994 08:49:37 GMT", -1 },
        { "Sun, 06 Nov 1994 8:49:37 GMT", -1 },
        { "Sun, 06 Nov 1994 08:49:3Z GMT", -1 },
        { "Sun, 06 nov 1994 08:49:37 GMT", -1 },
        { "Sun, 99999999 Nov 1994 08:49:37 GMT", -1 },
        { "Sun, 06 Nov 19940 08:49:37 GMT", -1 },
        { "a b c d e f g h", -1 },
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        int64_t ns = -1;
        bool good = retry_after_read(bytes_of_text(cases[i].text), now, &ns);
        assert_int_equal(good, cases[i].seconds != -1);
        if (cases[i].seconds >= 0)
            assert_int_equal(ns, cases[i].seconds * NS_PER_S);
        else
            assert_true(good ? ns > RETRY_AFTER_NS_MAX : ns == -1);
    }
    const wall_time later = { 4102444800000 }; /* 2100-01-01: two digits reach back into the old century, too */
    int64_t ns = -1;
    assert_true(retry_after_read(BYTES("Friday, 31-Dec-99 23:59:59 GMT"), later, &ns));
    assert_int_equal(ns, 0);
    assert_true(retry_after_read(BYTES("Friday, 01-Jan-00 00:00:10 GMT"), later, &ns));
    assert_int_equal(ns, 10 * NS_PER_S);
}

/* No text leads it astray: it answers no, or a time that is not negative. */
static void any_text_is_read_or_refused(void **state)
{
    static const char letters[] = "SunNovGMT 0123456789:,-\t";
    uint64_t s = 3;
    for (int i = 0; i < 300000; i++) {
        char text[40];
        size_t size = chance_below(&s, sizeof text);
        for (size_t n = 0; n < size; n++)
            text[n] = letters[chance_below(&s, sizeof letters)];
        int64_t ns = 0;
        retry_after_read((struct bytes){ (const uint8_t *)text, size }, (wall_time){ 784111777000 }, &ns);
        assert_true(ns >= 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attempts_and_waits_keep_their_bounds),
        cmocka_unit_test(who_failed_together_comes_back_apart),
        cmocka_unit_test(releases_lengthen_the_wait_and_cost_nothing),
        cmocka_unit_test(more_attempts_than_there_are_now_is_the_last_one),
        cmocka_unit_test(retry_after_is_read),
        cmocka_unit_test(any_text_is_read_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
