/* A source brings every line into the log once, whatever happens to the file, the log or the process. */
#include "gate_bench.h"

static struct bench b;

/* ---- a file that is read once ---- */

static void every_line_once_in_order(void **state)
{
    (void)state;
    bench_init(&b, 4);
    append_events(&b, PATH, 0, 3000);
    bench_run(&b);
    check_events(&b, 3000);
    bench_run(&b); /* a rerun adds nothing */
    check_events(&b, 3000);
    append_events(&b, PATH, 3000, 500);
    bench_run(&b);
    check_events(&b, 3500);
    bench_fini(&b);
}

static void small_reads_make_the_same(void **state)
{
    (void)state;
    for (size_t read_size = 1; read_size < 200; read_size = read_size * 3 + 1) {
        bench_init(&b, 3);
        b.options.read_size = read_size;
        b.options.unit_count_max = 1 + (uint32_t)(read_size % 3);
        append_events(&b, PATH, 0, 100);
        bench_run(&b);
        check_events(&b, 100);
        bench_fini(&b);
    }
}

static void check_values(const char *const *expected, uint32_t count)
{
    bench_look(&b);
    assert_int_equal(b.seen_count, count);
    for (uint32_t i = 0; i < count; i++)
        assert_string_equal(b.seen[i].value, expected[i]);
}

static void lines_of_all_kinds(void **state)
{
    (void)state;
    static const char *const expected[] = { "{\"a\":1}", " [2] ", "3", "\"four\"", "null", "{\"last\":true}" };
    bench_init(&b, 1);
    b.options.key.text = b.options.id.text = NULL;
    append_to(&b, PATH, "\xef\xbb\xbf{\"a\":1}\r\n\n  \t \r\n [2] \n3\r\n\"four\"\n\r\nnull\n{\"last\":true}");
    bench_run(&b);
    check_values(expected, 6);
    assert_false(b.seen[0].has_key || b.seen[0].has_id);
    append_to(&b, PATH, "\n"); /* what was the last line gets its newline */
    bench_run(&b);
    check_values(expected, 6);
    bench_fini(&b);
}

static void nothing_to_read(void **state)
{
    (void)state;
    bench_init(&b, 1);
    append_to(&b, PATH, "");
    bench_run(&b);
    check_events(&b, 0);
    append_to(&b, PATH, "\n\n \n");
    bench_run(&b);
    check_events(&b, 0);
    append_events(&b, PATH, 0, 3);
    bench_run(&b);
    check_events(&b, 3);
    bench_fini(&b);
}

static void a_missing_file_fails_the_source(void **state)
{
    (void)state;
    struct gate_figures figures;
    struct error err;
    bench_init(&b, 1);
    bench_gate(&b);
    bench_rest(&b);
    gate_figures(b.gate, &figures, &err);
    assert_int_equal(figures.state, GATE_FAILED);
    assert_int_equal(err.status, NEAP_NOTFOUND);
    assert_non_null(strstr(err.text, PATH));
    assert_non_null(strstr(err.text, "source of pipeline commits"));
    gate_close(&b.gate);
    b.options.path = "in"; /* a folder is no file */
    bench_gate(&b);
    bench_rest(&b);
    gate_figures(b.gate, &figures, &err);
    assert_int_equal(figures.state, GATE_FAILED);
    bench_fini(&b);
}

static void an_expression_that_is_none_is_refused(void **state)
{
    (void)state;
    struct error err = { 0 };
    bench_init(&b, 1);
    append_events(&b, PATH, 0, 1);
    bench_run(&b);
    b.options.key.text = "event.";
    assert_int_equal(gate_open(b.io, &b.options, &b.gate, &err), NEAP_BADINPUT);
    assert_non_null(strstr(err.text, "neap.yaml:6:"));
    assert_null(b.gate);
    b.options.key.text = "event.k";
    char *path = malloc(2000);
    memset(path, 'x', 1999);
    path[1999] = '\0';
    b.options.path = path;
    assert_int_equal(gate_open(b.io, &b.options, &b.gate, &err), NEAP_MISUSE);
    free(path);
    bench_fini(&b);
}

