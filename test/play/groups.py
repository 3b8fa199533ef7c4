#!/usr/bin/env python3
"""A group moved to another place, or forgotten; and a sink that was not asked."""
import json
import os
import sqlite3
import time

from lib import SCRATCH, Running, done, folder, neap, numbers, ok, on_terminal, pipeline, write


def figures(where, *more):
    return next(x for x in neap("status", "--json", *more, cwd=where).lines() if x.get("pipeline") == "p")


def balance(f):
    return f["accepted"] - f["filtered"] - f["delivered"] - f["dead_lettered"] - f["in_flight"]


def rows(where):
    db = sqlite3.connect(os.path.join(where, "out.db"))
    try:
        return [r[0] for r in db.execute("SELECT n FROM t ORDER BY rowid")]
    finally:
        db.close()


def places(result, name):
    return [x[name] for x in result.lines()]


# ---- a sink that goes by the node's own notes: a file
h = folder("file")
FILE = pipeline(sink="file: out.ndjson", stages="{filter: 'event.n % 10 ~= 0'}, {map: {d: '100 // (event.n % 50 - 7)'}}",
                more="topics: {p: {retention: forever}}\n")   # what is processed stays, to be processed again
write("neap.yaml", FILE, cwd=h)
write("in.ndjson", numbers(0, 100) + "no json\n", cwd=h)
neap("run", "--until-idle", cwd=h)
first = figures(h)
ok(first["accepted"] == 101 and first["filtered"] == 10 and first["dead_lettered"] == 3 and balance(first) == 0, "before: all is processed, two events and a line gave up", first)
r = neap("group", "reset", "p", "p", "--to", "40", cwd=h)
ok(r.code == 2 and "--yes" in r.err and r.out == "" and figures(h) == first, "on a pipe --yes is asked for, nothing is moved", r)
r = neap("group", "reset", "p", "p", "--to", "40", "--dry-run", "--json", cwd=h)
ok(r.code == 0 and r.lines() == [{"group": "p", "topic": "p", "partition": 0, "old": 100, "new": 40, "pipeline": True, "moved": False}]
   and figures(h) == first, "--dry-run needs none, shows both places and moves nothing", r)
r = neap("group", "reset", "p", "p", "--to", "40", "--yes", cwd=h)
ok(r.code == 0 and r.out.split() == ["topic", "partition", "was", "at", "is", "at", "p", "0", "100", "40"] and "start: committed" in r.err,
   "--yes moves it, and says what a sink with a position of its own will ask", r)
f = figures(h)
ok(f["in_flight"] == 60 and f["lag"] == 60 and f["accepted"] == 61 and f["delivered"] == 0 and f["dead_lettered"] == 1 and balance(f) == 0,
   "the books begin anew there, and balance at once", f)
with open(os.path.join(h, "out.ndjson"), encoding="utf-8") as out:
    before = out.read()
r = neap("run", "--until-idle", cwd=h)
f = figures(h)
with open(os.path.join(h, "out.ndjson"), encoding="utf-8") as out:
    after = out.read()
again = [json.loads(x)["n"] for x in after[len(before):].splitlines()]
ok(r.code == 0 and after.startswith(before) and again == [n for n in range(40, 100) if n % 10 and n != 57], "the next run delivers from there on again", (r, again))
ok(f["in_flight"] == 0 and f["delivered"] == len(again) and f["filtered"] == 6 and f["dead_lettered"] == 2 and f["accepted"] == 61 and balance(f) == 0,
   "and counts that", f)
letters = neap("dlq", "show", "p.dead", "--json", cwd=h).lines()
ok([x["event"]["offset"] for x in letters if "event" in x] == [7, 57, 57], "what had given up behind that place was tried again", letters)
r = neap("group", "reset", "p", "p", "--to", "latest", "--yes", cwd=h)
f = figures(h)
ok(r.code == 0 and f["lag"] == 0 and f["accepted"] == 1 and balance(f) == 0, "--to latest: nothing is left to do", (r, f))
for place, code, why in (("101", 1, "keeps offsets 0 to 100"), ("-1", 2, "neither"), ("soon", 2, "neither")):
    r = neap("group", "reset", "p", "p", "--to", place, "--yes", cwd=h)
    if r.code != code or why not in r.err or figures(h)["lag"] != 0:
        ok(False, f"no place {place}", r)
r = neap("group", "reset", "p", "p", "--yes", cwd=h)
ok(r.code == 2 and "--to" in r.err, "no place at all: wrong use", r)
ok(neap("group", "reset", "nobody", "p", "--to", "0", "--yes", cwd=h).code == 1 and neap("group", "reset", "p", "nothing", "--to", "0", "--yes", cwd=h).code == 1
   and neap("group", "reset", "p", "p", "--to", "0", "--partition", "3", "--yes", cwd=h).code == 1, "no such group, topic or partition: 1")
code, shown = on_terminal("group", "reset", "p", "p", "--to", "earliest", cwd=h, typed=b"n\n")
ok(code == 1 and "move group p" in shown and figures(h)["lag"] == 0, "on a terminal a person is asked, and may say no", shown)
code, shown = on_terminal("group", "reset", "p", "p", "--to", "earliest", cwd=h, typed=b"y\n")
ok(code == 0 and figures(h)["lag"] == 100, "or yes", shown)
moment = time.strftime("%Y-%m-%dT%H:%MZ", time.gmtime(time.time() + 86400))
r = neap("group", "reset", "p", "p", "--to", moment, "--dry-run", "--json", cwd=h)
ok(r.code == 0 and places(r, "new") == [100], "a time that is still to come is the end", r)
r = neap("group", "reset", "p", "p", "--to", "10m", "--dry-run", "--json", cwd=h)
ok(r.code == 0 and places(r, "new") == [0], "what came in during the last ten minutes begins with the first", r)

