"""scenario.py - what the scenario tests share: a folder with a pipeline in it, the real binary, and books kept apart from it.

A scenario is a function that gets a Place and looks at things with `must`; scenarios() runs them and prints a line each.
The books (class Book) say from the input alone, with Python's JSON and arithmetic, what must be in the database, what
must be a dead letter and what must be in neither. Nothing in here asks the engine what it thinks is right, except to
compare.
"""
import argparse
import collections
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
NEAP = os.path.abspath(os.environ.get("NEAP") or os.path.join(TOP, "build", "neap"))
RUN_S = 60           # no run of a scenario takes as long, on however busy a machine


class Broken(Exception):
    """A promise that was not kept, in one line."""


def must(fact, text):
    if not fact:
        raise Broken(text)


Done = collections.namedtuple("Done", "code out err")


def tail(text, count=3):
    """The last words of standard error, for a message in one line."""
    return " / ".join(text.strip().splitlines()[-count:])


class Place:
    """A folder with a pipeline file, its input, its database and its data directory."""

    def __init__(self, folder):
        self.folder = folder
        os.makedirs(folder, exist_ok=True)

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def names(self, *folder):
        """What is in a folder; nothing where it is not there yet."""
        try:
            return sorted(os.listdir(self.path(*folder)))
        except FileNotFoundError:
            return []

    def write(self, name, content):
        with open(self.path(name), "wb") as f:
            f.write(content if isinstance(content, bytes) else content.encode())

    def append(self, name, content):
        with open(self.path(name), "ab") as f:
            f.write(content if isinstance(content, bytes) else content.encode())

    def start(self, *words, wrap=(), stdin=subprocess.DEVNULL):
        """A process of ours; its talk goes to a file, so that nothing of it can make it wait."""
        with open(self.path("talk"), "ab") as talk:
            return subprocess.Popen([*wrap, NEAP, *words], cwd=self.folder, stdin=stdin, stdout=subprocess.DEVNULL,
                                    stderr=talk)

    def neap(self, *words, wrap=(), stdin=b"", timeout=RUN_S):
        """Runs the command to its end."""
        try:
            done = subprocess.run([*wrap, NEAP, *words], cwd=self.folder, input=stdin, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, timeout=timeout, check=False)
        except subprocess.TimeoutExpired as e:
            raise Broken(f"neap {' '.join(words)}: no end after {timeout} s; "
                         f"{tail((e.stderr or b'').decode(errors='replace'))}") from None
        return Done(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))

    def good(self, *words, **how):
        done = self.neap(*words, **how)
        must(done.code == 0, f"neap {' '.join(words)} ended with {done.code}: {tail(done.err)}")
        return done.out

    def settle(self, *flags):
        """Runs until all is committed; answers the figures of each pipeline."""
        out = self.good("run", "--until-idle", "--summary", "json", *flags)
        return json.loads(out.splitlines()[-1])["pipelines"]

    def refused(self, code, *texts, words=("run", "--until-idle")):
        """It must stop with this exit code, and say each of these; answers what it said."""
        done = self.neap(*words)
        must(done.code == code, f"neap {' '.join(words)} ended with {done.code}, not {code}: {tail(done.err)}")
        for text in texts:
            must(str(text) in done.err, f"its message does not hold '{text}': {tail(done.err)}")
        return done.err

    def letters(self, topic):
        """All dead letters, each as the command shows it; none where there is no such topic."""
        listed = [json.loads(line) for line in self.good("dlq", "list", "--json").splitlines()]
        count = sum(entry["events"] for entry in listed if entry["topic"] == topic)
        if not any(entry["topic"] == topic for entry in listed):
            return []
        letters = [json.loads(line) for line in self.good("dlq", "show", topic, "--json").splitlines()]
        must(len(letters) == count, f"dlq list counts {count} dead letters, dlq show shows {len(letters)}")
        return letters

    def query(self, question, database="out.db"):
        db = sqlite3.connect(f"file:{self.path(database)}?mode=ro", uri=True, timeout=10)
        try:
            return db.execute(question).fetchall()
        finally:
            db.close()


