# SPDX-License-Identifier: Apache-2.0
"""pg_session.py PORT: psycopg2 through a relay that denies DROP. Prints "ok"."""
import io
import sys
import threading
import time

import psycopg2
import psycopg2.errors
import psycopg2.extensions

conn = psycopg2.connect(host="127.0.0.1", port=sys.argv[1], user="postgres",
                        password="secret", dbname="postgres")
cur = conn.cursor()
cur.execute("create table s (a int, b text)")
conn.commit()

# the native class, and a savepoint brings the transaction back
cur.execute("insert into s values (1, 'one')")
cur.execute("savepoint p")
try:
    cur.execute("drop table s")
    sys.exit("the DROP went through")
except psycopg2.errors.InsufficientPrivilege as e:
    assert 'rule "test"' in e.diag.message_primary, e
    assert e.diag.sqlstate == "42501"
cur.execute("rollback to savepoint p")
conn.commit()
cur.execute("select count(*) from s")
assert cur.fetchone() == (1,)

# COPY both ways, larger than any buffer
lines = "".join(f"{i}\t{'x' * (i % 300)}\n" for i in range(20000))
cur.copy_expert("copy s from stdin", io.StringIO(lines))
out = io.StringIO()
cur.execute("delete from s where b = 'one'")
cur.copy_expert("copy (select * from s order by a) to stdout", out)
assert out.getvalue() == lines
conn.commit()

# one large value
cur.execute("select repeat('x', 20000000)")
assert len(cur.fetchone()[0]) == 20000000

# a COPY that fails in the middle
try:
    cur.copy_expert("copy s from stdin", io.StringIO("nope\tx\n" + lines))
    sys.exit("the COPY went through")
except psycopg2.errors.InvalidTextRepresentation:
    conn.rollback()

# a cancel request is a connection of its own and finds the right backend
timer = threading.Timer(0.5, conn.cancel)
timer.start()
began = time.monotonic()
try:
    cur.execute("select pg_sleep(20)")
    sys.exit("not cancelled")
except psycopg2.extensions.QueryCanceledError:
    assert time.monotonic() - began < 10
conn.rollback()

# notifications, notices, another encoding
cur.execute("listen c; notify c, 'hello'")
conn.commit()
conn.poll()
assert conn.notifies and conn.notifies[0].payload == "hello"
cur.execute("do $$ begin raise notice 'seen'; end $$")
assert "seen" in conn.notices[-1]
conn.set_client_encoding("LATIN1")
cur.execute("select %s", ("ä",))
assert cur.fetchone() == ("ä",)
conn.close()
print("ok")
