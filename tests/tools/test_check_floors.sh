#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# tools/check-floors: each rule, kept and broken.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/support/tap.sh
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# A tree with one header in each folder.
lay() {
	local d
	rm -rf "${tmp:?}"/*
	mkdir -p "$tmp/userspace/extra"
	for d in base proto proto/pg proto/http policy mask net store bpfctl notify session daemon cli; do
		mkdir -p "$tmp/userspace/$d"
		: > "$tmp/userspace/$d/${d##*/}.h"
	done
	mkdir -p "$tmp/include/abi" "$tmp/bpf"
	: > "$tmp/include/op.h"
	: > "$tmp/include/abi/flow.h"
}
# refused FILE INCLUDE MESSAGE-REGEX: a file with this include is reported at its line
refused() {
	local out
	lay
	printf '\n#include %s\n' "$2" > "$tmp/$1"
	out=$(tools/check-floors "$tmp")
	is "$?" 1 "$1 may not include $2"
	like "$out" "^$1:2: .*$3" "  … and is told where and why"
}
allowed() {
	lay
	printf '#include %s\n' "$2" > "$tmp/$1"
	ok "$1 may include $2" tools/check-floors "$tmp"
}

refused userspace/base/a.c '"net/net.h"' 'floor 0.*floor 2'
refused userspace/proto/pg/a.c '"policy/policy.h"' 'both on floor 1'
refused userspace/policy/a.c '"proto/proto.h"' 'both on floor 1'
refused userspace/proto/pg/a.c '"proto/http/http.h"' 'another part'
refused userspace/store/a.c '"session/session.h"' 'floor 2.*floor 3'
refused userspace/session/a.c '"daemon/daemon.h"' 'floor 3.*floor 4'
refused userspace/session/a.c '<lmdb.h>' 'belongs to store/'
refused userspace/daemon/a.c '<bpf/libbpf.h>' 'belongs to bpfctl/'
refused userspace/daemon/a.c '"connect.skel.h"' 'belongs to bpfctl/'
refused userspace/net/a.c '<netlink/netlink.h>' 'belongs to bpfctl/'
refused userspace/proto/http/a.c '<pg_query.h>' 'belongs to proto/pg/'
refused userspace/proto/pg/a.c '<llhttp.h>' 'belongs to proto/http/'
refused userspace/store/a.c '<jansson.h>' 'belongs to policy/, notify/, cli/, daemon/'
refused userspace/daemon/a.c '<curl/curl.h>' 'belongs to notify/'
refused userspace/notify/a.c '"daemon/daemon.h"' 'floor 2.*floor 4'
refused userspace/cli/a.c '"../base/base.h"' 'from the roots'
refused userspace/extra/a.c '"base/base.h"' 'not on a floor'
refused include/x.h '"net/net.h"' 'stands beside base/'
refused bpf/a.bpf.c '"../userspace/base/base.h"' 'from the roots'

allowed userspace/daemon/a.c '"base/base.h"'
allowed userspace/session/a.c '"store/store.h"'
allowed userspace/proto/pg/a.c '"proto/proto.h"'
allowed userspace/proto/pg/a.c '"pg.h"'
allowed userspace/net/a.c '"store/store.h"'
allowed userspace/store/a.c '<lmdb.h>'
allowed userspace/bpfctl/a.c '<bpf/libbpf.h>'
allowed userspace/base/a.c '<stdio.h>'
allowed include/x.h '"base/base.h"'

lay
printf '#include <openssl/evp.h>\n' > "$tmp/userspace/base/sha.c"
ok "OpenSSL in one folder" tools/check-floors "$tmp"
printf '#include <openssl/evp.h>\n' > "$tmp/userspace/store/seal.c"
fails "OpenSSL in two folders" tools/check-floors "$tmp"
done_testing
