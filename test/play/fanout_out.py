#!/usr/bin/env python3
"""Branches behind a stage that waits: it runs once for each event, and what comes out of it is durable before the branches have it."""
import json
import os
import random
import signal
import sqlite3
import time

from lib import Running, done, folder, neap, ok, write

COUNT = 1500
SCORE = """
import json, sys
calls = open("calls", "a", buffering=1)
for line in sys.stdin:
    ask = json.loads(line)
    if "neap" in ask:
        continue
    event = ask["event"]
    calls.write("%d\\n" % event["id"])
    event["score"] = event["id"] % 10
    if event["id"] % 100 == 99:
        print(json.dumps({"id": ask["id"], "error": "no such customer", "permanent": True}), flush=True)
    elif event["id"] % 100 == 50:
        print(json.dumps({"id": ask["id"], "drop": True}), flush=True)
    else:
        print(json.dumps({"id": ask["id"], "event": event}), flush=True)
"""
FILE = """\
node: {data: ./data, memory: 128MiB}
topics: {orders: {partitions: 2}}
pipelines:
  NAME:
    source: {file: {path: in.ndjson, follow: FOLLOW}, key: event.customer, id: event.id, to: orders}
    stages:
      - filter: event.id % 7 ~= 0
      - name: score
        exec: {command: [python3, score.py], concurrency: 4}
      - map: {double: event.score * 2}
    fanout:
      - name: rows
        sink: {sqlite: {path: o.db, table: t, key: [id], columns: {id: event.id, own: id, customer: key, double: event.double}}}
      - name: high
        if: event.score > 7
        stages: [map: {checked: event.double / event.divisor}]
        sink: {file: high.ndjson}
"""


def config(place, follow, name="orders", was=None):
    text = FILE.replace("NAME", name).replace("FOLLOW", "true" if follow else "false")
    if was:
        text = text.replace("    stages:\n      - filter", f"    was: {was}\n    stages:\n      - filter", 1)
    write("neap.yaml", text, cwd=place)


def lines(first, last, divisor=True):
    return "".join(json.dumps({"id": n, "customer": f"c{n % 11}", **({"divisor": 2} if divisor and n % 20 != 8 else {})}) + "\n" for n in range(first, last))


def survivors(count):
    return [n for n in range(count) if n % 7 and n % 100 not in (50, 99)]


def rows(place):
    db = sqlite3.connect(os.path.join(place, "o.db"), timeout=30)
    found = db.execute("SELECT id, own, customer, double FROM t ORDER BY rowid").fetchall()
    db.close()
    return found


def high(place):
    with open(os.path.join(place, "high.ndjson"), encoding="utf-8") as f:
        return [json.loads(x)["id"] for x in f]


def run(place, *more):
    return neap("run", "--until-idle", "--summary", "json", *more, cwd=place)


def summary(r):
    return json.loads(r.out.splitlines()[-1])["pipelines"]


def balances(told):
    return all(x["accepted"] == x["filtered"] + x["delivered"] + x["dead_lettered"] + x["in_flight"] for x in told.values())


def append(place, text):
    with open(os.path.join(place, "in.ndjson"), "a", encoding="utf-8") as f:
        f.write(text)


def in_order(found):
    last = {}
    for n, _, customer, _ in found:
        if n <= last.get(customer, -1):
            return False
        last[customer] = n
    return True


want = survivors(COUNT)
letters = len([n for n in range(COUNT) if n % 7 and n % 100 == 99])
wanted_high = [n for n in want if n % 10 > 7 and n % 20 != 8]

p = folder("once")
write("score.py", SCORE, cwd=p)
write("in.ndjson", lines(0, COUNT), cwd=p)
config(p, False)
r = run(p)
told = summary(r)
found = rows(p)
ok(r.code == 0 and sorted(x[0] for x in found) == want and in_order(found) and
   all(own == str(n) and customer == f"c{n % 11}" and double == n % 10 * 2 for n, own, customer, double in found),
   "each branch has what came out of the stage, with its key and its id, in order per key", r)
ok(sorted(high(p)) == wanted_high, "and takes what its `if` says", len(high(p)))
with open(os.path.join(p, "calls"), encoding="utf-8") as f:
    calls = sorted(int(x) for x in f)
ok(calls == [n for n in range(COUNT) if n % 7], "the stage has run once for each event, not once for each branch", len(calls))
ok(balances(told) and (told["orders"]["dead_lettered"], told["orders"]["delivered"], told["orders"]["in_flight"]) == (letters, len(want), 0) and
   told["orders.rows"]["accepted"] == told["orders.high"]["accepted"] == len(want), "the ledgers fit into each other", told)
