#!/usr/bin/env python3
"""The life of a followed file: it grows, is renamed, cut, replaced and comes late, and each line is read once.

    test/play/sources.py [SCENARIO...]
"""
import json
import os
import random
import time

from scenario import RUN_S, kill, must, scenarios, tail, wait_until

FILE = """\
node: {{data: ./data, memory: 64MiB}}
pipelines:
  p:
    source: {{file: {{path: in.ndjson, follow: {follow}}}}}
    sink: {{sqlite: {{path: out.db, table: t, columns: [n]}}}}
"""


def config(place, follow=True):
    place.write("neap.yaml", FILE.format(follow="true" if follow else "false"))


def lines(first, last, pad=0):
    return "".join(json.dumps({"n": n, **({"pad": "p" * pad} if pad else {})}) + "\n" for n in range(first, last))


def rows(place):
    return [n for (n,) in place.query("SELECT n FROM t ORDER BY rowid")]


def rows_are(place, wanted, when):
    there = rows(place)
    extra, missing = [n for n in there if n not in wanted][:3], [n for n in wanted if n not in there][:3]
    must(there == wanted, f"{when}: {len(there)} rows, and should be {len(wanted)}; missing {missing}, not expected {extra}, "
                          f"{len(there) - len(set(there))} twice")


class Running:
    """neap run beside the scenario."""

    def __init__(self, place):
        self.place = place

    def __enter__(self):
        self.process = self.place.start("run", "--log", "warn")
        return self

    def __exit__(self, *_):
        kill(self.process)

    def has(self, count, text):
        def there():
            must(self.process.poll() is None, f"it ended by itself with {self.process.returncode}")
            done = self.place.neap("status", "--json")
            try:
                lines = [json.loads(line) for line in done.out.splitlines()]
                return next(x for x in lines if "pipeline" in x and "delivered" in x)["delivered"] >= count
            except (StopIteration, ValueError):
                return False
        wait_until(there, RUN_S, text)

    def leave(self):
        self.process.terminate()
        must(self.process.wait(timeout=RUN_S) == 0, f"it left with {self.process.returncode}")


def talk(place):
    with open(place.path("talk"), encoding="utf-8", errors="replace") as f:
        return f.read()


def rotated_at_work(place):
    """Renamed under its reader, who still has some lines to read in it, and whose writer still has some to write."""
    config(place)
    place.write("in.ndjson", lines(0, 100))
    with Running(place) as running:
        running.has(100, "the first file is read")
        with open(place.path("in.ndjson"), "a", encoding="utf-8") as writer:
            os.rename(place.path("in.ndjson"), place.path("in.ndjson.1"))
            writer.write(lines(100, 150))
            writer.flush()
            place.write("in.ndjson", lines(150, 300))
            running.has(300, "the renamed file is finished and the new one read")
        running.leave()
    place.settle()
    rows_are(place, list(range(300)), "after a rotation")


def rotated_at_rest(place):
    config(place)
    place.write("in.ndjson", lines(0, 100))
    place.settle()
    place.append("in.ndjson", lines(100, 150))
    os.rename(place.path("in.ndjson"), place.path("in.ndjson.1"))
    place.write("in.ndjson", lines(150, 300))
    with Running(place) as running:
        running.has(300, "both files are read")
        running.leave()
    rows_are(place, list(range(300)), "after a rotation while nobody looked")


def rotated_and_killed(place):
    chance, last = random.Random(11), 0
    config(place)
    place.write("in.ndjson", "")
    for life in range(40):
        if life % 3 == 2:                                          # one rotation between two lives, at any moment of one
            os.rename(place.path("in.ndjson"), place.path(f"in.ndjson.{life}"))
            place.write("in.ndjson", "")
        count = chance.randrange(400)
        with Running(place) as running:
            half = chance.randrange(count + 1)
            place.append("in.ndjson", lines(last, last + half, pad=50))
            time.sleep(chance.uniform(0, 0.08))
            place.append("in.ndjson", lines(last + half, last + count, pad=50))
            time.sleep(chance.uniform(0, 0.08))
            must(running.process.poll() is None, f"it ended by itself with {running.process.returncode}")
            if life % 3 == 1:                                      # the one before a rotation has caught up with the file before
                running.has(1, "it runs")
                wait_for_file(place)
        last += count
    with Running(place) as running:
        running.has(last, "all files are read")
        running.leave()
    rows_are(place, list(range(last)), "after 13 rotations and 40 kills")


