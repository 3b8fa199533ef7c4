#!/usr/bin/env python3
"""neap run: the summary, totals that last, a rerun that adds nothing, and how it leaves."""
import json
import os
import sqlite3
import subprocess

from lib import NEAP, SCRATCH, Running, done, folder, neap, numbers, ok, on_terminal, pipeline, write

KEYS = ["accepted", "filtered", "duplicates", "delivered", "dead_lettered", "in_flight", "produced"]


def rows(path="out.db"):
    db = sqlite3.connect(os.path.join(SCRATCH, path))
    try:
        return [r[0] for r in db.execute("SELECT n FROM t ORDER BY rowid")]
    finally:
        db.close()


def balanced(f):
    return f["accepted"] == f["filtered"] + f["delivered"] + f["dead_lettered"] + f["in_flight"]


write("neap.yaml", pipeline(stages='{filter: event.n % 2 == 0}'))
write("in.ndjson", numbers(0, 100) + "no json\n")
r = neap("run", "--until-idle", "--summary", "json")
summary = json.loads(r.out.splitlines()[-1]) if r.out else {}
p = summary.get("pipelines", {}).get("p", {})
ok(r.code == 0 and len(r.out.splitlines()) == 1, "a file is used up: exit 0, standard output holds the summary and nothing else", r)
ok(list(p) == KEYS + ["run"] and list(p["run"]) == KEYS + ["seconds", "events_per_second"], "the summary has its fields, in their order", p)
ok([p[k] for k in KEYS] == [101, 50, 0, 50, 1, 0, 50] and balanced(p), "accepted = filtered + delivered + dead letters + in flight", p)
ok(rows() == list(range(0, 100, 2)), "the rows are there, in file order")
r = neap("run", "--until-idle", "--summary-file", "s.json")
with open(os.path.join(SCRATCH, "s.json"), encoding="utf-8") as f:
    again = json.load(f)["pipelines"]["p"]
ok(r.code == 0 and r.out == "" and [again[k] for k in KEYS] == [p[k] for k in KEYS] and again["run"]["accepted"] == 0
   and len(rows()) == 50, "a rerun adds nothing; totals last; --summary-file leaves standard output alone", (r, again))

write("in.ndjson", numbers(0, 100) + "no json\n" + numbers(100, 200))
r = neap("run", "--until-idle", "--summary", "json")
p = json.loads(r.out)["pipelines"]["p"]
ok(p["accepted"] == 201 and p["run"]["accepted"] == 100 and len(rows()) == 100, "what was appended meanwhile is read, and only that", p)

r = neap("run", "--until-idle", "--fail-on-dead-letters")
ok(r.code == 0, "--fail-on-dead-letters looks at this run: none, exit 0", r)
write("in2.ndjson", '{"n":1}\n{"n":\n')
write("dead.yaml", pipeline(source="file: {path: in2.ndjson}", sink="sqlite: {path: out2.db, table: t, columns: {n: event.n}}", more="node: {data: d2}\n"))
r = neap("run", "dead.yaml", "--until-idle", "--fail-on-dead-letters")
ok(r.code == 3, "a dead letter of this run: exit 3", r)
r = neap("dlq", "show", "p.dead", "dead.yaml")
ok(r.code == 0 and "in2.ndjson:2:" in r.out and "not_json" in r.out, "its place is file:line:column", r)
r = neap("dlq", "list", "dead.yaml", "--json")
ok([(x["topic"], x["events"], x["letters"]) for x in r.lines()] == [("p.dead", 1, 1)], "dlq list knows the topic and the number", r)
r = neap("dlq", "show", "p.dead", "dead.yaml", "--json")
one = r.lines()[0]
ok(one["reason"] == "not_json" and one["line"] == 2 and one["file"].endswith("in2.ndjson") and one.get("text") == '{"n":', "dlq show --json has reason, place and the text as it came", r)

