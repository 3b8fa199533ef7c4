/* outcome.h - what a call to the outside came to, and the lists that say so: `permanent: [4xx]`, `transient: [5xx]`.
 *
 * owner    whoever made the rules; once made they are only read, by anyone
 * memory   one struct of fixed size: a byte for each HTTP status and each error
 * limits   statuses 100 to 599; another number is an answer that was not understood (CALL_ERROR_ANSWER)
 * errors   NEAP_MISUSE: a word that is none, with those that are; a word in both lists
 * promise  one look-up a call. A number beats its class: 408 in one list and 4xx in the other is 408 as its list says;
 *          between equals, a list that was written beats one that was not */
#ifndef FLOW_OUTCOME_H
#define FLOW_OUTCOME_H

#include "base/bytes.h"
#include "base/error.h"

enum outcome {
    OUTCOME_DELIVERED, /* it did what was asked */
    OUTCOME_TRANSIENT, /* the same call may succeed later; costs an attempt */
    OUTCOME_PERMANENT, /* it never will: this event gives up. The destination works all the same */
    OUTCOME_RELEASED,  /* nobody's fault, costs no attempt: "come later" (429), shutdown */
};
const char *outcome_word(enum outcome outcome); /* "delivered" */

/* How a call ends without a status. The words are what a pipeline file lists. */
#define CALL_ERROR_MAP(X)                                                                   \
    X(TIMEOUT, "timeout", "no answer before the deadline")                                  \
    X(CONNECT, "connect", "nobody listens there, or the way is cut")                        \
    X(DNS,     "dns",     "the name has no address")                                        \
    X(TLS,     "tls",     "the handshake failed, or the certificate is not to be trusted")  \
    X(RESET,   "reset",   "the connection ended before the answer did")                     \
    X(ANSWER,  "answer",  "the answer cannot be understood, or is larger than its limit")   \
    X(CRASH,   "crash",   "the program that was called has died")

enum call_error {
#define X(name, word, text) CALL_ERROR_##name,
    CALL_ERROR_MAP(X)
#undef X
    CALL_ERROR_COUNT
};
const char *call_error_word(enum call_error error); /* "timeout" */
const char *call_error_text(enum call_error error); /* "no answer before the deadline" */

#define OUTCOME_STATUS_MIN   100u
#define OUTCOME_STATUS_COUNT 500u

struct outcome_rules {
    uint8_t of_status[OUTCOME_STATUS_COUNT]; /* enum outcome, from OUTCOME_STATUS_MIN on */
    uint8_t of_error[CALL_ERROR_COUNT];
};

/* The words of one list, as they were written; `words` NULL and count 0: the list was not written, and is as below. */
struct outcome_list {
    const struct bytes *words;
    uint32_t count;
};
#define OUTCOME_PERMANENT_DEFAULT "4xx"
#define OUTCOME_TRANSIENT_DEFAULT "408, 425, 429, 5xx, timeout"

/* What neither list names: 2xx is delivered, 3xx is permanent (a redirect that was not followed leads to the same place
 * next time), all else is transient, because trying again loses nothing and giving up does. A 429 that is transient is
 * a release: the destination has not looked at the event, so it costs no attempt. */
enum neap_status outcome_rules_make(const struct outcome_list *permanent, const struct outcome_list *transient,
                                    struct outcome_rules *ret_rules, struct error *err);

static inline enum outcome outcome_of_error(const struct outcome_rules *rules, enum call_error error)
{
    return (enum outcome)rules->of_error[error];
}

static inline enum outcome outcome_of_status(const struct outcome_rules *rules, uint32_t status)
{
    uint32_t index = status - OUTCOME_STATUS_MIN; /* below the first: far above the last */
    if (index >= OUTCOME_STATUS_COUNT)
        return outcome_of_error(rules, CALL_ERROR_ANSWER);
    return (enum outcome)rules->of_status[index];
}

#endif