/* ---- key, id and time ---- */

static void keys_ids_and_times_of_all_kinds(void **state)
{
    (void)state;
    bench_init(&b, 1);
    b.options.time = (struct gate_expr){ "event.t", 8, 12 };
    append_to(&b, PATH,
              "{\"k\":\"text\",\"id\":1,\"t\":1000}\n{\"k\":1.5,\"id\":true,\"t\":\"2024-02-29T12:34:56.789Z\"}\n"
              "{\"k\":{\"x\":[1]},\"id\":\"\",\"t\":1000.9}\n{\"other\":1}\n");
    bench_run(&b);
    bench_look(&b);
    assert_int_equal(b.seen_count, 4);
    assert_string_equal(b.seen[0].key, "text");
    assert_string_equal(b.seen[0].id, "1");
    assert_int_equal(b.seen[0].time_ms, 1000);
    assert_string_equal(b.seen[1].key, "1.5");
    assert_string_equal(b.seen[1].id, "true");
    assert_int_equal(b.seen[1].time_ms, 1709210096789);
    assert_string_equal(b.seen[2].key, "{\"x\":[1]}");
    assert_true(b.seen[2].has_id && b.seen[2].id[0] == '\0');
    assert_int_equal(b.seen[2].time_ms, 1000);
    assert_false(b.seen[3].has_key || b.seen[3].has_id); /* nil is no key, and no failure */
    assert_true(b.seen[3].time_ms > 1000);
    bench_fini(&b);
}

static void without_a_key_the_id_chooses_and_without_both_they_take_turns(void **state)
{
    (void)state;
    bench_init(&b, 4);
    b.options.key.text = NULL;
    for (uint32_t round = 0; round < 2; round++) { /* the same ids twice: in the same partitions */
        append_events(&b, PATH, 0, 100);
        bench_run(&b);
    }
    bench_look(&b);
    assert_int_equal(b.seen_count, 200);
    int home[100];
    bool used[4] = { false };
    memset(home, -1, sizeof(home));
    for (uint32_t i = 0; i < b.seen_count; i++) {
        int id = atoi(b.seen[i].id);
        assert_true(home[id] < 0 || home[id] == (int)b.seen[i].partition);
        home[id] = (int)b.seen[i].partition;
        used[b.seen[i].partition] = true;
    }
    assert_true(used[0] && used[1] && used[2] && used[3]);
    bench_fini(&b);

    bench_init(&b, 4);
    b.options.key.text = b.options.id.text = NULL;
    b.options.read_size = 200;
    append_events(&b, PATH, 0, 400);
    bench_run(&b);
    bench_look(&b);
    uint32_t counts[4] = { 0 };
    for (uint32_t i = 0; i < b.seen_count; i++)
        counts[b.seen[i].partition]++;
    for (int i = 0; i < 4; i++)
        assert_true(counts[i] > 50);
    bench_fini(&b);
}

/* ---- lines that never become events ---- */

static void check_letter(uint32_t index, const char *reason, uint32_t line, uint32_t column, const char *error)
{
    const struct seen_letter *l = &b.letters[index];
    assert_true(index < b.letter_count);
    if (strstr(l->error, error) == NULL)
        print_message("%s\n", l->error);
    assert_string_equal(l->reason, reason);
    assert_non_null(strstr(l->error, error));
    assert_string_equal(l->file, PATH);
    assert_string_equal(l->stage, "source");
    assert_string_equal(l->pipeline, "commits");
    assert_int_equal(l->line, line);
    assert_int_equal(l->column, column);
}

