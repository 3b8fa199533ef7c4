#!/usr/bin/env python3
"""The lua stage: none, one or several events out of one, that count once, land together, and give up together."""
import json
import os
import random
import signal
import sqlite3
import time

from lib import Running, done, folder, neap, ok, write

FILE = """\
node: {data: ./data, memory: 64MiB}
pipelines:
  p:
    source: {file: {path: in.ndjson, follow: %s}, key: event.customer, id: event.id}
    stages:
      - name: lines
        lua: |
          local vat = {CH = 8, DE = 19}

          local function total(line, country)
            return line.price * (100 + vat[country])
          end

          function process(event)
            if event.test then return nil end
            local lines = {}
            for i, line in ipairs(event.lines) do
              lines[i] = {order = event.id, no = i, total = total(line, event.country), customer = key, meta = event.meta}
            end
            return table.unpack(lines)
          end
      - filter: event.total > 0
    sink: %s
"""
SQLITE = "{sqlite: {path: o.db, table: t, key: [order, no], columns: [order, no, total]}}"


def order(n):
    lines = [{"price": (n + k) % 5} for k in range(n % 4)]  # one in five costs nothing
    country = "DE" if n % 2 else "CH"
    if n % 50 == 49:
        country = "FR"  # no such rate: fails where there is a line
    return {"id": n, "customer": f"c{n % 7}", "lines": lines, "country": country, "test": n % 10 == 0, "meta": {"tags": [], "at": None, "big": 2**63}}


def wanted(count):
    rows, letters, filtered = [], 0, 0
    for n in range(count):
        o = order(n)
        kept = [(n, i + 1, line["price"] * (119 if n % 2 else 108)) for i, line in enumerate(o["lines"]) if line["price"]]
        if o["test"] or (not kept and o["country"] != "FR") or not o["lines"]:
            filtered += 1
        elif o["country"] == "FR":
            letters += 1
        else:
            rows += kept
    return rows, letters, filtered


def orders(first, last):
    return "".join(json.dumps(order(n)) + "\n" for n in range(first, last))


def rows(place):
    db = sqlite3.connect(os.path.join(place, "o.db"), timeout=30)
    found = db.execute('SELECT "order", no, total FROM t ORDER BY rowid').fetchall()
    db.close()
    return found


def summary(r):
    return json.loads(r.out.splitlines()[-1])["pipelines"]["p"]


COUNT = 2000
want, letters, filtered = wanted(COUNT)
p = folder("sqlite")
write("neap.yaml", FILE % ("false", SQLITE), cwd=p)
write("in.ndjson", orders(0, COUNT), cwd=p)
r = neap("run", "--until-idle", "--summary", "json", cwd=p)
told = summary(r)
ok(r.code == 0 and sorted(rows(p)) == sorted(want), "each line of an order is a row", r)
ok((told["filtered"], told["dead_lettered"], told["delivered"], told["produced"], told["in_flight"]) ==
   (filtered, letters, COUNT - filtered - letters, len(want), 0), "an order counts once, and produced counts its rows", told)
shown = neap("dlq", "show", "p.dead", "--json", cwd=p).lines()
dead = [x for x in shown if "reason" in x]
ok(len(dead) == letters and all(x["reason"] == "lua" and x["stage"] == "lines" and x["file"] == "neap.yaml" and x["line"] == 11 and
                                "in total (line 11), process (line 18)" in x["error"] and x["value"]["country"] == "FR" for x in dead),
   "an order that fails is a dead letter, as it came, with the line and the calls that led there", dead[:1])

p = folder("file")
write("neap.yaml", FILE % ("false", "{file: out.ndjson}"), cwd=p)
write("in.ndjson", orders(0, COUNT), cwd=p)
r = neap("run", "--until-idle", cwd=p)
with open(os.path.join(p, "out.ndjson"), encoding="utf-8") as f:
    text = f.read()
found = [json.loads(x) for x in text.splitlines()]
ok(r.code == 0 and [(x["order"], x["no"], x["total"]) for x in found] == want, "into a file too, in their order", r)
ok(all(x["meta"] == {"tags": [], "at": None, "big": 2**63} for x in found) and all(x["customer"] == f"c{x['order'] % 7}" for x in found),
   "what a script passes on keeps null, an empty array and large numbers", found[:1])

