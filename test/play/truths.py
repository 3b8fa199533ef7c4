#!/usr/bin/env python3
"""Where the data directory and the database disagree, Neap stops with both numbers, or goes on rightly; it never guesses.

    test/play/truths.py [SCENARIO...]

Each scenario brings the two out of step as people do: something deleted, put back, or called otherwise. Then it is settled by each
setting that the message names, and the rows are compared with what that setting means.
"""
import os
import re
import shutil
import sqlite3

from scenario import kill, must, scenarios, tail, wait_until

FILE = """\
node: {{data: ./data, memory: 64MiB}}
topics: {{orders: {{retention: forever}}}}
pipelines:
  {name}:
    source:
      file: in.ndjson
      key: event.k
      to: orders
    stages:
      - filter: event.n % 10 ~= 3
    sink:
      sqlite: {{path: {path}, table: {table}, columns: [n, k]}}
    guarantee: exactly_once
"""
BAD = 17            # one line in so many is a dead letter
WHOLE = 120         # lines of the first day
MORE = 30           # lines of the second


def config(place, name="orders", path="out.db", table="rows", **more):
    text = FILE.format(name=name, path=path, table=table)
    place.write("neap.yaml", text + "".join(f"    {key}: {value}\n" for key, value in more.items()))


def is_bad(n):
    return n % BAD == 5


def feed(place, first, last):
    place.append("in.ndjson", "".join(
        f'{{"n":"{n}?","k":"k{n % 7}"}}\n' if is_bad(n) else f'{{"n":{n},"k":"k{n % 7}"}}\n' for n in range(first, last)))


def rows_of(first, last):
    """What belongs into the table, in order: one partition keeps the order of the file."""
    return [n for n in range(first, last) if not is_bad(n) and n % 10 != 3]


def rows(place, table="rows", database="out.db"):
    return [n for (n,) in place.query(f"SELECT n FROM {table} ORDER BY rowid", database)]


def same(what, there, wanted):
    must(there == wanted, f"{what}: {len(there)} rows from {there[:1]} to {there[-1:]}, and should be {len(wanted)} "
                          f"from {wanted[:1]} to {wanted[-1:]}")


def letters_once(place, last):
    numbers = sorted(int(letter["value"]["n"].rstrip("?")) for letter in place.letters("orders.dead"))
    must(numbers == [n for n in range(last) if is_bad(n)], f"dead letters of {numbers}")


def first_day(place):
    config(place)
    feed(place, 0, WHOLE)
    figures = place.settle()["orders"]
    must(figures["in_flight"] == 0 and figures["accepted"] == WHOLE, f"{figures}")
    same("the first day", rows(place), rows_of(0, WHOLE))


def second_day(place):
    feed(place, WHOLE, WHOLE + MORE)
    place.settle()
    same("the second day", rows(place), rows_of(0, WHOLE + MORE))


class Moment:
    """A state of the folder that can be gone back to. The input stays the same file: its inode is its identity."""

    def __init__(self, place):
        self.place, self.saved = place, place.path("saved")
        self.input_size = os.path.getsize(place.path("in.ndjson"))
        for name in self.names():
            source, to = place.path(name), os.path.join(self.saved, name)
            os.makedirs(self.saved, exist_ok=True)
            (shutil.copytree if os.path.isdir(source) else shutil.copy)(source, to)

    def names(self):
        return [name for name in os.listdir(self.place.folder) if name == "data" or ".db" in name]

    def back(self):
        for name in self.names():
            path = self.place.path(name)
            (shutil.rmtree if os.path.isdir(path) else os.unlink)(path)
        shutil.copytree(self.saved, self.place.folder, dirs_exist_ok=True)
        os.truncate(self.place.path("in.ndjson"), self.input_size)


def database(place, name, do):
    """What SQLite keeps in files beside it belongs to it."""
    for end in ("", "-wal", "-shm"):
        if os.path.exists(place.path(name + end)):
            do(place.path(name + end))


def rerun_adds_nothing(place, *what, name="orders"):
    before = rows(place, *what)
    run = place.settle()[name]["run"]
    must(run["accepted"] == 0 and run["delivered"] == 0, f"a rerun did something: {run}")
    same("a rerun", rows(place, *what), before)


# ---- the data directory ------------------------------------------------------------------------------------------------------

