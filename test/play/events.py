#!/usr/bin/env python3
"""send and tail: events in by hand and out again, of a directory at rest and of a running node."""
import base64
import json
import os
import select
import signal
import subprocess
import time

from lib import NEAP, SCRATCH, Running, done, neap, numbers, ok, on_terminal, pipeline, write

D = ("--data", "d")


class Tail:
    """neap tail --follow in the background."""

    def __init__(self, *args):
        self.process = subprocess.Popen([NEAP, "tail", *args], cwd=SCRATCH, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE,
                                        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)) # a shell's background ignores it
        self.seen = b""

    def lines(self, count, patience_s=30):
        """At least so many lines, or what came until patience ended."""
        deadline = time.monotonic() + patience_s
        while self.seen.count(b"\n") < count and time.monotonic() < deadline:
            if select.select([self.process.stdout], [], [], 0.1)[0]:
                part = os.read(self.process.stdout.fileno(), 65536)
                if not part:
                    break
                self.seen += part
        return [json.loads(line) for line in self.seen.splitlines()]

    def stop(self, number=signal.SIGINT):
        self.process.send_signal(number)
        code = self.process.wait(timeout=60)
        self.process.stdout.close()
        talk = self.process.stderr.read().decode()
        self.process.stderr.close()
        return code, talk


def values(result):
    return [x.get("value", x.get("text")) for x in result.lines()]


# ---- send
neap("topic", "create", "first", *D)
r = neap("send", "orders", '{"n":0}', *D)
ok(r.code == 1 and "no topic 'orders'" in r.err and r.out == "", "a missing topic is not made by accident: 1", r)
r = neap("send", "orders", '{"n":0}', "--create", *D)
ok(r.code == 0 and r.out == "orders/0:0\n" and "created topic orders" in r.err, "--create makes it, and says so on standard error", r)
r = neap("send", "orders", '{"n":1}', '{"n":\n2}', "", "--create", "--key", "anna", "--header", "a=1", "--header", "b=x=y", *D)
ok(r.code == 0 and r.out == "orders/0:1\norders/0:2\norders/0:3\n" and r.err == "", "words are events, a newline in one is its own", r)
lines = neap("tail", "orders", "--json", "--from", "1", *D).lines()
ok([(x["key"], x["headers"], x.get("value", x.get("text"))) for x in lines] ==
   [("anna", {"a": "1", "b": "x=y"}, {"n": 1}), ("anna", {"a": "1", "b": "x=y"}, '{"n":\n2}'), ("anna", {"a": "1", "b": "x=y"}, "")],
   "with the key and the headers they were given", lines)
neap("topic", "create", "wide", "--partitions", "5", *D)
many = "".join(json.dumps({"key": f"k{n % 40}", "value": {"n": n}, "headers": {"h": str(n)}, "time": 1000 + n}) + "\n" for n in range(10000))
r = neap("send", "wide", "--json", *D, stdin=many.encode())
answers = r.lines()
ok(r.code == 0 and sum(x["count"] for x in answers) == 10000, "ten thousand lines of JSON into five partitions, each place told", r.code)
got = [x for p in range(5) for x in neap("topic", "read", "wide", "--partition", str(p), "--json", *D).lines()]
places = {}
n = 0
for x in answers:
    for i in range(x["count"]):
        places[n] = (x["partition"], x["offset"] + i)
        n += 1
ok(len(got) == 10000 and all(places[x["value"]["n"]] == (x["partition"], x["offset"]) for x in got), "and each is where the answer says")
ok(all(x["key"] == f"k{x['value']['n'] % 40}" and x["headers"] == {"h": str(x["value"]["n"])} and
       x["time"] == f"1970-01-01T00:00:{(1000 + x['value']['n']) / 1000:06.3f}Z" for x in got), "with its key, header and time")
homes = {}
for x in got:
    homes.setdefault(x["key"], set()).add(x["partition"])
order = {}
ok(all(len(h) == 1 for h in homes.values()) and
   all(order.setdefault(x["key"], -1) < x["value"]["n"] and order.update({x["key"]: x["value"]["n"]}) is None for x in got),
   "events of one key lie in one partition, in order")
