#!/usr/bin/env python3
"""Dead letters: listed, filtered, shown, dropped, and redriven so that each event arrives once, whenever the node is killed."""
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import time

from lib import NEAP, Running, done, folder, neap, ok, on_terminal, pipeline, write

STAGES = "{filter: event.n + 0 >= 0}, {map: {twice: event.n * 2}}"
MENDED = "{filter: (tonumber(event.n) or 0) >= 0}, {map: {twice: (tonumber(event.n) or 0) * 2}}"
SINK = "sqlite: {path: out.db, table: t, columns: {id: event.id, twice: event.twice}, mode: insert}"
SOURCE = "\n      file: {path: in.ndjson%s}\n      key: event.k\n      id: event.id"
MORE = "topics: {p: {partitions: 3, retention: forever}}\n"


def put(home, stages, follow=""):
    write("neap.yaml", pipeline(sink=SINK, stages=stages, source=SOURCE % follow, more=MORE), cwd=home)


def events(first, last):
    """Every tenth has no number, every 97th is no JSON."""
    lines = []
    for i in range(first, last):
        if i % 97 == 5:
            lines.append('{"id":"e%d", broken' % i)
        elif i % 10 == 0:
            lines.append(json.dumps({"id": f"e{i}", "k": f"k{i % 13}", "size": i}))
        else:
            lines.append(json.dumps({"id": f"e{i}", "k": f"k{i % 13}", "n": i}))
    return "\n".join(lines) + "\n"


def figures(home):
    return next(x for x in neap("status", "--json", cwd=home).lines() if x.get("pipeline") == "p")


def balance(f):
    return f["accepted"] - f["filtered"] - f["delivered"] - f["dead_lettered"] - f["in_flight"]


def ids(home):
    db = sqlite3.connect(os.path.join(home, "out.db"))
    try:
        return [x for (x,) in db.execute("SELECT id FROM t ORDER BY rowid")]
    finally:
        db.close()


def overview(home, *more):
    return {k["reason"]: k for x in neap("dlq", "list", "--json", *more, cwd=home).lines() for k in x["kinds"]}


# ---- a directory at rest ----

h = folder("rest")
put(h, STAGES)
write("in.ndjson", events(0, 1000), cwd=h)
broken = len([i for i in range(1000) if i % 97 == 5])
without = len([i for i in range(1000) if i % 10 == 0 and i % 97 != 5])
r = neap("run", "--until-idle", cwd=h)
kinds = overview(h)
ok(r.code == 0 and (kinds["not_json"]["letters"], kinds["expression"]["letters"]) == (broken, without) and kinds["expression"]["stage"] == "filter",
   "dlq list counts the letters of each reason and stage", kinds)
r = neap("dlq", "list", cwd=h)
ok([x.split()[:6] for x in r.out.splitlines()[1:]] == [["p.dead", str(kinds[k]["letters"]), "0", "0", k, s] for k, s in (("not_json", "source"), ("expression", "filter"))],
   "as a table, too", r)
r = neap("dlq", "list", "p", cwd=h)
places = re.findall(r"^(\d+:\d+) ", r.out, re.M)
ok(r.code == 0 and len(places) == 20 and r.out == neap("dlq", "list", "p.dead", cwd=h).out, "with a pipeline's name: its newest letters", r)
times = re.findall(r"\d{4}-\d\d-\d\dT\S+Z", r.out)
ok(times == sorted(times, reverse=True), "the newest first", times)
r = neap("dlq", "list", "p", "--oldest", "-n", "3", "--json", cwd=h)
ok([x["offset"] for x in r.lines()] == [0, 1, 2], "--oldest begins at the other end, -n says how many", r)
everything = neap("dlq", "list", "p", "--json", cwd=h).lines()
ok(len(everything) == broken + without and not any("value" in x for x in everything), "--json without a number lists all of them", len(everything))
newest = neap("dlq", "list", "p", "--json", "-n", "1000000", cwd=h).lines()
ok(sorted((x["partition"], x["offset"]) for x in newest) == sorted((x["partition"], x["offset"]) for x in everything)
   and [x["last"] for x in newest] == sorted((x["last"] for x in newest), reverse=True), "newest first are the same ones", len(newest))


