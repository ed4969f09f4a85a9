#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What happens to running sessions, and to what they have on hold, when policies change, agents are
# detached, servers lose patience and the daemon ends.
cd "$(dirname "$0")/../.." || exit 1
. tests/e2e/lib.sh
need_root
need curl jq
through_weir || skip_all "approvals need Weir"
start_postgres
psql -Xq -d postgres -c 'create database app' || exit 1
export PGDATABASE=app
psql -Xq -c 'create table item (id int primary key); insert into item select generate_series(1, 100)' || exit 1
# An HTTP server that closes connections on which nothing comes for a second.
impatient_port=$(free_port)
"${own[@]}" "$python" -c 'import http.server, sys
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 1
    def do_POST(self):
        n = int(self.headers["Content-Length"]); body = self.rfile.read(n)
        self.send_response(200); self.send_header("Content-Length", str(n)); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *a): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), H).serve_forever()' "$impatient_port" 2> /dev/null &
defer end_pid $!
wait_for 10 port_open "$impatient_port"

# policy DEFAULT MODE RULES: writes it, and loads it
policy() {
	cat > "$tmp/policy.json.new" << JSON
{ "name": "live", "agents": [ {"cgroup": "/**"} ], "default": "block", "mode": "$2",
  "targets": [
    { "name": "db", "hosts": ["127.0.0.1"], "ports": [${3:-$pg_port}], "protocol": "postgres", "default": "$1" },
    { "name": "web", "hosts": ["127.0.0.1"], "ports": [$impatient_port], "protocol": "http", "default": "allow" } ],
  "rules": [ { "id": "posts", "verdict": "hold", "when": {"verb": ["POST"]} }, ${4:-$rules} ] }
JSON
	mv "$tmp/policy.json.new" "$tmp/policy.json"
	[ ! -S "$tmp/run/weir.sock" ] || "$weir" policy reload > /dev/null
}
rules='{ "id": "deletes", "verdict": "hold", "when": {"verb": ["DELETE"]} }'
policy allow enforce
start_weir "$tmp/policy.json"

held() {
	"$weir" approvals --json | jq -r .id
}
held_is() {
	[ "$(held | wc -l)" -eq "$1" ]
}
items() {
	psql -XAt -c 'select count(*) from item'
}
# A psql in an agent that takes statements one by one: talk TEXT, and heard REGEX waits for what it says.
mkfifo "$tmp/in"
start_talk() {
	: > "$tmp/talk"
	run_agent psql -XAt -v ON_ERROR_STOP=0 < "$tmp/in" > "$tmp/talk" 2>&1 &
	talker=$!
	exec 7> "$tmp/in"
}
talk() {
	printf '%s\n' "$1" >&7
}
heard() {
	grep -qE "$1" "$tmp/talk"
}
end_talk() {
	exec 7>&-
	wait "$talker"
}

# ---- the next operation is judged by the new policy -------------------------------------------------
start_talk
talk "select 'first';"
ok "a session runs" wait_for 10 heard first
policy allow enforce "" '{ "id": "no-reads", "verdict": "block", "when": {"effect": ["read"]} }'
talk "select 'second';"
ok "its next operation is judged by the new policy" wait_for 10 heard 'no-reads'
policy allow enforce
talk "select 'third';"
ok "and the one after by the next" wait_for 10 heard third
session=$(store sessions | tail -1 | jq -r .id)
out=$("$weir" show "$session")
like "$out" 'judged by another policy from here on policy=live hash=[0-9a-f]{64} target=db' "the record says so"
is "$(grep -c 'judged by another' <<< "$out")" 2 "each time"
is "$(store show "$session" | head -1 | jq -r '.policy + " " + .target')" "live db" "and with which it began"

# ---- forbidden while on hold --------------------------------------------------------------------------
talk 'delete from item where id = 1;'
wait_for 10 held_is 1
policy allow enforce "" '{ "id": "no-deletes", "verdict": "block", "when": {"verb": ["DELETE"]} }'
"$weir" approve "$(held)" > /dev/null
ok "approved, but forbidden since: refused" wait_for 10 heard 'the policy forbids it now'
is "$(items)" 100 "nothing was deleted"
policy allow enforce

# ---- the target is gone -------------------------------------------------------------------------------
policy allow enforce 1
talk "select 'fourth';"
ok "its target gone, a session may do nothing" wait_for 10 heard 'no-target'
policy allow enforce
talk "select 'fifth';"
ok "and again when it is back" wait_for 10 heard fifth

# ---- observe ------------------------------------------------------------------------------------------
policy allow observe
talk 'delete from item where id = 2;'
ok "where verdicts are only observed nothing is held" wait_for 10 heard 'DELETE 1'
like "$("$weir" show "$session")" 'hold DELETE' "but recorded as one that would be"
policy allow enforce
talk 'delete from item where id = 3;'
ok "enforced again" wait_for 10 held_is 1
"$weir" deny "$(held)" --reason no > /dev/null
end_talk

# ---- an impatient server --------------------------------------------------------------------------------
run_agent curl -s -w ' %{http_code}' -d body "http://127.0.0.1:$impatient_port/" > "$tmp/out" &
client=$!
wait_for 10 held_is 1
sleep 2.5 # longer than the server waits
"$weir" approve "$(held)" > /dev/null
wait "$client"
is "$(cat "$tmp/out")" "body 200" "a server that closed meanwhile is dialled again"

# ---- detached -------------------------------------------------------------------------------------------
make_cgroup
"$weir" attach "$cgroup_path" > /dev/null
mkfifo "$tmp/in2"
in_cgroup psql -XAt < "$tmp/in2" > "$tmp/talk" 2>&1 &
talker=$!
exec 8> "$tmp/in2"
printf "select 'inside';\n" >&8
ok "an attached cgroup's session runs" wait_for 10 heard inside
printf 'delete from item where id = 4;\n' >&8
wait_for 10 held_is 1
"$weir" detach "$cgroup_path" > /dev/null
ok "detached: what it had on hold waits no more" wait_for 10 held_is 0
exec 8>&-
wait "$talker"
like "$(cat "$tmp/talk")" 'FATAL:.*no longer attached' "and its session ended, natively"
is "$(items)" 99 "nothing was deleted"

# ---- the daemon ends ------------------------------------------------------------------------------------
run_agent psql -XAt -c 'delete from item where id = 5' > "$tmp/out" 2>&1 &
client=$!
wait_for 10 held_is 1
id=$(held)
end_pid "$weir_pid"
wait "$client"
like "$(cat "$tmp/out")" 'ERROR:.*deletes.*the daemon was stopped' "a daemon that ends denies what is on hold, natively"
is "$(items)" 99 "nothing was deleted"
launch_weir
out=$("$weir" show "$(store sessions --rule deletes | head -1 | jq -r .id)")
like "$out" "approval gone approval=$id why=the daemon was stopped" "and records it"
daemon_clean "no sanitizer has spoken"
done_testing
