#!/usr/bin/env python3
"""A topic's settings and partitions, changed while it is there."""
import subprocess

from lib import NEAP, SCRATCH, Running, done, neap, ok, pipeline, write

D = ("--data", "data")
KEPT = {"retention": "limits", "retention_ms": 7 * 86400000, "retention_size": -1, "cleanup": "delete", "interval_ms": 0}


def settings(topic):
    line = next(x for x in neap("topic", "list", "--json", *D).lines() if x["topic"] == topic)
    return {k: line[k] for k in KEPT}


neap("topic", "create", "t", *D)
r = neap("topic", "alter", "t", "--retention", "6d", *D)
ok(r.code == 2 and "--yes" in r.err and settings("t") == KEPT, "to keep less than the seven days of a new topic may destroy: on a pipe --yes is asked for", r)
r = neap("topic", "alter", "t", "--retention", "7d", "--retention-size", "10GiB", "--durability", "50ms", "--yes", *D)
ok(r.code == 0 and r.out == "topic t: 1 partition, kept 7d, at most 10.0 GiB a partition, synced within 50ms\n", "what is asked is set, and told", r)
ok(settings("t") == {"retention": "limits", "retention_ms": 7 * 86400000, "retention_size": 10 << 30, "cleanup": "delete", "interval_ms": 50},
   "the listing has it, after the directory was closed and opened", settings("t"))
r = neap("topic", "alter", "t", "--cleanup", "compact", "--durability", "fsync", "--yes", *D)
ok(r.code == 0 and settings("t")["retention_ms"] == 7 * 86400000 and settings("t")["cleanup"] == "compact" and settings("t")["interval_ms"] == 0,
   "what is not asked stays", settings("t"))
r = neap("topic", "alter", "t", "--retention", "forever", "--retention-size", "any", "--cleanup", "delete", *D)
ok(r.code == 0 and settings("t") == dict(KEPT, retention_ms=-1), "to keep more needs no --yes", r)
r = neap("topic", "alter", "t", "--retention", "done", "--yes", *D)
ok(r.code == 0 and settings("t")["retention"] == "done" and "kept until processed" in r.out, "--retention done", r)

r = neap("topic", "alter", "t", "--partitions", "4", "--json", *D)
ok(r.code == 0 and r.lines()[0]["partitions"] == 4 and len(neap("topic", "describe", "t", "--json", *D).lines()) == 4, "an empty topic is given more partitions", r)
r = neap("topic", "alter", "t", "--partitions", "3", *D)
ok(r.code == 1 and "no way to take one away" in r.err, "fewer are refused, and why", r)
neap("send", "t", "a", "b", "c", *D)
r = neap("topic", "alter", "t", "--partitions", "5", *D)
ok(r.code == 0, "events without a key are in no order between partitions: more are fine", r)
neap("send", "t", "d", "--key", "anna", *D)
r = neap("topic", "alter", "t", "--partitions", "6", *D)
ok(r.code == 1 and "holds events with keys" in r.err and "could pass" in r.err and len(neap("topic", "describe", "t", "--json", *D).lines()) == 5,
   "with a key in it the order of that key would break: refused, with the reason and the place", r)
r = neap("topic", "alter", "t", "--partitions", "20000", *D)
ok(r.code == 1 and "10000" in r.err, "more than there may be", r)
for wrong in ((), ("--retention", "long"), ("--retention-size", "10"), ("--durability", "never"), ("--cleanup", "wipe"), ("--partitions", "x")):
    r = neap("topic", "alter", "t", *wrong, *D)
    if r.code != 2 or r.out:
        ok(False, f"wrong use is 2: {wrong}", r)
ok(neap("topic", "alter", "nothing", "--durability", "fsync", *D).code == 1, "no such topic: 1")

# What a pipeline file may not say, nobody may.
for flags, says in ((("--retention", "0.1ms"), "--retention: '0.1ms' is not a time"),
                    (("--retention", "0x10s"), "--retention: '0x10s' is not a time"),
                    (("--retention", "999ms"), "--retention: '999ms' is not between 1s and 36500d"),
                    (("--retention", "36501d"), "--retention: '36501d' is not between 1s and 36500d"),
                    (("--retention-size", "1KiB"), "--retention-size: '1KiB' is not between 1MiB and 1024TiB"),
                    (("--retention-size", "1.5GiB"), "--retention-size: '1.5GiB' is not a size"),
                    (("--durability", "49d"), "--durability: '49d' is not between 1ms and 1m"),
                    (("--durability", "100d"), "--durability: '100d' is not between 1ms and 1m")):
    r = neap("topic", "alter", "t", *flags, "--yes", *D)
    if r.code != 2 or says not in r.err:
        ok(False, f"refused with its flag and the limits: {flags}", r)
