/* Every way in which a sink and the log can agree or disagree, and what each setting makes of it. */
#include "check.h"

#include "flow/start.h"

#define ROW(n)                               \
    {                                        \
        .found = true, .commit_point = { n } \
    }
#define NO_ROW         \
    {                  \
        .found = false \
    }
#define LOG(n, e)     .commit_found = true, .commit_point = { n }, .end = { e }
#define NO_NOTES(e)   .commit_found = false, .end = { e }
#define OWN           .own_offsets = true
#define STOPS(...)    .status = NEAP_CONFLICT, .says = { __VA_ARGS__ }
#define GOES_ON(f, l) .from = f, .ledger = START_LEDGER_##l

struct row {
    const char *what;
    struct start_facts facts;
    enum neap_status status;
    const char *says[4];
    uint64_t from, letters_until;
    enum start_ledger ledger;
    bool settle, notice;
};

static const struct row rows[] = {
    { "a first start", { OWN, NO_NOTES(10) }, GOES_ON(0, ZERO) },
    { "a first start with a setting", { OWN, NO_NOTES(10), .rule = START_EARLIEST }, GOES_ON(0, ZERO) },
    { "a table that was there before", { OWN, NO_NOTES(10), .rows_there = true }, GOES_ON(0, ZERO), .notice = true },
    { "a branch beside others that are further on", { OWN, NO_NOTES(10), .begin = { 6 } }, GOES_ON(6, ZERO) },
    { "… of which the log has freed more meanwhile",
      { NO_NOTES(10), .begin = { 6 }, .start = { 8 } },
      GOES_ON(8, ZERO) },
    { "agreement", { OWN, .row = ROW(7), LOG(7, 10) }, GOES_ON(7, ROW) },
    { "agreement at 0, settled earlier", { OWN, .row = ROW(0), LOG(0, 10), .rule = START_EARLIEST }, GOES_ON(0, ROW) },
    { "agreement and a setting left in the file",
      { OWN, .row = ROW(7), LOG(7, 10), .rule = START_EARLIEST },
      GOES_ON(7, ROW) },
    { "a crash between sink and log", { OWN, .row = ROW(8), LOG(7, 10), .rule = START_COMMITTED }, GOES_ON(8, ROW) },
    { "a crash before the log's first note", { OWN, .row = ROW(8), NO_NOTES(10) }, GOES_ON(8, ROW) },
    { "another log's row beside ours", { OWN, .row = ROW(8), .stranger = ROW(9), LOG(8, 10) }, GOES_ON(8, ROW) },

    { "the data directory wiped",
      { OWN, .stranger = ROW(3967), NO_NOTES(10) },
      STOPS("3967", "offset 10", "start: earliest", "start: sink") },
    { "… earliest",
      { OWN, .stranger = ROW(3967), NO_NOTES(10), .rule = START_EARLIEST },
      GOES_ON(0, ZERO),
      .letters_until = 10,
      .settle = true,
      .notice = true },
    { "… committed: nothing is",
      { OWN, .stranger = ROW(3967), NO_NOTES(10), .rule = START_COMMITTED },
      GOES_ON(0, ZERO),
      .letters_until = 10,
      .settle = true,
      .notice = true },
    { "… sink",
      { OWN, .stranger = ROW(3967), NO_NOTES(10), .rule = START_SINK },
      GOES_ON(3967, STRANGER),
      .notice = true },

    { "the topic deleted",
      { OWN, .stranger = { .found = true, .commit_point = { 3967 }, .topic_id = 1 }, NO_NOTES(10) },
      STOPS("3967 from a topic that is deleted", "offset 10", "start: earliest", "start: sink") },

    { "the database deleted",
      { OWN, LOG(3967, 4000) },
      STOPS("3967", "offset 0", "start: earliest", "start: committed") },
    { "… earliest",
      { OWN, LOG(3967, 4000), .rule = START_EARLIEST },
      GOES_ON(0, ZERO),
      .letters_until = 4000,
      .settle = true,
      .notice = true },
    { "… sink: it holds nothing",
      { OWN, LOG(3967, 4000), .rule = START_SINK },
      GOES_ON(0, ZERO),
      .letters_until = 4000,
      .settle = true,
      .notice = true },
    { "… committed",
      { OWN, LOG(3967, 4000), .rule = START_COMMITTED },
      GOES_ON(3967, FACT),
      .settle = true,
      .notice = true },
    { "the log's note is 0: no progress", { OWN, LOG(0, 4000) }, GOES_ON(0, ZERO) },

    { "the database back to yesterday",
      { OWN, .row = ROW(100), LOG(3967, 4000) },
      GOES_ON(100, ROW),
      .letters_until = 3967,
      .settle = true,
      .notice = true },
    { "… sink",
      { OWN, .row = ROW(100), LOG(3967, 4000), .rule = START_SINK },
      GOES_ON(100, ROW),
      .letters_until = 3967,
      .settle = true,
      .notice = true },
    { "… committed",
      { OWN, .row = ROW(100), LOG(3967, 4000), .rule = START_COMMITTED },
      GOES_ON(3967, FACT),
      .settle = true,
      .notice = true },
    { "… earliest",
      { OWN, .row = ROW(100), LOG(3967, 4000), .rule = START_EARLIEST },
      GOES_ON(0, ZERO),
      .letters_until = 4000,
      .settle = true,
      .notice = true },

    { "the data directory back to yesterday",
      { OWN, .row = ROW(3967), LOG(90, 100) },
      STOPS("3967", "ends at offset 100", "start: committed", "start: sink") },
    { "… without notes", { OWN, .row = ROW(3967), NO_NOTES(100) }, STOPS("3967", "offset 100", "start: earliest") },
    { "… committed",
      { OWN, .row = ROW(3967), LOG(90, 100), .rule = START_COMMITTED },
      GOES_ON(90, FACT),
      .settle = true,
      .notice = true },
    { "… earliest",
      { OWN, .row = ROW(3967), LOG(90, 100), .rule = START_EARLIEST },
      GOES_ON(0, ZERO),
      .letters_until = 100,
      .settle = true,
      .notice = true },
    { "… sink", { OWN, .row = ROW(3967), LOG(90, 100), .rule = START_SINK }, GOES_ON(3967, ROW), .notice = true },

    { "the data directory back to yesterday, and come as far again with other events",
      { OWN, .row = ROW(50), .row_foreign = true, LOG(40, 100), .rule = START_COMMITTED },
      GOES_ON(40, FACT),
      .settle = true,
      .notice = true },
    { "… sink",
      { OWN, .row = ROW(50), .row_foreign = true, LOG(40, 100), .rule = START_SINK },
      GOES_ON(50, ROW),
      .settle = true,
      .notice = true },
    { "… sink, and it is behind",
      { OWN, .row = ROW(30), .row_foreign = true, LOG(40, 100), .rule = START_SINK },
      GOES_ON(30, ROW),
      .letters_until = 40,
      .settle = true,
      .notice = true },
    { "… sink, and it is further than the log",
      { OWN, .row = ROW(150), .row_foreign = true, LOG(40, 100), .rule = START_SINK },
      GOES_ON(150, ROW),
      .notice = true },
    { "another table, the numbers agree: earliest",
      { OWN, .row = ROW(40), .row_foreign = true, LOG(40, 100), .rule = START_EARLIEST },
      GOES_ON(0, ZERO),
      .letters_until = 100,
      .settle = true,
      .notice = true },
    { "… committed without notes",
      { OWN, .row = ROW(40), .row_foreign = true, NO_NOTES(100), .rule = START_COMMITTED },
      GOES_ON(0, ZERO),
      .letters_until = 100,
      .settle = true,
      .notice = true },

    { "no offsets of its own: a first start", { NO_NOTES(10) }, GOES_ON(0, ZERO) },
    { "no offsets of its own: the log is the truth",
      { LOG(7, 10), .rule = START_EARLIEST, .rows_there = true },
      GOES_ON(7, FACT) },
    { "an output that another log has filled",
      { NO_NOTES(10), .rows_there = true },
      STOPS("offset 10", "0 events", "start: earliest") },
    { "… earliest", { NO_NOTES(10), .rows_there = true, .rule = START_EARLIEST }, GOES_ON(0, ZERO), .settle = true },
    { "… settled", { LOG(0, 10), .rows_there = true, .rule = START_EARLIEST }, GOES_ON(0, FACT) },

    { "another log's rows, within this log",
      { OWN, .stranger = ROW(7), NO_NOTES(10), .rule = START_SINK },
      GOES_ON(7, STRANGER),
      .settle = true,
      .notice = true },

    { "a topic whose first events are gone: a first start", { OWN, NO_NOTES(10), .start = { 4 } }, GOES_ON(4, ZERO) },
    { "… no offsets of its own", { NO_NOTES(10), .start = { 4 } }, GOES_ON(4, ZERO) },
    { "… agreement behind them", { OWN, .row = ROW(7), LOG(7, 10), .start = { 7 } }, GOES_ON(7, ROW) },
    { "… everything again is everything that is kept",
      { OWN, LOG(7, 10), .start = { 4 }, .rule = START_EARLIEST },
      GOES_ON(4, ZERO),
      .letters_until = 10,
      .settle = true,
      .notice = true },
    { "a sink of yesterday, and what it has forgotten is gone",
      { OWN, .row = ROW(2), LOG(7, 10), .start = { 4 } },
      STOPS("offset 2,", "begins at offset 4", "start: earliest", "start: committed") },
    { "… earliest",
      { OWN, .row = ROW(2), LOG(7, 10), .start = { 4 }, .rule = START_EARLIEST },
      GOES_ON(4, ZERO),
      .letters_until = 10,
      .settle = true,
      .notice = true },
    { "… committed",
      { OWN, .row = ROW(2), LOG(7, 10), .start = { 4 }, .rule = START_COMMITTED },
      GOES_ON(7, FACT),
      .settle = true,
      .notice = true },
    { "… sink",
      { OWN, .row = ROW(2), LOG(7, 10), .start = { 4 }, .rule = START_SINK },
      GOES_ON(4, ROW),
      .letters_until = 10,
      .settle = true,
      .notice = true },
    { "deleted by hand before they were processed",
      { LOG(2, 10), .start = { 4 } },
      STOPS("processed events up to offset 2,", "begins at offset 4", "start: earliest") },
    { "… earliest",
      { LOG(2, 10), .start = { 4 }, .rule = START_EARLIEST },
      GOES_ON(4, ZERO),
      .letters_until = 10,
      .settle = true,
      .notice = true },

    { "moved back by a person, and the sink was not asked",
      { OWN, .row = ROW(8), LOG(2, 10), .moved = true, .moved_from = { 7 } },
      STOPS("offset 7", "offset 2", "offset 8", "start: committed") },
    { "… committed",
      { OWN, .row = ROW(8), LOG(2, 10), .moved = true, .moved_from = { 7 }, .rule = START_COMMITTED },
      GOES_ON(2, FACT),
      .settle = true,
      .notice = true },
    { "… sink",
      { OWN, .row = ROW(8), LOG(2, 10), .moved = true, .moved_from = { 7 }, .rule = START_SINK },
      GOES_ON(8, ROW),
      .letters_until = 10,
      .settle = true,
      .notice = true },
    { "… earliest",
      { OWN, .row = ROW(8), LOG(2, 10), .moved = true, .moved_from = { 7 }, .rule = START_EARLIEST },
      GOES_ON(0, ZERO),
      .letters_until = 10,
      .settle = true,
      .notice = true },
    { "moved forward by a person",
      { OWN, .row = ROW(7), LOG(9, 10), .moved = true, .moved_from = { 7 } },
      STOPS("offset 9", "offset 7", "start: committed", "start: sink") },
    { "… committed",
      { OWN, .row = ROW(7), LOG(9, 10), .moved = true, .moved_from = { 7 }, .rule = START_COMMITTED },
      GOES_ON(9, FACT),
      .settle = true,
      .notice = true },
    { "moved to where the sink is",
      { OWN, .row = ROW(7), LOG(7, 10), .moved = true, .moved_from = { 5 } },
      GOES_ON(7, ROW) },
    { "moved, and the sink keeps no position of its own",
      { LOG(2, 10), .moved = true, .moved_from = { 7 } },
      GOES_ON(2, FACT),
      .notice = true },

    { "notes beyond the end", { OWN, .row = ROW(3), LOG(11, 10) }, .status = NEAP_CORRUPT, .says = { "11", "10" } },
};

