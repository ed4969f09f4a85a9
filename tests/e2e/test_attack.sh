#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Ways around the policy, and ways to stop Weir for others, that worked once.
cd "$(dirname "$0")/../.." || exit 1
. tests/e2e/lib.sh
need_root
need bpftool
through_weir || skip_all "nothing to prove without Weir"
start_postgres
cat > "$tmp/policy.json" << JSON
{ "name": "e2e-attack", "agents": [ {"cgroup": "/**"} ], "default": "block",
  "targets": [ { "name": "db", "hosts": ["127.0.0.1"], "ports": [$pg_port], "protocol": "postgres",
                 "default": "allow" } ],
  "rules": [ { "id": "no-drop", "verdict": "block", "when": {"effect": ["schema"], "verb": ["DROP"]} },
             { "id": "unknown", "verdict": "block", "when": {"effect": ["unknown"], "verb": ["SELECT"]} } ] }
JSON
# So few that a flood reaches the limit.
own+=(prlimit --nofile=600:600)
start_weir "$tmp/policy.json"
attack() {
	run_agent "$python" tests/e2e/attack_client.py "$@" 2>&1
}

psql -Xq -d postgres -c 'create table victim (i int)' || exit 1
for junk in 0 20 60 100; do
	attack copy_sync "$pg_port" "$junk" > /dev/null
done
is "$(psql -XAt -d postgres -c "select count(*) from pg_class where relname = 'victim'")" 1 \
	"a SET hidden behind a failed COPY does not change how text is judged"

is "$(attack flood "$pg_port" 1200)" "tried=1200" "a flood of connections"
like "$(cat "$tmp/weir.log")" 'too many connections' "  … beyond the limit is refused, and logged"
flows_left() {
	bpftool -j map dump pinned "$tmp/run/bpf/maps/flows" | jq length
}
is "$(flows_left)" 0 \
	"  … and leaves no flow records behind"
is "$(run_agent psql -XAt -d postgres -c 'select 42')" 42 "others are served again"

# What a proxy that was taken over could do to root, who reads the store that it writes.
stop_weir
precious=$tmp/precious
owner=$(stat -c %u "$WEIR_STORE")
as_owner() {
	setpriv --reuid "$owner" --regid "$owner" --clear-groups "$@"
}
like "$(store sessions --limit 1)" '"session"|"id"' "root reads a store of another user"
for file in lock.mdb data.mdb journal writer.lock; do
	echo precious > "$precious"
	chmod 600 "$precious"
	as_owner mv "$WEIR_STORE/$file" "$WEIR_STORE/$file.kept"
	as_owner ln -s "$precious" "$WEIR_STORE/$file"
	timeout 10 "$weir" sessions > /dev/null 2>&1
	is "$(cat "$precious")" precious "$file that leads elsewhere: root does not write there"
	rm "$WEIR_STORE/$file" "$precious"
	as_owner ln -s "$tmp/made" "$WEIR_STORE/$file"
	timeout 10 "$weir" sessions > /dev/null 2>&1
	is "$([ -e "$tmp/made" ] && echo made)" "" "  … nor makes it"
	rm -f "$WEIR_STORE/$file" "$tmp/made"
	as_owner mkfifo "$WEIR_STORE/$file"
	timeout 10 "$weir" sessions > /dev/null 2>&1
	unlike "$?" "^124\$" "$file that never opens does not stop root"
	rm -f "$WEIR_STORE/$file"
	as_owner mv "$WEIR_STORE/$file.kept" "$WEIR_STORE/$file"
done
daemon_clean "no sanitizer spoke"
done_testing
