#!/usr/bin/env python3
"""A full disk refuses producers and nothing else; when there is room again work goes on by itself, within about a second.

    test/play/full.py [SCENARIO...]

A real file system of 64 MB (ext4 on a loop device, tmpfs), filled by a neighbour's file or by the node's own topics.
Where a file system cannot be mounted nothing is tried, and that is said.
"""
import json
import os
import random
import sqlite3
import time

from disk import Disk
from scenario import Book, book_file, kill, must, scenarios, tail, wait_until

SIZE = 64 << 20
LEFT = 1 << 20        # what a neighbour leaves: less than a file of the journal, enough for the index of one
KINDS = ("ext4", "tmpfs")


class Shop:
    """A node whose data directory is on a disk of its own; file and database lie beside it, where there is room."""

    def __init__(self, place, kind):
        self.place = place
        self.disk = Disk(place.folder, SIZE, kind)
        self.book = Book(random.Random(5))
        text = book_file(follow=True, partitions=2).replace("data: ./data,", "data: ./disk/data, disk: 44MiB,")
        place.write("neap.yaml", text)
        place.write("in.ndjson", b"")
        self.process, self.side = None, []

    def __enter__(self):
        self.place.good("topic", "create", "side")
        self.start()
        return self

    def __exit__(self, *_):
        kill(self.process)
        self.disk.__exit__()

    def start(self):
        """Answers when it answers, or has ended."""
        self.process = self.place.start("run", "--log", "warn")
        wait_until(lambda: self.process.poll() is not None or self.ask("status").code in (0, 1), 30, "an answer")

    def last_words(self):
        with open(self.place.path("talk"), encoding="utf-8", errors="replace") as f:
            return tail(f.read(), 1)

    def ask(self, *words, **how):
        return self.place.neap(*words, "--node", self.disk.path("data", "neap.sock"), **how)

    def figures(self):
        lines = [json.loads(line) for line in self.ask("status", "--json").out.splitlines()]
        return [line for line in lines if "held_by" not in line]

    def say_full(self):
        return self.figures()[0]["full"]

    def feed(self, count, pad=0):
        self.place.append("in.ndjson", self.book.lines(count, pad))

    def append(self, count=20, size=3000, topic="side", timeout="2s"):
        """As a producer does; the answer, and how many lines were acknowledged."""
        values = [f'{{"n":{len(self.side) + i},"pad":"{"p" * size}"}}' for i in range(count)]
        done = self.ask("topic", "append", topic, "--json", "--timeout", timeout,
                        stdin="".join(v + "\n" for v in values).encode())
        acked = sum(json.loads(line)["count"] for line in done.out.splitlines())
        if topic == "side":
            self.side += values[:acked]
        return done, acked

    def append_until_refused(self):
        for _ in range(4000):
            done, _acked = self.append(200)
            if done.code != 0:
                return done
        raise AssertionError("a disk of 64 MB held more than a gigabyte")

    def check_side(self):
        """What was acknowledged can be read while nothing more goes in, and nothing else is there."""
        there = [json.loads(line) for line in self.ask("topic", "read", "side", "--json").out.splitlines()]
        must(len(there) == len(self.side), f"{len(self.side)} lines of topic side were acknowledged, {len(there)} are there")
        for offset, (event, text) in enumerate(zip(there, self.side)):
            must(event["offset"] == offset and event["value"] == json.loads(text), f"offset {offset} of topic side is wrong")

    def rows(self):
        try:
            return self.place.query("SELECT count(*) FROM rows")[0][0]
        except sqlite3.Error:
            return 0

    def settled(self):
        figures = self.figures()[1]
        return figures["accepted"] == self.book.count and figures["in_flight"] == 0

    def end(self):
        self.process.terminate()
        code = self.process.wait(timeout=60)
        must(code == 0, f"it did not leave well, with {code}: {self.last_words()}")
        self.book.check_all(self.place, data="disk/data")


def must_be_a_refusal(done):
    """A producer can tell "later" from "never", and the process lives."""
    must(done.code in (4, 7), f"a producer met a full disk and ended with {done.code}: {tail(done.err)}")
    must("full" in done.err or "room" in done.err or "disk" in done.err, f"a producer is not told why: {tail(done.err)}")


def went_on(shop, promise, since):
    shop.went_on = time.monotonic() - since
    print(f"{promise}: {shop.went_on:.2f} s after there was room", flush=True)


def each_kind(scenario):
    def play(place):
        for kind in KINDS:
            scenario(type(place)(place.path(kind)), kind)
    play.__name__ = scenario.__name__
    return play


# ---- the scenarios -------------------------------------------------------------------------------------------------------

