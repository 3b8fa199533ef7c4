#!/usr/bin/env python3
"""An event that is older than its pipeline wants events to be gives up, with that reason; younger ones are not touched."""
import json
import os
import time

from lib import done, folder, neap, ok, write

FILE = """
pipelines:
  p:
    source: {topic: in}
    expires: %s
%s    sink: {file: out.ndjson}
"""
SLOW = "    stages: [exec: {command: 'while read -r e; do sleep 0.25; echo \"$e\"; done', protocol: lines, concurrency: 1}]\n"


def run(place, expires, stages=""):
    write(os.path.join(place, "neap.yaml"), FILE % (expires, stages))
    r = neap("run", "neap.yaml", "--until-idle", "--summary", "json", cwd=place)
    return r, json.loads(r.out.splitlines()[-1])["pipelines"]["p"]


def send(place, first, count):
    lines = "".join(json.dumps({"n": n}) + "\n" for n in range(first, first + count))
    return neap("send", "in", "--create", "--data", "data", cwd=place, stdin=lines.encode())


def reasons(place):
    return [x["reason"] for x in neap("dlq", "list", "p.dead", "--data", "data", "--json", "-n", "1000", cwd=place).lines()]


place = folder("old")
send(place, 0, 100)
time.sleep(3.2)  # the log knows when to the second
send(place, 100, 50)
r, f = run(place, "2s")
ok(f["dead_lettered"] == 100 and f["delivered"] == 50 and f["in_flight"] == 0, "what waited too long is not begun, what is young is delivered", f)
ok(reasons(place) == ["expired"] * 100, "and its letter says why", reasons(place)[:3])

place = folder("slow")
send(place, 0, 40)
r, f = run(place, "3s", SLOW)
ok(0 < f["delivered"] < 40 and f["delivered"] + f["dead_lettered"] == 40 and f["in_flight"] == 0,
   "behind a stage that is too slow some come through, and the rest gives up in time", f)
ok(set(reasons(place)) == {"expired"}, "for that reason alone", reasons(place)[:3])

place = folder("never")
send(place, 0, 20)
r, f = run(place, "1h")
ok(f["delivered"] == 20 and f["dead_lettered"] == 0, "an hour is enough for those", f)
write(os.path.join(place, "wrong.yaml"), FILE % ("10", ""))
r = neap("check", "wrong.yaml", cwd=place)
ok(r.code == 1 and "'10' has no unit" in r.out + r.err, "a number without a unit is refused", r)
done()
