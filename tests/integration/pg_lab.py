# SPDX-License-Identifier: Apache-2.0
"""A throw-away PostgreSQL that tells what a statement really did.

Lab starts a server of its own with a database that has one of everything (pg_lab.sql). observe() runs
a statement as the superuser and compares the world before and after: rows, counters of scans and of
function calls, every catalogue, sequences, large objects, the settings and locks of the session, files
in a watched directory and in the data directory, connections to a listener, notifications, another
session's life, the server's log. What changed is given in the words of include/op.h.
"""
import ctypes
import io
import os
import pwd
import re
import select
import shutil
import socket
import struct
import subprocess
import tempfile
import threading
import time

import psycopg2

HERE = os.path.dirname(os.path.abspath(__file__))
EXTENSION_DIR = "/usr/share/postgresql/15/extension"

# What a change of a catalogue's rows means.
SCHEMA, EXEC = {"schema"}, {"schema", "exec"}
CATALOGS = {
    "pg_aggregate": EXEC, "pg_am": EXEC, "pg_amop": EXEC, "pg_amproc": EXEC, "pg_attrdef": SCHEMA,
    "pg_attribute": SCHEMA, "pg_auth_members": {"grant"}, "pg_authid": {"grant"}, "pg_cast": EXEC,
    "pg_class": SCHEMA, "pg_collation": SCHEMA, "pg_constraint": SCHEMA, "pg_conversion": EXEC,
    "pg_database": {"schema", "admin"}, "pg_db_role_setting": {"admin"},
    "pg_default_acl": {"schema", "grant"}, "pg_description": SCHEMA, "pg_enum": SCHEMA,
    "pg_event_trigger": EXEC | {"admin"}, "pg_extension": EXEC,
    "pg_foreign_data_wrapper": {"schema", "exec", "network"}, "pg_foreign_server": {"schema", "network"},
    "pg_foreign_table": {"schema", "network"}, "pg_index": SCHEMA, "pg_inherits": SCHEMA,
    "pg_init_privs": set(), "pg_language": EXEC, "pg_namespace": SCHEMA, "pg_opclass": EXEC,
    "pg_operator": EXEC, "pg_opfamily": EXEC, "pg_parameter_acl": {"grant"},
    "pg_partitioned_table": SCHEMA, "pg_policy": {"schema", "grant"}, "pg_proc": EXEC,
    "pg_publication": {"schema", "network", "admin"},
    "pg_publication_namespace": {"schema", "network", "admin"},
    "pg_publication_rel": {"schema", "network", "admin"}, "pg_range": SCHEMA,
    "pg_replication_origin": {"admin"}, "pg_rewrite": EXEC, "pg_seclabel": {"schema", "grant"},
    "pg_sequence": SCHEMA, "pg_shdescription": SCHEMA, "pg_statistic": SCHEMA,
    "pg_statistic_ext": SCHEMA, "pg_statistic_ext_data": SCHEMA,
    "pg_subscription": {"schema", "network", "admin"}, "pg_subscription_rel": {"admin"},
    "pg_tablespace": {"schema", "admin"}, "pg_transform": EXEC, "pg_trigger": EXEC,
    "pg_ts_config": SCHEMA, "pg_ts_config_map": SCHEMA, "pg_ts_dict": SCHEMA, "pg_ts_parser": EXEC,
    "pg_ts_template": EXEC, "pg_type": SCHEMA, "pg_user_mapping": {"schema", "network", "grant"},
    "pg_views": SCHEMA,
}
# Columns that change by themselves.
NOISE = ["relpages", "reltuples", "relallvisible", "relfrozenxid", "relminmxid", "datfrozenxid",
         "datminmxid", "attacl", "viewowner"]
