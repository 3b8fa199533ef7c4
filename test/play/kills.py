#!/usr/bin/env python3
"""However often and wherever the process is killed, every event is in the database once, in order, or a dead letter once.

    test/play/kills.py [--kills N] [--calls short|long|none] [--slow N] [--seed N]

Without arguments a short run, as in make test. A life ends by SIGKILL at a random moment of a phase chosen by chance:
while it starts, while it works, when SQLite writes, when the journal changes files, while it writes a snapshot, while it
leaves after SIGTERM; meanwhile its file grows, by parts of lines. Every so many lives the books are compared. Then the same at the
N-th system call of each kind that writes, by strace; then in folders that have lived before, on a disk whose syncs take
their time. The moments depend on the machine; everything else on the seed.
"""
import argparse
import os
import random
import shutil
import signal
import sys
import time

from scenario import Book, Broken, Place, book_file, folder_of, keep, kill, must, say, tail

SESSION_KILLS = 75           # lives in one folder, then the books
SLOW_LIVES = 3               # of a folder on a slow disk
LINES_PER_MS = 6
SWITCH_SIZE = 5 << 20        # more than the first file of a journal holds
SNAPSHOT_SIZE = 136 << 20    # more journal than there is between two snapshots
PHASES = [("start", 38), ("work", 22), ("landing", 18), ("leaving", 14), ("switch", 8)]

CALLS = ("fdatasync", "fsync", "pwritev", "openat", "rename", "ftruncate", "fallocate", "unlink")
CALLS_SHORT = {"fdatasync": (1, 3, 6, 9), "fsync": (2, 9), "pwritev": (2, 5, 11, 23), "openat": (12, 30), "rename": (1, 2),
               "ftruncate": (1, 3)}


