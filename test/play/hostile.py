"""hostile.py - a server that misbehaves as its path says: hangs, resets, drips, lies. Loopback only.

    python3 hostile.py [CERTIFICATE KEY]

Says its port and that of TLS (0: none) in one line, and serves until it is killed or its standard input ends.
"""
import asyncio
import json
import socket
import ssl
import struct
import sys
import time
import urllib.parse

counts = {"connections": 0, "open": 0, "requests": 0, "tenth": 0, "broken": 0}
journal = []            # of /score: [number, key, Idempotency-Key, when] of each request, as it came
frozen = asyncio.Event()


def head(status, size, *headers, reason="Said"):
    lines = [f"HTTP/1.1 {status} {reason}", *headers]
    if size is not None:
        lines.append(f"Content-Length: {size}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def whole(status, body, *headers):
    return head(status, len(body), *headers) + body


class Closed(Exception):
    """This connection ends here."""


async def hang(writer, reader, query):
    await reader.read()                              # until the other side gives up
    counts["broken"] += 1
    raise Closed


async def reset(writer, reader, query):
    writer.write(head(200, 1000) + b"x" * 100)
    await writer.drain()
    await asyncio.sleep(0.02)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    raise Closed


async def partial(writer, reader, query):
    writer.write(head(200, 1000) + b"x" * 100)
    await writer.drain()
    raise Closed


async def close(writer, reader, query):
    raise Closed


async def last(writer, reader, query):
    """Keeps its word about the answer, and not about the connection."""
    writer.write(whole(200, b"last"))
    await writer.drain()
    raise Closed


async def garbage(writer, reader, query):
    writer.write(b"SSH-2.0-OpenSSH_9.2p1\r\n" * 3)
    await writer.drain()
    raise Closed


async def drip(writer, reader, query):
    writer.write(head(200, 1000000))
    for _ in range(10000):
        writer.write(b"d")
        await writer.drain()
        await asyncio.sleep(query.get("ms", 20) / 1000)
    raise Closed


async def long_head(writer, reader, query):
    writer.write(b"HTTP/1.1 200 Said\r\n")
    for i in range(5000):
        writer.write(f"X-Filler-{i}: {'y' * 100}\r\n".encode())
        await writer.drain()
    writer.write(b"Content-Length: 0\r\n\r\n")
    await writer.drain()


async def latency(writer, reader, query):
    await asyncio.sleep(query.get("ms", 0) / 1000)
    writer.write(whole(200, b"late"))


async def tenth(writer, reader, query):
    counts["tenth"] += 1
    fails = counts["tenth"] % 10 == 0
    await asyncio.sleep(query.get("ms", 0) / 1000)
    writer.write(whole(500, b"no") if fails else whole(200, b"yes"))


async def large(writer, reader, query):
    writer.write(whole(200, b"l" * query["size"]))


async def busy(writer, reader, query):
    writer.write(whole(429, b"{}", "Retry-After: 7", "Content-Type: application/json"))


async def redirect(writer, reader, query):
    writer.write(whole(302, b"", "Location: /ok"))


async def interim(writer, reader, query):
    writer.write(head(103, None, "Retry-After: 1") + whole(200, b"final"))


async def ok(writer, reader, query):
    writer.write(whole(200, b"ok", "Content-Type: text/plain"))


async def score(writer, reader, query, headers, body):
    """Scores what it is sent, {"n": …, "k": …}: each whose number `fails` divides is refused for ever. Frozen, it says nothing."""
    event = json.loads(body)
    journal.append([event["n"], event["k"], headers.get("idempotency-key"), time.monotonic()])
    if frozen.is_set():
        await hang(writer, reader, query)
    await asyncio.sleep(query.get("ms", 0) / 1000)
    if query.get("fails", 0) > 0 and event["n"] % query["fails"] == 0:
        writer.write(whole(500, b"this one never"))
    else:
        writer.write(whole(200, json.dumps({"risk": event["n"] * 2}).encode()))


async def freeze(writer, reader, query):
    frozen.set()
    writer.write(whole(200, b"frozen"))


async def thaw(writer, reader, query):
    frozen.clear()
    writer.write(whole(200, b"thawed"))


async def told(writer, reader, query):
    writer.write(whole(200, json.dumps(journal).encode()))


async def stats(writer, reader, query):
    writer.write(whole(200, json.dumps(counts).encode()))


async def answer(reader, writer):
    start = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    method, target, _ = start.split("\r\n")[0].split(" ")
    lines = [line.split(":", 1) for line in start.split("\r\n")[1:] if ":" in line]
    headers = {name.lower(): value.strip() for name, value in lines}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    counts["requests"] += 1
    path, _, text = target.partition("?")
    query = {k: int(v) for k, v in urllib.parse.parse_qsl(text)}
    if path == "/echo":
        said = json.dumps([method, target, headers, body.decode("latin-1")]).encode()
        writer.write(whole(200, said) if method != "HEAD" else head(200, len(said)))
    elif path == "/score":
        await score(writer, reader, query, headers, body)
    elif path[1:] in HANDLERS:
        await HANDLERS[path[1:]](writer, reader, query)
    else:
        writer.write(whole(404, b"no such manner"))
    await writer.drain()


HANDLERS = {"hang": hang, "reset": reset, "partial": partial, "close": close, "last": last, "garbage": garbage, "drip": drip,
            "head": long_head, "latency": latency, "tenth": tenth, "large": large, "busy": busy, "redirect": redirect,
            "interim": interim, "ok": ok, "stats": stats, "freeze": freeze, "thaw": thaw, "journal": told}


async def serve(reader, writer):
    counts["connections"] += 1
    counts["open"] += 1
    try:
        while True:
            await answer(reader, writer)
    except (Closed, asyncio.IncompleteReadError, ConnectionError, ValueError):
        pass
    finally:
        counts["open"] -= 1
        writer.close()


async def main():
    sockets = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=1000)
    ports = [sockets.sockets[0].getsockname()[1], 0]
    if len(sys.argv) > 2:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[1], sys.argv[2])
        secure = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
        ports[1] = secure.sockets[0].getsockname()[1]
    sys.stdout.write(f"{ports[0]} {ports[1]}\n")      # at once: whoever waits for it reads once
    sys.stdout.flush()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.buffer.read)


asyncio.run(main())
