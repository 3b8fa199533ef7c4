#!/usr/bin/env python3
"""Used wrongly: exit 2, one line on standard error that says what was meant, nothing done."""
import os

from lib import SCRATCH, done, neap, ok, write, pipeline

write("neap.yaml", pipeline())
cases = [
    (["rnu"], "did you mean 'run'"),
    (["topic"], "second word"),
    (["topic", "crate", "x"], "unknown verb 'topic crate'"),
    (["run", "--until-idel"], "did you mean '--until-idle'"),
    (["run", "--summary", "xml"], "'xml'"),
    (["run", "--timeout", "5"], "'5' is no time"),
    (["run", "--timeout", "-1s"], "no time"),
    (["run", "--log", "loud"], "'loud'"),
    (["run", "a.yaml", "b.yaml"], "too many words"),
    (["status", "--data"], "--data wants DIR"),
    (["status", "--data", ""], "--data is empty"),
    (["bench", "--seconds", "0"], "--seconds"),
    (["status", "--json", "--json"], "given twice"),
    (["status", "--json=yes"], "takes no value"),
    (["status", "--data", "d", "--node", "n"], "give one of them"),
    (["topic", "create"], "something is missing"),
    (["topic", "create", "x", "--partitions", "many"], "'many' is no number"),
    (["topic", "read", "x", "--limit", "99999999999999999999999"], "is no number"),
    (["doctor"], "something is missing"),
    (["topic", "create", "x" * 5000], "longer than"),
    (["help", "nonsense"], "no help for 'nonsense'"),
    (["version", "-v"], "unknown flag '-v'"),
]
bad = []
for words, hint in cases:
    r = neap(*words)
    if r.code != 2 or hint not in r.err or not r.err.startswith("neap: ") or r.err.count("\n") != 1 or r.out:
        bad.append((words, hint, r))
ok(not bad, "unknown verbs and flags, missing and extra words, bad values: exit 2 and one line with the way out", bad)
ok(not os.path.exists(os.path.join(SCRATCH, "data")), "a wrong use touches nothing")

neap("topic", "create", "t", "--data", "d")
r = neap("topic", "delete", "t", "--data", "d")
ok(r.code == 2 and "--yes" in r.err, "topic delete without --yes where nobody can be asked: exit 2", r)
ok(neap("topic", "describe", "t", "--data", "d").code == 0, "and the topic is still there")
done()