def data_wiped(place):
    first_day(place)
    shutil.rmtree(place.path("data"))
    said = place.refused(1, f"offset {WHOLE}", "start: earliest", "start: sink")
    must(len(set(re.findall(r"offset \d+", said))) >= 1 and re.search(r"this log ends at offset \d+", said),
         f"its message does not hold both numbers: {said}")
    same("after the refusal", rows(place), rows_of(0, WHOLE))
    place.refused(1, f"offset {WHOLE}")                            # it does not forget

    refused = Moment(place)
    feed(place, WHOLE, WHOLE + MORE)
    config(place, start="sink")
    place.settle()
    same("start: sink", rows(place), rows_of(0, WHOLE + MORE))
    rerun_adds_nothing(place)
    config(place)                                                  # settled: it is needed no longer
    rerun_adds_nothing(place)

    for word in ("earliest", "committed"):                         # nothing is committed in a new log: the same
        refused.back()
        config(place, start=word)
        place.settle()
        same(f"start: {word}", rows(place), rows_of(0, WHOLE) * 2)
        rerun_adds_nothing(place)                                  # once for each disagreement
        config(place)
        rerun_adds_nothing(place)
        letters_once(place, WHOLE)


def data_put_back(place):
    first_day(place)
    shutil.copytree(place.path("data"), place.path("yesterday"))
    size = os.path.getsize(place.path("in.ndjson"))
    second_day(place)
    shutil.rmtree(place.path("data"))
    os.rename(place.path("yesterday"), place.path("data"))
    os.truncate(place.path("in.ndjson"), size)                     # the source does not have the second day any more either
    place.refused(1, f"offset {WHOLE + MORE}", f"ends at {WHOLE}", "start: committed", "start: earliest",
                  "start: sink")
    same("after the refusal", rows(place), rows_of(0, WHOLE + MORE))
    refused = Moment(place)

    config(place, start="sink")
    place.settle()
    feed(place, WHOLE, WHOLE + MORE)                               # the same lines come again, and then new ones
    place.settle()
    same("start: sink, behind", rows(place), rows_of(0, WHOLE + MORE))
    feed(place, WHOLE + MORE, WHOLE + 2 * MORE)
    place.settle()
    same("start: sink", rows(place), rows_of(0, WHOLE + 2 * MORE))
    rerun_adds_nothing(place)

    refused.back()
    config(place, start="committed")
    feed(place, WHOLE, WHOLE + MORE)
    place.settle()
    same("start: committed", rows(place), rows_of(0, WHOLE + MORE) + rows_of(WHOLE, WHOLE + MORE))
    rerun_adds_nothing(place)

    refused.back()
    config(place, start="earliest")
    place.settle()
    same("start: earliest", rows(place), rows_of(0, WHOLE + MORE) + rows_of(0, WHOLE))
    rerun_adds_nothing(place)
    letters_once(place, WHOLE)


def data_put_back_far(place):
    """Several starts ago; the source still has everything, so what the log has lost comes in again."""
    first_day(place)
    shutil.copytree(place.path("data"), place.path("yesterday"))
    for day in range(3):
        feed(place, WHOLE + day * MORE, WHOLE + (day + 1) * MORE)
        place.settle()
    last = WHOLE + 3 * MORE
    shutil.rmtree(place.path("data"))
    os.rename(place.path("yesterday"), place.path("data"))
    place.refused(1, f"offset {last}", f"offset {WHOLE}", "start: sink")
    place.refused(1, f"offset {last}", f"offset {WHOLE}", "start: sink")
    same("after the refusal", rows(place), rows_of(0, last))
    config(place, start="sink")
    place.settle()
    same("start: sink", rows(place), rows_of(0, last))
    rerun_adds_nothing(place)
    config(place)
    rerun_adds_nothing(place)
    feed(place, last, last + MORE)
    place.settle()
    same("afterwards", rows(place), rows_of(0, last + MORE))
    numbers = [int(letter["value"]["n"].rstrip("?")) for letter in place.letters("orders.dead")]
    must(numbers == [n for n in range(last + MORE) if is_bad(n) and not WHOLE <= n < last],
         f"dead letters of {numbers}")                             # those of the lost days are lost with their directory


