#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The screen of `weir approvals --watch`, in a real terminal emulator.
cd "$(dirname "$0")/../.." || exit 1
. tests/e2e/lib.sh
need_root
need tmux curl jq
through_weir || skip_all "approvals need Weir"
start_http_server
cat > "$tmp/policy.json" << JSON
{ "name": "watch", "agents": [ {"cgroup": "/**"} ], "default": "block",
  "targets": [ { "name": "api", "hosts": ["127.0.0.1"], "ports": [$api_port], "protocol": "http", "default": "allow" } ],
  "rules": [ { "id": "deletes", "verdict": "hold", "when": {"verb": ["DELETE"]} } ] }
JSON
start_weir "$tmp/policy.json"

tm() {
	tmux -S "$tmp/tmux" "$@"
}
shows() {
	tm capture-pane -p | grep -qE "$1"
}
keys() {
	tm send-keys "$@"
}
ask() {
	run_agent curl -s -w ' %{http_code}' -X DELETE "http://127.0.0.1:$api_port/op/$1" > "$tmp/out.$1" &
}

tm -f /dev/null new-session -d -x 130 -y 20 bash --norc
defer tm kill-server
keys "PS1='ready> '" Enter
ask one
first=$!
one_waits() { [ "$("$weir" approvals --json | wc -l)" -eq 1 ]; }
wait_for 10 one_waits
ask two
second=$!
keys "stty -a | md5sum > $tmp/stty.before; $weir approvals --watch; echo status=\$?; stty -a | md5sum > $tmp/stty.after" Enter
ok "it lists what waits" wait_for 10 shows 'weir: 2 on hold'
ok "the first is selected" wait_for 5 shows '^> .*DELETE.*deletes +DELETE /op/one'
keys j
ok "j selects the next" wait_for 5 shows '^> .*DELETE /op/two'
keys Up
ok "an arrow goes back" wait_for 5 shows '^> .*DELETE /op/one'
keys Enter
ok "Enter shows the whole" wait_for 5 shows 'sha256 +[0-9a-f]{64}'
ok "with its rule" shows 'rule +deletes'
keys a
ok "a asks for a reason" wait_for 5 shows 'APPROVE 01'
keys -l 'looks good'
ok "that is typed" wait_for 5 shows '> looks good'
keys Enter
wait "$first"
is "$(cat "$tmp/out.one")" " 204" "and approved"
ok "it is gone from the list" wait_for 5 shows 'weir: 1 on hold'
keys d
wait_for 5 shows 'DENY 01'
keys Enter
ok "a denial without a reason is not sent" wait_for 5 shows 'needs a reason'
keys -l 'no no'
keys BSpace BSpace BSpace Enter
wait "$second"
like "$(cat "$tmp/out.two")" 'denied by uid:0: no".* 403$' "denied with what was typed"
ok "nothing waits" wait_for 5 shows 'nothing waits'
keys q
ok "q ends it" wait_for 5 shows 'status=0'
ok "the screen before is back" shows 'ready> .*--watch'
wait_for 5 test -s "$tmp/stty.after"
same_bytes "$tmp/stty.before" "$tmp/stty.after" "and the terminal's settings"

for sig in INT TERM SEGV; do
	rm -f "$tmp/stty.after"
	keys "clear; $weir approvals --watch; echo over-$sig; stty -a | md5sum > $tmp/stty.after" Enter
	wait_for 5 shows 'weir: 0 on hold'
	pkill -"$sig" -P "$(tm display-message -p '#{pane_pid}')" -x weir
	ok "ended by SIG$sig" wait_for 5 shows "over-$sig"
	wait_for 5 test -s "$tmp/stty.after"
	same_bytes "$tmp/stty.before" "$tmp/stty.after" "  … the terminal has its settings"
done
like "$("$weir" approvals --watch < /dev/null 2>&1)" 'needs a terminal' "without a terminal it says so"
daemon_clean "no sanitizer has spoken"
done_testing