def count(*flags):
    r = neap("dlq", "list", "p", "--json", *flags, cwd=h)
    return len(r.lines()) if r.code == 0 else r


ok(count("--reason", "not_json") == broken and count("--reason", "expression") == without and count("--reason", "nothing") == 0, "--reason", count("--reason", "not_json"))
ok(count("--stage", "source") == broken and count("--stage", "filter") == without, "--stage", count("--stage", "source"))
ok(count("--key", "k0") == len([i for i in range(0, 1000, 130) if i % 97 != 5]), "--key", count("--key", "k0"))
ok(count("--since", "1h") == broken + without and count("--until", "1h") == 0 and count("--since", "2099-01-01T00:00Z") == 0
   and count("--until", "2099-01-01T00:00Z") == broken + without, "--since and --until go by when it gave up", count("--since", "1h"))
ok(count("--where", "event.size >= 500", "--reason", "expression") == len([i for i in range(500, 1000, 10) if i % 97 != 5]), "--where asks the event",
   count("--where", "event.size >= 500"))
ok(count("--where", 'headers["neap.stage"] == "source"') == broken and count("--where", 'id == "e20" and topic == "p"') == 1, "its headers, its id, and where it was",
   count("--where", 'id == "e20"'))
r = neap("dlq", "list", "p", "--where", "event.size > 980", cwd=h)
ok(r.code == 0 and f"failed on {broken} letters" in r.err and "event is nil" in r.err, "where it fails the letter is left out, and that is said", r)
r = neap("dlq", "list", "p", "--where", "event.size >", cwd=h)
ok(r.code == 1 and "--where:1:" in r.err, "an expression that is none is refused with its place", r)
r = neap("dlq", "list", "p", "--where", "os.exit()", cwd=h)
ok(r.code == 1 and "os" in r.err, "nor may it do anything", r)

r = neap("dlq", "show", "p.dead", cwd=h)
ok(r.code == 0 and r.out.count("  value  ") == 10 and "neap dlq redrive p.dead 0:" in r.out, "dlq show TOPIC shows the newest ten, whole, with what redrives each", r)
one = next(x for x in everything if x["reason"] == "expression")
place = f'{one["partition"]}:{one["offset"]}'
r = neap("dlq", "show", "p", place, cwd=h)
ok(r.code == 0 and r.out.startswith(f"p.dead {place}  expression in filter\n") and "event.n is nil" in r.out and '"size":' in r.out and "neap.yaml:" in r.out
   and f'p/{one["event"]["partition"]}:{one["event"]["offset"]}' in r.out, "one of them by its place: why, where, what", r)
whole = neap("dlq", "show", "p", place, "--json", cwd=h).lines()[0]
ok(whole["value"]["id"] == whole["id"] and whole["headers"] == {"neap.id": whole["id"]} and whole["attempts"] == 1 and whole["first"] == whole["last"],
   "as JSON: the event as it came, with its own headers", whole)
r = neap("dlq", "show", "p", place, "0:999999", cwd=h)
ok(r.code == 1 and "no letter 0:999999" in r.err and r.out.startswith("p.dead"), "one that is not there: 1", r)
door = next(x for x in everything if x["reason"] == "not_json")
r = neap("dlq", "show", "p", f'{door["partition"]}:{door["offset"]}', cwd=h)
ok("redrive   no: it never was an event" in r.out and re.search(r"in\.ndjson:\d+:\d+", r.out), "of a line that never was an event it says so", r)

for words, code, why in ((("list", "nothing"), 1, "neither a topic"), (("show",), 2, "missing"), (("show", "p", "0-17"), 2, None), (("show", "p", "0:17", "--reason", "x"), 2, "one of them"),
                         (("list", "p", "--since", "soon"), 2, "neither"), (("list", "p", "-n", "x"), 2, "no number"), (("redrive", "p", "--rate", "fast"), 2, "no rate"),
                         (("redrive", "p", "--rate", "0/s"), 2, "no rate"), (("redrive", "p", "--redrives", "-1"), 2, "no number"), (("drop", "p"), 2, "--yes"),
                         (("show", "p", "--partition", "7"), 1, "no partition"), (("list", "p", "--reason", "x" * 300), 2, "at most"), (("redrive",), 2, "missing"),
                         (("show", "x" * 300), 2, "longer"), (("drop", "p", "1:", "2:3", "--yes"), 2, "no place"), (("redrive", "p", "--for", "y" * 300), 2, "longer")):
    r = neap("dlq", *words, cwd=h)
    if r.code != code or r.out or (why and why not in r.err):
        ok(False, f"dlq {' '.join(words)[:60]}", r)