static void each_case_is_decided(void **state)
{
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct row *row = &rows[i];
        struct start_plan plan = { 0 };
        struct error err = { 0 };
        enum neap_status status = start_decide(&row->facts, &plan, &err);
        if (status != row->status)
            fail_msg("%s: answered %s: %s", row->what, status_name(status), err.text);
        for (size_t j = 0; j < COUNT_OF(row->says) && row->says[j] != NULL; j++)
            if (strstr(err.text, row->says[j]) == NULL)
                fail_msg("%s: \"%s\" does not say \"%s\"", row->what, err.text, row->says[j]);
        if (status != NEAP_OK)
            continue;
        if (plan.from.n != row->from || plan.ledger != row->ledger || plan.settle != row->settle ||
            plan.letters_until.n != (row->letters_until > 0 ? row->letters_until : row->from) ||
            (plan.notice != NULL) != row->notice)
            fail_msg("%s: from %llu, ledger %d, settle %d, letters until %llu, notice %s", row->what,
                     (unsigned long long)plan.from.n, (int)plan.ledger, plan.settle,
                     (unsigned long long)plan.letters_until.n, plan.notice != NULL ? plan.notice : "none");
    }
}

/* Whatever a setting decided, once it is written to both sides the next start finds nothing to settle. */
static void a_setting_is_applied_once(void **state)
{
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct start_facts facts = rows[i].facts;
        struct start_plan plan, again;
        if (rows[i].status != NEAP_OK || start_decide(&facts, &plan, NULL) != NEAP_OK || !plan.settle)
            continue;
        facts.commit_found = true;
        facts.commit_point = plan.from;
        facts.row = (struct sink_row){ .found = facts.own_offsets, .commit_point = plan.from };
        facts.row_foreign = false; /* what landed is ours */
        facts.end.n = facts.end.n < plan.from.n ? plan.from.n : facts.end.n;
        assert_int_equal(start_decide(&facts, &again, NULL), NEAP_OK);
        assert_int_equal(again.from.n, plan.from.n);
        assert_false(again.settle);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_case_is_decided),
        cmocka_unit_test(a_setting_is_applied_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
