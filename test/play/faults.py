#!/usr/bin/env python3
"""A failed write or sync stops the process before it says anything that is not so; a full disk is waited out.

    test/play/faults.py [--long] [SCENARIO...]

strace makes one system call of the real binary fail (the N-th of its kind on a thread), once or from then on; what was acknowledged before
must be there afterwards, byte for byte, and the pipeline must end with exact books. Without --long some N, with it every N
until one is no longer met.
"""
import json
import os
import random
import subprocess
import sys
import time

from scenario import Book, Broken, Skip, book_file, kill, must, scenarios, tail, wait_until

LONG = "--long" in sys.argv
LINE_COUNT = 6000


def strace(place, call, error, when):
    """The wrapper; what it says goes to the file `calls`."""
    return ["strace", "-f", "-y", "-qq", "-o", place.path("calls"), "-e", f"trace={call},fdatasync", "-e",
            f"inject={call}:error={error}:when={when}"]


def was_met(place):
    with open(place.path("calls"), encoding="utf-8", errors="replace") as f:
        return "(INJECTED)" in f.read()


def good_count(place, call):
    """How many such calls did what they were asked, by strace's own book; one that was cut in two counts where it ends."""
    with open(place.path("calls"), encoding="utf-8", errors="replace") as f:
        return sum(1 for line in f if call in line and line.rstrip().endswith("= 0"))


def synced_on(place):
    """Whether the journal went on being synced after a call of the log's had failed; two may have been on their way."""
    with open(place.path("calls"), encoding="utf-8", errors="replace") as f:
        lines = f.read().splitlines()
    first = next(i for i, line in enumerate(lines) if "(INJECTED)" in line)
    if "data/" not in lines[first]:      # SQLite's own: what it makes of it is looked at from outside
        return False
    journal = [line for line in lines[first + 1:] if "fdatasync(" in line and ".npj>" in line and "spare-" not in line]
    return len(journal) > 2


# The exit codes that may follow, where the call was met. A failed write or sync is 6 and nothing else. A failed open, rename
# or the like is 6 where something depends on it, 4 or 1 where a start cannot be, 127 where the C library itself cannot be
# loaded, and nothing at all where the file was a help only. No room is waited for (0, or 7 at the end of patience), or met at
# the start (4). Whoever had done everything and was about to leave when housekeeping met the failure may leave well (0).
BREAKS = {"fdatasync": {0, 6}, "pwritev": {0, 6}, "fsync": {0, 4, 6}, "fallocate": {0, 4, 6}, "ftruncate": {0, 4, 6},
          "rename": {0, 4, 6}, "unlink": {0, 4, 6}, "openat": {0, 1, 4, 6, 127}}
FULL = {"pwritev": {0, 4, 7}, "fallocate": {0, 4, 7}, "fdatasync": {0, 6}, "fsync": {0, 4, 6}, "ftruncate": {0, 4, 6, 7},
        "rename": {0, 4, 6, 7}, "openat": {0, 1, 4, 6, 7, 127}}


def must_end_so(place, done, met, call, error, what, patience=False):
    wanted = {0, 7} if patience and not met else {0} if not met else FULL[call] if error == "ENOSPC" else BREAKS[call]
    must(done.code in wanted, f"{what}: it ended with {done.code}: {tail(done.err)}")
    vital = met and (error != "ENOSPC" or call in ("fdatasync", "fsync")) and call not in ("unlink", "openat", "fallocate")
    must(done.code != 0 or not vital or not synced_on(place), f"{what}: it went on all the same")
    must(done.code == 0 or done.err.strip() != "", f"{what}: it ended with {done.code} and without a word")


def numbers(short):
    """Which N to try; in the long form all, until one is not met."""
    return range(1, 2000) if LONG else short


def fresh(place, name):
    """A folder of its own for each try."""
    sub = type(place)(place.path(name))
    return sub


# ---- acknowledgements ----------------------------------------------------------------------------------------------------

def acknowledged(out):
    """How many of the lines the command has said to be durable; offsets must be given without a gap."""
    end = 0
    for line in out.splitlines():
        ack = json.loads(line)
        must(ack["offset"] == end, f"offset {ack['offset']} follows offset {end - 1}")
        end += ack["count"]
    return end


