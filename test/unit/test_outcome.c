/* What a call came to is what the two lists say, the more exact word first, for every status and every error. */
#include "check.h"

#include "flow/outcome.h"
#include <stdio.h>

static struct error err;

/* The lists, read word by word for each question. */
static enum outcome model_status(const char *const *permanent, const char *const *transient, uint32_t status)
{
    char exact[8], class[8];
    snprintf(exact, sizeof exact, "%u", status);
    snprintf(class, sizeof class, "%uxx", status / 100);
    const char *words[] = { exact, class };
    for (int w = 0; w < 2; w++) {
        for (int i = 0; permanent[i] != NULL; i++)
            if (strcmp(permanent[i], words[w]) == 0)
                return OUTCOME_PERMANENT;
        for (int i = 0; transient[i] != NULL; i++)
            if (strcmp(transient[i], words[w]) == 0)
                return status == 429 ? OUTCOME_RELEASED : OUTCOME_TRANSIENT;
    }
    if (status == 429)
        return OUTCOME_RELEASED;
    return status / 100 == 2 ? OUTCOME_DELIVERED : status / 100 == 3 ? OUTCOME_PERMANENT : OUTCOME_TRANSIENT;
}

static enum outcome model_error(const char *const *permanent, const char *word)
{
    for (int i = 0; permanent[i] != NULL; i++)
        if (strcmp(permanent[i], word) == 0)
            return OUTCOME_PERMANENT;
    return OUTCOME_TRANSIENT;
}

static uint32_t bytes_of_words(const char *const *words, struct bytes *room)
{
    uint32_t count = 0;
    for (; words[count] != NULL; count++)
        room[count] = bytes_of_text(words[count]);
    return count;
}

static void same(const struct outcome_rules *rules, const char *const *permanent, const char *const *transient)
{
    for (uint32_t status = 100; status < 600; status++)
        assert_int_equal(outcome_of_status(rules, status), model_status(permanent, transient, status));
    for (uint32_t i = 0; i < CALL_ERROR_COUNT; i++)
        assert_int_equal(outcome_of_error(rules, i), model_error(permanent, call_error_word(i)));
}

static void lists_are_what_they_say(void **state)
{
    static const char *const vocabulary[] = { "4xx", "5xx",   "2xx",    "1xx",  "3xx",     "404",     "408",
                                              "429", "500",   "503",    "100",  "599",     "200",     "202",
                                              "307", "425",   "422",    "409",  "timeout", "connect", "dns",
                                              "tls", "reset", "answer", "crash" };
    uint64_t s = 1;
    for (int round = 0; round < 3000; round++) {
        const char *lists[2][COUNT_OF(vocabulary) + 1] = { { NULL } };
        uint32_t counts[2] = { 0, 0 };
        for (size_t i = 0; i < COUNT_OF(vocabulary); i++) {
            uint64_t where = chance_below(&s, 4);
            if (where < 2)
                lists[where][counts[where]++] = vocabulary[i];
        }
        struct bytes room[2][COUNT_OF(vocabulary)];
        struct outcome_list permanent = { room[0], bytes_of_words(lists[0], room[0]) };
        struct outcome_list transient = { room[1], bytes_of_words(lists[1], room[1]) };
        struct outcome_rules rules;
        assert_int_equal(outcome_rules_make(&permanent, &transient, &rules, &err), NEAP_OK);
        same(&rules, lists[0], lists[1]);
    }
}

static void defaults_are_as_the_pipeline_file_has_them(void **state)
{
    static const char *const permanent[] = { "4xx", NULL };
    static const char *const transient[] = { "408", "425", "429", "5xx", "timeout", NULL };
    const struct outcome_list unwritten = { NULL, 0 };
    struct outcome_rules rules;
    assert_int_equal(outcome_rules_make(&unwritten, &unwritten, &rules, &err), NEAP_OK);
    same(&rules, permanent, transient);
    assert_int_equal(outcome_of_status(&rules, 429), OUTCOME_RELEASED);
    const uint32_t strange[] = { 0, 99, 600, 999, UINT32_MAX };
    for (size_t i = 0; i < COUNT_OF(strange); i++)
        assert_int_equal(outcome_of_status(&rules, strange[i]), OUTCOME_TRANSIENT);
}

static void who_says_429_is_permanent_means_it(void **state)
{
    const struct bytes word[] = { BYTES("429") };
    const struct outcome_list permanent = { word, 1 }, transient = { (const struct bytes *)word, 0 };
    struct outcome_rules rules;
    assert_int_equal(outcome_rules_make(&permanent, &transient, &rules, &err), NEAP_OK);
    assert_int_equal(outcome_of_status(&rules, 429), OUTCOME_PERMANENT);
}

static void bad_words_are_told_the_good_ones(void **state)
{
    static const char *const bad[] = { "4x",  "40",       "4040",
                                       "600", "099",      "xx4",
                                       "4x4", "timeouts", "Timeout",
                                       "",    "5XX",      "0xx",
                                       "6xx", "40a",      "a very long word that has no end at all, or has it" };
    const struct outcome_list unwritten = { NULL, 0 };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct bytes word = bytes_of_text(bad[i]);
        struct outcome_list list = { &word, 1 };
        struct outcome_rules rules = { .of_error = { 77 } };
        assert_int_equal(outcome_rules_make(&list, &unwritten, &rules, &err), NEAP_MISUSE);
        assert_int_equal(rules.of_error[0], 77);
        assert_non_null(strstr(err.text, "timeout, connect, dns, tls, reset, answer, crash"));
        assert_non_null(strstr(err.text, "404"));
        assert_int_equal(outcome_rules_make(&unwritten, &list, &rules, &err), NEAP_MISUSE);
    }
    struct bytes both = BYTES("5xx");
    struct outcome_list list = { &both, 1 };
    struct outcome_rules rules;
    assert_int_equal(outcome_rules_make(&list, &list, &rules, &err), NEAP_MISUSE);
    assert_string_equal(err.text, "'5xx' stands in both lists, permanent and transient");
    assert_int_equal(outcome_rules_make(&list, &unwritten, &rules, &err), NEAP_OK);
    assert_int_equal(outcome_of_status(&rules, 503), OUTCOME_PERMANENT);
    assert_int_equal(outcome_of_status(&rules, 408), OUTCOME_TRANSIENT);
    both = BYTES("4xx");
    assert_int_equal(outcome_rules_make(&unwritten, &list, &rules, &err), NEAP_OK);
    assert_int_equal(outcome_of_status(&rules, 404), OUTCOME_TRANSIENT);
    assert_int_equal(outcome_of_status(&rules, 503), OUTCOME_TRANSIENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_are_what_they_say),
        cmocka_unit_test(defaults_are_as_the_pipeline_file_has_them),
        cmocka_unit_test(who_says_429_is_permanent_means_it),
        cmocka_unit_test(bad_words_are_told_the_good_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
