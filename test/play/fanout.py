#!/usr/bin/env python3
"""Branches: each delivers by itself, stands still by itself, and adds up by itself, through kills and changes of the file."""
import json
import os
import random
import signal
import sqlite3
import time

from lib import NEAP, Running, done, folder, neap, ok, write

COUNT = 3000


def orders(first, last):
    return "".join(json.dumps({"id": n, "customer": f"c{n % 17}", "total": n % 100 if n % 500 else "free", "country": "CH" if n % 3 else "XX"}) + "\n"
                   for n in range(first, last))


FILE = """\
node: {{data: ./data, memory: 96MiB}}
topics: {{orders: {{partitions: 3, retention: 7d}}}}
pipelines:
  orders:
    source: {{file: {{path: in.ndjson, follow: {follow}}}, key: event.customer, id: event.id}}
    stages:
      - map: {{double: event.total * 2}}
    {end}:
{branches}
"""
LEDGER = "      - {name: ledger, sink: {sqlite: {path: o.db, table: orders, key: [id], columns: [id, customer, double]}}}\n"
ARCHIVE = "      - {name: archive, stages: [remove: [total]], sink: {file: all.ndjson}}\n"
LARGE = "      - {name: large, if: event.total >= 90, sink: {topic: large}}\n"


def config(place, branches, end="fanout", follow=False):
    write("neap.yaml", FILE.format(branches=branches, end=end, follow="true" if follow else "false"), cwd=place)


def rows(place, table="orders", path="o.db"):
    db = sqlite3.connect(os.path.join(place, path), timeout=30)
    found = [n for (n,) in db.execute(f"SELECT id FROM {table} ORDER BY rowid")]
    db.close()
    return found


def lines(place, path):
    with open(os.path.join(place, path), encoding="utf-8") as f:
        return [json.loads(line) for line in f]


def events(topic, place):
    return [json.loads(x["value"]) if isinstance(x["value"], str) else x["value"]
            for x in neap("tail", topic, "--from", "earliest", "--json", cwd=place).lines() if "value" in x]


def ledgers(place, status=None):
    found = status if status is not None else neap("status", "--json", cwd=place).lines()
    return {x["pipeline"]: x for x in found if "pipeline" in x and "accepted" in x}


def balances(all_of_them):
    return all(x["accepted"] == x["filtered"] + x["delivered"] + x["dead_lettered"] + x["in_flight"] for x in all_of_them.values())


def summary(r):
    return json.loads(r.out.splitlines()[-1])["pipelines"]


def run(place):
    return neap("run", "--until-idle", "--summary", "json", cwd=place)


def in_order(found):
    seen = {}
    for x in found:
        if x["id"] <= seen.get(x["customer"], -1):
            return False
        seen[x["customer"]] = x["id"]
    return True


good = [n for n in range(COUNT) if n % 500]
bad = COUNT - len(good)

# ---- every branch whose `if` holds ------------------------------------------------------------------------------------------
p = folder("fanout")
config(p, LEDGER + ARCHIVE + LARGE)
write("in.ndjson", orders(0, COUNT) + "broken\n", cwd=p)
r = run(p)
told = summary(r)
ok(r.code == 0 and sorted(rows(p)) == good, "SQLite has every row once", r)
archive = lines(p, "all.ndjson")
ok(sorted(x["id"] for x in archive) == good and in_order(archive) and not any("total" in x for x in archive) and
   all("double" in x for x in archive), "the file has them too, in order per key, through the common stages and its own")
large = events("large", p)
ok(sorted(x["id"] for x in large) == [n for n in good if n % 100 >= 90] and in_order(large) and all("total" in x for x in large),
   "the topic has those whose `if` holds, without the other branch's stages", large[:3])
ok({k: (v["accepted"], v["filtered"], v["delivered"], v["dead_lettered"]) for k, v in told.items()} ==
   {"orders": (COUNT + 1, 0, COUNT, 1), "orders.ledger": (COUNT, 0, len(good), bad), "orders.archive": (COUNT, 0, len(good), bad),
    "orders.large": (COUNT, len(good) - len(large), len(large), bad)} and balances(told),
   "each branch has a ledger, and the pipeline's own says what the last of them has settled", told)
stopped = ledgers(p)
ok(all(all(stopped[k][f] == v[f] for f in ("accepted", "filtered", "delivered", "dead_lettered", "in_flight", "produced")) for k, v in told.items()),
   "a stopped directory says the same", (told, stopped))
groups = {x["group"]: x for x in neap("group", "list", "--json", cwd=p).lines() if "group" in x}
ok(set(groups) == {"orders.ledger", "orders.archive", "orders.large"} and all(x["lag"] == 0 for x in groups.values()),
   "each branch is a consumer group, the pipeline none", groups)
shown = neap("dlq", "show", "orders.dead", "--json", cwd=p)
ok(all(shown.out.count(f'"{name}"') >= bad for name in ("orders.ledger", "orders.archive", "orders.large")),
   "what fails in a common stage is a dead letter of each branch, and names it", shown)