def balance(figures):
    """What is left when everything that became of the events is taken from what came in."""
    return figures["accepted"] - sum(figures[k] for k in ("filtered", "delivered", "dead_lettered", "in_flight"))


# ---- the books -----------------------------------------------------------------------------------------------------------

BOOK_FILE = """\
node: {{data: ./data, memory: 64MiB}}
topics: {{orders: {{partitions: {partitions}}}}}
pipelines:
  orders:
    source:
      file: {{path: in.ndjson, follow: {follow}}}
      key: 'event.k .. ""'
      id: event.id
    stages:
      - filter: event.n % 7 ~= 0
      - map: {{twice: event.n * 2}}
    sink:
      sqlite:
        path: out.db
        table: rows
        {key}columns: {{s: event.s, id: event.id, k: event.k, n: event.n, twice: event.twice}}
    guarantee: exactly_once
"""


def book_file(partitions=4, follow=False, table_key=False):
    return BOOK_FILE.format(partitions=partitions, follow="true" if follow else "false",
                            key="key: [id]\n        " if table_key else "")


class Book:
    """Makes lines, and knows what has to become of each. Every line has its number in it: "s"."""

    def __init__(self, chance, key_count=23, twins=False):
        self.chance, self.key_count, self.twins = chance, key_count, twins
        self.count = self.filtered = 0
        self.rows = []               # (s, id, k, n, twice), in the order of the file
        self.dead = {}               # s: reason

    def line(self, pad):
        self.count += 1
        s, dice = self.count, self.chance.random()
        key, n, identity = f"k{self.chance.randrange(self.key_count)}", self.chance.randrange(1 << 40), f"i{s}"
        event = {"s": s, "id": identity, "k": key, "n": n}
        if pad:
            event["pad"] = "p" * pad
        if dice < 0.004:
            self.dead[s] = "not_json"
            return b'{"s":%d,"id":"i%d",broken}\n' % (s, s)
        if dice < 0.007:
            self.dead[s] = "expression"
            event["n"] = "no number"                         # a stage fails
        elif dice < 0.009:
            self.dead[s] = "expression"
            del event["k"]                                   # the key of the source fails
        elif dice < 0.013 and self.twins and self.rows:
            twin = self.rows[self.chance.randrange(len(self.rows))]
            self.dead[s] = "refused"                         # the table has a row of this id
            event.update(id=twin[1], k=twin[2], n=twin[3])
        elif n % 7 == 0:
            self.filtered += 1
        else:
            self.rows.append((s, identity, key, n, 2 * n))
        return json.dumps(event, separators=(",", ":")).encode() + b"\n"

    def lines(self, count, pad=0):
        return b"".join(self.line(pad) for _ in range(count))

    # ---- what there is, against what there must be ----

    def check(self, place, figures):
        self.check_rows(place)
        self.check_letters(place)
        self.check_figures(figures)

    def check_rows(self, place):
        rows = place.query("SELECT s, id, k, n, twice FROM rows ORDER BY rowid")
        seen = collections.Counter(row[0] for row in rows)
        wanted = {row[0] for row in self.rows}
        twice = [s for s, count in seen.items() if count > 1]
        lost, invented = sorted(wanted - seen.keys()), sorted(seen.keys() - wanted)
        must(not lost, f"{len(lost)} rows are lost, the first of line {lost[:1]}, the last of line {lost[-1:]}")
        must(not twice, f"{len(twice)} rows are there twice, for one that of line {twice[:1]}")
        must(not invented, f"{len(invented)} rows are nobody's, for one that of line {invented[:1]}")
        must(sorted(rows) == self.rows, "a row holds something else than its line")
        last = {}
        for s, _, key, _, _ in rows:
            must(last.get(key, 0) < s, f"key {key}: line {s} landed after line {last.get(key)}")
            last[key] = s
        must(sum(row[4] for row in rows) == 2 * sum(row[3] for row in self.rows), "the sums differ")

    def check_letters(self, place):
        letters = place.letters("orders.dead")
        numbers = collections.Counter()
        for letter in letters:
            text = letter["text"] if "text" in letter else json.dumps(letter["value"])
            s = int(re.search(r'"s": ?(\d+)', text).group(1))
            numbers[s] += 1
            must(self.dead.get(s) == letter["reason"],
                 f"line {s} is a dead letter for '{letter['reason']}', and should be {self.dead.get(s, 'none')}")
            if letter["reason"] == "not_json":
                must(letter["line"] == s, f"the dead letter of line {s} says line {letter['line']}")
        twice = [s for s, count in numbers.items() if count > 1]
        lost = sorted(self.dead.keys() - numbers.keys())
        must(not twice, f"{len(twice)} dead letters are there twice, for one that of line {twice[:1]}")
        must(not lost, f"{len(lost)} dead letters are lost, for one that of line {lost[:1]}")
        offsets = [(letter["event"]["partition"], letter["event"]["offset"]) for letter in letters if "event" in letter]
        must(len(set(offsets)) == len(offsets), "two dead letters name the same event")

    def check_figures(self, figures):
        wanted = {"accepted": self.count, "filtered": self.filtered, "delivered": len(self.rows),
                  "dead_lettered": len(self.dead), "in_flight": 0}
        said = {name: figures[name] for name in wanted}
        must(balance(figures) == 0, f"the balance is {balance(figures)}: {said}")
        must(said == wanted, f"the summary says {said}, and it is {wanted}")

    def check_all(self, place, pipeline="orders", data="data"):
        """Settles, looks at everything, settles again and sees that nothing came of it; then every byte is verified."""
        figures = place.settle()[pipeline]
        self.check(place, figures)
        again = place.settle()[pipeline]
        must(again["run"]["accepted"] == 0 and again["run"]["delivered"] == 0, f"a rerun did something: {again['run']}")
        self.check(place, again)
        place.good("doctor", data)


