#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The life of a policy: noticed changes, reload on command and by SIGHUP, errors that keep the old one,
# sessions judged by the new one from their next statement on, agents with a policy of their own; then
# trying out: show, explain, test, replay, learn over what was recorded.
cd "$(dirname "$0")/../.." || exit 1
. tests/e2e/lib.sh
need_root
need jq curl
through_weir || skip_all "is about Weir alone"
start_postgres
start_http_server

policies=$tmp/policy.d
mkdir "$policies"
# policy NAME RULES: on standard output
policy() {
	cat << JSON
{ "name": "$1", "agents": [ {"cgroup": "/**"} ], "default": "block",
  "targets": [ { "name": "db", "hosts": ["127.0.0.1"], "ports": [$pg_port], "protocol": "postgres",
                 "default": "allow" },
               { "name": "api", "hosts": ["127.0.0.1"], "ports": [$api_port], "protocol": "http",
                 "default": "allow" } ],
  "rules": [ { "id": "unseen", "verdict": "block", "when": {"effect": ["unknown"]} }$2 ] }
JSON
}
no_drop=', { "id": "no-drop", "verdict": "block", "when": {"protocol": "postgres", "verb": ["DROP"]} }'
no_items=', { "id": "no-items", "verdict": "block", "when": {"object": ["item"]} }'
# place FILE: standard input in its place, as editors do
place() {
	cat > "$policies/.new" && mv "$policies/.new" "$policies/$1"
}
policy life "$no_drop" > "$policies/life.json"
start_weir "$policies"
status_of() {
	"$weir" status --json | jq -r "$1"
}
# loaded NAME…: these are what the daemon has
loaded() {
	[ "$(status_of '[.policies.list[].name] | join(" ")')" = "$*" ]
}
reloads() {
	grep -c 'policies reloaded' "$tmp/weir.log"
}

psql -Xq -d postgres -c 'create database app' || exit 1
export PGDATABASE=app
psql -Xq -c 'create table item (id int); insert into item values (1), (2); create table other (id int)' ||
	exit 1

# A psql that stays: sql TEXT sends, and its answer ends with a line of its own.
mkfifo "$tmp/in" "$tmp/own.in"
# session NAME FD OPTION…: a psql behind `weir run OPTION…` that reads FD's FIFO
session() {
	local name=$1
	shift
	"$weir" run "$@" -- psql -XAt < "$tmp/$name" > "$tmp/$name.out" 2>&1 &
	defer end_pid $!
}
# sql FD NAME TEXT: what the session says to it
sql() {
	local before
	before=$(wc -l < "$tmp/$2.out")
	printf '%s;\n\\echo done-%s\n' "$3" "$before" >&"$1"
	wait_for 20 grep -qx "done-$before" "$tmp/$2.out"
	tail -n "+$((before + 1))" "$tmp/$2.out" | grep -v '^done-'
}
session in
exec 8> "$tmp/in"
policy own "$no_drop" > "$tmp/own.json"
session own.in --policy "$tmp/own.json"
exec 9> "$tmp/own.in"

is "$(sql 8 in 'select count(*) from item')" 2 "a session under the first policy"
is "$(sql 9 own.in 'select count(*) from item')" 2 "another with a policy of its own"
like "$(sql 8 in 'drop table item')" 'no-drop' "which has rules"
first=$(status_of '.policies.list[0].hash')
like "$first" '^[0-9a-f]{64}$' "the daemon says which policy it has"

# ---- a change is noticed
policy life "$no_drop$no_items" | place life.json
new_hash() {
	[ "$(status_of '.policies.list[0].hash')" != "$first" ]
}
ok "a file put in another's place is noticed" wait_for 5 new_hash
second=$(status_of '.policies.list[0].hash')
like "$(sql 8 in 'select count(*) from item')" 'no-items' "the session's next statement is judged by it"
is "$(sql 8 in 'select count(*) from other')" 0 "and the session is usable"
is "$(sql 9 own.in 'select count(*) from item')" 2 "an agent with its own policy is not touched"

