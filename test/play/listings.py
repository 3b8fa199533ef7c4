#!/usr/bin/env python3
"""Listings of a running node, through its socket, while it works; and the same of its directory afterwards."""
import json
import os
import socket
import subprocess

from lib import NEAP, SCRATCH, Running, done, neap, numbers, ok, on_terminal, pipeline, write

D = ("--data", "data")
write("neap.yaml", pipeline(source="\n      file: {path: in.ndjson, follow: true}\n      key: event.n\n      to: numbers",
                            more="topics: {numbers: {partitions: 3, retention: forever}}\n"))
write("in.ndjson", numbers(0, 300) + "broken\n")
asked = {
    "status": ["status"],
    "topic list": ["topic", "list"],
    "topic describe": ["topic", "describe", "numbers"],
    "group list": ["group", "list"],
    "group describe": ["group", "describe", "p"],
    "dlq list": ["dlq", "list"],
    "dlq show": ["dlq", "show", "p.dead"],
    "topic read": ["topic", "read", "numbers"],
}
with Running() as run:
    run.until_settled(301)
    live = {name: neap(*words, "--json") for name, words in asked.items()}
    ok(all(r.code == 0 and r.lines() and r.err == "" for r in live.values()), "every listing answers while neap run runs", live)
    people = {name: neap(*words) for name, words in asked.items()}
    ok(all(r.code == 0 and r.out and "\033" not in r.out for r in people.values()), "and as a table, without colour on a pipe", people)
    status = live["status"].lines()
    ok(status[0]["node"] == "running" and status[0]["pid"] == run.process.pid, "status names the process", status)
    f = next(x for x in status if x.get("pipeline") == "p")
    ok(f["accepted"] == 301 and f["delivered"] == 300 and f["dead_lettered"] == 1 and f["state"] == "running", "and counts its events", f)
    ok(sum(x["end"] for x in live["topic describe"].lines()) == 300 and len(live["topic describe"].lines()) == 3, "a topic's partitions add up")
    ok(all(x["lag"] == 0 for x in live["group describe"].lines()) and live["group list"].lines()[0]["group"] == "p", "the pipeline is a group, and not behind", live)
    ok(sorted(x["value"]["n"] for x in live["topic read"].lines()) == list(range(300)), "its events can be read beside it")
    byhand = neap("topic", "append", "numbers", "--key", "7", stdin=b'{"n":300}\n')
    ok(byhand.code == 1 and "pipeline 'p'" in byhand.err, "nothing comes in beside the source that counts: refused", byhand)
    r = neap("topic", "delete", "numbers", "--yes")
    ok(r.code == 1 and "pipeline 'p'" in r.err, "a topic under a running pipeline is not deleted", r)
    r = neap("run")
    ok(r.code == 4 and str(run.process.pid) in r.err, "a second run on the same directory: exit 4, and says which process holds it", r)
    r = neap("status", "--node", "data/neap.sock")
    ok(r.code == 0, "--node takes the socket", r)
    mode = os.stat(os.path.join(SCRATCH, "data", "neap.sock")).st_mode & 0o777
    ok(mode == 0o600, "the socket is for its owner only", oct(mode))
    idle = []
    for _ in range(16):   # more than the node talks to at one time
        idle.append(socket.socket(socket.AF_UNIX))
        idle[-1].connect(os.path.join(SCRATCH, "data", "neap.sock"))
    r = neap("status", "--timeout", "300ms")
    ok(r.code == 7 and r.err == "neap: no answer within the time given: too many ask at once\n", "a node that too many ask says so", r)
    waiting = subprocess.Popen([NEAP, "status"], cwd=SCRATCH, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        waiting.wait(timeout=0.5)
    except subprocess.TimeoutExpired:
        pass
    for one in idle:
        one.close()
    out, err = waiting.communicate(timeout=60)
    ok(waiting.returncode == 0 and b"node running" in out and err == b"", "and answers when there is a place again", (waiting.returncode, err))
    many = [subprocess.Popen([NEAP, "topic", "read", "numbers"], cwd=SCRATCH, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) for _ in range(12)]
    sizes = {len(p.communicate()[0].splitlines()) for p in many}
    ok(sizes == {300}, "a dozen readers at once all get everything", sizes)
    reader = subprocess.Popen(f"'{NEAP}' topic read numbers | head -n 1", shell=True, cwd=SCRATCH, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, err = reader.communicate()
    ok(out.count(b"\n") == 1 and err == b"", "a reader that has seen enough is left quietly", err)
    run.until_settled(301)
    run.stop()

after = {name: neap(*words, "--json") for name, words in asked.items()}
ok(all(r.code == 0 for r in after.values()), "every listing answers of the stopped directory", after)
f = next(x for x in after["status"].lines() if x.get("pipeline") == "p")
ok(f["state"] == "stopped" and f["accepted"] == 301 and
   f["accepted"] == f["filtered"] + f["delivered"] + f["dead_lettered"] + f["in_flight"], "its books balance", f)
ok(after["dlq show"].out == live["dlq show"].out and after["topic list"].lines()[0]["topic"] == live["topic list"].lines()[0]["topic"],
   "with the same words", after["dlq show"])

neap("topic", "create", "doomed", *D)
code, shown = on_terminal("topic", "delete", "doomed", *D, typed=b"n\n")
ok(code == 1 and "delete topic doomed" in shown, "on a terminal a person is asked, and may say no", shown)
code, shown = on_terminal("topic", "delete", "doomed", *D, typed=b"y\n")
ok(code == 0 and neap("topic", "describe", "doomed", *D).code == 1, "or yes", shown)

neap("topic", "create", "evil", *D)
neap("topic", "append", "evil", *D, stdin=b"\x1b[2Jgone \xc2\x9b31m\n")
code, shown = on_terminal("topic", "read", "evil", *D)
ok("\x1b[2J" not in shown and "\u009b" not in shown and "\ufffd" not in shown and "\\x1b[2Jgone" in shown, "nobody's data drives the terminal", shown)
done()
