#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Operations on hold, end to end: clients that know nothing, people who approve and deny.
cd "$(dirname "$0")/../.." || exit 1
. tests/e2e/lib.sh
need_root
need curl jq setpriv
through_weir || skip_all "approvals need Weir"
start_postgres
start_http_server
psql -Xq -d postgres -c 'create database app' || exit 1
export PGDATABASE=app
psql -Xq << 'SQL' || exit 1
create table item (id int primary key, name text);
insert into item select g, 'n' || g from generate_series(1, 100) g;
SQL
cat > "$tmp/policy.json" << JSON
{ "name": "e2e-hold", "agents": [ {"cgroup": "/**"} ], "default": "block",
  "targets": [
    { "name": "db", "hosts": ["127.0.0.1"], "ports": [$pg_port], "protocol": "postgres", "default": "allow" },
    { "name": "api", "hosts": ["127.0.0.1"], "ports": [$api_port], "protocol": "http", "default": "allow" } ],
  "rules": [
    { "id": "deletes", "verdict": "hold", "when": {"protocol": ["postgres"], "verb": ["DELETE"]},
      "approval": {"count": 1, "timeout": "60s"} },
    { "id": "short", "verdict": "hold", "when": {"protocol": ["postgres"], "verb": ["TRUNCATE"]},
      "approval": {"count": 1, "timeout": "1s"} },
    { "id": "two", "verdict": "hold", "when": {"protocol": ["postgres"], "verb": ["UPDATE"]},
      "approval": {"count": 2, "timeout": "60s"} },
    { "id": "again", "verdict": "hold", "when": {"protocol": ["postgres"], "verb": ["INSERT"]},
      "approval": {"count": 1, "timeout": "60s", "remember": "session"} },
    { "id": "posts", "verdict": "hold", "when": {"protocol": ["http"], "verb": ["POST", "DELETE"]},
      "approval": {"count": 1, "timeout": "120s"} },
    { "id": "minute", "verdict": "hold", "when": {"protocol": ["http"], "verb": ["PUT"]},
      "approval": {"count": 1, "timeout": "60s", "remember": "15m"} } ] }
JSON
group=64201
start_weir "$tmp/policy.json"
# A group whose members may answer: the daemon anew with it.
end_pid "$weir_pid"
jq --arg g "$group" '.control = {group: $g}' "$tmp/weir.json" > "$tmp/weir.json.new"
mv "$tmp/weir.json.new" "$tmp/weir.json"
chmod 755 "$tmp/run"
launch_weir

agent_psql() {
	run_agent psql -XAt "$@" 2>&1
}
# The ids that wait; how many.
held() {
	"$weir" approvals --json | jq -r "select(${1:-true}) | .id"
}
held_is() {
	[ "$(held "${2:-true}" | wc -l)" -eq "$1" ]
}
as_uid() {
	local uid=$1
	shift
	setpriv --reuid "$uid" --regid "$uid" --groups "$group" "$@"
}
items() {
	psql -XAt -c 'select count(*) from item'
}

# ---- asked, approved -------------------------------------------------------------------------------
agent_psql -c 'delete from item where id = 1' > "$tmp/out" &
client=$!
ok "DELETE waits" wait_for 10 held_is 1
id=$(held)
is "$(items)" 100 "nothing reached the server"
out=$("$weir" approvals "$id")
like "$out" 'delete from item where id = 1' "the listing has the exact text"
like "$out" 'target +db' "and the target"
like "$out" 'table item: delete' "and the objects"
like "$("$weir" approvals)" 'DELETE.*deletes' "the table names verb and rule"
is "$("$weir" approvals --json | jq -r '[.rule, .verb, .needed, .target, .comm, .text] | @tsv')" \
	$'deletes\tDELETE\t1\tdb\tpsql\tdelete from item where id = 1' "as JSON"
# another session is undisturbed
is "$(agent_psql -c 'select 6 * 7')" 42 "another session goes on meanwhile"
is "$("$weir" approve "$id" --reason 'fine by me')" "$id approved" "approve"
wait "$client"
like "$(cat "$tmp/out")" 'NOTICE: +waiting for approval by rule "deletes": weir approve '"$id" \
	"the client was told by a NOTICE"
like "$(cat "$tmp/out")" 'DELETE 1' "and got its answer"
is "$(items)" 99 "it was done once"
fails "an approval counts once" "$weir" approve "$id"
like "$("$weir" approve "$id" 2>&1)" 'waits no more: approved' "and says how it ended"
out=$("$weir" show latest)
session=$(store sessions --rule deletes | head -1 | jq -r .id)
out=$("$weir" show "$session")
like "$out" 'hold DELETE' "the store has the hold"
like "$out" "approval asked.*approval=$id needed=1" "and that it was asked"
like "$out" 'approval answered.*allow=true by=uid:0.*uid=0 pid=[0-9]+ reason=fine by me' "who answered"
like "$out" 'approval approved' "and how it ended"
is "$(store show "$session" | jq -r 'select(.type == "approval") | .text' | tr '\n' ' ')" \
	"asked answered approved " "in that order, as JSON"

