#!/usr/bin/env python3
"""The shell completes what the command knows: bash for real, zsh and fish where they are installed."""
import os
import re
import shutil
import subprocess

from lib import NEAP, SCRATCH, done, neap, ok, write

script = neap("completion", "bash")
ok(script.code == 0 and script.err == "", "neap completion bash is a script", script.code)
write("neap.bash", script.out)
write("pipeline.yaml", "x")
os.makedirs(os.path.join(SCRATCH, "folder"), exist_ok=True)


def complete(*words):
    """What bash offers for the last of these words."""
    line = ["neap", *words]
    text = "source ./neap.bash\nCOMP_WORDS=(" + " ".join(f"'{w}'" for w in line) + f")\nCOMP_CWORD={len(line) - 1}\n_neap\n" + \
        'printf "%s\\n" "${COMPREPLY[@]}"\n'
    p = subprocess.run(["bash", "--norc", "--noprofile", "-eu", "-c", text], cwd=SCRATCH, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, check=False)
    if p.returncode != 0 or p.stderr:
        return [f"exit {p.returncode}: {p.stderr.decode()}"]
    return sorted(x for x in p.stdout.decode().splitlines() if x)


overview = neap("help").out
verbs = re.findall(r"^  ([a-z]+(?: [a-z]+)?)(?= )", overview, re.M)
families = {"topic", "group", "dlq"}
verbs.remove("neap")   # of the line of use
pairs = [v for v in verbs if v.split()[0] in families]
singles = [v.split()[0] for v in verbs if v.split()[0] not in families]
ok(complete("") == sorted(set(singles) | families), "a first word: every verb of the help", complete(""))
ok(complete("to") == ["topic"] and complete("ex") == ["explain"], "what is typed narrows it", complete("to"))
ok(all(complete(f, "") == sorted(v.split()[1] for v in pairs if v.startswith(f + " ")) for f in families), "a second word of topic, group and dlq", complete("topic", ""))
bad = []
for verb in sorted(set(singles)) + pairs:
    flags = sorted(set(re.findall(r"^  (--[a-z-]+)", neap(*verb.split(), "--help").out, re.M)))
    if not flags or complete(*verb.split(), "--") != flags:
        bad.append((verb, flags, complete(*verb.split(), "--")))
ok(not bad, "the flags of every verb, as its --help has them", bad)
ok(complete("run", "--log", "") == ["debug", "error", "info", "off", "warn"], "a flag's words", complete("run", "--log", ""))
ok(complete("run", "--timeout", "") == [], "nothing where anything may stand")
ok(complete("status", "--data", "f") == ["folder"] and complete("check", "pipe") == ["pipeline.yaml"], "folders and files", complete("check", "pipe"))
ok(complete("completion", "") == ["bash", "fish", "zsh"], "its own words")
for shell in ("zsh", "fish"):
    r = neap("completion", shell)
    write(f"neap.{shell}", r.out)
    ok(r.code == 0 and all(v.split()[-1] in r.out for v in verbs), f"neap completion {shell} knows every verb", r.code)
    if shutil.which(shell):
        p = subprocess.run([shell, "-n", f"neap.{shell}"], cwd=SCRATCH, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
        ok(p.returncode == 0 and p.stderr == b"", f"and {shell} reads it", p.stderr)
ok(neap("completion", "tcsh").code == 2 and neap("completion").code == 2, "a shell that it does not know: 2")
done()
