#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The warden's life: start, refusals, a second daemon, reload, a proxy that is killed, a warden that is
# killed, adoption; attach and detach; `weir run`: exit statuses, signals, users, nothing left behind.

. tests/e2e/lib.sh

need_root
need jq curl setpriv
[ -x "$weir" ] || skip_all "needs $weir: make"

run_dir=$tmp/run
export WEIR_STORE=$tmp/store WEIR_SOCKET=$run_dir/weir.sock

cat > "$tmp/good.json" << 'JSON'
{ "name": "good", "agents": [{"cgroup": "/**"}], "default": "allow",
  "targets": [{"name": "all", "hosts": ["*"], "protocol": "http", "default": "allow"}] }
JSON
printf '{ "name": "bad",\n  "nonsense": 1 }\n' > "$tmp/bad.json"
cp "$tmp/good.json" "$tmp/policy.json"

start() {
	"${own[@]}" "$weir" daemon --policy "$tmp/policy.json" --runtime-dir "$run_dir" --workers 1 \
		>> "$tmp/weir.log" 2>&1 &
	weir_pid=$!
	wait_for 20 "$weir" status || {
		diag "$(tail -20 "$tmp/weir.log")"
		exit 1
	}
}
stat_of() {
	"$weir" status --json | jq -r "$1"
}
# Takes off what may still be there, so that neither pins nor mounts stay.
clear_all() {
	end_pid "$weir_pid"
	if mountpoint -q "$run_dir/bpf"; then
		find "$run_dir/bpf" -type f -delete 2> /dev/null
		umount "$run_dir/bpf"
	fi
}
get() {
	in_cgroup curl -sS -m 5 -o /dev/null -w '%{http_code}' "http://127.0.0.1:$api_port/v1/users" 2> /dev/null
}

start_http_server

# ---- what it refuses to start with
out=$("$weir" daemon --policy "$tmp/bad.json" --runtime-dir "$run_dir" --detach-on-exit 2>&1)
is $? 1 "a policy that does not compile: no start"
like "$out" "bad.json:2:[0-9]+: " "and the place is named"
printf '{"store": "/x", "nonsense": 1}' > "$tmp/conf.json"
out=$("$weir" daemon --config "$tmp/conf.json" 2>&1)
is $? 1 "an unknown key in the configuration: no start"
like "$out" 'unknown key "nonsense"' "and it is named"
"$weir" status > /dev/null 2>&1
is $? 3 "status without a daemon"
"$weir" daemon --workers 0 > /dev/null 2>&1
is $? 2 "an option out of range"
out=$(setpriv --reuid 65534 --regid 65534 --clear-groups "$weir" daemon 2>&1)
like "$out" "root" "only root may"

# ---- life
start
defer clear_all
is "$(stat_of .proxy.state)" ready "the proxy is ready"
is "$(stat -c %a "$WEIR_SOCKET")" 600 "the control socket is root's alone"
is "$(stat -c '%A' "$run_dir/bpf" "$run_dir/agents" | cut -c 1-9)" "drwx-----
drwx-----" "so are pins and state"
proxy=$(stat_of .proxy.pid)
is "$(awk '/^(CapEff|CapPrm|CapBnd|NoNewPrivs)/ { printf "%s ", $2 }' "/proc/$proxy/status")" \
	"0000000000000000 0000000000000000 0000000000000000 1 " "the proxy has no privileges"
out=$("$weir" daemon --runtime-dir "$run_dir" --socket "$tmp/other.sock" 2>&1)
is $? 1 "a second daemon is refused"
like "$out" "pid=$weir_pid" "and says who is first"
out=$("$weir" daemon --runtime-dir "$tmp/run2" 2>&1)
is $? 1 "nor may it take the socket of the first"
ok "which still answers" "$weir" status
fails "and mounts nothing" mountpoint -q "$tmp/run2/bpf"
rm -rf "$tmp/run2"