ok(overview(h) == kinds, "words that are wrong are told, and change nothing")

r = neap("dlq", "drop", "p", "--reason", "not_json", "--dry-run", cwd=h)
ok(r.code == 0 and r.out == f"would drop {broken} dead letters of p.dead\n" and overview(h) == kinds, "drop --dry-run only says how many", r)
code, shown = on_terminal("dlq", "drop", "p", "--reason", "not_json", cwd=h, typed=b"n\n")
ok(code == 1 and f"drop {broken} dead letters of p.dead?" in shown and overview(h) == kinds, "on a terminal a person is asked, with their number", shown)
r = neap("dlq", "drop", "p", "--reason", "not_json", "-n", "2", "--yes", cwd=h)
ok(r.out == "dropped 2 dead letters of p.dead\n" and overview(h)["not_json"]["letters"] == broken - 2, "-n drops so many", r)
r = neap("dlq", "drop", "p", "--reason", "not_json", "--yes", "--json", cwd=h)
after = overview(h)
ok(r.lines() == [{"topic": "p.dead", "dropped": broken - 2, "stay": 0, "dry_run": False}] and after["not_json"]["dropped"] == broken
   and after["expression"] == kinds["expression"] and count() == without and count("--all") == broken + without, "what was dropped is listed no more, but with --all", (r, after))
f = figures(h)
ok(balance(f) == 0 and f["dead_lettered"] == broken + without, "the books know that it was a dead letter", f)

r = neap("dlq", "show", "p", "--json", "--where", "event.size < 100", cwd=h)
sent = neap("send", "copy", "--json", "--create", cwd=h, stdin=r.out.encode())
copies = neap("tail", "copy", "--json", cwd=h).lines()
ok(sent.code == 0 and sorted(x["value"]["size"] for x in copies) == list(range(0, 100, 10)) and [x["key"] for x in copies] == [x["key"] for x in r.lines()]
   and [x["time"] for x in copies] == [x["time"] for x in r.lines()] and all(list(x["headers"]) == ["neap.id"] for x in copies),
   "what dlq show --json prints neap send takes back, as the events that they were", (sent, copies))

put(h, MENDED)
r = neap("dlq", "redrive", "p", "--dry-run", cwd=h)
ok(r.code == 0 and r.out == f"would redrive {without} dead letters of p.dead\n" and figures(h) == f, "redrive --dry-run changes nothing", r)
r = neap("dlq", "redrive", "p", place, cwd=h)
f = figures(h)
ok(r.code == 0 and r.out == "redriven 1 dead letter of p.dead\n" and f["in_flight"] == 1 and f["accepted"] == 1001 and balance(f) == 0, "one of them goes its way again: accepted once more, and in flight",
   (r, f))
r = neap("dlq", "redrive", "p", place, cwd=h)
ok(r.code == 1 and "no letter" in r.err and figures(h) == f, "once", r)
r = neap("dlq", "redrive", "p", cwd=h)
f = figures(h)
ok(r.code == 0 and r.out == f"redriven {without - 1} dead letters of p.dead\n" and f["in_flight"] == without and balance(f) == 0, "and all others", (r, f))
r = neap("run", "--until-idle", cwd=h)
f, landed = figures(h), ids(h)
ok(r.code == 0 and sorted(landed) == sorted(f"e{i}" for i in range(1000) if i % 97 != 5), "with the cause mended all of them arrive, each once", len(landed))
ok(f["in_flight"] == 0 and balance(f) == 0 and f["delivered"] == 1000 - broken, "and the books balance", f)
r = neap("dlq", "redrive", "p", cwd=h)
ok(r.code == 0 and r.out == "redriven 0 dead letters of p.dead\n" and overview(h)["expression"]["redriven"] == without, "there is nothing left to redrive", r)
r = neap("dlq", "redrive", "p", f'{door["partition"]}:{door["offset"]}', cwd=h)
ok(r.code == 1, "nor can what was dropped be", r)

