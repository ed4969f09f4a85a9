#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What the security team types: sessions, show, replay, search; each --json line is an object.
cd "$(dirname "$0")/../.." || exit 1
. tests/e2e/lib.sh
need_root
start_postgres
start_http_server
cat > "$tmp/policy.json" << JSON
{ "name": "e2e-store", "agents": [ {"cgroup": "/**"} ], "default": "block",
  "targets": [
    { "name": "db", "hosts": ["127.0.0.1"], "ports": [$pg_port], "protocol": "postgres", "default": "allow" },
    { "name": "api", "hosts": ["127.0.0.1"], "ports": [$api_port], "protocol": "http", "default": "allow" } ],
  "rules": [ { "id": "no-drop", "verdict": "block", "when": {"verb": ["DROP"]} },
             { "id": "no-delete", "verdict": "block", "when": {"protocol": "http", "verb": ["DELETE"]} } ] }
JSON
export PGDATABASE=postgres
start_weir "$tmp/policy.json"
api=http://127.0.0.1:$api_port

before=$(date -u +%Y-%m-%dT%H:%M:%SZ)
run_agent psql -XAtq -c 'create table wombat (n int)' -c 'insert into wombat values (7)' \
	-c "select n, 'marsupial' from wombat" -c 'drop table wombat' > "$tmp/psql.out" 2>&1
like "$(cat "$tmp/psql.out")" '7\|marsupial' "an agent at work: PostgreSQL"
if ! through_weir; then
	is "$(run_agent curl -sS "$api/v1/users/1")" '{"id": 1, "name": "Ada"}' "an agent at work: HTTP"
	done_testing
	exit
fi
like "$(cat "$tmp/psql.out")" 'no-drop' "a statement of it refused"
is "$("$weir" run --label team=zoo --label env=test -- curl -sS "$api/v1/users/1" 2> /dev/null)" \
	'{"id": 1, "name": "Ada"}' "an agent with labels: HTTP"
"$weir" run --label team=zoo -- curl -sS -X DELETE "$api/v1/users/1" > /dev/null 2>&1

# Every line an object, with the keys that scripts rely on.
lines() {
	jq -se 'length > 0 and all(type == "object")' <<< "$1" > /dev/null
}
all=$(store sessions)
ok "sessions --json: an object a line" lines "$all"
is "$(wc -l <<< "$all")" 3 "three sessions"
for key in id state start target protocol policy destination cgroup; do
	is "$(jq -s "all(has(\"$key\"))" <<< "$all")" true "  … each has \"$key\""
done
is "$(store sessions --target api | wc -l)" 2 "--target"
is "$(store sessions --verdict block | wc -l)" 2 "--verdict"
is "$(store sessions --rule no-drop | jq -r .target)" db "--rule"
is "$(store sessions --limit 1 | wc -l)" 1 "--limit"
is "$(store sessions --since "$before" | wc -l)" 3 "--since"
is "$(store sessions --until "$before" | wc -l)" 0 "--until"
is "$(store sessions --cgroup '/no/such/*' | wc -l)" 0 "--cgroup"
like "$("$weir" sessions)" 'db' "and for people"

db=$(store sessions --target db | jq -r .id)
events=$(store show "$db")
ok "show --json: an object a line" lines "$events"
is "$(jq -rs '[.[] | select(.type == "op" and .verdict == "block")] | length' <<< "$events")" 1 \
	"the refused statement is in it"
like "$events" 'insert into wombat values \(7\)' "the text of each"
like "$("$weir" show "$db")" 'marsupial' "show, for people"
like "$("$weir" show "${db:0:20}")" 'wombat' "a unique head of the id will do"
like "$("$weir" replay "$db" --no-wait < /dev/null 2>&1)" 'wombat' "replay"

hits=$(store search wombat)
ok "search --json: an object a line" lines "$hits"
at_least "$(wc -l <<< "$hits")" 3 "search finds each statement with the word"
is "$(store search wombat insert | wc -l)" 1 "all words must be there"
is "$(store search WOMBAT | wc -l)" "$(wc -l <<< "$hits")" "whatever their case"
"$weir" search nothing-of-the-kind > "$tmp/none" 2>&1
is "$?" 1 "nothing found is exit status 1"

"$weir" show 00000000000000000000000000 > /dev/null 2> "$tmp/err"
is "$?" 1 "an unknown id is exit status 1"
like "$(cat "$tmp/err")" '^weir: ' "and said on stderr"
"$weir" sessions --no-such-option > /dev/null 2>&1
is "$?" 2 "a wrong option is exit status 2"
"$weir" sessions --store "$tmp/no-store" > /dev/null 2>&1
is "$?" 3 "a store that is not there is exit status 3"
WEIR_SOCKET=$tmp/no.sock "$weir" status > /dev/null 2>&1
is "$?" 3 "a daemon that is not there is exit status 3"
"$weir" run -- bash -c 'exit 37' > /dev/null 2>&1
is "$?" 37 "run exits as its command did"
# shellcheck disable=SC2016 # the agent's shell expands it
"$weir" run -- bash -c 'kill -TERM $$' > /dev/null 2>&1
is "$?" 143 "also when a signal ended it"

ok "policy check: good" "$weir" policy check "$tmp/policy.json"
sed 's/"default": "block"/"defualt": "block"/' "$tmp/policy.json" > "$tmp/typo.json"
out=$("$weir" policy check "$tmp/typo.json" 2>&1)
is "$?" 1 "policy check: an unknown key"
like "$out" 'typo.json:1:[0-9]+: .*defualt' "is named with line and column"

# Reading does not need the daemon.
kill -TERM "$weir_pid"
wait "$weir_pid"
is "$?" 0 "the daemon ends well on SIGTERM"
is "$(store sessions | wc -l)" 3 "the store is readable without a daemon"
unlike "$(store sessions | jq -r .state)" 'open|interrupted' "and no session is left open"
daemon_clean "no sanitizer has spoken"
done_testing
