#!/usr/bin/env python3
"""Programs as stages: Python and a shell filter, one event that crashes its child, kills of the node, and nobody left behind."""
import json
import os
import random
import signal
import sqlite3
import time

from lib import Running, SCRATCH, WAIT_S, done, folder, neap, ok, write

COUNT = 6000
POISON = 1201
KEYS = 17

SCORE = """
import json, sys, time
for line in sys.stdin:
    ask = json.loads(line)
    if "neap" in ask:
        assert ask["neap"] == 1 and ask["pipeline"] == "p" and ask["stage"] == "score", ask
        continue
    event = ask["event"]
    n = event["n"]
    assert ask["key"] == "k%d" % (n % 17) and ask["event_id"] == str(n) and ask["attempt"] >= 1, ask
    if n == 1201:
        raise ValueError("it is the %dth" % n)
    if n % 50 == 0:
        time.sleep(0.005)
    event["score"] = n * 2
    print(json.dumps({"id": ask["id"], "event": event}), flush=True)
"""

FILE = """
pipelines:
  p:
    source: {file: {path: in.ndjson, follow: %s}, key: '"k" .. event.n %% 17', id: event.n}
    stages:
      - name: score
        exec: {command: [python3, score.py], concurrency: 3, retry: {attempts: 3, backoff: 1ms..5ms}}
      - map: {after: event.score + 1}
      - name: shell
        exec: {command: "exec sed -u '/\\"n\\": [0-9]*00,/s/.*//'", protocol: lines, concurrency: 2}
    sink:
      sqlite: {path: out.db, table: t, key: [n], columns: [n, score, after]}
"""


def left_in(place):
    """Processes whose working directory it is, but for Neap's own: these are children, or theirs."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.path.realpath(f"/proc/{pid}/cwd") != os.path.realpath(place):
                continue
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                line = f.read().replace(b"\0", b" ").decode(errors="replace")
            with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
                state = f.read().rsplit(")", 1)[1].split()[0]
        except OSError:
            continue
        if state not in "ZX" and "/neap " not in line:
            found.append((int(pid), line))
    return found


def none_left(place):
    deadline = time.monotonic() + WAIT_S
    while left_in(place) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not left_in(place)


def rows_of(place, what="n, score, after"):
    with sqlite3.connect(os.path.join(place, "out.db")) as db:
        return db.execute(f"SELECT {what} FROM t ORDER BY rowid").fetchall()


def figures_of(r, pipeline="p"):
    return json.loads(r.out.splitlines()[-1])["pipelines"][pipeline]


# ---- kills
place = folder("kills")
chance = random.Random(7)
write("score.py", SCORE, place)
write("in.ndjson", "".join(f'{{"n": {n}, "x": "{"y" * (n % 90)}"}}\n' for n in range(1, COUNT + 1)), place)
write("neap.yaml", FILE % "true", place)
survivors, seen_at_work = [], 0
for life in range(6):
    with Running(cwd=place) as running:
        running.until(running.status, "it answers")
        deadline = time.monotonic() + chance.uniform(0.05, 0.6)
        while time.monotonic() < deadline:
            time.sleep(0.02)
        seen_at_work += len(left_in(place)) > 0
        running.process.send_signal(signal.SIGKILL)
        running.process.wait()
    if not none_left(place):
        survivors += left_in(place)
ok(seen_at_work > 0, "children are at work when the node is killed")
ok(not survivors, "no child outlives a node that is killed", survivors)
write("neap.yaml", FILE % "false", place)
r = neap("run", "--until-idle", "--summary", "json", cwd=place)
ok(r.code == 0, "the last life ends by itself", r)
f = figures_of(r)
ok(f["accepted"] == COUNT == f["filtered"] + f["delivered"] + f["dead_lettered"] and f["in_flight"] == 0,
   "after kills the balance is zero: each event was accepted, and filtered, delivered or dead-lettered once", f)
want = [n for n in range(1, COUNT + 1) if n % 100 != 0 and n != POISON]
rows = rows_of(place)
ok(sorted(n for n, _, _ in rows) == want, "each id is in the database once, and what the shell dropped is not", len(rows))
ok(all(score == 2 * n and after == score + 1 for n, score, after in rows), "each was changed by the program, and by the stage behind it")
ok(f["dead_lettered"] == 1 and f["filtered"] == COUNT // 100, "one dead letter, and as many filtered as the shell dropped", f)
by_key = {}
for n, _, _ in rows:
    by_key.setdefault(n % KEYS, []).append(n)
ok(all(ns == sorted(ns) for ns in by_key.values()), "events of a key are in order, through crashes and kills")
shown = neap("dlq", "show", "p.dead", cwd=place)
ok("crash in score" in shown.out and "exit status 1; its last words: Traceback" in shown.out and "ValueError: it is the 1201th" in shown.out,
   "the poison event is a dead letter, reason crash, with the traceback", shown)
ok(none_left(place), "nobody is left at the end")

# ---- a stop, and who hangs
place = folder("hangs")
write("hang.py", """
import json, os, sys
for line in sys.stdin:
    ask = json.loads(line)
    if "neap" in ask: continue
    if ask["event"]["n"] == 5: os.system("sleep 1000")
    print(json.dumps({"id": ask["id"], "event": ask["event"]}), flush=True)