# Whoever reads its standard output may leave when it has seen enough.
home = folder("left")
write("neap.yaml", pipeline(sink="stdout: {}"), cwd=home)
write("in.ndjson", numbers(0, 200000), cwd=home)
for mode in ("--until-idle", "--log=info"):
    with subprocess.Popen([NEAP, "run", mode], cwd=home, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as p:
        first = p.stdout.readline()
        p.stdout.close()
        talk = p.stderr.read().decode()
        code = p.wait(timeout=60)
    ok(first.startswith(b'{"n":') and code == 141 and "level=error" not in talk and "neap:" not in talk,
       f"neap run {mode} | head -n 1 leaves quietly, as by SIGPIPE: 141", (code, talk))
r = neap("run", "--until-idle", cwd=home)
ok(r.code == 0 and r.out.splitlines()[-1] == '{"n":199999}', "and the next run delivers the rest", r.code)

KEPT = "topics: {p: {retention: forever}}\n"
home = folder("gone")
write("neap.yaml", KEPT + pipeline(), cwd=home)
write("in.ndjson", numbers(0, 20), cwd=home)
r = neap("run", "--until-idle", "--log", "error", cwd=home)
ok(r.code == 0 and r.err == "", "--log error: nothing is said where all goes well", r)
db = sqlite3.connect(os.path.join(home, "out.db"))
db.execute("DROP TABLE t")
db.commit()
r = neap("run", "--until-idle", cwd=home)
again = neap("run", "--until-idle", cwd=home)
ok(r.code == 1 and again.code == 1 and "offset 20" in again.err and "start: committed" in again.err, "a table dropped between two runs: stopped until told how to go on", (r, again))
write("neap.yaml", KEPT + pipeline(more="    start: earliest\n"), cwd=home)
r = neap("run", "--until-idle", cwd=home)
ok(r.code == 0 and db.execute("SELECT count(*) FROM t").fetchone() == (20,), "start: earliest fills it again", r)
write("neap.yaml", KEPT + pipeline(), cwd=home)
neap("topic", "delete", "p", "--yes", cwd=home)
r = neap("run", "--until-idle", cwd=home)
ok(r.code == 1 and "deleted" in r.err and "offset 20" in r.err and db.execute("SELECT count(*) FROM t").fetchone() == (20,),
   "a topic deleted under a filled table: stopped, nothing is delivered twice", r)

write("out.yaml", pipeline(sink="stdout: {}", more="node: {data: d3}\n"))
r = neap("run", "out.yaml", "--until-idle")
ok(r.code == 0 and len(r.out.splitlines()) == 201 - 1 and json.loads(r.out.splitlines()[0]) == {"n": 0}, "a stdout sink writes events, nothing else", r)
r = neap("run", "out.yaml", "--until-idle", "--summary", "json")
ok(r.code == 2 and "--summary-file" in r.err, "a summary would fall among the events: refused, exit 2", r)

write("pipe.yaml", pipeline(source="stdin: {}", sink="sqlite: {path: out4.db, table: t, columns: {n: event.n}}", more="node: {data: d4}\n"))
r = neap("run", "pipe.yaml", "--until-idle", stdin=numbers(0, 500).encode())
ok(r.code == 0 and len(rows("out4.db")) == 500, "standard input is a source", r)

write("follow.yaml", pipeline(source="file: {path: in.ndjson, follow: true}", sink="sqlite: {path: out5.db, table: t, columns: {n: event.n}}", more="node: {data: d5}\n"))
with Running("follow.yaml") as run:
    run.until(lambda: run.status("follow.yaml"), "an answer")
    code = run.stop()
    ok(code == 0 and not os.path.exists(os.path.join(SCRATCH, "d5", "neap.sock")), "SIGTERM: drained, exit 0, the socket's name is gone", run.talk())
r = neap("run", "follow.yaml", "--timeout", "500ms")
ok(r.code == 7 and "time" in r.err, "a followed file never ends: --timeout drains and leaves with 7", r)
r = neap("run", "follow.yaml", "--until-idle")
ok(r.code == 0, "--until-idle leaves once it has caught up", r)

code, shown = on_terminal("run", "follow.yaml", stop_when=lambda s: b"accepted" in s)
ok(code == 0 and "\r" in shown and "delivered" in shown, "on a terminal there is a progress line", (code, shown))
with Running("follow.yaml") as run:
    run.until(lambda: run.status("follow.yaml"), "an answer")
    run.stop()
    ok("\r" not in run.talk() and "\033" not in run.talk(), "on a pipe there is none", run.talk())
done()
