#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A real PostgreSQL server and its real clients, through Weir: psql, psycopg2, pgbench, pg_dump.
cd "$(dirname "$0")/../.." || exit 1
. tests/e2e/lib.sh
need_root
start_postgres
cat > "$tmp/policy.json" << JSON
{ "name": "e2e-postgres", "agents": [ {"cgroup": "/**"} ], "default": "block",
  "targets": [ { "name": "db", "hosts": ["127.0.0.1"], "ports": [$pg_port], "protocol": "postgres",
                 "default": "allow" } ],
  "rules": [ { "id": "no-drop", "verdict": "block", "message": "Dropping tables is not for agents.",
               "when": {"effect": ["schema"], "verb": ["DROP", "TRUNCATE"], "object": ["**item", "item"]} },
             { "id": "ledger", "verdict": "block",
               "when": {"object": ["public.ledger", "ledger"], "access": ["write", "delete"]} } ] }
JSON
start_weir "$tmp/policy.json"

psql -Xq -d postgres -c 'create database app' || exit 1
export PGDATABASE=app
psql -Xq << 'SQL' || exit 1
create table item (id int primary key, name text);
insert into item values (1, 'one'), (2, 'two'), (3, 'three');
create table ledger (id int primary key, amount numeric);
create table big as select g id, md5(g::text) hash, repeat('x', g % 200) pad from generate_series(1, 20000) g;
create view small as select * from big where id < 10;
create function twice(int) returns int language sql as 'select $1 * 2';
SQL

newest_is() {
	[ "$(store sessions | head -1 | jq -r .state)" = "$1" ]
}
agent_psql() {
	run_agent psql -XAt "$@" 2>&1
}
# script: stdin through psql in an agent, everything it says
script() {
	cat > "$tmp/script.sql"
	agent_psql -f "$tmp/script.sql"
}

is "$(agent_psql -c 'select 6 * 7')" 42 "psql: a query is answered"
is "$(agent_psql -c 'select 1; select 2' | tr '\n' ' ')" "1 2 " "several statements in one string"
is "$(agent_psql -c '')" "" "an empty string is answered"
is "$(agent_psql -c "select 'ä€𝄞', length('ä€𝄞')")" "ä€𝄞|3" "UTF-8 goes through"
agent_psql -c 'select * from big order by id' > "$tmp/agent.rows"
psql -XAt -c 'select * from big order by id' > "$tmp/direct.rows"
same_bytes "$tmp/agent.rows" "$tmp/direct.rows" "20,000 rows arrive unchanged"
like "$(agent_psql -c 'selec 1')" 'syntax error at or near "selec"' "the server's own errors arrive"

if through_weir; then
	out=$(script << 'SQL'
drop table item;
\echo :LAST_ERROR_SQLSTATE
select count(*) from item;
SQL
)
	like "$out" 'ERROR:.*no-drop' "DROP TABLE is refused, the rule named"
	like "$out" 'Dropping tables is not for agents' "with the rule's message"
	like "$out" $'\n42501\n' "as SQLSTATE 42501"
	like "$out" $'\n3$' "and the session is usable"

	out=$(script << 'SQL'
begin;
insert into item values (10, 'ten');
truncate item;
\echo :LAST_ERROR_SQLSTATE
select 1;
\echo :LAST_ERROR_SQLSTATE
commit;
select count(*) from item;
SQL
)
	like "$out" $'\n42501\n' "in a transaction: refused"
	like "$out" $'\n25P02\n' "the transaction is aborted, as after a server's error"
	like "$out" $'\nROLLBACK\n' "COMMIT rolls back"
	like "$out" $'\n3$' "nothing of it stays"

	out=$(script << 'SQL'
begin;
insert into item values (11, 'eleven');
savepoint s;
drop table item;
rollback to s;
commit;
select count(*) from item where id = 11;
delete from item where id = 11;
SQL
)
	like "$out" $'COMMIT\n1\n' "a savepoint heals a refusal"

	out=$(agent_psql -c "insert into item values (20, 'x'); drop table item; select 1")
	like "$out" 'no-drop' "a forbidden statement among several is refused"
	is "$(psql -XAt -c 'select count(*) from item')" 3 "and the string had no effect"
	out=$(agent_psql -c "insert into ledger values (1, 5)")
	like "$out" 'ERROR:.*ledger' "writing to a named object is refused"
	is "$(agent_psql -c 'select count(*) from ledger')" 0 "reading from it is not"
	like "$(agent_psql -c "with w as (insert into ledger values (2, 5) returning 1) select * from w")" \
		'ERROR:.*ledger' "also from within a CTE"
	like "$(agent_psql -c 'DrOp /* -- */ TABLE "item"')" 'no-drop' "comments and case hide nothing"
	like "$(agent_psql -c $'select 1;\n--\n;DROP\tTABLE public.item;')" 'no-drop' "nor do lines"
fi

