#!/usr/bin/env python3
"""After a power cut, at whatever moment: all that was acknowledged is there, byte for byte, and nothing twice.

    test/play/cuts.py [--cuts N] [--interval-cuts N] [--pipeline-cuts N] [--seed N]

A real ext4 on a loop device loses its power (its own journal unflushed), the process is killed, the file system mounted
again. Two kinds of life end so:

- neap-power (test/power), a producer inside which the log runs: it says on a pipe what it was told durable, and the next
  life compares all that is there with it. Files of 64 to 256 KiB, so that they switch, are snapshotted and used again.
- neap run, a pipeline from a file beside the disk into SQLite on it (with a write-ahead log or a rollback journal), while neap topic append puts lines into a topic and
  says which are durable. After some cuts the books are compared.

Where a file system cannot be mounted nothing is tried, and that is said. The moments depend on the machine; everything else
on the seed. Without arguments a short run, as in make test.
"""
import argparse
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time

from disk import Disk
from scenario import NEAP, Book, Broken, Place, Skip, book_file, folder_of, keep, kill, must, say, tail

POWER = os.path.join(os.path.dirname(NEAP), "test", "power", "neap-power")
SESSION_CUTS = 100            # of a producer's lives on one disk
PIPELINE_SESSION_CUTS = 25    # of a pipeline's
DISK_SIZE = 160 << 20
SYNC_NS = 400_000_000         # a sync begun within the interval takes no longer, on however busy a machine
WRITERS = 6
STOPPED = 6                   # the exit code of who noticed the cut before it was killed


def odd_disk(folder, chance):
    """The ways in which a file system orders what it writes are not all alike."""
    return Disk(folder, DISK_SIZE, options=chance.choice(("data=ordered", "data=ordered", "data=writeback")),
                make=("-b", chance.choice(("1024", "4096"))))


# ---- a producer with the log inside --------------------------------------------------------------------------------------

class Told:
    """What a producer's lives have said. With an interval what was acknowledged may be lost for a while; see durable."""

    def __init__(self, interval_ms=0):
        self.interval_ms, self.units = interval_ms, 0
        self.acked, self.durable = [0] * WRITERS, [0] * WRITERS
        self.made = self.asked = self.dropped = self.alter_asked = self.altered = self.opened = 0

    def take(self, text, cut_ns=None):
        """cut_ns: when the power went, on the clock of the lines; None: it did not."""
        safe_ns = float("inf") if cut_ns is None or not self.interval_ms else cut_ns - self.interval_ms * 1e6 - SYNC_NS
        for line in text.splitlines():
            word, *numbers = line.split()
            if word == "broken:":
                raise Broken(line)
            if word == "unit":
                writer, seq, then = map(int, numbers)
                self.units += 1
                self.acked[writer] = seq
                if then <= safe_ns:
                    self.durable[writer] = seq
            elif word == "stands":
                self.acked[int(numbers[0])] = self.durable[int(numbers[0])] = int(numbers[1])
            elif word == "opened":
                self.opened += 1
            else:
                name = {"made": "made", "drop": "asked", "dropped": "dropped", "alter": "alter_asked", "altered": "altered"}[word]
                setattr(self, name, int(numbers[0]))

    def words(self):
        return [str(self.interval_ms), ",".join(map(str, self.durable)), ",".join(map(str, self.acked)),
                *map(str, (self.made, self.asked, self.dropped, self.alter_asked, self.altered))]


def read_all(pipe, parts):
    while part := os.read(pipe, 1 << 20):
        parts.append(part)


