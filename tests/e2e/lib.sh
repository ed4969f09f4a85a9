# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# SC2034: variables are for the scripts that source this.
#
# What the end-to-end tests share: throw-away servers on free ports, a private daemon, agents.
#
# Everything started is ended by its own pid, in reverse order, however the script ends; all files are
# in $tmp. With WEIR_BYPASS=1 agents run without Weir: that proves a test's clients and servers, and
# assertions inside of `if through_weir` are left out.

# shellcheck source=tests/support/tap.sh
. tests/support/tap.sh

set -u
: "${WEIR_BUILD:=$PWD/build}"
: "${WEIR_BYPASS:=0}"
weir=$WEIR_BUILD/weir
# `weir run` runs its command as the user who called sudo; agents here write into $tmp.
unset SUDO_UID SUDO_GID SUDO_USER
python=/usr/bin/python3
tmp=$(mktemp -d /tmp/weir-e2e.XXXXXX)
chmod 711 "$tmp"
undo_list=()

# defer COMMAND…: run at the end, last first
defer() {
	undo_list+=("$(printf '%q ' "$@")")
}

teardown() {
	local i
	trap - EXIT INT TERM
	for ((i = ${#undo_list[@]} - 1; i >= 0; i--)); do
		eval "${undo_list[i]}"
	done
	[ "${WEIR_KEEP:-0}" = 1 ] || rm -rf "$tmp"
}
trap teardown EXIT
trap 'exit 143' TERM INT

through_weir() {
	[ "$WEIR_BYPASS" != 1 ]
}

need_root() {
	[ "$(id -u)" -eq 0 ] || skip_all "needs root"
}

need() {
	local c
	for c; do
		command -v "$c" > /dev/null || skip_all "needs $c"
	done
}

# A TCP port that was free a moment ago.
free_port() {
	"$python" -c 'import socket
s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# wait_for SECONDS COMMAND…: until it succeeds
wait_for() {
	local end=$((SECONDS + $1))
	shift
	until "$@" > /dev/null 2>&1; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.05
	done
}

port_open() {
	(exec 3<> "/dev/tcp/127.0.0.1/$1") 2> /dev/null
}

# end_pid PID [SIGNAL]: ends a child and reaps it; KILL after ten seconds
end_pid() {
	local n
	kill "-${2:-TERM}" "$1" 2> /dev/null || return 0
	for ((n = 0; n < 200; n++)); do
		kill -0 "$1" 2> /dev/null || break
		sleep 0.05
	done
	kill -KILL "$1" 2> /dev/null
	wait "$1" 2> /dev/null
	return 0
}

# PostgreSQL refuses to run as root; nothing of ours outlives this script, even when it is killed.
own=(setpriv --pdeathsig INT)
as_postgres=("${own[@]}")
[ "$(id -u)" -ne 0 ] || as_postgres+=(--reuid postgres --regid postgres --clear-groups)

# start_postgres: sets pg_port, pg_bin, PGHOST and friends; a superuser "postgres", no password
start_postgres() {
	local dir=$tmp/pg
	pg_bin=$(find /usr/lib/postgresql -maxdepth 2 -name bin | sort -V | tail -1)
	[ -x "$pg_bin/initdb" ] || skip_all "needs PostgreSQL"
	pg_port=$(free_port)
	mkdir -m 700 "$dir"
	[ "$(id -u)" -ne 0 ] || chown postgres "$dir"
	(cd "$dir" && "${as_postgres[@]}" "$pg_bin/initdb" -D "$dir/data" -U postgres -A trust --no-sync \
		-E UTF8 --locale=C.UTF-8) > "$tmp/initdb.log" 2>&1 || {
		diag "$(cat "$tmp/initdb.log")"
		exit 1
	}
	(cd "$dir" && exec "${as_postgres[@]}" "$pg_bin/postgres" -D "$dir/data" -p "$pg_port" -k "$dir" \
		-c listen_addresses=127.0.0.1 -c fsync=off -c full_page_writes=off \
		-c shared_buffers=64MB -c max_connections=60) > "$tmp/postgres.log" 2>&1 &
	pg_pid=$!
	defer end_pid "$pg_pid" INT
	wait_for 20 "$pg_bin/pg_isready" -q -h 127.0.0.1 -p "$pg_port" || {
		diag "$(cat "$tmp/postgres.log")"
		exit 1
	}
	export PGHOST=127.0.0.1 PGPORT=$pg_port PGUSER=postgres PGCONNECT_TIMEOUT=20
	unset PGDATABASE PGSERVICE PGPASSWORD PGOPTIONS
	export PATH=$PATH:$pg_bin
}

# start_nginx: serves $tmp/site on $nginx_port
start_nginx() {
	need nginx
	nginx_port=$(free_port)
	mkdir -p "$tmp/site" "$tmp/nginx"
	printf 'hello from nginx\n' > "$tmp/site/hello.txt"
	chmod -R a+rX "$tmp/site"
	cat > "$tmp/nginx/nginx.conf" << CONF
daemon off;
worker_processes 1;
pid $tmp/nginx/pid;
error_log $tmp/nginx/error.log;
events { worker_connections 256; }
http {
	types { text/plain txt; text/html html; }
	default_type application/octet-stream;
	access_log $tmp/nginx/access.log;
	client_body_temp_path $tmp/nginx/body;
	proxy_temp_path $tmp/nginx/proxy;
	fastcgi_temp_path $tmp/nginx/fastcgi;
	uwsgi_temp_path $tmp/nginx/uwsgi;
	scgi_temp_path $tmp/nginx/scgi;
	keepalive_requests 100000000;
	server { listen 127.0.0.1:$nginx_port; root $tmp/site; }
}
CONF
	"${own[@]}" nginx -c "$tmp/nginx/nginx.conf" -e "$tmp/nginx/error.log" > "$tmp/nginx/log" 2>&1 &
	defer end_pid $!
	wait_for 10 port_open "$nginx_port" || {
		diag "$(cat "$tmp/nginx/log" "$tmp/nginx/error.log")"
		exit 1
	}
}

# start_server LOG SCRIPT [ARG…]: a python server of tests/e2e on a free port, left in $server_port.
# Each line that it says of what it got is in LOG.
start_server() {
	local log=$1 script=$2
	shift 2
	server_port=$(free_port)
	: > "$log"
	"${own[@]}" "$python" "tests/e2e/$script" --port "$server_port" --log "$log" "$@" > "$log.err" 2>&1 &
	server_pid=$!
	defer end_pid "$server_pid"
	wait_for 10 port_open "$server_port" || {
		diag "$(cat "$log.err")"
		exit 1
	}
}

# start_http_server: the API of http_server.py on $api_port; requests in $tmp/api.log
start_http_server() {
	start_server "$tmp/api.log" http_server.py
	api_port=$server_port
}

# start_weir POLICY-FILE…: a private daemon with one worker; sets weir_pid. WEIR_STORE and WEIR_SOCKET
# lead to it.
start_weir() {
	through_weir || return 0
	[ -x "$weir" ] || skip_all "needs $weir: make"
	export WEIR_STORE=$tmp/store WEIR_SOCKET=$tmp/run/weir.sock
	mkdir -p "$tmp/run"
	"$python" -c 'import json, sys
t, policies = sys.argv[1], sys.argv[2:]
json.dump({"store": t + "/store", "socket": t + "/run/weir.sock", "runtime_dir": t + "/run",
           "workers": 1, "policies": policies}, sys.stdout)' "$tmp" "$@" > "$tmp/weir.json"
	launch_weir
	defer stop_weir
}

# The daemon answers, and its proxy has opened the store and listens.
weir_ready() {
	[ "$("$weir" status --json 2> /dev/null | jq -r .proxy.state)" = ready ]
}

launch_weir() {
	"${own[@]}" "$weir" daemon --config "$tmp/weir.json" >> "$tmp/weir.log" 2>&1 &
	weir_pid=$!
	wait_for 30 weir_ready || {
		diag "the daemon does not answer: $("$weir" status 2>&1)
$(tail -20 "$tmp/weir.log")"
		exit 1
	}
}

# Ends the daemon and looks into its log for what a sanitizer said.
stop_weir() {
	local said
	"$weir" agents --json 2> /dev/null | jq -r .cgroup 2> /dev/null | while IFS= read -r said; do
		"$weir" detach "$said" > /dev/null 2>&1
	done
	end_pid "$weir_pid"
	if mountpoint -q "$tmp/run/bpf"; then
		umount "$tmp/run/bpf"
	fi
	said=$(grep -E 'ERROR: (Address|Leak|Thread)Sanitizer|runtime error:|Assertion' "$tmp/weir.log") &&
		printf '# %s\n' "$said" && sed 's/^/# /' "$tmp/weir.log" | tail -60
	return 0
}

# daemon_clean NAME: an assertion that no sanitizer and no assertion spoke so far
daemon_clean() {
	through_weir || return 0
	unlike "$(cat "$tmp/weir.log")" \
		'ERROR: (Address|Leak|Thread)Sanitizer|runtime error:|Assertion' "$1"
}

# The proxy's pid, a child of the warden's.
proxy_pid() {
	pgrep -P "$weir_pid" | head -1
}

# run_agent COMMAND…: in a cgroup of its own, behind Weir; agent_options go to `weir run`
agent_options=()
run_agent() {
	if through_weir; then
		"$weir" run "${agent_options[@]}" -- "$@"
	else
		"$@"
	fi
}

# store COMMAND [ARG…]: what `weir COMMAND ARG… --json` says
store() {
	"$weir" "$@" --json
}

# make_cgroup: a cgroup of the v2 tree, in $cgroup (a directory) and $cgroup_path (as Weir calls it)
make_cgroup() {
	local root
	root=$(awk '{ for (i = 7; i < NF; i++) if ($i == "-" && $(i + 1) == "cgroup2") { print $5; exit } }' \
		/proc/self/mountinfo)
	[ -n "$root" ] || skip_all "needs cgroup v2"
	cgroup_path=/weir-e2e-$$-$RANDOM
	cgroup=$root$cgroup_path
	mkdir "$cgroup" || exit 1
	defer remove_cgroup "$cgroup"
}

remove_cgroup() {
	local n
	for ((n = 0; n < 100; n++)); do
		rmdir "$1" 2> /dev/null && return
		sleep 0.05
	done
	diag "$1 is not empty"
}

# in_cgroup COMMAND…: runs it in $cgroup
in_cgroup() {
	# shellcheck disable=SC2016 # expanded by the inner shell
	bash -c 'echo $$ > "$0/cgroup.procs" && exec "$@"' "$cgroup" "$@"
}
