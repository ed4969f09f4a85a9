#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""hold_client.py PORT N: N connections, a POST on each, all answers awaited; counts the statuses."""

import collections
import selectors
import socket
import sys

PORT, N = int(sys.argv[1]), int(sys.argv[2])
BODY = b"x"
sel = selectors.DefaultSelector()
got = {}
for i in range(N):
    s = socket.create_connection(("127.0.0.1", PORT))
    s.sendall(b"POST /count?n=%d HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Length: %d\r\n"
              b"Connection: close\r\n\r\n%s" % (i, PORT, len(BODY), BODY))
    sel.register(s, selectors.EVENT_READ)
    got[s] = b""
counts = collections.Counter()
while got:
    for key, _ in sel.select():
        s = key.fileobj
        try:
            data = s.recv(65536)
        except ConnectionError:
            data = b""
        if data:
            got[s] += data
            continue
        sel.unregister(s)
        s.close()
        head = got.pop(s).split(b"\r\n")[0].split(b" ")
        counts[head[1].decode() if len(head) > 1 else "none"] += 1
print(", ".join(f"{status}: {counts[status]}" for status in sorted(counts)))
