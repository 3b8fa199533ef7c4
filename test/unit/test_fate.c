/* Fates on a real log: keys keep pipelines apart, only what lies beyond the point is done, only what lies below is named. */
#include "flow_bench.h"

static void submit_fates(struct bench *b, const char *pipeline, const uint64_t *offsets, uint32_t count, bool forget)
{
    struct log_op ops[64];
    uint8_t keys[64][FATE_KEY_SIZE_MAX];
    must(count <= COUNT_OF(ops));
    for (uint32_t i = 0; i < count; i++) {
        size_t size = fate_key(keys[i], pipeline, (log_offset){ offsets[i] });
        assert_int_equal(size, fate_key_size(pipeline));
        ops[i] = (struct log_op){ .kind = LOG_FACT,
                                  .view = LOG_VIEW_FATE,
                                  .target = { b->topic.id, 0 },
                                  .name = { keys[i], size },
                                  .payload = forget ? (struct bytes){ NULL, 0 } : BYTES("refused") };
    }
    struct log_unit unit = { .ops = ops, .count = count };
    assert_int_equal(log_submit_wait(b->client, &unit, soon(b)), NEAP_OK);
}

static void keys_are_read_back(void **state)
{
    uint8_t key[FATE_KEY_SIZE_MAX];
    log_offset offset = { 0 };
    size_t size = fate_key(key, "ab", (log_offset){ 0x0102030405060708ull });
    assert_int_equal(size, 11);
    assert_memory_equal(key, "ab\0\1\2\3\4\5\6\7\10", 11);
    assert_int_equal(fate_key_read((struct bytes){ key, size }, "ab", &offset), NEAP_OK);
    assert_int_equal(offset.n, 0x0102030405060708ull);
    assert_int_equal(fate_key_read((struct bytes){ key, size }, "ac", &offset), NEAP_BADINPUT);
    assert_int_equal(fate_key_read((struct bytes){ key, size }, "a", &offset), NEAP_BADINPUT);
    assert_int_equal(fate_key_read((struct bytes){ key, size - 1 }, "ab", &offset), NEAP_BADINPUT);
}

static void fates_are_done_beyond_the_point(void **state)
{
    static struct bench b;
    static const uint64_t ours[] = { 3, 900, 7, 8, 12, 70000 }, theirs[] = { 4, 100 };
    bench_init(&b, 1);
    bench_log_open(&b);
    submit_fates(&b, "a", ours, 6, false);
    submit_fates(&b, "ab", theirs, 2, false); /* a name that begins like ours */
    for (int i = 0; i < 2; i++) {
        struct log_partition source = { b.topic.id, 0 };
        struct commit done;
        commit_init(&done, (log_offset){ 8 }, 100);
        assert_int_equal(fate_load(b.log, source, "a", &done), NEAP_OK);
        assert_int_equal(done.count, 4);
        for (size_t k = 0; k < COUNT_OF(ours); k++)
            assert_true(commit_has(&done, (log_offset){ ours[k] }));
        assert_false(commit_has(&done, (log_offset){ 100 }));
        commit_fini(&done);
        log_offset below[4];
        assert_int_equal(fate_below(b.log, source, "a", (log_offset){ 8 }, below, 4), 2);
        assert_int_equal(below[0].n, 3);
        assert_int_equal(below[1].n, 7);
        assert_int_equal(fate_below(b.log, source, "a", (log_offset){ 1000 }, below, 4), 4);
        commit_init(&done, (log_offset){ 0 }, 2);
        assert_int_equal(fate_load(b.log, source, "a", &done), NEAP_FULL);
        commit_fini(&done);
        bench_close(&b);
        bench_log_open(&b); /* they are durable */
    }
    submit_fates(&b, "a", ours, 6, true);
    assert_int_equal(count_facts(&b, LOG_VIEW_FATE, 0, BYTES("a\0")), 0);
    assert_int_equal(count_facts(&b, LOG_VIEW_FATE, 0, BYTES("ab\0")), 2);
    bench_close(&b);
    bench_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_read_back),
        cmocka_unit_test(fates_are_done_beyond_the_point),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
