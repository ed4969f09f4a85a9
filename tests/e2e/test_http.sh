#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Real HTTP servers and clients through Weir: curl, wget, requests, fetch, WebSocket, apt-get.
cd "$(dirname "$0")/../.." || exit 1
. tests/e2e/lib.sh
need_root
need curl wget node dpkg-deb
mkdir -p "$tmp/site/repo"
head -c 30000000 /dev/urandom > "$tmp/site/big.bin"

# A Debian repository of one package.
pkg=$tmp/pkg
mkdir -p "$pkg/DEBIAN" "$pkg/usr/share/weir-hello"
echo hello > "$pkg/usr/share/weir-hello/hello"
printf 'Package: weir-hello\nVersion: 1.0\nArchitecture: all\nMaintainer: Test <t@example.com>\nDescription: a test\n' \
	> "$pkg/DEBIAN/control"
dpkg-deb --root-owner-group -b "$pkg" "$tmp/site/repo/weir-hello_1.0_all.deb" > /dev/null
(cd "$tmp/site/repo" && {
	cat "$pkg/DEBIAN/control"
	printf 'Filename: ./weir-hello_1.0_all.deb\nSize: %s\nSHA256: %s\n\n' \
		"$(stat -c %s weir-hello_1.0_all.deb)" "$(sha256sum weir-hello_1.0_all.deb | cut -d' ' -f1)"
} > Packages)

start_nginx
start_http_server
site=http://127.0.0.1:$nginx_port api=http://127.0.0.1:$api_port
cat > "$tmp/policy.json" << JSON
{ "name": "e2e-http", "agents": [ {"cgroup": "/**"} ], "default": "block",
  "targets": [
    { "name": "site", "hosts": ["127.0.0.1"], "ports": [$nginx_port], "protocol": "http", "default": "allow" },
    { "name": "api", "hosts": ["127.0.0.1"], "ports": [$api_port], "protocol": "http", "default": "allow",
      "opaque": "relay" } ],
  "rules": [ { "id": "users-stay", "verdict": "block", "message": "Users are not for deleting.",
               "when": {"target": "api", "verb": ["DELETE"], "path": ["/v1/users/**"]} },
             { "id": "no-mutations", "verdict": "block", "when": {"target": "api", "attr": {"graphql_type": "mutation"}} },
             { "id": "whose-host", "verdict": "block", "when": {"target": "api", "path": ["/echo/host"], "attr": {"host_checked": false}} } ] }
JSON
start_weir "$tmp/policy.json"
agent() {
	run_agent "$@" 2>&1
}
agent_curl() {
	run_agent curl -sS -m 60 "$@"
}

is "$(agent_curl "$site/hello.txt")" "hello from nginx" "curl: GET"
is "$(agent_curl -o /dev/null -w '%{http_code}' "$site/none")" 404 "the server's own errors arrive"
agent_curl "$site/big.bin" -o "$tmp/big.agent"
same_bytes "$tmp/big.agent" "$tmp/site/big.bin" "30 MB arrive unchanged"
agent_curl -r 1000000-1999999 "$site/big.bin" -o "$tmp/range.agent"
same_bytes "$tmp/range.agent" <(tail -c +1000001 "$tmp/site/big.bin" | head -c 1000000) "a range"
out=$(agent_curl -I "$site/big.bin" | tr -d '\r')
like "$out" 'Content-Length: 30000000' "HEAD, whose length has no body behind it"
out=$(agent_curl -w '%{http_code}/%{num_connects} ' -I "$site/hello.txt" --next -sS \
	-w '%{http_code}/%{num_connects} ' -o /dev/null "$site/hello.txt")
like "$out" '200/1 200/0 $' "keep-alive after a HEAD"
is "$(agent_curl -d 'a=1&b=2' "$api/echo")" 'a=1&b=2' "POST"
head -c 3000000 "$tmp/site/big.bin" > "$tmp/upload"
agent_curl -T - -H 'Transfer-Encoding: chunked' "$api/echo" -o "$tmp/echo.agent" < "$tmp/upload"
same_bytes "$tmp/echo.agent" "$tmp/upload" "a chunked upload comes back unchanged"
out=$(agent_curl -v -H 'Expect: 100-continue' --data-binary "@$tmp/upload" "$api/count" 2>&1)
like "$out" 'HTTP/1.1 100' "Expect: 100-continue is answered"
like "$out" '"bytes": 3000000' "  … and the body follows"
is "$(agent_curl "$api/chunked/1000" | wc -c)" 10000 "a chunked answer"
is "$(agent_curl -o /dev/null -w '%{http_code}' "$api/status/204")" 204 "204"
is "$(agent_curl --http1.0 "$site/hello.txt")" "hello from nginx" "HTTP/1.0"
out=$(agent_curl -w '%{num_connects}\n' -o /dev/null "$site/hello.txt" -o /dev/null \
	"$site/hello.txt" -o /dev/null "$site/hello.txt" | tr '\n' ' ')
