#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Conditions of policies on real requests: regular expressions inside the proxy's cage, query, headers,
# JSON bodies, sizes, rates, quotas and risk, which a session counts; and for whom a policy is by user.
cd "$(dirname "$0")/../.." || exit 1
. tests/e2e/lib.sh
need_root
need curl setpriv
start_http_server
api=http://127.0.0.1:$api_port
target="{\"name\":\"api\",\"hosts\":[\"127.0.0.1\"],\"ports\":[$api_port],\"protocol\":\"http\",\"default\":\"allow\"}"
mkdir "$tmp/policy.d"
cat > "$tmp/policy.d/all.json" << JSON
{ "name": "all", "agents": [ {"cgroup": "/**"} ], "targets": [ $target ],
  "rules": [
    { "id": "re", "verdict": "block", "when": {"path": {"regex": "^/se+cret/[0-9]+$"}} },
    { "id": "env", "verdict": "block", "when": {"query": {"env": "prod*"}} },
    { "id": "head", "verdict": "block", "when": {"header": {"X-Env": "prod"}} },
    { "id": "sql", "verdict": "block", "when": {"json": {"$..sql": {"regex": "drop\\\\s+table"}}} },
    { "id": "large", "verdict": "block", "when": {"size": {"at_least": 100000}} },
    { "id": "often", "verdict": "block", "when": {"path": "/often", "rate": {"ops": 2, "per": "1h"}} },
    { "id": "much", "verdict": "block", "when": {"path": "/much", "quota": {"bytes": 20}} },
    { "id": "pay", "risk": 40, "when": {"path": "/pay/**"} },
    { "id": "risky", "verdict": "block", "when": {"session_risk": {"at_least": 100}} } ] }
JSON
cat > "$tmp/policy.d/users.json" << JSON
{ "name": "a-user", "agents": [ {"cgroup": "/**", "uid": 65534} ], "targets": [ $target ],
  "rules": [ { "id": "nobody", "verdict": "block", "when": {"protocol": "http"} } ] }
JSON
wget=$(realpath "$(command -v wget)")
cat > "$tmp/policy.d/programs.json" << JSON
{ "name": "a-program", "agents": [ {"cgroup": "/**", "exe": "$wget"} ], "targets": [ $target ],
  "rules": [ { "id": "not-wget", "verdict": "block", "when": {"protocol": "http"} } ] }
JSON
cat > "$tmp/policy.d/images.json" << JSON
{ "name": "a-image", "agents": [ {"cgroup": "/**", "image": "old/*"} ], "targets": [ $target ],
  "rules": [ { "id": "old-image", "verdict": "block", "when": {"protocol": "http"} } ] }
JSON
start_weir "$tmp/policy.d"
codes() {
	run_agent curl -sS -m 30 -o /dev/null -w '%{http_code} ' "$@" | sed 's/ *$//'
}
json=(-H 'Content-Type: application/json')

is "$(codes "$api/secret/12")" 403 "a regular expression, in the proxy"
is "$(codes "$api/echo/secret/x")" "$(codes "$api/echo/other")" "… that does not match"
is "$(codes "$api/echo?a=1&env=Production" -d x)" 403 "a value of the query"
is "$(codes "$api/echo?a=1&env=test" -d x)" 200 "another one"
is "$(codes -H 'x-env: PROD' "$api/echo" -d x)" 403 "a header"
is "$(codes "${json[@]}" -d '{"a":[{"sql":"DROP  TABLE x"}]}' "$api/echo")" 403 "a value in a JSON body"
is "$(codes "${json[@]}" -d '{"a":[{"\u0073ql":"\u0064rop table x"}]}' "$api/echo")" 403 "… in another spelling"
is "$(codes "${json[@]}" -d '{"a":[{"sql":"SELECT 1"}]}' "$api/echo")" 200 "a body that is fine passes"
is "$(run_agent curl -sS -m 30 "${json[@]}" -d '{"sql": "SELECT 1"}' "$api/echo")" '{"sql": "SELECT 1"}' "… unchanged"
is "$(codes "${json[@]}" -d '{"a":' "$api/echo")" 403 "what is not JSON could be anything"
head -c 100000 /dev/zero > "$tmp/zeros"
is "$(codes --data-binary "@$tmp/zeros" "$api/echo")" 403 "too large"
four=(-o /dev/null "$api/often" -o /dev/null "$api/often" -o /dev/null "$api/often")
like "$(codes "$api/often" "${four[@]}")" '403 403$' "a rate holds from the third on"
like "$(codes "$api/often")" '404$|200$' "… of one connection"
like "$(codes -d 0123456789012345678901234567890123456789 "$api/echo" --next -sS -o /dev/null -w '%{http_code} ' \
	"$api/much")" '^200 403$' "a quota counts what came back"
like "$(codes "$api/pay/1" -o /dev/null "$api/pay/2" -o /dev/null "$api/pay/3")" '403$' "risks of a session add up"
is "$(codes "$api/echo" -d x)" 200 "a policy for another user is none of root's"
is "$(run_agent setpriv --reuid=65534 --clear-groups curl -sS -m 30 -o /dev/null -w '%{http_code}' "$api/echo" -d x)" \
	403 "… and holds for that user"
like "$(run_agent wget -nv -O /dev/null "$api/echo" 2>&1)" '403' "a policy for a program holds for it"
if through_weir; then
	like "$("$weir" sessions --rule not-wget --json | jq -r .exe)" "^$wget" "… whose path is in the store"
	make_cgroup
	ok "a cgroup with an image is attached" "$weir" attach --image old/app:1 --container app "$cgroup_path"
	is "$(in_cgroup curl -sS -m 30 -o /dev/null -w '%{http_code}' "$api/echo" -d x)" 403 \
		"a policy for an image holds for it"
	is "$("$weir" sessions --rule old-image --json | jq -r .image)" "old/app:1" "… which is in the store"
	ok "… and is detached" "$weir" detach "$cgroup_path"
	at_least "$("$weir" sessions --rule risky --json | wc -l)" 1 "the store finds what a risk refused"
	at_least "$("$weir" sessions --rule nobody --json | wc -l)" 1 "… and what a user's policy did"
fi
daemon_clean "no sanitizer has spoken"
done_testing
