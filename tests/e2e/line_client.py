#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""line_client.py PORT TEXT: says a line and prints what comes back until the end.
line_client.py PORT --file FILE: sends a file while it prints what comes back."""

import socket
import sys
import threading


def main():
    port, what = int(sys.argv[1]), sys.argv[2]
    s = socket.create_connection(("127.0.0.1", port), 10)
    s.settimeout(20)
    if what == "--file":
        with open(sys.argv[3], "rb") as f:
            data = b"bulk\n" + f.read()
    else:
        data = what.encode("latin-1", "replace") + b"\n"

    def send():
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)

    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    while piece := s.recv(65536):
        sys.stdout.buffer.write(piece)
    sender.join(10)


if __name__ == "__main__":
    main()
