#!/usr/bin/env bash
# The shipped corpus: the same bytes each time, every question in it, and no question on both sides of the border between
# the part that `linnet train` learns from and the last tenth that it validates on.
#
#   corpus_test.sh SOURCE_FOLDER
set -euo pipefail
export LC_ALL=C
root=$(realpath "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*" >&2; exit 1; }

"$root/scripts/corpus.sh" "$work/corpus.txt"
"$root/scripts/corpus.sh" "$work/again.txt" >/dev/null
cmp "$work/corpus.txt" "$work/again.txt" || fail "the corpus differs from run to run"

bytes=$(wc -c <"$work/corpus.txt")
tail -c $((bytes / 10)) "$work/corpus.txt" >"$work/held_out"
head -c $((bytes - bytes / 10)) "$work/corpus.txt" >"$work/train"
((bytes >= 300000)) || fail "only $bytes bytes"
! grep -q $'\001' "$work/corpus.txt" || fail "a line end was not restored"

# Answers are compared whole, since all phrasings of a question share one.
answers() { sed -n 's/^Answer: //p' "$1" | sort -u; }
answers "$work/train" >"$work/train_answers"
answers "$work/held_out" >"$work/held_out_answers"
both=$(comm -12 "$work/train_answers" "$work/held_out_answers")
[[ -z $both ]] || fail "in both parts: $both"
pairs=$(wc -l <"$root/data/howto.jsonl")
# A source or document may hold such a line too, hence "at least".
(($(answers "$work/corpus.txt" | wc -l) >= pairs)) || fail "not all of the $pairs answers are there"
questions=$(grep -c '^Question: ' "$work/held_out")
((questions > 0 && $(wc -l <"$work/held_out") > 3 * questions)) || fail "the held-out part lacks questions or sources"

# What is wrong with a data file must be said, not skipped.
mkdir -p "$work/bad/data"
cp -r "$root/scripts" "$root/LICENSE" "$root/packages.txt" "$work/bad"
echo '{"id": "x", "questions": ["why?"]}' >"$work/bad/data/howto.jsonl"
if "$work/bad/scripts/corpus.sh" >"$work/output" 2>&1; then fail "a question without an answer was accepted"; fi
grep -q 'howto.jsonl, line 1' "$work/output" || fail "the broken line is not named: $(cat "$work/output")"
[[ ! -e $work/bad/out/corpus.txt ]] || fail "half a corpus was written"
echo '{"id": "x", "questions": ["say \"hi\""], "answer": "a \\ b\nc"}' >"$work/bad/data/howto.jsonl"
"$work/bad/scripts/corpus.sh" >/dev/null
grep -A2 -F 'Question: say' "$work/bad/out/corpus.txt" >"$work/output"
printf 'Question: say "hi"\nAnswer: a \\ b\nc\n' | cmp "$work/output" - || fail "escapes are read wrongly"
echo "$bytes bytes, $pairs questions, $questions phrasings held out"
