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

# The next start: refused, looked at, settled
r = neap("run", "--until-idle", cwd=h)
ok(r.code == 5 and "nothing was changed" in r.err, "a start whose journal is damaged is refused with 5", r)
r = neap("doctor", "data", "--json", cwd=h)
losses = sorted({f["loss"] for f in r.lines() if "loss" in f})
ranges = [(f["topic"], f["partition"], f["first"], f["last"]) for f in r.lines() if "topic" in f]
ok(r.code == 5 and ranges == [("orders", 1, 150, 154)], "doctor names the offsets that are concerned, and ends with 5", r)
r = neap("doctor", "data", cwd=h)
ok(r.code == 5 and "neap doctor data --repair --yes " in r.out and all(l in r.out for l in losses), "and the command that gives them up", r)
r = neap("doctor", "data", "--repair", "--yes", "orders/1@149..154", cwd=h)
ok(r.code == 1 and "orders/1@149..154" in r.err, "offsets that read fine are not declared lost", r)
r = neap("doctor", "data", "--repair", "--yes", "orders/1@150..154", cwd=h)
ok(r.code == 1 and "named as well" in r.err, "nor half of what keeps the log from opening", r)
r = neap("doctor", "data", "--repair", *losses, cwd=h)
ok(r.code == 0 and "would be declared lost orders/1@150..154" in r.out, "without --yes it only says what it would do", r)
ok(neap("run", "--until-idle", cwd=h).code == 5, "and has changed nothing")
r = neap("doctor", "data", "--repair", "--yes", *losses, cwd=h)
ok(r.code == 0 and "declared lost orders/1@150..154" in r.out, "with --yes it is done", r)
r = neap("doctor", "data", cwd=h)
ok(r.code == 0 and "declared lost" in r.out, "and doctor finds nothing more", r)
r = neap("run", "--until-idle", "--summary", "json", cwd=h)
p = json.loads(r.out.splitlines()[-1])["pipelines"]["p"]
ok(r.code == 0 and numbers_in(h) == list(range(200)) + list(range(1000, 1150)) + list(range(1155, 1200)), "all else lands", (r, numbers_in(h)))
ok((p["accepted"], p["delivered"], p["dead_lettered"], p["in_flight"]) == (400, 395, 5, 0), "each lost event counts as a dead letter", p)
r = neap("dlq", "show", "p.dead", "--data", "data", "--json", cwd=h)
letters = r.lines()
ok(len(letters) == 5 and all(x["reason"] == "lost" for x in letters), "with the reason 'lost', its partition and its offset", letters)
r = neap("status", "--data", "data", "--json", cwd=h)
ok(r.lines()[0]["lost"] == 5, "status counts what was declared lost", r)

# A held directory
with Running(cwd=h) as run:
    run.until(lambda: run.status(), "the node answers")
    r = neap("doctor", "data", cwd=h)
    ok(r.code == 0, "doctor looks at a running node", r)
    spoil(h, 1190)
    r = neap("doctor", "data", "--json", cwd=h)
    losses = sorted({f["loss"] for f in r.lines() if "loss" in f})
    r = neap("doctor", "data", "--repair", "--yes", *losses, cwd=h)
    ok(r.code == 4 and str(run.process.pid) in r.err, "nothing is declared lost under a running node", r)
    run.stop()

done()