# Columns about who may: they mean grant, and are compared row by row.
OWNERS = {
    "pg_class": "relowner relacl relrowsecurity relforcerowsecurity", "pg_proc": "proowner proacl",
    "pg_namespace": "nspowner nspacl", "pg_type": "typowner typacl", "pg_database": "datdba datacl",
    "pg_language": "lanowner lanacl", "pg_tablespace": "spcowner spcacl",
    "pg_foreign_data_wrapper": "fdwowner fdwacl", "pg_foreign_server": "srvowner srvacl",
    "pg_largeobject_metadata": "lomowner lomacl", "pg_operator": "oprowner",
    "pg_collation": "collowner", "pg_publication": "pubowner", "pg_subscription": "subowner",
    "pg_event_trigger": "evtowner", "pg_statistic_ext": "stxowner", "pg_conversion": "conowner",
}
SHARED = {"pg_authid", "pg_auth_members", "pg_database", "pg_db_role_setting", "pg_parameter_acl",
          "pg_replication_origin", "pg_shdescription", "pg_subscription", "pg_tablespace"}
# Only in the log.
LOG_MARKS = {"received SIGHUP": "admin", "logging memory contexts": "admin", "restore point": "admin",
             "checkpoint starting: immediate force wait\n": "admin"}
ROWS_OF = {"pg_rewrite": "WHERE rulename <> '_RETURN'", "pg_trigger": "WHERE NOT tgisinternal",
           "pg_views": "WHERE schemaname NOT IN ('pg_catalog', 'information_schema')",
           "pg_database": "WHERE datname !~ '^case_'"}


def missing():
    """Why this machine cannot run it, or None."""
    for d in sorted(os.listdir("/usr/lib/postgresql")) if os.path.isdir("/usr/lib/postgresql") else []:
        if d == "15" and os.path.exists(f"/usr/lib/postgresql/{d}/bin/initdb"):
            break
    else:
        return "no PostgreSQL 15 server is installed"
    if not os.path.exists(EXTENSION_DIR + "/dblink.control"):
        return "PostgreSQL's contrib modules are not installed"
    if os.geteuid() == 0:
        try:
            pwd.getpwnam("postgres")
        except KeyError:
            return "there is no user postgres to run the server as"
    return None


def demote():
    if os.geteuid() == 0:
        p = pwd.getpwnam("postgres")
        os.setgroups([])
        os.setgid(p.pw_gid)
        os.setuid(p.pw_uid)


class Inotify:
    """Which names in some directories were opened, read, made, changed or removed."""

    MASK = 0x1 | 0x2 | 0x4 | 0x20 | 0x40 | 0x80 | 0x100 | 0x200

    def __init__(self):
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.fd = self.libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        self.dirs = {}

    def watch(self, path):
        wd = self.libc.inotify_add_watch(self.fd, path.encode(), self.MASK)
        if wd < 0:
            raise OSError(ctypes.get_errno(), path)
        self.dirs[wd] = path

    def read(self):
        seen = set()
        while True:
            try:
                data = os.read(self.fd, 65536)
            except BlockingIOError:
                return seen
            at = 0
            while at < len(data):
                wd, _, _, n = struct.unpack_from("iIII", data, at)
                name = data[at + 16:at + 16 + n].rstrip(b"\0").decode()
                at += 16 + n
                if wd in self.dirs:
                    seen.add(os.path.join(self.dirs[wd], name))

    def close(self):
        os.close(self.fd)


class Listener(threading.Thread):
    """Counts who connects."""

    def __init__(self):
        super().__init__(daemon=True)
        self.sock = socket.socket()
        self.sock.bind(("127.0.0.1", 0))
        self.sock.listen(16)
        self.port = self.sock.getsockname()[1]
        self.count = 0

    def run(self):
        while True:
            try:
                c, _ = self.sock.accept()
            except OSError:
                return
            self.count += 1
            c.close()


class Seen:
    """What one statement did."""

    def __init__(self):
        self.effects = set()
        self.tables = {}  # name -> words
        self.error = None
        self.why = []

    def add(self, why, *words):
        self.effects.update(words)
        self.why.append(f"{why}: {' '.join(words)}")

    def table(self, name, why, word):
        self.tables.setdefault(name, set()).add(word)
        self.add(f"{name} {why}", word)