# ---- what comes back, and what is refused by the sink ----

h = folder("again")
db = sqlite3.connect(os.path.join(h, "out.db"))
db.execute("CREATE TABLE t (id TEXT PRIMARY KEY, twice INTEGER CHECK (twice < 1000))")
db.commit()
put(h, STAGES, ", follow: true")
write("in.ndjson", "".join(json.dumps({"id": f"e{i}", "k": "k", "n": i}) + "\n" for i in range(0, 1000, 10)), cwd=h)
with Running(cwd=h) as run:
    run.until_settled(100)
    kinds = overview(h)
    ok(kinds["refused"]["letters"] == 50 and kinds["refused"]["stage"] == "sink", "rows that the database refuses are letters of the sink", kinds)
    for times in range(1, 4):
        r = neap("dlq", "redrive", "p", cwd=h)
        run.until_settled(100 + 50 * times)
        run.until(lambda: overview(h)["refused"]["letters"] == 50, "they are back")
    r = neap("dlq", "redrive", "p", cwd=h)
    ok(r.code == 1 and "50 stay: it was redriven often enough" in r.err and r.out == "redriven 0 dead letters of p.dead\n", "what came back three times stays", r)
    r = neap("dlq", "show", "p", "-n", "1", cwd=h)
    ok("redriven 3 times before" in r.out and re.search(r"neap\.redriven\.from: p/\d:\d+", r.out), "and tells how often, and where it first was", r)
    r = neap("dlq", "redrive", "p", "--redrives", "4", "-n", "5", cwd=h)
    ok(r.code == 0 and r.out.startswith("redriven 5 "), "--redrives says how often is often enough", r)
    run.until(lambda: overview(h)["refused"]["letters"] == 50 and figures(h)["in_flight"] == 0, "all is settled")
    db.executescript("BEGIN IMMEDIATE; CREATE TABLE u (id TEXT PRIMARY KEY, twice INTEGER); INSERT INTO u SELECT * FROM t; DROP TABLE t; ALTER TABLE u RENAME TO t; COMMIT")
    begun = time.monotonic()
    r = neap("dlq", "redrive", "p", "--force", "--rate", "50/s", cwd=h)
    took = time.monotonic() - begun
    ok(r.code == 0 and r.out.startswith("redriven 50 ") and took > 0.8, "--force redrives them all the same, --rate no faster than it says", (r, took))
    run.until(lambda: len(ids(h)) == 100, "all arrive")
    f = figures(h)
    ok(balance(f) == 0 and sorted(ids(h)) == sorted(f"e{i}" for i in range(0, 1000, 10)), "each once, while the node runs", f)
    run.stop()
db.close()

# ---- two pipelines on one topic: only the one that gave up takes it ----

h = folder("two")
TWO = """topics: {orders: {partitions: 2, retention: forever}}
pipelines:
  strict:
    source: {topic: orders}
    stages: [filter: %s]
    sink: {file: {path: strict.ndjson}}
  other:
    source: {topic: orders}
    sink: {file: {path: other.ndjson}}
"""
write("neap.yaml", TWO % "event.n > 0", cwd=h)
neap("topic", "create", "orders", "--partitions", "2", cwd=h)
neap("send", "orders", *[json.dumps({"i": i}) for i in range(20)], "--key", "a", "--header", "x-request-id=r7", "--header", "mine=1", cwd=h)
r = neap("run", "--until-idle", cwd=h)
letter = neap("dlq", "show", "strict", "-n", "1", "--json", cwd=h).lines()[0]
ok(letter["correlation"] == "r7" and letter["headers"] == {"x-request-id": "r7", "mine": "1"}, "a letter names the request that its event came with", letter)
write("neap.yaml", TWO % "event.i >= 0", cwd=h)
r = neap("dlq", "redrive", "strict", cwd=h)
ok(r.out.startswith("redriven 20 "), "the letters of one of two pipelines are redriven", r)
r = neap("run", "--until-idle", "--summary", "json", cwd=h)
p = json.loads(r.out.splitlines()[-1])["pipelines"]


def lines_of(name):
    with open(os.path.join(h, name), encoding="utf-8") as f:
        return [json.loads(x)["i"] for x in f]