def append_with_fault(place, lines, call, error, when):
    """False: the call was not met."""
    place.good("topic", "create", "t", "--data", "data")
    done = place.neap("topic", "append", "t", "--data", "data", "--json", "--timeout", "2s", stdin=b"\n".join(lines) + b"\n",
                      wrap=strace(place, call, error, when))
    met, what = was_met(place), f"{call} {when} failing with {error}"
    acked = acknowledged(done.out)
    must_end_so(place, done, met, call, error, what)
    if call == "fdatasync":              # one chunk at a time: each acknowledgement has a sync of its own
        acks, syncs = len(done.out.splitlines()), good_count(place, call)
        must(acks <= syncs, f"{what}: {acks} acknowledgements, after {syncs} syncs that succeeded")
    must(done.code != 0 or acked == len(lines), f"{what}: it ended well, with {acked} lines of {len(lines)}")
    there = [json.loads(line) for line in place.good("topic", "read", "t", "--data", "data", "--json").splitlines()]
    must(len(there) >= acked, f"{what}: {acked} lines were acknowledged, {len(there)} are there")
    must([e["value"] for e in there] == [json.loads(line) for line in lines[:len(there)]],
         f"{what}: what is there is not what was sent")
    must([e["offset"] for e in there] == list(range(len(there))), f"{what}: the offsets have a gap")
    place.good("doctor", "data")
    return met


def append_sweep(place, calls, error, short):
    chance = random.Random(7)
    lines = [json.dumps({"n": n, "pad": "p" * chance.randrange(700)}).encode() for n in range(LINE_COUNT)]
    for call in calls:
        met = 0
        for n in numbers(short):
            once = append_with_fault(fresh(place, f"{call}-{n}"), lines, call, error, n)
            sticky = append_with_fault(fresh(place, f"{call}-{n}-on"), lines, call, error, f"{n}+")
            if not once and not sticky:
                break
            met += 1
        must(met > 0, f"no {call} was ever met: is it called otherwise now?")


def failed_sync_acknowledges_nothing(place):
    append_sweep(place, ("fdatasync",), "EIO", (1, 2, 3, 4))


def failed_write_acknowledges_nothing(place):
    append_sweep(place, ("pwritev",), "EIO", (1, 2, 4, 7))


def full_disk_acknowledges_nothing(place):
    append_sweep(place, ("pwritev", "fallocate"), "ENOSPC", (1, 2, 4))


def interrupted_sync_is_a_failed_one(place):
    append_sweep(place, ("fdatasync",), "EINTR", (2, 3))
    append_sweep(type(place)(place.path("full")), ("fdatasync",), "ENOSPC", (2, 3))


NAMES = ("fsync", "fallocate", "ftruncate", "rename", "unlink", "openat")


def failed_names_acknowledge_nothing(place):
    names = [call for call in NAMES if call != "unlink"]      # nothing is unlinked on a short visit
    append_sweep(place, names if LONG else ("fsync", "rename", "openat"), "EIO", (1, 2, 14))
    append_sweep(type(place)(place.path("full")), ("ftruncate", "rename", "openat"), "ENOSPC", (1, 2, 14))


# ---- the pipeline --------------------------------------------------------------------------------------------------------

def run_with_fault(place, call, error, when, seed):
    place.write("neap.yaml", book_file(partitions=3, table_key=True))
    book = Book(random.Random(seed), twins=True)
    place.write("in.ndjson", book.lines(3000, pad=100))
    patience = ("--timeout", "1s") if error == "ENOSPC" and str(when).endswith("+") else ()
    done = place.neap("run", "--until-idle", "--log", "error", *patience, wrap=strace(place, call, error, when))
    met, what = was_met(place), f"{call} {when} failing with {error}"
    must_end_so(place, done, met, call, error, what, patience != ())
    try:
        book.check_all(place)
    except Broken as broken:
        raise Broken(f"{what}, then started again: {broken}") from None
    return met


def run_sweep(place, calls, error, short):
    for call in calls:
        met = 0
        for n in numbers(short):
            once = run_with_fault(fresh(place, f"{call}-{n}"), call, error, n, n)
            sticky = run_with_fault(fresh(place, f"{call}-{n}-on"), call, error, f"{n}+", n)
            if not once and not sticky:
                break
            met += 1
        must(met > 0, f"no {call} was ever met: is it called otherwise now?")


def pipeline_survives_failed_syncs(place):
    run_sweep(place, ("fdatasync",), "EIO", (2, 4, 7))