# ---- errors keep the old one
printf '{ "name": "life",\n  "nonsense": 1 }\n' > "$policies/life.json"
ok "a broken one is noticed" wait_for 5 grep -q 'the old policies stay: .*life.json:2:' "$tmp/weir.log"
like "$(status_of .policies.error)" 'life.json:2:[0-9]+: .*nonsense' "status says what is wrong"
like "$("$weir" status)" 'NOT loaded .*life.json:2:' "for people as well"
is "$(status_of '.policies.list[0].hash')" "$second" "and the old one stays"
like "$(sql 8 in 'select count(*) from item')" 'no-items' "in force"
out=$("$weir" policy reload 2>&1)
is $? 1 "policy reload: the answer is no"
like "$out" "^$policies/life.json:2:[0-9]+: " "with file, line and column first"
policy life "$no_drop" | place life.json
ok "policy reload takes a good one" "$weir" policy reload
like "$("$weir" policy reload)" '^OK: 1 policies from 1 files' "and says what it took"
is "$(status_of .policies.error)" null "nothing is wrong any more"
is "$(status_of '.policies.list[0].hash')" "$first" "the same text has the same hash"
is "$(sql 8 in 'select count(*) from item')" 2 "and what it allows is allowed again"

# ---- directories
policy second "" | sed 's,"/\*\*","/nobody",' > "$policies/second.json"
ok "a new file in the directory is noticed" wait_for 5 loaded life second
cp "$policies/second.json" "$policies/.hidden.json"
echo '{}' > "$policies/schema.json"
echo 'nonsense' > "$policies/README"
rm "$policies/second.json"
ok "one that is taken away as well; hidden ones, the schema and others are none" wait_for 5 loaded life
mv "$policies" "$policies.away"
ok "the whole directory is away: an error" wait_for 5 grep -q "$policies: No such file" "$tmp/weir.log"
ok "and the old stays" loaded life
mv "$policies.away" "$policies"
sleep 0.5
policy life "$no_drop$no_items" | place life.json
ok "it is watched again when it is back" wait_for 5 new_hash
policy life "$no_drop" > "$policies/life.json"
old_hash() {
	[ "$(status_of '.policies.list[0].hash')" = "$first" ]
}
ok "written in place: noticed" wait_for 5 old_hash

# ---- a burst is one
n=$(reloads)
for i in $(seq 1 40); do
	policy "life" "$no_drop, { \"id\": \"burst-$i\", \"verdict\": \"block\", \"when\": {\"verb\": [\"X\"]} }" | place life.json
done
last=$(sha256sum "$policies/life.json" | cut -d ' ' -f 1)
settled() {
	[ "$(status_of '.policies.list[0].hash')" = "$last" ]
}
ok "after a burst the last counts" wait_for 5 settled
at_most $(($(reloads) - n)) 5 "40 changes are few reloads"
n=$(reloads)
touch "$policies/life.json"
sleep 0.6
is "$(reloads)" "$n" "a touch changes nothing"
kill -HUP "$weir_pid"
more() {
	[ "$(reloads)" -gt "$n" ]
}
ok "SIGHUP reads again all the same" wait_for 5 more

# ---- show
is "$("$weir" policy show life)" "$(cat "$policies/life.json")" "policy show by name"
is "$("$weir" policy show "${last:0:12}" | sha256sum | cut -d ' ' -f 1)" "$last" "by the hash's beginning"
is "$("$weir" policy show "$second" | sha256sum | cut -d ' ' -f 1)" "$second" "one of before by its hash"
like "$("$weir" policy show)" "${last:0:14} +enforce +life" "without a name: the list"
is "$("$weir" policy show own)" "$(cat "$tmp/own.json")" "an agent's own by its name"
"$weir" policy show nobody-has-it > /dev/null 2>&1
is $? 1 "one that is not there"

