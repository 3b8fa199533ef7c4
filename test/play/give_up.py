#!/usr/bin/env python3
"""What was declared lost is told as such, and is no finding any more; what was not stays one. An archive that is gone is given up, too."""
import os
import struct

from lib import Running, done, folder, neap, ok, write

FILE = """node: {disk: 64MiB}
topics:
  latest: {cleanup: compact, partitions: 2}
pipelines:
  in:
    source: {file: in.ndjson, key: event.k}
    sink: {topic: latest}
"""
COUNT = 40000


def files(home, part, ending):
    path = os.path.join(home, "data", part)
    return [os.path.join(path, name) for name in sorted(os.listdir(path)) if len(name) == 20 and name.endswith(ending)]


def forsaken(home, topic_id):
    """An archive of the topic whose journal files have all been used again since: nobody else has what is in it."""
    there = {int(os.path.basename(path)[:16], 16) for path in files(home, "journal", ".npj")}
    for path in files(home, "archive", ".npa"):
        try:
            with open(path, "rb") as f:
                header = f.read(128)
        except FileNotFoundError:
            continue        # joined with others meanwhile
        first, last = struct.unpack_from("<QQ", header, 40) if len(header) == 128 else (0, 0)
        if first > 0 and struct.unpack_from("<I", header, 56)[0] == topic_id and not any(first <= sequence <= last for sequence in there):
            return path
    return None


def losses(home):
    found = [f for f in neap("doctor", "data", "--json", cwd=home).lines() if "loss" in f]
    return [f["loss"] for f in found if "topic" not in f], [f["loss"] for f in found if "topic" in f]


def offsets(words):
    """As (partition, offset) of the words that doctor names them by."""
    all_of_them = set()
    for word in words:
        where, _, span = word.partition("@")
        first, _, last = span.partition("..")
        all_of_them |= {(int(where.split("/")[1]), n) for n in range(int(first), int(last or first) + 1)}
    return all_of_them


def readable(home):
    r = neap("tail", "latest", "--data", "data", "--json", "--limit", "1000000", cwd=home)
    return r.code, {(e["partition"], e["offset"]): (e["key"], e["value"]["n"]) for e in r.lines()}


def is_rest(before, after, lost):
    """Nothing else is missing but what compaction may take: of each key the newest is there, unless it was lost."""
    newest = {key: place for place, (key, n) in sorted(before.items(), key=lambda event: event[1][1])}
    kept = {place for place in newest.values() if place not in lost}
    return all(before.get(place) == event and place not in lost for place, event in after.items()) and kept <= set(after)


def spoil(home, number):
    """Flips a bit in the event with that number."""
    for path in files(home, "journal", ".npj"):
        with open(path, "r+b") as f:
            at = f.read().find(b'{"n":%d,' % number)
            if at >= 0:
                f.seek(at + 20)
                old = f.read(1)
                f.seek(at + 20)
                f.write(bytes([old[0] ^ 4]))
                return
    raise AssertionError(f"event {number} is in no file")


h = folder("give-up")
write("neap.yaml", FILE, cwd=h)
write("in.ndjson", "".join(f'{{"k":"{n % 5000 if n % 3 else n % 100}","n":{n},"pad":"{"x" * 600}"}}\n' for n in range(COUNT)), cwd=h)
with Running(cwd=h) as run:
    run.until(lambda: run.status(), "the node answers")
    latest = next(x["id"] for x in neap("topic", "list", "--json", cwd=h).lines() if x["topic"] == "latest")
    run.until(lambda: forsaken(h, latest), "an archive stands for what lay in files that were used again")
    run.until(lambda: any(x.get("pipeline") == "in" and x["delivered"] == COUNT for x in run.status()), "all has come in")
    run.stop()
code, before = readable(h)
ok(neap("doctor", "data", cwd=h).code == 0 and code == 0 and len(before) > 5000, "the log is sound", (code, len(before)))

# An archive of a compacted topic is gone
gone = forsaken(h, latest)
os.unlink(gone)
r = neap("doctor", "data", cwd=h)
placed, named = losses(h)
ok(r.code == 5 and os.path.basename(gone) + ": missing" in r.out and not placed and {w.split("/")[0] for w in named} == {"latest"},
   "doctor names a missing archive of a compacted topic, and the offsets that no other file has", r)
r = neap("doctor", "data", "--repair", "--yes", *named, cwd=h)
ok(r.code == 0 and all(f"declared lost {w}" in r.out for w in named), "they can be given up", r)
for time in ("", " still, after a start"):
    r = neap("doctor", "data", cwd=h)
    ok(r.code == 0 and "nothing is damaged" in r.out and f"{len(offsets(named))} events were declared lost" in r.out,
       "then doctor finds nothing, and says what was declared lost" + time, r)
    code, after = readable(h)
    ok(code == 0 and is_rest(before, after, offsets(named)) and set(before) & offsets(named),
       "readers pass over just that" + time, (code, len(before), len(after)))
    r = neap("run", "--until-idle", cwd=h)
    ok(r.code == 0, "the log opens, and goes on" + time, r)
r = neap("status", "--data", "data", "--json", cwd=h)
ok(r.lines()[0]["lost"] == len(offsets(named)), "status counts it", r)

# Two places of the journal are damaged; the offsets of one of them are named, and its bytes are not
h = folder("give-up-bytes")
write("neap.yaml", FILE, cwd=h)
write("in.ndjson", "", cwd=h)
assert neap("run", "--until-idle", cwd=h).code == 0         # a disk so small that files are, too
assert neap("topic", "create", "orders", "--data", "data", cwd=h).code == 0
r = neap("send", "orders", "--data", "data", cwd=h, stdin="".join(f'{{"n":{n},"pad":"{"x" * 1000}"}}\n' for n in range(12000)).encode())
assert r.code == 0, r
for n in (1000, 2000):
    spoil(h, n)
placed, named = losses(h)
ok(len(placed) == 2 and len(named) == 2, "two batches are damaged, in a file that no start reads", neap("doctor", "data", cwd=h))
r = neap("doctor", "data", "--repair", "--yes", named[0], cwd=h)
ok(r.code == 0, "the offsets of one of them are declared lost, and nothing else", r)
r = neap("doctor", "data", cwd=h)
ok(r.code == 5 and losses(h) == (placed[1:], named[1:]), "what was not declared stays a finding, and nothing else", r)
r = neap("doctor", "data", "--repair", "--yes", named[1], cwd=h)
for time in ("", " still, after a start"):
    r = neap("doctor", "data", cwd=h)
    ok(r.code == 0 and "2 damaged places: all that was in them was declared lost" in r.out and "nothing is damaged" in r.out,
       "then the log is as good as sound: the bytes are known, and counted" + time, r)
    r = neap("tail", "orders", "--data", "data", "--json", "--limit", "1000000", cwd=h)
    there = {e["offset"] for e in r.lines() if e["offset"] < 12000}
    ok(r.code == 0 and there == set(range(12000)) - {n for _, n in offsets(named)}, "and all else is served" + time, r.code)
    assert neap("topic", "append", "orders", "--data", "data", cwd=h, stdin=b'{"n":0}\n').code == 0
    os.unlink(files(h, "index", ".npi")[0])       # made anew, around the damage
done()
