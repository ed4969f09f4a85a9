#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Hostile and broken peers on both sides: each ends its own session with a clear refusal and an error on
# record; others go on; the proxy's memory stays bounded; it never dies.
cd "$(dirname "$0")/../.." || exit 1
. tests/e2e/lib.sh
need_root
start_postgres
start_http_server
modes=(mid-row huge-row garbage silent)
declare -A fake
for mode in "${modes[@]}"; do
	start_server "$tmp/fake-$mode.log" fake_pg.py --mode "$mode"
	fake[$mode]=$server_port
done
cat > "$tmp/policy.json" << JSON
{ "name": "e2e-badinput", "agents": [ {"cgroup": "/**"} ], "default": "block",
  "targets": [
    { "name": "db", "hosts": ["127.0.0.1"], "ports": [$pg_port], "protocol": "postgres", "default": "allow" },
    { "name": "fake", "hosts": ["127.0.0.1"],
      "ports": [${fake[mid-row]}, ${fake[huge-row]}, ${fake[garbage]}, ${fake[silent]}],
      "protocol": "postgres", "default": "allow" },
    { "name": "api", "hosts": ["127.0.0.1"], "ports": [$api_port], "protocol": "http", "default": "allow" } ] }
JSON
export PGDATABASE=postgres
start_weir "$tmp/policy.json"

bad() {
	run_agent "$python" tests/e2e/bad_client.py "$1" "${2-$pg_port}" 2>&1
}
rss_kib() {
	awk '/^VmRSS/ { print $2 }' "/proc/$(proxy_pid)/status"
}
errors() {
	"$weir" sessions --json | jq -s '[.[] | select(.state == "failed" or .state == "refused")] | length'
}

like "$(bad slow-pg)" 'slow but right' "a slow writer in its right is served: PostgreSQL"
like "$(bad slow-http "$api_port")" 'Ada' "and HTTP"

if ! through_weir; then
	for what in startup-zero startup-cut length-zero message-cut; do
		unlike "$(bad $what)" 'Traceback|still open' "$what ends, without Weir too"
	done
	done_testing
	exit
fi

# A session that is there all the time; it must not notice anything.
mkfifo "$tmp/steady.in"
run_agent psql -XAt < "$tmp/steady.in" > "$tmp/steady.out" 2>&1 &
steady=$!
exec 9> "$tmp/steady.in"
steady_answers() {
	local mark="steady-$RANDOM-$RANDOM"
	echo "select '$mark';" >&9
	wait_for 10 grep -q "$mark" "$tmp/steady.out"
}
ok "a steady session answers" steady_answers
proxy=$(proxy_pid)
before=$(rss_kib)

# refused WHAT REGEX: what came back, the daemon is the same, the steady session lives, it is on record
refused() {
	local n got
	n=$(errors)
	got=$(bad "$1" "${3-$pg_port}")
	like "$got" "$2" "$1: refused as it should be"
	unlike "$got" 'still open' "  … and the connection ends"
	wait_for 5 eval '[ "$(errors)" -gt "$n" ]'
	is "$?" 0 "  … and is on record"
}
for what in startup-zero startup-short startup-huge startup-negative startup-version \
	startup-unterminated random; do
	refused $what 'ERROR|FATAL|closed|reset'
done
refused ssl-stuffed 'closed|reset|FATAL'
for what in length-zero length-three length-huge length-negative unterminated kind bind-lies bind-counts; do
	refused $what 'SFATAL|SERROR'
done
refused message-cut 'closed|reset'
ok "a steady session still answers" steady_answers

for what in http-head-huge http-nul http-space http-cl-cl http-garbage; do
	refused $what 'HTTP/1.1 (400|431|505)' "$api_port"
done
is "$(grep -cv 'GET /v1/users/1 ' "$tmp/api.log")" 0 "no server saw a malformed head"
refused http-chunk 'HTTP/1.1 400|closed' "$api_port"
refused http-body-cut 'closed|HTTP/1.1 4' "$api_port"
ok "a steady session still answers" steady_answers

# Servers that misbehave
fake_psql() {
	PGPORT=${fake[$1]} run_agent timeout 15 psql -XAt -c 'select n' 2>&1
}
like "$(fake_psql mid-row)" 'closed|terminat|error|lost' "a server that closes mid-row: the client is told"
like "$(fake_psql garbage)" 'closed|terminat|error|lost|FATAL' "a server that talks garbage: the client is told"
PGPORT=${fake[huge-row]} run_agent timeout 5 psql -XAt -c 'select n' > /dev/null 2>&1
ok "a row of 1 GiB: a steady session still answers" steady_answers
PGPORT=${fake[silent]} PGCONNECT_TIMEOUT=3 run_agent timeout 10 psql -XAt -c 'select n' > "$tmp/silent" 2>&1
like "$(cat "$tmp/silent")" 'timeout|expired' "a server that says nothing: the client's own timeout counts"
is "$(bad vanish)" "b'gone'" "a client that vanishes in the middle of a query"
sleep 2
is "$(psql -XAt -c "select count(*) from pg_stat_activity where query like '%pg_sleep(1)%' and pid <> pg_backend_pid() and state = 'active'")" \
	0 "  … its query does not stay on the server"
bad never-reads > /dev/null &
reader=$!
sleep 2
during=$(rss_kib)
wait $reader
at_most $((during - before)) $((64 * 1024)) "a client that never reads does not fill the proxy's memory"

# Many at a time
many=()
for n in {1..40}; do
	bad length-huge > /dev/null &
	many+=($!)
done
wait_for 20 eval '[ "$(jobs -pr | wc -l)" -gt 10 ]'
at_most $(($(rss_kib) - before)) $((256 * 1024)) "forty declared gigabytes do not either"
ok "and a steady session answers meanwhile" steady_answers
wait "${many[@]}"
sleep 1
at_most $(($(rss_kib) - before)) $((96 * 1024)) "afterwards memory is given back"

is "$(proxy_pid)" "$proxy" "the proxy lived through all of it"
echo '\q' >&9
exec 9>&-
wait $steady
is "$?" 0 "the steady session ends well"
all=$(for id in $("$weir" sessions --json | jq -r 'select(.state == "failed") | .id'); do
	"$weir" show "$id" --json
done)
at_least "$(jq -r 'select(.type == "error") | .text' <<< "$all" | wc -l)" 15 "error events are in the store"
daemon_clean "no sanitizer has spoken"
done_testing
