#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Does a real PostgreSQL's grammar agree with policy/tables/pg-effects.tsv?

Every statement of the table is sent to a throw-away server as a Parse message (nothing is run): a line
that is not UNKNOWN must raise no syntax error, a line that is must raise one. Exits 77 when the server's
programs or libpq are missing.
"""
import ctypes
import ctypes.util
import os
import pwd
import shutil
import subprocess
import sys
import tempfile

BIN = os.environ.get("PG_BIN", "/usr/lib/postgresql/15/bin")
TABLE = os.path.join(os.path.dirname(__file__), "../../policy/tables/pg-effects.tsv")


def skip(why):
    print("1..0 # SKIP " + why)
    sys.exit(77)


def demote():
    if os.geteuid() == 0:
        p = pwd.getpwnam("postgres")
        os.setgroups([])
        os.setgid(p.pw_gid)
        os.setuid(p.pw_uid)


def main():
    lib = ctypes.util.find_library("pq")
    if not os.path.exists(BIN + "/initdb") or not lib:
        skip("needs PostgreSQL's server programs and libpq")
    pq = ctypes.CDLL(lib)
    pq.PQconnectdb.restype = pq.PQprepare.restype = ctypes.c_void_p
    pq.PQresultErrorMessage.restype = ctypes.c_char_p
    for f in (pq.PQstatus, pq.PQfinish):
        f.argtypes = [ctypes.c_void_p]
    for f in (pq.PQresultErrorMessage, pq.PQclear):
        f.argtypes = [ctypes.c_void_p]
    pq.PQprepare.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_int,
                             ctypes.c_void_p]
    d = tempfile.mkdtemp()
    bad = n = 0
    try:
        if os.geteuid() == 0:
            shutil.chown(d, "postgres")
        run = {"preexec_fn": demote, "cwd": d, "stdout": subprocess.DEVNULL, "check": True}
        subprocess.run([BIN + "/initdb", "-D", d + "/db", "-A", "trust", "-U", "postgres",
                        "--no-sync"], **run)
        subprocess.run([BIN + "/pg_ctl", "-D", d + "/db", "-w", "-l", d + "/log", "-o",
                        "-c listen_addresses= -k " + d, "start"], **run)
        conn = pq.PQconnectdb(f"host={d} user=postgres dbname=postgres".encode())
        if pq.PQstatus(conn) != 0:
            print("Bail out! cannot connect")
            return 1
        with open(TABLE, encoding="utf-8") as table:
            for line in table:
                if line.startswith("#") or not line.strip():
                    continue
                text, verb = line.rstrip("\n").split("\t")[:2]
                n += 1
                res = pq.PQprepare(conn, b"", text.encode(), 0, None)
                msg = (pq.PQresultErrorMessage(res) or b"").decode()
                pq.PQclear(res)
                # what the grammar itself refuses
                syntax = any(w in msg for w in ("syntax error", "unterminated", "trailing junk",
                                                "must be less than"))
                if syntax != (verb == "UNKNOWN"):
                    bad += 1
                    print(f"# {text}\n#   table: {verb}; server: "
                          f"{msg.strip() or 'accepts it'}")
        pq.PQfinish(conn)
    finally:
        subprocess.run([BIN + "/pg_ctl", "-D", d + "/db", "-m", "immediate", "stop"],
                       preexec_fn=demote, cwd=d, stdout=subprocess.DEVNULL, check=False)
        shutil.rmtree(d, ignore_errors=True)
    print(f"{'not ok' if bad or not n else 'ok'} 1 - {n} statements, {bad} where table and server "
          "disagree\n1..1")
    return 1 if bad or not n else 0


if __name__ == "__main__":
    sys.exit(main())