# ---- denied: the session lives, the transaction is as after an error --------------------------------
cat > "$tmp/denied.sql" << 'SQL'
begin;
select 1;
delete from item where id = 2;
\echo :LAST_ERROR_SQLSTATE
select 2;
\echo :LAST_ERROR_SQLSTATE
rollback;
select 'alive';
SQL
agent_psql -f "$tmp/denied.sql" > "$tmp/out" &
client=$!
wait_for 10 held_is 1
id=$(held)
fails "deny without a reason is refused" "$weir" deny "$id"
is "$("$weir" deny "${id:0:16}" --reason 'not on a Friday')" "${id:0:16} denied" "deny, by the beginning of its id"
wait "$client"
out=$(cat "$tmp/out")
like "$out" 'ERROR: .*"deletes".*denied by uid:0: not on a Friday' "a native error with rule and reason"
like "$out" $'\n42501\n' "SQLSTATE 42501"
like "$out" $'\n25P02\n' "the transaction is aborted"
like "$out" 'alive' "the session lives"
is "$(items)" 99 "nothing was deleted"

# ---- nobody answers ---------------------------------------------------------------------------------
like "$(agent_psql -c 'truncate item' -c 'select 77')" 'ERROR: .*"short".*not approved within 1 s' "times out as a refusal"
is "$(items)" 99 "nothing was truncated"
is "$(held | wc -l)" 0 "and waits no more"

# ---- several statements in one string, and a pipeline -----------------------------------------------
agent_psql -c 'delete from item where id = 3; select 5; delete from item where id = 4' > "$tmp/out" &
client=$!
wait_for 10 held_is 1
id=$(held)
like "$("$weir" approvals --json | jq -r .text)" 'id = 3$' "of several statements the first is asked for"
"$weir" approve "$id" > /dev/null
wait_for 10 held_is 1 '.text | test("id = 4")'
is "$(items)" 99 "none goes before all are approved"
"$weir" approve "$(held)" > /dev/null
wait "$client"
is "$(items)" 97 "then all go"
agent_psql -c 'delete from item where id = 5; delete from item where id = 6' > "$tmp/out" &
client=$!
wait_for 10 held_is 1
"$weir" approve "$(held)" > /dev/null
wait_for 10 held_is 1 '.text | test("id = 6")'
"$weir" deny "$(held)" --reason no > /dev/null
wait "$client"
is "$(items)" 97 "the denial of one refuses the whole string"

# ---- the client leaves ------------------------------------------------------------------------------
run_agent timeout -s KILL 2 psql -XAt -c 'delete from item where id = 7' > "$tmp/out" 2>&1 &
client=$!
wait_for 10 held_is 1
id=$(held)
wait "$client"
ok "its client gone, it waits no more" wait_for 10 held_is 0
is "$(items)" 97 "and is not done"
like "$("$weir" approve "$id" 2>&1)" 'waits no more: gone' "too late to approve"
like "$("$weir" show "$(store sessions --rule deletes | head -1 | jq -r .id)")" \
	"approval gone approval=$id why=the client left" "recorded"

# ---- two people -------------------------------------------------------------------------------------
agent_psql -c "update item set name = 'x' where id = 8" > "$tmp/out" &
client=$!
wait_for 10 held_is 1
id=$(held)
is "$(stat -c '%a %g' "$tmp/run/weir.sock")" "660 $group" "the socket is the group's as well"
like "$(as_uid 1001 "$weir" approve "$id" 2>&1)" 'waits for more people' "the first of two"
out=$(as_uid 1001 "$weir" approve "$id" 2>&1)
is "$?" 1 "the same person again is refused"
like "$out" 'another person' "and told why"
out=$(setpriv --reuid 1003 --regid 1003 --clear-groups "$weir" approve "$id" 2>&1)
is "$?" 3 "who is not of the group does not get in"
is "$(psql -XAt -c "select name from item where id = 8")" n8 "one is not enough"
like "$(as_uid 1002 "$weir" approve "$id" --reason ok)" 'approved' "the second"
wait "$client"
is "$(psql -XAt -c "select name from item where id = 8")" x "two are"
out=$("$weir" show "$(store sessions --rule two | head -1 | jq -r .id)")
like "$out" 'by=uid:1001.*by=uid:1002' "both are recorded"
for cmd in stop "attach /x" "detach /x"; do
	# shellcheck disable=SC2086 # words
	out=$(as_uid 1001 "$weir" $cmd 2>&1)