class Lab:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="weir-pglab.")
        self.data = self.dir + "/data"
        self.watch = self.dir + "/watch"
        self.running = False
        self.port = 54321  # names the socket only
        self.db = None
        self.n = 0
        self.observer = self.listener = self.inotify = self.victim = None
        self.before = None
        try:
            self.setup()
        except BaseException:
            self.close()
            raise

    # ---- the server ----

    def tool(self, *args):
        subprocess.run(["/usr/lib/postgresql/15/bin/" + args[0], *args[1:]], preexec_fn=demote,
                       cwd=self.dir, stdout=subprocess.DEVNULL, check=True)

    def setup(self):
        os.mkdir(self.watch)
        os.mkdir(self.watch + "/space")
        if os.geteuid() == 0:
            for d in (self.dir, self.watch, self.watch + "/space"):
                shutil.chown(d, "postgres", "postgres")
        self.listener = Listener()
        self.listener.start()
        self.tool("initdb", "-D", self.data, "-A", "trust", "-U", "postgres", "--no-sync",
                  "--locale=C.UTF-8")
        with open(self.data + "/postgresql.conf", "a", encoding="utf-8") as f:
            f.write(f"listen_addresses = ''\nunix_socket_directories = '{self.dir}'\n"
                    f"port = {self.port}\nfsync = off\nautovacuum = off\ntrack_functions = all\n"
                    "wal_level = logical\nmax_prepared_transactions = 5\ncheckpoint_timeout = 1d\n"
                    "jit = off\nlog_checkpoints = on\nlog_min_messages = log\n"
                    "wal_sender_timeout = 0\nmax_logical_replication_workers = 0\n")
        self.start()
        with open(HERE + "/pg_lab.sql", encoding="utf-8") as f:
            sql = f.read()
        c = self.connect("postgres")
        c.autocommit = True
        for part in self.fill(sql).split("\n---\n"):
            if part.startswith("DATABASE "):
                c.close()
                c = self.connect(part.split()[1])
                c.autocommit = True
            else:
                c.cursor().execute(part)
        c.close()
        self.stop("fast")
        shutil.copytree(self.data, self.dir + "/fresh", symlinks=True, copy_function=self.copy)
        self.start()

    @staticmethod
    def copy(src, dst):
        shutil.copy2(src, dst)
        if os.geteuid() == 0:
            shutil.chown(dst, "postgres", "postgres")

    def fill(self, text):
        """The lab's own places in a text."""
        return (text.replace("@WATCH@", self.watch).replace("@PORT@", str(self.listener.port))
                .replace("@SOCKET@", self.dir).replace("@DB@", self.db or "")
                .replace("@VICTIM@", str(self.victim.get_backend_pid() if self.victim else 0)))

    def start(self):
        self.tool("pg_ctl", "-D", self.data, "-w", "-l", self.dir + "/log", "start")
        self.running = True

    def stop(self, mode="immediate"):
        if self.running:
            self.tool("pg_ctl", "-D", self.data, "-w", "-m", mode, "stop")
            self.running = False

    def close(self):
        self.disconnect()
        if self.victim:
            self.victim.close()
        try:
            self.stop()
        finally:
            if self.listener:
                self.listener.sock.close()
            shutil.rmtree(self.dir, ignore_errors=True)

    def connect(self, db):
        return psycopg2.connect(host=self.dir, port=self.port, user="postgres", dbname=db)

    def disconnect(self):
        if self.observer:
            self.observer.close()
        if self.inotify:
            self.inotify.close()
        self.observer = self.inotify = None

    # ---- a known state ----

    def restore(self, whole):
        """A fresh database, or a fresh cluster when more than a database was touched."""
        old = self.db
        self.disconnect()
        if whole:
            if self.victim:
                self.victim.close()
            self.victim = None
            self.stop()
            shutil.rmtree(self.data)
            shutil.copytree(self.dir + "/fresh", self.data, symlinks=True, copy_function=self.copy)
            for d, dirs, _ in os.walk(self.data):
                if os.geteuid() == 0:
                    shutil.chown(d, "postgres", "postgres")
                    for s in dirs:
                        shutil.chown(os.path.join(d, s), "postgres", "postgres")
            os.chmod(self.data, 0o700)
            shutil.rmtree(self.watch + "/space")
            os.mkdir(self.watch + "/space")
            if os.geteuid() == 0:
                shutil.chown(self.watch + "/space", "postgres", "postgres")
            self.start()
            old = None
        for name in os.listdir(self.watch):
            if name != "space":
                os.unlink(f"{self.watch}/{name}")
        for name, text in (("in.csv", "901,in\n902,in\n"), ("text.txt", "a file\n")):
            with open(f"{self.watch}/{name}", "w", encoding="utf-8") as f:
                f.write(text)
            if os.geteuid() == 0:
                shutil.chown(f"{self.watch}/{name}", "postgres", "postgres")
        self.n += 1
        self.db = f"case_{self.n}"
        c = self.connect("postgres")
        c.autocommit = True
        cur = c.cursor()
        if old:
            cur.execute(f"DROP DATABASE {old} WITH (FORCE)")
        cur.execute(f"CREATE DATABASE {self.db} TEMPLATE fixture STRATEGY file_copy")
        c.close()
        self.observer = self.connect(self.db)
        self.observer.autocommit = True
        self.query("SET search_path = pg_catalog")
        # The observer leaves no trace in the counters.
        self.query("SET track_counts = off")
        self.query("SET track_functions = none")
        for channel in ("chan", '"Chan 2"'):
            self.query("LISTEN " + channel)
        if not self.victim:
            self.victim = psycopg2.connect(host=self.dir, port=self.port, user="postgres",
                                           dbname="postgres", async_=1, application_name="victim")
            self.wait(self.victim)
            self.victim.cursor().execute("SELECT pg_sleep(3600)")
        self.inotify = Inotify()
        for d in (self.watch, self.data, self.data + "/pg_wal", EXTENSION_DIR):
            self.inotify.watch(d)
        self.before = None

    @staticmethod
    def wait(c):
        while True:
            state = c.poll()
            if state == psycopg2.extensions.POLL_OK:
                return
            fd = [c.fileno()]
            select.select(fd if state == psycopg2.extensions.POLL_READ else [],
                          fd if state == psycopg2.extensions.POLL_WRITE else [], [], 10)

    def victim_lives(self):
        # It sleeps: whatever the server has to say to it is an end, or a cancellation.
        return not select.select([self.victim.fileno()], [], [], 0)[0]

    def query(self, sql):
        cur = self.observer.cursor()
        cur.execute(sql)
        return cur.fetchall() if cur.description else []

    # ---- snapshots ----

    def counters(self):
        tables = {r[0]: r[1:] for r in self.query(
            "SELECT schemaname || '.' || relname, coalesce(seq_scan, 0) + coalesce(idx_scan, 0), "
            "n_tup_ins, n_tup_upd, n_tup_del FROM pg_stat_user_tables")}
        calls = dict(self.query("SELECT funcid, calls FROM pg_stat_user_functions"))
        return tables, calls

    CATALOG = """
SELECT json_build_object('relations', (SELECT json_agg(json_build_object('schema', n.nspname, 'name',
  c.relname, 'materialized', c.relkind = 'm', 'view', CASE WHEN c.relkind IN ('v', 'm') THEN
  pg_get_viewdef(c.oid) END, 'code', to_json(ARRAY(SELECT word FROM (
    SELECT unnest(ARRAY['read', 'write', 'delete']) AS word WHERE c.relkind = 'f'
    UNION SELECT unnest(CASE WHEN tgtype & 20 <> 0 THEN ARRAY['write'] ELSE '{}' END || CASE WHEN
      tgtype & 40 <> 0 THEN ARRAY['delete'] ELSE '{}' END) FROM pg_trigger WHERE tgrelid = c.oid AND
      NOT tgisinternal AND tgenabled <> 'D'
    UNION SELECT CASE ev_type WHEN '4' THEN 'delete' ELSE 'write' END FROM pg_rewrite WHERE ev_class =
      c.oid AND rulename <> '_RETURN' AND ev_enabled <> 'D'
    UNION SELECT 'write' FROM pg_depend d JOIN pg_depend f ON f.classid = d.classid AND f.objid =
      d.objid WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid AND d.classid IN
      ('pg_attrdef'::regclass, 'pg_constraint'::regclass) AND f.refclassid = 'pg_proc'::regclass AND
      f.refobjid >= 16384
    UNION SELECT 'write' FROM pg_attribute a JOIN pg_constraint k ON k.contypid = a.atttypid WHERE
      a.attrelid = c.oid
    UNION SELECT 'write' FROM pg_index i JOIN pg_depend f ON f.classid = 'pg_class'::regclass AND
      f.objid = i.indexrelid WHERE i.indrelid = c.oid AND f.refclassid = 'pg_proc'::regclass AND
      f.refobjid >= 16384
    UNION SELECT unnest(ARRAY['read', 'write', 'delete']) FROM pg_policy WHERE polrelid = c.oid) w)),
  'also', (SELECT json_agg(json_build_object('on', ons, 'schema', an.nspname, 'name', ac.relname,
    'access', accesses)) FROM (
      SELECT ARRAY[w] AS ons, inhrelid AS other, ARRAY[w] AS accesses FROM pg_inherits, unnest(ARRAY[
        'read', 'write', 'delete', 'schema']) w WHERE inhparent = c.oid
      UNION ALL SELECT ARRAY['write', 'delete'], conrelid, ARRAY['read'] FROM pg_constraint WHERE
        confrelid = c.oid
      UNION ALL SELECT ARRAY['write'], confrelid, ARRAY['read'] FROM pg_constraint WHERE conrelid =
        c.oid AND contype = 'f'
      UNION ALL SELECT ARRAY['delete'], conrelid, ARRAY[CASE confdeltype WHEN 'c' THEN 'delete' ELSE
        'write' END] FROM pg_constraint WHERE confrelid = c.oid AND confdeltype NOT IN ('a', 'r')
      UNION ALL SELECT ARRAY['write'], conrelid, ARRAY['write'] FROM pg_constraint WHERE confrelid =
        c.oid AND confupdtype NOT IN ('a', 'r')) x JOIN pg_class ac ON ac.oid = other JOIN pg_namespace
      an ON an.oid = ac.relnamespace)))
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'v', 'm',
  'f') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')),
 'functions', (SELECT json_agg(DISTINCT jsonb_build_object('name', proname, 'of_row', pronargs = 1 AND
   EXISTS (SELECT FROM pg_type t WHERE t.oid = proargtypes[0] AND typtype = 'c'))) FROM pg_proc p JOIN
   pg_language l ON l.oid = prolang WHERE p.oid >= 16384 AND lanname NOT IN ('c', 'internal')),
 'operators', (SELECT json_agg(DISTINCT oprname) FROM pg_operator o JOIN pg_proc p ON p.oid = oprcode
   JOIN pg_language l ON l.oid = prolang WHERE o.oid >= 16384 AND lanname NOT IN ('c', 'internal')),
 'types', (SELECT json_agg(DISTINCT typname) FROM pg_type t WHERE t.oid >= 16384 AND (EXISTS (SELECT
   FROM pg_constraint WHERE contypid = t.oid) OR EXISTS (SELECT FROM pg_cast JOIN pg_proc p ON p.oid =
   castfunc JOIN pg_language l ON l.oid = prolang WHERE t.oid IN (castsource, casttarget) AND lanname
   NOT IN ('c', 'internal')))),
 'event_triggers', EXISTS (SELECT FROM pg_event_trigger WHERE evtenabled <> 'D'))"""

    def catalogue(self):
        """What is behind the names of the database, as Weir's catalogue has it."""
        return self.query(self.CATALOG)[0][0]

    def world(self):
        """Everything that lasts, as {part: value}."""
        rels = self.query(
            "SELECT n.nspname, c.relname, c.oid, c.relkind, c.relispopulated, (SELECT "
            "string_agg(attnum::text, ' ') FROM pg_attribute WHERE attrelid = c.oid AND "
            "attnum > 0 AND NOT attisdropped) FROM pg_class c JOIN pg_namespace n ON n.oid = "
            "relnamespace WHERE relkind IN ('r', 'm', 'S') AND nspname !~ '^pg_' AND nspname <> "
            "'information_schema' ORDER BY 1, 2")
        parts, queries = {}, []
        for cat in CATALOGS:
            drop = NOISE + OWNERS.get(cat, "").split()
            queries.append(
                f"SELECT 'catalog', '{cat}', count(*), md5(string_agg(x, '' ORDER BY x)) FROM (SELECT "
                f"(to_jsonb(t) - '{{{','.join(drop)}}}'::text[])::text x FROM {cat} t "
                f"{ROWS_OF.get(cat, '')}) s")
        queries.append("SELECT 'lo', 'meta', count(*), '' FROM pg_largeobject_metadata")
        queries.append("SELECT 'lo', 'data', sum(length(data)), md5(string_agg(loid::text || '.' || "
                       "pageno || encode(data, 'hex'), '' ORDER BY loid, pageno)) FROM "
                       "pg_largeobject")
        queries.append("SELECT 'state', 'slots', count(*), string_agg(slot_name || "
                       "confirmed_flush_lsn, '') FROM pg_replication_slots")
        queries.append("SELECT 'state', 'reset', 0, stats_reset::text FROM pg_stat_database WHERE "
                       "datname = current_database()")
        queries.append("SELECT 'state', 'bgreset', 0, stats_reset::text FROM pg_stat_bgwriter")
        queries.append("SELECT 'state', 'prepared', count(*), string_agg(gid, ' ') FROM "
                       "pg_prepared_xacts")
        queries.append("SELECT 'state', 'origins', count(*), string_agg(local_id::text || remote_lsn, "
                       "' ') FROM pg_replication_origin_status")
        queries.append("SELECT 'state', 'waljump', 0, "
                       "pg_walfile_name(pg_current_wal_insert_lsn())")
        for schema, name, oid, kind, populated, _ in rels:
            ident = f'"{schema}"."{name}"'
            if kind == "S":
                queries.append(f"SELECT 'sequence', '{oid}', 0, last_value || ' ' || "
                               f"is_called FROM {ident}")
            elif populated:
                queries.append(f"SELECT 'rows', '{oid}', count(*), md5(string_agg(t::text, "
                               f"'' ORDER BY t::text)) FROM ONLY {ident} t")
        for r in self.query(" UNION ALL ".join(queries)):
            parts[r[0], r[1]] = (r[2], r[3])
        for _, name, oid, _, _, columns in rels:
            parts["columns", str(oid)] = columns
        parts["names",] = {str(r[2]): r[1] for r in rels}
        for cat, columns in OWNERS.items():
            cols = columns.split()
            acl = [c for c in cols if c.endswith("acl")]
            where = f"oid >= 16384{''.join(f' OR {a} IS NOT NULL' for a in acl)}"
            skip = ROWS_OF.get(cat, "").replace("WHERE", "AND") if cat == "pg_database" else ""
            for oid, text in self.query(f"SELECT oid, concat_ws('|', {','.join(cols)}) FROM {cat} "
                                        f"WHERE ({where}) {skip}"):
                parts["grant", cat, oid] = text
        for rel, num, acl in self.query("SELECT attrelid, attnum, attacl::text FROM pg_attribute WHERE "
                                        "attacl IS NOT NULL"):
            parts["grant", "column", rel, num] = acl
        parts["oids",] = {cat: {r[0] for r in self.query(f"SELECT oid FROM {cat}")}
                          for cat in OWNERS}
        for top in (self.watch, self.watch + "/space", self.data, self.data + "/log"):
            if not os.path.isdir(top):
                continue
            for e in os.scandir(top):
                if e.is_file() and e.name not in ("postmaster.opts", "postmaster.pid",
                                                  "current_logfiles"):
                    with open(e.path, "rb") as f:
                        parts["file", e.path] = hash(f.read())
                elif top.startswith(self.watch):
                    parts["file", e.path] = 0
        return parts

    SESSION = ("SELECT pg_catalog.md5(pg_catalog.string_agg(name || setting, ',' ORDER BY name)) FROM "
               "pg_catalog.pg_settings WHERE name NOT IN ('transaction_isolation', 'is_superuser', "
               "'in_hot_standby') AND name !~ '^(plpgsql|postgres_fdw|dblink)[.]'",
               "SELECT pg_catalog.string_agg(name, ',') FROM pg_catalog.pg_prepared_statements",
               "SELECT pg_catalog.string_agg(name, ',') FROM pg_catalog.pg_cursors WHERE name <> ''",
               "SELECT pg_catalog.string_agg(c, ',') FROM pg_catalog.pg_listening_channels() c",
               "SELECT pg_catalog.count(*) FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND "
               "pid = pg_catalog.pg_backend_pid()",
               "SELECT current_user::text || session_user::text",
               "SELECT pg_catalog.count(*) FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_class c ON "
               "l.relation = c.oid WHERE pid = pg_catalog.pg_backend_pid() AND mode ~ "
               "'^(Share|Exclusive|AccessExclusive)' AND c.relkind = 'r' AND c.oid >= 16384")

    TEMP = ("SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(relname) FROM "
            "pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace WHERE n.oid "
            "OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema() AND relkind = 'r'")

    @classmethod
    def session(cls, conn):
        """The session's own state; its temporary tables' rows."""
        cur = conn.cursor()
        state, temp = [conn.info.transaction_status], {}
        if state[0] == psycopg2.extensions.TRANSACTION_STATUS_INERROR:
            return state, temp
        try:
            for q in cls.SESSION:
                cur.execute(q)
                state.append(cur.fetchall())
            cur.execute(cls.TEMP)
            for (name,) in cur.fetchall():
                cur.execute(f"SELECT pg_catalog.count(*), pg_catalog.md5(pg_catalog.string_agg(t::text, "
                            f"'' ORDER BY t::text)) FROM {name} t")
                temp[name.split(".", 1)[1]] = cur.fetchone()
        except psycopg2.Error:
            return ["unreadable"], temp
        return state, temp

    # ---- one statement ----

    def run(self, conn, sql, copies):
        """Its error, and whether it gave rows."""
        cur = conn.cursor()
        try:
            if copies:
                out = io.BytesIO(b"801\tcopied\n802\tcopied\n")
                cur.copy_expert(sql, out)
                return None, False
            cur.execute(sql)
            return None, bool(cur.description and cur.rowcount > 0)
        except psycopg2.Error as e:
            if conn.closed:
                return "connection lost", False
            return str(e).splitlines()[0] if str(e) else type(e).__name__, False

    def observe(self, sql, before="", copies=False):
        if not self.observer:
            self.restore(False)
        seen = Seen()
        conn = self.connect(self.db)
        conn.autocommit = True
        pid = conn.get_backend_pid()
        with open(self.dir + "/log", encoding="utf-8", errors="replace") as log:
            log.seek(0, 2)
            if before:
                conn.cursor().execute(self.fill(before))
                conn.cursor().execute("SELECT pg_catalog.pg_stat_force_next_flush()")
                self.before = None
            conn.cursor().execute("SET statement_timeout = '5s'")
            if conn.info.transaction_status == psycopg2.extensions.TRANSACTION_STATUS_IDLE:
                conn.cursor().execute("SELECT pg_catalog.pg_stat_force_next_flush()")
            clean = not before
            if self.before is None:
                self.before = self.world()
            was = self.before
            session_was, temp_was = self.session(conn)
            self.observer.poll()
            del self.observer.notifies[:]
            counters_was = self.counters()
            self.known = self.catalogue() if self.want_catalogue else None
            log.read()
            dialled = self.listener.count
            self.inotify.read()
            seen.error, rows = self.run(conn, self.fill(sql), copies)
            if "_backend(" in sql or "reload_conf" in sql:
                time.sleep(1)  # signals take their time
            touched = self.inotify.read()
            if rows:
                seen.add("rows came back", "read")
            if not conn.closed:
                session_is, temp_is = self.session(conn)
                if session_is != session_was:
                    seen.add("the session's state", "session")
                for name in temp_was.keys() | temp_is.keys():
                    self.compare_rows(seen, name, temp_was.get(name), temp_is.get(name))
                if conn.info.transaction_status == psycopg2.extensions.TRANSACTION_STATUS_INTRANS:
                    conn.cursor().execute("COMMIT")
            time.sleep(0.01)
            now = self.world()
            conn.close()
            while self.query(f"SELECT 1 FROM pg_stat_activity WHERE pid = {pid}"):
                time.sleep(0.005)
            self.compare_counters(seen, counters_was)
            shared = self.compare_world(seen, was, now)
            if self.listener.count != dialled:
                seen.add("the listener was dialled", "network")
            self.observer.poll()
            if self.observer.notifies:
                seen.add("notified", "write")
            if not self.victim_lives():
                seen.add("another session ended", "admin")
                shared = True
            self.compare_files(seen, touched)
            text = log.read()
            for mark, word in LOG_MARKS.items():
                if mark in text:
                    seen.add(f"the log says {mark.strip()}", word)
        if shared:
            self.restore(True)
        elif not clean or now != was or seen.effects - {"read", "session"}:
            self.restore(False)
        return seen

    def compare_counters(self, seen, was):
        tables_was, calls_was = was
        tables, calls = self.counters()
        for name, now in tables.items():
            old = tables_was.get(name, (0, 0, 0, 0))
            scans, ins, upd, gone = (max(a - b, 0) for a, b in zip(now, old))
            if name.startswith(("pg_temp", "pg_toast")):
                continue
            short = name.split(".", 1)[1]
            if ins or upd:
                seen.table(short, "rows written", "write")
            if gone:
                seen.table(short, "rows deleted", "delete")
            if scans and not (ins or upd or gone):
                seen.table(short, "scanned", "read")
        called = [f for f, n in calls.items() if n > calls_was.get(f, 0)]
        if called:
            names = self.query(f"SELECT string_agg(proname, ' ') FROM pg_proc WHERE oid IN "
                               f"({','.join(map(str, called))})")
            seen.add(f"called {names[0][0]}", "exec")

    @staticmethod
    def compare_rows(seen, name, was, now):
        if was == now:
            return
        if (was[0] if was else 0) > (now[0] if now else 0):
            seen.table(name, "has fewer rows", "delete")
        elif now and now[0]:
            seen.table(name, "has other rows", "write")

    def compare_world(self, seen, was, now):
        shared = False
        oids_was, oids_now = was["oids",], now["oids",]
        names = now["names",] | was["names",]
        for key in sorted(was.keys() | now.keys(), key=str):
            a, b = was.get(key), now.get(key)
            if a == b or key[0] in ("oids", "names"):
                continue
            if key[0] == "catalog":
                seen.add(key[1], *CATALOGS[key[1]])
                shared = shared or key[1] in SHARED
            elif key[0] == "rows":
                if was.get(("columns", key[1])) == now.get(("columns", key[1])) or not (a and b):
                    self.compare_rows(seen, names[key[1]], a, b)
            elif key[0] == "columns" and a and b and set(a.split()) - set(b.split()):
                seen.table(names[key[1]], "lost a column", "delete")
            elif key[0] == "sequence":
                if a is None:
                    continue
                seen.add(f"sequence {names[key[1]]}", "delete" if b is None else "write")
            elif key[0] == "grant":
                old = key[1] == "column" or (key[2] in oids_was[key[1]] and
                                             key[2] in oids_now[key[1]])
                if old and not (a is None and "|" not in (b or "")
                                and (b or "").isdigit()):
                    seen.add(f"privileges in {key[1]}", "grant")
            elif key[0] == "lo":
                seen.add("large objects", "delete" if (a[0] or 0) > (b[0] or 0) else "write")
            elif key == ("state", "waljump"):
                if "switch" in self.last:
                    seen.add("the log of writes moved on", "admin")
            elif key == ("state", "prepared"):
                shared = True
                seen.add("prepared transactions", "session")
            elif key[0] == "state":
                seen.add(key[1], "admin")
                shared = True
            elif key[0] == "file":
                seen.add(f"file {os.path.basename(key[1])}", "file")
                if os.path.basename(key[1]).startswith("ran"):
                    seen.add("a program ran", "exec")
                if key[1].startswith(self.data):
                    seen.add("the server's own file", "admin")
                    shared = True
                if "/space" in key[1]:
                    shared = True
        return shared

    def compare_files(self, seen, touched):
        for path in sorted(touched):
            name = os.path.basename(path)
            if path.startswith(self.watch):
                seen.add(f"touched {name or 'the directory'}", "file")
            elif path.startswith(EXTENSION_DIR) and re.split("[.-]", name)[0] in self.last:
                # (other servers of this machine read there as well)
                seen.add(f"read {name}", "file")
            elif name in ("pg_hba.conf", "pg_ident.conf", "postgresql.conf",
                          "postgresql.auto.conf", "PG_VERSION") or \
                    (name == "pg_wal" and "waldir" in self.last):
                seen.add(f"read {name}", "file")

    last = ""
    known, want_catalogue = None, False
