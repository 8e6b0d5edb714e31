#!/usr/bin/env bash
# Training that is killed, stopped or starved of disk goes on as if nothing had happened: the law of resuming, on the
# real program. Moments are random, and printed where something fails.
#
#   resume_test.sh LINNET
set -euo pipefail
linnet=$1
work=$(mktemp -d)
trap 'kill -9 $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
fail() { echo "FAILED: $*" >&2; exit 1; }

awk 'BEGIN { srand(1); for (i = 0; i < 900; ++i) { for (k = 0; k < 9; ++k) printf "%c", 97 + int(8 * rand()); print "" } }' >text
steps=400
# train OUT: starts a run, or goes on with it once it has a checkpoint
train() {
  local out=$1
  if compgen -G "$out/checkpoint-*.safetensors" >/dev/null; then
    "$linnet" train --resume --out "$out"
  else
    "$linnet" train --data text --out "$out" --layers 1 --width 32 --head-size 16 --ctx 16 --batch 2 --threads 1 \
      --precision bf16 --accumulate 2 --ema 0.99 --dropout 0.1 --schedule wsd --val-every 50 --steps $steps \
      --save-every 7
  fi >"$out.out" 2>&1
}
# Steps and losses of a run, without the times.
losses() { sed -E 's/"(tokens_per_s|seconds)":[^,}]*,?//g' "$1/log.jsonl"; }
# same A B: these runs came to the same
same() {
  cmp "$1/model.safetensors" "$2/model.safetensors" || fail "the weights of $1 and $2 differ; $kills"
  cmp "$1/model-ema.safetensors" "$2/model-ema.safetensors" || fail "the averages of $1 and $2 differ; $kills"
  diff <(losses "$1") <(losses "$2") >&2 || fail "the losses of $1 and $2 differ; $kills"
}

kills="nothing was killed"
SECONDS=0
train straight || fail "a run: $(cat straight.out)"
[[ $(losses straight | wc -l) == "$steps" ]] || fail "the log has not $steps lines"
echo "an undisturbed run takes $SECONDS s"

# Twenty times kill -9. A run that comes to its end before is compared, and another one begins.
kills="killed after (ms):"
run=1
for ((kill = 0; kill < 20;)); do
  train "killed$run" & child=$!
  ms=$((150 + RANDOM % 700))
  sleep "$(printf '%d.%03d' $((ms / 1000)) $((ms % 1000)))"
  if pkill -9 -P "$child"; then  # all that the shell of train() has started
    kill=$((kill + 1))
    kills+=" $ms"
    wait "$child" 2>/dev/null || true
  else
    wait "$child" || fail "$(cat "killed$run.out")"
    [[ -e killed$run/model.safetensors ]] || continue
    same straight "killed$run"
    run=$((run + 1))
  fi
done
train "killed$run" || fail "after $kills: $(cat "killed$run.out")"
same straight "killed$run"
echo "$kills"

# A file that may not grow: the run says so and leaves no half of a checkpoint.
if (ulimit -f 8; "$linnet" train --data text --out starved --layers 1 --width 32 --head-size 16 --ctx 16 --batch 2 \
  --steps 20 --save-every 5 >starved.out 2>&1); then
  fail "a run without room for its checkpoint ended well"
fi
grep -q "starved/checkpoint-5.*writing failed: File too large; nothing was changed" starved.out || fail "$(cat starved.out)"
! compgen -G "starved/checkpoint-*" >/dev/null || fail "half a checkpoint: $(ls starved)"

# A disk that is full, where one may be made.
mkdir disk
if mount -t tmpfs -o size=4m tmpfs disk 2>/dev/null; then
  trap 'kill -9 $(jobs -p) 2>/dev/null || true; umount "$work/disk"; rm -rf "$work"' EXIT
  run_on_disk() {
    "$linnet" train --data text --out disk/run --layers 1 --width 32 --head-size 16 --ctx 16 --batch 2 --threads 1 \
      --steps 1000 --save-every 20 >disk.out 2>&1
  }
  "$linnet" train --data text --out roomy --layers 1 --width 32 --head-size 16 --ctx 16 --batch 2 --threads 1 --steps 1000 \
    --save-every 20 >roomy.out 2>&1
  (for ((i = 0; i < 1000; ++i)); do [[ ! -e disk/run/model.safetensors ]] || break; sleep 0.01; done
   head -c 4m /dev/zero >disk/filler 2>/dev/null) & filler=$!
  if run_on_disk; then
    echo "the disk was not full in time"
  else
    grep -qE "writing failed|the disk has|No space left" disk.out || fail "$(cat disk.out)"
    wait "$filler" || true
    rm disk/filler
    "$linnet" train --resume --out disk/run >disk.out 2>&1 || fail "after the disk was full: $(cat disk.out)"
    cmp roomy/model.safetensors disk/run/model.safetensors || fail "the weights differ after a full disk"
    echo "a full disk stopped the run, which went on when there was room"
  fi
fi

# Two runs in one folder.
"$linnet" train --data text --out twice --layers 1 --width 32 --head-size 16 --ctx 16 --batch 2 --steps 1000000 \
  >twice.out 2>&1 & first=$!
until [[ -s twice/log.jsonl ]]; do sleep 0.05; done
if "$linnet" train --resume --out twice 2>second.out; then fail "two runs in one folder"; fi
grep -q "another run is training here" second.out || fail "$(cat second.out)"
kill -TERM $first
if wait $first; then fail "a run that was stopped ended with 0"; fi
[[ -e twice/model.safetensors ]] || fail "nothing was saved on SIGTERM"
echo "all in $SECONDS s"