# ---- what a sink refuses of one -------------------------------------------------------------------------------------------------
p = folder("refused")
write("neap.yaml", FILE % ("false", SQLITE), cwd=p)
db = sqlite3.connect(os.path.join(p, "o.db"))
db.execute('CREATE TABLE t ("order" INTEGER, no INTEGER, total INTEGER CHECK (total <> 3 * 119), PRIMARY KEY ("order", no))')
db.commit()
db.close()
write("in.ndjson", orders(0, COUNT), cwd=p)
r = neap("run", "--until-idle", "--summary", "json", cwd=p)
told = summary(r)
refused = {n for n, _, total in want if total == 3 * 119}
ok(r.code == 0 and rows(p) == [x for x in want if x[0] not in refused] and told["dead_lettered"] == letters + len(refused) and
   told["accepted"] == told["filtered"] + told["delivered"] + told["dead_lettered"] and told["produced"] == len(rows(p)),
   "one row refused, and none of its order lands: it is one dead letter", (told, len(refused)))

# ---- killed on the way ------------------------------------------------------------------------------------------------------------
p = folder("killed")
chance = random.Random(int(os.environ.get("SEED", "3")))
write("neap.yaml", FILE % ("true", SQLITE), cwd=p)
write("in.ndjson", "", cwd=p)
at, whole = 0, True
for life in range(12):
    with Running("--log", "error", cwd=p) as node:
        for _ in range(3):
            with open(os.path.join(p, "in.ndjson"), "a", encoding="utf-8") as f:
                f.write(orders(at, at + COUNT // 36))
            at += COUNT // 36
            time.sleep(chance.uniform(0, 0.05))
        node.process.send_signal(signal.SIGKILL)
        node.process.wait()
    if os.path.exists(os.path.join(p, "o.db")):
        try:
            there = {}
            for n, no, _ in rows(p):
                there.setdefault(n, []).append(no)
            full = {}
            for n, no, _ in want:
                full.setdefault(n, []).append(no)
            whole = whole and all(there[n] == full[n] for n in there)
        except sqlite3.OperationalError:
            pass  # no table yet
with open(os.path.join(p, "in.ndjson"), "a", encoding="utf-8") as f:
    f.write(orders(at, COUNT))
write("neap.yaml", FILE % ("false", SQLITE), cwd=p)
told = summary(neap("run", "--until-idle", "--summary", "json", cwd=p))
ok(whole, "whenever it is killed, an order is there with all its lines or with none")
ok(sorted(rows(p)) == sorted(want) and told["accepted"] == COUNT == told["filtered"] + told["delivered"] + told["dead_lettered"] and
   told["produced"] == len(want), "and in the end each line once, each order counted once", told)

# ---- limits -----------------------------------------------------------------------------------------------------------------------
p = folder("limits")
write("neap.yaml", """\
node: {memory: 64MiB}
pipelines:
  p:
    source: {stdin: {}}
    stages:
      - lua: |
          function process(event)
            if event.n == 1 then while true do end end
            if event.n == 2 then local t = {} for i = 1, 1e9 do t[i] = {i} end end
            if event.n == 3 then local t = {} for i = 1, 1001 do t[i] = {} end return table.unpack(t) end
            if event.n == 4 then return 4 end
            return event
          end
    sink: {file: out.ndjson}
""", cwd=p)
r = neap("run", "--until-idle", "--summary", "json", cwd=p, stdin=b"".join(b'{"n":%d}\n' % n for n in range(6)))
errors = [x["error"] for x in neap("dlq", "show", "p.dead", "--json", cwd=p).lines() if "error" in x]
with open(os.path.join(p, "out.ndjson"), encoding="utf-8") as f:
    kept = f.read()
ok(r.code == 0 and kept == '{"n":0}\n{"n":5}\n' and len(errors) == 4 and "instructions" in errors[0] and "bytes of memory" in errors[1] and
   "1001 events" in errors[2] and "returned a number" in errors[3], "no script runs for ever, or grows for ever: its event gives up, the others go on", (kept, errors))
r = neap("check", cwd=folder("limits"))
ok(r.code == 0 and "1 stage" in r.out, "check accepts it", r)
write("bad.yaml", FILE % ("false", SQLITE) + "", cwd=p)
write("bad.yaml", (FILE % ("false", SQLITE)).replace("vat[country]", "vta[country]"), cwd=p)
r = neap("check", "bad.yaml", cwd=p)
ok(r.code == 1 and "bad.yaml:11:40: error: lua: unknown name 'vta'" in r.out, "and finds a name that is none, at its place", r)
done()