ok(lines_of("strict.ndjson") == list(range(20)) and lines_of("other.ndjson") == list(range(20)), "in their order, and the other pipeline does not see them twice", p)
ok(all(balance(x) == 0 for x in p.values()) and p["other"]["filtered"] == 20 and p["strict"]["delivered"] == 20, "both books balance", p)

# ---- one topic for the letters of two pipelines ----

h = folder("shared")
write("neap.yaml", (TWO % "event.n > 0").replace("    sink: {file: {path: strict.ndjson}}", "    sink: {file: {path: strict.ndjson}}\n    dead_letter: rejected")
      .replace("    sink: {file: {path: other.ndjson}}", "    stages: [filter: event.m > 0]\n    sink: {file: {path: other.ndjson}}\n    dead_letter: rejected"), cwd=h)
neap("topic", "create", "orders", "--partitions", "2", cwd=h)
neap("send", "orders", '{"n":1}', '{"m":1}', '{"m":2}', cwd=h)
neap("run", "--until-idle", cwd=h)
r = [[x["pipeline"] for x in neap("dlq", "list", name, "--json", cwd=h).lines()] for name in ("strict", "other", "rejected")]
ok(r[0] == ["strict"] * 2 and r[1] == ["other"] and sorted(r[2]) == ["other", "strict", "strict"], "each pipeline's name means its own letters, the topic's name all of them", r)
with Running(cwd=h) as run:
    run.until(run.status, "the node answers")
    live = [[x["pipeline"] for x in neap("dlq", "list", name, "--json", "--node", "data/neap.sock", cwd=h).lines()] for name in ("strict", "other", "rejected")]
    ok(live == r, "also where only the node knows", live)
    r = neap("dlq", "drop", "other", "--yes", "--node", "data/neap.sock", cwd=h)
    ok(r.out == "dropped 1 dead letter of rejected\n", "and what is dropped is its own", r)
    run.stop()

# ---- letters of a stage that waits ----

h = folder("waits")
CHILD = """import json, sys
for line in sys.stdin:
    ask = json.loads(line)
    if "neap" in ask:
        continue
    if ask["event"]["n"] %% 7 == 0 and %r not in ask["headers"]:
        print(json.dumps({"id": ask["id"], "error": "the tide is " + ("low", "out", "gone")[ask["attempt"] - 1]}), flush=True)
    else:
        print(json.dumps({"id": ask["id"], "event": {**ask["event"], "times": int(ask["headers"].get("neap.redrives", "0"))}}), flush=True)
"""
WAITS = """topics: {orders: {partitions: 2, retention: forever}}
pipelines:
  asks:
    source: {topic: orders, id: event.n}
    stages: [{name: tide, exec: {command: [python3, child.py], concurrency: 2, retry: {attempts: 3, backoff: 5ms..20ms}, breaker: {failure_rate: 100%}}}]
    sink: {file: {path: asks.ndjson}}
  too:
    source: {topic: orders}
    stages: [{exec: {command: cat, protocol: lines}}]
    sink: {file: {path: too.ndjson}}
"""
write("neap.yaml", WAITS, cwd=h)
write("child.py", CHILD % "never", cwd=h)
neap("topic", "create", "orders", "--partitions", "2", cwd=h)
for k in "abc":
    neap("send", "orders", "--key", k, cwd=h, stdin="".join('{"n":%d,"k":"%s"}\n' % (i, k) for i in range(70)).encode())
r = neap("run", "--until-idle", cwd=h)
letters = neap("dlq", "show", "asks", "--json", cwd=h).lines()
ok(r.code == 0 and len(letters) == 30 and all(x["attempts"] == 3 and x["stage"] == "tide" and "tide is gone" in x["error"] and "tide is low" in x["first_error"]
   and x["first"] <= x["last"] and x["value"]["n"] % 7 == 0 for x in letters), "a letter of a stage that tried again tells how often, and the first error beside the last one", (r, letters[:1]))
r = neap("dlq", "show", "asks", "-n", "1", cwd=h)
ok("after 3 attempts since" in r.out and "at first" in r.out and "tide is low" in r.out, "a person is told, too", r)
write("child.py", CHILD % "neap.redrives", cwd=h)
r = neap("dlq", "redrive", "asks", "--stage", "tide", "--key", "b", cwd=h)
s = neap("dlq", "redrive", "asks", cwd=h)
ok((r.out, s.out) == ("redriven 10 dead letters of asks.dead\n", "redriven 20 dead letters of asks.dead\n"), "its events go their way again", (r, s))
r = neap("run", "--until-idle", "--summary", "json", cwd=h)
p = json.loads(r.out.splitlines()[-1])["pipelines"]