static void bad_lines_are_dead_letters_with_their_place(void **state)
{
    (void)state;
    bench_init(&b, 2);
    b.options.key.text = "event.who.name";
    b.options.time = (struct gate_expr){ "event.t", 8, 12 };
    append_to(&b, PATH,
              "{\"id\":\"1\",\"who\":{\"name\":\"a\"}}\n"
              "{\"id\":\"2\",\"who\":{\"name\":\"b}}\n" /* 2: a quote is missing */
              "\n"
              "{\"id\":\"4\xff\",\"who\":{}}\n"                          /* 4: not UTF-8 */
              "{\"id\":\"5\"}\n"                                         /* 5: who is nil */
              "{\"id\":\"6\",\"who\":{},\"t\":\"yesterday\"}\n"          /* 6: no time */
              "{\"id\":\"7\",\"who\":{},\"t\":18446744073709551616}\n"); /* 7: no number */
    bench_run(&b);
    bench_look(&b);
    assert_int_equal(b.seen_count, 1);
    assert_int_equal(b.letter_count, 5);
    check_letter(0, "not_json", 2, 25, "not JSON: missing '\"'");
    assert_string_equal(b.letters[0].value, "{\"id\":\"2\",\"who\":{\"name\":\"b}}");
    check_letter(1, "not_json", 4, 9, "not JSON: bytes that are not UTF-8");
    check_letter(2, "expression", 5, 0, "neap.yaml:6:12: event.who is nil");
    check_letter(3, "expression", 6, 0, "neap.yaml:8:12: time is yesterday; wanted RFC 3339 text or Unix milliseconds");
    check_letter(4, "not_json", 7, 24, "integer of more than 64 bits");
    append_to(&b, PATH, "{\"id\":\"8\n"); /* line numbers go on after a restart */
    bench_run(&b);
    bench_look(&b);
    assert_int_equal(b.letter_count, 6);
    check_letter(5, "not_json", 8, 7, "missing '\"'");
    bench_fini(&b);
}

static void numbers_count_lines_that_got_their_newline_late(void **state)
{
    (void)state;
    bench_init(&b, 1);
    append_to(&b, PATH, "{\"id\":1}\n{\"id\":2}");
    bench_run(&b);
    append_to(&b, PATH, "\nx\n");
    bench_run(&b);
    bench_look(&b);
    check_letter(0, "not_json", 3, 1, "unknown word");
    append_to(&b, PATH, "y");
    bench_run(&b);
    append_to(&b, PATH, "z\nw\n"); /* the fourth line goes on: its rest is judged alone, under its number */
    bench_run(&b);
    bench_look(&b);
    assert_int_equal(b.letter_count, 4);
    check_letter(1, "not_json", 4, 1, "unknown word");
    check_letter(2, "not_json", 4, 1, "unknown word");
    check_letter(3, "not_json", 5, 1, "unknown word");
    bench_fini(&b);
}

/* A line of `size` bytes: {"id":"xxx…"} and its newline. */
static void append_long(uint32_t size)
{
    char *text = malloc(size + 2);
    memset(text, 'x', size);
    memcpy(text, "{\"id\":\"", 7);
    memcpy(text + size - 2, "\"}\n", 4);
    append_to(&b, PATH, text);
    free(text);
}

static void a_topic_has_its_own_limit_and_may_ask_for_keys(void **state)
{
    (void)state;
    static const uint32_t sizes[] = { 1000, 100000, 100001, 600000, (3u << 20) - 100, 3u << 20, (3u << 20) + 1 };
    static const struct {
        uint32_t limit, letter_count;
    } limits[] = { { 100000, 5 }, { RECORD_SIZE_TOP, 1 } };
    for (size_t l = 0; l < COUNT_OF(limits); l++) {
        bench_init(&b, 1);
        b.options.id.text = b.options.key.text = NULL;
        b.options.record_size_max = limits[l].limit;
        for (size_t i = 0; i < COUNT_OF(sizes); i++)
            append_long(sizes[i]);
        bench_run(&b);
        bench_look(&b);
        assert_int_equal(b.letter_count, limits[l].letter_count);
        assert_int_equal(b.seen_count, COUNT_OF(sizes) - limits[l].letter_count);
        uint64_t last = limits[l].letter_count - 1;
        assert_int_equal(b.letters[last].full_size, (3u << 20) + 1);
        assert_int_equal(b.letters[last].size, DEAD_LETTER_VALUE_SIZE_MAX);
        bench_fini(&b);
    }
    bench_init(&b, 1);
    b.options.key.text = "event.k";
    b.options.key_needed = true;
    append_to(&b, PATH, "{\"id\":1,\"k\":\"a\"}\n{\"id\":2}\n{\"id\":3,\"k\":\"\"}\n");
    bench_run(&b);
    bench_look(&b);
    assert_int_equal(b.seen_count, 2);
    assert_int_equal(b.letter_count, 1);
    check_letter(0, "refused", 2, 0, "is compacted, which takes a key");
    bench_fini(&b);
}

