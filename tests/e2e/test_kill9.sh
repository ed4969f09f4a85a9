#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Recorded before forwarded: whatever a server saw is in the store, though both halves of the daemon are
# killed in the middle of a load; the next daemon finds the torn sessions and says so.
cd "$(dirname "$0")/../.." || exit 1
. tests/e2e/lib.sh
need_root
rounds=${KILL9_ROUNDS:-4}
start_server "$tmp/pg.log" fake_pg.py
pg_port=$server_port
start_http_server
cat > "$tmp/policy.json" << JSON
{ "name": "e2e-kill9", "agents": [ {"cgroup": "/**"} ], "default": "block",
  "targets": [
    { "name": "pg", "hosts": ["127.0.0.1"], "ports": [$pg_port], "protocol": "postgres", "default": "allow" },
    { "name": "api", "hosts": ["127.0.0.1"], "ports": [$api_port], "protocol": "http", "default": "allow" } ] }
JSON
make_cgroup
start_weir "$tmp/policy.json"
if through_weir; then
	ok "a cgroup that stays is attached" "$weir" attach "$cgroup"
fi

# every_word LOG: the marks that a server got
every_word() {
	grep -oE 'op-[a-z0-9]+-[0-9]+-[0-9]+' "$1" | sort -u
}

for ((round = 1; round <= rounds; round++)); do
	: > "$tmp/pg.log"
	: > "$tmp/api.log"
	run_agent "$python" tests/e2e/load_client.py "$pg_port" "$api_port" "r$round" > "$tmp/load.log" 2>&1 &
	load=$!
	if through_weir; then
		wait_for 20 test -s "$tmp/pg.log" -a -s "$tmp/api.log"
		sleep "0.$((RANDOM % 8 + 1))"
		proxy=$(proxy_pid)
		if ((round % 2)); then
			kill -KILL "$weir_pid" "$proxy"
		else
			kill -KILL "$proxy" "$weir_pid"
		fi
		wait "$weir_pid" 2> /dev/null
	fi
	wait "$load"
	sleep 0.2
	every_word "$tmp/pg.log" > "$tmp/seen"
	every_word "$tmp/api.log" >> "$tmp/seen"
	sort -u -o "$tmp/seen" "$tmp/seen"
	at_least "$(grep -c op-pg "$tmp/seen")" 20 "round $round: the PostgreSQL server saw operations"
	at_least "$(grep -c op-http "$tmp/seen")" 20 "round $round: the HTTP server saw operations"
	through_weir || continue

	# The store is read while no daemon lives.
	for id in $("$weir" sessions --json | jq -r .id); do
		"$weir" show "$id" --json
	done > "$tmp/recorded.json" 2> "$tmp/recorded.err"
	every_word "$tmp/recorded.json" > "$tmp/recorded"
	lost=$(comm -23 "$tmp/seen" "$tmp/recorded")
	is "$lost" "" "round $round: none of the $(wc -l < "$tmp/seen") is missing from the store"
	fails "round $round: without a daemon nobody connects" \
		in_cgroup bash -c "exec 3<> /dev/tcp/127.0.0.1/$api_port"

	launch_weir
	is "$("$weir" sessions --json | jq -r 'select(.state == "open") | .id' | wc -l)" 0 \
		"round $round: the next daemon leaves no session open"
	at_least "$("$weir" sessions --json | jq -r 'select(.state == "interrupted") | .id' | wc -l)" 1 \
		"round $round: the torn ones are marked as interrupted"
	is "$(run_agent curl -sS -m 10 -o /dev/null -w '%{http_code}' "http://127.0.0.1:$api_port/op/again")" \
		204 "round $round: and agents are served again"
	ok "round $round: the attached cgroup's too" in_cgroup curl -sSf -m 10 -o /dev/null \
		"http://127.0.0.1:$api_port/op/attached"
done

if through_weir; then
	# The proxy alone dies: the warden starts another.
	proxy=$(proxy_pid)
	kill -KILL "$proxy"
	wait_for 10 eval '[ -n "$(proxy_pid)" ] && [ "$(proxy_pid)" != "$proxy" ]'
	wait_for 10 run_agent curl -sSf -m 5 -o /dev/null "http://127.0.0.1:$api_port/op/restart"
	is "$?" 0 "a dead proxy is replaced, and agents are served"
	# The warden alone dies: the proxy goes along.
	proxy=$(proxy_pid)
	kill -KILL "$weir_pid"
	wait "$weir_pid" 2> /dev/null
	wait_for 10 eval '! kill -0 "$proxy"'
	is "$?" 0 "a dead warden takes the proxy along"
fi
daemon_clean "no sanitizer has spoken"
done_testing
