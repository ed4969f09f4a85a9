# SPDX-License-Identifier: Apache-2.0
"""pg_pipeline.py PORT: the extended protocol by hand, through a relay that denies DROP. Prints "ok"."""
import base64
import hashlib
import hmac
import socket
import struct
import sys


class Wire:
    def __init__(self, port):
        self.sock = socket.create_connection(("127.0.0.1", int(port)), 20)
        self.buf = b""

    def exactly(self, n):
        while len(self.buf) < n:
            got = self.sock.recv(65536)
            if not got:
                raise EOFError
            self.buf += got
        out, self.buf = self.buf[:n], self.buf[n:]
        return out

    def message(self):
        head = self.exactly(5)
        return head[:1].decode(), self.exactly(struct.unpack(">I", head[1:])[0] - 4)

    def until_ready(self, times=1):
        """Types of all messages, errors with their sqlstate, Z with its status."""
        seen = []
        while times:
            kind, body = self.message()
            if kind == "E":
                code = [f[1:].decode() for f in body.split(b"\0") if f[:1] == b"C"][0]
                seen.append("E" + code)
            elif kind == "Z":
                times -= 1
                seen.append("Z" + body.decode())
            elif kind not in "NS":
                seen.append(kind)
        return " ".join(seen)

    def login(self, user, password):
        params = f"user\0{user}\0database\0postgres\0\0".encode()
        self.sock.sendall(struct.pack(">II", len(params) + 8, 196608) + params)
        assert self.message()[1][:4] == b"\0\0\0\x0a"
        bare = "n=,r=abcdefghijkl"
        first = b"n,," + bare.encode()
        self.send("p", b"SCRAM-SHA-256\0" + struct.pack(">I", len(first)) + first)
        server = self.message()[1][4:].decode()
        nonce, salt, rounds = (f.split("=", 1)[1] for f in server.split(","))
        final = f"c=biws,r={nonce}"
        salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(salt),
                                     int(rounds))
        key = hmac.digest(salted, b"Client Key", "sha256")
        sig = hmac.digest(hashlib.sha256(key).digest(),
                          f"{bare},{server},{final}".encode(), "sha256")
        proof = base64.b64encode(bytes(a ^ b for a, b in zip(key, sig))).decode()
        self.send("p", f"{final},p={proof}".encode())
        self.until_ready()

    def send(self, kind, body=b""):
        self.sock.sendall(msg(kind, body))


def msg(kind, body=b""):
    return kind.encode() + struct.pack(">I", len(body) + 4) + body


def parse(name, sql):
    return msg("P", f"{name}\0{sql}\0".encode() + b"\0\0")


def bind(portal, name):
    return msg("B", f"{portal}\0{name}\0".encode() + b"\0\0\0\0\0\0")


def execute(portal="", rows=0):
    return msg("E", portal.encode() + b"\0" + struct.pack(">I", rows))


def run(sql, name=""):
    return parse(name, sql) + bind("", name) + msg("D", b"P\0") + execute()


SYNC = msg("S")


def expect(wire, send, want, times=1):
    wire.sock.sendall(send)
    got = wire.until_ready(times)
    assert got == want, f"sent {send!r}: expected {want!r}, got {got!r}"


w = Wire(sys.argv[1])
w.login("postgres", "secret")
expect(w, msg("Q", b"create table w (a int)\0"), "C ZI")
# denied between allowed ones, all in one packet: the run up to Sync is lost, the next is not
expect(w, run("insert into w values (1)") + run("drop table w") + run("select 2") + SYNC
       + run("select count(*) from w") + SYNC, "1 2 n C E42501 ZI 1 2 T D C ZI", 2)
# with a flush, before the Sync is sent: the error comes at once
w.sock.sendall(run("drop table w") + msg("H"))
assert w.message()[0] == "E"
expect(w, SYNC, "ZI")
# an own error of the server first: the denied one behind it says nothing
expect(w, run("select nope") + run("drop table w") + SYNC, "E42703 ZI")
# a named statement, denied; the older one of that name stays
expect(w, parse("n", "select 1") + SYNC, "1 ZI")
expect(w, msg("C", b"Sn\0") + parse("n", "drop table w") + SYNC + bind("", "n") + execute() + SYNC,
       "3 E42501 ZI E26000 ZI", 2)
# inside of a transaction
expect(w, run("begin") + run("insert into w values (7)") + run("drop table w") + SYNC,
       "1 2 n C 1 2 n C E42501 ZE")
expect(w, msg("Q", b"commit\0"), "C ZI")
# the portal in portions, while others are asked for
expect(w, msg("Q", b"begin\0") + parse("", "select generate_series(1, 5)") + bind("p", "")
       + execute("p", 2) + execute("p", 2) + execute("p", 2) + SYNC + msg("Q", b"commit\0"),
       "C ZT 1 2 D D s D D s D C ZT C ZI", 3)
# COPY in the extended protocol: the Sync in front of the data is swallowed by the server
w.sock.sendall(parse("", "copy w from stdin") + bind("", "") + execute() + SYNC)
assert [w.message()[0] for _ in range(3)] == ["1", "2", "G"]
expect(w, msg("d", b"5\n") + msg("c") + SYNC, "C ZI")
w.sock.sendall(parse("", "copy w from stdin") + bind("", "") + execute() + SYNC)
assert [w.message()[0] for _ in range(3)] == ["1", "2", "G"]
expect(w, msg("d", b"bad\n") + msg("c") + SYNC, "E22P02 ZI")
# COPY sent blindly, and one that does not begin at all
expect(w, msg("Q", b"copy w from stdin\0") + msg("d", b"6\n") + msg("c"), "G C ZI")
expect(w, msg("Q", b"copy nosuch from stdin\0") + msg("d", b"6\n") + msg("c"), "E42P01 ZI")
# many in one packet
expect(w, (run("select 1") + SYNC) * 300, " ".join(["1 2 T D C ZI"] * 300), 300)
# a function call of the wire: abs(int4)
expect(w, msg("F", struct.pack(">IHHHI", 1397, 1, 1, 1, 4) + struct.pack(">iH", -3, 1)), "V ZI")
# names on the server are compared by 63 bytes
long = "x" * 63
expect(w, parse(long, "select 1") + SYNC + bind("", long + "y") + execute() + SYNC, "1 ZI 2 D C ZI", 2)
w.send("X")
assert w.sock.recv(1) == b""
print("ok")
