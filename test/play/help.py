#!/usr/bin/env python3
"""The command explains itself: every verb, every flag, every exit code."""
import re

from lib import NEAP, done, neap, ok

overview = neap("help")
verbs = re.findall(r"^  ([a-z]+(?: [a-z]+)?)(?= )", overview.out, re.M)
wanted = ["run", "check", "explain", "send", "tail", "status", "topic list", "topic create", "topic describe", "topic delete",
          "topic alter", "topic append", "topic read", "group list", "group describe", "group reset", "group delete", "dlq list",
          "dlq show", "dlq redrive", "dlq drop", "doctor", "bench", "completion", "help", "version"]
named = [v for v in wanted if re.search(rf"^  {v}\b", overview.out, re.M)]
ok(overview.code == 0 and named == wanted and overview.err == "", "neap help names every verb, on standard output", overview)

bad = []
for verb in wanted:
    result = neap(*verb.split(), "--help")
    if result.code != 0 or f"neap {verb}" not in result.out or "Example:" not in result.out or result.err:
        bad.append((verb, result))
ok(not bad, "every verb's --help has a line of use, its flags and an example", bad)

bad = [(v, r) for v in wanted if (r := neap("help", *v.split())).out != neap(*v.split(), "--help").out]
ok(not bad, "neap help VERB says the same as neap VERB --help", bad)

exits = neap("help", "exit")
codes = re.findall(r"^(\d\S*)\s", exits.out, re.M)
ok(codes == ["0", "1", "2", "3", "4", "5", "6", "7", "128+n"], "neap help exit lists the nine rows of exit codes", exits)

bare = neap()
ok(bare.code == 2, "no verb at all is used wrongly, and shows the verbs", bare)
version = neap("version")
ok(version.code == 0 and re.match(r"neap \d+\.\d+\.\d+\n", version.out), "neap version begins with name and version", version)
ok(neap("--version").out == version.out and neap("--help").out == overview.out, "--help and --version work as people expect",
   NEAP)
done()
