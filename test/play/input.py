#!/usr/bin/env python3
"""Strange input: each gets its answer, nothing is lost, the pipeline goes on."""
import json
import os
import resource
import sqlite3

from lib import SCRATCH, done, folder, neap, numbers, ok, pipeline, write


def books(r):
    return json.loads(r.out)["pipelines"]["p"] if r.out else {}


def run(name, data, **more):
    home = folder(name)
    write("neap.yaml", pipeline(**more), cwd=home)
    if data is not None:
        write("in.ndjson", data, cwd=home)
    r = neap("run", "--until-idle", "--summary", "json", cwd=home)
    return home, r, books(r)


def rows(home):
    db = sqlite3.connect(os.path.join(home, "out.db"))
    try:
        return db.execute("SELECT n FROM t ORDER BY rowid").fetchall()
    finally:
        db.close()


def letters(home):
    return neap("dlq", "show", "p.dead", "--json", cwd=home).lines()


home, r, b = run("empty", b"")
ok(r.code == 0 and b["accepted"] == 0, "an empty file: nothing, exit 0", r)
home, r, b = run("unended", b'{"n":1}\n{"n":2}')
ok(r.code == 0 and rows(home) == [(1,), (2,)], "a last line without newline is a line", r)
home, r, b = run("missing", None)
ok(r.code in (1, 4) and "in.ndjson" in r.err, "a file that is not there is named, and the run does not say 0", r)
home, r, b = run("blank", b'\n\n{"n":1}\r\n   \n{"n":2}\n')
ok(r.code == 0 and [n for (n,) in rows(home)] == [1, 2] and b["accepted"] == b["delivered"] + b["dead_lettered"],
   "blank lines and CRLF do not disturb the others", (r, b))

home, r, b = run("utf8", b'{"n":1}\n{"n":"\xff\xfe"}\n{"n":"\xc3\xa9"}\n\x00\n')
ok(r.code == 0 and b["delivered"] == 2 and b["dead_lettered"] == 2, "bytes that are no UTF-8, and a NUL: dead letters, the rest is delivered", (r, b))
ok([x["line"] for x in letters(home)] == [2, 4], "with their lines", letters(home))

home = folder("huge")
with open(os.path.join(home, "in.ndjson"), "wb") as f:   # in parts: what this process once held would count below
    f.write(b'{"n":1}\n{"n":"')
    for _ in range(100):
        f.write(b"x" * 1_000_000)
    f.write(b'"}\n{"n":2}\n')
home, r, b = run("huge", None)
most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
ok(r.code == 0 and rows(home) == [(1,), (2,)] and b["dead_lettered"] == 1 and letters(home)[0]["reason"] == "too_large",
   "a line of 100 MB is a dead letter, and its neighbours arrive", (r, b))
ok(most < (64 + 16) * 1024, "the process stays within memory and 16 MiB, that line included", f"{most} KiB")

home, r, b = run("deep", b"[" * 100000 + b"\n" + b'{"n":' + b"[" * 600 + b"]" * 600 + b'}\n{"n":3}\n')
ok(r.code == 0 and rows(home) == [(3,)] and b["dead_lettered"] == 2, "nesting without end: dead letters", (r, b))
home, r, b = run("scalars", b'1\n"a"\nnull\n[1]\n{"n":4}\n', stages='{filter: type(event) == "table" and event.n ~= nil}')
ok(r.code == 0 and (4,) in rows(home) and b["accepted"] == 5 and b["in_flight"] == 0, "values that are no objects are events, too", (r, b))
home, r, b = run("failing", numbers(0, 5), stages='{map: {n: 10 // event.n}}')
ok(r.code == 0 and b["dead_lettered"] == 1 and b["delivered"] == 4, "an expression that fails on one event costs that event", (r, b))
letter = letters(home)[0]
ok(letter["reason"] == "expression" and letter["file"].endswith("neap.yaml") and letter["line"] > 0 and letter["column"] > 0
   and letter["event"]["offset"] == 0, "its dead letter names the expression's place and the event", letter)

home = folder("columns")
db = sqlite3.connect(os.path.join(home, "out.db"))
db.execute("CREATE TABLE t (other TEXT NOT NULL)")
db.commit()
db.close()
home, r, b = run("columns", numbers(0, 5))
ok(r.code == 1 and "column" in r.err, "a table with other columns stops the pipeline and is explained: exit 1", r)

# Two sources of truth.
home, r, b = run("wiped", numbers(0, 50))
os.rename(os.path.join(home, "data"), os.path.join(home, "data.old"))
r = neap("run", "--until-idle", cwd=home)
ok(r.code == 1 and "start" in r.err and len(rows(home)) == 50, "the data directory wiped under a live database: stopped, with the setting that settles it, nothing twice", r)
home, r, b = run("lost", numbers(0, 50))
for name in os.listdir(home):
    if name.startswith("out.db"):
        os.remove(os.path.join(home, name))
r = neap("run", "--until-idle", cwd=home)
ok(r.code == 1 and "start" in r.err, "the database gone though the journal knows of progress: stopped, with the setting that settles it", r)
done()