r = neap("topic", "alter", "t", "--retention", "done", "--cleanup", "compact", "--yes", *D)
ok(r.code == 1 and "contradict each other" in r.err, "limits are those of the pipeline file; and done contradicts compact", r)

neap("topic", "create", "busy", *D)
neap("topic", "create", "free", *D)
write("neap.yaml", pipeline(source="topic: busy", sink="topic: made"))
with Running() as run:
    run.until(run.status, "an answer")
    for topic in ("busy", "made", "p.dead"):
        r = neap("topic", "alter", topic, "--partitions", "2")
        ok(r.code == 1 and "pipeline 'p' works with" in r.err, f"no more partitions under a running pipeline: {topic}", r)
    r = neap("topic", "alter", "busy", "--durability", "20ms", "--json")
    ok(r.code == 0 and r.lines()[0]["interval_ms"] == 20, "its settings may change while it runs", r)
    r = neap("topic", "alter", "free", "--partitions", "2")
    ok(r.code == 0, "and a topic that it has nothing to do with may grow", r)
    run.stop()

write("other.yaml", "topics: {a: {retention: 1s}, c: {retention: 1s}}\n"
      + pipeline(source="topic: free", sink="topic: made").replace("  p:", "  q:"))

# While it is looked through for keys, events with keys come in: whatever comes of it, each key stays in its partition.
neap("topic", "create", "r", "--partitions", "2", *D)
line = b"x" * 1000 + b"\n"
for _ in range(6):
    neap("send", "r", "--partition", "1", *D, stdin=line * 12000)
places = {}
with Running("other.yaml") as run:
    run.until(run.status, "an answer")
    growing = subprocess.Popen([NEAP, "topic", "alter", "r", "--partitions", "5", "--yes"], cwd=SCRATCH, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while growing.poll() is None:
        for key in ("k3", "k4", "k5"):
            r = neap("send", "r", "x", "--key", key)
            places.setdefault(key, set()).add(r.out.split(":")[0])
    for key in ("k3", "k4", "k5"):
        r = neap("send", "r", "x", "--key", key)
        places.setdefault(key, set()).add(r.out.split(":")[0])
    said = growing.communicate()
    ok(all(len(where) == 1 for where in places.values()), "a key that comes in during an alteration is in one partition", (places, said))
    ok(growing.returncode == 0 or b"holds events with keys" in said[1], "and the alteration is refused for it, unless it was first", said)
    run.stop()

write("held.yaml", "topics: {a: {retention: 1s}}\n" + pipeline(source="topic: a", sink="file: {path: out.ndjson}"))
neap("run", "held.yaml", "--until-idle")
r = neap("topic", "alter", "a", "--partitions", "4", *D)
ok(r.code == 0, "a topic that a pipeline reads grows while it does not run", r)
for flags, says in ((("--cleanup", "compact"), "keep only the last one of each key"), (("--retention", "done"), "free them unseen")):
    r = neap("topic", "alter", "p.dead", *flags, "--yes", *D)
    ok(r.code == 1 and says in r.err and flags[0] in r.err, f"dead letters are not thrown away unseen: {flags}", r)
write("chosen.yaml", pipeline(source="topic: made", sink="file: {path: made.ndjson}", more="    dead_letter: rejected\n").replace("  p:", "  chosen:"))
neap("run", "chosen.yaml", "--until-idle")
listed = [x["topic"] for x in neap("dlq", "list", "--json", *D).lines()]
r = neap("topic", "alter", "rejected", "--retention", "done", "--yes", *D)
c = neap("topic", "alter", "rejected", "--cleanup", "compact", "--yes", *D)
t = neap("topic", "alter", "rejected", "--retention", "30d", "--yes", *D)
ok("rejected" in listed and r.code == 1 and "free them unseen" in r.err and c.code == 1 and "keep only the last" in c.err and t.code == 0,
   "dead letters of a name of one's own are known as such before there are any", (listed, r, c, t))
r = neap("group", "describe", "p", "--json", *D)
ok([x["partition"] for x in r.lines() if x["topic"] == "a"] == [0, 1, 2, 3], "the pipeline holds the new partitions already", r)
for partition in ("0", "2"):
    neap("send", "a", "--partition", partition, *D, stdin=b'{"n":1}\n' * 40)
with Running("other.yaml") as run:
    run.until(run.status, "an answer")
    for event in ("1", "2"):  # what came later, and nobody needs, goes
        neap("send", "c", event)
        run.until(lambda: neap("topic", "describe", "c", "--json").lines()[0]["start"] == int(event), "retention")
    starts = [x["start"] for x in neap("topic", "describe", "a", "--json").lines()]
    ok(starts == [0, 0, 0, 0], "and nothing of what it has not processed is freed", starts)
    run.stop()
neap("run", "held.yaml", "--until-idle")
with open("out.ndjson", encoding="utf-8") as f:
    lines = f.read().count("\n")
ok(lines == 80, "it processes all of it when it runs again", lines)
done()