class Session:
    """Many lives in one folder."""

    def __init__(self, place, chance):
        self.place, self.chance = place, chance
        twins = chance.random() < 0.4
        self.book = Book(chance, key_count=chance.choice((1, 23, 500)), twins=twins)
        self.config = dict(partitions=chance.choice((1, 4, 13)), table_key=twins)
        place.write("neap.yaml", book_file(follow=True, **self.config))
        self.unwritten = b""
        place.write("in.ndjson", b"")
        self.kills = 0

    def feed(self, data, all_of_it=False):
        """Appends to the file; it may end anywhere inside a line."""
        data = self.unwritten + data
        cut = len(data) if all_of_it or not data else len(data) - self.chance.randrange(min(len(data), 400))
        self.place.append("in.ndjson", data[:cut])
        self.unwritten = data[cut:]

    def lines_for(self, ms):
        return self.book.lines(1 + int(ms * LINES_PER_MS), pad=self.chance.choice((0, 0, 100, 600)))

    # ---- moments to die at ----

    def sleep(self, ms_max, process):
        """To a random microsecond; half-way through it the file grows."""
        ms = self.chance.uniform(0, ms_max)
        more = self.lines_for(ms / 2)
        deadline = time.monotonic() + ms / 1000
        while process.poll() is None and time.monotonic() < deadline:
            if more and deadline - time.monotonic() < ms / 2000:
                self.feed(more)
                more = b""
            time.sleep(0.0001)
        self.feed(more)

    def wait_for(self, look, process, seconds):
        """Until what `look` answers changes; then a little more."""
        before, deadline = look(), time.monotonic() + seconds
        while process.poll() is None and time.monotonic() < deadline and look() == before:
            pass
        time.sleep(self.chance.uniform(0, 0.003))

    def wal(self):
        try:
            return os.stat(self.place.path("out.db-wal")).st_size
        except FileNotFoundError:
            return 0

    def die_start(self, process):
        time.sleep(self.chance.uniform(0, 0.020))

    def die_work(self, process):
        self.sleep(150, process)

    def die_landing(self, process):
        self.feed(self.lines_for(30))
        self.wait_for(self.wal, process, 0.5)

    def die_leaving(self, process):
        self.sleep(60, process)
        process.send_signal(signal.SIGTERM)
        time.sleep(self.chance.uniform(0, 0.010))

    def die_switch(self, process):
        self.feed(self.book.lines(SWITCH_SIZE // 3000, pad=2800))
        self.wait_for(lambda: self.place.names("data", "journal"), process, 2)

    def die_snapshot(self, process):
        self.feed(self.book.lines(SNAPSHOT_SIZE // 60000, pad=59900))
        self.wait_for(lambda: self.place.names("data", "snapshot"), process, 60)

    def life(self, phase):
        self.feed(self.lines_for(self.chance.uniform(0, 60)))
        process = self.place.start("run", "--log", "error")
        try:
            getattr(self, "die_" + phase)(process)
            code = process.poll()
            fine = (None, 0, -signal.SIGTERM) if phase == "leaving" else (None,)   # SIGTERM may come before it is heeded
            must(code in fine, f"it ended by itself with {code}: {self.last_words()}")
        finally:
            kill(process)
        self.kills += process.returncode == -signal.SIGKILL

    def last_words(self):
        with open(self.place.path("talk"), encoding="utf-8", errors="replace") as f:
            return tail(f.read())

    def end(self):
        self.feed(b"", all_of_it=True)
        self.book.check_all(self.place)


def random_kills(count, seed):
    """Answers how many lives were killed, and how many lines they had between them."""
    chance = random.Random(seed)
    killed = lines = sessions = 0
    while killed < count:
        folder = folder_of("kills")
        session = Session(Place(folder), chance)
        try:
            if sessions % 4 == 1:
                session.life("snapshot")
            while session.kills < min(SESSION_KILLS, count - killed):
                session.life(chance.choices([p for p, _ in PHASES], [w for _, w in PHASES])[0])
            session.end()
        except Broken as broken:
            raise Broken(f"{broken} (after {killed + session.kills} kills; folder {keep(folder, 'kills')})") from None
        shutil.rmtree(folder)
        killed += session.kills
        lines += session.book.count
        sessions += 1
    return killed, lines


# ---- at the N-th system call ---------------------------------------------------------------------------------------------

def strace(call, when):
    return ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e",
            f"inject={call}:signal=SIGKILL:when={when}"]


def call_kill(call, when, chance):
    """A young folder, killed at that call; once more at some call while it comes back; then the books. False: not reached."""
    folder = folder_of("calls")
    try:
        place = Place(folder)
        book = Book(chance, twins=True)
        place.write("neap.yaml", book_file(partitions=3, table_key=True))
        place.write("in.ndjson", book.lines(400))
        first = place.neap("run", "--until-idle", "--log", "error", wrap=strace(call, when))
        must(first.code in (0, -9, 137), f"killed at {call} {when}, it ended with {first.code}: {tail(first.err)}")
        place.append("in.ndjson", book.lines(50))
        second_call, second_when = chance.choice(CALLS[:5]), chance.randint(1, 12)
        second = place.neap("run", "--until-idle", "--log", "error", wrap=strace(second_call, second_when))
        must(second.code in (0, -9, 137),
             f"killed at {call} {when} and at {second_call} {second_when}, it ended with {second.code}: {tail(second.err)}")
        book.check_all(place)
    except Broken as broken:
        raise Broken(f"{call} {when}: {broken} (folder {keep(folder, 'calls')})") from None
    shutil.rmtree(folder)
    return first.code != 0


def call_kills(table, seed):
    chance, killed = random.Random(seed), 0
    for call, whens in table.items():
        reached = [call_kill(call, when, chance) for when in whens]
        must(reached[0], f"no {call} was ever met: is it called otherwise now?")
        killed += sum(reached)
    return killed


def every_call(seed):
    """Each call of each kind, until a whole run no longer reaches it; of what is called hundreds of times, one in some."""
    chance, killed = random.Random(seed), 0
    for call in CALLS:
        when = 1
        while call_kill(call, when, chance):
            killed += 1
            when += 1 if when < 12 else 1 + chance.randrange(when // 3)
    return killed


# ---- on a slow disk ------------------------------------------------------------------------------------------------------

def slow_life(place, call, when, sync_ms):
    """Every sync takes that long to be told. The kill falls at the N-th futex call of a thread, where one hands over to
    another; or at the N-th write to a file of the journal, which is where the sink has it and the log does not know."""
    only = [word for name in place.names("data", "journal") for word in ("-P", place.path("data", "journal", name))]
    return place.neap("run", "--until-idle", "--log", "error", wrap=[
        "strace", "-f", "-qq", "-o", "/dev/null", *(only if call == "pwritev" else []), "-e", f"trace=fdatasync,{call}", "-e",
        f"inject=fdatasync:delay_exit={sync_ms * 1000}", "-e", f"inject={call}:signal=SIGKILL:when={when}"])


def slow_kill(chance):
    """A folder that has lived before; then some lives on a slow disk; then the books. Answers how many were killed."""
    folder, killed = folder_of("slow"), 0
    try:
        place = Place(folder)
        book = Book(chance, key_count=chance.choice((1, 23)), twins=True)
        place.write("neap.yaml", book_file(partitions=chance.choice((1, 2)), table_key=True))
        place.write("in.ndjson", book.lines(1 + chance.randrange(300)))
        place.settle()
        for _ in range(SLOW_LIVES):
            place.append("in.ndjson", book.lines(200 + chance.randrange(400)))
            call = chance.choice(("futex", "pwritev"))
            done = slow_life(place, call, chance.randint(1, 40 if call == "futex" else 12), chance.choice((4, 12, 30)))
            must(done.code in (0, -9, 137), f"killed at some {call}, it ended with {done.code}: {tail(done.err)}")
            killed += done.code != 0
        book.check_all(place)
    except Broken as broken:
        raise Broken(f"{broken} (folder {keep(folder, 'slow')})") from None
    shutil.rmtree(folder)
    return killed


def slow_kills(count, seed):
    chance, killed = random.Random(seed), 0
    for _ in range(count):
        killed += slow_kill(chance)
    must(killed > 0, "nothing was killed on the slow disk")
    return killed


# ---- the run -------------------------------------------------------------------------------------------------------------

def main():
    options = argparse.ArgumentParser(description="kills the real binary, and checks the books")
    options.add_argument("--kills", type=int, default=40)
    options.add_argument("--calls", choices=("short", "long", "none"), default="short")
    options.add_argument("--slow", type=int, default=8, help="folders on a slow disk")
    options.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 31))
    options = options.parse_args()
    good = True

    def one(promise, work, replay):
        nonlocal good
        begin = time.monotonic()
        try:
            text = promise % work()
            say(True, f"{text} ({time.monotonic() - begin:.0f} s)" if sys.stdout.isatty() else text)
        except Broken as broken:
            good = False
            say(False, f"{broken}\n  replay: test/play/kills.py {replay} --seed {options.seed}")

    if options.kills:
        one("%d kills at any moment, %d lines: each row and dead letter once, in order, balance zero",
            lambda: random_kills(options.kills, options.seed), f"--kills {options.kills} --calls none --slow 0")
    if options.calls == "short":
        one("%d kills at the N-th system call, each followed by another: the same",
            lambda: call_kills(CALLS_SHORT, options.seed), "--kills 0 --slow 0")
    if options.calls == "long":
        one("%d kills at the N-th system call, each followed by another: the same",
            lambda: every_call(options.seed), "--kills 0 --calls long --slow 0")
    if options.slow:
        one("%d kills on a slow disk, where the sink is ahead of the log's notes: the same",
            lambda: slow_kills(options.slow, options.seed), f"--kills 0 --calls none --slow {options.slow}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