def pipeline_survives_failed_writes(place):
    run_sweep(place, ("pwritev",), "EIO", (2, 5, 9, 14, 40))


def pipeline_survives_moments_of_full_disk(place):
    run_sweep(place, ("pwritev",), "ENOSPC", (5, 14, 40))


def pipeline_survives_failed_names(place):
    run_sweep(place, NAMES if LONG else ("fsync", "rename", "openat"), "EIO", (1, 3, 17))
    run_sweep(type(place)(place.path("full")), ("ftruncate", "rename", "openat", "fallocate") if LONG else ("fallocate",),
              "ENOSPC", (1, 2))


# ---- a disk that is full for a while -------------------------------------------------------------------------------------

class Disk:
    """A small file system of its own, where the machine lets us make one."""

    def __init__(self, place, size):
        self.point = place.path("disk")
        os.makedirs(self.point)
        if os.geteuid() != 0:
            raise Skip("only root may mount a small file system")
        made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "neap-test", self.point], check=False,
                              stderr=subprocess.PIPE)
        if made.returncode != 0:
            raise Skip(f"cannot mount a small file system: {made.stderr.decode().strip()}")

    def fill(self):
        with open(os.path.join(self.point, "balloon"), "wb") as f:
            try:
                while True:
                    f.write(b"\0" * 65536)
                    f.flush()
            except OSError:
                pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run(["umount", "-l", self.point], check=False)


def full_disk_is_waited_out(place):
    """Journal and database on a disk that is full; then somebody makes room."""
    with Disk(place, "96m") as disk:
        book, inside = Book(random.Random(3)), type(place)(os.path.join(disk.point, "work"))
        inside.write("neap.yaml", book_file(follow=True).replace("path: in.ndjson", f"path: {place.path('in.ndjson')}"))
        place.write("in.ndjson", book.lines(2000, pad=200))
        inside.settle()
        process = inside.start("run")
        try:
            disk.fill()
            place.append("in.ndjson", book.lines(8000, pad=3000))
            wait_until(lambda: status(inside)[0]["full"], 30, "the node says that its disk is full")
            time.sleep(0.3)
            must(process.poll() is None, f"a full disk ended it with {process.returncode}")
            rows = inside.query("SELECT count(*) FROM rows")[0][0]
            must(rows < len(book.rows), "the disk was not full after all")
            os.unlink(os.path.join(disk.point, "balloon"))
            room = time.monotonic()
            wait_until(lambda: settled(inside, book), 60, "going on when there is room again")
            print(f"back at work and done {time.monotonic() - room:.1f} s after there was room")
            process.terminate()
            must(process.wait(timeout=30) == 0, "it did not leave well")
        finally:
            kill(process)
        book.check_all(inside)


def status(place):
    """The node's line and the pipeline's; exit 1 says that something is not well, which is what is looked for."""
    done = place.neap("status", "--json")
    must(done.code in (0, 1), f"neap status ended with {done.code}: {tail(done.err)}")
    return [line for line in map(json.loads, done.out.splitlines()) if "held_by" not in line]


def settled(place, book):
    figures = status(place)[1]
    return figures["accepted"] == book.count and figures["in_flight"] == 0


TABLE = [
    ("after a failed sync nothing is acknowledged, exit 6, and all that was is there", failed_sync_acknowledges_nothing),
    ("after a failed write nothing is acknowledged, exit 6, and all that was is there", failed_write_acknowledges_nothing),
    ("a disk that is full at some write acknowledges nothing it does not hold", full_disk_acknowledges_nothing),
    ("a sync that was interrupted or found no room is a failed one", interrupted_sync_is_a_failed_one),
    ("a failing open, rename, truncation, allocation or sync of a name acknowledges nothing it does not hold",
     failed_names_acknowledge_nothing),
    ("a pipeline stopped by a failed sync goes on exactly", pipeline_survives_failed_syncs),
    ("a pipeline stopped by a failed write goes on exactly", pipeline_survives_failed_writes),
    ("a pipeline stopped by a failing open, rename, truncation or sync of a name goes on exactly",
     pipeline_survives_failed_names),
    ("a pipeline rides over moments of a full disk", pipeline_survives_moments_of_full_disk),
    ("a full disk is waited out: nothing is lost or repeated, and work goes on by itself", full_disk_is_waited_out),
]

if __name__ == "__main__":
    sys.argv = [word for word in sys.argv if word != "--long"]
    scenarios(TABLE, "faults.py")
