/* fuzz.h - what every fuzz target answers to. */
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H

#include "base/must.h"
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t size); /* answers 0; a finding aborts */

#endif
