#!/usr/bin/env python3
"""A data directory of every released format version is served by the command, and one of a newer version is refused by name."""
import os
import shutil
import struct

from lib import TOP, done, folder, neap, ok

GOLDEN = os.path.join(TOP, "test", "golden")


def copy(version, name):
    home = folder(name)
    shutil.copytree(os.path.join(GOLDEN, version), os.path.join(home, "data"))
    return home


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


for version, count in ("v1", 12), ("v2", 50):
    h = copy(version, version)
    r = neap("doctor", "data", cwd=h)
    ok(r.code == 0, f"doctor finds nothing in a directory of {version}", r)
    r = neap("topic", "read", "orders", "--partition", "1", "--data", "data", cwd=h)
    lines = [line for line in r.out.splitlines() if "q " in line]
    ok(r.code == 0 and len(lines) == count, f"its {count} events of one partition are read", r)
    r = neap("doctor", "data", cwd=h)
    ok(r.code == 0, "and doctor finds nothing afterwards", r)

h = copy("v2", "newer")
path = os.path.join(h, "data", "index", sorted(os.listdir(os.path.join(h, "data", "index")))[0])
with open(path, "r+b") as f:
    head = bytearray(f.read(64))
    head[4:8] = struct.pack("<I", 2)
    f.seek(0)
    f.write(head + struct.pack("<I", crc32c(head)))
r = neap("topic", "list", "--data", "data", cwd=h)
ok(r.code == 5 and os.path.basename(path) in r.err and "format 2, this program knows 1" in r.err,
   "a file of a newer version is named, and exit code 5 says so", r)
done()
