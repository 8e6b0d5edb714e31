#!/usr/bin/env bash
# ./run from end to end. The demo, with seconds instead of a minute: it trains, loads, generates, writes no escape codes into a
# pipe, keeps an earlier run, and leaves a checkpoint to go on from when it is interrupted. The chat, in a pipe: three questions
# are answered by the model in LINNET_MODELS, and what to do is said where there is none.
#
#   run_test.sh SOURCE_FOLDER LINNET
set -euo pipefail
source=$(realpath "$1")
export LINNET_PROGRAM=$2
LINNET_OUT=$(mktemp -d)
export LINNET_OUT
run=$LINNET_OUT/run
trap 'rm -rf "$LINNET_OUT"' EXIT
fail() {
  echo "FAILED: $*" >&2
  sed 's/^/  /' "$LINNET_OUT/output" >&2
  exit 1
}
says() { grep -qF -- "$1" "$LINNET_OUT/output" || fail "the output lacks '$1'"; }

# The output folder of the user must stay as it is.
listing() { ls -lR --time-style=full-iso "$source/out/run" 2>/dev/null || true; }
before=$(listing)

"$source/run" demo 0.05 >"$LINNET_OUT/output" 2>&1 || fail "./run demo 0.05 ended with $?"
says "now run as an RNN"
says "Question: What is the state of an RNN?"
! LC_ALL=C grep -q $'[\033\r]' "$LINNET_OUT/output" || fail "escape codes in a pipe"
for file in model.safetensors log.jsonl loss.svg; do
  [[ -s $run/$file ]] || fail "there is no $file: $(ls "$run")"
done
grep -q '"loss"' "$run/log.jsonl" || fail "the log has no losses"
"$LINNET_PROGRAM" info "$run/model.safetensors" >/dev/null || fail "the model cannot be read"

# The model of the demo stands for the one that ships.
mkdir "$LINNET_OUT/models"
cp "$run/model.safetensors" "$LINNET_OUT/models/starter.safetensors"
LINNET_MODELS=$LINNET_OUT/models "$source/run" >"$LINNET_OUT/output" 2>&1 </dev/null || fail "./run ended with $?"
(($(grep -c '^Question: ' "$LINNET_OUT/output") == 3)) || fail "not three questions"
says "Question: What is RWKV?"
says "To go on:"
! LC_ALL=C grep -q $'\033' "$LINNET_OUT/output" || fail "escape codes in a pipe"

sum=$(cksum <"$run/model.safetensors")
# Starts a command, presses Ctrl-C (for all of its process group, as a terminal does) once the log has this many lines, and
# keeps its exit code.
interrupt_after() {
  local lines=$1 job tries=0
  shift
  set -m  # a group of its own, in which Ctrl-C is not ignored
  "$@" >"$LINNET_OUT/output" 2>&1 </dev/null &
  job=$!
  set +m
  until [[ -f $run/log.jsonl && $(wc -l <"$run/log.jsonl") -ge $lines ]] || ((++tries > 1200)); do sleep 0.2; done
  kill -INT -- "-$job"
  code=0
  wait "$job" || code=$?
}

mv "$run/log.jsonl" "$run/first.jsonl"
interrupt_after 2 "$source/run" demo --minutes 10
((code == 130)) || fail "./run ended with $code when it was interrupted"
says "is kept as $run.1"
says "train --resume --out $run"
[[ $(cksum <"$run.1/model.safetensors") == "$sum" ]] || fail "the earlier run was changed"

# The very command that was printed, cut short in its turn.
steps=$(wc -l <"$run/log.jsonl")
resume=$(sed -n 's/^stopped after .*go on with: linnet //p' "$LINNET_OUT/output")
interrupt_after $((steps + 2)) bash -c "exec \"$LINNET_PROGRAM\" $resume"
((code == 130)) || fail "'linnet $resume' ended with $code"
(($(wc -l <"$run/log.jsonl") >= steps + 2)) || fail "the resumed run did no step"

[[ $(listing) == "$before" ]] || fail "the run in out/run was disturbed"
if "$source/run" demo soon >"$LINNET_OUT/output" 2>&1; then fail "'./run demo soon' was accepted"; fi
says "number of minutes"
if "$source/run" soon >"$LINNET_OUT/output" 2>&1; then fail "'./run soon' was accepted"; fi
says "unknown argument 'soon'"
