#!/usr/bin/env python3
"""A clock that has jumped ahead is told by status in words: since when, by how much, and until when nothing is freed by time."""
import os
import socket
import threading

from lib import SCRATCH, done, neap, ok

# No test sets the clock of its machine: what a node says then is said here in its place; test_clock.c sees that it says it.
NODE = b"""{"node":"running","pid":1,"journal":4096,"disk_live":4096,"disk":1048576,"full":false,"refused":"nobody"%s}
{"end":"OK"}
"""
JUMP = b',"clock_jumped":"2036-11-18T02:04:05Z","clock_ahead":315360000,"retention_resumes":"2036-11-19T02:04:05Z"'


def told(more):
    path = os.path.join(SCRATCH, "stand-in.sock")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(1)

    def answer():
        connection, _ = listener.accept()
        connection.recv(65536)
        connection.sendall(NODE % more)
        connection.close()

    thread = threading.Thread(target=answer)
    thread.start()
    r = neap("status", "--node", path)
    thread.join()
    listener.close()
    os.unlink(path)
    return r


r = told(JUMP)
ok(r.code == 0 and "the clock  was found ahead by 3650 days at 2036-11-18T02:04:05Z: nothing is freed by time before "
   "2036-11-19T02:04:05Z; if it is wrong, set it right until then\n" in r.out, "a clock that is ahead is told, in words", r)
r = told(b"")
ok(r.code == 0 and "clock" not in r.out, "one that is not is nobody's news", r)
done()