def producer_life(disk, told, seed, wait_s, cut=True):
    """Ends by a cut after that time, or by a kill alone."""
    process = subprocess.Popen([POWER, disk.path("data"), str(seed), *told.words()], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    parts, cut_ns = [], None
    reader = threading.Thread(target=read_all, args=(process.stdout.fileno(), parts))
    reader.start()
    try:
        deadline = time.monotonic() + wait_s
        while time.monotonic() < deadline and process.poll() is None:
            time.sleep(min(0.002, max(0, deadline - time.monotonic())))
        if cut:
            cut_ns = time.monotonic_ns()
            disk.cut()
            time.sleep(0.0005)                # whoever now believes that something is durable says so
    finally:
        kill(process)
        reader.join()
    words = process.stderr.read().decode(errors="replace")
    told.take(b"".join(parts).decode(), cut_ns)
    must(process.returncode in (-signal.SIGKILL, STOPPED), f"it ended with {process.returncode}: {tail(words)}")


def producer_session(chance, cut_count, interval_ms=0):
    """Answers how many units were acknowledged, and how many lives came to work."""
    seed = chance.randrange(1 << 31)
    folder, told = folder_of("power"), Told(interval_ms=interval_ms)
    try:
        with odd_disk(folder, chance) as disk:
            try:
                for _ in range(cut_count):
                    wait_s = chance.choice((0.004, 0.012, 0.04)) * 2 * chance.random()
                    if interval_ms:
                        producer_life(disk, told, seed, wait_s, cut=False)
                        wait_s += (interval_ms + SYNC_NS / 1e6) / 1000 * 2 * chance.random()
                    producer_life(disk, told, seed, wait_s)
                    disk.come_back()
            except Broken as broken:
                disk.come_back()
                disk.copy(os.path.join(folder, "left"))
                raise Broken(f"{broken} (told: {' '.join(told.words())}; neap-power's seed: {seed})") from None
    except Broken as broken:
        raise Broken(f"{broken}; what is left: {keep(folder, 'power')}") from None
    shutil.rmtree(folder)
    return told.units, told.opened


def producer_cuts(count, seed, interval=False):
    chance, units, opened, left = random.Random(seed), 0, 0, count
    while left > 0:
        now = min(SESSION_CUTS, left)
        more = producer_session(chance, now, chance.choice((5, 20, 100)) if interval else 0)
        units, opened, left = units + more[0], opened + more[1], left - now
    must(units > 0 and opened > count // 4, f"only {opened} of {count} lives came to work, with {units} units")
    return count, units


# ---- the whole binary ----------------------------------------------------------------------------------------------------

class CutPlace(Place):
    """A folder whose data and database are on a disk of its own."""

    def __init__(self, folder, disk):
        super().__init__(folder)
        self.disk = disk

    def query(self, question, database="disk/out.db"):
        return super().query(question, database)


PIPELINE = {"partitions": (1, 4, 13), "keys": (1, 23, 500)}


class PipelineSession:
    """Lives of neap run on one disk, each ended by a cut."""

    def __init__(self, folder, disk, chance):
        self.place, self.disk, self.chance = CutPlace(folder, disk), disk, chance
        twins = chance.random() < 0.4
        self.book = Book(chance, key_count=chance.choice(PIPELINE["keys"]), twins=twins)
        text = book_file(follow=True, partitions=chance.choice(PIPELINE["partitions"]), table_key=twins)
        text = text.replace("data: ./data,", "data: ./disk/data,").replace("path: out.db", "path: disk/out.db")
        self.place.write("neap.yaml", text)
        self.place.write("in.ndjson", b"")
        if chance.random() < 0.4:             # a database of the user's, which keeps a rollback journal
            theirs = sqlite3.connect(disk.path("out.db"))
            theirs.execute("CREATE TABLE theirs (x)")
            theirs.close()
        self.place.good("topic", "create", "side")
        self.cuts = self.line_count = 0
        self.lines = {}                       # of topic `side`: value by offset, as it was acknowledged

    def feed(self, count):
        self.place.append("in.ndjson", self.book.lines(count, pad=self.chance.choice((0, 0, 100, 600))))

    def side_lines(self, process):
        """A producer beside the pipeline: sends lines to the node, and notes which it is told durable."""
        while process.poll() is None and not self.over:
            values = [json.dumps({"n": self.line_count + i, "pad": "p" * self.chance_side.randrange(200)})
                      for i in range(1 + self.chance_side.randrange(60))]
            self.line_count += len(values)
            done = self.place.neap("topic", "append", "side", "--json", "--node", self.disk.path("data", "neap.sock"), "--timeout", "5s",
                                   stdin="".join(v + "\n" for v in values).encode())
            at = 0
            for line in done.out.splitlines():
                ack = json.loads(line)
                for i in range(ack["count"]):
                    self.lines[ack["offset"] + i] = json.loads(values[at])
                    at += 1
            if done.code != 0:
                time.sleep(0.002)

    def life(self):
        self.feed(1 + self.chance.randrange(400))
        process = self.place.start("run", "--log", "error")
        self.over, self.chance_side = False, random.Random(self.chance.randrange(1 << 30))
        side = threading.Thread(target=self.side_lines, args=(process,))
        beside = self.chance.random() < 0.5
        if beside:
            side.start()
        try:
            time.sleep(self.chance.choice((0.02, 0.06, 0.15)) * self.chance.random())
            self.feed(1 + self.chance.randrange(800))
            if self.chance.random() < 0.1:
                self.place.append("in.ndjson", self.book.lines(2000, pad=2800))      # more than a file of the journal
            leaves = self.chance.random() < 0.15
            time.sleep(self.chance.choice((0.02, 0.06, 0.15)) * self.chance.random())
            if leaves:
                process.send_signal(signal.SIGTERM)
                time.sleep(self.chance.uniform(0, 0.010))
            code = process.poll()
            must(code is None or (leaves and code in (0, -signal.SIGTERM)), f"it ended by itself with {code}: {self.last_words()}")
            self.disk.cut()
        finally:
            kill(process)
            self.over = True
            if beside:
                side.join()
        # 4: a file system that has lost its power may also say that nobody may write to it
        must(process.returncode in (-signal.SIGKILL, STOPPED, 4, 0, -signal.SIGTERM),
             f"it ended with {process.returncode}: {self.last_words()}")
        self.disk.come_back()
        self.cuts += 1

    def last_words(self):
        with open(self.place.path("talk"), encoding="utf-8", errors="replace") as f:
            return tail(f.read())

    def end(self):
        """The books; the topic beside them; the groups' commit points."""
        self.book.check_all(self.place, data="disk/data")
        listed = [json.loads(line) for line in self.place.good("topic", "list", "--json").splitlines()]
        if self.lines:
            must(any(topic["topic"] == "side" for topic in listed), "topic side is gone, with all that was acknowledged")
            there = [json.loads(line) for line in self.place.good("topic", "read", "side", "--json").splitlines()]
            must([e["offset"] for e in there] == list(range(len(there))), "the offsets of topic side have a gap")
            for offset, value in self.lines.items():
                must(offset < len(there), f"offset {offset} of topic side was acknowledged, and the topic ends at {len(there)}")
                must(there[offset]["value"] == value, f"offset {offset} of topic side is not what was acknowledged there")
        for line in self.place.good("group", "list", "--json").splitlines():
            name = json.loads(line)["group"]
            for at in (json.loads(text) for text in self.place.good("group", "describe", name, "--json").splitlines()):
                must(at["offset"] <= at["end"], f"a commit point is ahead of the data: {at}")


def pipeline_cuts(count, seed):
    chance, left, lines, side = random.Random(seed), count, 0, 0
    while left > 0:
        folder = folder_of("cuts")
        try:
            with odd_disk(folder, chance) as disk:
                session = PipelineSession(folder, disk, chance)
                try:
                    while session.cuts < min(PIPELINE_SESSION_CUTS, left):
                        session.life()
                    session.end()
                except Broken:
                    disk.come_back()
                    disk.copy(os.path.join(folder, "left"))
                    raise
        except Broken as broken:
            raise Broken(f"{broken} (after {count - left + session.cuts} cuts; folder {keep(folder, 'cuts')})") from None
        shutil.rmtree(folder)
        left -= session.cuts
        lines += session.book.count
        side += len(session.lines)
    return count, lines, side


# ---- the run -------------------------------------------------------------------------------------------------------------

def main():
    options = argparse.ArgumentParser(description="cuts the power of a real file system, and checks the books")
    options.add_argument("--cuts", type=int, default=60)
    options.add_argument("--interval-cuts", type=int, default=3)
    options.add_argument("--pipeline-cuts", type=int, default=12)
    options.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 31))
    options = options.parse_args()
    good = True

    def one(promise, work, replay):
        nonlocal good
        begin = time.monotonic()
        try:
            text = promise % work()
            say(True, f"{text} ({time.monotonic() - begin:.0f} s)" if sys.stdout.isatty() else text)
        except Skip as skip:
            print(f"skipped: {promise.split(':')[0].replace('%d ', '')}: {skip}", flush=True)
        except Broken as broken:
            good = False
            say(False, f"{broken}\n  replay: test/play/cuts.py {replay} --seed {options.seed}")

    if options.cuts:
        one("%d power cuts under a producer: %d acknowledged units, each there once, whole, byte for byte",
            lambda: producer_cuts(options.cuts, options.seed), f"--cuts {options.cuts} --interval-cuts 0 --pipeline-cuts 0")
    if options.interval_cuts:
        one("%d power cuts and as many kills under topics with a sync interval: %d acknowledged units, none lost but the last",
            lambda: producer_cuts(options.interval_cuts, options.seed, interval=True),
            f"--cuts 0 --pipeline-cuts 0 --interval-cuts {options.interval_cuts}")
    if options.pipeline_cuts:
        one("%d power cuts under a pipeline: of %d lines each row and dead letter once, and %d lines in a topic as acknowledged",
            lambda: pipeline_cuts(options.pipeline_cuts, options.seed), f"--cuts 0 --interval-cuts 0 --pipeline-cuts {options.pipeline_cuts}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