done
printf '{"command": "stop"}\n' > "$tmp/stop.json"
out=$(as_uid 1001 "$python" -c 'import socket, sys
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])
for c in ("stop", "attach", "detach", "policies-reload"):
    s.sendall(b"{\"command\": \"%s\"}\n" % c.encode()); print(s.recv(4096).decode().strip())' "$tmp/run/weir.sock")
is "$(grep -c not-allowed <<< "$out")" 4 "members of the group may not stop, attach, detach or reload"
ok "but see the status" as_uid 1001 "$weir" status

# ---- not from inside of an agent ---------------------------------------------------------------------
agent_psql -c 'delete from item where id = 9' > "$tmp/out" &
client=$!
wait_for 10 held_is 1
id=$(held)
out=$(run_agent "$weir" approve "$id" 2>&1)
is "$?" 1 "an agent cannot approve, as root neither"
like "$out" 'inside of an attached cgroup' "and is told why"
fails "nor deny" run_agent "$weir" deny "$id" --reason x
fails "nor list what others ask" run_agent "$weir" approvals
is "$(held)" "$id" "it still waits"
"$weir" deny "$id" --reason cleanup > /dev/null
wait "$client"

# ---- remembered -------------------------------------------------------------------------------------
cat > "$tmp/remember.sql" << 'SQL'
insert into item values (1000, 'a') on conflict do nothing;
insert into item values (1000, 'a') on conflict do nothing;
insert into item values (1001, 'b') on conflict do nothing;
SQL
agent_psql -f "$tmp/remember.sql" > "$tmp/out" &
client=$!
wait_for 10 held_is 1
"$weir" approve "$(held)" > /dev/null
ok "the same again passes, another text is asked for" wait_for 10 held_is 1 '.text | test("1001")'
"$weir" approve "$(held)" > /dev/null
wait "$client"
is "$(psql -XAt -c 'select count(*) from item where id >= 1000')" 2 "all were done"
out=$("$weir" show "$(store sessions --rule again | head -1 | jq -r .id)")
like "$out" 'approval remembered' "recorded as remembered"
agent_psql -c "insert into item values (1000, 'a') on conflict do nothing" > "$tmp/out" &
client=$!
ok "another session is asked for anew" wait_for 10 held_is 1
"$weir" deny "$(held)" --reason no > /dev/null
wait "$client"

# ---- HTTP -------------------------------------------------------------------------------------------
url=http://127.0.0.1:$api_port
run_agent curl -s -w ' %{http_code}' -d 'hello' "$url/echo" > "$tmp/out" &
client=$!
wait_for 10 held_is 1
is "$(grep -c echo "$tmp/api.log")" 0 "the server saw nothing"
"$weir" approve "$(held)" > /dev/null
wait "$client"
is "$(cat "$tmp/out")" "hello 200" "curl gets its answer"
run_agent curl -s -w ' %{http_code}' -X DELETE "$url/v1/users/1" > "$tmp/out" &
client=$!
wait_for 10 held_is 1
"$weir" deny "$(held)" --reason 'keep Ada' > /dev/null
wait "$client"
like "$(cat "$tmp/out")" 'posts.*keep Ada.* 403$' "a denial is a 403 with rule and reason"
run_agent curl -s -o /dev/null -w '%{http_code}' -X PUT "$url/op/put" > "$tmp/out" &
client=$!
wait_for 10 held_is 1
"$weir" approve "$(held)" > /dev/null
wait "$client"
is "$(cat "$tmp/out")" 204 "PUT is approved"
run_agent curl -s -m 2 -o /dev/null -w '%{http_code}' -X PUT "$url/op/put" > "$tmp/out" &
wait $!
isnt_remembered=$(cat "$tmp/out")
is "$isnt_remembered" 000 "another agent asks for itself"
wait_for 10 held_is 0

# A thousand at once.
run_agent "$python" tests/e2e/hold_client.py "$api_port" 1000 > "$tmp/out" 2>&1 &
client=$!
ok "1,000 requests are on hold" wait_for 60 held_is 1000
is "$("$weir" status --json | jq .proxy.waiting)" 1000 "and counted"
held > "$tmp/ids"
head -500 "$tmp/ids" | xargs "$weir" approve > "$tmp/approved"
tail -500 "$tmp/ids" | xargs "$weir" deny --reason enough > "$tmp/denied"
wait "$client"
is "$(cat "$tmp/out")" "200: 500, 403: 500" "all 1,000 settle, half of them approved"
is "$(held | wc -l)" 0 "none waits"

# ---- the daemon ends, or is killed --------------------------------------------------------------------
agent_psql -c 'delete from item where id = 10' > "$tmp/out" &
client=$!
wait_for 10 held_is 1
kill -KILL "$(proxy_pid)"
wait "$client"
is "$(items)" 99 "a killed proxy lets nothing go"
unlike "$(cat "$tmp/out")" 'DELETE' "its client gets no answer"
wait_for 10 "$weir" status
wait_for 10 held_is 0
daemon_clean "no sanitizer has spoken"
done_testing
