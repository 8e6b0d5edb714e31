#!/usr/bin/env bash
# The recipe of the starter: its text is the same each time, sound, and holds every phrasing but those that measure; the recipe
# trains, converts and scores, and writes the figures into the card. A stand-in for linnet answers at once.
#
#   starter_test.sh SOURCE_FOLDER
set -euo pipefail
export LC_ALL=C
root=$(realpath "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*" >&2; exit 1; }

mkdir "$work/linnet"
cp -r "$root/data" "$root/docs" "$root/recipes" "$root/README.md" "$root/CONTRIBUTING.md" "$root/LICENSE" "$work/linnet"
cd "$work/linnet"

recipes/starter/conversations answers >"$work/a.jsonl"
recipes/starter/conversations answers >"$work/b.jsonl"
cmp "$work/a.jsonl" "$work/b.jsonl" || fail "the conversations differ from run to run"
recipes/starter/conversations more-answers >>"$work/a.jsonl"
recipes/starter/conversations answers --text >"$work/a.txt"
recipes/starter/conversations more-answers --text >>"$work/a.txt"
recipes/starter/conversations questions --text >"$work/q.txt"
recipes/starter/conversations more-questions --text >>"$work/q.txt"
recipes/starter/conversations words --text >>"$work/q.txt"
! grep -q $'\001' "$work/a.txt" || fail "a line end was not restored"

# Every phrasing comes with its answer, 18 times with its title, and five times more with it beside the answers; none is held out.
phrasings=$(sed 's/.*"questions": \[//; s/\], "answer".*//' data/howto.jsonl | grep -o '"[^"]*"' | wc -l)
asked=$(grep -o '"role": "user"' "$work/a.jsonl" | wc -l)
((asked >= 6 * phrasings)) || fail "$asked questions of $phrasings phrasings"
titled=$(grep -c '^Question: ' "$work/q.txt")
((titled >= 18 * phrasings)) || fail "$titled titles of $phrasings phrasings"
grep -qxF 'Answer: What is an RNN?' "$work/q.txt" || fail "no title is what it should be"
grep -q '^Answer: What is an RNN? A recurrent' "$work/a.txt" || fail "the answer does not go on from its title"
(($(grep -c '^Question: ' "$work/a.txt") >= asked)) || fail "the text has other questions than the lines"
bare() { tr 'A-Z' 'a-z' | sed 's/[.?!]*$//'; }
sed -n 's/^Question: //p' "$work/a.txt" "$work/q.txt" | bare | sort -u >"$work/asked"
held_out() { sed 's/.*"question": "//; s/"}$//' "$@" | bare | sort -u; }
(($(held_out data/howto-heldout.jsonl | wc -l) == 100)) || fail "not 100 questions are held out"
held_out data/howto-heldout.jsonl data/howto-validation.jsonl >"$work/held_out"
both=$(comm -12 "$work/asked" "$work/held_out")
[[ -z $both ]] || fail "held out, and yet trained on: $both"
# A title that stands alone is left open, so that its end is not learnt; an answer is not.
open='{"role": "assistant", "content": "What is an RNN?"}], "end": false}'
grep -qF "$open" "$work/a.jsonl" || fail "there are no titles whose end is open"
! grep -qF '{"role": "assistant", "content": "What is an RNN?"}]}' "$work/a.jsonl" || fail "a title ends"
grep -q 'What is an RNN? A recurrent[^"]*"}\(, {"role": "user".*\)*\]}$' "$work/a.jsonl" || fail "there are no whole answers"
grep -A1 -E '^Question: (tell me more|why)$' "$work/a.txt" >"$work/follow" || fail "there are no follow-ups"
! head -n 1 "$work/a.txt" | grep -qE '^Question: (why|tell me more)' || fail "a follow-up follows nothing"
grep -q '"text": "# Chat' "$work/a.jsonl" || fail "the documents are not there"
if recipes/starter/conversations answers --json >/dev/null 2>&1; then fail "an unknown argument was accepted"; fi

cat >"$work/program" <<'END'
#!/usr/bin/env bash
echo "linnet $*" >>"$CALLS"
value() { local name=$1; shift; while (($#)); do [[ $1 != "$name" ]] || echo "$2"; shift; done; }
case "$1 $2" in
  train*)
    run=$(value --out "$@")
    mkdir -p "$run"
    echo weights | tee "$run/model.safetensors" >"$run/checkpoint-3.safetensors"
    printf '%s\n' '{"step":98,"loss":1.0,"val_loss":null}' '{"step":99,"loss":0.5,"val_loss":0.6931471805599453}' >"$run/log.jsonl" ;;
  convert*) cp "$2" "$3" ;;
  info*) echo '{"title": "RWKV-7", "parameters": 5612345, "tensors": 9}' ;;
  "eval answers") echo '{"model": "m", "template": "question", "questions": 100, "right": 83, "mean_f1": 0.87654, "seconds": 1.5}' ;;
esac
END
chmod +x "$work/program"
export LINNET_PROGRAM=$work/program LINNET_OUT=$work/out CALLS=$work/calls
card=$(cksum <docs/starter.md)
recipes/starter/run --steps 3 --model "$work/try.safetensors" >"$work/output" || fail "the recipe ended with $?: $(cat "$work/output")"
[[ $(cksum <docs/starter.md) == "$card" ]] || fail "a trial was written into the card"
grep -q 'train .*--steps 3 .*--seed 1' "$CALLS" || fail "trained otherwise: $(cat "$CALLS")"
grep -q 'convert .*q8_0' "$CALLS" || fail "not converted: $(cat "$CALLS")"
for text in '5,612,345' '83 of 100' '0.877' '300 on questions, 200 on answers' '1.000 bits per byte'; do
  grep -qF "$text" "$work/output" || fail "no '$text' in: $(cat "$work/output")"
done
if recipes/starter/run >/dev/null 2>&1; then fail "a second run into the same folder was accepted"; fi
recipes/starter/run --resume >/dev/null || fail "--resume ended with $?"
(($(grep -c 'train --resume' "$CALLS") == 5)) || fail "not resumed: $(cat "$CALLS")"
grep -q 'train --init .*words/model.safetensors' "$CALLS" || fail "the answers do not go on from the questions: $(cat "$CALLS")"
grep -qF '**83 of 100**' docs/starter.md || fail "the card lacks the score"
! grep -qF 'Not measured yet' docs/starter.md || fail "the card keeps its old figures"
grep -qF '## What it cannot do' docs/starter.md || fail "the card lost its text"
recipes/starter/score >/dev/null
(($(grep -c 'of 100\*\*' docs/starter.md) == 1)) || fail "figures were added, not replaced"
echo "$asked questions in the text, 100 held out"