topics = {x["topic"]: x for x in neap("topic", "list", "--json", cwd=p).lines() if "topic" in x}
ok(topics["orders.out"]["partitions"] == topics["orders"]["partitions"] == 2, "the topic between is as wide as the one before", topics)
planned = {x["topic"]: x.get("partitions") for x in neap("explain", "--json", cwd=p).lines() if "role" in x}
ok(planned == {k: v["partitions"] for k, v in topics.items()}, "and explain has said so", (planned, topics))
stopped = {x["pipeline"]: x for x in neap("status", "--json", cwd=p).lines() if "accepted" in x}
ok(all(all(stopped[k][f] == v[f] for f in ("accepted", "filtered", "delivered", "dead_lettered", "in_flight", "produced")) for k, v in told.items()),
   "a stopped directory says the same", (told, stopped))

# ---- one branch's letters are tried again, and nobody else's events ------------------------------------------------------------------
nils = len([n for n in want if n % 20 == 8])
ok(told["orders.high"]["dead_lettered"] == nils > 0 and told["orders.rows"]["dead_lettered"] == 0, "what fails in one branch is that branch's dead letter", told)
write("neap.yaml", open(os.path.join(p, "neap.yaml"), encoding="utf-8").read().replace("event.divisor}", "(event.divisor or 1)}"), cwd=p)
r = neap("dlq", "redrive", "orders.dead", "--stage", "map-2", cwd=p)
told = summary(run(p))
ok(r.code == 0 and sorted(high(p)) == [n for n in want if n % 10 > 7] and len(rows(p)) == len(want) and balances(told) and
   told["orders.rows"]["filtered"] == nils and told["orders.rows"]["dead_lettered"] == 0,
   "redriven, they go into that branch alone", (r, told))

# ---- in flight until the last branch is done ---------------------------------------------------------------------------------------------
p = folder("stuck")
write("score.py", SCORE, cwd=p)
write("in.ndjson", lines(0, 100), cwd=p)
config(p, True)
with Running(cwd=p) as node:
    node.until_settled(100, "orders")
    lock = sqlite3.connect(os.path.join(p, "o.db"), isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    append(p, lines(100, 400))
    node.until_settled(len(survivors(400)), "orders.high")
    seen = {x["pipeline"]: x for x in node.status() if "accepted" in x}
    ok(seen["orders"]["in_flight"] == seen["orders.rows"]["in_flight"] == len(survivors(400)) - len(survivors(100)) and balances(seen),
       "what is out of the stage is in flight until the last branch has settled it", seen)
    lock.execute("ROLLBACK")
    lock.close()
    node.until_settled(400, "orders")
    node.stop()

# ---- killed, and renamed -------------------------------------------------------------------------------------------------------------------
p = folder("killed")
chance = random.Random(int(os.environ.get("SEED", "11")))
write("score.py", SCORE, cwd=p)
write("in.ndjson", "", cwd=p)
config(p, True)
at = 0
for life in range(10):
    with Running("--log", "error", cwd=p) as node:
        for _ in range(2):
            append(p, lines(at, at + COUNT // 25))
            at += COUNT // 25
            time.sleep(chance.uniform(0.03, 0.2))
        node.process.send_signal(signal.SIGKILL)
        node.process.wait()
append(p, lines(at, COUNT))
config(p, False, "shop", "orders")
r = run(p)
told = summary(r)
ok(r.code == 0 and sorted(x[0] for x in rows(p)) == want and sorted(high(p)) == wanted_high, "killed on the way and renamed, each branch has every event once", r)
ok(balances(told) and told["shop"]["accepted"] == COUNT and told["shop"]["dead_lettered"] == letters and told["shop"]["in_flight"] == 0 and
   told["shop.rows"]["accepted"] == len(want), "and the ledgers fit", told)

# ---- what remembers runs once, too ---------------------------------------------------------------------------------------------------------
p = folder("dedup")
write("neap.yaml", """\
node: {data: ./data, memory: 128MiB}
pipelines:
  p:
    source: {stdin: {}, id: event.id, key: event.k}
    stages: [dedup: 24h, map: {seen: true}]
    fanout:
      - {name: a, sink: {file: a.ndjson}}
      - {name: b, stages: [dedup: {time: 24h, id: event.k}], sink: {file: b.ndjson}}
""", cwd=p)
events = [(1, "x"), (2, "x"), (1, "x"), (3, "y"), (2, "x")]
text = "".join(json.dumps({"id": n, "k": k}) + "\n" for n, k in events).encode()
r = neap("run", "--until-idle", "--summary", "json", cwd=p, stdin=text)
told = summary(r) if r.code == 0 else {}
kept = {}
for name in ("a", "b"):
    with open(os.path.join(p, f"{name}.ndjson"), encoding="utf-8") as f:
        kept[name] = [json.loads(x)["id"] for x in f]
ok(r.code == 0 and kept == {"a": [1, 2, 3], "b": [1, 3]} and (told["p"]["duplicates"], told["p.a"]["duplicates"], told["p.b"]["duplicates"]) == (2, 0, 1) and
   balances(told), "a dedup in front of the branches speaks for all of them, one in a branch for that branch", (r, kept))
done()