def said(name, place):
    with open(os.path.join(place, name), encoding="utf-8") as f:
        return [json.loads(x) for x in f]


landed, too = said("asks.ndjson", h), said("too.ndjson", h)
ok(sorted((x["k"], x["n"]) for x in landed) == [(k, n) for k in "abc" for n in range(70)] and all(x["times"] == (x["n"] % 7 == 0) for x in landed),
   "and arrive, each once, having told the stage that they were redriven", len(landed))
ok(len(too) == 210 and p["too"]["filtered"] == 30 and all(balance(x) == 0 for x in p.values()), "another pipeline's waiting stage is not asked about them", (len(too), p))

# ---- past dedup ----

h = folder("dedup")
DEDUP = "{dedup: {time: 24h, id: event.id}}, "
for stages in (DEDUP + "{filter: event.n > 0}", DEDUP + "{filter: (tonumber(event.n) or 1) > 0}"):
    write("neap.yaml", pipeline(stages=stages, source="topic: t", sink="file: {path: out.ndjson}", more="topics: {t: {retention: forever}}\n"), cwd=h)
    if "tonumber" not in stages:
        neap("topic", "create", "t", cwd=h)
        neap("send", "t", *['{"id":"e%d"}' % (i % 20) for i in range(30)], "--key", "k", cwd=h)
        neap("run", "--until-idle", cwd=h)
    else:
        r = neap("dlq", "redrive", "p", cwd=h)
        neap("send", "t", '{"id":"e3"}', "--key", "k", cwd=h)
        neap("run", "--until-idle", cwd=h)
f, landed = figures(h), [x["id"] for x in said("out.ndjson", h)]
ok(r.out.startswith("redriven 20 ") and sorted(landed) == sorted(f"e{i}" for i in range(20)) and f["duplicates"] == 11 and balance(f) == 0,
   "an event that is redriven passes dedup; who comes again beside it does not", (r, f, landed))

# ---- a branch: only the one that gave up takes it ----

BRANCHES = """pipelines:
  orders:
    source: {file: {path: in.ndjson}, id: event.id}
    stages: [map: {double: event.total * 2}]
    fanout:
      - {name: rows, stages: [map: {more: %s}], sink: {sqlite: {path: o.db, table: orders, columns: [id, double]}}}
      - {name: all, sink: {file: all.ndjson}}
"""
for runs in (False, True):
    h = folder(f"branch{runs}")
    write("neap.yaml", BRANCHES % "event.nothing + 1", cwd=h)
    write("in.ndjson", "".join(json.dumps({"id": i, "total": i}) + "\n" for i in range(100)), cwd=h)
    neap("run", "--until-idle", cwd=h)
    write("neap.yaml", BRANCHES % "1", cwd=h)
    if runs:
        with Running(cwd=h) as run:
            run.until(run.status, "the node answers")
            r = neap("dlq", "redrive", "orders.rows", cwd=h)
            run.until_settled(200, "orders.rows")
            status = run.status()
            run.stop()
    else:
        r = neap("dlq", "redrive", "orders.rows", cwd=h)
        neap("run", "--until-idle", cwd=h)
        status = neap("status", "--json", cwd=h).lines()
    db = sqlite3.connect(os.path.join(h, "o.db"))
    landed = [x for (x,) in db.execute("SELECT id FROM orders ORDER BY rowid")]
    db.close()
    with open(os.path.join(h, "all.ndjson"), encoding="utf-8") as f:
        others = [json.loads(x)["id"] for x in f]
    books = {x["pipeline"]: x for x in status if "pipeline" in x}
    ok(r.out.startswith("redriven 100 ") and landed == list(range(100)) and others == list(range(100)),
       f"letters of a branch are redriven for it alone{', under a running node' if runs else ''}", (r, len(landed), len(others)))
    ok(all(balance(x) == 0 and x["in_flight"] == 0 for x in books.values()) and books["orders.all"]["filtered"] == 100, "and all their books balance", books)