counts = {n: neap("dlq", "list", n, "--json", cwd=p) for n in ("orders", "orders.ledger", "orders.large", "orders.nobody")}
ok(counts["orders.nobody"].code == 1 and sum('"reason"' in x for x in counts["orders"].out.splitlines()) == 3 * bad + 1 and
   all(sum('"reason"' in x for x in counts[n].out.splitlines()) == bad for n in ("orders.ledger", "orders.large")),
   "a branch's name means its letters, the pipeline's name those of all its branches", {n: x.out[:300] + x.err for n, x in counts.items()})
again = summary(run(p))
ok({k: v["delivered"] for k, v in again.items()} == {k: v["delivered"] for k, v in told.items()} and
   all(v["run"]["accepted"] == v["run"]["delivered"] == 0 for v in again.values()), "a second run does nothing", again)

# ---- the first branch whose `if` holds ----------------------------------------------------------------------------------------
p = folder("route")
ROUTE = """\
      - {name: sanctions, if: event.country == "XX", sink: {file: xx.ndjson}}
      - {name: free, if: event.double > 150, sink: {file: high.ndjson}}
"""
REST = "      - {name: rest, sink: {file: rest.ndjson}}\n"
config(p, ROUTE + REST, end="route")
write("in.ndjson", orders(0, COUNT), cwd=p)
r = run(p)
parts = [{x["id"] for x in lines(p, f)} for f in ("xx.ndjson", "high.ndjson", "rest.ndjson")]
ok(r.code == 0 and parts[0] == {n for n in good if n % 3 == 0} and parts[1] == {n for n in good if n % 3 and n % 100 > 75} and
   set.union(*parts) == set(good) and sum(len(x) for x in parts) == len(good), "each event goes to the first branch that takes it, the rest to the last", r)
p = folder("no-rest")
config(p, ROUTE, end="route")
write("in.ndjson", orders(0, COUNT), cwd=p)
r = run(p)
told = summary(r)
none = len(good) - len(parts[0]) - len(parts[1])
ok(r.code == 0 and "no_route" in r.err and told["orders.free"]["filtered"] == len(parts[0]) + none and balances(told),
   "without a rest, what no branch takes is filtered, and the check said so", r)
p = folder("route-error")
write("neap.yaml", """\
pipelines:
  p:
    source: {stdin: {}}
    route:
      - {name: a, if: event.n == 1, sink: {file: a}}
      - {name: b, if: event.m + 1 > 1, sink: {file: b}}
      - {name: c, sink: {file: c}}
""", cwd=p)
r = neap("run", "--until-idle", "--summary", "json", cwd=p, stdin=b'{"n":1}\n{"n":2,"m":1}\n{"n":2}\n{"n":2,"m":0}\n')
told = {k: (v["filtered"], v["delivered"], v["dead_lettered"]) for k, v in summary(r).items() if k != "p"}
ok(told == {"p.a": (3, 1, 0), "p.b": (2, 1, 1), "p.c": (2, 1, 1)}, "an `if` that fails sends nothing to a branch by mistake", r)
letters = neap("dlq", "show", "p.dead", "--json", cwd=p).out
ok('"line":6,"column":23' in letters and '"offset":2}' in letters, "its dead letters say which one failed, where it was written", letters)