# ---- a thousand rules, under load
"$python" - "$pg_port" "$api_port" > "$tmp/big.json" << 'PY'
import json, sys
rules = [{"id": "r%d" % i, "verdict": "block",
          "when": {"object": ["s%d.t%d" % (i % 7, i)], "access": ["write", "delete"]}} for i in range(1000)]
json.dump({"name": "life", "agents": [{"cgroup": "/**"}], "default": "block", "rules": rules,
           "targets": [{"name": "db", "hosts": ["127.0.0.1"], "ports": [int(sys.argv[1])],
                        "protocol": "postgres", "default": "allow"},
                       {"name": "api", "hosts": ["127.0.0.1"], "ports": [int(sys.argv[2])],
                        "protocol": "http", "default": "allow"}]}, sys.stdout)
PY
pgbench -i -q -s 1 > /dev/null 2>&1
cp "$tmp/big.json" "$policies/life.json"
"$weir" policy reload > /dev/null
"$weir" run -- pgbench -n -S -c 2 -T 4 -l --log-prefix="$tmp/load" > "$tmp/load.out" 2>&1 &
load=$!
sleep 0.7
slowest=0
for i in $(seq 1 10); do
	printf ' ' >> "$policies/life.json"
	"$weir" policy reload --json > "$tmp/reload.json"
	took=$(jq .took_us "$tmp/reload.json")
	[ "$took" -le "$slowest" ] || slowest=$took
	sleep 0.2
done
wait "$load"
is $? 0 "a load runs through ten reloads"
# Figures to read, not to assert: machines are shared.
longest=$(cat "$tmp"/load.*[0-9] | awk '$3 > m { m = $3 } END { print m + 0 }')
diag "slowest reload of 1,000 rules: $slowest us; longest transaction beside: $longest us"
policy life "$no_drop" | place life.json
ok "back to the first" wait_for 5 old_hash

# ---- sessions to try policies out on
exec 8>&- 9>&-
agent_start=@$(date +%s)
sleep 1
in_agent() {
	"$weir" run -- "$@" > "$tmp/agent.out" 2>&1
}
in_agent psql -XAt -c 'select 1' -c 'select count(*) from item where id = 2' \
	-c "update item set id = 3 where id = 2" -c 'drop table other'
in_agent curl -sS "http://127.0.0.1:$api_port/v1/users" "http://127.0.0.1:$api_port/v1/users/1" \
	"http://127.0.0.1:$api_port/v1/users/2"
in_agent curl -sS -H 'Content-Type: application/json' -d '{"query": "drop everything"}' \
	"http://127.0.0.1:$api_port/echo"

store sessions --since "$agent_start" | jq -r .policy_hash | sort -u > "$tmp/hashes"
is "$(cat "$tmp/hashes")" "$first" "sessions have the policy's hash"
ok "and the store has its text" "$weir" policy show "$first"

# ---- replay
again() {
	"$weir" policy replay --since "$agent_start" "$@"
}
out=$(again "$policies/life.json")
is $? 0 "replay: the same policy changes nothing"
like "$out" ' 0 now allowed, 0 now held, 0 now blocked, 0 cannot be told' "and says so"
policy life "$no_items" > "$tmp/other.json"
again --json "$tmp/other.json" > "$tmp/again.json"
is $? 1 "replay: another does"
is "$(jq -c 'select(.result == "blocked") | [.old.verdict, .new.rule]' "$tmp/again.json" | sort -u)" \
	'["allow","no-items"]' "what is blocked now"
is "$(jq -c 'select(.result == "allowed") | [.old.rule, .text]' "$tmp/again.json")" \
	'["no-drop","drop table other"]' "what is allowed now"
is "$(jq -c 'select(.result == "summary") | [.blocked, .allowed, .held, .cannot_tell]' "$tmp/again.json")" \
	'[2,1,0,0]' "and how many"
policy life ', { "id": "body", "verdict": "block", "when": {"json": {"$.query": {"regex": "drop"}}} }' > "$tmp/body.json"
again --json "$tmp/body.json" > "$tmp/again.json"
is "$(jq -c 'select(.result == "blocked" or .result == "cannot-tell") | [.result, .new.rule]' "$tmp/again.json")" \
	'["blocked","body"]' "a request's content is judged as it was recorded"

