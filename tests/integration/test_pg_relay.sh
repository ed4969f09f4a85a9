#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The PostgreSQL handler between real clients and a real server, without BPF, policy or store:
#  - what is allowed passes byte for byte: pg_dump through it and beside it, and restored through it
#  - SCRAM, COPY both ways, pgbench in its three protocols, psycopg2, cancel requests
#  - a denied statement is a native error, and the session and its transaction are as they should be
#  - a pipeline with a denied statement, on the wire
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/support/tap.sh
: "${WEIR_BUILD:=$PWD/build}"

bin=$(for d in /usr/lib/postgresql/*/bin; do [ -x "$d/postgres" ] && printf '%s\n' "$d"; done | sort -V | tail -1)
[ -n "$bin" ] || skip_all 'no PostgreSQL server is installed'
for c in psql pgbench pg_dump; do
	command -v "$c" > /dev/null || skip_all "$c is not installed"
done

tmp=$(mktemp -d /tmp/weir-pg.XXXXXX)
chmod 711 "$tmp"
as=() # the server refuses to run as root
if [ "$(id -u)" = 0 ]; then
	id postgres > /dev/null 2>&1 || skip_all 'there is no user postgres to run the server as'
	as=(setpriv --reuid=postgres --regid=postgres --clear-groups)
	chown postgres "$tmp"
fi
relays=()
cleanup() {
	for pid in "${relays[@]}"; do
		kill "$pid" 2> /dev/null
		wait "$pid" 2> /dev/null
	done
	[ ! -s "$tmp/data/postmaster.pid" ] ||
		"${as[@]}" "$bin/pg_ctl" -D "$tmp/data" -m immediate stop > /dev/null 2>&1
	rm -rf "$tmp"
}
trap cleanup EXIT

free_port() {
	/usr/bin/python3 -c 'import socket
s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

relay=$WEIR_BUILD/tests/integration/pg_relay
if [ ! -x "$relay" ]; then
	make -s "BUILD=$WEIR_BUILD" "$relay" > "$tmp/make.log" 2>&1 || {
		not_ok 'the relay builds' "$(tail -5 "$tmp/make.log")"
		done_testing
		exit
	}
fi

server_port=$(free_port) allow_port=$(free_port) deny_port=$(free_port)
printf 'secret\n' > "$tmp/pw"
chmod 644 "$tmp/pw"
(cd "$tmp" && "${as[@]}" "$bin/initdb" -D "$tmp/data" -U postgres -A scram-sha-256 \
	--pwfile="$tmp/pw" -N --locale=C.UTF-8 > "$tmp/initdb.log" 2>&1)
printf '%s\n' "port=$server_port" "listen_addresses='127.0.0.1'" "unix_socket_directories=''" \
	fsync=off >> "$tmp/data/postgresql.conf"
if ! (cd "$tmp" && "${as[@]}" "$bin/pg_ctl" -D "$tmp/data" -l "$tmp/data/log" -w start > /dev/null); then
	not_ok 'the server starts' "$(tail -5 "$tmp/initdb.log" "$tmp/data/log" 2> /dev/null)"
	done_testing
	exit
fi

# start_relay PORT ARGS…
start_relay() {
	local port=$1
	shift
	"$relay" "$port" "$server_port" "$@" > "$tmp/relay.$port" 2>&1 &
	relays+=($!)
	for _ in $(seq 50); do
		grep -q ready "$tmp/relay.$port" && return
		sleep 0.1
	done
	diag "the relay on $port does not start"
}
start_relay "$allow_port"
start_relay "$deny_port" deny DROP log "$tmp/events"

export PGHOST=127.0.0.1 PGUSER=postgres PGPASSWORD=secret PGDATABASE=postgres PGCONNECT_TIMEOUT=10
check() { # check NAME EXPECTED GOT
	if [ "$2" = "$3" ]; then
		pass "$1"
	else
		not_ok "$1" "expected: $2
got: $3"
	fi
}

pgbench -p "$allow_port" -i -s 2 -q > "$tmp/init.log" 2>&1
check 'pgbench -i (COPY FROM STDIN)' 200000 \
	"$(psql -p "$server_port" -Atc 'select count(*) from pgbench_accounts')"

# pg_dump's own random token is not data
dump() { pg_dump -p "$1" "$2" | grep -v '^\\\(un\)\?restrict '; }
dump "$server_port" postgres > "$tmp/direct.sql"
dump "$allow_port" postgres > "$tmp/relayed.sql"
check 'pg_dump is the same' "$(sha256sum < "$tmp/direct.sql")" "$(sha256sum < "$tmp/relayed.sql")"
createdb -p "$allow_port" again && psql -p "$allow_port" -q -v ON_ERROR_STOP=1 again \
	< "$tmp/relayed.sql" > /dev/null
dump "$server_port" again > "$tmp/again.sql"
check 'pg_dump | psql restores the same' "$(sha256sum < "$tmp/direct.sql")" \
	"$(sha256sum < "$tmp/again.sql")"

for mode in simple extended prepared; do
	pgbench -n -p "$allow_port" -M "$mode" -c 4 -t 50 > "$tmp/bench" 2>&1
	check "pgbench -M $mode" 'number of transactions actually processed: 200/200' \
		"$(grep 'actually processed' "$tmp/bench")"
done

got=$(psql -p "$deny_port" -v VERBOSITY=verbose -At 2>&1 << 'SQL'
create table t (a int);
begin;
insert into t values (1);
drop table t;
select 1;
commit;
select count(*) from t;
drop table t;
select 'still here';
select 'not run' \; drop table t \; select 'nor this';
SQL
)
check 'a denied DROP inside of a transaction rolls it back, the session goes on' \
	'CREATE TABLE
BEGIN
INSERT 0 1
ERROR:  42501: blocked by policy rule "test": not in this test
HINT:  The operation was refused before it reached the server.
ERROR:  25P02: current transaction is aborted, commands ignored until end of transaction block
ROLLBACK
0
ERROR:  42501: blocked by policy rule "test": not in this test
HINT:  The operation was refused before it reached the server.
still here
ERROR:  42501: blocked by policy rule "test": not in this test
HINT:  The operation was refused before it reached the server.' \
	"$(printf '%s\n' "$got" | grep -v '^LOCATION:')"
check 'no denied text is in the log of the server' 0 \
	"$(grep -ci 'drop table\|not run' "$tmp/data/log")"
check 'the denied statements are in the events' 3 "$(grep -c '^block.DROP' "$tmp/events")"

if /usr/bin/python3 -c 'import psycopg2' 2> /dev/null; then
	check 'psycopg2: error class, savepoints, cancel, COPY' ok \
		"$(/usr/bin/python3 tests/integration/pg_session.py "$deny_port" 2>&1 | tail -3)"
else
	skip 'psycopg2: error class, savepoints, cancel, COPY' 'python3-psycopg2 is not installed'
fi
check 'a pipeline on the wire' ok \
	"$(/usr/bin/python3 tests/integration/pg_pipeline.py "$deny_port" 2>&1 | tail -3)"
check 'nothing broke the protocol' '' \
	"$(grep -h '^relay:\|Sanitizer' "$tmp/relay.$allow_port" "$tmp/relay.$deny_port")"
done_testing
