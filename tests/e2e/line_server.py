#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A protocol of nobody's: answers a line "x" with "you said x"; a first line "bulk" turns it into an
echo. Writes to --log each line that it got. --greet: speaks first."""

import argparse
import os
import socketserver


class Session(socketserver.StreamRequestHandler):
    greet = False
    log_fd = -1

    def handle(self):
        try:
            self.session()
        except ConnectionError:
            pass

    def session(self):
        if self.greet:
            self.wfile.write(b"welcome\n")
        line = self.rfile.readline()
        if not line:
            return
        os.write(self.log_fd, line if line.endswith(b"\n") else line + b"\n")
        if line == b"bulk\n":
            while piece := self.rfile.read1(65536):
                self.wfile.write(piece)
        else:
            self.wfile.write(b"you said " + line)


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


def main():
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("--port", type=int, required=True)
    args.add_argument("--log", default="/dev/null")
    args.add_argument("--greet", action="store_true")
    opts = args.parse_args()
    Session.greet = opts.greet
    Session.log_fd = os.open(opts.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    Server(("127.0.0.1", opts.port), Session).serve_forever()


if __name__ == "__main__":
    main()
