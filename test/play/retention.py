#!/usr/bin/env python3
"""Who looks at a node sees what its topics keep, and who keeps events from being freed."""
import os

from lib import done, folder, neap, ok, write

h = folder("retention")
write("neap.yaml", """topics:
  orders: {partitions: 2, retention: {time: 7d, size: 1GiB}, durability: {interval: 20ms}}
  latest: {cleanup: compact, max_record: 64KiB}
pipelines:
  in:
    source: {file: in.ndjson, key: event.k}
    sink: {topic: orders}
  back:
    source: {topic: orders}
    sink: {sqlite: {path: gone/out.db, table: t, columns: {k: event.k}}}
""", cwd=h)
write("in.ndjson", "".join(f'{{"k":"{n % 10}"}}\n' for n in range(100)), cwd=h)
os.mkdir(os.path.join(h, "gone"))
assert neap("run", "--until-idle", cwd=h).code == 0
os.remove(os.path.join(h, "gone", "out.db"))
os.rmdir(os.path.join(h, "gone"))

topics = {x["topic"]: x for x in neap("topic", "list", "--json", cwd=h).lines()}
ok(topics["orders"]["keeps"] == "7d, 1GiB" and topics["orders"]["durability"] == "20ms" and topics["orders"]["cleanup"] == "delete",
   "a topic's settings are listed as they were written", topics["orders"])
ok(topics["in"]["keeps"] == "done" and topics["in.dead"]["keeps"] == "forever" and topics["latest"]["keeps"] == "forever",
   "and the defaults: done for a source's topic, forever for dead letters and what is compacted", topics)
ok(topics["latest"]["cleanup"] == "compact" and topics["latest"]["max_record"] == 65536, "compacted, with its own largest event", topics["latest"])

parts = neap("topic", "describe", "orders", "--json", cwd=h).lines()
ok(len(parts) == 2 and sum(p["end"] - p["start"] for p in parts) == 100 and all("oldest" in p and p["size"] > 0 for p in parts if p["end"]),
   "each partition says from where to where, how much, and since when", parts)

# The sink's folder is gone: its pipeline cannot even start, and what comes in waits for it.
write("in.ndjson", "".join(f'{{"k":"{n % 10}"}}\n' for n in range(150)), cwd=h)
write("only-in.yaml", """pipelines:
  in:
    source: {file: in.ndjson, key: event.k}
    sink: {topic: orders}
""", cwd=h)
assert neap("run", "only-in.yaml", "--until-idle", cwd=h).code == 0
held = {(x["held_by"], x["topic"]): x for x in neap("status", "--json", cwd=h).lines() if "held_by" in x}
ok(set(held) == {("back", "orders")} and held["back", "orders"]["events"] == 50 and held["back", "orders"]["age"] >= 0,
   "status names the pipeline that holds back retention, its topic, and how much waits for it", held)

r = neap("topic", "append", "latest", cwd=h, stdin=b'{"a":1}\n')
ok(r.code == 1 and "compacted" in r.err and "key" in r.err, "a compacted topic takes no event without a key", r)
r = neap("topic", "append", "latest", "--key", "k", cwd=h, stdin=b'"' + b"x" * 70000 + b'"\n')
ok(r.code != 0 and "65536" in r.err, "and none over its limit, which it names", r)
done()