# ---- while it runs
write("in.ndjson", numbers(0, 100) + "no json\n", cwd=h)
write("neap.yaml", FILE.replace("{path: in.ndjson}", "{path: in.ndjson, follow: true}"), cwd=h)
with Running(cwd=h) as run:
    run.until_settled(101)
    r = neap("group", "reset", "p", "p", "--to", "earliest", "--yes", cwd=h)
    ok(r.code == 1 and str(run.process.pid) in r.err and "stop it first" in r.err, "a pipeline at work is not moved under its feet: says which process", r)
    r = neap("group", "delete", "p", "--yes", cwd=h)
    ok(r.code == 1 and str(run.process.pid) in r.err, "nor forgotten", r)
    r = neap("group", "reset", "p", "p", "--to", "earliest", "--dry-run", cwd=h)
    ok(r.code == 0, "a dry run may look", r)
    run.stop()

# ---- SQLite has its own word
h = folder("sqlite")
TABLE = "sqlite: {path: out.db, table: t, key: [n], mode: upsert, columns: {n: event.n}}"
write("neap.yaml", pipeline(sink=TABLE, source="\n      file: {path: in.ndjson}\n      key: event.n",
                            more="topics: {p: {partitions: 3, retention: forever}}\n"), cwd=h)
write("in.ndjson", numbers(0, 90), cwd=h)
neap("run", "--until-idle", cwd=h)
ends = [x["end"] for x in neap("topic", "describe", "p", "--json", cwd=h).lines()]
r = neap("group", "reset", "p", "p", "--to", "earliest", "--yes", "--json", cwd=h)
ok(r.code == 0 and places(r, "old") == ends and places(r, "new") == [0, 0, 0], "all partitions are moved", r)
f = figures(h)
ok(f["in_flight"] == 90 and balance(f) == 0, "the books of the directory balance", f)
r = neap("run", "--until-idle", cwd=h)
ok(r.code == 1 and "moved from offset" in r.err and "start: committed" in r.err and "start: sink" in r.err, "its table has another word: stopped, with both numbers and what settles it", r)
r = neap("run", "--until-idle", cwd=h)
ok(r.code == 1, "and again, until it is told", r)
with open(os.path.join(h, "neap.yaml"), encoding="utf-8") as f:
    plain = f.read()
write("neap.yaml", plain.replace("    sink:", "    start: sink\n    sink:"), cwd=h)
r = neap("run", "--until-idle", "--summary", "json", cwd=h)
f = json.loads(r.out.splitlines()[-1])["pipelines"]["p"] if r.code == 0 else {}
ok(r.code == 0 and f["accepted"] == 90 and f["delivered"] == 90 and f["run"]["delivered"] == 0 and balance(f) == 0, "start: sink goes on at the table's place: nothing again", r)
write("neap.yaml", plain, cwd=h)
r = neap("run", "--until-idle", cwd=h)
ok(r.code == 0 and balance(figures(h)) == 0, "which settles it", r)
neap("group", "reset", "p", "p", "--to", "5", "--partition", "1", "--yes", cwd=h)
write("neap.yaml", plain.replace("    sink:", "    start: committed\n    sink:"), cwd=h)
r = neap("run", "--until-idle", "--summary", "json", cwd=h)
f = json.loads(r.out.splitlines()[-1])["pipelines"]["p"] if r.code == 0 else {}
ok(r.code == 0 and f["run"]["delivered"] == ends[1] - 5 and f["accepted"] == 85 and balance(f) == 0 and sorted(rows(h)) == list(range(90)),
   "start: committed delivers from the new place on, and the key keeps each row once", (r, ends))
r = neap("run", "--until-idle", "--summary", "json", cwd=h)
f = json.loads(r.out.splitlines()[-1])["pipelines"]["p"]
ok(r.code == 0 and f["run"]["delivered"] == 0 and balance(f) == 0, "the setting left in the file does it once", f)

# ---- forgotten
r = neap("group", "delete", "p", cwd=h)
ok(r.code == 2 and "--yes" in r.err, "group delete wants --yes on a pipe", r)
r = neap("group", "delete", "p", "--dry-run", cwd=h)
ok(r.code == 0 and r.out == "would forget group p: its positions in 3 partitions\n" and len(neap("group", "list", "--json", cwd=h).lines()) == 1, "a dry run says what would go", r)
r = neap("group", "delete", "p", "--yes", cwd=h)
ok(r.code == 0 and r.out == "deleted group p: its positions in 3 partitions\n" and neap("group", "list", "--json", cwd=h).lines() == [], "--yes forgets it", r)
ok(neap("group", "delete", "p", "--yes", cwd=h).code == 1, "what is forgotten is not there: 1")
ok(neap("doctor", "data", cwd=h).code == 0 and len(neap("topic", "read", "p", cwd=h).out.splitlines()) == 90, "its events are still there")
h = folder("forgotten")
write("neap.yaml", pipeline(sink="stdout: {}", source="topic: t"), cwd=h)
neap("send", "t", "--create", "--data", "data", stdin=numbers(0, 20).encode(), cwd=h)
first = neap("run", "--until-idle", cwd=h)
ok(first.out == numbers(0, 20) and neap("run", "--until-idle", cwd=h).out == "", "a pipeline that has delivered all")
neap("group", "delete", "p", "--yes", cwd=h)
again = neap("run", "--until-idle", cwd=h)
ok(again.code == 0 and again.out == first.out and balance(figures(h)) == 0, "begins anew when it was forgotten", again)
done()