static void too_long_lines_are_cut_and_the_next_one_is_found(void **state)
{
    (void)state;
    static const uint32_t sizes[] = { 600u << 10, (1u << 20) - 100, 1u << 20, (1u << 20) + 1, 5u << 20 };
    bench_init(&b, 1);
    b.options.id.text = b.options.key.text = NULL;
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        append_long(sizes[i]);
        append_to(&b, PATH, "{\"id\":\"after\"}\n");
    }
    bench_run(&b);
    bench_look(&b);
    assert_int_equal(b.seen_count, 3 + 5);
    assert_int_equal(b.letter_count, 2);
    check_letter(0, "too_large", 7, 0, "line of 1048577 bytes; the limit of topic 'events' is 1048576");
    check_letter(1, "too_large", 9, 0, "line of 5242880 bytes; the limit of topic 'events' is 1048576");
    assert_int_equal(b.letters[1].full_size, 5u << 20);
    assert_int_equal(b.letters[1].size, DEAD_LETTER_VALUE_SIZE_MAX);
    assert_memory_equal(b.letters[1].value, "{\"id\":\"xxx", 10);
    append_to(&b, PATH, "{\"id\":\"last\"}\n");
    b.options.id.text = "event.id .. event.id"; /* an id of twice the line: the record would be too large */
    append_long(400u << 10);
    bench_run(&b);
    bench_look(&b);
    assert_int_equal(b.seen_count, 3 + 5 + 1);
    check_letter(2, "too_large", 12, 0, "event with its key and id of ");
    bench_fini(&b);
}

/* ---- following ---- */

static void check_following(uint32_t count)
{
    bench_rest(&b);
    sim_run(b.io, 2 * NS_PER_S);
    assert_int_equal(figures_of(&b).state, GATE_WAITING);
    check_events(&b, count);
}

static void following_takes_what_comes(void **state)
{
    (void)state;
    bench_init(&b, 2);
    b.options.follow = true;
    bench_gate(&b);
    bench_rest(&b);
    assert_non_null(strstr(b.said, "waiting for it"));
    size_t said = b.said_size;
    sim_run(b.io, 5 * NS_PER_S);
    assert_int_equal(b.said_size, said); /* said once */
    append_events(&b, PATH, 0, 10);
    check_following(10);
    append_to(&b, PATH, "{\"id\":\"10\",");
    check_following(10); /* a line begins: it waits for its end */
    append_to(&b, PATH, "\"k\":3}\n");
    check_following(11);
    append_events(&b, PATH, 11, 1000);
    check_following(1011);
    gate_stop(b.gate);
    bench_rest(&b);
    assert_int_equal(figures_of(&b).state, GATE_DONE);
    assert_int_equal(b.ended_count, 1);
    bench_fini(&b);
}

static void rename_file(const char *from, const char *to)
{
    struct error err;
    assert_int_equal(io_rename(b.io, from, to, &err), NEAP_OK);
    assert_int_equal(io_dir_sync(b.io, "in", &err), NEAP_OK);
}

static void rotation_while_following(void **state)
{
    (void)state;
    bench_init(&b, 2);
    b.options.follow = true;
    append_events(&b, PATH, 0, 10);
    bench_gate(&b);
    check_following(10);
    rename_file(PATH, "in/events.1");
    append_events(&b, "in/events.1", 10, 5); /* its writer has not heard of it yet */
    check_following(15);
    append_events(&b, "in/events.1", 15, 5);
    append_to(&b, "in/events.1", "{\"id\":\"20\",\"k\":6}"); /* without a newline: there will not be one */
    append_events(&b, PATH, 21, 9);
    check_following(30);
    append_events(&b, PATH, 30, 10);
    check_following(40);
    bench_fini(&b);
}

