#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""load_client.py PG-PORT HTTP-PORT NAME: sends operations with unique marks, op-pg-NAME-THREAD-COUNT and
op-http-…, over several connections at a time, until the connections break or two seconds are over."""

import socket
import struct
import sys
import threading
import time

SECONDS = 2.0


def message(kind, body):
    return kind + struct.pack("!I", len(body) + 4) + body


def until_ready(f):
    while True:
        kind = f.read(1)
        size, = struct.unpack("!I", f.read(4))
        f.read(size - 4)
        if kind == b"Z":
            return


def pg(port, name, thread, end):
    s = socket.create_connection(("127.0.0.1", port), 5)
    s.settimeout(5)
    f = s.makefile("rb")
    body = struct.pack("!I", 196608) + b"user\0postgres\0database\0app\0\0"
    s.sendall(struct.pack("!I", len(body) + 4) + body)
    until_ready(f)
    n = 0
    while time.monotonic() < end:
        n += 1
        text = f"select 'op-pg{name}-{thread}-{n}'"
        if n % 3:
            s.sendall(message(b"Q", text.encode() + b"\0"))
        else:
            s.sendall(message(b"P", b"\0" + text.encode() + b"\0\0\0") +
                      message(b"B", b"\0\0\0\0\0\0\0\0") + message(b"E", b"\0\0\0\0\0") +
                      message(b"S", b""))
        until_ready(f)


def http(port, name, thread, end):
    s = socket.create_connection(("127.0.0.1", port), 5)
    s.settimeout(5)
    f = s.makefile("rb")
    n = 0
    while time.monotonic() < end:
        n += 1
        s.sendall(f"GET /op/op-http{name}-{thread}-{n} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        if not f.readline().startswith(b"HTTP/1.1 204"):
            return
        while f.readline().strip():
            pass


def quiet(work, *args):
    try:
        work(*args)
    except (OSError, struct.error):
        pass


def main():
    pg_port, http_port, name = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    end = time.monotonic() + SECONDS
    threads = [threading.Thread(target=quiet, args=(work, port, name, i, end))
               for i in range(3) for work, port in ((pg, pg_port), (http, http_port))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()


if __name__ == "__main__":
    main()
