#!/usr/bin/env bash
# The server as curl sees it: how a stream is framed, big bodies, HEAD, OPTIONS.    curl_test.sh LINNET
set -euo pipefail
linnet=$1
command -v curl >/dev/null || { echo "skipped: there is no curl"; exit 77; }
work=$(mktemp -d)
fail() { echo "FAILED: $*" >&2; cat "$work/reply" >&2 || true; exit 1; }

"$linnet" serve --port 0 --max-body-mb 1 >"$work/log" &
server=$!
trap 'kill $server 2>/dev/null || true; rm -rf "$work"' EXIT
for _ in $(seq 600); do grep -q ' at http' "$work/log" && break; sleep 0.1; done
url=$(grep -o 'http://[^ ]*' "$work/log")

# ask PATH CURL_ARGUMENT...: the body goes to reply, the status is printed
ask() { curl -sS -o "$work/reply" -w '%{http_code}' "$url$1" "${@:2}"; }
expect() { [[ $1 == "$2" ]] || fail "$3: $1 instead of $2"; }

# Each event is one line that begins with "data: ", and an empty one; the last is [DONE].
chat='{"messages": [{"role": "user", "content": "What is an RNN?"}], "max_tokens": 30, "seed": 1'
expect "$(ask /v1/chat/completions -N -d "$chat, \"stream\": true}")" 200 "a stream"
awk 'NR % 2 ? !/^data: (\{.*\}|\[DONE\])$/ : !/^$/ { bad = 1 } END { exit bad || NR % 2 }' "$work/reply" || fail "framing"
expect "$(tail -n 2 "$work/reply" | head -n 1)" "data: [DONE]" "the last event"
expect "$(grep -c '"finish_reason":"' "$work/reply")" 1 "chunks with a finish_reason"
[[ $(curl -sS -i "$url/v1/chat/completions" -d "$chat, \"stream\": true}") == *"text/event-stream"* ]] || fail "type"

# A body for which curl first asks whether it may (Expect: 100-continue), and one that is too long.
head -c 900000 /dev/zero | tr '\0' ' ' >"$work/blanks"
{ cat "$work/blanks"; echo "$chat}"; } >"$work/long"
expect "$(ask /v1/chat/completions -H 'Expect: 100-continue' --data-binary "@$work/long")" 200 "a long body"
cat "$work/blanks" "$work/long" >"$work/longer"
expect "$(ask /v1/chat/completions --data-binary "@$work/longer")" 413 "too long a body"
expect "$(ask /v1/chat/completions -H 'Transfer-Encoding: chunked' --data-binary "@$work/longer")" 413 "the same in chunks"
expect "$(ask /v1/models -H "X: $(head -c 40000 /dev/zero | tr '\0' x)")" 431 "too long a header"

expect "$(ask /v1/chat/completions -d '{"messages": ')" 400 "broken JSON"
expect "$(ask /v1/models -I)" 200 "HEAD"
expect "$(ask /v1/models -X OPTIONS)" 204 "OPTIONS"
expect "$(ask /v1/chat/completions)" 405 "GET of a POST"
expect "$(ask /)" 200 "/"
expect "$(cat "$work/reply")" "Ollama is running" "/"
expect "$(ask /v1/chat/completions -H 'Origin: https://evil.example' -d "$chat}")" 403 "another site's page"
expect "$(ask /metrics)" 200 "/metrics"
awk '/^#/ { next } !/^linnet_[a-z0-9_]+(\{[a-z]+="[a-z0-9]+"\})? [0-9.e+-]+$/ { bad = 1 } END { exit bad }' "$work/reply" || fail "metrics"

kill -TERM $server
wait $server || fail "the server ended with $?"
if "$linnet" serve --host 0.0.0.0 --port 0 2>"$work/reply"; then fail "bound to all addresses without a key"; fi
grep -q -e '--api-key-file' "$work/reply" || fail "what to do is not said"
