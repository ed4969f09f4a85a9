#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Are Weir's facts what PostgreSQL does? policy/tables/pg-adversarial.tsv against a real server.

Each statement of the table runs as the superuser in a world of its own (pg_lab.py), which is compared
before and after. Weir's facts of the text must hold everything that happened, and must claim nothing
else but what the table says, with a reason. A second round gives Weir the server's catalogue: then what
the text did not show must be in the facts as well.

    pg_effects.py              TAP
    pg_effects.py --print [-v] statement and what comes before it from standard input, lines out
    pg_effects.py --only WORD  the lines that have this word
"""
import json
import os
import signal
import subprocess
import sys

sys.dont_write_bytecode = True  # the tree may not be ours
import pg_lab

HERE = os.path.dirname(os.path.abspath(__file__))
TABLE = os.path.join(HERE, "../../policy/tables/pg-adversarial.tsv")
BUILD = os.environ.get("WEIR_BUILD", os.path.join(HERE, "../../build"))
ORDER = ["read", "write", "delete", "schema", "grant", "exec", "file", "network", "admin", "session",
         "unknown"]
# read and session are no more than looking, and are claimed freely.
CLAIMS = set(ORDER) - {"read", "session", "unknown"}
MIN_LINES = 300


class Facts:
    """Weir's word on a string, all of its statements taken together."""

    def __init__(self):
        self.child = subprocess.Popen([BUILD + "/tests/integration/pg_facts"], text=True,
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, sql):
        self.child.stdin.write(json.dumps(sql) + "\n")
        self.child.stdin.flush()
        return json.loads(self.child.stdout.readline())

    def catalogue(self, known):
        self.child.stdin.write(json.dumps(known) + "\n")
        self.child.stdin.flush()

    def close(self):
        self.child.stdin.close()
        self.child.wait()


def words(effects):
    return " ".join(sorted(effects, key=lambda w: (ORDER.index(w) if w in ORDER else 99, w))) or "-"


def compare(seen, stmts):
    """(what happened and is not in the facts, what is claimed and did not happen)"""
    claimed, tables = set(), {}
    for s in stmts:
        claimed.update(s["effects"])
        for kind, name, access in s["objects"]:
            if kind in ("table", "sequence"):
                tables.setdefault(name.rsplit(".", 1)[-1], set()).update(access)
    if "unknown" in claimed:
        return set(), set()
    missed = set()
    for word in seen.effects - claimed:
        if word == "read":
            # To find the rows that it changes is part of a change.
            if any(w == {"read"} and not tables.get(t) for t, w in seen.tables.items()) or \
                    any(y.startswith("rows came") for y in seen.why):
                missed.add("read")
        else:
            missed.add(word)
    for table, did in seen.tables.items():
        access = tables.get(table, set())
        # Schema and read of a table say that it is looked at; what DDL does to rows, DDL says.
        if not access or (did - {"read"} - access and "schema" not in access):
            missed.add(f"table:{table}={'+'.join(sorted(did))}")
    # What failed could not show all that it would do.
    return missed, set() if seen.error else (claimed & CLAIMS) - seen.effects


def read_table():
    with open(TABLE, encoding="utf-8") as f:
        for number, line in enumerate(f, 1):
            line = line.rstrip("\n")
            if not line or line.startswith("#"):
                continue
            fields = line.split("\t")
            if len(fields) != 6:
                raise SystemExit(f"{TABLE}:{number}: {len(fields)} fields, not 6")
            yield number, fields


def unescape(text):
    return text.replace("\\t", "\t").replace("\\n", "\n")


def observe(lab, facts, sql, before, known=False):
    sql, before = unescape(sql), unescape(before) if before != "-" else ""
    stmts = facts.ask(lab.fill(sql))
    lab.last = sql
    lab.want_catalogue = known
    seen = lab.observe(sql, before, any(s["copy_in"] or s["copy_out"] for s in stmts))
    return stmts, seen


def happened(seen):
    return words(seen.effects | ({"error"} if seen.error else set()))


def print_lines(lab, facts, verbose):
    for line in sys.stdin:
        line = line.rstrip("\n")
        if not line or line.startswith("#"):
            print(line)
            continue
        sql, _, before = line.partition("\t")
        before = before or "-"
        stmts, seen = observe(lab, facts, sql, before)
        missed, more = compare(seen, stmts)
        print("\t".join([sql, before, happened(seen), words(more), words(missed), "-"]), flush=True)
        if verbose:
            print(f"#   facts {[s['verb'] + ': ' + words(s['effects']) for s in stmts]}")
            for why in seen.why:
                print(f"#   {why}")
            if seen.error:
                print(f"#   {seen.error}")


