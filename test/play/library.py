#!/usr/bin/env python3
"""The library as another program meets it: installed, found with pkg-config, linked both ways, killed in the middle."""
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import threading

from lib import NEAP, SCRATCH, TOP, WAIT_S, done, neap, ok

BUILD = os.path.dirname(NEAP)
PREFIX = os.path.join(SCRATCH, "usr")
ENV = dict(os.environ, PKG_CONFIG_PATH=f"{PREFIX}/lib/pkgconfig", LD_LIBRARY_PATH=f"{PREFIX}/lib")


def run(*command, cwd=SCRATCH):
    return subprocess.run(command, cwd=cwd, env=ENV, timeout=WAIT_S, check=False, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def names(*command):
    return [line.split()[-1].split("@")[0] for line in run("nm", *command).stdout.splitlines() if len(line.split()) == 3]


if not os.path.exists(os.path.join(BUILD, "libneap.so")):
    ok(True, "the library is not built with sanitizers; nothing to look at")
    done()

# ---- installed
r = run(os.path.join(TOP, "scripts", "install"), BUILD, PREFIX)
parts = ["bin/neap", "include/neap/neap.h", "include/neap/status.h", "lib/libneap.so", "lib/libneap.so.0", "lib/libneap.a",
         "lib/pkgconfig/neap.pc"]
ok(r.returncode == 0 and all(os.path.exists(os.path.join(PREFIX, p)) for p in parts),
   "make install puts binary, headers, both libraries and neap.pc in place", r)
staged = run(os.path.join(TOP, "scripts", "install"), BUILD, "/opt/neap", os.path.join(SCRATCH, "stage"))
with open(os.path.join(SCRATCH, "stage/opt/neap/lib/pkgconfig/neap.pc"), encoding="utf-8") as f:
    ok("prefix=/opt/neap\n" in f.read(), "under DESTDIR neap.pc names the place it will have", staged)
r = run(os.path.join(TOP, "scripts", "install"), BUILD, os.path.relpath(os.path.join(SCRATCH, "near"), TOP))
with open(os.path.join(SCRATCH, "near/lib/pkgconfig/neap.pc"), encoding="utf-8") as f:
    prefix = f.readline().strip().removeprefix("prefix=")
ok(os.path.isabs(prefix) and os.path.samefile(prefix, os.path.join(SCRATCH, "near")), "a relative PREFIX is absolute in neap.pc", prefix)
ok("ldconfig" in r.stdout, "and what the loader needs is said", r)
version = neap("version").out.split()[1]
ok(run("pkg-config", "--modversion", "neap").stdout.strip() == version, "pkg-config, header and command say one version")

header = '#include <neap/neap.h>\nint main(void) { return neap_version()[0] == 0; }\n'
for compiler, suffix, flags in ("cc", "c", ["-std=c11"]), ("c++", "cc", ["-std=c++11"]):
    with open(os.path.join(SCRATCH, f"header.{suffix}"), "w", encoding="utf-8") as f:
        f.write(header)
    r = run(compiler, *flags, "-pedantic", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", f"-I{PREFIX}/include", f"header.{suffix}")
    ok(r.returncode == 0, f"neap.h is plain {flags[0][5:]}, without a warning", r)

# ---- what it shows
with open(os.path.join(TOP, "include/neap/neap.h"), encoding="utf-8") as f:
    declared = set(re.findall(r"^NEAP_API [^;(]*?\*?(neap_\w+)\(", f.read(), re.M))
shared = names("-D", "--defined-only", f"{PREFIX}/lib/libneap.so")
shown = {n for n in shared if n != "NEAP_0"}
ok(len(declared) > 20 and shown == declared, "libneap.so shows what neap.h declares, and nothing else",
   (shown ^ declared, len(declared)))
archive = set(names("-g", "--defined-only", f"{PREFIX}/lib/libneap.a"))
ok({n for n in archive if not n.startswith(("_Z", "DW.ref"))} == declared, "and so does libneap.a", archive ^ declared)
dynamic = run("readelf", "-dW", f"{PREFIX}/lib/libneap.so").stdout
ok("soname: [libneap.so.0]" in dynamic and "NOOPEN" not in dynamic, "it has a soname, and may be opened at run time", dynamic)

# ---- the example, against what was installed
shutil.copytree(os.path.join(TOP, "examples/embed"), os.path.join(SCRATCH, "embed"))
embed = os.path.join(SCRATCH, "embed")
r = run("make", cwd=embed)
ok(r.returncode == 0 and "warning" not in r.stderr, "examples/embed builds against the installed library, shared and static", r)
linked = run("ldd", "embed", cwd=embed).stdout
ok(f"{PREFIX}/lib/libneap.so.0" in linked and "libneap" not in run("ldd", "embed-static", cwd=embed).stdout,
   "the one asks for libneap.so.0, the other for nothing", linked)
for program in "embed", "embed-static":
    data = os.path.join(SCRATCH, f"data-{program}")
    wrote = run(f"./{program}", data, "append", "2000", cwd=embed)
    first, second = run(f"./{program}", data, "read", cwd=embed), run(f"./{program}", data, "read", cwd=embed)
    want = [f'{i} {{"number":{i}}}' for i in range(2000)]
    ok(wrote.returncode == 0 and wrote.stdout.splitlines() == [f"durable {i}" for i in range(2000)],
       f"{program}: each append is answered once it is durable, in order", wrote)
    ok(first.stdout.splitlines() == want and second.stdout == "" and second.returncode == 0,
       f"{program}: a reader gets all of it, and its group goes on where it was", (first, second))

data = os.path.join(SCRATCH, "data-many")
wrote = run("./embed", data, "append", "110000", cwd=embed)
first, second = run("./embed", data, "read", cwd=embed), run("./embed", data, "read", cwd=embed)
ok(wrote.returncode == 0 and first.returncode == 0 and len(first.stdout.splitlines()) == 110000 and second.stdout == "",
   "embed: a reader commits as often as it likes: 1,100 commits on the way, and all are kept",
   (first.returncode, first.stderr, len(first.stdout.splitlines()), len(second.stdout.splitlines())))

ran = run("./embed", os.path.join(SCRATCH, "data-embed"), "run", "numbers.yaml", cwd=embed)
with open(os.path.join(embed, "doubled.ndjson"), encoding="utf-8") as f:
    rows = sorted((json.loads(line) for line in f), key=lambda row: row["number"])  # events without a key have no order
ok(ran.stdout == "doubled: accepted 2000, filtered 200, delivered 1800, dead letters 0, in flight 0\n" and
   rows == [{"number": n, "double": 2 * n, "odd": n % 2 == 1} for n in range(2000) if n % 10],
   "embed runs a pipeline file, with a function of its own as a stage", ran)
r = neap("run", "numbers.yaml", cwd=embed)
ok(r.code == 1 and "numbers.yaml:7:26: error: no handler 'double' is registered in this process" in r.err,
   "neap run has no such function: exit 1, with line and column", r)
r = neap("check", "numbers.yaml", cwd=embed)
ok(r.code == 0 and "numbers.yaml:7:26: warning: 'double' is registered by the program" in r.out,
   "neap check says that it cannot know", r)

# ---- killed at any moment, started again
lost, killed = [], 0
data = os.path.join(SCRATCH, "data-killed")
for turn in range(8):
    p = subprocess.Popen(["./embed", data, "append", "100000000"], cwd=embed, env=ENV, stdout=subprocess.PIPE, text=True)
    answered = 0
    for _ in range(50 + 400 * turn):
        answered = int(p.stdout.readline().split()[1])
    p.send_signal(signal.SIGKILL)
    answered = max([answered] + [int(line.split()[1]) for line in p.stdout.read().splitlines() if line.startswith("durable ") and line[8:].isdigit()])
    p.wait()
    killed += p.returncode == -signal.SIGKILL
    read = run("./embed", data, "read", cwd=embed).stdout.splitlines()
    numbers = [json.loads(line.split(" ", 1)[1])["number"] for line in read]
    if len(numbers) <= answered or numbers != list(range(len(numbers))):
        lost.append((turn, answered, len(numbers)))
ok(killed == 8 and not lost, "kill -9 at eight moments: everything that was answered is there after it, once and in order", (killed, lost))

# ---- a run with a function of its own, killed on the way: each row once
data = os.path.join(SCRATCH, "data-rows")
with open(os.path.join(embed, "rows.yaml"), "w", encoding="utf-8") as f:
    f.write("pipelines:\n  rows:\n    source: {topic: numbers}\n    stages: [plugin: {symbol: double}]\n"
            "    sink: {sqlite: {path: rows.db, table: t, columns: [number, double]}}\n    guarantee: exactly_once\n")
run("./embed", data, "append", "30000", cwd=embed)
kills = 0
for turn in range(10):
    p = subprocess.Popen(["./embed", data, "run", "rows.yaml"], cwd=embed, env=ENV, stdout=subprocess.DEVNULL)
    try:
        p.wait(0.03 + 0.03 * turn)
    except subprocess.TimeoutExpired:
        p.kill()
        p.wait()
        kills += 1
r = run("./embed", data, "run", "rows.yaml", cwd=embed)
with sqlite3.connect(os.path.join(embed, "rows.db")) as db:
    rows = db.execute("SELECT count(*), count(DISTINCT number), sum(double) FROM t").fetchone()
ok(rows == (30000, 30000, 30000 * 29999) and kills > 0 and "delivered 30000, dead letters 0, in flight 0" in r.stdout,
   "kill -9 of a run with a function of its own: each row once", (kills, rows, r))

# ---- a libuv server around it: a line is answered once it is durable
shutil.copytree(os.path.join(TOP, "examples/embed-libuv"), os.path.join(SCRATCH, "embed-libuv"))
libuv = os.path.join(SCRATCH, "embed-libuv")
r = run("make", cwd=libuv)
ok(r.returncode == 0 and "warning" not in r.stderr, "examples/embed-libuv builds against the installed library", r)
data = os.path.join(SCRATCH, "data-libuv")


def serve():
    p = subprocess.Popen(["./server", data, "0"], cwd=libuv, env=ENV, stdout=subprocess.PIPE, text=True)
    return p, int(p.stdout.readline().rsplit(":", 1)[1])


def client(port):
    return socket.create_connection(("127.0.0.1", port), timeout=WAIT_S)


def offsets(lines):
    return [int(line.split()[1]) for line in lines if line.startswith("ok ")]


def in_topic():
    said = neap("topic", "describe", "lines", "--data", data, "--json").lines()
    return next(line["end"] for line in said if "end" in line)


def send_all(s):
    try:
        while True:
            s.sendall(b'{"more":true}\n' * 100)
    except OSError:
        pass


server, port = serve()
got = {}


def talk(number):
    with client(port) as s:
        threading.Thread(target=lambda: (s.sendall(b"".join(b'{"c":%d,"n":%d}\n' % (number, n) for n in range(3000))),
                                         s.shutdown(socket.SHUT_WR))).start()
        got[number] = s.makefile().read().splitlines()


threads = [threading.Thread(target=talk, args=(n,)) for n in range(4)]
for t in threads:
    t.start()
for t in threads:
    t.join()
sets = [offsets(got[n]) for n in range(4)]
ok(all(len(s) == 3000 and s == sorted(s) for s in sets) and sorted(sum(sets, [])) == list(range(12000)),
   "embed-libuv: four clients at once, each line answered with its offset, in order", [len(s) for s in sets])
lazy = client(port)      # sends, and does not read its answers
lazy.settimeout(0.5)
sent = 0
try:
    while sent < 64 << 20:
        sent += lazy.send(b'{"lazy":true}\n' * 4096)
except socket.timeout:
    pass
with client(port) as s:
    s.sendall(b'{"quick":1}\n')
    answer = s.recv(64)
with open(f"/proc/{server.pid}/status", encoding="utf-8") as f:
    kib = int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))
ok(sent < 64 << 20 and answer.startswith(b"ok ") and kib < 200 * 1024,
   "a client that does not read its answers is not read from; the others are, and memory stays", (sent, answer, kib))
lazy.close()
server.terminate()
ok(server.wait(WAIT_S) == 0, "SIGTERM, which is the server's own to handle: it ends, and closes what it opened")

lost = []
for turn in range(4):
    server, port = serve()
    s = client(port)
    threading.Thread(target=lambda: send_all(s), daemon=True).start()
    stream, answered = s.makefile(), -1
    for _ in range(200 + 700 * turn):
        answered = offsets([stream.readline()])[0]
    server.kill()
    try:
        answered = max([answered] + offsets(line for line in stream.read().splitlines(True) if line.endswith("\n")))
    except OSError:
        pass
    server.wait()
    s.close()
    if in_topic() <= answered:
        lost.append((turn, answered, in_topic()))
ok(not lost, "kill -9 of the server: every line that was answered is in the topic", lost)
done()
