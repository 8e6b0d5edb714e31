#!/usr/bin/env bash
# The recipe that compares the versions of RWKV: it trains all of them with the program that is built, prints a row for each,
# goes on with what is there instead of training anew, and refuses what it cannot use.
#
#   versions_test.sh SOURCE_FOLDER PROGRAM
set -euo pipefail
root=$(realpath "$1")
export LINNET_PROGRAM
LINNET_PROGRAM=$(realpath "$2")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*" >&2; exit 1; }

export LINNET_OUT=$work/out STEPS=2
head -c 200000 "$root/data/howto.jsonl" >"$work/text"
for setting in shakespeare ten-minutes; do
  "$root/recipes/versions/run" $setting "$work/text" >"$work/output" 2>&1 || fail "$setting ended with $?: $(tail -n 3 "$work/output")"
  rows=$(grep -cE '^\| RWKV-[4-7] \| [0-9]+ \| [0-9]+\.[0-9]{3} \| [0-9]+\.[0-9]{3} \| [0-9]+ \|$' "$work/output") || true
  [[ $setting == shakespeare && $rows == 4 || $setting == ten-minutes && $rows == 1 ]] || fail "$rows rows: $(tail -n 6 "$work/output")"
done
# Equal parameters, within 1%.
"$root/recipes/versions/run" shakespeare "$work/text" >"$work/again" 2>&1
grep -q 'resumed   at step 2' "$work/again" || fail "a finished run was repeated"
grep '^| RWKV' "$work/again" | awk -F '|' '{ if (!n++ || $3 < low) low = $3; if ($3 > high) high = $3 } END { exit !(high < 1.01 * low) }' ||
  fail "the parameters are not equal: $(grep '^| RWKV' "$work/again")"
if "$root/recipes/versions/run" nonsense "$work/text" >/dev/null 2>&1; then fail "an unknown setting was accepted"; fi
if "$root/recipes/versions/run" enwik8 "$work/missing" >/dev/null 2>&1; then fail "a missing text was accepted"; fi
echo "four versions at equal parameters"