with open("farewell", "a") as f:
    f.write("x")
""", place)
write("in.ndjson", "".join(f'{{"n": {n}}}\n' for n in range(40)), place)
write("neap.yaml", """
pipelines:
  p:
    source: {file: {path: in.ndjson, follow: true}, id: event.n}
    stages: [exec: {command: [python3, hang.py], timeout: 2s, concurrency: 2, retry: {attempts: 2, backoff: 1ms}}]
    sink: {sqlite: {path: out.db, table: t, columns: [n]}}
""", place)
with Running(cwd=place) as running:
    running.until_settled(40)
    ok(not [line for _, line in left_in(place) if "sleep" in line], "a child that is late is killed with all that it has started")
    ok(len(left_in(place)) <= 2, "there are never more children than `concurrency`", left_in(place))
    with open(os.path.join(place, "in.ndjson"), "a", encoding="utf-8") as f:
        f.write("".join(f'{{"n": {n}}}\n' for n in range(40, 50)))
    running.until_settled(50)  # by a child that is new
    code = running.stop()
    ok(code == 0 and not left_in(place), "after SIGTERM nobody is left", (code, left_in(place)))
    ok(os.path.exists(os.path.join(place, "farewell")), "children hear of the end, and have time for it")
ok(sorted(rows_of(place, "n")) == [(n,) for n in range(50) if n != 5], "the others are delivered")
ok("timeout" in neap("dlq", "show", "p.dead", cwd=place).out, "the one that hung is a dead letter, reason timeout")

# ---- a program that is not there yet
place = folder("absent")
write("in.ndjson", "".join(f'{{"n": {n}}}\n' for n in range(20)), place)
text = """
pipelines:
  p:
    source: {file: {path: in.ndjson, follow: %s}}
    stages: [exec: {command: [./filter], protocol: lines, retry: {attempts: 1}}]
    sink: {sqlite: {path: out.db, table: t, columns: [n]}}
"""
write("neap.yaml", text % "true", place)
with Running(cwd=place) as running:
    running.until(lambda: "a child cannot be started; events wait for it" in running.talk(), "it is said")
    code = running.stop()
    ok(code in (0, 7), "a program that cannot be started holds up its events, and no stop", (code, running.talk()))
path = write("filter", "#!/bin/sh\nexec cat\n", place)
os.chmod(path, 0o755)
write("neap.yaml", text % "false", place)
r = neap("run", "--until-idle", "--summary", "json", cwd=place)
f = figures_of(r)
ok(r.code == 0 and f["delivered"] == 20 and f["dead_lettered"] == 0, "and none of them has given up: they are delivered when it is there", r)

# ---- what check says
write("wrong.yaml", """
pipelines:
  a:
    source: {topic: t}
    stages:
      - exec: {command: [], concurrency: 0}
      - exec: {command: ""}
      - exec: {protocol: json, command: cat}
      - exec: {command: {cat: 1}}
      - exec: {command: cat, limit: 5/s}
    sink: {topic: b}
""")
r = neap("check", "wrong.yaml")
ok(r.code == 1, "wrong files are refused", r)
for words in ("'command' takes a list, this one is empty", "'concurrency' is a number from 1 to 256",
              "'command' names no program", "unknown protocol 'json'; it is one of: neap, lines", "not in this version"):
    ok(words in r.out + r.err, f"check says: {words}", r)
write("bare.yaml", "pipelines:\n  a:\n    source: {topic: t}\n    stages: [exec: cat -u, exec: [cat, -u]]\n    sink: {topic: b}\n")
r = neap("check", "bare.yaml")
ok(r.code == 0 and "ok: 1 pipeline, 2 stages" in r.out, "a command can stand alone", r)
done()