def data_put_back_other_events(place):
    """What comes in now is not what the sink has seen at these offsets: going on there would pass it over."""
    first_day(place)
    shutil.copytree(place.path("data"), place.path("yesterday"))
    size = os.path.getsize(place.path("in.ndjson"))
    second_day(place)
    shutil.rmtree(place.path("data"))
    os.rename(place.path("yesterday"), place.path("data"))
    os.truncate(place.path("in.ndjson"), size)
    feed(place, 1000, 1000 + 3 * MORE)
    for _ in range(3):                                             # the log has long come beyond the sink's offset
        place.refused(1, f"offset {WHOLE + MORE}", f"offset {WHOLE}", "start: committed")
    same("after the refusal", rows(place), rows_of(0, WHOLE + MORE))
    config(place, start="committed")
    place.settle()
    same("start: committed", rows(place), rows_of(0, WHOLE + MORE) + rows_of(1000, 1000 + 3 * MORE))
    rerun_adds_nothing(place)
    config(place)
    rerun_adds_nothing(place)


# ---- the database ------------------------------------------------------------------------------------------------------------

def database_put_back(place):
    first_day(place)
    os.makedirs(place.path("old"))
    database(place, "out.db", lambda path: shutil.copy(path, place.path("old")))
    second_day(place)
    database(place, "out.db", os.unlink)
    for name in os.listdir(place.path("old")):
        shutil.copy(place.path("old", name), place.path(name))
    same("the old database", rows(place), rows_of(0, WHOLE))

    before = Moment(place)
    for word in (None, "sink"):
        before.back()
        config(place, **({"start": word} if word else {}))
        said = place.neap("run", "--until-idle")
        must(said.code == 0 and "delivered again" in said.err, f"it went on without a word: {said.err}")
        must(f"{WHOLE}" in said.err and f"{WHOLE + MORE}" in said.err, f"not both numbers are said: {said.err}")
        same("what it had forgotten", rows(place), rows_of(0, WHOLE + MORE))
        letters_once(place, WHOLE + MORE)
        rerun_adds_nothing(place)

    before.back()
    config(place, start="committed")
    feed(place, WHOLE + MORE, WHOLE + 2 * MORE)
    place.settle()
    same("start: committed", rows(place), rows_of(0, WHOLE) + rows_of(WHOLE + MORE, WHOLE + 2 * MORE))
    letters_once(place, WHOLE + 2 * MORE)
    rerun_adds_nothing(place)

    before.back()
    config(place, start="earliest")
    place.settle()
    same("start: earliest", rows(place), rows_of(0, WHOLE) + rows_of(0, WHOLE + MORE))
    letters_once(place, WHOLE + MORE)
    rerun_adds_nothing(place)


def sink_elsewhere(place, told, look, *texts):
    """After it the pipeline meets a sink that knows nothing. `told` writes the pipeline file, `look` reads the new rows."""
    told(place)
    for _ in range(2):
        place.refused(1, f"offset {WHOLE}", "start: earliest", *texts)
    refused = Moment(place)
    for word, wanted in (("earliest", rows_of(0, WHOLE + MORE)), ("committed", rows_of(WHOLE, WHOLE + MORE))):
        refused.back()
        told(place, start=word)
        feed(place, WHOLE, WHOLE + MORE)
        place.settle()
        same(f"start: {word}", rows(place, *look), wanted)
        rerun_adds_nothing(place, *look)
        letters_once(place, WHOLE + MORE)
        told(place)
        rerun_adds_nothing(place, *look)


def database_deleted(place):
    first_day(place)
    database(place, "out.db", os.unlink)
    sink_elsewhere(place, config, ("rows",), "offset 0", "start: committed")


def path_changed(place):
    first_day(place)
    sink_elsewhere(place, lambda at, **more: config(at, path="other.db", **more), ("rows", "other.db"), "offset 0",
                   "start: committed")
    same("the old database", rows(place), rows_of(0, WHOLE))


def table_changed(place):
    first_day(place)
    sink_elsewhere(place, lambda at, **more: config(at, table="other", **more), ("other",), "table rows", "table other",
                   "start: sink")
    same("the old table", rows(place), rows_of(0, WHOLE))