# ---- running scenarios ---------------------------------------------------------------------------------------------------

class Skip(Exception):
    """A scenario that cannot be played here, and why."""


def folder_of(name):
    """An empty folder for a scenario: in $SCRATCH, or where temporary things go."""
    if os.environ.get("SCRATCH"):
        os.makedirs(os.environ["SCRATCH"], exist_ok=True)
    return tempfile.mkdtemp(prefix=f"{name}-", dir=os.environ.get("SCRATCH") or None)


def keep(folder, name):
    """A folder in which something went wrong outlives the run."""
    kept = tempfile.mkdtemp(prefix=f"neap-{name}-")
    shutil.rmtree(kept)
    shutil.move(folder, kept)
    return kept


def say(good, text):
    print(f"{'ok' if good else 'not ok'} - {text}", flush=True)


def play(promise, scenario, name, replay):
    """One scenario in a folder of its own. True: it kept its promise."""
    folder = folder_of(name)
    try:
        scenario(Place(folder))
    except Skip as skip:
        shutil.rmtree(folder, ignore_errors=True)
        print(f"skipped: {promise}: {skip}", flush=True)
        return True
    except Exception as failure:  # whatever it is, it is said, and the folder is kept
        say(False, f"{promise}: {failure}")
        if not isinstance(failure, Broken):
            traceback.print_exc(file=sys.stdout)
        print(f"  replay: {replay}\n  folder: {keep(folder, name)}", flush=True)
        return False
    shutil.rmtree(folder, ignore_errors=True)
    say(True, promise)
    return True


def scenarios(table, script):
    """Plays a table of (promise, function), or those whose function's name is given; ends the process."""
    options = argparse.ArgumentParser(description="plays scenarios with the real binary")
    options.add_argument("names", nargs="*", help="functions to play; default all")
    options = options.parse_args()
    good = True
    for promise, scenario in table:
        name = scenario.__name__
        if not options.names or name in options.names:
            good = play(promise, scenario, name, f"test/play/{script} {name}") and good
    sys.exit(0 if good else 1)


def wait_until(fact, seconds, text):
    """Looks again and again; a machine may be slow, so what is waited for has a long time."""
    deadline = time.monotonic() + seconds
    while not fact():
        must(time.monotonic() < deadline, f"{text} has not happened within {seconds} s")
        time.sleep(0.002)


def kill(process):
    """Ends it at once, if it has not ended before."""
    if process.poll() is None:
        process.send_signal(signal.SIGKILL)
    process.wait()


def chance_of(seed):
    return random.Random(seed)
