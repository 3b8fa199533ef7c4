/* neap/status.h - how every call of Neap answers, and what is to be done about it.
 *
 * Each status carries its reaction in the same table: deciding what happens after a failure is the engine's work, so
 * the decision stands beside the name and not in the head of whoever calls. */
#ifndef NEAP_STATUS_H
#define NEAP_STATUS_H

/*     name      reaction     what it means                                       */
#define NEAP_STATUS_MAP(X)                                                         \
    X(OK,       GO_ON,       "ok")                                                 \
    X(AGAIN,    WAIT,        "no room right now")                                  \
    X(TIMEOUT,  RETRY,       "deadline passed")                                    \
    X(FULL,     WAIT,        "disk or quota is full")                              \
    X(REFUSED,  DEAD_LETTER, "refused by its receiver")                            \
    X(BADINPUT, DEAD_LETTER, "bytes do not parse")                                 \
    X(TOOLARGE, DEAD_LETTER, "larger than its limit")                              \
    X(NOTFOUND, ANSWER_NO,   "no such thing")                                      \
    X(EXISTS,   ANSWER_NO,   "exists already")                                     \
    X(MISUSE,   ANSWER_NO,   "asked for in a way that cannot be done")             \
    X(CONFLICT, ANSWER_NO,   "two sources of truth disagree")                      \
    X(DENIED,   LEAVE,       "no permission")                                      \
    X(HELD,     LEAVE,       "held by another process")                            \
    X(NOMEM,    LEAVE,       "out of memory")                                      \
    X(CLOSED,   LEAVE,       "closed")                                             \
    X(IO,       STOP,        "storage failed")                                     \
    X(CORRUPT,  STOP,        "damaged")                                            \
    X(VERSION,  STOP,        "written by a newer version")

enum neap_status {
#define X(name, reaction, text) NEAP_##name,
    NEAP_STATUS_MAP(X)
#undef X
    NEAP_STATUS_COUNT
};

enum neap_reaction {
    NEAP_REACTION_GO_ON,       /* nothing to do */
    NEAP_REACTION_WAIT,        /* nothing changed; the same call may succeed later */
    NEAP_REACTION_RETRY,       /* it may or may not have happened; ask, or try again with the same key */
    NEAP_REACTION_DEAD_LETTER, /* this event will never pass; the next one may */
    NEAP_REACTION_ANSWER_NO,   /* the question has an answer, and it is no */
    NEAP_REACTION_LEAVE,       /* the surroundings do not allow it */
    NEAP_REACTION_STOP,        /* a promise is at stake: stop before saying anything untrue */
};

#endif
