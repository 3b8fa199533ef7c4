#!/usr/bin/env python3
"""A disk that hangs for good holds nobody: the command leaves in bounded time, says so, and has acknowledged nothing untrue.

    test/play/hangs.py [SCENARIO...]

The syncs of the real binary do not come back while a file is there: two functions of the C library are put before its own.
"""
import json
import os
import random
import shutil
import signal
import subprocess
import time

from scenario import Book, Skip, book_file, kill, must, scenarios, tail, wait_until

HANGING_DISK = """\
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
/* The first $HANG_AFTER syncs go through. */
static void wait_while_it_hangs(void)
{
    static int count;
    const char *after = getenv("HANG_AFTER");
    while (__atomic_add_fetch(&count, 1, __ATOMIC_SEQ_CST) > (after != NULL ? atoi(after) : 0) && access(getenv("HANG"), F_OK) == 0)
        usleep(10000);
}
int fdatasync(int fd) { wait_while_it_hangs(); return (int)syscall(SYS_fdatasync, fd); }
int fsync(int fd) { wait_while_it_hangs(); return (int)syscall(SYS_fsync, fd); }
"""
LEAVES_S = 100            # thirty seconds to drain, some more to close; and a machine that is busy with other tests


def hanging_disk(place, after=0):
    """What to put before the command; its syncs hang while the file `hang` is there, but for the first ones."""
    if shutil.which("cc") is None:
        raise Skip("there is no cc to make a disk hang with")
    place.write("disk.c", HANGING_DISK)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", place.path("disk.so"), place.path("disk.c")], check=True)
    return ["env", f"LD_PRELOAD={place.path('disk.so')}", f"HANG={place.path('hang')}", f"HANG_AFTER={after}"]


def talk(place):
    with open(place.path("talk"), encoding="utf-8", errors="replace") as f:
        return f.read()


def settled(place, count):
    done = place.neap("status", "--json")
    lines = [json.loads(line) for line in done.out.splitlines()] if done.code in (0, 1) else []
    return any(line.get("pipeline") == "orders" and line["accepted"] == count and line["in_flight"] == 0 for line in lines)


def seconds_of_work(process):
    """Of the processor, by all its threads."""
    with open(f"/proc/{process.pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def node_leaves_on_sigterm(place):
    """Settled, then the disk hangs under events of its own source and under one that somebody appends."""
    book = Book(random.Random(11))
    place.write("neap.yaml", book_file(follow=True) + "  other: {source: {topic: other}, sink: {file: {path: other.ndjson}}}\n")
    place.write("in.ndjson", book.lines(500))
    process = place.start("run", "--summary-file", "summary.json", wrap=hanging_disk(place))
    try:
        wait_until(lambda: settled(place, book.count), 60, "settling")
        acked = [place.neap("send", "other", '{"n":%d}' % n) for n in range(3)]
        must(all(done.code == 0 for done in acked), f"it did not take what was sent: {acked}")
        place.write("hang", "")
        place.append("in.ndjson", book.lines(50))
        done = place.neap("send", "other", '{"n":3}', "--timeout", "1s")
        must(done.code == 7 and done.out == "", f"an append that is not durable ended with {done.code}: {done.out}")
        since, worked = time.monotonic(), seconds_of_work(process)
        process.send_signal(signal.SIGTERM)
        time.sleep(5)
        must(process.poll() is not None or seconds_of_work(process) - worked < 2, "it is busy with waiting")
        try:
            code = process.wait(timeout=LEAVES_S)
        except subprocess.TimeoutExpired:
            must(False, f"neap run has not left within {LEAVES_S} s of SIGTERM")
        print(f"gone {time.monotonic() - since:.1f} s after SIGTERM")
        must(code == 7, f"it left with {code}, not 7: {tail(talk(place))}")
        must("nothing acknowledged is lost" in talk(place), f"it left without saying what that means: {tail(talk(place))}")
        must(os.path.exists(place.path("summary.json")), "it left no summary")
    finally:
        kill(process)
    os.unlink(place.path("hang"))
    book.check_all(place)
    there = [json.loads(line)["value"] for line in place.good("topic", "read", "other", "--json").splitlines()]
    must(there[:3] == [{"n": n} for n in range(3)], f"what was acknowledged is not there: {there}")


def command_leaves_at_its_deadline(place):
    """Nobody runs: the command has the directory itself, and its syncs hang, from the first or from a later one on."""
    place.good("topic", "create", "t", "--data", "data")
    there = hung = 0
    for after in range(40):
        disk = hanging_disk(place, after)
        place.write("hang", "")
        since = time.monotonic()
        done = place.neap("send", "t", '{"n":%d}' % after, "--data", "data", "--timeout", "1s", wrap=disk)
        print(f"after {after} syncs: {done.code} after {time.monotonic() - since:.1f} s: {tail(done.err)}")
        os.unlink(place.path("hang"))
        acked = len(done.out.splitlines())
        must(done.code == 7 or (acked == 1 and done.code == 0), f"after {after}: it ended with {done.code}: {tail(done.err)}")
        now = len(place.good("topic", "read", "t", "--data", "data", "--json").splitlines())
        must(now >= there + acked, f"after {after}: {acked} acknowledged, {now - there} came in")
        there, hung = now, hung + (done.code == 7)
        if done.code == 0:
            break
    must(hung > 1 and done.code == 0, f"{hung} of its syncs hung, and it ended with {done.code}")
    place.good("doctor", "data")


TABLE = [
    ("a disk that hangs: neap run leaves after SIGTERM in bounded time, 7; nothing acknowledged is lost", node_leaves_on_sigterm),
    ("a disk that hangs: a command with the directory to itself leaves at its deadline, 7", command_leaves_at_its_deadline),
]

if __name__ == "__main__":
    scenarios(TABLE, "hangs.py")
