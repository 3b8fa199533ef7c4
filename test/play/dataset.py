"""dataset.py - a file of real commits, whole: the rows and sums that must come out, killed on the way or not; a rerun adds nothing.

    python3 test/play/dataset.py FILE [--kills N] [--partitions N] [--seed N]

FILE has one commit a line: id, repo, author, time, committed, files, added, removed. What must come out is counted from
the file itself by Python. Not part of make test: it is for a large file and an empty machine.
"""
import argparse
import collections
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time

from scenario import Broken, Place, balance, kill, must, tail

FILE = """\
node: {{data: ./data, memory: 64MiB}}
topics: {{commits: {{partitions: {partitions}}}}}
pipelines:
  commits:
    source:
      file: {{path: {path}}}
      key: event.author
      id: event.id
      time: event.committed
{stages}    sink:
      sqlite: {{path: out.db, table: commits, columns: [id, repo, author, files, added, removed]}}
    guarantee: exactly_once
"""


class Truth:
    """The file, read by somebody else."""

    def __init__(self, path):
        self.path = os.path.abspath(path)
        with open(path, encoding="utf-8") as f:
            self.events = [json.loads(line) for line in f if line.strip()]

    def wanted(self, with_filter):
        return [e for e in self.events if e["files"] > 0 or not with_filter]


def check(place, truth, with_filter, figures):
    wanted = truth.wanted(with_filter)
    rows = place.query("SELECT id, repo, author, files, added, removed FROM commits ORDER BY rowid")
    must(len(rows) == len(wanted), f"{len(rows):,} rows, and should be {len(wanted):,}")
    twice = [i for i, count in collections.Counter(row[0] for row in rows).items() if count > 1]
    known = [i for i, count in collections.Counter(e["id"] for e in wanted).items() if count > 1]
    must(len(twice) == len(known), f"{len(twice)} ids are there twice, for one {twice[:1]}; in the file {len(known)}")
    by_author, wanted_by_author = collections.defaultdict(list), collections.defaultdict(list)
    for row in rows:
        by_author[row[2]].append(row)
    for e in wanted:
        wanted_by_author[e["author"]].append(tuple(e.get(k) for k in ("id", "repo", "author", "files", "added", "removed")))
    for author, theirs in wanted_by_author.items():
        must(by_author[author] == theirs, f"the rows of author {author} are not theirs, or not in the order of the file")
    added = sum(row[4] for row in rows)
    must(added == sum(e["added"] for e in wanted), f"the sum of added is {added:,}")
    must(balance(figures) == 0 and figures["in_flight"] == 0, f"the balance is not zero: {figures}")
    must(figures["accepted"] == len(truth.events) and figures["delivered"] == len(wanted)
         and figures["dead_lettered"] == 0, f"the summary says {figures}")
    return f"{len(rows):,} rows, {added:,} added, {len(wanted_by_author):,} authors in order"


def run(truth, with_filter, kills, options, chance):
    """In a folder of its own, kept where it failed."""
    place = Place(tempfile.mkdtemp(prefix="neap-dataset-"))
    stages = "    stages: [filter: event.files > 0]\n" if with_filter else ""
    place.write("neap.yaml", FILE.format(partitions=options.partitions, path=truth.path, stages=stages))
    name = f"{'with' if with_filter else 'without'} filter, {kills} kills"
    try:
        begin = time.monotonic()
        killed = live_and_die(place, kills, chance)
        figures = place.settle()["commits"]
        took = time.monotonic() - begin
        text = check(place, truth, with_filter, figures)
        again = place.settle()["commits"]
        must(again["run"]["accepted"] == 0 and again["run"]["delivered"] == 0, f"a rerun did something: {again['run']}")
        check(place, truth, with_filter, again)
    except Broken as broken:
        print(f"not ok - {name}: {broken}\n  replay: python3 test/play/dataset.py {options.file} --kills {options.kills} "
              f"--partitions {options.partitions} --seed {options.seed}\n  folder: {place.folder}")
        return False
    shutil.rmtree(place.folder)
    if killed < kills:
        print(f"not ok - {name}: the file was used up after {killed} kills")
        return False
    print(f"ok - {name}: {text}; a rerun adds nothing ({took:.1f} s)", flush=True)
    return True


def live_and_die(place, kills, chance):
    """All kills within one way through the file: a life gets only so long that they fit in."""
    killed = 0
    while killed < kills:
        process = place.start("run", "--until-idle", "--log", "error")
        deadline = time.monotonic() + chance.choice((0.010, 0.030, 0.060)) * chance.uniform(0, 1)
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.0001)
        kill(process)
        if process.returncode == 0:
            break
        with open(place.path("talk"), encoding="utf-8", errors="replace") as talk:
            must(process.returncode == -signal.SIGKILL, f"it ended with {process.returncode}: {tail(talk.read())}")
        killed += 1
    return killed


def main():
    options = argparse.ArgumentParser(description="checks a whole file of commits")
    options.add_argument("file")
    options.add_argument("--kills", type=int, default=100)
    options.add_argument("--partitions", type=int, default=4)
    options.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 31))
    options = options.parse_args()
    truth, chance = Truth(options.file), random.Random(options.seed)
    print(f"{len(truth.events):,} commits, {len(truth.wanted(True)):,} with files > 0")
    good = [run(truth, with_filter, kills, options, chance)
            for kills in sorted({0, options.kills}) for with_filter in (True, False)]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