is "$out" "1 0 0 " "three requests on one connection"
printf 'GET /hello.txt HTTP/1.1\r\nHost: x\r\n\r\nGET /hello.txt HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n' \
	> "$tmp/pipelined"
out=$(agent bash -c "exec 3<> /dev/tcp/127.0.0.1/$nginx_port; cat '$tmp/pipelined' >&3; timeout 10 cat <&3")
is "$(grep -c 'hello from nginx' <<< "$out")" 2 "two pipelined requests"
is "$(agent_curl "$api/slow/1")" "at last" "an answer that takes its time"

json=(-H 'Content-Type: application/json')
is "$(agent_curl "${json[@]}" -d '{"a": [1, 2]}' "$api/echo")" '{"a": [1, 2]}' "POST of JSON, judged whole"
is "$(agent_curl "${json[@]}" -H 'Transfer-Encoding: chunked' -H 'Expect: 100-continue' -d '{"a": 3}' "$api/echo")" \
	'{"a": 3}' "  … in chunks, and waiting for 100"
{ printf '["'; base64 -w 0 "$tmp/upload"; printf '"]'; } > "$tmp/large.json"
agent_curl "${json[@]}" --data-binary "@$tmp/large.json" "$api/echo" -o "$tmp/large.agent"
same_bytes "$tmp/large.agent" "$tmp/large.json" "JSON of 4 MB, judged without"
head -c 900000 "$tmp/large.json" > "$tmp/half.json"
agent_curl "${json[@]}" --data-binary "@$tmp/half.json" "$api/echo" -o "$tmp/half.agent"
same_bytes "$tmp/half.agent" "$tmp/half.json" "JSON of 900 kB, which is held and then goes out in pieces"

if through_weir; then
	out=$(agent_curl -w '\n%{http_code}/%{num_connects}\n' -X DELETE "$api/v1/users/2" --next -sS \
		-w '%{http_code}/%{num_connects}\n' "$api/v1/users/2")
	like "$out" '403/1' "a forbidden DELETE gets 403"
	like "$out" '200/0' "and the connection goes on"
	like "$(agent_curl -X DELETE "$api/v1/users/2" | jq -r '[.. | strings] | join(" ")')" \
		'users-stay' "its body is JSON that names the rule"
	unlike "$(cat "$tmp/api.log")" 'DELETE' "the server never saw it"
	is "$(agent_curl -X DELETE -o /dev/null -w '%{http_code}' "$api/v1//users/./2")" 403 \
		"another spelling of the path does not help"
	is "$(agent_curl -X DELETE -o /dev/null -w '%{http_code}' --path-as-is \
		"$api/v1/x/../%75sers/2")" 403 "nor does an encoded one"
	is "$(agent_curl -X DELETE --data-binary "@$tmp/upload" -o /dev/null \
		-w '%{http_code}' "$api/v1/users/2")" 403 "nor a large body"
	printf 'POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nDELETE /v1/users/1 HTTP/1.1\r\nHost: x\r\n\r\n' \
		> "$tmp/smuggle"
	out=$(agent bash -c "exec 3<> /dev/tcp/127.0.0.1/$api_port; cat '$tmp/smuggle' >&3; timeout 10 cat <&3")
	like "$out" '^HTTP/1.1 400' "ambiguous framing gets 400"
	unlike "$(cat "$tmp/api.log")" 'DELETE' "and never reaches the server"
fi

agent wget -q -O "$tmp/wget.out" "$site/big.bin"
same_bytes "$tmp/wget.out" "$tmp/site/big.bin" "wget"
head -c 20000000 "$tmp/site/big.bin" > "$tmp/resume"
agent wget -q -c -O "$tmp/resume" "$site/big.bin"
same_bytes "$tmp/resume" "$tmp/site/big.bin" "wget -c"

cat > "$tmp/session.py" << 'PY'
import sys, requests
api = sys.argv[1]
with requests.Session() as s:
    print("users", [u["name"] for u in s.get(api + "/v1/users").json()])
    print("json", s.post(api + "/echo", json={"a": [1, 2]}).json()["a"])
    print("generator", s.post(api + "/count", data=(b"x" * 1000 for _ in range(50))).json()["bytes"])
    print("stream", sum(len(c) for c in s.get(api + "/bytes/1600000", stream=True).iter_content(7777)))
    r = s.delete(api + "/v1/users/3")
    print("delete", r.status_code, r.headers.get("content-type", ""))
    print("after", s.get(api + "/v1/users/3").json()["name"])