static void rotation_while_not_running(void **state)
{
    (void)state;
    for (int follow = 0; follow < 2; follow++) {
        bench_init(&b, 2);
        b.options.follow = false;
        append_events(&b, PATH, 0, 10);
        bench_run(&b);
        b.options.follow = follow;
        append_events(&b, PATH, 10, 10);
        rename_file(PATH, "in/events.1");
        append_events(&b, PATH, 20, 10);
        if (follow) {
            bench_gate(&b);
            check_following(30);
            gate_close(&b.gate);
        } else {
            bench_run(&b);
        }
        assert_non_null(strstr(b.said, "finishing the renamed file first"));
        check_events(&b, 30);
        b.options.follow = false;
        bench_run(&b);
        check_events(&b, 30);
        bench_fini(&b);
    }
}

static void truncation_begins_anew(void **state)
{
    (void)state;
    bench_init(&b, 2);
    b.options.follow = true;
    append_events(&b, PATH, 0, 100);
    bench_gate(&b);
    check_following(100);
    cut_to(&b, PATH, 0);
    append_events(&b, PATH, 100, 20); /* in the same look */
    check_following(120);
    assert_non_null(strstr(b.said, "shorter than what was read"));
    cut_to(&b, PATH, 0);
    sim_run(b.io, 2 * NS_PER_S);
    append_events(&b, PATH, 120, 5);
    check_following(125);
    cut_to(&b, PATH, 0);
    append_events(&b, PATH, 125, 600); /* longer than before at once: its first bytes tell */
    check_following(725);
    assert_non_null(strstr(b.said, "first bytes have changed"));
    gate_close(&b.gate);
    cut_to(&b, PATH, 0); /* and while not running */
    append_events(&b, PATH, 725, 10);
    b.options.follow = false;
    bench_run(&b);
    check_events(&b, 735);
    bench_fini(&b);
}

static void a_cut_behind_the_last_line_takes_nothing_twice(void **state)
{
    (void)state;
    struct io_file_info info;
    bench_init(&b, 1);
    b.options.follow = true;
    append_events(&b, PATH, 0, 10);
    assert_int_equal(io_path_info(b.io, PATH, &info), NEAP_OK);
    append_to(&b, PATH, "{\"half\":");
    bench_gate(&b);
    check_following(10);
    cut_to(&b, PATH, info.size);
    check_following(10);
    append_events(&b, PATH, 10, 10);
    check_following(20);
    assert_null(strstr(b.said, "another one now"));
    bench_fini(&b);
}

static void another_file_is_said_and_read(void **state)
{
    (void)state;
    struct error err;
    bench_init(&b, 1);
    append_events(&b, PATH, 0, 10);
    bench_run(&b);
    assert_int_equal(io_unlink(b.io, PATH, &err), NEAP_OK);
    append_events(&b, "in/fresh", 10, 10);
    rename_file("in/fresh", PATH);
    bench_run(&b);
    check_events(&b, 20);
    assert_non_null(strstr(b.said, "reading it from its beginning"));
    bench_fini(&b);
}

/* ---- standard input ---- */

static void standard_input_to_its_end(void **state)
{
    (void)state;
    bench_init(&b, 2);
    b.options.path = NULL;
    bench_gate(&b);
    for (uint32_t i = 0; i < 500; i++) {
        char text[64];
        int size = snprintf(text, sizeof(text), "{\"id\":\"%u\",\"k\":%u}%s", i, i % 7, i < 499 ? "\n" : "");
        sim_input(b.io, (struct bytes){ (uint8_t *)text, (size_t)size / 2 }, false);
        if (i % 50 == 0)
            sim_run(b.io, 100 * NS_PER_MS);
        sim_input(b.io, (struct bytes){ (uint8_t *)text + size / 2, (size_t)(size - size / 2) }, i == 499);
    }
    bench_rest(&b);
    assert_int_equal(figures_of(&b).state, GATE_DONE);
    check_events(&b, 500);
    bench_fini(&b);
}

