#!/usr/bin/env python3
"""Calls to a server that misbehaves: what can be delivered is, in order per key; the rest waits, or is a dead letter that says why."""
import collections
import json
import os
import sqlite3
import subprocess
import sys
import time
import urllib.request

from lib import Running, done, folder, neap, ok, write

KEYS = 50
FILE = """node: {memory: 128MiB}
pipelines:
  p:
    source: {file: in.ndjson, key: event.k, id: event.n}
    stages:
      - call: {url: "%s", into: score, timeout: 500ms, concurrency: 16%s}
      - filter: event.score.risk ~= nil
    sink: {sqlite: {path: out.db, table: t, key: [n], columns: {n: event.n, k: event.k, risk: event.score.risk}}}
"""


class Server:
    """hostile.py, in a process of its own."""

    def __enter__(self):
        self.process = subprocess.Popen([sys.executable, os.path.join(os.path.dirname(__file__), "hostile.py")],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.port = int(self.process.stdout.readline().split()[0])
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.terminate()
        self.process.wait()

    def url(self, path):
        return f"http://127.0.0.1:{self.port}/{path}"

    def ask(self, path):
        with urllib.request.urlopen(self.url(path), timeout=30) as answer:
            return answer.read()

    def journal(self):
        return json.loads(self.ask("journal"))


def events(first, last):
    return "".join(json.dumps({"n": n, "k": n * n % 1009 % KEYS}) + "\n" for n in range(first, last))


def rows(home):
    base = sqlite3.connect(os.path.join(home, "out.db"))
    try:
        return base.execute("select n, k, risk from t order by rowid").fetchall()
    except sqlite3.OperationalError:
        return []
    finally:
        base.close()


def in_order(pairs):
    last = collections.defaultdict(int)
    for n, key in pairs:
        if n < last[key]:
            return False
        last[key] = n
    return True


def pipeline_of(r, name="p"):
    return json.loads(r.out.splitlines()[-1])["pipelines"][name]


def balances(p):
    return p["accepted"] == p["filtered"] + p["delivered"] + p["dead_lettered"] + p["in_flight"]


def memory_of(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))


def every_tenth_fails(server):
    home = folder("tenth")
    write("in.ndjson", events(1, 3001), home)
    write("neap.yaml", FILE % (server.url("score?fails=10&ms=2"), ", retry: {attempts: 3, backoff: 1ms..20ms}"), home)
    r = neap("run", "--until-idle", "--summary", "json", cwd=home, timeout=120)
    p = pipeline_of(r) if r.code == 0 else {}
    ok(r.code == 0 and balances(p) and (p["delivered"], p["dead_lettered"], p["in_flight"]) == (2700, 300, 0),
       "every tenth event fails for ever: all others are delivered, those are dead letters, the balance is zero", r)
    there, asked = rows(home), server.journal()
    ok(sorted(n for n, _, _ in there) == [n for n in range(1, 3001) if n % 10 != 0] and all(risk == 2 * n for n, _, risk in there),
       "each with the answer that was given for it, once", there[:5])
    ok(in_order([(n, k) for n, k, _, _ in asked]) and in_order([(n, k) for n, k, _ in there]),
       "events of one key are asked for and delivered in order, retries and all", asked[:5])
    times = collections.Counter(n for n, *_ in asked)
    ok(all(times[n] == (3 if n % 10 == 0 else 1) for n in range(1, 3001)), "each call that failed was made three times, no other twice",
       times.most_common(5))
    letters = neap("tail", "p.dead", "--json", "--limit", "10000", cwd=home).lines()
    text = json.dumps(letters)
    ok(len(letters) == 300 and text.count("unavailable") >= 300 and "answered 500" in text and "this one never" in text,
       "the dead letters say what the server said", text[:1000])
    ok("score?fails" not in text, "and not the address with all that is in it", text[:1000])


def frozen(server):
    home = folder("frozen")
    more = ", retry: {attempts: 50, backoff: 50ms..500ms}, breaker: {window: 20, minimum_calls: 10, open: 500ms..1s}"
    write("in.ndjson", events(1, 4001), home)
    write("other.ndjson", events(1, 2001), home)
    other = "  q:\n    source: {file: other.ndjson}\n    stages: [filter: event.n > 0]\n    sink: {file: other.out}\n"
    write("neap.yaml", FILE % (server.url("score?ms=15"), more) + other, home)
    before = len(server.journal())
    with Running("neap.yaml", cwd=home) as run:
        run.until(lambda: len(rows(home)) > 1500, "rows for seconds: the rate that it comes back to")
        server.ask("freeze")
        run.until_settled(2000, "q")
        time.sleep(2)            # until all that was at work has run into its timeout, and the breaker is open
        came, memory = len(server.journal()), memory_of(run.process.pid)
        time.sleep(5)
        during, grown = len(server.journal()) - came, memory_of(run.process.pid) - memory
        stuck = len(rows(home))
        state = next(line for line in run.status() if line.get("pipeline") == "p")
        ok("breaker opened" in run.talk() and "pipeline=p" in run.talk() and server.url("")[:-1] in run.talk(),
           "that the breaker has opened is told, with the destination", run.talk()[-500:])
        ok(state["in_flight"] > 0 and state["dead_lettered"] == 0, "a frozen server: nothing gives up, events wait in their topic", state)
        ok(during <= 60, "the breaker lets probes through, and no more", f"{during} calls in 5 s")
        ok(grown < 8192, "memory stays as it is", f"{grown} KiB more")
        ok(os.path.getsize(os.path.join(home, "other.out")) > 0, "the pipeline beside it has done its work meanwhile")
        server.ask("thaw")
        run.until_settled(4000)
        code = run.stop()
        ok("breaker closed" in run.talk(), "and that it has closed", run.talk()[-500:])
    there, asked = rows(home), server.journal()[before:]
    ok(code == 0 and len(there) == 4000 and stuck < 4000 and in_order([(n, k) for n, k, _ in there]) and
       in_order([(n, k) for n, k, _, _ in asked]),
       "when it answers again all of them are delivered, once and in order per key", (code, stuck, len(there)))