# ---- learn
"$weir" policy learn --since "$agent_start" --name learned -o "$tmp/learned.json" 2> "$tmp/learn.err"
is $? 0 "learn writes a policy"
ok "which compiles" "$weir" policy check "$tmp/learned.json"
"$weir" policy learn --since "$agent_start" --reverse > "$tmp/learned2.json" 2> /dev/null
same_bytes "$tmp/learned.json" "$tmp/learned2.json" "the same from the same, in whatever order"
"$weir" policy learn --since "$agent_start" -o "$tmp/learned.json" 2> /dev/null
is $? 1 "nothing is overwritten"
again --json "$tmp/learned.json" > "$tmp/again.json"
is "$(jq -c 'select(.result != "summary")' "$tmp/again.json")" "" \
	"the learned policy passes all that passed, and nothing else"
cat > "$tmp/learned.tsv" << TSV
# policy	target	operation	verdict	rule
learned	db	sql:select 7	allow	-
learned	db	sql:select count(*) from item where id = 9	allow	-
learned	db	sql:update item set id = 4 where id = 9	allow	-
learned	db	sql:update item set id = 4	block	-
learned	db	sql:select 7 from pg_shadow	block	-
learned	db	sql:select * from other	block	-
learned	db	sql:drop table other	block	-
learned	db	sql:delete from item where id = 1	block	-
learned	db	sql:copy item to program 'sh'	block	-
learned	db	sql:set role postgres	block	-
learned	api	http:GET http://127.0.0.1/v1/users/33	allow	-
learned	api	http:GET http://127.0.0.1/v1/users/1/x	block	-
learned	api	http:DELETE http://127.0.0.1/v1/users/1	block	-
learned	api	http:GET http://localhost/v1/users	block	-
TSV
ok "what is foreign to it is refused" "$weir" policy test "$tmp/learned.tsv" --policy "$tmp/learned.json"
sed 's/allow/block/' "$tmp/learned.tsv" > "$tmp/wrong.tsv"
out=$("$weir" policy test "$tmp/wrong.tsv" --policy "$tmp/learned.json")
is $? 1 "policy test fails where a case does"
like "$out" 'wrong.tsv:2: FAILED sql:select 7' "names it"
like "$out" 'expected block' "what was expected"
like "$out" 'got +allow by db-select' "what came"
is "$("$weir" policy test --json "$tmp/wrong.tsv" --policy "$tmp/learned.json" | jq -c 'select(.result == "summary") | [.passed, .failed]')" \
	'[10,4]' "as JSON"

# The learned policy in force.
cp "$tmp/learned.json" "$policies/life.json"
ok "it is loaded" "$weir" policy reload
out=$("$weir" run -- psql -XAt -c 'select 99' -c 'select count(*) from item where id = 1' -c 'select * from pg_shadow' 2>&1)
like "$out" $'99\n1\n' "the agent does what it did"
like "$out" 'ERROR' "and not what it did not"
is "$("$weir" run -- curl -s -o /dev/null -w '%{http_code}' -X DELETE "http://127.0.0.1:$api_port/v1/users/1")" 403 \
	"over HTTP as well"

# ---- explain
out=$("$weir" policy explain --json --sql 'update item set id = 1' "$tmp/learned.json")
is $? 1 "explain: not allowed"
is "$(jq -r .verdict <<< "$out")" block "and says so"
is "$(jq -c '.rules[] | select(.rule == "db-update") | [.matches, .condition, .wanted]' <<< "$out")" \
	'[false,"attr",{"where":true}]' "with the condition that failed"
like "$("$weir" policy explain --cgroup /weir/run-x --sql 'select 1' "$policies")" 'policy +learned' \
	"of a directory it takes the agent's policy"

daemon_clean "no sanitizer spoke"
done_testing
