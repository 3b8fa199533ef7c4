#!/usr/bin/env python3
"""neap explain: the plan in words, and sums that are the node's own."""
import json
import os
import re

from lib import SCRATCH, TOP, done, folder, neap, numbers, ok, pipeline, write

EXAMPLE = os.path.join(TOP, "examples", "commits", "neap.yaml")
r = neap("explain", EXAMPLE)
ok(r.code == 0 and r.err == "" and not os.path.exists(os.path.join(TOP, "examples", "commits", "data", "neap.sock")), "a file is explained without running it", r)
for words in ("pipeline commits", "commits.ndjson", "filter -> map", "SQLite", "exactly once into SQLite: rows and position are one transaction",
              "per key: events of one key lie in one partition", "topic commits.dead", "group commits"):
    ok(words in r.out, f"it says: {words}", r)
listed = neap("explain", EXAMPLE, "--json").lines()
memory = [x for x in listed if "memory" in x]
total = memory[-1]
ok(total["memory"] == "sum" and total["size"] == sum(x["size"] for x in memory[:-1]) <= total["limit"] == 64 << 20, "the bounds add up, and fit", memory)
disk = [x for x in listed if "disk" in x]
ok(disk[-1]["disk"] == "sum" and disk[-1]["size"] == sum(x["size"] for x in disk[:-1]) == disk[-1]["limit"] > 0, "so do the bounds of the disk", disk)
write("disk.yaml", "node: {data: made/later, disk: 1GiB}\n" + pipeline())
disk = [x for x in neap("explain", "disk.yaml", "--json").lines() if "disk" in x]
neap("topic", "create", "t", "disk.yaml")
status = neap("status", "disk.yaml", "--json").lines()[0]
ok(disk[-1]["limit"] == status["disk"] == 1 << 30 and 4 << 20 <= disk[-1]["file_size"] <= 16 << 20 and disk[2]["size"] == (1 << 30) // 100 * 2,
   "of a directory that is still to be made, too: the node's own numbers", (disk, status))
h = folder("run")
write("neap.yaml", pipeline(sink="stdout: {}"), cwd=h)
write("in.ndjson", numbers(0, 3), cwd=h)
logged = neap("run", "--until-idle", "--log", "info", cwd=h)
said = dict(re.findall(r"(\w+)=(\d+)", next(x for x in logged.err.splitlines() if "msg=memory" in x)))
mine = {x["memory"]: x["size"] for x in neap("explain", "--json", cwd=h).lines() if "memory" in x}
ok(int(said.pop("sum")) == mine.pop("sum") and int(said.pop("limit")) == 64 << 20 and
   {re.sub(r"[^a-z]", "_", k.lower()): v for k, v in mine.items()} == {k: int(v) for k, v in said.items() if k in {re.sub(r"[^a-z]", "_", m.lower()) for m in mine}},
   "they are the numbers that neap run is opened with", (said, mine))
write("compact.yaml", pipeline() + "topics:\n  kept: {cleanup: compact}\n")
r = neap("explain", "compact.yaml")
ok("three times its largest batch, unpacked" in r.out and "three times" not in neap("explain", cwd=h).out,
   "what the cleaning of a compacted topic takes beside the bounds is said where there is one", r)
r = neap("explain", cwd=h)
ok("at least once to standard output: what a reader got before a crash it gets again" in r.out, "at least once, and why", r)
made = {x["topic"] for x in neap("topic", "list", "--json", cwd=h).lines()}
planned = {x["topic"] for x in neap("explain", "--json", cwd=h).lines() if "role" in x}
ok(made == planned == {"p", "p.dead"}, "the topics that it names are those that are made", (made, planned))
write("two.yaml", """
topics: {a: {partitions: 4}, spare: {partitions: 2}}
pipelines:
  in: {source: {stdin: {}, to: a, id: event.id}, order: none}
  on: {source: {topic: a}, stages: [{keep: [x], if: event.x}], sink: {topic: {name: b, key: event.y}}}
  out: {source: {topic: b}, sink: {file: out.ndjson}, dead_letter: lost}
""")
r = neap("explain", "two.yaml")
ok(r.code == 0 and "nowhere: events stay in their topic" in r.out and "with a key of its own" in r.out and "keep (if)" in r.out and
   "4 partitions" in r.out, "several pipelines, one after the other", r)
roles = {x["topic"]: x["role"] for x in neap("explain", "two.yaml", "--json").lines() if "role" in x}
ok(roles == {"a": "filled by the source of", "b": "filled by", "in.dead": "dead letters of", "on.dead": "dead letters of", "lost": "dead letters of",
             "spare": "in the file, and nobody's"}, "each topic once, with what it is for", roles)
wide = "\n".join(f"  p{n}: {{source: {{file: in{n}}}, sink: {{file: out{n}}}}}" for n in range(40))
write("wide.yaml", f"node: {{memory: 16MiB}}\npipelines:\n{wide}\n")
r = neap("explain", "wide.yaml")
ok(r.code == 1 and "memory" in r.err and r.out == "", "what does not fit into its memory is told, and is a no", r)
write("large.yaml", "node: {disk: 4TiB}\n" + pipeline())
r = neap("explain", "large.yaml")
most = next(x["journal_max"] for x in neap("explain", "large.yaml", "--json").lines() if "journal_max" in x)
ok(r.code == 0 and "journal at most" in r.out and "256.0 GiB" in r.out and most == 256 << 30, "what a journal can hold of a large disk is said", r)
write("call.yaml", pipeline(stages='{call: {url: "http://user:secret@risk.example.com/x?token=secret", into: score, timeout: 2s, cache: {by: event.k, age: 5m}}}'))
r = neap("explain", "call.yaml")
ok(r.code == 0 and "POST to http://risk.example.com:80, at least once" in r.out and "2s for an attempt" in r.out
   and "answers of up to 128" in r.out and "secret" not in r.out, "a call is explained, without its secrets", r)
write("bad.yaml", "pipelines: {p: {sorce: 1}}\n")
r = neap("explain", "bad.yaml")
ok(r.code == 1 and r.out == "" and "bad.yaml:1:" in r.err, "a file with mistakes is not explained: they are told", r)
ok(neap("explain", "nothing.yaml").code != 0 and neap("explain", "a", "b").code == 2, "no such file; too many words")
done()
