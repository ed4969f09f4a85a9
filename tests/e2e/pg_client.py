#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What an agent's Python does with psycopg2. Prints one line per fact: NAME=VALUE. The environment
(PGHOST …) says where to. Arguments: what to do, by name."""

import io
import select
import sys

import psycopg2
import psycopg2.errors
import psycopg2.extras


def parameters(conn):
    with conn.cursor() as cur:
        cur.execute("select %s::int + %s::int, %s", (40, 2, "it's"))
        print("parameters=%s,%s" % cur.fetchone())


def prepared(conn):
    with conn.cursor() as cur:
        cur.execute("prepare p (int) as select name from item where id = $1")
        cur.execute("execute p (2)")
        print(f"prepared={cur.fetchone()[0]}")


def cursor(conn):
    with conn.cursor(name="server_side") as cur:
        cur.itersize = 10
        cur.execute("select g from generate_series(1, 95) g")
        print(f"cursor={sum(row[0] for row in cur)}")
    conn.commit()


def binary(conn):
    out = io.BytesIO()
    with conn.cursor() as cur:
        cur.copy_expert("copy item to stdout (format binary)", out)
        print(f"binary_head={out.getvalue()[:6].hex()}")
        cur.execute("create temp table copied (like item)")
        out.seek(0)
        cur.copy_expert("copy copied from stdin (format binary)", out)
        cur.execute("select count(*) from copied")
        print(f"binary_rows={cur.fetchone()[0]}")
        cur.execute("select %s::bytea", (psycopg2.Binary(bytes(range(256))),))
        print(f"bytea={bytes(cur.fetchone()[0]) == bytes(range(256))}")
    conn.rollback()


def refused(conn):
    with conn.cursor() as cur:
        try:
            cur.execute("drop table item")
            print("refused=no")
        except psycopg2.errors.InsufficientPrivilege as e:
            print(f"refused={e.pgcode}")
            print(f"refused_message={str(e).strip().splitlines()[0]}")
        conn.rollback()
        cur.execute("select count(*) from item")
        print(f"after_refusal={cur.fetchone()[0]}")


def batch(conn):
    with conn.cursor() as cur:
        psycopg2.extras.execute_values(cur, "insert into item values %s",
                                       [(i, f"n{i}") for i in range(1000, 1500)])
        cur.execute("select count(*) from item where id >= 1000")
        print(f"batch={cur.fetchone()[0]}")
    conn.rollback()


def notify(conn):
    conn.set_session(autocommit=True)
    other = psycopg2.connect("")
    other.set_session(autocommit=True)
    with conn.cursor() as cur:
        cur.execute("listen news")
    with other.cursor() as cur:
        cur.execute("notify news, 'hello'")
    if not conn.notifies:
        select.select([conn], [], [], 10)
        conn.poll()
    print("notify=%s" % ",".join(n.payload for n in conn.notifies))
    other.close()


def main():
    for name in sys.argv[1:]:
        conn = psycopg2.connect("")
        globals()[name](conn)
        conn.close()


if __name__ == "__main__":
    main()
