#!/usr/bin/env python3
"""Dedup: an id is delivered once within the window, whatever dies meanwhile, inline or before a stage that waits."""
import json
import os
import random
import signal
import sqlite3
import time

from lib import Running, done, folder, neap, ok, write

COUNT = 40000
random.seed(11)

FILE = """
topics: {p: {partitions: 3}}
pipelines:
  p:
    source: {file: {path: in.ndjson, follow: %s}, id: event.id}
    stages:
      - filter: event.n %% 10 ~= 3
      - dedup: 24h
%s    sink: {sqlite: {path: out.db, table: t, columns: [id, n]}}
"""
WAITS = "      - exec: {command: [cat], protocol: lines, concurrency: 3}\n"


def events(count):
    """A third of them has the id of an earlier one, near or far."""
    ids, lines = [], []
    for n in range(count):
        again = ids and random.random() < 0.33
        ids.append(random.choice(ids[-3000:]) if again else f"e{n}")
        lines.append({"id": ids[-1], "n": n})
    return lines


def rows(place):
    with sqlite3.connect(f"file:{place}/out.db?mode=ro", uri=True) as db:
        return db.execute("SELECT id, n FROM t").fetchall()


def expected(lines):
    seen = {}
    for e in lines:
        if e["n"] % 10 != 3:
            seen.setdefault(e["id"], e["n"])
    return seen


def check(place, lines, what):
    want, got = expected(lines), rows(place)
    passed = sum(e["n"] % 10 != 3 for e in lines)
    r = neap("run", "neap.yaml", "--until-idle", "--summary", "json", cwd=place)
    sums = json.loads(r.out.splitlines()[-1])["pipelines"]["p"]
    ok(len(got) == len(set(i for i, _ in got)), f"{what}: no id twice", len(got))
    ok(dict(got) == want, f"{what}: of each id the first one is there", (len(got), len(want)))
    ok(sums["accepted"] == len(lines) and sums["duplicates"] == passed - len(want) and sums["delivered"] == len(want) and
       sums["filtered"] == len(lines) - len(want) and sums["in_flight"] == 0 and sums["dead_lettered"] == 0,
       f"{what}: duplicates are counted, and the balance is zero", sums)


def killed(name, stage, count, kills):
    place = folder(name)
    lines = events(count)
    write(os.path.join(place, "in.ndjson"), "".join(json.dumps(e) + "\n" for e in lines))
    write(os.path.join(place, "neap.yaml"), FILE % ("true", stage))
    died = 0
    for _ in range(kills):
        with Running("neap.yaml", cwd=place) as p:
            time.sleep(random.uniform(0.03, 0.25))
            died += p.stop(signal.SIGKILL) == -signal.SIGKILL
    write(os.path.join(place, "neap.yaml"), FILE % ("false", stage))
    neap("run", "neap.yaml", "--until-idle", cwd=place)
    ok(died == kills, f"{name}: killed {kills} times", died)
    check(place, lines, name)
    return place, lines


killed("waits", WAITS, 4000, 12)
place, lines = killed("inline", "", COUNT, 12)

# ---- ids are remembered past the events that brought them, which are gone by now
more = events(2000) + [dict(e, n=100000 + e["n"]) for e in random.sample(lines, 2000)]
with open(os.path.join(place, "in.ndjson"), "a", encoding="utf-8") as f:
    f.write("".join(json.dumps(e) + "\n" for e in more))
neap("run", "neap.yaml", "--until-idle", cwd=place)
check(place, lines + more, "a day later")

# ---- a topic that others fill: its ids are what the file says
topic = folder("topic")
write(os.path.join(topic, "neap.yaml"), "pipelines:\n  t:\n    source: {topic: in, id: event.id}\n    stages: [dedup: 1h]\n    sink: {file: out}\n")
neap("send", "in", "--create", "--data", "data", cwd=topic, stdin="".join(json.dumps({"id": n % 7}) + "\n" for n in range(50)).encode())
r = neap("run", "neap.yaml", "--until-idle", "--summary", "json", cwd=topic)
sums = json.loads(r.out.splitlines()[-1])["pipelines"]["t"]
ok(sums["delivered"] == 7 and sums["duplicates"] == 43, "events of a topic are told apart by the id that the source names", sums)

# ---- what is said
r = neap("explain", "neap.yaml", cwd=place)
ok("ids of 1d" in r.out and "ids remembered by p" in r.out, "explain says what is remembered, and where", r.out)
small = folder("small")
write(os.path.join(small, "in.ndjson"), "".join(json.dumps({"id": f"e{n}", "n": 1}) + "\n" for n in range(20000)))
write(os.path.join(small, "neap.yaml"), (FILE % ("false", "")).replace("dedup: 24h", "dedup: {time: 24h, count: 3072}"))
r = neap("run", "neap.yaml", "--until-idle", cwd=small)
ok("forgets them before their time" in r.err, "a count that is met first is said", r.err)
done()
