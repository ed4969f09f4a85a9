#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Operations on hold told to webhooks and answered on the socket for answers: signatures, TLS, retries,
# slow and dead servers, tokens that are wrong, used up, another's or late; psql knows nothing of it.

. tests/e2e/lib.sh

need_root
need jq curl psql openssl setpriv
through_weir || skip_all "nothing to see without Weir"
[ -x "$weir" ] || skip_all "needs $weir: make"

secret=the-key-of-this-test-and-no-other
printf '%s\n' "$secret" > "$tmp/secret"
chmod 600 "$tmp/secret"
hooks=$tmp/hooks.log
answers=$tmp/answers.sock

# ---- certificates: an authority of our own, and a server that is 127.0.0.1 and nobody else
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj '/CN=Weir test CA' \
	-keyout "$tmp/ca.key" -out "$tmp/ca.pem" > "$tmp/openssl.log" 2>&1
openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj '/CN=hook' \
	-keyout "$tmp/hook.key" -out "$tmp/hook.csr" >> "$tmp/openssl.log" 2>&1
printf 'subjectAltName=IP:127.0.0.1\n' > "$tmp/hook.ext"
openssl x509 -req -in "$tmp/hook.csr" -CA "$tmp/ca.pem" -CAkey "$tmp/ca.key" -CAcreateserial -days 2 \
	-extfile "$tmp/hook.ext" -out "$tmp/hook.pem" >> "$tmp/openssl.log" 2>&1

start_postgres
start_server "$hooks" webhook_server.py --secret "$secret" --cert "$tmp/hook.pem" --key "$tmp/hook.key"
hook_port=$server_port
dead_port=$(free_port)
psql -qc 'create table item (id int primary key, n int); insert into item select g, 0 from generate_series(1, 50) g'

cat > "$tmp/policy.json" << JSON
{ "name": "ask", "agents": [{"cgroup": "/**"}], "default": "block",
  "targets": [{"name": "db", "hosts": ["127.0.0.1"], "ports": [$pg_port], "protocol": "postgres", "default": "allow"}],
  "rules": [
    {"id": "ask-one", "verdict": "hold", "message": "To delete takes a person.", "when": {"verb": ["DELETE"]},
     "approval": {"timeout": "90s"}},
    {"id": "ask-two", "verdict": "hold", "when": {"verb": ["UPDATE"]}, "approval": {"count": 2, "timeout": "90s"}},
    {"id": "ask-soon", "verdict": "hold", "when": {"verb": ["INSERT"]}, "approval": {"timeout": "3s"}} ] }
JSON

# config WEBHOOKS [ANSWERS]: the daemon's configuration, members being JSON
config() {
	jq -n --arg t "$tmp" --argjson w "$1" --argjson a "${2-null}" '{store: ($t + "/store"),
		socket: ($t + "/run/weir.sock"), runtime_dir: ($t + "/run"), workers: 1,
		policies: [$t + "/policy.json"], webhooks: $w} + (if $a then {answers: $a} else {} end)' > "$tmp/weir.json"
}
# hook NAME PATH [MORE]: one webhook as JSON
hook() {
	jq -nc --arg n "$1" --arg u "https://127.0.0.1:$hook_port$2" --arg s "$tmp/secret" --arg c "$tmp/ca.pem" \
		--argjson more "${3-null}" '{name: $n, url: $u, secret: {file: $s}, ca: $c} + ($more // {})'
}
export WEIR_STORE=$tmp/store WEIR_SOCKET=$tmp/run/weir.sock
mkdir -p "$tmp/run"

# ---- what it refuses to start with
refuses() {
	local out
	out=$("$weir" daemon --config "$tmp/weir.json" --detach-on-exit 2>&1)
	is $? 1 "no start: $2"
	like "$out" "$1" "and it says so"
}
config "[$(hook a /hook '{"url": "http://example.com/x"}')]"
refuses 'webhooks\[0\].url must begin with https' "a webhook in the clear"
config "[$(hook a /hook '{"urll": 1}')]"
refuses 'unknown key "webhooks\[0\].urll"' "an unknown member"
config '[]' "{\"socket\": \"$answers\"}"
refuses '"answers" need "webhooks"' "answers without tokens"
chmod 644 "$tmp/secret"
config "[$(hook a /hook)]"
refuses "owner's alone" "a secret that others can read"
chmod 600 "$tmp/secret"

