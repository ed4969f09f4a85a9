# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# TAP for shell tests. Source it, make assertions, end with `done_testing`. A script that ends without
# it prints no plan, which counts as a failure.

tap_n=0
tap_failed=0

# Lines that explain, on the TAP stream.
diag() {
	local line
	while IFS= read -r line; do
		printf '# %s\n' "$line"
	done <<< "$*"
}

pass() {
	tap_n=$((tap_n + 1))
	printf 'ok %d - %s\n' "$tap_n" "$1"
}

# not_ok NAME [WHY]
not_ok() {
	tap_n=$((tap_n + 1))
	tap_failed=$((tap_failed + 1))
	printf 'not ok %d - %s\n' "$tap_n" "$1"
	[ -z "${2-}" ] || diag "$2"
	return 0
}

skip() {
	tap_n=$((tap_n + 1))
	printf 'ok %d - %s # SKIP %s\n' "$tap_n" "$1" "$2"
}

# The whole script cannot run here.
skip_all() {
	printf '1..0 # SKIP %s\n' "$1"
	exit 77
}

# ok NAME COMMAND…: the command succeeds; its output explains a failure.
ok() {
	local name=$1 out status=0
	shift
	out=$("$@" 2>&1) || status=$?
	if [ "$status" -eq 0 ]; then
		pass "$name"
	else
		not_ok "$name" "\`$*\` gave $status: $(tap_cut "$out")"
	fi
}

# fails NAME COMMAND…: the command does not succeed.
fails() {
	local name=$1 out
	shift
	if out=$("$@" 2>&1); then
		not_ok "$name" "\`$*\` succeeded: $(tap_cut "$out")"
	else
		pass "$name"
	fi
}

# What a failure shows of a value: its beginning.
tap_cut() {
	if [ ${#1} -le 2000 ]; then
		printf '%s' "$1"
	else
		printf '%s … %d characters in all' "${1:0:2000}" ${#1}
	fi
}

# is GOT WANTED NAME
is() {
	if [ "$1" = "$2" ]; then
		pass "$3"
	else
		not_ok "$3" "got:    $(tap_cut "$1")
wanted: $2"
	fi
}

# like GOT REGEX NAME (extended regular expression, over all lines)
like() {
	if [[ $1 =~ $2 ]]; then
		pass "$3"
	else
		not_ok "$3" "got:    $(tap_cut "$1")
wanted: /$2/"
	fi
}

unlike() {
	if [[ $1 =~ $2 ]]; then
		not_ok "$3" "got:          $(tap_cut "$1")
not expected: /$2/"
	else
		pass "$3"
	fi
}

# at_most GOT LIMIT NAME, whole numbers
at_most() {
	if [ "$1" -le "$2" ]; then
		pass "$3"
	else
		not_ok "$3" "got $1, more than $2"
	fi
}

at_least() {
	if [ "$1" -ge "$2" ]; then
		pass "$3"
	else
		not_ok "$3" "got $1, less than $2"
	fi
}

# same_bytes FILE FILE NAME; empty files are not the same as anything.
same_bytes() {
	if [ -s "$1" ] && cmp -s "$1" "$2"; then
		pass "$3"
	else
		not_ok "$3" "$(cmp "$1" "$2" 2>&1 || true; wc -c "$1" "$2" 2>&1)"
	fi
}

done_testing() {
	printf '1..%d\n' "$tap_n"
	[ "$tap_failed" -eq 0 ]
}