# ---- a pipeline or a topic that is gone ----

h = folder("gone")
write("neap.yaml", TWO % "event.n > 0", cwd=h)
neap("topic", "create", "orders", "--partitions", "2", cwd=h)
neap("send", "orders", '{"i":1}', "--key", "\x1b[2Jred \u009b31m" + "\u00e9" * 60, cwd=h)
neap("run", "--until-idle", cwd=h)
for words in (("list", "strict"), ("show", "strict")):
    code, shown = on_terminal("dlq", *words, cwd=h)
    ok(code == 0 and "\x1b[2J" not in shown and "\u009b" not in shown and "\ufffd" not in shown and "red" in shown, f"dlq {words[0]}: nobody's data drives the terminal", shown)
neap("group", "delete", "strict", "--yes", cwd=h)
r = neap("dlq", "redrive", "strict.dead", cwd=h)
ok(r.code == 1 and "no pipeline of that name" in r.err and "neap dlq show strict.dead 0:0" in r.err, "a pipeline that is gone: said, with what shows the letter", r)
r = neap("dlq", "redrive", "strict.dead", "--for", "other", cwd=h)
ok(r.code == 0 and r.out.startswith("redriven 1 "), "--for names the one that takes its place", r)
neap("run", "--until-idle", cwd=h)
ok(lines_of("other.ndjson") == [1, 1], "which takes it", lines_of("other.ndjson"))
neap("send", "orders", '{"i":2}', cwd=h)
write("neap.yaml", TWO % "event.n > 0", cwd=h)
neap("run", "--until-idle", cwd=h)
neap("topic", "delete", "orders", "--yes", cwd=h)
r = neap("dlq", "redrive", "strict.dead", cwd=h)
ok(r.code == 1 and "is gone" in r.err, "a topic that is gone, too", r)

# ---- many ----

h = folder("many")
MANY = 50000   # more than what is settled in one fact
put(h, STAGES)
write("in.ndjson", "".join('{"id":"e%d"}\n' % i for i in range(MANY)), cwd=h)
neap("run", "--until-idle", cwd=h)
r = neap("dlq", "redrive", "p", "-n", "20001", cwd=h)
s = neap("dlq", "drop", "p", "--where", "tonumber(id:sub(2)) % 2 == 0", "--yes", cwd=h)
kinds = overview(h)["expression"]
f = figures(h)
left = neap("dlq", "list", "p", "--json", cwd=h).lines()
ok(r.out == "redriven 20001 dead letters of p.dead\n".replace("20001", "20,001") and f["in_flight"] == kinds["redriven"] == 20001 and balance(f) == 0
   and kinds["letters"] == len(left) == MANY - 20001 - kinds["dropped"] and all(int(x["id"][1:]) % 2 for x in left), "so many that it takes many pieces: each is settled once",
   (r, s, kinds, f))
code, shown = on_terminal("dlq", "redrive", "p", "--rate", "1000000/s", cwd=h)
ok(re.search(r"\r[^\r\n]*\d redriven, of p\.dead", shown) and shown.rstrip().endswith("dead letters of p.dead"), "on a terminal it says how far it is", shown[-300:])
ok(code == 0 and overview(h)["expression"] == {**kinds, "letters": 0, "redriven": MANY - kinds["dropped"]}
   and figures(h)["in_flight"] == MANY - kinds["dropped"], "until none is left")

# ---- several at once ----

h = folder("together")
put(h, STAGES, ", follow: true")
write("in.ndjson", "".join(json.dumps({"id": f"e{i}", "k": f"k{i % 50}"}) + "\n" for i in range(3000)), cwd=h)
with Running(cwd=h) as run:
    run.until_settled(3000)
    run.stop()
put(h, MENDED, ", follow: true")
with Running(cwd=h) as run:
    run.until(run.status, "the node answers")
    verbs = [subprocess.Popen([NEAP, "dlq", "redrive", "p", "--json"], cwd=h, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) for _ in range(4)]
    verbs.append(subprocess.Popen([NEAP, "dlq", "drop", "p", "--key", "k7", "--yes", "--json"], cwd=h, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE))
    said = [json.loads(v.communicate(timeout=60)[0]) for v in verbs]
    redriven, dropped = sum(x["redriven"] for x in said[:4]), said[4]["dropped"]
    run.until_settled(3000 + redriven)
    f, landed = figures(h), ids(h)
    run.stop()
