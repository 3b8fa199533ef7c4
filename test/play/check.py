#!/usr/bin/env python3
"""neap check says all that is wrong with a file, as compilers do; golden answers lie in test/config."""
import os
import re

from lib import SCRATCH, TOP, done, neap, ok, on_terminal, pipeline, write

FOLDER = os.path.join(TOP, "test", "config")
bad, seen = [], 0
for name in sorted(os.listdir(FOLDER)):
    if not name.endswith(".yaml"):
        continue
    seen += 1
    r = neap("check", name, cwd=FOLDER, env={"NEAP_TEST_NAME": "name", "NEAP_TEST_EMPTY": ""})
    with open(os.path.join(FOLDER, name.replace(".yaml", ".expected")), encoding="utf-8") as f:
        *expected, _ = f.read().splitlines()
    *said, last = r.out.splitlines() or [""]
    said_sum = re.fullmatch(r"(\d+) errors?, \d+ warnings?|ok: .*", last)
    fails = any(": error: " in line for line in expected)
    if said != expected or r.err or r.code != fails or not said_sum:
        bad.append((name, r))
ok(seen >= 20 and not bad, "good and bad files are answered to the letter as test/config/*.expected says", bad)

write("good.yaml", pipeline())
r = neap("check", "good.yaml")
ok(r.code == 0 and r.out == "ok: 1 pipeline, 0 stages\n" and r.err == "", "a good file: one line, exit 0", r)
write("bad.yaml", pipeline(stages="{filtr: event.n > 0}", sink="sqlite: {pth: out.db, table: t, columns: {n: event.n}}"))
r = neap("check", "bad.yaml")
ok(r.code == 1 and re.search(r"^bad.yaml:\d+:\d+: error: unknown stage 'filtr'; did you mean 'filter'\?$", r.out, re.M)
   and "'pth'" in r.out and re.search(r"^\d errors, \d warnings?$", r.out.splitlines()[-1]), "all errors at once, each with its place and the nearest name: exit 1", r)
j = neap("check", "bad.yaml", "--json")
ok(j.code == 1 and all({"file", "line", "column", "kind", "message"} <= set(x) for x in j.lines()) and len(j.lines()) >= 2,
   "--json gives each message as an object", j)
run = neap("run", "bad.yaml", "--until-idle")
ok(run.code == 1 and run.out == "" and "did you mean 'filter'" in run.err and not os.path.exists(os.path.join(SCRATCH, "data")),
   "neap run refuses the same file with the same words, exit 1, before it touches anything", run)
r = neap("check", "none.yaml")
ok(r.code == 1 and r.out == "" and r.err.startswith("neap: ") and "none.yaml" in r.err, "a file that is not there: exit 1, named", r)

code, shown = on_terminal("check", "bad.yaml")
ok(code == 1 and "\033[" in shown and re.search(r"\d+ \|\s+stages: \[\{filtr", shown) and "^" in shown,
   "on a terminal: colour, the line itself, and a caret", shown)
code, shown = on_terminal("check", "bad.yaml", env={"NO_COLOR": "1"})
ok(code == 1 and "\033[" not in shown and "^" in shown, "NO_COLOR: no colour, the caret stays", shown)
done()
