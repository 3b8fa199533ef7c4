/* must.h - assertions: how we think aloud, in production too.
 *
 * must()       always on. A bug stops the program before it says anything untrue (exit by SIGABRT: 134).
 * must_slow()  for checks that cost more than the work; on where NEAP_SLOW_CHECKS is defined (tests, simulation).
 * CHECK_MAGIC  the object is what the pointer says it is: alive and of this type. */
#ifndef BASE_MUST_H
#define BASE_MUST_H

#include <assert.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Called once before the program stops, so that it can say where the journal stood. May be NULL. */
extern void (*must_last_words)(void);

__attribute__((noreturn)) void must_failed(const char *what, const char *file, int line, const char *function);

#ifdef __cplusplus
}
#endif

#define must(condition)                                                                                                \
    (__builtin_expect(!!(condition), 1) ? (void)0 : must_failed(#condition, __FILE__, __LINE__, __func__))

#ifdef NEAP_SLOW_CHECKS
#define must_slow(condition) must(condition)
#else
#define must_slow(condition) ((void)sizeof(!(condition)))
#endif

#define CHECK_MAGIC(object, expected) must((object) != NULL && (object)->magic == (expected))

#endif