def judge_known(lab, facts, sql, seen, behind, why):
    """The same with the server's catalogue: then it must be in the facts, but for what is marked."""
    facts.catalogue(lab.known)
    stmts = facts.ask(lab.fill(unescape(sql)))
    facts.catalogue(None)
    missed, _ = compare(seen, stmts)
    if why.startswith("always: "):
        missed -= behind
    return [f"missed with the catalogue: {words(missed)}"] if missed else []


def judge(lab, facts, fields):
    """What is wrong with this line, as text; None when nothing is."""
    sql, before, did, claimed, behind, why = fields
    stmts, seen = observe(lab, facts, sql, before, behind != "-")
    missed, more = compare(seen, stmts)
    wrong = []
    if behind != "-":
        wrong = judge_known(lab, facts, sql, seen, set(behind.split()), why)
    if happened(seen) != did:
        wrong.append(f"the server: {happened(seen)}; the table: {did}")
    if missed - set(behind.split()):
        wrong.append(f"missed: {words(missed)}")
    if set(behind.split()) - missed - {"-"}:
        wrong.append(f"no longer missed: {words(set(behind.split()) - missed - {'-'})}")
    if words(more) != claimed:
        wrong.append(f"claimed and not seen: {words(more)}; the table: {claimed}")
    if (claimed != "-" or behind != "-") and why == "-":
        wrong.append("no reason is given")
    if wrong:
        wrong += [f"Weir: {s['verb']}: {words(s['effects'])}" for s in stmts] + seen.why
        if seen.error:
            wrong.append(seen.error)
    return wrong


def check_lines(rows):
    """TAP of these lines, without a plan; how many are wrong."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    facts = Facts()
    lab = pg_lab.Lab()
    bad = 0
    try:
        for number, fields in rows:
            wrong = judge(lab, facts, fields)
            bad += bool(wrong)
            print(f"{'not ok' if wrong else 'ok'} - line {number}: "
                  f"{fields[0].replace('#', '')[:100]}")
            for line in wrong:
                print("#   " + line)
            sys.stdout.flush()
    finally:
        facts.close()
        lab.close()
    return bad


def check_table(only):
    """All lines, in as many worlds at a time as there are processors."""
    rows = [(n, f) for n, f in read_table() if only in f[0]]
    parts = min(os.cpu_count() or 1, 4, len(rows) or 1)
    children = [subprocess.Popen([sys.executable, __file__, "--part", f"{i}/{parts}", "--only", only],
                                 stdout=subprocess.PIPE, text=True) for i in range(parts)]

    def end(*_):
        for c in children:
            c.terminate()
        sys.exit(1)
    signal.signal(signal.SIGTERM, end)
    seen, bad = 0, False
    for c in children:
        for line in c.stdout:
            seen += line.startswith(("ok", "not ok"))
            print(line, end="", flush=True)
        bad = c.wait() != 0 or bad
    enough = seen == len(rows) and (len(rows) >= MIN_LINES or bool(only))
    print(f"{'ok' if enough else 'not ok'} - {seen} statements ran, {MIN_LINES} at least")
    print(f"1..{seen + 1}")
    return 1 if bad or not enough else 0


def main():
    why = pg_lab.missing()
    if not why and not os.path.exists(BUILD + "/tests/integration/pg_facts"):
        why = "tests/integration/pg_facts is not built"
    if why:
        print("1..0 # SKIP " + why)
        return 77
    only = sys.argv[sys.argv.index("--only") + 1] if "--only" in sys.argv else ""
    if "--print" in sys.argv:
        facts, lab = Facts(), pg_lab.Lab()
        try:
            print_lines(lab, facts, "-v" in sys.argv)
        finally:
            facts.close()
            lab.close()
        return 0
    if "--part" in sys.argv:
        part, parts = map(int, sys.argv[sys.argv.index("--part") + 1].split("/"))
        rows = [(n, f) for n, f in read_table() if only in f[0]]
        return 1 if check_lines(rows[part::parts]) else 0
    return check_table(only)


if __name__ == "__main__":
    sys.exit(main())