static void stopped_standard_input_keeps_whole_lines(void **state)
{
    (void)state;
    static char text[300 * 64];
    size_t size = 0;
    bench_init(&b, 2);
    b.options.path = NULL;
    b.options.unit_count_max = 1;
    b.options.read_size = 1000;
    bench_gate(&b);
    for (uint32_t i = 0; i < 300; i++)
        size += (size_t)sprintf(text + size, "{\"id\":\"%u\",\"k\":%u}\n", i, i % 7);
    sim_input(b.io, (struct bytes){ (uint8_t *)text, size }, false);
    sim_run(b.io, 1 * NS_PER_MS);
    gate_stop(b.gate);
    bench_rest(&b);
    assert_int_equal(figures_of(&b).state, GATE_DONE);
    bench_look(&b);
    check_events(&b, b.seen_count);
    bench_fini(&b);
}

/* ---- the log's troubles ---- */

static void a_full_log_is_waited_for(void **state)
{
    (void)state;
    bench_init(&b, 1);
    b.options.key.text = b.options.id.text = NULL;
    for (int i = 0; i < 30; i++)
        append_long(900u << 10);
    sim_run(b.io, NS_PER_S);                          /* the ready files are made */
    sim_disk_size_set(b.disk, sim_disk_used(b.disk)); /* no new journal file from here on */
    bench_gate(&b);
    sim_run(b.io, 30 * NS_PER_S);
    struct gate_figures figures = figures_of(&b);
    assert_int_equal(figures.state, GATE_READING);
    assert_true(figures.run.accepted > 0 && figures.run.accepted < 30);
    const char *said = strstr(b.said, "the log is full");
    assert_non_null(said);
    assert_null(strstr(said + 1, "the log is full")); /* once */
    sim_disk_size_set(b.disk, 256u << 20);
    sim_run(b.io, NS_PER_S); /* room says nothing when it comes: it is looked for at least so often */
    assert_true(figures_of(&b).run.accepted > figures.run.accepted);
    bench_rest(&b);
    assert_int_equal(figures_of(&b).state, GATE_DONE);
    assert_non_null(strstr(b.said, "there is room in the log again"));
    bench_look(&b);
    assert_int_equal(b.seen_count, 30);
    bench_fini(&b);
}

/* Told to stop while the log is full, it does not wait for ever; with more room the next run brings the rest. */
static void a_stop_ends_the_wait_for_room(void **state)
{
    (void)state;
    bench_init(&b, 1);
    b.options.key.text = b.options.id.text = NULL;
    log_close(&b.log);
    b.log_disk_size = 40u << 20;
    bench_log(&b);
    for (int i = 0; i < 50; i++)
        append_long(900u << 10);
    bench_gate(&b);
    sim_run(b.io, 30 * NS_PER_S);
    assert_non_null(strstr(b.said, "the log is full"));
    gate_close(&b.gate);
    assert_int_equal(b.ended_count, 1);
    bench_look(&b);
    assert_true(b.seen_count > 0 && b.seen_count < 50);
    log_close(&b.log);
    b.log_disk_size = 512u << 20;
    bench_log(&b);
    bench_run(&b);
    bench_look(&b);
    assert_int_equal(b.seen_count, 50);
    bench_fini(&b);
}

