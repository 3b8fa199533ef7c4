#!/usr/bin/env python3
"""A byte of the journal turns bad under a running node: that partition ends there and says so, all else goes on."""
import json
import os
import sqlite3
import time

from lib import Running, done, folder, neap, ok, write

FILE = """pipelines:
  p:
    source: {topic: orders}
    sink: {sqlite: {path: out.db, table: t, columns: {n: event.n, pad: event.pad}}}
"""


PAD = 20000     # so that a pipeline that waits for its sink has not read far


def home(name):
    """A stopped node with 40 batches of 5 events in each of two partitions, and its pipeline not yet begun."""
    path = folder(name)
    write("neap.yaml", FILE, cwd=path)
    assert neap("topic", "create", "orders", "--partitions", "2", "--data", "data", cwd=path).code == 0
    assert neap("run", "--until-idle", cwd=path).code == 0      # makes the table
    for batch in range(40):
        for partition in (0, 1):
            first = partition * 1000 + batch * 5
            lines = "".join(f'{{"n":{n},"pad":"{"x" * PAD}"}}\n' for n in range(first, first + 5))
            r = neap("topic", "append", "orders", "--partition", str(partition), "--data", "data", cwd=path, stdin=lines.encode())
            assert r.code == 0, r
    return path


def spoil(path, number):
    """Flips a bit in the event with that number."""
    folder_ = os.path.join(path, "data", "journal")
    for name in sorted(os.listdir(folder_)):
        with open(os.path.join(folder_, name), "r+b") as f:
            at = f.read().find(b'{"n":%d,' % number)
            if at >= 0:
                f.seek(at + 20)
                old = f.read(1)
                f.seek(at + 20)
                f.write(bytes([old[0] ^ 4]))
                return name
    raise AssertionError(f"event {number} is in no file")


def numbers_in(path):
    with sqlite3.connect(os.path.join(path, "out.db")) as db:
        return [n for (n,) in db.execute("SELECT n FROM t ORDER BY n")]


class Locked:
    """Holds the sink's database, so that the pipeline waits after its first batches."""

    def __init__(self, path):
        self.db = sqlite3.connect(os.path.join(path, "out.db"), isolation_level=None)
        self.db.execute("BEGIN IMMEDIATE")

    def release(self):
        self.db.execute("ROLLBACK")
        self.db.close()


def whole(lines):
    return next(x for x in lines if x.get("pipeline") == "p")


# A running node
h = home("running")
lock = Locked(h)
with Running(cwd=h) as run:
    run.until(lambda: run.status(), "the node answers")
    name = spoil(h, 152)     # in the batch of offsets 150 to 154 of partition 0
    lock.release()
    run.until(lambda: whole(run.status()).get("state") == "damaged" and whole(run.status())["in_flight"] == 50, "the damage is met")
    lines = run.status()
    damage = [x for x in lines if "damage" in x]
    ok(len(damage) == 1 and (damage[0]["topic"], damage[0]["partition"], damage[0]["offset"], damage[0]["count"]) == ("orders", 0, 150, 5)
       and damage[0]["file"] == "journal/" + name and damage[0]["byte"] > 0 and damage[0]["found_by"] == "read",
       "status names topic, partition, offset, file and byte", damage)
    r = neap("status", cwd=h)
    ok(r.code == 1 and "orders/0@150" in r.out and "damaged" in r.out, "and says it to a person, with exit code 1", r)
    p = whole(lines)
    ok(p["accepted"] == p["filtered"] + p["delivered"] + p["dead_lettered"] + p["in_flight"], "the balance holds meanwhile", p)
    r = neap("topic", "append", "orders", "--partition", "1", cwd=h, stdin=b'{"n":5000}\n')
    run.until(lambda: 5000 in numbers_in(h), "a new event of the sound partition lands")
    ok(numbers_in(h) == list(range(150)) + list(range(1000, 1200)) + [5000],
       "the damaged partition ends at the damage; the other one goes on, new events too", numbers_in(h))
    time.sleep(0.3)
    talk = run.talk()
    ok(talk.count("damage found") == 1 and talk.count("ends at damage") == 1, "logging says it once", talk)
    code = run.stop()
    ok(code == 5, "told to stop, it ends with 5", code)

# A run until idle
h = home("idle")
lock = Locked(h)
with Running("--until-idle", "--summary-file", "summary.json", cwd=h) as run:
    run.until(lambda: run.status(), "the node answers")
    spoil(h, 1152)
    lock.release()
    code = run.process.wait(timeout=60)
    ok(code == 5, "run --until-idle ends with 5 where a pipeline cannot go on because of damage", run.talk())
with open(os.path.join(h, "summary.json")) as f:
    summary = json.load(f)
p = summary["pipelines"]["p"]
ok([(d["topic"], d["partition"], d["offset"]) for d in summary["damage"]] == [("orders", 1, 150)], "the summary names the damage", summary)
ok(p["delivered"] == 350 and p["in_flight"] == 50 and p["accepted"] == 400, "and what could not be read is in flight", p)

done()
