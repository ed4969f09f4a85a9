#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""bad_client.py WHAT PORT: one way of misbehaving. Prints what came back, as repr, cut to 300 bytes."""

import os
import socket
import struct
import sys
import time


def startup(user=b"postgres"):
    body = struct.pack("!I", 196608) + b"user\0" + user + b"\0database\0postgres\0\0"
    return struct.pack("!I", len(body) + 4) + body


def message(kind, body, size=None):
    return kind + struct.pack("!I", len(body) + 4 if size is None else size) + body


def dial(port):
    s = socket.create_connection(("127.0.0.1", port), 10)
    s.settimeout(10)
    return s


def drain(s):
    got = b""
    try:
        while len(got) < 1 << 20:
            piece = s.recv(65536)
            if not piece:
                return got + b" [closed]"
            got += piece
    except TimeoutError:
        return got + b" [still open]"
    except OSError as e:
        return got + f" [{e.strerror}]".encode()
    return got


def send_and_drain(port, *pieces):
    s = dial(port)
    try:
        for p in pieces:
            s.sendall(p)
    except OSError:
        pass
    return drain(s)


def logged_in(port):
    s = dial(port)
    s.sendall(startup())
    got = b""
    while b"Z\0\0\0\x05I" not in got:
        piece = s.recv(65536)
        if not piece:
            raise ConnectionError("no session: " + repr(got))
        got += piece
    return s


def pour(s, head, total):
    """Sends head, then zeroes until the peer has had enough."""
    sent = 0
    try:
        s.sendall(head)
        while sent < total:
            s.sendall(b"\0" * 65536)
            sent += 65536
    except OSError:
        pass
    return drain(s)


def trickle(s, data, pause):
    for i in range(len(data)):
        s.sendall(data[i:i + 1])
        time.sleep(pause)


WHAT = {
    # startup packets
    "startup-zero": lambda p: send_and_drain(p, struct.pack("!II", 0, 196608)),
    "startup-short": lambda p: send_and_drain(p, struct.pack("!II", 7, 196608)),
    "startup-huge": lambda p: pour(dial(p), struct.pack("!II", 1 << 30, 196608), 64 << 20),
    "startup-negative": lambda p: send_and_drain(p, struct.pack("!II", 0xffffffff, 196608)),
    "startup-version": lambda p: send_and_drain(p, struct.pack("!II", 8, 0x00090000)),
    "startup-unterminated": lambda p: send_and_drain(
        p, struct.pack("!II", 20, 196608) + b"user\0postgre"),
    "startup-cut": lambda p: cut(p, startup()[:11]),
    "ssl-stuffed": lambda p: send_and_drain(p, struct.pack("!II", 8, 80877103) + startup()),
    "random": lambda p: send_and_drain(p, b"\x16\x03\x01" + bytes(range(256)) * 8),
    # messages
    "length-zero": lambda p: after_login(p, b"Q\0\0\0\0"),
    "length-three": lambda p: after_login(p, b"Q\0\0\0\x03"),
    "length-huge": lambda p: pour(logged_in(p), message(b"Q", b"select 1", 1 << 30), 256 << 20),
    "length-negative": lambda p: after_login(p, b"Q\xff\xff\xff\xff" + b"x" * 100),
    "unterminated": lambda p: after_login(p, message(b"Q", b"select 1")),
    "kind": lambda p: after_login(p, message(b"\x01", b"what is this")),
    "bind-lies": lambda p: after_login(
        p, message(b"P", b"\0select $1\0\0\0") +
        message(b"B", b"\0\0" + struct.pack("!HHI", 0, 1, 0x7fffffff) + b"x") + message(b"S", b"")),
    "bind-counts": lambda p: after_login(
        p, message(b"P", b"\0select 1\0\0\0") + message(b"B", b"\0\0\xff\xff\xff\xff")),
    "message-cut": lambda p: cut_session(p, message(b"Q", b"select 'cut off here")[:-5]),
    "vanish": lambda p: vanish(p),
    # HTTP
    "http-head-huge": lambda p: pour(dial(p), b"GET / HTTP/1.1\r\nHost: x\r\nX: ", 8 << 20),
    "http-garbage": lambda p: send_and_drain(p, b"GET / HTTP/9.9\r\n\r\n"),
    "http-nul": lambda p: send_and_drain(p, b"GET /a\0b HTTP/1.1\r\nHost: x\r\n\r\n"),
    "http-chunk": lambda p: send_and_drain(
        p, b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nx"),
    "http-space": lambda p: send_and_drain(
        p, b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length : 4\r\n\r\nabcd"),
    "http-cl-cl": lambda p: send_and_drain(
        p, b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde"),
    "http-body-cut": lambda p: cut(
        p, b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nonly this"),
    # slow ones that are in their right: they get their answer
    "slow-pg": lambda p: slow_pg(p),
    "slow-http": lambda p: slow_http(p),
    "never-reads": lambda p: never_reads(p),
}


def after_login(port, data):
    s = logged_in(port)
    s.sendall(data)
    return drain(s)


def cut(port, data):
    s = dial(port)
    s.sendall(data)
    s.shutdown(socket.SHUT_WR)
    return drain(s)


def cut_session(port, data):
    s = logged_in(port)
    s.sendall(data)
    s.shutdown(socket.SHUT_WR)
    return drain(s)


def vanish(port):
    s = logged_in(port)
    s.sendall(message(b"Q", b"select pg_sleep(1), repeat('x', 100000)\0"))
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()
    return b"gone"


def slow_pg(port):
    s = dial(port)
    trickle(s, startup(), 0.01)
    got = b""
    while b"Z\0\0\0\x05I" not in got:
        got += s.recv(65536) or sys.exit("closed")
    trickle(s, message(b"Q", b"select 'slow but right'\0"), 0.02)
    trickle(s, message(b"X", b""), 0.02)
    return drain(s)


def slow_http(port):
    s = dial(port)
    trickle(s, b"GET /v1/users/1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 0.02)
    return drain(s)


def never_reads(port):
    """Asks for a lot and reads nothing for a while: whoever is between must not keep it all."""
    s = logged_in(port)
    s.sendall(message(b"Q", b"select repeat('x', 1000000) from generate_series(1, 300)\0"))
    time.sleep(4)
    s.close()
    return b"done"


def main():
    try:
        got = WHAT[sys.argv[1]](int(sys.argv[2]))
    except OSError as e:
        got = f"[{e.strerror or e}]".encode()
    end = got[-14:] if len(got) > 300 else b""
    os.write(1, repr(got[:300] + end).encode() + b"\n")


if __name__ == "__main__":
    main()