/* Standard input cannot be read again, but what the log has no room for is not accepted: a stop does not wait for it. */
static void a_stop_ends_the_wait_of_standard_input(void **state)
{
    (void)state;
    static char text[40 * (900u << 10)];
    bench_init(&b, 1);
    b.options.key.text = b.options.id.text = NULL;
    log_close(&b.log);
    b.log_disk_size = 24u << 20;
    bench_log(&b);
    for (uint32_t i = 0; i < 40; i++) {
        char *line = text + i * (900u << 10);
        memset(line, 'a', 900u << 10);
        line[0] = line[(900u << 10) - 2] = '"';
        line[(900u << 10) - 1] = '\n';
    }
    b.options.path = NULL;
    b.options.unit_count_max = 2;
    sim_input(b.io, (struct bytes){ (uint8_t *)text, sizeof(text) }, false);
    bench_gate(&b);
    sim_run(b.io, 30 * NS_PER_S);
    assert_non_null(strstr(b.said, "the log is full"));
    uint64_t accepted = figures_of(&b).run.accepted;
    gate_close(&b.gate);
    assert_int_equal(b.ended_count, 1);
    bench_look(&b);
    assert_true(accepted > 0 && accepted < 40);
    assert_int_equal(b.seen_count, accepted);
    bench_fini(&b);
}

static void a_failed_sync_ends_the_source(void **state)
{
    (void)state;
    struct gate_figures figures;
    struct error err;
    bench_init(&b, 2);
    append_events(&b, PATH, 0, 100);
    bench_gate(&b);
    sim_fault_add(b.io, &(struct sim_fault){ .call = SIM_SYNC, .path_part = "data", .nth = 1, .status = NEAP_IO });
    bench_rest(&b);
    gate_figures(b.gate, &figures, &err);
    assert_int_equal(figures.state, GATE_FAILED);
    assert_int_equal(err.status, NEAP_IO);
    assert_int_equal(figures.run.accepted, 0);
    bench_fini(&b);
}

static void a_deleted_topic_ends_the_source(void **state)
{
    (void)state;
    struct gate_figures figures;
    struct error err;
    struct log_client *client;
    bench_init(&b, 2);
    b.options.follow = true;
    append_events(&b, PATH, 0, 100);
    bench_gate(&b);
    bench_rest(&b);
    assert_int_equal(log_client_open(b.log, &(struct log_client_options){ 0 }, &client, &err), NEAP_OK);
    struct log_op op = { .kind = LOG_TOPIC_DELETE, .target = { b.topic.id, 0 } };
    struct log_unit unit = { .ops = &op, .count = 1 };
    assert_int_equal(log_submit_wait(client, &unit, MONO_NEVER), NEAP_OK);
    log_client_close(&client);
    append_events(&b, PATH, 100, 1);
    for (int i = 0; i < 100 && b.ended_count == 0; i++)
        sim_run(b.io, 100 * NS_PER_MS);
    gate_figures(b.gate, &figures, &err);
    assert_int_equal(figures.state, GATE_FAILED);
    assert_non_null(strstr(err.text, "topic events: it was deleted"));
    bench_fini(&b);
}

static void a_file_that_cannot_be_read(void **state)
{
    (void)state;
    struct sim_fault fault = { .call = SIM_READ, .path_part = "events", .nth = 1, .sticky = true, .status = NEAP_IO };
    struct gate_figures figures;
    struct error err;
    bench_init(&b, 1);
    append_events(&b, PATH, 0, 10);
    sim_fault_add(b.io, &fault);
    bench_gate(&b);
    bench_rest(&b);
    gate_figures(b.gate, &figures, &err);
    assert_int_equal(figures.state, GATE_FAILED);
    assert_int_equal(err.status, NEAP_IO);
    gate_close(&b.gate);
    b.options.follow = true;
    bench_gate(&b);
    sim_run(b.io, 3 * NS_PER_S);
    assert_int_equal(figures_of(&b).state, GATE_WAITING);
    assert_non_null(strstr(b.said, "trying again"));
    sim_faults_clear(b.io);
    check_following(10);
    bench_fini(&b);
}

/* ---- stopped and killed anywhere ---- */

static void stopping_anywhere_loses_nothing(void **state)
{
    (void)state;
    bench_init(&b, 2);
    b.options.read_size = 100;
    append_events(&b, PATH, 0, 300);
    uint64_t seed = 5;
    for (bool over = false; !over;) {
        bench_gate(&b);
        sim_run(b.io, (int64_t)chance_below(&seed, 400) * NS_PER_US);
        over = figures_of(&b).state == GATE_DONE;
        gate_close(&b.gate);
    }
    check_events(&b, 300);
    bench_fini(&b);
}

