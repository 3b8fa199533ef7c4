#!/usr/bin/env python3
"""Scores orders: one JSON object a line comes in, one goes out (docs/exec.md)."""
import json
import sys

for line in sys.stdin:
    ask = json.loads(line)
    if "neap" in ask:                       # the first line says who is asking
        continue
    event = ask["event"]
    event["risk"] = "high" if event["total"] > 1000 else "low"
    print(json.dumps({"id": ask["id"], "event": event}), flush=True)