ok(redriven + dropped == 3000 and len(landed) == redriven and len(set(landed)) == redriven and balance(f) == 0,
   "several commands at one time settle each letter once", (said, len(landed), f))

# ---- kill -9 at writes and syncs, of a directory at rest ----

SWEPT = """pipelines:
  p:
    source: {topic: t, id: event.id}
    stages: [%s]
    sink: {%s}
"""
template = folder("sweep")
write("neap.yaml", SWEPT % (STAGES, SINK), cwd=template)
neap("topic", "create", "t", "--partitions", "3", cwd=template)
for k in "abcd":
    neap("send", "t", "--key", k, cwd=template, stdin="".join('{"id":"%s%d"}\n' % (k, i) for i in range(75)).encode())
neap("run", "--until-idle", cwd=template)
write("neap.yaml", SWEPT % (MENDED, SINK), cwd=template)
bad, ended = [], {}
for call in ("pwritev", "fdatasync"):
    for when in [*range(1, 12), *range(12, 200, 9)]: # most writes fill a journal file with zeros
        h = os.path.join(os.path.dirname(template), "swept")
        shutil.rmtree(h, ignore_errors=True)
        shutil.copytree(template, h)
        strace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:signal=SIGKILL:when={when}"]
        r = neap("dlq", "redrive", "p", "--rate", "1000/s", cwd=h, command=strace)
        between = figures(h)
        again = neap("dlq", "redrive", "p", "--json", cwd=h)
        neap("run", "--until-idle", cwd=h)
        f, landed = figures(h), ids(h)
        if balance(between) or balance(f) or f["accepted"] != 600 or len(landed) != 300 or len(set(landed)) != 300 or again.code:
            bad.append((call, when, r, between, again, f, len(landed)))
        if r.code == 0:
            ended[call] = when
            break
ok(not bad and len(ended) == 2 and min(ended.values()) > 3, "killed at its writes and at each of its syncs: none is lost, none comes twice", (ended, bad[:3]))

# ---- kill -9 in the middle ----

COUNT = 4000
h = folder("kills")
put(h, STAGES, ", follow: true")
write("in.ndjson", "".join(json.dumps({"id": f"e{i}", "k": f"k{i % 50}"}) + "\n" for i in range(COUNT)), cwd=h)
with Running(cwd=h) as run:
    run.until_settled(COUNT)
    run.stop()
put(h, MENDED, ", follow: true")
chance, cut, rounds, before = random.Random(5), 0, 0, []
while rounds < 60:
    rounds += 1
    with Running(cwd=h) as run:
        run.until(run.status, "the node answers")
        words = ["redrive", "p", "--json"] + (["--rate", "4000/s"] if rounds < 40 else [])
        verb = subprocess.Popen([NEAP, "dlq", *words], cwd=h, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        time.sleep(chance.random() * 0.4)
        victim = run.process if chance.random() < 0.7 or rounds > 50 else verb
        if rounds < 40:
            victim.send_signal(signal.SIGKILL)
        out, err = verb.communicate(timeout=60)
        cut += verb.returncode != 0
        if victim is run.process and rounds < 40:
            run.process.wait(timeout=60)
        else:
            run.stop()
    f = figures(h)
    before.append((balance(f), f["accepted"]))
    if verb.returncode == 0 and rounds >= 40:
        break
    if overview(h)["expression"]["letters"] == 0 and cut >= 3:
        break
ok(all(b == 0 for b, _ in before), "whatever is killed while letters are redriven, the books balance", before)
ok(cut >= 3, f"the command was cut short {cut} times, and went on where it was", before)
with Running(cwd=h) as run:
    run.until(run.status, "the node answers")
    r = neap("dlq", "redrive", "p", cwd=h)
    run.until_settled(2 * COUNT)
    run.stop()
f, landed = figures(h), ids(h)
ok(len(landed) == COUNT and len(set(landed)) == COUNT, "each event arrives once: none is lost, none comes twice", (len(landed), len(set(landed))))
ok(f["accepted"] == 2 * COUNT and f["delivered"] == COUNT and f["dead_lettered"] == COUNT and balance(f) == 0, "and the books say so", f)
done()
