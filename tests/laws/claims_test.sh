#!/usr/bin/env bash
# The recipe of the papers' claims, in its shortest form: it trains, prints a table, repeats nothing, and refuses what it cannot
# use.
#
#   claims_test.sh SOURCE_FOLDER PROGRAM
set -euo pipefail
root=$(realpath "$1")
export LINNET_PROGRAM
LINNET_PROGRAM=$(realpath "$2")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*" >&2; exit 1; }
export LINNET_OUT=$work/out
run() { "$root/recipes/claims/run" --short "$@" >"$work/output" 2>"$work/errors" || fail "$* ended with $?: $(tail -n 3 "$work/errors")"; }

head -c 60000 "$root/data/howto.jsonl" >"$work/text"
run reversal
run shakespeare "$work/text"
for arch in rwkv4 rwkv5 rwkv6 rwkv7; do
  grep -q "^$arch " "$work/output" || fail "no row of $arch in $(cat "$work/output")"
done
# Equal parameters, within 5% of what was asked for.
grep '^rwkv' "$work/output" | awk '{ gsub(",", "", $2); if ($2 < 760000 || $2 > 840000) exit 1 }' ||
  fail "the parameters are not equal: $(grep '^rwkv' "$work/output")"
run shakespeare "$work/text"
[[ $(grep -c '(was there)' "$work/errors") -ge 4 ]] || fail "a finished run was repeated: $(cat "$work/errors")"
if "$root/recipes/claims/run" nonsense >/dev/null 2>&1; then fail "an unknown claim was accepted"; fi
if "$root/recipes/claims/run" --short bench "$work/missing" >/dev/null 2>&1; then fail "a missing text was accepted"; fi
echo "claims in their shortest form"