r2 = neap("send", "orders", "x", "--key", "k1", "--partition", "0", *D)
again = neap("send", "wide", "x", "--key", "k1", *D)
ok(again.out.split(":")[0] == f"wide/{list(homes['k1'])[0]}", "--key finds the same partition as a key in JSON", again)
r = neap("send", "wide", "x", "--partition", "9", *D)
ok(r.code == 1 and "no partition 9" in r.err, "a partition that is not there: 1", r)

raw = bytes(range(256))
line = json.dumps({"key_base64": base64.b64encode(raw).decode(), "value_base64": base64.b64encode(raw * 3).decode()}) + "\n"
neap("send", "binary", "--json", "--create", *D, stdin=line.encode() + b'{"key":null,"value":null}\n{"text":"a\\u0000b","key":"\\u20ac"}\n')
x = neap("tail", "binary", "--json", *D).lines()
ok(base64.b64decode(x[0]["key_base64"]) == raw and base64.b64decode(x[0]["value_base64"]) == raw * 3, "bytes that are no text go in and come out as base64", x[0])
ok("key" not in x[1] and x[1]["value"] is None and x[2]["text"] == "a\0b" and x[2]["key"] == "\u20ac", "no key, no value, a NUL and a euro sign", x[1:])
copied = neap("tail", "binary", "--json", *D).out
neap("send", "copy", "--json", "--create", *D, stdin=copied.encode())
ok(neap("tail", "copy", "--json", *D).out == copied.replace('"topic":"binary"', '"topic":"copy"'), "what tail --json prints, send --json takes: the same events")
def large_ones(most):
    """Events that a topic just takes, each in the letters that make its line longest."""
    yield {"text": "\0" * most}, 6
    yield {"text": "\x1f" * (most - 4), "key": "\x01" * 4}, 6
    yield {"value_base64": base64.b64encode(b"\xff" * most).decode()}, 1.3
    yield {"text": "\u0002" * (most - 500000), "headers": {"\x03" * 1000: "\x04" * 499000}}, 6

write("large.yaml", "node: {data: d}\ntopics: {large: {max_record: 3MiB}, usual: {}, large-copy: {max_record: 3MiB}, usual-copy: {}}\n"
      + pipeline(source="topic: usual", sink=None))
neap("run", "large.yaml", "--until-idle", "--log", "error")
for topic, most in (("large", 3 << 20), ("usual", 1 << 20)):
    told = []
    for event, times in large_ones(most):
        line = json.dumps(event).encode() + b"\n"
        r = neap("send", topic, "--json", *D, stdin=line)
        told.append(r.code == 0 and len(r.out.splitlines()) == 1 and len(line) > times * most)
    over = neap("send", topic, "--json", *D, stdin=json.dumps({"text": "\0" * (most + 1)}).encode() + b"\n")
    ok(all(told) and over.code == 1 and "longer" in over.err, f"{topic}: the largest events that a topic takes go in, however long their lines", (told, over))
    printed = neap("tail", topic, "--json", "--from", "earliest", *D).out
    r = neap("send", f"{topic}-copy", "--json", *D, stdin=printed.encode())
    again = neap("tail", f"{topic}-copy", "--json", "--from", "earliest", *D).out
    ok(r.code == 0 and len(printed.splitlines()) == 4 and again == printed.replace(f'"topic":"{topic}"', f'"topic":"{topic}-copy"'),
       f"{topic}: and through tail --json | send --json, as they are", (r.code, r.err, len(printed), len(again)))
r = neap("send", "usual-copy", '{"key":"a","value":[1, 2]}', '{"text":"b"}', "--json", *D)
bad = neap("send", "usual-copy", '{"key":"a","value":1}', '{"tex":"b"}', "--json", *D)
ok([x["offset"] + i for x in r.lines() for i in range(x["count"])] == [4, 5] and bad.code == 1 and "event 2: a member" in bad.err and bad.out == "",
   "words of JSON are events, too", (r, bad))

