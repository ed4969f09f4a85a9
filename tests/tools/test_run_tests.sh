#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# tools/run-tests: what it counts, and that it can fail.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/support/tap.sh
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# program NAME: stdin becomes a script
program() {
	{ echo '#!/bin/bash'; cat; } > "$tmp/$1"
	chmod +x "$tmp/$1"
}
run() {
	out=$(tools/run-tests --log-dir "$tmp/logs" "$@" 2>&1)
	status=$?
	last=$(tail -1 <<< "$out")
}

program good <<< 'echo 1..2; echo ok 1 - a; echo ok 2 - b'
program bad <<< 'echo 1..2; echo ok 1 - a; echo not ok 2 - b; exit 1'
program short <<< 'echo 1..3; echo ok 1 - a'
program silent <<< 'exit 0'
program crash <<< 'echo 1..1; echo ok 1; kill -SEGV $$'
program skipped <<< 'echo no such server; exit 77'
program partly <<< 'echo 1..2; echo "ok 1 - a"; echo "ok 2 - b # SKIP no root"'
program slow <<< 'echo 1..1; sleep 60; echo ok 1'
program liar <<< 'echo 1..1; echo ok 1; exit 3'
program environment <<< 'echo 1..1; [ "$COLOR" = blue ] && echo ok 1 || echo not ok 1'

run "$tmp/good"
is "$status $last" "0 2 passed, 0 failed, 0 skipped" "cases count one by one"
run "$tmp/good" "$tmp/bad"
is "$status $last" "1 3 passed, 1 failed, 0 skipped" "a failed case fails the run"
like "$out" "failed: b" "the failed case is named"
run "$tmp/short"
is "$status $last" "1 1 passed, 1 failed, 0 skipped" "fewer cases than planned is a failure"
run "$tmp/silent"
is "$status $last" "1 0 passed, 1 failed, 0 skipped" "a program without a case is a failure"
run "$tmp/crash"
is "$status $last" "1 1 passed, 1 failed, 0 skipped" "a signal is a failure"
like "$out" "died of SIGSEGV" "the signal is named"
run "$tmp/liar"
is "$status $last" "1 1 passed, 1 failed, 0 skipped" "an exit status is a failure"
run "$tmp/skipped" "$tmp/partly"
is "$status $last" "0 1 passed, 0 failed, 2 skipped" "status 77 and SKIP are skips"
like "$out" "no such server" "the reason of a skip is shown"
run --timeout 1 "$tmp/slow"
is "$status $last" "1 0 passed, 1 failed, 0 skipped" "a timeout is a failure"
run "$tmp/no-such-program"
is "$status" 1 "a program that is not there is a failure"
run
is "$status $last" "1 0 passed, 0 failed, 0 skipped" "no test at all is a failure"
run --suite x --env COLOR=blue "$tmp/environment" --suite y "$tmp/good"
is "$status $last" "0 3 passed, 0 failed, 0 skipped" "a suite has its own environment"

printf '# nothing is expected\n' > "$tmp/none"
run --expected-skips "$tmp/none" --suite s "$tmp/partly"
is "$status" 1 "an unexpected skip fails the run"
like "$out" "skipped, and not named" "and is named"
printf '%s b  # known\n' "s/${tmp#/}/partly" "s/$tmp/partly" > "$tmp/some"
run --expected-skips "$tmp/some" --suite s "$tmp/partly"
is "$status" 0 "an expected one does not"
done_testing
