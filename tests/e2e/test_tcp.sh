#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What is neither PostgreSQL nor HTTP: relayed and recorded where a target says "tcp", else refused.
cd "$(dirname "$0")/../.." || exit 1
. tests/e2e/lib.sh
need_root
start_server "$tmp/opaque.log" line_server.py
opaque=$server_port
start_server "$tmp/sniffed.log" line_server.py
sniffed=$server_port
start_server "$tmp/nowhere.log" line_server.py
nowhere=$server_port
start_server "$tmp/greet.log" line_server.py --greet
greet=$server_port
cat > "$tmp/policy.json" << JSON
{ "name": "e2e-tcp", "agents": [ {"cgroup": "/**"} ], "default": "block",
  "targets": [
    { "name": "opaque", "hosts": ["127.0.0.1"], "ports": [$opaque, $greet], "protocol": "tcp", "default": "allow" },
    { "name": "sniffed", "hosts": ["127.0.0.1"], "ports": [$sniffed], "default": "allow" } ] }
JSON
start_weir "$tmp/policy.json"

# talk PORT TEXT: what comes back until the server or Weir closes
talk() {
	run_agent "$python" tests/e2e/line_client.py "$1" "$2" 2>&1
}

is "$(talk "$opaque" 'hello there')" "you said hello there" "an opaque target is relayed"
is "$(talk "$greet" 'hi')" "welcome
you said hi" "also when the server speaks first"
head -c 5000000 /dev/urandom > "$tmp/bulk"
run_agent "$python" tests/e2e/line_client.py "$opaque" --file "$tmp/bulk" > "$tmp/bulk.back" 2> "$tmp/bulk.err"
same_bytes "$tmp/bulk.back" "$tmp/bulk" "5 MB go there and back"
is "$(cat "$tmp/bulk.err")" "" "without a complaint"

if through_weir; then
	unlike "$(talk "$sniffed" $'\x01\x02 not a protocol')" 'you said' "unknown bytes are refused elsewhere"
	is "$(cat "$tmp/sniffed.log")" "" "and reach no server"
	unlike "$(talk "$nowhere" 'hello')" 'you said' "an address without a target is refused"
	is "$(cat "$tmp/nowhere.log")" "" "and reaches no server"

	id=$(store sessions --target opaque --limit 1 | jq -r .id)
	like "$id" '^[0-9A-Za-z]{26}$' "the relayed session is in the store"
	like "$(store sessions --target opaque | jq -r .protocol | sort -u)" '^tcp$' "as tcp"
	all=$(for id in $(store sessions --target opaque | jq -r .id); do "$weir" show "$id"; done)
	like "$all" 'hello there' "with what was said"
	at_least "$(store sessions --target sniffed | jq -r 'select(.state == "failed" or .state == "refused") | .id' |
		wc -l)" 1 "the refused bytes are on record"
	at_least "$(store sessions | jq -c "select((.destination | endswith(\":$nowhere\")) and .state == \"refused\")" |
		wc -l)" 1 "and the refused address"
fi
daemon_clean "no sanitizer has spoken"
done_testing