/* Starts again on what a crash at each of these points leaves; answers how many that were. */
static uint32_t try_crashes(uint32_t first, uint32_t last, uint32_t event_count)
{
    static const uint64_t states[] = { SIM_STATE_ALL, SIM_STATE_NONE, 1, 2, 3 };
    static struct bench after;
    uint32_t tried = 0;
    for (uint32_t point = first; point <= last; point++) {
        uint64_t count = sim_disk_point_matters(b.disk, point) ? sim_disk_state_count(b.disk, point) : 0;
        for (size_t i = 0; i < COUNT_OF(states) && count > 0; i++) {
            if (states[i] < SIM_STATE_EVICTED && states[i] >= count)
                continue;
            memset(&after, 0, sizeof(after));
            after.partition_count = 2;
            after.options = b.options;
            bench_door(&after, point, sim_disk_state(b.disk, point, states[i], false), true);
            after.owns_disk = true;
            bench_log(&after);
            bench_run(&after);
            check_events(&after, event_count);
            bench_fini(&after);
            tried++;
        }
    }
    return tried;
}

/* A process killed at any of its disk operations, and started again on what it left, has every line once. */
static void killed_anywhere(void **state)
{
    (void)state;
    bench_init(&b, 2);
    gate_close(&b.gate);
    log_close(&b.log);
    sim_close(&b.io);
    sim_disk_free(&b.disk);
    b.options.read_size = 700;
    bench_door(&b, 3, sim_disk_new(&(struct sim_disk_options){ .size = 256u << 20, .record = true }), false);
    append_events(&b, PATH, 0, 150);
    bench_log(&b);
    uint32_t first = sim_disk_point(b.disk);
    bench_run(&b);
    uint32_t tried = try_crashes(first, sim_disk_point(b.disk), 150);
    append_events(&b, PATH, 150, 50);
    first = sim_disk_point(b.disk);
    bench_run(&b);
    tried += try_crashes(first, sim_disk_point(b.disk), 200);
    print_message("%u crash states\n", tried);
    assert_true(tried > 50);
    bench_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_line_once_in_order),
        cmocka_unit_test(small_reads_make_the_same),
        cmocka_unit_test(lines_of_all_kinds),
        cmocka_unit_test(nothing_to_read),
        cmocka_unit_test(a_missing_file_fails_the_source),
        cmocka_unit_test(an_expression_that_is_none_is_refused),
        cmocka_unit_test(keys_ids_and_times_of_all_kinds),
        cmocka_unit_test(without_a_key_the_id_chooses_and_without_both_they_take_turns),
        cmocka_unit_test(bad_lines_are_dead_letters_with_their_place),
        cmocka_unit_test(numbers_count_lines_that_got_their_newline_late),
        cmocka_unit_test(too_long_lines_are_cut_and_the_next_one_is_found),
        cmocka_unit_test(a_topic_has_its_own_limit_and_may_ask_for_keys),
        cmocka_unit_test(following_takes_what_comes),
        cmocka_unit_test(rotation_while_following),
        cmocka_unit_test(rotation_while_not_running),
        cmocka_unit_test(truncation_begins_anew),
        cmocka_unit_test(a_cut_behind_the_last_line_takes_nothing_twice),
        cmocka_unit_test(another_file_is_said_and_read),
        cmocka_unit_test(standard_input_to_its_end),
        cmocka_unit_test(stopped_standard_input_keeps_whole_lines),
        cmocka_unit_test(a_full_log_is_waited_for),
        cmocka_unit_test(a_stop_ends_the_wait_of_standard_input),
        cmocka_unit_test(a_stop_ends_the_wait_for_room),
        cmocka_unit_test(a_failed_sync_ends_the_source),
        cmocka_unit_test(a_deleted_topic_ends_the_source),
        cmocka_unit_test(a_file_that_cannot_be_read),
        cmocka_unit_test(stopping_anywhere_loses_nothing),
        cmocka_unit_test(killed_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
