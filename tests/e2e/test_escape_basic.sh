#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The first ways around: no daemon, IPv4-mapped IPv6, the listener itself, forks, child cgroups, another
# cgroup's rights. (The complete list is the threat model's.)
cd "$(dirname "$0")/../.." || exit 1
. tests/e2e/lib.sh
need_root
start_http_server
start_server "$tmp/forbidden.log" line_server.py
forbidden=$server_port
cat > "$tmp/policy.json" << JSON
{ "name": "e2e-escape", "agents": [ {"cgroup": "/**"} ], "default": "block",
  "targets": [
    { "name": "api", "hosts": ["127.0.0.1", "::1"], "ports": [$api_port], "protocol": "http", "default": "allow" } ] }
JSON
make_cgroup
start_weir "$tmp/policy.json"

# tries NAME PYTHON: connects in the attached cgroup; prints "in" or why not
tries() {
	in_cgroup timeout 20 "$python" -c "
import socket, sys, os, threading
def dial(family, address, port, kind=socket.SOCK_STREAM, proto=0, before=None):
    s = socket.socket(family, kind, proto)
    s.settimeout(10)
    if before: before(s)
    s.connect((address, port))
    return s
def http(s, host='x'):
    s.sendall(b'GET /op/word HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
    return s.recv(1000).split(b'\r\n')[0].decode()
def said(s):
    s.sendall(b'let me in\n')
    got = s.recv(1000)
    return 'in' if got else 'closed'
api, forbidden = $api_port, $forbidden
try:
    print($1)
except OSError as e:
    print('refused', e.strerror or e)
" 2>&1
}

if ! through_weir; then
	is "$(tries 'http(dial(socket.AF_INET, "127.0.0.1", api))')" 'HTTP/1.1 204 No Content' "IPv4"
	is "$(tries 'said(dial(socket.AF_INET, "127.0.0.1", forbidden))')" in "nothing is refused without Weir"
	done_testing
	exit
fi

fails "detaching what is not attached" "$weir" detach "$cgroup"
ok "attach" "$weir" attach "$cgroup"
like "$(store agents)" "$cgroup_path" "agents lists the cgroup"
is "$(tries 'http(dial(socket.AF_INET, "127.0.0.1", api))')" 'HTTP/1.1 204 No Content' "IPv4"
is "$(tries 'http(dial(socket.AF_INET6, "::ffff:127.0.0.1", api))')" 'HTTP/1.1 204 No Content' \
	"IPv4-mapped IPv6"
is "$(tries '(lambda s: s.getpeername()[1] == api and s.getpeername()[0])(dial(socket.AF_INET, "127.0.0.1", api))')" \
	127.0.0.1 "getpeername tells the address that was asked for"
is "$(tries '(lambda s: s.getpeername()[:2])(dial(socket.AF_INET6, "::ffff:127.0.0.1", api))')" \
	"('::ffff:127.0.0.1', $api_port)" "and keeps the family"

none='^(refused|closed)'
like "$(tries 'said(dial(socket.AF_INET, "127.0.0.1", forbidden))')" "$none" "another port: IPv4"
like "$(tries 'said(dial(socket.AF_INET6, "::ffff:127.0.0.1", forbidden))')" "$none" "IPv4-mapped IPv6"
like "$(tries 'said(dial(socket.AF_INET, "127.0.0.1", forbidden, proto=262))')" "$none" "MPTCP"
like "$(tries 'said(dial(socket.AF_INET, "127.0.0.1", forbidden, before=lambda s: s.bind(("127.0.0.1", 0))))')" \
	"$none" "a bound socket"
like "$(tries '(lambda s: (s.sendto(b"let me in\n", socket.MSG_FASTOPEN, ("127.0.0.1", forbidden)), s.recv(100) and "in" or "closed")[1])(socket.socket())')" \
	"$none" "TCP Fast Open"
like "$(tries '(lambda s: (s.setblocking(False), s.connect_ex(("127.0.0.1", forbidden)), s.settimeout(5), said(s))[3])(socket.socket())')" \
	"$none" "a non-blocking connect"
like "$(in_cgroup bash -c "(setsid bash -c 'exec 3<> /dev/tcp/127.0.0.1/$forbidden && echo x >&3 && timeout 5 cat <&3' &) ; sleep 1" 2>&1; cat "$tmp/forbidden.log")" \
	'^[^x]*$' "a double-forked child"
mkdir "$cgroup/child"
like "$(cgroup=$cgroup/child tries 'said(dial(socket.AF_INET, "127.0.0.1", forbidden))')" "$none" \
	"a child cgroup"
rmdir "$cgroup/child"
is "$(cat "$tmp/forbidden.log")" "" "the forbidden server saw nothing of all that"

# Weir's listener, dialled directly: from the agent's cgroup and from outside.
ports=$(ss -Hltnp | awk -v pid="pid=$(proxy_pid)," -v warden="pid=$weir_pid," \
	'index($0, pid) || index($0, warden) { n = split($4, a, ":"); print a[n] }' | sort -u)
at_least "$(wc -w <<< "$ports")" 1 "Weir listens"
for port in $ports; do
	like "$(tries "http(dial(socket.AF_INET, '127.0.0.1', $port))")" '^(refused|$)|^HTTP/1.1 (403|502)' \
		"an agent that dials the listener gets nowhere"
	out=$(curl -sS -m 10 -o /dev/null -w '%{http_code}' "http://127.0.0.1:$port/op/direct" 2>&1)
	unlike "$out" '^2' "nor does somebody from outside"
done
unlike "$(cat "$tmp/api.log")" 'direct' "and no server was reached that way"

"$weir" status > "$tmp/status" 2>&1
ok "status answers" test -s "$tmp/status"

kill -KILL "$weir_pid"
wait "$weir_pid" 2> /dev/null
sleep 0.3
like "$(tries 'http(dial(socket.AF_INET, "127.0.0.1", api))')" '^refused' "the daemon is dead: IPv4 refused"
like "$(tries 'http(dial(socket.AF_INET6, "::ffff:127.0.0.1", api))')" '^refused' "IPv4-mapped IPv6 refused"
is "$(curl -sS -m 5 -o /dev/null -w '%{http_code}' "http://127.0.0.1:$api_port/op/other")" 204 \
	"other cgroups do not notice"
launch_weir
is "$(tries 'http(dial(socket.AF_INET, "127.0.0.1", api))')" 'HTTP/1.1 204 No Content' \
	"the next daemon serves the attached cgroup"
ok "detach" "$weir" detach "$cgroup"
is "$(tries 'said(dial(socket.AF_INET, "127.0.0.1", forbidden))')" in "a detached cgroup is left alone"
unlike "$(store agents)" "$cgroup_path" "and no longer listed"

ok "attach a cgroup …" "$weir" attach "$cgroup"
remove_cgroup "$cgroup"
wait_for 10 eval '! "$weir" agents --json | grep -q "$cgroup_path"'
is "$?" 0 "… that is then removed: forgotten"
mkdir "$cgroup"
is "$(tries 'said(dial(socket.AF_INET, "127.0.0.1", forbidden))')" in \
	"a new cgroup of that name is not attached"
daemon_clean "no sanitizer has spoken"
done_testing