@each_kind
def neighbour_fills_the_disk(place, kind):
    """What was accepted is processed to its end, commits and dead letters included; the rest waits outside."""
    with Shop(place, kind) as shop:
        shop.feed(500, pad=200)
        wait_until(shop.settled, 30, "the first lines' end")
        hold = sqlite3.connect(place.path("out.db"), isolation_level=None)   # the sink cannot land: a backlog grows
        hold.execute("BEGIN IMMEDIATE")
        shop.feed(3000, pad=100)
        wait_until(lambda: shop.figures()[1]["accepted"] >= 3500, 30, "a backlog in the log")
        accepted = shop.figures()[1]["accepted"]
        shop.disk.fill(leave=LEFT)
        shop.feed(12000, pad=3000)
        refused = shop.append_until_refused()
        must_be_a_refusal(refused)
        wait_until(shop.say_full, 30, "the node says that its disk is full")
        hold.execute("ROLLBACK")
        hold.close()
        wait_until(lambda: shop.figures()[1]["in_flight"] == 0, 60, "the backlog's end, on a full disk")
        figures = shop.figures()[1]
        must(figures["accepted"] >= accepted and figures["accepted"] < shop.book.count, "the disk was not full after all")
        must(figures["dead_lettered"] > 0, "there was no dead letter in the backlog")
        shop.check_side()
        must(shop.process.poll() is None, f"a full disk ended it with {shop.process.returncode}")

        shop.disk.make_room()
        since = time.monotonic()
        wait_until(lambda: shop.append(1, timeout="250ms")[1] == 1, 60, "a producer's success when there is room again")
        went_on(shop, "a producer is let in again", since)
        wait_until(shop.settled, 120, "the end of all lines")
        shop.check_side()
        shop.end()


@each_kind
def own_topics_fill_the_disk(place, kind):
    """A topic is deleted: its room comes back to whoever waits, without a restart."""
    with Shop(place, kind) as shop:
        shop.feed(300)
        wait_until(shop.settled, 30, "the first lines' end")
        must_be_a_refusal(shop.append_until_refused())
        must(len(shop.side) > 3000, f"a disk of 64 MB was full after {len(shop.side)} lines")
        must(shop.say_full(), "a full log does not say so")
        shop.check_side()
        used = os.statvfs(shop.disk.point)
        must(used.f_bavail > 0, "the log has taken the very last of its file system")
        done = shop.ask("topic", "delete", "side", "--yes")
        must(done.code == 0, f"in a full log a topic could not be deleted: {tail(done.err)}")
        since = time.monotonic()
        wait_until(lambda: shop.ask("topic", "create", "after").code == 0, 60, "a new topic's room")
        wait_until(lambda: shop.append(20, topic="after", timeout="250ms")[1] == 20, 60,
                   "a producer's success when there is room again")
        went_on(shop, "a producer is let in again", since)
        shop.feed(3000, pad=1000)
        wait_until(shop.settled, 60, "the end of all lines")
        shop.end()


@each_kind
def a_start_of_a_full_log(place, kind):
    """A node that was killed with its log full starts, serves what it has, and lets topics be deleted."""
    with Shop(place, kind) as shop:
        shop.feed(300)
        must_be_a_refusal(shop.append_until_refused())
        for _ in range(3):
            kill(shop.process)
            shop.start()
            must(shop.process.poll() is None, f"its log full, it did not start: exit {shop.process.returncode}")
            shop.check_side()
        wait_until(shop.settled, 60, "the end of all lines")
        done = shop.ask("topic", "delete", "side", "--yes")
        must(done.code == 0, f"in a full log a topic could not be deleted: {tail(done.err)}")
        shop.feed(3000, pad=1000)
        wait_until(shop.settled, 60, "the end of all lines")
        shop.end()


@each_kind
def a_start_on_a_full_disk(place, kind):
    """A node that was killed on a full disk starts on it, or says that it is full (exit 4); what it has it keeps."""
    with Shop(place, kind) as shop:
        shop.feed(2000, pad=200)
        wait_until(shop.settled, 30, "the first lines' end")
        shop.disk.fill(leave=LEFT)
        shop.append_until_refused()
        for _ in range(3):
            kill(shop.process)
            shop.start()
            must(shop.process.poll() in (None, 4), f"on a full disk it ended with {shop.process.returncode}")
            if shop.process.poll() is None:
                shop.check_side()
        shop.disk.make_room()
        since = time.monotonic()
        if shop.process.poll() is not None:
            must("full" in shop.last_words(), f"it does not say that the disk is full: {shop.last_words()}")
            shop.start()
        wait_until(lambda: shop.append(20, timeout="250ms")[1] == 20, 60, "a producer's success when there is room again")
        went_on(shop, "a producer is let in again", since)
        shop.feed(3000, pad=1000)
        wait_until(shop.settled, 60, "the end of all lines")
        shop.check_side()
        shop.end()


TABLE = [
    ("on a disk filled by a neighbour producers are refused, what was accepted is processed, and all goes on with room",
     neighbour_fills_the_disk),
    ("a log filled by its own topics refuses, reads, deletes, and takes more when there is room", own_topics_fill_the_disk),
    ("a node killed with its log full starts, and space comes back by deleting", a_start_of_a_full_log),
    ("a node killed on a full disk starts on it or says why not, and loses nothing", a_start_on_a_full_disk),
]

if __name__ == "__main__":
    scenarios(TABLE, "full.py")
