#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A small HTTP/1.1 API for tests and the demo. Writes a line to --log for each request that it got,
before it answers: METHOD PATH BYTES-OF-BODY.

    GET /v1/users, /v1/users/N      people, as JSON      DELETE /v1/users/N   204
    ANY /echo                       the body, as it came POST /count          how many bytes it had
    GET /bytes/N                    N bytes              GET /chunked/N       N chunks of 10 bytes
    GET /slow/SECONDS               an answer, later     GET /status/N        that status
    GET /ws                         WebSocket that echoes text frames
    ANY /op/WORD                    204, for counting in the log
"""

import argparse
import base64
import hashlib
import http.server
import json
import os
import socketserver
import struct
import time

USERS = [{"id": 1, "name": "Ada"}, {"id": 2, "name": "Grace"}, {"id": 3, "name": "Barbara"}]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "demo"
    sys_version = ""
    log_fd = -1

    def log_message(self, format, *args):  # pylint: disable=redefined-builtin
        pass

    def handle(self):
        try:
            super().handle()
        except (ConnectionError, ValueError):
            pass

    def body(self):
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            parts = []
            while True:
                size = int(self.rfile.readline().split(b";")[0], 16)
                if size == 0:
                    while self.rfile.readline().strip():
                        pass
                    return b"".join(parts)
                parts.append(self.rfile.read(size))
                self.rfile.readline()
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def answer(self, status, body=b"", kind="text/plain"):
        self.send_response(status)
        if status not in (204, 304):
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD" and status not in (204, 304):
            self.wfile.write(body)

    def json(self, status, value):
        self.answer(status, json.dumps(value).encode() + b"\n", "application/json")

    def any(self):
        body = self.body()
        os.write(self.log_fd, f"{self.command} {self.path} {len(body)}\n".encode())
        parts = self.path.split("?")[0].strip("/").split("/")
        if parts[0] == "echo":
            self.answer(200, body, self.headers.get("Content-Type", "application/octet-stream"))
        elif parts[0] == "count":
            self.json(200, {"bytes": len(body)})
        elif parts[0] == "op":
            self.answer(204)
        elif parts[0] == "bytes":
            self.answer(200, b"0123456789abcdef" * (int(parts[1]) // 16))
        elif parts[0] == "status":
            self.answer(int(parts[1]))
        elif parts[0] == "slow":
            time.sleep(float(parts[1]))
            self.answer(200, b"at last\n")
        elif parts[0] == "chunked":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for _ in range(int(parts[1])):
                self.wfile.write(b"a\r\n0123456789\r\n")
            self.wfile.write(b"0\r\n\r\n")
        elif parts[0] == "ws":
            self.websocket()
        elif parts[:2] == ["v1", "users"]:
            found = [u for u in USERS if len(parts) < 3 or str(u["id"]) == parts[2]]
            if self.command == "DELETE":
                self.answer(204 if found else 404)
            elif len(parts) < 3:
                self.json(200, found)
            else:
                self.json(200, found[0]) if found else self.json(404, {"error": "no such user"})
        else:
            self.json(404, {"error": "not found"})

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = do_OPTIONS = any

    def websocket(self):
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept",
                         base64.b64encode(hashlib.sha1(key.encode()).digest()).decode())
        self.end_headers()
        self.close_connection = True
        while True:
            head = self.rfile.read(2)
            if len(head) < 2:
                return
            size = head[1] & 0x7f
            if size == 126:
                size, = struct.unpack(">H", self.rfile.read(2))
            mask = self.rfile.read(4)
            data = bytes(b ^ mask[i % 4] for i, b in enumerate(self.rfile.read(size)))
            opcode = head[0] & 0xf
            prefix = bytes([0x80 | opcode]) + (bytes([size]) if size < 126 else
                                               b"\x7e" + struct.pack(">H", size))
            self.wfile.write(prefix + data)
            if opcode == 8:
                return


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 2048

    def server_bind(self):
        # HTTPServer asks the resolver for its own name here; a test machine may have none.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]


def main():
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("--port", type=int, required=True)
    args.add_argument("--log", default="/dev/null")
    opts = args.parse_args()
    Handler.log_fd = os.open(opts.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    Server(("127.0.0.1", opts.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
