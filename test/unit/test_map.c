/* The map beside a list that is searched from its beginning. */
#include "check.h"

#include "base/map.h"
#include <stdio.h>
#include <stdlib.h>

#define COUNT_MAX 300

struct pair {
    char key[16];
    int *value;
};

struct list {
    struct pair pairs[COUNT_MAX];
    size_t count;
};

static struct pair *list_find(struct list *list, const char *key)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->pairs[i].key, key) == 0)
            return &list->pairs[i];
    return NULL;
}

static void list_remove(struct list *list, struct pair *pair)
{
    size_t after = (size_t)(list->pairs + list->count - (pair + 1));
    memmove(pair, pair + 1, after * sizeof *pair);
    list->count--;
}

static void same(struct map *map, struct list *list)
{
    assert_int_equal(map_count(map), list->count);
    struct bytes key;
    void *value;
    size_t i = 0;
    for (size_t cursor = 0; map_next(map, &cursor, &key, &value); i++) {
        assert_true(i < list->count);
        assert_true(bytes_equal(key, bytes_of_text(list->pairs[i].key)));
        assert_ptr_equal(value, list->pairs[i].value);
    }
    assert_int_equal(i, list->count);
}

static void agrees_with_a_list(void **state)
{
    (void)state;
    static int values[64];
    static struct list list;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        uint64_t s = seed;
        struct map *map = map_new(COUNT_MAX);
        list.count = 0;
        uint64_t key_count = seed * 120; /* the last ones meet the limit */
        for (int step = 0; step < 20000; step++) {
            char key[16];
            snprintf(key, sizeof key, "key-%d", (int)chance_below(&s, key_count));
            struct bytes k = bytes_of_text(key);
            struct pair *pair = list_find(&list, key);
            assert_ptr_equal(map_get(map, k), pair != NULL ? pair->value : NULL);
            if (chance_below(&s, 5) < 3) {
                int *value = &values[chance_below(&s, COUNT_OF(values))];
                void *old = &old;
                enum neap_status status = map_put(map, k, value, &old);
                if (pair == NULL && list.count == COUNT_MAX) {
                    assert_int_equal(status, NEAP_FULL);
                    assert_ptr_equal(old, &old);
                } else if (pair == NULL) {
                    assert_int_equal(status, NEAP_OK);
                    assert_null(old);
                    pair = &list.pairs[list.count++];
                    memcpy(pair->key, key, sizeof key);
                    pair->value = value;
                } else {
                    assert_int_equal(status, NEAP_OK);
                    assert_ptr_equal(old, pair->value);
                    pair->value = value;
                }
            } else {
                assert_ptr_equal(map_remove(map, k), pair != NULL ? pair->value : NULL);
                if (pair != NULL)
                    list_remove(&list, pair);
            }
            if (step % 97 == 0)
                same(map, &list);
        }
        same(map, &list);
        map_free(&map, NULL);
    }
}

static void removing_while_walking(void **state)
{
    (void)state;
    static int values[100];
    struct map *map = map_new(100);
    for (int i = 0; i < 100; i++) {
        char key[8];
        snprintf(key, sizeof key, "%d", i);
        values[i] = i;
        assert_int_equal(map_put(map, bytes_of_text(key), &values[i], NULL), NEAP_OK);
    }
    struct bytes key;
    void *value;
    int seen = 0;
    for (size_t cursor = 0; map_next(map, &cursor, &key, &value); seen++)
        if (*(int *)value % 2 == 0)
            assert_ptr_equal(map_remove(map, key), value);
    assert_int_equal(seen, 100);
    assert_int_equal(map_count(map), 50);
    map_free(&map, NULL);
}

static void odd_keys_and_freeing(void **state)
{
    (void)state;
    struct map *map = map_new(4);
    assert_null(map_get(map, BYTES("x")));
    assert_null(map_remove(map, BYTES("x")));
    assert_int_equal(map_put(map, BYTES(""), malloc(1), NULL), NEAP_OK);
    assert_int_equal(map_put(map, BYTES("a\0b"), malloc(1), NULL), NEAP_OK);
    assert_int_equal(map_put(map, BYTES("a\0c"), malloc(1), NULL), NEAP_OK);
    assert_int_equal(map_count(map), 3);
    assert_non_null(map_get(map, BYTES("")));
    assert_ptr_not_equal(map_get(map, BYTES("a\0b")), map_get(map, BYTES("a\0c")));
    map_free(&map, free);
    assert_null(map);
    map_free(&map, free);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_a_list),
        cmocka_unit_test(removing_while_walking),
        cmocka_unit_test(odd_keys_and_freeing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