def wait_for_file(place):
    """Until the running node has read what the path names: only one file may wait behind another."""
    with open(place.path("in.ndjson"), "rb") as f:
        newest = f.read().splitlines()
    if newest:
        n = json.loads(newest[-1])["n"]
        wait_until(lambda: place.query(f"SELECT count(*) FROM t WHERE n = {n}")[0][0] == 1, RUN_S, "the newest line arrives")


def cut_at_work(place):
    config(place)
    place.write("in.ndjson", lines(0, 200))
    with Running(place) as running:
        running.has(200, "the first content is read")
        os.truncate(place.path("in.ndjson"), 0)
        time.sleep(0.6)                                            # two looks at it; what is as long as before looks unchanged
        place.append("in.ndjson", lines(1000, 1050))
        running.has(250, "the new content is read")
        running.leave()
    must("another one now" in talk(place), f"it was not said: {tail(talk(place))}")
    rows_are(place, list(range(200)) + list(range(1000, 1050)), "after a truncation")


def cut_at_rest(place):
    config(place)
    place.write("in.ndjson", lines(0, 200))
    place.settle()
    os.truncate(place.path("in.ndjson"), 0)
    place.append("in.ndjson", lines(1000, 1300))                   # longer than before: its first bytes tell
    figures = place.neap("run", "--until-idle")
    must(figures.code == 0 and "another one now" in figures.err, f"it was not said: {tail(figures.err)}")
    rows_are(place, list(range(200)) + list(range(1000, 1300)), "after a truncation while nobody looked")


def late(place):
    config(place)
    with Running(place) as running:
        wait_until(lambda: "in.ndjson" in talk(place), RUN_S, "a file that is not there is said")
        must(running.process.poll() is None, "a followed file that is not there ended it")
        place.write("in.ndjson", lines(0, 50))
        running.has(50, "it is read when it comes")
        running.leave()
    rows_are(place, list(range(50)), "a late file")


def half_a_line_waits(place):
    """Following, a line is taken when it has its end; otherwise at the end of the file."""
    config(place)
    place.write("in.ndjson", lines(0, 10) + '{"n":1')
    must(place.settle()["p"]["accepted"] == 10, "half a line was taken")
    place.append("in.ndjson", '0}\n{"n":11}')
    must(place.settle()["p"]["accepted"] == 11, "half a line was taken, or its other half not")
    config(place, follow=False)
    must(place.settle()["p"]["accepted"] == 12, "a last line without its end was not taken")
    place.append("in.ndjson", "\n" + lines(12, 15))
    figures = place.settle()["p"]
    must(figures["accepted"] == 15 and figures["dead_lettered"] == 0, f"its end was a line of its own: {figures}")
    rows_are(place, list(range(15)), "half lines")


def memory_is_bounded(place):
    """A large file in work: what the process ever held is in `memory` and 16 MiB."""
    config(place)
    chance = random.Random(5)
    with open(place.path("in.ndjson"), "w", encoding="utf-8") as f:
        for n in range(60000):
            f.write(json.dumps({"n": n, "pad": "p" * chance.choice((10, 500, 1000)), "more": list(range(chance.randrange(60)))}))
            f.write("\n")
    with Running(place) as running:
        running.has(60000, "a large file is read")
        with open(f"/proc/{running.process.pid}/status", encoding="utf-8") as f:
            most = int(next(line for line in f if line.startswith("VmHWM")).split()[1])
        running.leave()
    must(most < (64 + 16) << 10, f"it held {most >> 10} MiB")


TABLE = [
    ("a file renamed under its reader is finished, then the new one is read", rotated_at_work),
    ("a file renamed while nobody looks is finished, then the new one is read", rotated_at_rest),
    ("13 rotations and 40 kills: each line once, in order", rotated_and_killed),
    ("a file cut while it is read begins anew, and it is said", cut_at_work),
    ("a file cut and written again while nobody looks begins anew, and it is said", cut_at_rest),
    ("a followed file that is not there yet is waited for, and it is said", late),
    ("half a line waits for its other half", half_a_line_waits),
    ("a large file in work stays within memory and 16 MiB", memory_is_bounded),
]

if __name__ == "__main__":
    scenarios(TABLE, "sources.py")
