#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""An HTTPS endpoint for webhooks that checks signatures. One JSON line in --log for each request: path,
status, id, timestamp, valid (the signature is right and fresh), length, body.

  /hook       204                 /fail/N     503 to the first N of each X-Weir-Id, then 204
  /slow       sleeps, then 204    /redirect   302 to /hook
  /bad        400                 /big        an endless answer
  /later      429 with Retry-After: 1 to the first of each X-Weir-Id, then 204
"""

import argparse
import collections
import hashlib
import hmac
import http.server
import json
import ssl
import threading
import time

seen = collections.Counter()
lock = threading.Lock()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    args = None

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        stamp = self.headers.get("X-Weir-Timestamp", "")
        wanted = "v1=" + hmac.new(self.args.secret.encode(), stamp.encode() + b"." + body,
                                  hashlib.sha256).hexdigest()
        valid = (hmac.compare_digest(wanted, self.headers.get("X-Weir-Signature", ""))
                 and abs(time.time() - int(stamp)) < 60)
        ident = self.headers.get("X-Weir-Id", "")
        with lock:
            seen[self.path, ident] += 1
            nth = seen[self.path, ident]
        extra, answer, status = {}, b"", 204
        if self.path.startswith("/fail/"):
            status = 503 if nth <= int(self.path.split("/")[2]) else 204
        elif self.path == "/later" and nth == 1:
            status, extra = 429, {"Retry-After": "1"}
        elif self.path == "/redirect":
            status, extra = 302, {"Location": "/hook"}
        elif self.path == "/bad":
            status, answer = 400, b"no"
        elif self.path == "/big":
            status, answer = 200, b"x" * (1 << 20)
        with open(self.args.log, "a", encoding="utf-8") as f:
            f.write(json.dumps({"path": self.path, "status": status, "id": ident, "valid": valid,
                                "timestamp": stamp, "length": len(body), "time": time.time(),
                                "type": self.headers.get("Content-Type"),
                                "body": json.loads(body)}) + "\n")
        if self.path == "/slow":
            time.sleep(self.args.sleep)
        try:
            self.send_response(status)
            for name, value in extra.items():
                self.send_header(name, value)
            if status != 204:
                self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)
        except OSError:
            self.close_connection = True

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # who does not trust the certificate hangs up


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--log", required=True)
    parser.add_argument("--secret", required=True)
    parser.add_argument("--cert", required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--sleep", type=float, default=8)
    Handler.args = parser.parse_args()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(Handler.args.cert, Handler.args.key)
    server = Server(("127.0.0.1", Handler.args.port), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True,
                                        do_handshake_on_connect=False)
    server.serve_forever()


main()