# ---- attach
make_cgroup
out=$("$weir" attach / 2>&1)
is $? 1 "the root cgroup is refused"
like "$out" "root cgroup" "and why"
out=$("$weir" attach /no/such 2>&1)
is $? 1 "a cgroup that is not there"
out=$("$weir" attach /proc 2>&1)
like "$out" "not a cgroup" "a directory that is no cgroup"
"$weir" attach "$cgroup_path" --label novalue > /dev/null 2>&1
is $? 2 "a label without a value"
out=$("$weir" attach "$cgroup_path" --policy "$tmp/bad.json" 2>&1)
is $? 1 "a policy that does not compile is refused"
like "$out" "bad.json:2:" "with its place"
is "$("$weir" agents --json)" "" "nothing of that is attached"
ok "attach by path in the file system" "$weir" attach "$cgroup" --policy "$tmp/good.json" \
	--label team=billing --container box-1
is "$("$weir" agents --json | jq -r '[.cgroup, .container, .policy, .labels.team, .state] | join(" ")')" \
	"$cgroup_path box-1 good billing attached" "agents lists it"
is "$(get)" 200 "its connections pass"
n=$(stat_of .kernel.redirected)
at_least "$n" 1 "through Weir"
ok "attaching again is fine" "$weir" attach "$cgroup_path" --policy "$tmp/good.json"