r = neap("send", "orders", "x", *D, "--key", b"\xff\xfe")
ok(r.code == 2 and "key_base64" in r.err, "a key that is no text is not bent into one: 2, and says how", r)
before = len(neap("tail", "orders", "--json", "--from", "earliest", *D).lines())
for bad, why in ((b'{"value":1}\n{"valu":1}\n', "event 2"), (b"[1]\n", "no JSON object"), (b'{"key":7}\n', "'key'"), (b'{"time":"noon"}\n', "'time'"),
                 (b'{"headers":{"a":1}}\n', "header"), (b'{"key_base64":"*"}\n', "base64"), (b"{\n", "no JSON object")):
    r = neap("send", "orders", "--json", *D, stdin=bad)
    if r.code != 1 or why not in r.err:
        ok(False, f"a line that is not as it should be is told: {bad!r}", r)
ok(len(neap("tail", "orders", "--json", "--from", "earliest", *D).lines()) == before, "a line that is not as it should be is told with its number, and nothing of its part is in")
r = neap("send", "orders", *D, stdin=b"x" * (1 << 20) + b"\n")
ok(r.code == 0, "a line of a megabyte goes in", r)
r = neap("send", "orders", *D, stdin=b"first\n" + b"x" * (3 << 20) + b"\nlast\n")
ok(r.code == 1 and "event 2 is longer than 1048576" in r.err and len(r.out.splitlines()) == 1, "a larger one is refused with its number, what came before is in", r)
LIMIT = "" if "-" in os.path.basename(os.path.dirname(NEAP)) else "ulimit -v 400000;"   # a sanitizer wants terabytes of addresses
p = subprocess.Popen(f"yes 0123456789abcdef | head -c 200000000 | ({LIMIT} exec '{NEAP}' send big --create --data d) | tail -n 1", shell=True,
                     cwd=SCRATCH, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
out, err = p.communicate(timeout=170)
ok(out == b"big/0:11764705\n", "200 MB through a pipe, in little memory", (out[-100:], err))
r = neap("send", "orders", "x", "--header", "novalue", *D)
ok(r.code == 2 and "NAME=VALUE" in r.err, "a header without '=' is wrong use", r)

# ---- tail
neap("send", "t", "--create", *D, stdin=numbers(0, 100).encode())
ok(values(neap("tail", "t", "--json", *D)) == [{"n": n} for n in range(90, 100)], "tail shows the last ten")
none = neap("tail", "t", "-n", "0", *D)
ok(none.code == 0 and none.out == "", "and -n 0 none of what is there", none)
missing = os.path.join(SCRATCH, "misspelt")
for verb in (["group", "reset", "g", "t", "--to", "latest", "--dry-run"], ["group", "delete", "g", "--yes"], ["topic", "delete", "t", "--yes"],
             ["topic", "alter", "t", "--retention", "forever"], ["send", "t", "{}"]):
    r = neap(*verb, "--data", missing)
    ok(r.code == 4 and "no data directory" in r.err and not os.path.exists(missing), f"{' '.join(verb[:2])} makes no data directory", r)
with open("/dev/full", "w", encoding="utf-8") as full:
    r = subprocess.run([NEAP, "tail", "t", "--json", *D], cwd=SCRATCH, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
ok(r.returncode == 4 and "standard output: disk or quota is full" in r.stderr, "standard output that is full: 4, and said", r)
ok(values(neap("tail", "t", "--json", "-n", "3", *D)) == [{"n": n} for n in range(97, 100)], "-n 3 the last three")
ok(values(neap("tail", "t", "--json", "--limit", "200", *D)) == [{"n": n} for n in range(100)], "and all, where there are fewer")
ok(values(neap("tail", "t", "--json", "--from", "95", *D)) == [{"n": n} for n in range(95, 100)], "--from an offset")
ok(values(neap("tail", "t", "--json", "--from", "earliest", "-n", "2", *D)) == [{"n": 0}, {"n": 1}], "--from earliest -n 2: the first two")
ok(neap("tail", "t", "--from", "latest", *D).out == "", "--from latest: nothing that is there already")
neap("send", "when", "early", "--create", *D)
second = int(time.time())
while int(time.time()) <= second:   # the time of coming in is kept to the second
    time.sleep(0.02)
neap("send", "when", "late", *D)
moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(second + 1))
ok(values(neap("tail", "when", "--json", "--since", moment, *D)) == ["late"] and values(neap("tail", "when", "--json", "--since", "10m", *D)) == ["early", "late"],
   "--since a moment, and so long ago")
ok(values(neap("tail", "when", "--json", "--until", moment, *D)) == ["early"] and values(neap("tail", "when", "--json", "--until", "10m", *D)) == []
   and values(neap("tail", "when", "--json", "--since", moment, "--until", moment, *D)) == [], "--until a moment")
r = neap("tail", "t", "-n", "1", *D)
ok(r.code == 0 and r.out.startswith("0:99  20") and r.out.endswith('Z  -  {"n":99}\n'), "for people: place, time, key, value", r)
r = neap("tail", "orders", "--key", "anna", "--from", "earliest", "--json", *D)
ok(len(r.lines()) == 3, "--key shows the events of one key", r)
ok(neap("tail", "nothing", *D).code == 1 and neap("tail", "t", "--partition", "1", *D).code == 1, "no such topic, no such partition: 1")
for wrong in (("--from", "soon"), ("--from", "-1"), ("-n", "x"), ("--since", "yesterday"), ("--from", "1", "--since", "1m"), ("--until", "then"),
              ("--until", "1m", "--follow"), ("-x",)):
    r = neap("tail", "t", *wrong, *D)
    if r.code != 2 or r.out:
        ok(False, f"wrong use is 2: {wrong}", r)
p = subprocess.Popen(f"'{NEAP}' tail wide --from earliest --data d | head -n 1", shell=True, cwd=SCRATCH, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
out, err = p.communicate(timeout=60)
ok(out.count(b"\n") == 1 and err == b"", "a reader that has seen enough is left quietly", err)
neap("send", "evil", "--json", "--create", *D, stdin=b'{"key":"\\u001b[2J","text":"\\u001b[31m","headers":{"\\u001b]0;":"\\u009b"}}\n')
code, shown = on_terminal("tail", "evil", *D)
ok("\x1b[2J" not in shown and "\x1b[31m" not in shown and "\x1b]0;" not in shown and "\u009b" not in shown, "nobody's data drives the terminal", shown)

# ---- following a directory at rest, and the node that comes into it
follow = Tail("t", "--follow", "--json", "--from", "98", *D)
ok([x["value"]["n"] for x in follow.lines(2)] == [98, 99], "--follow first shows what is there")
r = neap("send", "t", '{"n":100}', *D)
ok(r.code == 0 and [x["value"]["n"] for x in follow.lines(3)][2:] == [100], "then what a command appends: the directory is free meanwhile", (r, follow.seen))
write("neap.yaml", "node: {data: d}\n" + pipeline(source="topic: t", sink="file: out.ndjson"))
with Running() as run:
    run.until(run.status, "an answer")
    r = neap("send", "t", '{"n":101}', "--file", "neap.yaml")
    ok(r.code == 0 and r.out == "t/0:101\n", "a running node takes what is sent, found by its file", r)
    ok([x["value"]["n"] for x in follow.lines(4)][3:] == [101], "and whoever follows sees it", follow.seen)
    start = time.monotonic()
    r = neap("tail", "t", "--follow", "--from", "latest", "--timeout", "300ms")
    ok(r.code == 7 and r.out == "" and time.monotonic() - start < 20, "--timeout ends it: 7", r)
    r = neap("tail", "t", "--follow", "--from", "100", "-n", "2", "--json")
    ok(r.code == 0 and [x["value"]["n"] for x in r.lines()] == [100, 101], "-n ends it, too", r)
    live = neap("tail", "wide", "--json", "-n", "50").out
    run.stop(signal.SIGKILL)
r = neap("tail", "wide", "--json", "-n", "50", *D)
ok(r.out == live, "a running node and its directory give the same lines", (r, live[-300:]))
r = neap("send", "t", '{"n":102}', *D)
ok(r.code == 0 and [x["value"]["n"] for x in follow.lines(5)] == [98, 99, 100, 101, 102], "the node is killed: what comes later is still seen, nothing twice", follow.seen)
code, talk = follow.stop()
ok(code == -signal.SIGINT and talk == "", "Ctrl-C ends it quietly", (code, talk))
done()