PY
out=$(agent "$python" "$tmp/session.py" "$api")
like "$out" "users \['Ada', 'Grace', 'Barbara'\]" "requests: GET"
like "$out" 'json \[1, 2\]' "requests: JSON"
like "$out" 'generator 50000' "requests: a chunked upload"
like "$out" 'stream 1600000' "requests: a streamed download"
like "$out" 'after Barbara' "requests: the session goes on"
if through_weir; then
	like "$out" 'delete 403 application/json' "requests: refused"
fi

cat > "$tmp/fetch.mjs" << 'JS'
const api = process.argv[2];
const users = await (await fetch(api + "/v1/users")).json();
console.log("users", users.length);
const body = new ReadableStream({ start(c) { c.enqueue(new TextEncoder().encode("streamed")); c.close(); } });
console.log("echo", await (await fetch(api + "/echo", { method: "POST", body, duplex: "half" })).text());
console.log("bytes", (await (await fetch(api + "/bytes/160000")).arrayBuffer()).byteLength);
console.log("many", (await Promise.all([...Array(20).keys()].map((i) => fetch(api + "/op/fetch-" + i)))).length);
const r = await fetch(api + "/v1/users/1", { method: "DELETE" });
console.log("delete", r.status, await r.text());
JS
out=$(agent node "$tmp/fetch.mjs" "$api")
like "$out" 'users 3' "fetch: GET"
like "$out" 'echo streamed' "fetch: a streamed upload"
like "$out" 'bytes 160000' "fetch: a download"
like "$out" 'many 20' "fetch: twenty at a time"
if through_weir; then
	like "$out" 'delete 403.*users-stay' "fetch: refused"
fi

long=$(head -c 300 /dev/zero | tr '\0' w)
out=$(agent "$python" tests/e2e/ws_client.py "$api_port" one "$long" three)
is "$out" "HTTP/1.1 101 Switching Protocols
one
$long
three" "WebSocket frames go both ways"

mkdir -p "$tmp/apt/state/lists/partial" "$tmp/apt/cache/archives/partial" "$tmp/apt/etc/sources.list.d" \
	"$tmp/apt/etc/apt.conf.d" "$tmp/apt/etc/preferences.d" "$tmp/apt/etc/trusted.gpg.d"
touch "$tmp/apt/status"
echo "deb [trusted=yes] $site/repo ./" > "$tmp/apt/etc/sources.list"
apt=(env APT_CONFIG=/dev/null apt-get -o Dir::Etc="$tmp/apt/etc" -o Dir::State="$tmp/apt/state"
	-o Dir::State::status="$tmp/apt/status" -o Dir::Cache="$tmp/apt/cache" -o APT::Sandbox::User=root
	-o Acquire::Languages=none -o Acquire::Retries=0 -o Acquire::http::Proxy=false)
ok "apt-get update" run_agent "${apt[@]}" -o APT::Update::Error-Mode=any update
(cd "$tmp" && run_agent "${apt[@]}" -q download weir-hello) > "$tmp/apt.log" 2>&1
same_bytes "$tmp/weir-hello_1.0_all.deb" "$tmp/site/repo/weir-hello_1.0_all.deb" "apt-get download"

if through_weir; then
	code() {
		agent_curl -o /dev/null -w '%{http_code}' "$@"
	}
	is "$(code "$api/echo/host")/$(code -H "Host: 127.0.0.1" "$api/echo/host")" 200/200 "a Host that was dialled"
	is "$(code -H 'Host: other.example' "$api/echo/host")/$(code -H 'Host: 127.0.0.1:1' "$api/echo/host")" 403/403 \
		"  … and Hosts that were not"
	graphql() {
		agent_curl -o /dev/null -w '%{http_code}' "${json[@]}" -d "{\"query\": \"$1\"}" "$api/echo/graphql"
	}
	is "$(graphql '{ me { id } }')" 200 "a GraphQL query passes"
	is "$(graphql 'mutation { x: drop }')" 403 "  … a mutation does not, wherever it stands in the body"
	is "$(store sessions --rule users-stay | jq -r .target | sort -u)" api \
		"the store finds the refused sessions by their rule"
	at_least "$(store search 'weir-hello*' | wc -l)" 1 "search finds apt's request"
fi
daemon_clean "no sanitizer has spoken"
done_testing
