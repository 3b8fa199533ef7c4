#!/usr/bin/env python3
"""Topics by hand: made, filled, read, deleted; an answered append is there after kill -9."""
import os
import subprocess

from lib import NEAP, SCRATCH, done, neap, ok, write

D = ("--data", "d")
r = neap("topic", "create", "orders", "--partitions", "3", *D)
ok(r.code == 0 and r.out == "created topic orders with 3 partitions\n" and r.err == "", "topic create says what it made", r)
r = neap("topic", "create", "orders", *D)
ok(r.code == 1 and "exists already" in r.err and r.out == "", "making it again is answered with no: exit 1", r)
for name in ("..", "a/b", "x" * 250, "bäd"):
    r = neap("topic", "create", name, *D)
    if r.code != 1:
        ok(False, f"a topic cannot be called {name[:10]}", r)
ok(neap("topic", "read", "none", *D).code == 1, "no such topic: exit 1")

r = neap("topic", "append", "orders", "--key", "anna", *D, stdin=b'{"n":1}\n{"n":2}\nlast')
ok(r.code == 0 and len(r.out.splitlines()) == 3, "each appended line is answered with its place, a last one without newline too", r)
r2 = neap("topic", "append", "orders", "--key", "anna", *D, stdin=b"again\n")
ok(r2.out.split(":")[0] == r.out.split(":")[0] and r2.out.endswith(":3\n"), "the same key comes into the same partition, behind", r2)
r = neap("topic", "read", "orders", *D)
ok(r.out == '{"n":1}\n{"n":2}\nlast\nagain\n', "topic read gives the events as they were written, one a line", r)
lines = neap("topic", "read", "orders", "--json", *D).lines()
ok([x.get("value", x.get("text")) for x in lines] == [{"n": 1}, {"n": 2}, "last", "again"]
   and all(x["key"] == "anna" and x["topic"] == "orders" and "time" in x for x in lines), "--json gives place, time, key and value", lines)
partition = str(lines[0]["partition"])
r = neap("topic", "read", "orders", "--partition", partition, "--from", "1", "--limit", "2", *D)
ok(r.out == '{"n":2}\nlast\n', "--from and --limit cut out a part", r)
r = neap("topic", "read", "orders", "--partition", "7", *D)
ok(r.code == 1 and "no partition 7" in r.err, "a partition that is not there is named", r)

r = neap("topic", "create", "wide", "--partitions", "9999", *D)
ok(r.code == 1 and "9999 more partitions: there are 3 already, and at most 10000" in r.err,
   "more partitions than a node holds: 1, with both numbers, and no word of a full disk", r)
write("wide.yaml", "node: {data: d}\ntopics: {wide: {partitions: 9999}}\npipelines: {p: {source: {topic: orders}, sink: {file: out}}}\n")
r = neap("run", "wide.yaml", "--until-idle")
ok(r.code != 0 and "at most 10000" in r.err and "full" not in r.err, "a file that asks for them is told the same", r)

many = "".join(f"{n}\n" for n in range(30000)).encode()
neap("topic", "create", "many", *D)
r = neap("topic", "append", "many", *D, stdin=many)
ok(r.code == 0 and r.out.splitlines()[-1] == "many/0:29999", "more lines than one question takes are appended in order", r)
ok(neap("topic", "read", "many", *D).out.encode() == many, "and read back, all of them")

long_line = b"x" * (1 << 20)
r = neap("topic", "append", "many", *D, stdin=b"before\n" + long_line + b"y\nafter\n")
ok(r.code == 1 and "longer than" in r.err, "a line over a megabyte is refused, and said", r)
r = neap("topic", "append", "many", *D, stdin=long_line[:-1] + b"\n")
ok(r.code == 0, "one of a megabyte is not", r)

# An answered append survives: append, read the answer, kill at once.
p = subprocess.Popen([NEAP, "topic", "append", "orders", "--partition", "0", *D], cwd=SCRATCH, stdin=subprocess.PIPE,
                     stdout=subprocess.PIPE)
p.stdin.write(b"precious\n")
p.stdin.flush()
answer = p.stdout.readline()
p.kill()
p.wait()
p.stdin.close()
p.stdout.close()
r = neap("topic", "read", "orders", "--partition", "0", *D)
ok(answer.startswith(b"orders/0:") and "precious" in r.out, "an answered append is there after kill -9", (answer, r))

r = neap("topic", "list", "--json", *D)
ok({x["topic"]: x["events"] for x in r.lines()}.get("orders", 0) >= 5, "topic list counts the events", r)
r = neap("topic", "describe", "orders", "--json", *D)
ok(len(r.lines()) == 3, "topic describe has a line per partition", r)
r = neap("topic", "delete", "orders", "--yes", *D)
ok(r.code == 0 and neap("topic", "describe", "orders", *D).code == 1, "topic delete --yes deletes", r)
r = neap("topic", "create", "orders", *D)
ok(r.code == 0 and neap("topic", "read", "orders", *D).out == "", "a topic of the same name begins empty", r)

r = neap("topic", "list", "--data", "nowhere")
ok(r.code == 4 and not os.path.exists(os.path.join(SCRATCH, "nowhere")), "looking makes no data directory: exit 4", r)
r = neap("topic", "list", "--node", "nobody.sock")
ok(r.code == 4 and "nobody.sock" in r.err, "no node at a socket: exit 4, and says which", r)
r = neap("topic", "list", env={"NEAP_NODE": os.path.join(SCRATCH, "d")})
ok(r.code == 0 and "orders" in r.out, "$NEAP_NODE names the node", r)
r = neap("doctor", "d")
ok(r.code == 0 and "nothing is damaged" in r.out, "doctor finds nothing wrong with all that", r)
done()