def killed(server):
    home = folder("killed")
    write("in.ndjson", events(1, 3001), home)
    write("neap.yaml", FILE % (server.url("score?ms=3&fails=100"), ", retry: {attempts: 2, backoff: 1ms..5ms}"), home)
    before, kills = len(server.journal()), 0
    for _ in range(5):
        with Running("neap.yaml", cwd=home) as run:
            had = len(rows(home))
            run.until(lambda: len(rows(home)) > had + 200, "more rows")
            run.process.kill()
            kills += 1
    r = neap("run", "--until-idle", "--summary", "json", cwd=home, timeout=120)
    p = pipeline_of(r) if r.code == 0 else {}
    there, asked = rows(home), server.journal()[before:]
    ok(r.code == 0 and balances(p) and (p["accepted"], p["delivered"], p["dead_lettered"], p["in_flight"]) == (3000, 2970, 30, 0),
       f"killed {kills} times with calls in flight: the balance is zero", r)
    ok(sorted(n for n, _, _ in there) == [n for n in range(1, 3001) if n % 100 != 0], "each event is in the database once", len(there))
    keys = collections.defaultdict(set)
    for n, _, key, _ in asked:
        keys[n].add(key)
    ok(all(len(k) == 1 for k in keys.values()) and len({next(iter(k)) for k in keys.values()}) == 3000,
       "its Idempotency-Key is the same in each call, before a crash and after it, and nobody else's",
       [k for k in keys.values() if len(k) > 1][:3])
    ok(len(asked) <= 3000 + 30 + kills * 16 + 5 * 16, "a restart repeats only the calls that were in flight", len(asked))


def fallback_and_cache(server):
    home = folder("fallback")
    write("in.ndjson", events(1, 501), home)
    text = FILE % ("http://127.0.0.1:1/", ', retry: {attempts: 2, backoff: 1ms}, fallback: {risk: unknown}')
    write("neap.yaml", text, home)
    r = neap("run", "--until-idle", cwd=home, timeout=60)
    ok(r.code == 0 and [risk for _, _, risk in rows(home)] == ["unknown"] * 500,
       "nobody listens: with a fallback the events go on with that", r)
    home = folder("cached")
    before = len(server.journal())
    write("in.ndjson", events(1, 2001), home)
    write("neap.yaml", FILE % (server.url("score?ms=20"), ", cache: {by: event.k, age: 1h}"), home)
    r = neap("run", "--until-idle", cwd=home, timeout=60)
    asked = server.journal()[before:]
    ok(r.code == 0 and len(rows(home)) == 2000 and len(asked) == len({k for _, k, _, _ in asked}),
       "with a cache each key is asked for once, however many ask at a time", len(asked))


def addresses_of_events(server):
    home = folder("private")
    before = len(server.journal())
    write("in.ndjson", events(1, 11), home)
    text = FILE % ("", "")
    write("neap.yaml", text.replace('url: ""', f"url: {{expr: '\"{server.url('score')}\"'}}"), home)
    r = neap("run", "--until-idle", "--summary", "json", cwd=home, timeout=60)
    letters = json.dumps(neap("tail", "p.dead", "--json", cwd=home).lines())
    ok(r.code == 0 and pipeline_of(r)["dead_lettered"] == 10 and letters.count("refused") >= 10 and len(server.journal()) == before,
       "an address out of an event that is private is refused, and sees no byte", (r, letters[:500]))
    home = folder("allowed")
    write("in.ndjson", events(1, 11), home)
    write("neap.yaml", text.replace('url: ""', f"url: {{expr: '\"{server.url('score')}\"'}}, allow_private_network: true"), home)
    r = neap("run", "--until-idle", cwd=home, timeout=60)
    ok(r.code == 0 and len(rows(home)) == 10, "unless that is allowed", r)


with Server() as hostile:
    every_tenth_fails(hostile)
    frozen(hostile)
    killed(hostile)
    fallback_and_cache(hostile)
    addresses_of_events(hostile)
done()