# ---- a daemon with all kinds of webhooks
config "[$(hook good /fail/2), $(hook second /later), $(hook chat /hook '{"format": "slack"}'),
	$(hook slow /slow '{"events": ["held"]}'), $(hook bad /bad), $(hook big /big), $(hook redirect /redirect),
	$(hook dead /hook "{\"url\": \"https://127.0.0.1:$dead_port/\"}"),
	$(hook untrusted /untrusted | jq -c 'del(.ca)'),
	$(hook misnamed /misnamed "{\"url\": \"https://localhost:$hook_port/misnamed\"}")]" \
	"{\"socket\": \"$answers\", \"mode\": \"0666\"}"
launch_weir
defer stop_weir
notifier() {
	"$weir" status --json | jq -r ".notifier.$1"
}
notifier_ready() {
	[ "$(notifier state)" = ready ]
}
ok "the notifier is ready" wait_for 10 notifier_ready
pid=$(notifier pid)
is "$(awk '/^(CapEff|CapPrm|CapBnd|NoNewPrivs)/ { printf "%s ", $2 }' "/proc/$pid/status")" \
	"0000000000000000 0000000000000000 0000000000000000 1 " "it has no privileges"
isnt() {
	if [ "$1" != "$2" ]; then pass "$3"; else not_ok "$3" "both are $1"; fi
}
isnt "$(awk '/^Uid/ { print $2 }' "/proc/$pid/status")" \
	"$(awk '/^Uid/ { print $2 }' "/proc/$("$weir" status --json | jq .proxy.pid)/status")" "nor the proxy's user"
is "$(stat -c '%a %U' "$answers")" "666 root" "the socket for answers is as configured"

# hold SQL: psql behind Weir in the background, its output in $tmp/psql.out
hold() {
	"$weir" run -- psql -qtA -v ON_ERROR_STOP=1 -c "$1" > "$tmp/psql.out" 2>&1 &
	psql_pid=$!
}
# told PATH EVENT: the last such body that was answered with success, in $body
told() {
	body=$(jq -c --arg p "$1" --arg e "$2" 'select(.path == $p and .body.event == $e and .status < 300) | .body' \
		"$hooks" | tail -1)
	[ -n "$body" ]
}
# told_new: a held one at /fail/2 with another id than the last one
told_new() {
	told /fail/2 held && [ "$(jq -r .id <<< "$body")" != "$last_id" ]
}
last_id=
# next_held: waits for it; sets id and token
next_held() {
	wait_for 20 told_new || diag "$(tail -5 "$hooks") $(tail -5 "$tmp/weir.log")"
	id=$(jq -r .id <<< "$body")
	token=$(jq -r .answer.token <<< "$body")
	last_id=$id
}
# token_of PATH: of the operation $id at another webhook
token_of() {
	wait_for 20 has_token "$1"
	jq -r --arg p "$1" --arg i "$id" 'select(.path == $p and .body.id == $i and .body.event == "held") |
		.body.answer.token' "$hooks" | head -1
}
has_token() {
	[ -n "$(jq -r --arg p "$1" --arg i "$id" 'select(.path == $p and .body.id == $i) | .body.answer.token // empty' "$hooks")" ]
}
# ask METHOD PATH [CURL-ARG…]: the status; the body in $tmp/answer. Waits where it is told to.
ask() {
	local method=$1 path=$2 status
	shift 2
	while :; do
		status=$(curl -sS -m 20 -o "$tmp/answer" -w '%{http_code}' --unix-socket "$answers" -X "$method" \
			"http://weir$path" "$@" 2> "$tmp/curl.err") || diag "$(cat "$tmp/curl.err")"
		[ "$status" = 429 ] || break
		sleep 0.3
	done
	printf '%s\n' "$status"
}
# say VERB ID TOKEN [WHO [REASON]]
say() {
	ask POST "/v1/approvals/$2/$1" -H 'Content-Type: application/json' \
		-d "$(jq -nc --arg t "$3" --arg w "${4-}" --arg r "${5-}" '{token: $t, who: $w, reason: $r}')"
}
rows() {
	psql -qtAc "select count(*) from item where $1"
}

# ---- held, told, approved
hold "delete from item where id = 1"
next_held
is "$(jq -r .verb <<< "$body")" DELETE "a webhook tells of the operation"
is "$(jq -r .target <<< "$body")/$(jq -r .rule <<< "$body")" db/ask-one "with target and rule"
like "$(jq -r .text <<< "$body")" "delete from item where id = 1" "and the text"
is "$(jq -sc --arg i "$id-held" '[.[] | select(.path == "/fail/2" and .id == $i) | .status]' "$hooks")" "[503,503,204]" \
	"after two failures, with the same id each time"
is "$(jq -sc '[.[] | .valid] | all' "$hooks")" true "all signatures are right"
is "$(jq -sc '[.[] | .type] | unique' "$hooks")" '["application/json"]' "all bodies are JSON"
is "$(ask GET "/v1/approvals/$id?token=$token")" 200 "its state can be asked for"
is "$(jq -r .status "$tmp/answer")" waiting "it waits"
is "$(rows 'id = 1')" 1 "nothing is deleted yet"
ok "psql waits" kill -0 "$psql_pid"
# What is no answer
is "$(say approve "$id" "${token%?}x")" 403 "a wrong token"
cp "$tmp/answer" "$tmp/wrong"
is "$(say approve 01ARZ3NDEKTSV4RRFFQ69G5FAV "$token")" 403 "the token at an operation that is not there"
is "$(cat "$tmp/answer")" "$(cat "$tmp/wrong")" "looks the same"
is "$(ask GET "/v1/approvals/$id?token=00")" 403 "a wrong token tells no state"
is "$(ask GET "/v1/approvals/$id")" 403 "nor does none"
is "$(ask POST "/v1/approvals/$id/approve" -d "{\"token\": \"$token\"}")" 415 "a form's type"
is "$(ask POST "/v1/approvals/$id/approve" -H 'Content-Type: application/json' -d "{\"token\": \"$token\", \"x\": 1}")" 400 \
	"a member that nobody knows"
is "$(ask POST "/v1/approvals/$id/approve" -H 'Content-Type: application/json' -d "{\"token\": \"$token\"")" 400 "half of an object"
head -c 5000 /dev/zero | tr '\0' x > "$tmp/long"
is "$(ask POST "/v1/approvals/$id/approve" -H 'Content-Type: application/json' --data-binary @"$tmp/long")" 413 "a long body"
is "$(ask PUT "/v1/approvals/$id/approve" -d x)" 405 "another method"
is "$(ask GET "/v1/approvals/../x/y?token=$token" --path-as-is)" 404 "another place"
is "$("$weir" run -- curl -s -o /dev/null -w '%{http_code}' --unix-socket "$answers" -H 'Content-Type: application/json' \
	-d "{\"token\": \"$token\"}" "http://weir/v1/approvals/$id/approve")" 403 "the right token from inside of an agent's cgroup"
is "$(rows 'id = 1')" 1 "still nothing is deleted"
# What is one
is "$(say approve "$id" "$token" alice@chat 'fine with me')" 200 "the right token"
is "$(jq -r .status "$tmp/answer")" approved "it is approved"
wait "$psql_pid"
is $? 0 "psql goes on"
is "$(rows 'id = 1')" 0 "and has deleted"
is "$(say approve "$id" "$token" alice@chat)" 409 "the token is used up"
wait_for 20 told /fail/2 settled
is $? 0 "the end is told"
is "$(jq -r '.how + " " + .who' <<< "$body")" "approved alice@chat" "with who approved"
is "$(ask GET "/v1/approvals/$id?token=$token")/$(jq -r .status "$tmp/answer")" 200/approved "and may be asked for"
old_id=$id old_token=$token

# ---- denied; another operation's token
hold "delete from item where id = 2"
next_held
is "$(say approve "$id" "$old_token")" 403 "an earlier operation's token"
is "$(say approve "$old_id" "$token")" 403 "this one's at an earlier operation"
is "$(say deny "$id" "$token" bob@chat 'not on a Friday')" 200 "deny"
wait "$psql_pid"
isnt $? 0 "psql is refused"
like "$(cat "$tmp/psql.out")" "ERROR" "natively"
is "$(rows 'id = 2')" 1 "nothing is deleted"
is "$(say approve "$id" "${token:0:10}")" 403 "a token's beginning is none"
second=$(token_of /later)
is "$(say approve "$id" "$second")" 410 "a second webhook's token comes too late"

# ---- two people
hold "update item set n = 1 where id = 3"
next_held
second=$(token_of /later)
isnt "$token" "$second" "each webhook has a token of its own"
is "$(say approve "$id" "$token" alice@chat)/$(jq -r .status "$tmp/answer")" 200/waiting "one of two"
is "$(say approve "$id" "$second" alice@chat)" 409 "the same person by another webhook"
is "$(say approve "$id" "$second" carol@chat)/$(jq -r .status "$tmp/answer")" 200/approved "another person"
wait "$psql_pid"
is "$?/$(rows 'n = 1')" 0/1 "psql goes on"

# ---- nobody answers
hold "insert into item values (1000, 0)"
next_held
wait "$psql_pid"
isnt $? 0 "unanswered it is refused"
is "$(say approve "$id" "$token")" 410 "and an answer comes too late"

# ---- Slack's form
slack=$(jq -c 'select(.path == "/hook" and (.body.blocks | length) > 2) | .body' "$hooks" | head -1)
like "$(jq -r .text <<< "$slack")" '^Approval wanted: DELETE on db by /' "Slack gets a line"
is "$(jq -r '.blocks[-1].elements[0] | .action_id + " " + (.value | split(" ") | length | tostring)' <<< "$slack")" \
	"weir_approve 2" "and buttons with id and token"

# ---- the other webhooks
refused_paths() {
	jq -rs '[.[] | select(.path == "/untrusted" or .path == "/misnamed")] | length' "$hooks"
}
is "$(refused_paths)" 0 "neither an unknown authority nor another name is talked to"
is "$(jq -rs --arg i "$old_id-held" '[.[] | select(.path == "/bad" and .id == $i)] | length' "$hooks")" 1 "400 is not tried again"
is "$(jq -rs --arg i "$old_id-held" '[.[] | select(.path == "/redirect" and .id == $i)] | length' "$hooks")" 1 "a redirect is not followed"
is "$(jq -rs '[.[] | select(.path == "/slow" and .body.event == "settled")] | length' "$hooks")" 0 "events are as configured"
first=$(jq -s --arg i "$old_id-held" '[.[] | select(.path == "/later" and .id == $i)] | .[0].time' "$hooks")
later=$(jq -s --arg i "$old_id-held" '[.[] | select(.path == "/later" and .id == $i)] | .[1].time' "$hooks")
ok "Retry-After is heeded" jq -en "$later - $first >= 0.99"
ok "what was sent is counted" [ "$(notifier sent)" -gt 5 ]
ok "so is what failed" [ "$(notifier failed)" -gt 2 ]
ok "and what was tried again" [ "$(notifier retried)" -gt 5 ]

# ---- the notifier is killed
pid=$(notifier pid)
kill -KILL "$pid"
restarted() {
	notifier_ready && [ "$(notifier pid)" != "$pid" ]
}
ok "a notifier that is killed is started again" wait_for 15 restarted
hold "delete from item where id = 4"
next_held
is "$(say approve "$id" "$token" alice@chat)" 200 "and goes on"
wait "$psql_pid"
is "$?/$(rows 'id = 4')" 0/0 "as if nothing had been"

# ---- a notifier that hangs holds up nobody
pid=$(notifier pid)
kill -STOP "$pid"
hold "delete from item where id = 6"
one_waits() {
	id=$("$weir" approvals --json | jq -r .id)
	[ -n "$id" ]
}
wait_for 10 one_waits
ok "an operation waits while the notifier hangs" one_waits
ok "weir approve does not need it" "$weir" approve "$id"
wait "$psql_pid"
is "$?/$(rows 'id = 6')" 0/0 "psql goes on"
kill -CONT "$pid"
settled_told() {
	jq -es --arg i "$id" 'any(.[]; .path == "/fail/2" and .body.id == $i and .body.event == "settled" and .status < 300)' "$hooks"
}
ok "what it missed is told when it goes on" wait_for 20 settled_told

# ---- the proxy is killed
hold "delete from item where id = 7"
next_held
kill -KILL "$("$weir" status --json | jq .proxy.pid)"
wait "$psql_pid"
isnt $? 0 "what waited in a proxy that dies is refused"
is "$(say approve "$id" "$token")/$(jq -r .status "$tmp/answer")" 410/gone "and cannot be approved any more"
is "$(rows 'id = 7')" 1 "nothing was done"
proxy_ready() {
	[ "$("$weir" status --json | jq -r .proxy.state)" = ready ]
}
ok "the next proxy" wait_for 20 proxy_ready
hold "delete from item where id = 8"
next_held
is "$(say approve "$id" "$token")" 200 "goes on"
wait "$psql_pid"
is "$?/$(rows 'id = 8')" 0/0 "with the same webhooks"

# ---- too many requests
for _ in $(seq 60); do
	curl -s -o /dev/null -w '%{http_code}\n' --unix-socket "$answers" "http://weir/v1/approvals/$id?token=00"
done > "$tmp/many"
ok "guessing is slowed down" grep -q 429 "$tmp/many"
like "$(sort -u "$tmp/many" | tr '\n' ' ')" '^(403 )?429 $' "and gets nothing else"

# ---- the end
hold "delete from item where id = 5"
next_held
end_pid "$weir_pid"
wait "$psql_pid"
isnt $? 0 "what waits when the daemon ends is refused"
is "$(rows 'id = 5')" 1 "and not done"
ok "the socket is gone" [ ! -e "$answers" ]
fails "so is the notifier" pgrep -f 'weir: notifier' -P "$weir_pid"
unlike "$(cat "$tmp/weir.log")" "$token" "no token is ever logged"
unlike "$(cat "$tmp/weir.log")" "$secret" "nor the key"
daemon_clean "no complaint of a sanitizer"

done_testing