# ---- one sink stands still ------------------------------------------------------------------------------------------------------
p = folder("stuck")
config(p, LEDGER + ARCHIVE + LARGE, follow=True)
write("in.ndjson", orders(0, 500), cwd=p)
with Running(cwd=p) as node:
    node.until_settled(500, "orders")
    lock = sqlite3.connect(os.path.join(p, "o.db"), isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    with open(os.path.join(p, "in.ndjson"), "a", encoding="utf-8") as f:
        f.write(orders(500, COUNT))
    node.until_settled(COUNT, "orders.archive")
    node.until_settled(COUNT, "orders.large")
    found = ledgers(p, node.status())
    ok(found["orders.ledger"]["in_flight"] >= COUNT - 500 - 10 and found["orders.archive"]["in_flight"] == 0,
       "a branch whose database is locked holds up nobody but itself", found)
    ok(found["orders"]["in_flight"] == found["orders.ledger"]["lag"] and balances(found), "the pipeline's events are in flight until it is done", found)
    lock.execute("ROLLBACK")
    lock.close()
    node.until_settled(COUNT, "orders")
    ok(sorted(rows(p)) == good, "and afterwards nothing is missing or twice")
    node.stop()

# ---- killed on the way ----------------------------------------------------------------------------------------------------------
p = folder("killed")
chance = random.Random(int(os.environ.get("SEED", "7")))
config(p, LEDGER + ARCHIVE + LARGE + ROUTE.replace("free", "high"), follow=True)
write("in.ndjson", "", cwd=p)
at = 0
for life in range(12):
    with Running("--log", "error", cwd=p) as node:
        for _ in range(3):
            step = COUNT // 36
            with open(os.path.join(p, "in.ndjson"), "a", encoding="utf-8") as f:
                f.write(orders(at, at + step))
            at += step
            time.sleep(chance.uniform(0, 0.06))
        node.process.send_signal(signal.SIGKILL)
        node.process.wait()
    found = ledgers(p)
    if not balances(found):
        break
else:
    with open(os.path.join(p, "in.ndjson"), "a", encoding="utf-8") as f:
        f.write(orders(at, COUNT))
    config(p, LEDGER + ARCHIVE + LARGE + ROUTE.replace("free", "high"))
    found = summary(run(p))
ok(balances(found) and all(x["in_flight"] == 0 and x["accepted"] == COUNT for x in found.values()), "after 12 kills each branch's ledger adds up", found)
ok(sorted(rows(p)) == good and sorted(x["id"] for x in lines(p, "all.ndjson")) == good and
   sorted(x["id"] for x in events("large", p)) == [n for n in good if n % 100 >= 90], "and each branch has every event once")

# ---- branches come and go -------------------------------------------------------------------------------------------------------
p = folder("changed")
config(p, LEDGER)
write("in.ndjson", orders(0, 1000), cwd=p)
run(p)
config(p, LEDGER + ARCHIVE + "      - {name: whole, start: earliest, sink: {file: whole.ndjson}}\n" +
       "      - {name: copy, sink: {sqlite: {path: copy.db, table: orders, key: [id], columns: [id]}}}\n")
with open(os.path.join(p, "in.ndjson"), "a", encoding="utf-8") as f:
    f.write(orders(1000, COUNT))
r = run(p)
told = summary(r)
later = [n for n in good if n >= 1000]
ok(r.code == 0 and sorted(x["id"] for x in lines(p, "all.ndjson")) == later and sorted(rows(p, path="copy.db")) == later,
   "a branch that is added begins where its pipeline is", r)
ok(sorted(x["id"] for x in lines(p, "whole.ndjson")) == good, "with start: earliest, at the first event that is kept", r)
ok(balances(told) and told["orders.copy"]["accepted"] == COUNT - 1000 and told["orders.whole"]["accepted"] == COUNT and told["orders"]["accepted"] == COUNT,
   "and counts what it answers for", told)
config(p, LEDGER + ARCHIVE)
with open(os.path.join(p, "in.ndjson"), "a", encoding="utf-8") as f:
    f.write(orders(COUNT, COUNT + 100))
told = summary(run(p))
status = neap("status", "--json", cwd=p).lines()
ok(set(told) == set(ledgers(p, status)) == {"orders", "orders.ledger", "orders.archive"} and
   not any(x.get("held_by") in ("orders.copy", "orders.whole") for x in status), "one that is taken out holds nothing any more, and is no line of status", status)
config(p, LEDGER + ARCHIVE + "      - {name: copy, sink: {sqlite: {path: copy.db, table: orders, key: [id], columns: [id]}}}\n")
told = summary(run(p))
ok(sorted(rows(p, path="copy.db")) == later + [n for n in range(COUNT, COUNT + 100) if n % 500] and balances(told),
   "put back, it goes on where it was", told)
text = FILE.format(branches=LEDGER + ARCHIVE, end="fanout", follow="false").replace("  orders:\n    source", "  shop:\n    was: orders\n    source")
write("neap.yaml", text, cwd=p)
with open(os.path.join(p, "in.ndjson"), "a", encoding="utf-8") as f:
    f.write(orders(COUNT + 100, COUNT + 200))
r = run(p)
ok(r.code == 0 and len(rows(p)) == len(set(rows(p))) == len([n for n in range(COUNT + 200) if n % 500]) and balances(summary(r)) and
   summary(r)["shop.ledger"]["accepted"] == COUNT + 200, "a pipeline that is renamed takes its branches along", r)

p = folder("given")
write("in.ndjson", orders(0, 1000), cwd=p)
whole = FILE.format(branches="", end="fanout", follow="false").replace("    fanout:\n", "    sink: {file: all.ndjson}\n")
write("neap.yaml", whole, cwd=p)
run(p)
with open(os.path.join(p, "in.ndjson"), "a", encoding="utf-8") as f:
    f.write(orders(1000, COUNT))
config(p, LEDGER + LARGE)
r = run(p)
told = summary(r)
ok(r.code == 0 and sorted(rows(p)) == later and balances(told), "a pipeline that is given branches goes on where it was", r)
write("neap.yaml", whole, cwd=p)
status = (run(p), neap("status", "--json", cwd=p).lines())[1]
ok(not any(str(x.get("held_by", "")).startswith("orders.") for x in status), "and given a sink again, its branches hold nothing", status)

# ---- what a person reads --------------------------------------------------------------------------------------------------------
p = folder("words")
config(p, LEDGER + ARCHIVE + LARGE)
r = neap("check", cwd=p)
ok(r.code == 0 and r.out.splitlines()[-1] == "ok: 1 pipeline, 3 branches, 2 stages", "check counts what was written", r)
r = neap("explain", cwd=p)
for words in ("each of its branches ledger, archive, large (if) that takes it", "branch orders.archive", "topic orders, as a branch of orders",
              "map -> remove", "exactly once into SQLite", "group orders.large"):
    ok(words in r.out, f"explain says: {words}", r)
done()
