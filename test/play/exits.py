#!/usr/bin/env python3
"""The exit codes of surroundings, damage, storage and signals, each made to happen."""
import os
import re
import shutil
import signal
import subprocess
import time

from lib import NEAP, SCRATCH, Running, done, folder, neap, numbers, ok, pipeline, write

STRACE = shutil.which("strace")


def home(name, follow=False):
    """A folder with a pipeline and 200 events."""
    path = folder(name)
    write("neap.yaml", pipeline(source="file: {path: in.ndjson%s}" % (", follow: true" if follow else "")), cwd=path)
    write("in.ndjson", numbers(0, 200), cwd=path)
    return path


# 4: surroundings
h = home("held", follow=True)
with Running(cwd=h) as run:
    run.until_settled(200)
    r = neap("run", cwd=h)
    ok(r.code == 4 and str(run.process.pid) in r.err, "directory held: 4, with the process's number", r)
    run.stop()
write("data", "a file where the data directory should be", cwd=home("blocked"))
r = neap("run", "--until-idle", cwd=os.path.join(SCRATCH, "blocked"))
ok(r.code in (1, 4) and "data" in r.err, "no place for the data directory: refused, and says where", r)
if os.geteuid() == 0:   # somebody who may not write here; root may everywhere
    h = home("denied")
    shutil.copy(NEAP, os.path.join(h, "neap"))
    os.chmod(SCRATCH, 0o755)
    os.chmod(h, 0o555)
    p = subprocess.run([os.path.join(h, "neap"), "run", "--until-idle"], cwd=h, user="nobody", stdin=subprocess.DEVNULL,
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, check=False)
    ok(p.returncode == 4 and b"data" in p.stderr, "no permission to make the data directory: 4, and says which", p)
    h = home("full")
    os.mkdir(os.path.join(h, "data"))
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", "data"], cwd=h, stderr=subprocess.DEVNULL, check=False).returncode == 0:
        try:
            r = neap("run", "--until-idle", cwd=h)
        finally:
            subprocess.run(["umount", "data"], cwd=h, check=False)
        ok(r.code == 4 and "full" in r.err, "no room for a journal at start: 4, and says so", r)
r = neap("status", "--node", "none.sock")
ok(r.code == 4, "node not reachable: 4", r)

# 5: damage
h = home("damaged")
neap("run", "--until-idle", cwd=h)
ok(neap("doctor", "data", cwd=h).code == 0, "before: doctor says ok")
files = sorted(os.listdir(os.path.join(h, "data", "journal")))
with open(os.path.join(h, "data", "journal", files[0]), "r+b") as f:
    f.seek(1)
    head = f.read(200000)
    at = head.find(b'{"n":17}')
    f.seek(1 + at + 5)
    f.write(b"9")
d = neap("doctor", "data", cwd=h)
ok(at > 0 and d.code == 5 and files[0] in d.out, "one changed byte of an acknowledged event: doctor names the file, 5", d)
with open(os.path.join(h, "data", "journal", files[0]), "rb") as f:
    before = f.read()
r = neap("run", "--until-idle", cwd=h)
with open(os.path.join(h, "data", "journal", files[0]), "rb") as f:
    after = f.read()
ok(r.code == 5 and files[0] in r.err and before == after, "neap run refuses it with 5 and keeps every byte", r)
r = neap("topic", "list", cwd=h)
ok(r.code == 5, "so do the listings", r)
r = neap("doctor", "nowhere")
ok(r.code == 1, "doctor of a directory that is not there: 1", r)

# 6: a failed sync or write stops the node
if ok(STRACE is not None, "strace is there to make calls fail"):
    for call, when in (("fdatasync", 4), ("fdatasync", 7)):
        h = home(f"failing-{call}-{when}")
        r = neap("run", "--until-idle", cwd=h,
                 command=[STRACE, "-f", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:error=EIO:when={when}"])
        again = neap("run", "--until-idle", "--summary", "json", cwd=h)
        full = re.search(r'"accepted":200,"filtered":0,"duplicates":0,"delivered":200', again.out)
        ok(r.code == 6 and again.code == 0 and full, f"{call} number {when} fails: 6; the next run completes the work, nothing twice", (r, again))

    # 134: a bug stops it at once. Here the system claims to have written more than it was given.
    h = home("bug")
    r = neap("run", "--until-idle", cwd=h,
             command=[STRACE, "-f", "-o", "/dev/null", "-e", "trace=pwritev", "-e", "inject=pwritev:retval=100000000:when=9"])
    again = neap("run", "--until-idle", "--summary", "json", cwd=h)
    # strace ends by the signal that ended what it watched; a shell calls that 128+6
    ok(r.code == -signal.SIGABRT and re.search(r"neap: bug: \S+:\d+: \w+: this must hold: ", r.err),
       "what must hold does not: ended by SIGABRT (134 to a shell), with the place and the rule", r)
    ok(again.code == 0 and '"accepted":200' in again.out and '"delivered":200' in again.out, "and the next run completes the work", again)

# 7 is in run.py; 128+n
h = home("killed", follow=True)
with Running(cwd=h) as run:
    run.until_settled(200)
    ok(run.stop(signal.SIGKILL) == -signal.SIGKILL, "SIGKILL: by that signal")
with Running(cwd=h) as run:
    run.until_settled(200)
    ok(run.stop(signal.SIGINT) == 0, "SIGINT: drained, 0", run.talk())
if STRACE:
    # Syncs that take ten seconds: the drain waits, a second signal does not.
    h = home("slow", follow=True)
    slow = [STRACE, "-f", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", "inject=fdatasync:delay_enter=10000000:when=12+"]
    with Running(cwd=h, command=slow) as run:
        run.until(run.status, "an answer")
        with open(f"/proc/{run.process.pid}/task/{run.process.pid}/children", encoding="ascii") as children:
            pid = int(children.read().split()[0])
        for n in range(40):
            with open(os.path.join(h, "in.ndjson"), "ab") as f:
                f.write(numbers(1000 + n, 1001 + n).encode())
            time.sleep(0.02)
        os.kill(pid, signal.SIGTERM)
        time.sleep(0.3)
        try:
            os.kill(pid, signal.SIGTERM)
        except ProcessLookupError:
            pass
        code = run.process.wait(timeout=60)
        ok(code == -signal.SIGTERM, "a second SIGTERM ends it by that signal", (code, run.talk()))
done()
