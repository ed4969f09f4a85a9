#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# make install and uninstall into a DESTDIR, and the completion that is installed.
cd "$(dirname "$0")/../.." || exit 1
. tests/support/tap.sh
: "${WEIR_BUILD:=$PWD/build}"
[ -x "$WEIR_BUILD/weir" ] || skip_all "needs $WEIR_BUILD/weir: make"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
unset MAKEFLAGS MFLAGS MAKELEVEL

install_to() {
	make --no-print-directory BUILD="$WEIR_BUILD" -o all "$@" DESTDIR="$tmp/root"
}
ok "make install" install_to install PREFIX=/usr
for f in /usr/bin/weir /usr/share/bash-completion/completions/weir /usr/lib/sysusers.d/weir.conf \
	/usr/lib/systemd/system/weir.service /usr/share/weir/policy/demo.json; do
	ok "  $f" test -s "$tmp/root$f"
done
ok "  /etc/weir/policy.d" test -d "$tmp/root/etc/weir/policy.d"
for page in docs/man/*.[158]; do
	ok "  ${page##*/}" test -s "$tmp/root/usr/share/man/man${page##*.}/${page##*/}"
done
like "$(cat "$tmp/root/usr/lib/systemd/system/weir.service")" 'ExecStart=/usr/bin/weir daemon' \
	"the unit starts the installed binary"
unlike "$(cat "$tmp/root/usr/lib/systemd/system/weir.service")" '@[A-Z]+@' "and has no placeholder left"
like "$("$tmp/root/usr/bin/weir" --version)" '^weir [0-9]' "the installed binary runs"

echo '{}' > "$tmp/root/etc/weir/policy.d/mine.json"
ok "make uninstall" install_to uninstall PREFIX=/usr
is "$(cd "$tmp/root" && find . -type f)" ./etc/weir/policy.d/mine.json \
	"only the operator's own file is left"

# The completion asks the binary.
# shellcheck source=etc/weir.bash-completion
. etc/weir.bash-completion
complete_words() {
	COMP_WORDS=("$WEIR_BUILD/weir" "$@")
	COMP_CWORD=$#
	_weir
	printf '%s ' "${COMPREPLY[@]}"
}
is "$(complete_words att)" "attach " "completes a command"
is "$(complete_words run --po)" "--policy " "an option"
is "$(complete_words sessions --verdict b)" "block " "an option's value"
is "$(complete_words policy ex)" "explain " "a word of policy"
unlike "$(complete_words s)" 'sudo' "and no word of the example"
done_testing