# COPY
printf '100\tcopied\n101\tcopied\n' > "$tmp/in.tsv"
out=$(agent_psql -c "\\copy item from '$tmp/in.tsv'")
is "$out" "COPY 2" "COPY in"
agent_psql -c "\\copy (select * from big order by id) to '$tmp/agent.tsv'" > /dev/null
psql -XAtq -c "\\copy (select * from big order by id) to '$tmp/direct.tsv'"
same_bytes "$tmp/agent.tsv" "$tmp/direct.tsv" "COPY out, byte for byte"
psql -Xq -c 'delete from item where id >= 100'
if through_weir; then
	like "$(agent_psql -c "\\copy ledger from '$tmp/in.tsv'")" 'ERROR:.*ledger' \
		"COPY into a forbidden table is refused"
fi

# psycopg2
out=$(run_agent "$python" tests/e2e/pg_client.py parameters prepared cursor binary batch notify 2>&1)
like "$out" "parameters=42,it's" "psycopg2: parameters"
like "$out" "prepared=two" "psycopg2: PREPARE and EXECUTE"
like "$out" "cursor=4560" "psycopg2: server-side cursor"
like "$out" "binary_head=504743" "psycopg2: binary COPY out"
like "$out" "binary_rows=3" "psycopg2: binary COPY in"
like "$out" "bytea=True" "psycopg2: bytea"
like "$out" "batch=500" "psycopg2: execute_values"
like "$out" "notify=hello" "psycopg2: LISTEN and NOTIFY between two sessions"
if through_weir; then
	out=$(run_agent "$python" tests/e2e/pg_client.py refused 2>&1)
	like "$out" "refused=42501" "psycopg2: a refusal is InsufficientPrivilege"
	like "$out" "refused_message=.*no-drop" "psycopg2: that names the rule"
	like "$out" "after_refusal=3" "psycopg2: the session is usable"
fi

# pgbench, whose tables were made directly (its own setup drops tables)
pgbench -i -q -s 1 > "$tmp/pgbench.log" 2>&1 || diag "$(cat "$tmp/pgbench.log")"
for mode in simple extended prepared; do
	out=$(run_agent pgbench -n -M $mode -c 2 -j 1 -t 50 2>&1)
	like "$out" 'transactions actually processed: 100/100' "pgbench, $mode protocol"
	like "$out" 'failed transactions: 0 ' "  … without a failure"
done

# pg_dump, restored by psql
clean_dump() { # newer versions write a random token
	grep -vE '^\\(un)?restrict ' "$1"
}
pg_dump > "$tmp/direct.dump"
run_agent pg_dump > "$tmp/agent.dump" 2> "$tmp/agent.dump.err" || diag "$(cat "$tmp/agent.dump.err")"
clean_dump "$tmp/direct.dump" > "$tmp/direct.clean"
clean_dump "$tmp/agent.dump" > "$tmp/agent.clean"
same_bytes "$tmp/agent.clean" "$tmp/direct.clean" "pg_dump, byte for byte as a direct one"
psql -Xq -c 'create database copy'
jq 'del(.rules)' "$tmp/policy.json" > "$tmp/open.json"
agent_options=(--policy "$tmp/open.json") # one without rules: a restore writes to every table
run_agent bash -c 'pg_dump | PGDATABASE=copy psql -Xq -v ON_ERROR_STOP=1 > /dev/null' > "$tmp/restore.log" 2>&1
is "$? $(cat "$tmp/restore.log")" "0 " "pg_dump | psql, both through Weir"
PGDATABASE=copy pg_dump > "$tmp/copy.dump"
agent_options=()
# Where rows land in a table's pages is the server's affair: compared without their order.
clean_dump "$tmp/copy.dump" | sort > "$tmp/copy.sorted"
sort "$tmp/direct.clean" > "$tmp/direct.sorted"
same_bytes "$tmp/copy.sorted" "$tmp/direct.sorted" "the restored database has the same contents"

# Cancel: a connection of its own, which must end this query and no other.
(agent_psql -c 'select pg_sleep(3), 99' > "$tmp/other.out") &
other=$!
start=$SECONDS
out=$(run_agent timeout -s INT 1 psql -XAt -c 'select pg_sleep(20)' 2>&1)
like "$out" 'canceling statement due to user request' "Ctrl-C cancels the query on the server"
at_most $((SECONDS - start)) 8 "at once"
wait "$other"
is "$(cat "$tmp/other.out")" "|99" "and another session's query goes on"

if through_weir; then
	like "$(store sessions --rule no-drop | head -1 | jq -r .target)" '^db$' \
		"the store finds the sessions by the rule that refused"
	is "$(store sessions --verdict block | jq -r .protocol | sort -u)" postgres "and by verdict"
	run_agent psql -XAtc 'select 17' > /dev/null 2>&1
	ok "the last session of a command ended by itself" wait_for 10 newest_is ended
	like "$(PGPORT=$(free_port) agent_psql -c 'select 1')" 'FATAL:.*no-target' \
		"a port that no target names is refused, natively"
fi
daemon_clean "no sanitizer has spoken"
done_testing
