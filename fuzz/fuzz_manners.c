/* What strangers say about calls: a Retry-After is a wait or nothing, a URL has one name, which is its own name, or none, and a
 * list of outcomes is rules or is told why not. The first byte says which of them the rest is. */
#include "fuzz.h"

#include "flow/destination.h"
#include "flow/retry.h"

static void judge_retry_after(struct bytes text, wall_time now)
{
    int64_t ns = -1;
    must(retry_after_read(text, now, &ns) ? ns >= 0 : ns == -1);
}

static void judge_url(struct bytes url)
{
    char room[DESTINATION_NAME_SIZE_MAX], again_room[DESTINATION_NAME_SIZE_MAX];
    struct bytes name, again;
    if (destination_name_of(url, room, &name) != NEAP_OK)
        return;
    must(name.size <= DESTINATION_NAME_SIZE_MAX &&
         name.size <= url.size + 4); /* a usual port, where none was written */
    must(destination_name_of(name, again_room, &again) == NEAP_OK && bytes_equal(name, again));
}

/* Words are parted by commas, the two lists by a semicolon. */
static void judge_lists(struct bytes text)
{
    struct bytes words[2][16];
    uint32_t counts[2] = { 0, 0 };
    struct error err;
    struct outcome_rules rules;
    size_t start = 0, list = 0;
    for (size_t i = 0; i <= text.size; i++) {
        if (i < text.size && text.at[i] != ',' && text.at[i] != ';')
            continue;
        if (counts[list] < COUNT_OF(words[0]))
            words[list][counts[list]++] = (struct bytes){ text.at + start, i - start };
        start = i + 1;
        list = i < text.size && text.at[i] == ';' ? 1 : list;
    }
    const struct outcome_list permanent = { words[0], counts[0] }, transient = { words[1], counts[1] };
    if (outcome_rules_make(&permanent, &transient, &rules, &err) != NEAP_OK) {
        must(err.text[0] != '\0');
        return;
    }
    for (uint32_t status = 0; status < 700; status++)
        must(outcome_of_status(&rules, status) <= OUTCOME_RELEASED);
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t size)
{
    if (size < 1 || size > 4096)
        return 0;
    struct bytes text = { at + 1, size - 1 };
    if (at[0] % 4 == 0)
        judge_retry_after(text, (wall_time){ 784111777000 });
    else if (at[0] % 4 == 1)
        judge_retry_after(text, (wall_time){ INT64_MIN + at[0] });
    else if (at[0] % 4 == 2)
        judge_url(text);
    else
        judge_lists(text);
    return 0;
}