def table_changed_goes_on(place):
    first_day(place)
    config(place, table="other", start="sink")
    feed(place, WHOLE, WHOLE + MORE)
    place.settle()
    same("the old table", rows(place), rows_of(0, WHOLE))
    same("the new table", rows(place, "other"), rows_of(WHOLE, WHOLE + MORE))
    rerun_adds_nothing(place, "other")


# ---- the name ----------------------------------------------------------------------------------------------------------------

def renamed_with_was(place):
    first_day(place)
    config(place, name="sales", was="orders")
    feed(place, WHOLE, WHOLE + MORE)
    figures = place.settle()["sales"]
    same("under its new name", rows(place), rows_of(0, WHOLE + MORE))
    must(figures["accepted"] == WHOLE + MORE and figures["in_flight"] == 0, f"its books were left behind: {figures}")
    rerun_adds_nothing(place, name="sales")
    config(place, name="sales")                                    # carried over: `was` is needed no longer
    rerun_adds_nothing(place, name="sales")
    letters = sorted(int(e["value"]["n"].rstrip("?")) for t in ("orders.dead", "sales.dead") for e in place.letters(t))
    must(letters == [n for n in range(WHOLE + MORE) if is_bad(n)], f"dead letters of {letters}")


def renamed_without_was(place):
    """A new name is a new pipeline: it begins anew, and says that the table holds rows of somebody else."""
    first_day(place)
    config(place, name="sales")
    said = place.neap("run", "--until-idle")
    must(said.code in (0, 1), f"it ended with {said.code}: {said.err}")
    must("table" in said.err and "rows" in said.err or "was" in said.err, f"it went on without a word: {said.err}")
    if said.code == 1:
        same("after the refusal", rows(place), rows_of(0, WHOLE))


def directory_deleted_under_a_running_node(place):
    """What is written into deleted files is synced without an error, and lost: the node looks, and stops."""
    for what in ("deleted", "replaced"):
        inside = type(place)(place.path(what))
        inside.write("neap.yaml", FILE.format(name="orders", path="out.db", table="rows").replace(
            "file: in.ndjson", "file: {path: in.ndjson, follow: true}"))
        feed(inside, 0, WHOLE)
        process = inside.start("run", "--log", "error")
        try:
            wait_until(lambda: rows_there(inside), 30, "the first row")
            if what == "replaced":
                shutil.copytree(inside.path("data"), inside.path("copy"), ignore=shutil.ignore_patterns("*.sock", "spare-*"))
            os.rename(inside.path("data"), inside.path("was"))
            shutil.rmtree(inside.path("was"))
            if what == "replaced":
                os.rename(inside.path("copy"), inside.path("data"))
            feed(inside, WHOLE, WHOLE + MORE)
            wait_until(lambda: process.poll() is not None, 30, "the node's end")
        finally:
            kill(process)
        with open(inside.path("talk"), encoding="utf-8") as f:
            talk = f.read()
        must(process.returncode == 6, f"data {what}: it ended with {process.returncode}: {tail(talk)}")
        must("while it was in use" in talk, f"data {what}: it does not say why it stopped: {tail(talk)}")


def rows_there(place):
    try:
        return rows(place)
    except sqlite3.Error:
        return []


TABLE = [
    ("a data directory deleted or replaced under a running node stops it, exit 6", directory_deleted_under_a_running_node),
    ("a wiped data directory stops with both numbers; each setting does what it says", data_wiped),
    ("a data directory put back to yesterday stops with both numbers; each setting does what it says", data_put_back),
    ("a data directory put back by several starts is noticed when the log has caught up, too", data_put_back_far),
    ("a data directory put back, and other events since: not one is passed over", data_put_back_other_events),
    ("a database put back to yesterday gets again what it has forgotten, once, and it is said", database_put_back),
    ("a deleted database stops with both numbers; each setting does what it says", database_deleted),
    ("another path of the sink stops with both numbers; each setting does what it says", path_changed),
    ("another table of the sink stops with both numbers; each setting does what it says", table_changed),
    ("another table with start: sink takes the events from there on", table_changed_goes_on),
    ("a pipeline renamed with `was` goes on where it was, its books and dead letters with it", renamed_with_was),
    ("a pipeline renamed without `was` begins anew, and says what it meets", renamed_without_was),
]

if __name__ == "__main__":
    scenarios(TABLE, "truths.py")
