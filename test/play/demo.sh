#!/usr/bin/env bash
# The first screen ends by itself with a balance of zero, on a pipe with plain lines.
set -u
out=$("$TOP/scripts/demo" --kills 5 --folder "$SCRATCH/demo" 2>&1)
code=$?
last=$(tail -n 1 <<<"$out")
kills=$(grep -c 'kill -9  #' <<<"$out")
balance=$(grep -A 1 'balance' <<<"$out" | tail -n 1 | awk '{ print $NF }')
if [ $code = 0 ] && [ "$balance" = 0 ] && [ "$kills" = 5 ] && ! grep -q $'[\r\033]' <<<"$out" &&
    grep -Eq '^ok: 4,000 events, 5 kills, 0 lost, 0 twice, 3,989 rows, [0-9.]+ s$' <<<"$last"; then
    echo "ok - five lives ended by kill -9, 4,000 events: 0 lost, 0 twice, balance 0, plain lines on a pipe"
else
    echo "not ok - the first screen's books balance"
    sed 's/^/    /' <<<"$out"
    exit 1
fi
