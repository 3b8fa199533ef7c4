/* outcome.c - two lists of words become one table.
 *
 * They are entered in passes, classes (4xx) before single statuses, and in each pass the list that nobody wrote before those
 * that somebody did: what is more exact, and then what was written, comes last and stays. */
#include "flow/outcome.h"
#include "base/must.h"

#define STATUS_TOO_MANY 429u

static const char *const outcome_words[] = { "delivered", "transient", "permanent", "released" };

static const struct {
    const char *word, *text;
} call_errors[] = {
#define X(name, word, text) { word, text },
    CALL_ERROR_MAP(X)
#undef X
};

const char *outcome_word(enum outcome outcome)
{
    must((size_t)outcome < COUNT_OF(outcome_words));
    return outcome_words[outcome];
}

const char *call_error_word(enum call_error error)
{
    must(error < CALL_ERROR_COUNT);
    return call_errors[error].word;
}

const char *call_error_text(enum call_error error)
{
    must(error < CALL_ERROR_COUNT);
    return call_errors[error].text;
}

enum word_kind { WORD_BAD, WORD_CLASS, WORD_STATUS, WORD_ERROR };

struct word {
    enum word_kind kind;
    uint32_t first, count; /* of statuses, from OUTCOME_STATUS_MIN on; or the error */
};

static struct word error_word(struct bytes text)
{
    for (uint32_t i = 0; i < CALL_ERROR_COUNT; i++)
        if (bytes_equal(text, bytes_of_text(call_errors[i].word)))
            return (struct word){ WORD_ERROR, i, 1 };
    return (struct word){ WORD_BAD, 0, 0 };
}

static struct word word_of(struct bytes text)
{
    if (text.size != 3 || text.at[0] < '1' || text.at[0] > '5')
        return error_word(text);
    uint32_t class = (uint32_t)(text.at[0] - '1') * 100;
    if (text.at[1] == 'x' && text.at[2] == 'x')
        return (struct word){ WORD_CLASS, class, 100 };
    uint32_t tens = (uint32_t)text.at[1] - '0', ones = (uint32_t)text.at[2] - '0';
    if (tens > 9 || ones > 9)
        return (struct word){ WORD_BAD, 0, 0 };
    return (struct word){ WORD_STATUS, class + tens * 10 + ones, 1 };
}

static enum neap_status refuse(struct bytes text, struct error *err)
{
    char words[160];
    struct writer w = writer_of(words, sizeof words - 1);
    for (uint32_t i = 0; i < CALL_ERROR_COUNT; i++) {
        write_bytes(&w, i > 0 ? BYTES(", ") : BYTES(""));
        write_bytes(&w, bytes_of_text(call_errors[i].word));
    }
    must(!w.full);
    words[writer_size(&w)] = '\0';
    return error_set(err, NEAP_MISUSE,
                     "'%.*s' is no way for a call to end; write a status like 404, a class like 5xx, or one of %s",
                     (int)(text.size < 40 ? text.size : 40), (const char *)text.at, words);
}

static bool lists_word(const struct outcome_list *list, struct bytes text)
{
    for (uint32_t i = 0; i < list->count; i++)
        if (bytes_equal(list->words[i], text))
            return true;
    return false;
}

static enum neap_status check(const struct outcome_list *list, const struct outcome_list *other, struct error *err)
{
    for (uint32_t i = 0; i < list->count; i++) {
        struct bytes text = list->words[i];
        if (word_of(text).kind == WORD_BAD)
            return refuse(text, err);
        if (lists_word(other, text))
            return error_set(err, NEAP_MISUSE, "'%.*s' stands in both lists, permanent and transient", (int)text.size,
                             (const char *)text.at);
    }
    return NEAP_OK;
}

static void enter(struct outcome_rules *rules, const struct outcome_list *list, enum word_kind kind,
                  enum outcome outcome)
{
    for (uint32_t i = 0; list != NULL && i < list->count; i++) {
        struct word word = word_of(list->words[i]);
        if (word.kind != kind)
            continue;
        uint8_t *to = kind == WORD_ERROR ? rules->of_error : rules->of_status;
        memset(to + word.first, (int)outcome, word.count);
    }
}

static void enter_unlisted(struct outcome_rules *rules)
{
    memset(rules, OUTCOME_TRANSIENT, sizeof *rules);
    memset(rules->of_status + 200 - OUTCOME_STATUS_MIN, OUTCOME_DELIVERED, 100);
    memset(rules->of_status + 300 - OUTCOME_STATUS_MIN, OUTCOME_PERMANENT, 100);
}

enum neap_status outcome_rules_make(const struct outcome_list *permanent, const struct outcome_list *transient,
                                    struct outcome_rules *ret_rules, struct error *err)
{
    const struct bytes permanent_words[] = { BYTES("4xx") };
    const struct bytes transient_words[] = { BYTES("408"), BYTES("425"), BYTES("429"), BYTES("5xx"), BYTES("timeout") };
    const struct outcome_list permanent_default = { permanent_words, COUNT_OF(permanent_words) };
    const struct outcome_list transient_default = { transient_words, COUNT_OF(transient_words) };
    enum neap_status status = check(permanent, transient, err);
    if (status == NEAP_OK)
        status = check(transient, permanent, err);
    if (status != NEAP_OK)
        return status;
    struct outcome_rules rules;
    enter_unlisted(&rules);
    for (enum word_kind kind = WORD_CLASS; kind <= WORD_ERROR; kind++) {
        enter(&rules, permanent->words == NULL ? &permanent_default : NULL, kind, OUTCOME_PERMANENT);
        enter(&rules, transient->words == NULL ? &transient_default : NULL, kind, OUTCOME_TRANSIENT);
        enter(&rules, permanent, kind, OUTCOME_PERMANENT);
        enter(&rules, transient, kind, OUTCOME_TRANSIENT);
    }
    uint8_t *too_many = &rules.of_status[STATUS_TOO_MANY - OUTCOME_STATUS_MIN];
    *too_many = *too_many == OUTCOME_TRANSIENT ? OUTCOME_RELEASED : *too_many;
    *ret_rules = rules;
    return NEAP_OK;
}
