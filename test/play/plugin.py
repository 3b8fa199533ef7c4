#!/usr/bin/env python3
"""A stage in a shared object: built with the public header alone, looked at before it is called, and called as it was promised."""
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import time

from lib import Running, SCRATCH, TOP, WAIT_S, done, folder, neap, ok, write


def build(source, name, place):
    return subprocess.run(["cc", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-std=c11", f"-I{TOP}/include", "-shared", "-fPIC",
                           "-o", name, write(source[0], source[1], place)], cwd=place, timeout=WAIT_S, check=False, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)


# ---- the example
place = folder("example")
for name in "exec", "plugin":
    shutil.copytree(os.path.join(TOP, "examples", name), os.path.join(place, name))
r = subprocess.run(["make", f"NEAP_CFLAGS=-I{TOP}/include"], cwd=os.path.join(place, "plugin"), timeout=WAIT_S, check=False, text=True,
                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
ok(r.returncode == 0 and "warning" not in r.stderr, "examples/plugin builds with the header alone", r)
needs = subprocess.run(["nm", "-D", "--undefined-only", "plugin/score.so"], cwd=place, timeout=WAIT_S, check=False, text=True,
                       stdout=subprocess.PIPE).stdout
ok("neap" not in needs, "and asks for nothing of Neap's by name", needs)
r = neap("run", "plugin/neap.yaml", "--until-idle", cwd=place)
with open(os.path.join(place, "plugin/scored.ndjson"), encoding="utf-8") as f:
    scored = {e["id"]: e["risk"] for e in map(json.loads, f)}
ok(r.code == 0 and scored == {"o-1": "low", "o-2": "high", "o-3": "low", "o-4": "low", "o-5": "low"}, "and runs", (r, scored))

# ---- every verdict, and what is around it
SOURCE = r'''
#include <neap/plugin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static const struct neap_host *host;
static void note(const char *path, const char *text) { FILE *f = fopen(path, "a"); fputs(text, f); fclose(f); }
static enum neap_status begin(const struct neap_host *h, const char *pipeline, const char *stage, void **ret_ctx, struct neap_error *err)
{
    char text[100];
    host = h;
    if (strcmp(stage, "refuses") == 0) {
        snprintf(err->text, sizeof err->text, "it is Sunday");
        return NEAP_MISUSE;
    }
    snprintf(text, sizeof text, "open %s/%s\n", pipeline, stage);
    note("calls", text);
    *ret_ctx = strcpy(malloc(5), "mine");
    return h->size >= sizeof *h ? NEAP_OK : NEAP_MISUSE;
}
static enum neap_verdict handle(void *ctx, const struct neap_handled *h, struct neap_call *call)
{
    char json[200];
    unsigned n = 0;
    if (strcmp(ctx, "mine") != 0 || sscanf((const char *)h->event.value.at, "{\"n\":%u", &n) != 1 || host->call_cancelled(call) ||
        host->call_left_ms(call) <= 0 || strcmp(h->topic, "p") != 0 || strcmp(h->stage, "judge") != 0)
        return (enum neap_verdict)99;
    if (n % 4 == 1) {
        host->call_reason(call, "n is odd, once");
        return NEAP_FAIL;
    }
    if (n % 4 == 2)
        return NEAP_DROP;
    if (n % 4 == 3)
        host->call_emit(call, (struct neap_bytes){ json, (size_t)snprintf(json, sizeof json, "{\"n\":%u,\"made\":true}", n) });
    return NEAP_KEEP;
}
static void end(void *ctx) { note("calls", "close\n"); free(ctx); }
NEAP_PLUGIN(judge) = { NEAP_PLUGIN_ABI, sizeof(struct neap_plugin), begin, handle, end };
NEAP_PLUGIN(of_tomorrow) = { NEAP_PLUGIN_ABI + 1, sizeof(struct neap_plugin), begin, handle, end };
NEAP_PLUGIN(hollow) = { NEAP_PLUGIN_ABI, sizeof(struct neap_plugin), NULL, NULL, NULL };
'''
place = folder("verdicts")
r = build(("judge.c", SOURCE), "judge.so", place)
ok(r.returncode == 0, "a plugin builds as plain C11, without a warning", r)
write("in.ndjson", "".join(f'{{"n":{n}}}\n' for n in range(400)), place)
FILE = """
pipelines:
  p:
    source: {file: in.ndjson}
    stages:
      - name: %s
        plugin: {path: %s, symbol: %s}
    sink: {file: out.ndjson}
"""
write("neap.yaml", FILE % ("judge", "judge.so", "judge"), place)
r = neap("check", cwd=place)
ok(r.code == 0 and "warning" not in r.out + r.err, "check has nothing to say against it", r)
r = neap("run", "--until-idle", "--summary", "json", cwd=place)
f = json.loads(r.out.splitlines()[-1])["pipelines"]["p"] if r.code == 0 else {}
ok(r.code == 0 and f["delivered"] == 200 and f["filtered"] == 100 and f["dead_lettered"] == 100 and f["in_flight"] == 0,
   "what it keeps, drops and fails is counted as such", r)
with open(os.path.join(place, "out.ndjson"), encoding="utf-8") as out:
    lines = sorted(map(json.loads, out), key=lambda e: e["n"])
ok(lines == [{"n": n, "made": True} if n % 4 == 3 else {"n": n} for n in range(400) if n % 4 in (0, 3)], "and changed as it said")
ok("n is odd, once" in neap("dlq", "show", "p.dead", cwd=place).out, "a dead letter has its reason")
with open(os.path.join(place, "calls"), encoding="utf-8") as calls:
    ok(calls.read() == "open p/judge\nclose\n", "it is opened once, with the names of its stage, and closed once")

# ---- what cannot be run is refused before anything is begun
for stage, path, symbol, words in (("judge", "none.so", "judge", "none.so: cannot open shared object file"),
                                   ("judge", "in.ndjson", "judge", "in.ndjson: "),
                                   ("judge", "judge.so", "jugde", "judge.so has no 'jugde': it is to be exported by NEAP_PLUGIN(jugde)"),
                                   ("judge", "judge.so", "of_tomorrow", "was built for ABI 2 of plugins, and this is 1: build it again"),
                                   ("judge", "judge.so", "hollow", "is no plugin: it has no size, or no handle()"),
                                   ("refuses", "judge.so", "judge", "'judge' in ")):
    other = folder(f"refused-{symbol}-{stage}-{path}")
    for name in "judge.so", "in.ndjson":
        shutil.copy(os.path.join(place, name), other)
    write("neap.yaml", FILE % (stage, path, symbol), other)
    r = neap("run", "--until-idle", cwd=other)
    ok(r.code == 1 and "neap.yaml:7:" in r.err and words in r.err, f"run refuses, with its place: {words}", r)
    ok(not os.path.exists(os.path.join(other, "out.ndjson")) and not os.path.exists(os.path.join(other, "calls")), "and nothing was called", r)
ok("does not want to begin: it is Sunday" in r.err, "one that does not want to begin says why", r)

# ---- pools
CROWD = r'''
#define _GNU_SOURCE
#include <neap/plugin.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
static _Atomic int at_once, most;
static enum neap_verdict handle(void *ctx, const struct neap_handled *h, struct neap_call *call)
{
    int now = atomic_fetch_add(&at_once, 1) + 1, seen = atomic_load(&most);
    while (now > seen && !atomic_compare_exchange_weak(&most, &seen, now))
        ;
    nanosleep(&(struct timespec){ 0, 3000000 }, NULL);
    atomic_fetch_sub(&at_once, 1);
    return ctx == NULL && h != NULL && call != NULL ? NEAP_KEEP : NEAP_FAIL;
}
static void end(void *ctx)
{
    FILE *f = fopen("most", "w");
    fprintf(f, "%d", ctx == NULL ? atomic_load(&most) : -1);
    fclose(f);
}
NEAP_PLUGIN(crowd) = { NEAP_PLUGIN_ABI, sizeof(struct neap_plugin), NULL, handle, end };
'''
place = folder("pools")
r = build(("crowd.c", CROWD), "crowd.so", place)
ok(r.returncode == 0, "a plugin without open() builds", r)
write("in.ndjson", "".join(f'{{"n":{n}}}\n' for n in range(300)), place)
POOLS = """
pools:
  few: %s
  unused: {max: 1}
defaults: {pool: few}
pipelines:
  p:
    source: {file: in.ndjson}
    stages: [plugin: {path: crowd.so, symbol: crowd, concurrency: 20}]
    sink: {file: p.ndjson}
  q:
    source: {file: {path: in.ndjson}, to: q.in}
    stages: [plugin: {path: crowd.so, symbol: crowd, concurrency: 20}]
    sink: {file: q.ndjson}
"""
for settings, accounts in (("{max: 3}", lambda delivered, filtered: delivered == 600),
                           ("{core: 1, max: 3, queue: 10}", lambda delivered, filtered: delivered == 600),
                           ("{max: 3, queue: 5, reject: drop_oldest}", lambda delivered, filtered: filtered > 0 and delivered > 0),
                           ("{max: 3, reject: drop_newest}", lambda delivered, filtered: filtered > 0 and delivered > 0)):
    shutil.rmtree(os.path.join(place, "neap.yaml.data"), ignore_errors=True)
    shutil.rmtree(os.path.join(place, "data"), ignore_errors=True)
    for name in "p.ndjson", "q.ndjson":
        if os.path.exists(os.path.join(place, name)):
            os.unlink(os.path.join(place, name))
    write("neap.yaml", POOLS % settings, place)
    r = neap("run", "--until-idle", "--summary", "json", cwd=place)
    both = json.loads(r.out.splitlines()[-1])["pipelines"] if r.code == 0 else {}
    good = all(f["delivered"] + f["filtered"] == 300 and f["dead_lettered"] + f["in_flight"] == 0 for f in both.values())
    sums = [sum(f[what] for f in both.values()) for what in ("delivered", "filtered")]
    ok(r.code == 0 and good and accounts(*sums), f"two pipelines share a pool: {settings}", r)
    with open(os.path.join(place, "most"), encoding="utf-8") as f:
        ok(f.read() == "3", "and it has as many threads as it may have, and no more")
ok("an event is dropped" in r.err, "what is dropped is logged", r)
r = neap("check", cwd=place)
ok(r.code == 0 and "neap.yaml:4:3: warning: no stage uses pool 'unused'" in r.out, "check names a pool that nobody uses", r)
write("neap.yaml", (POOLS % "{core: 4, max: 3}").replace("pool: few", "pool: fwe"), place)
r = neap("check", cwd=place)
ok(r.code == 1 and "there is no pool 'fwe' in 'pools'; did you mean 'few'?" in r.out and "keeps 4 threads ('core') of at most 3" in r.out,
   "and one that is not there, or cannot be", r)
# ---- an event that never ends, over many starts
HANGS = r'''
#include <neap/plugin.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
static const struct neap_host *host;
static enum neap_status begin(const struct neap_host *h, const char *pipeline, const char *stage, void **ret_ctx, struct neap_error *err)
{
    (void)pipeline, (void)stage, (void)err;
    host = h;
    *ret_ctx = NULL;
    return NEAP_OK;
}
static enum neap_verdict handle(void *ctx, const struct neap_handled *h, struct neap_call *call)
{
    unsigned n = 0;
    (void)ctx;
    (void)sscanf((const char *)h->event.value.at, "{\"n\":%u", &n);
    while (n == 0)
        sleep(1000);
    if (n % 2 == 0)
        return NEAP_KEEP;
    host->call_reason(call, "odd");
    return NEAP_FAIL;
}
static void end(void *ctx) { (void)ctx; }
NEAP_PLUGIN(hangs) = { NEAP_PLUGIN_ABI, sizeof(struct neap_plugin), begin, handle, end };
'''
place = folder("hangs")
r = build(("hangs.c", HANGS), "hangs.so", place)
ok(r.returncode == 0, "a plugin that hangs is built", r)
write("in.ndjson", "".join(f'{{"n":{n}}}\n' for n in range(20000)), place)
write("neap.yaml", """
node: {memory: 256MiB}
pipelines:
  p:
    source: {file: {path: in.ndjson, follow: true}, id: event.n}
    stages: [plugin: {path: ./hangs.so, symbol: hangs, concurrency: 256, timeout: 1h}]
    sink: {sqlite: {path: out.db, table: t, key: [n], columns: [n]}}
""", place)


def settled():
    """Bytes of what is noted as done beyond the first event, and rows."""
    try:
        with sqlite3.connect(f"file:{place}/out.db?mode=ro", uri=True) as db:
            return db.execute("SELECT length(done), delivered FROM neap_offsets").fetchone() or (0, 0)
    except sqlite3.Error:
        return 0, 0


sizes, before = [], (0, 0)
for life in range(4):
    with Running(cwd=place) as running:
        seen, since, deadline = before, time.monotonic(), time.monotonic() + (WAIT_S if life < 2 else 1)
        while time.monotonic() < deadline and (seen == before or time.monotonic() < since + 0.4):
            time.sleep(0.05)
            if settled() != seen:
                seen, since = settled(), time.monotonic()
        running.process.send_signal(signal.SIGKILL)
        running.process.wait()
    before = seen
    sizes.append(seen[0])
ok(0 < sizes[0] < sizes[1] and sizes[-1] == sizes[1] < 32768,
   "what is noted beyond an event that never ends stays within bounds, however often the node is killed", sizes)
done()
