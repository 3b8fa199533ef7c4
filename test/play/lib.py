"""lib.py - what scenario tests share: the binary, a pipeline, and a line for each promise that was looked at."""
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time

NEAP = os.environ["NEAP"]
SCRATCH = os.environ["SCRATCH"]
TOP = os.environ["TOP"]
WAIT_S = 60

failures = []


def ok(good, promise, detail=""):
    """Prints the promise; detail only where it is broken."""
    print(f"{'ok' if good else 'not ok'} - {promise}", flush=True)
    if not good:
        failures.append(promise)
        print(f"    {detail}", flush=True)
    return good


def done():
    sys.exit(1 if failures else 0)


class Result:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    def __repr__(self):
        return f"exit {self.code}; out: {self.out[-1500:]!r}; err: {self.err[-1500:]!r}"

    def lines(self):
        return [json.loads(line) for line in self.out.splitlines()]


def neap(*args, cwd=SCRATCH, stdin=b"", env=None, timeout=WAIT_S, command=()):
    """Runs the command with pipes and gives what it said."""
    environment = dict(os.environ)
    environment.pop("NEAP_NODE", None)
    environment.update(env or {})
    try:
        p = subprocess.run([*command, NEAP, *args], cwd=cwd, input=stdin, env=environment, timeout=timeout, check=False,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    except subprocess.TimeoutExpired as e:
        return Result(-999, (e.stdout or b"").decode(errors="replace"), (e.stderr or b"").decode(errors="replace"))
    return Result(p.returncode, p.stdout.decode(errors="replace"), p.stderr.decode(errors="replace"))


def on_terminal(*args, cwd=SCRATCH, env=None, typed=b"", width=120, stop_when=None):
    """Runs the command with a terminal on all three streams; gives (exit code, all it showed)."""
    environment = dict(os.environ, TERM="xterm")
    environment.pop("NEAP_NODE", None)
    environment.update(env or {})
    pid, fd = pty.fork()
    if pid == 0:
        os.chdir(cwd)
        os.environ.clear()
        os.environ.update(environment)
        os.execv(NEAP, [NEAP, *args])
    import fcntl
    import struct
    import termios
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    if typed:
        os.write(fd, typed)
    shown, deadline, told = b"", time.monotonic() + WAIT_S, False
    while time.monotonic() < deadline:
        if select.select([fd], [], [], 0.1)[0]:
            try:
                part = os.read(fd, 65536)
            except OSError:
                break
            if not part:
                break
            shown += part
        if stop_when and not told and stop_when(shown):
            os.kill(pid, signal.SIGTERM)
            told = True
    else:
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    os.close(fd)
    return os.waitstatus_to_exitcode(status), shown.decode(errors="replace")


class Running:
    """neap run in the background; ends when the block does."""

    def __init__(self, *args, cwd=SCRATCH, command=()):
        self.log = open(os.path.join(cwd, f"run-{time.monotonic_ns()}.log"), "w+b")
        self.process = subprocess.Popen([*command, NEAP, "run", *args], cwd=cwd, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=self.log)
        self.cwd = cwd

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.log.close()

    def talk(self):
        self.log.seek(0)
        return self.log.read().decode(errors="replace")

    def until(self, condition, what):
        deadline = time.monotonic() + WAIT_S
        while not condition():
            if self.process.poll() is not None:
                raise AssertionError(f"ended with {self.process.returncode} before {what}: {self.talk()[-2000:]}")
            if time.monotonic() > deadline:
                raise AssertionError(f"never: {what}: {self.talk()[-2000:]}")
            time.sleep(0.01)

    def until_settled(self, count, pipeline="p"):
        """Until the pipeline has accepted that many and has nothing in flight."""
        def settled():
            for line in self.status():
                if line.get("pipeline") == pipeline:
                    return line["accepted"] >= count and line["in_flight"] == 0
            return False
        self.until(settled, f"{count} events settled")

    def status(self, *more):
        """Of the running node; nothing while there is only its directory to ask."""
        r = neap("status", "--json", *more, cwd=self.cwd)
        lines = r.lines() if r.code in (0, 1) else []
        return lines if lines and lines[0]["node"] == "running" else []

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(timeout=WAIT_S)


def write(path, text, cwd=SCRATCH):
    full = os.path.join(cwd, path)
    os.makedirs(os.path.dirname(full), exist_ok=True)
    with open(full, "wb") as f:
        f.write(text if isinstance(text, bytes) else text.encode())
    return full


def folder(name):
    path = os.path.join(SCRATCH, name)
    os.makedirs(path, exist_ok=True)
    return path


def pipeline(sink="sqlite: {path: out.db, table: t, columns: {n: event.n}}", stages="", source="file: {path: in.ndjson}",
             more=""):
    """A file with one pipeline, p."""
    text = f"pipelines:\n  p:\n    source: {{{source}}}\n" if not source.startswith("\n") else f"pipelines:\n  p:\n    source:{source}\n"
    if stages:
        text += f"    stages: [{stages}]\n"
    if sink:
        text += f"    sink: {{{sink}}}\n"
    return text + more


def numbers(first, last):
    return "".join(f'{{"n":{n}}}\n' for n in range(first, last))
