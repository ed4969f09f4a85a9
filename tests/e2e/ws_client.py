#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""ws_client.py PORT TEXT…: a WebSocket client that sends each text as a frame and prints its echo."""

import base64
import os
import socket
import struct
import sys


def main():
    port, texts = int(sys.argv[1]), sys.argv[2:]
    s = socket.create_connection(("127.0.0.1", port), 10)
    key = base64.b64encode(os.urandom(16)).decode()
    s.sendall(f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
              f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
              "Sec-WebSocket-Version: 13\r\n\r\n".encode())
    f = s.makefile("rb")
    print(f.readline().decode().strip())
    while f.readline().strip():
        pass
    for text in texts:
        data, mask = text.encode(), os.urandom(4)
        head = bytes([0x81]) + (bytes([0x80 | len(data)]) if len(data) < 126 else
                                b"\xfe" + struct.pack(">H", len(data)))
        s.sendall(head + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(data)))
        size = f.read(2)[1] & 0x7f
        if size == 126:
            size, = struct.unpack(">H", f.read(2))
        print(f.read(size).decode())


if __name__ == "__main__":
    main()
