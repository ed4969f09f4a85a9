#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Something that speaks just enough PostgreSQL to misbehave on purpose.

Appends to --log what it got, before it answers: "startup", "query TEXT", "parse TEXT", "bytes N".
--mode:
    polite      logs each query and answers "SELECT 0"
    mid-row     sends half a DataRow and closes
    huge-row    declares a DataRow of 1 GiB, sends a little and waits
    garbage     answers a query with bytes that are no message
    silent      takes the startup and never says anything
"""

import argparse
import os
import socket
import socketserver
import struct
import threading
import time


def message(kind, body=b""):
    return kind + struct.pack("!I", len(body) + 4) + body


AUTH_OK = message(b"R", struct.pack("!I", 0))
KEY_DATA = message(b"K", struct.pack("!II", 4711, 815))
READY = message(b"Z", b"I")
ROW_DESC = message(b"T", struct.pack("!H", 1) + b"n\0" + struct.pack("!IHIhih", 0, 0, 25, -1, -1, 0))
DONE = message(b"C", b"SELECT 0\0")


class Session(socketserver.BaseRequestHandler):
    mode = "polite"
    log_fd = -1
    lock = threading.Lock()

    def note(self, text):
        os.write(self.log_fd, text.encode("utf-8", "replace") + b"\n")

    def take(self, n):
        data = b""
        while len(data) < n:
            piece = self.request.recv(n - len(data))
            if not piece:
                raise ConnectionError("closed")
            data += piece
        return data

    def handle(self):
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self.session()
        except (ConnectionError, struct.error):
            pass

    def session(self):
        while True:
            size, = struct.unpack("!I", self.take(4))
            if not 8 <= size <= 10000:
                self.note(f"bytes {size}")
                return
            body = self.take(size - 4)
            code, = struct.unpack("!I", body[:4])
            if code in (80877103, 80877104):
                self.request.sendall(b"N")
                continue
            break
        self.note("startup")
        if self.mode == "silent":
            time.sleep(3600)
        self.request.sendall(AUTH_OK + message(b"S", b"server_version\x0015.0\0") + KEY_DATA + READY)
        while True:
            kind = self.take(1)
            size, = struct.unpack("!I", self.take(4))
            body = self.take(size - 4)
            if kind == b"X":
                return
            if kind == b"P":
                text = body.split(b"\0")[1].decode("utf-8", "replace")
                self.note(f"parse {text}")
                self.request.sendall(message(b"1"))
            elif kind == b"B":
                self.request.sendall(message(b"2"))
            elif kind == b"E":
                self.request.sendall(DONE)
            elif kind == b"S":
                self.request.sendall(READY)
            elif kind == b"Q":
                self.note("query " + body[:-1].decode("utf-8", "replace"))
                self.answer()

    def answer(self):
        if self.mode == "mid-row":
            self.request.sendall(ROW_DESC + b"D" + struct.pack("!IHI", 4 + 2 + 4 + 100, 1, 100) +
                                 b"half")
            raise ConnectionError("on purpose")
        if self.mode == "huge-row":
            self.request.sendall(ROW_DESC + b"D" + struct.pack("!IHI", 1 << 30, 1, (1 << 30) - 10))
            for _ in range(64):
                self.request.sendall(b"x" * 65536)
            time.sleep(3600)
        if self.mode == "garbage":
            self.request.sendall(b"\xff\xff\xff\xff this is no message at all \0\0\0\0")
            time.sleep(3600)
        self.request.sendall(DONE + READY)


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128


def main():
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("--port", type=int, required=True)
    args.add_argument("--log", default="/dev/null")
    args.add_argument("--mode", default="polite",
                      choices=["polite", "mid-row", "huge-row", "garbage", "silent"])
    opts = args.parse_args()
    Session.mode = opts.mode
    Session.log_fd = os.open(opts.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    Server(("127.0.0.1", opts.port), Session).serve_forever()


if __name__ == "__main__":
    main()