# ---- control socket, bad input
talk() {
	"$python" - "$WEIR_SOCKET" << PY
import socket, sys
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.settimeout(10)
s.sendall($1)
print(s.recv(65536).decode())
PY
}
like "$(talk 'b"nonsense\n"')" '"ok":false' "what is not JSON is refused"
like "$(talk 'b"[]\n"')" '"ok":false' "what is no object as well"
like "$(talk 'b"{\"command\":\"fly\"}\n"')" 'no command' "an unknown command as well"
like "$(talk 'b"{\"command\":\"attach\",\"cgroup\":\"/a/../b\"}\n"')" '"ok":false' "paths with dots as well"
like "$(talk 'b"{\"command\":\"status\"}\n{\"command\":\"agents\"}\n"')" '"ok":true' "two at once are answered"

# ---- reload
printf '{ "name": 1 }' > "$tmp/policy.json"
kill -HUP "$weir_pid"
ok "a broken policy is noticed" wait_for 5 grep -q 'the old policies stay' "$tmp/weir.log"
is "$(stat_of .proxy.state)" ready "and the old ones stay"
cp "$tmp/good.json" "$tmp/policy.json"
kill -HUP "$weir_pid"
ok "a good one is taken" wait_for 5 grep -q 'policies reloaded' "$tmp/weir.log"

# ---- the proxy is killed
kill -KILL "$proxy"
is "$(get)" 200 "connects wait for the next proxy"
is "$(stat_of .proxy.restarts)" 1 "which was started"
unlike "$(stat_of .proxy.pid)" "^$proxy\$" "and is another process"

# ---- the warden is killed
proxy=$(stat_of .proxy.pid)
kill -KILL "$weir_pid"
wait "$weir_pid" 2> /dev/null
gone() {
	! kill -0 "$proxy" 2> /dev/null
}
ok "the proxy goes with its warden" wait_for 5 gone
is "$(get)" 000 "connects are refused"
start
is "$("$weir" agents --json | jq -r '[.cgroup, .policy, .state] | join(" ")')" \
	"$cgroup_path good attached" "a new daemon takes over what is attached"
is "$(get)" 200 "and connections pass again"

# ---- what was agreed is lost: closed, not open
end_pid "$weir_pid"
is "$(get)" 000 "after a clean stop connects are refused as well"
rm -f "$run_dir"/agents/*.json
start
is "$("$weir" agents --json | jq -r .state)" refused "state lost: said so"
unlike "$(get)" 200 "and nothing passes"
ok "attach puts it right" "$weir" attach "$cgroup_path" --policy "$tmp/good.json"
is "$(get)" 200 "so that it passes again"

# ---- detach, removal
ok "detach" "$weir" detach "$cgroup_path"
is "$(get)" 200 "connections go directly"
is "$("$weir" agents --json)" "" "nothing is listed"
fails "detach again" "$weir" detach "$cgroup_path"
ok "attach once more" "$weir" attach "$cgroup_path"
wait_for 5 rmdir "$cgroup"
remove_cgroup() { # done above
	return 0
}
none() {
	[ -z "$("$weir" agents --json)" ]
}
ok "a cgroup that is removed is forgotten" wait_for 5 none
is "$(ls "$run_dir/agents")" "" "with its file"
is "$(find "$run_dir/bpf" -path '*/links/*' -type f | wc -l)" 0 "and its pins"

# ---- run
"$weir" run -- true
is $? 0 "run: 0"
"$weir" run -- sh -c 'exit 7'
is $? 7 "run: exits as its command did"
"$weir" run -- sh -c 'kill -TERM $$'
is $? 143 "run: 128+N for a signal"
"$weir" run -- /no/such/command 2> /dev/null
is $? 127 "run: 127 not found"
"$weir" run -- /etc/passwd 2> /dev/null
is $? 126 "run: 126 cannot be executed"
"$weir" run --policy "$tmp/bad.json" -- touch "$tmp/started" 2> /dev/null
is "$? $(test -e "$tmp/started" && echo started)" "125 " "run: not started with a bad policy"
"$weir" run 2> /dev/null
is $? 2 "run: usage"
is "$("$weir" run --policy "$tmp/good.json" -- curl -sS -o /dev/null -w '%{http_code}' "http://127.0.0.1:$api_port/v1/users")" \
	200 "run: connections pass"
is "$(echo data | "$weir" run -- cat)" data "run: stdin and stdout are the command's"
# shellcheck disable=SC2016 # expanded by the inner shell
is "$(SUDO_UID=65534 SUDO_GID=65534 SUDO_USER=nobody "$weir" run -- sh -c 'id -u; id -g; id -G; echo $SUDO_UID')" \
	"65534
65534
65534" "run: as the user who called sudo"
"$weir" run -- sh -c 'trap "exit 9" TERM; echo up > '"$tmp/up"'; while :; do sleep 0.1; done' &
pid=$!
wait_for 5 test -s "$tmp/up"
kill -TERM $pid
wait $pid
is $? 9 "run: signals are passed on"
"$weir" run -- sh -c 'sleep 987 & setsid sleep 986 & exit 3'
is $? 3 "run: leaves its status"
left() {
	pgrep -f 'sleep 98[67]$' > /dev/null
}
fails "run: and no processes" left
"$weir" run -- sh -c "echo up > $tmp/up2; exec sleep 985" &
pid=$!
wait_for 5 test -s "$tmp/up2"
kill -KILL $pid
wait $pid 2> /dev/null
nothing_runs() {
	! pgrep -f 'sleep 985$' > /dev/null && none
}
ok "run killed: its processes and its cgroup are ended" wait_for 10 nothing_runs
end_pid "$weir_pid"

# ---- run with a daemon of its own
unset WEIR_SOCKET
is "$("$weir" run --private --policy "$tmp/good.json" -- curl -sS -o /dev/null -w '%{http_code}' "http://127.0.0.1:$api_port/v1/users")" \
	200 "private: connections pass"
"$weir" run --private --policy "$tmp/good.json" -- sh -c 'exit 5'
is $? 5 "private: exits as its command did"
"$weir" run --socket "$tmp/none.sock" -- true 2> /dev/null
is $? 125 "run: a named daemon that does not answer is an error"
[ -e /etc/weir/policy.d ] || {
	out=$("$weir" run --private -- true 2>&1)
	like "$out" "--policy FILE" "private: without any policy it says what to do"
}
"$weir" run --private --policy "$tmp/good.json" -- sh -c "grep ^0:: /proc/self/cgroup > $tmp/up3; exec sleep 984" &
pid=$!
wait_for 10 test -s "$tmp/up3"
kill -KILL $pid
wait $pid 2> /dev/null
private_gone() {
	! pgrep -f 'sleep 984$' > /dev/null && [ ! -e "/run/weir/private-$pid" ]
}
wait_for 15 private_gone
fails "private, run killed: its processes are ended" pgrep -f 'sleep 984$'

# ---- nothing is left
clear_all
is "$(grep -E "$tmp|private-$pid" /proc/self/mountinfo)" "" "no mounts are left"
root=$(awk '{ for (i = 7; i < NF; i++) if ($i == "-" && $(i + 1) == "cgroup2") { print $5; exit } }' \
	/proc/self/mountinfo)
path=$(cut -d: -f3 "$tmp/up3")
is "$(test -n "$path" && ls -d "$root$path" 2> /dev/null)" "" "no cgroups are left"
fails "no runtime directory is left" test -e "/run/weir/private-$pid"
unlike "$(cat "$tmp/weir.log")" 'ERROR: (Address|Leak)Sanitizer|runtime error:|Assertion' "no sanitizer spoke"
done_testing
