#!/usr/bin/env bash
# Runs the commands that the documents show, so that none is shown that does not work.
#
# A fenced block marked ```sh is run; one marked ```sh no-test is not. The blocks of a document run in order, each with
# `bash -eu -o pipefail`, in one folder that has copies of the project's files, a small model in out/run and the corpus in
# out/corpus.txt; `linnet` is in the PATH. Lines that begin with ./run, ./test or ./build are left out: tests of their own
# cover them. Other names for shell blocks (bash, console ...) are refused, as they would escape the test. A picture that they
# draw under the name of one beside the document has to be that one: the same text, and numbers equal to a tenth of a pixel.
#
#   documents_test.sh prepare SOURCE_FOLDER LINNET FOLDER    makes that folder
#   documents_test.sh run FOLDER DOCUMENT                    runs a document's blocks in a copy of it
#   documents_test.sh check                                  shows that this test can fail
set -euo pipefail
fail() { echo "FAILED: $*" >&2; exit 1; }

prepare() {
  local source=$1 linnet=$2 folder=$3 part
  rm -rf "$folder"
  mkdir -p "$folder/bin" "$folder/out/build"
  for part in README.md CONTRIBUTING.md LICENSE CMakeLists.txt CMakePresets.json packages.txt run test build docs data src \
    tests bench scripts recipes examples; do
    [[ ! -e $source/$part ]] || cp -r "$source/$part" "$folder"
  done
  ln -s "$linnet" "$folder/bin/linnet"
  ln -s "$linnet" "$folder/out/build/linnet"
  cd "$folder"
  scripts/corpus.sh
  bin/linnet train --arch rwkv7 --layers 1 --width 64 --head-size 64 --data out/corpus.txt --ctx 64 --batch 2 --steps 3 \
    --out out/run --log out/run/log.jsonl
  [[ -s out/run/model.safetensors ]] || fail "training left no out/run/model.safetensors"
}

# Writes each block to be run to FOLDER/LINE.sh, LINE being where it begins; says what is wrong with a fence.
extract() {
  awk -v folder="$2" '
    function bad(what) { print FILENAME ":" NR ": " what; wrong = 1 }
    !open && match($0, /^ *```+/) {
      open = NR; indent = index($0, "`") - 1
      kind = substr($0, RLENGTH + 1)
      file = kind == "sh" ? folder "/" NR ".sh" : ""
      if (kind ~ /^(bash|shell|console|zsh|sh-session)/) bad("mark commands ```sh or ```sh no-test, not ```" kind)
      if (kind ~ /^sh / && kind != "sh no-test") bad("unknown mark ```" kind)
      next
    }
    open && /^ *```+ *$/ { if (file != "") close(file); open = 0; next }
    !open || file == "" { next }
    {
      line = $0
      for (i = 0; i < indent; ++i) sub(/^ /, "", line)
      left_out = continued ? left_out : line ~ /^\.\/(run|test|build)( |$)/
      continued = line ~ /\\$/
      if (!left_out) print line >file
    }
    END {
      if (open) { NR = open; bad("this block does not end") }
      exit wrong
    }' "$1"
}

# Whether two SVGs are the same picture.
same_picture() {
  local number='-?[0-9]+(\.[0-9]+)?'
  cmp -s <(sed -E "s/$number/0/g" "$1") <(sed -E "s/$number/0/g" "$2") &&
    paste <(grep -oE -e "$number" "$1") <(grep -oE -e "$number" "$2") |
    awk '{ off = $1 - $2; if (off > 0.11 || off < -0.11) exit 1 }'
}

run() {
  local document=$2 blocks=$work/blocks block count=0 picture pictures=0
  mkdir "$blocks"
  cp -r "$1" "$work/files"
  cd "$work/files"
  extract "$document" "$blocks" >&2 || fail "$document has blocks that cannot be run"
  for block in $(cd "$blocks" && find . -name '*.sh' | sort -t/ -k2n); do
    echo "== $document:$(basename "$block" .sh)"
    cat "$blocks/$block"
    echo "--"
    PATH=$PWD/bin:$PATH bash -eu -o pipefail "$blocks/$block" </dev/null ||
      fail "$document: the block that begins in line $(basename "$block" .sh)"
    ((++count))
  done
  for picture in *.svg; do
    [[ -e $picture && -e $(dirname "$document")/$picture ]] || continue
    same_picture "$picture" "$(dirname "$document")/$picture" ||
      fail "$document: $picture comes out different; look at it, and put it beside the document"
    ((++pictures))
  done
  echo "$document: $count blocks, $pictures pictures"
}

check() {
  local fence='```'
  mkdir -p "$work/files/bin"
  printf '#!/bin/sh\necho "linnet $*" >>ran\n' >"$work/files/bin/linnet"
  chmod +x "$work/files/bin/linnet"
  # expect WHAT CODE TEXT...: a document of these lines ends with this code
  local document=a.md
  expect() {
    local what=$1 code=$2
    shift 2
    printf '%s\n' "$@" >"$work/files/$document"
    if ("$0" run "$work/files" "$document") >"$work/output" 2>&1; then
      ((code == 0)) || fail "$what was accepted"
    else
      ((code != 0)) || fail "$what was refused: $(cat "$work/output")"
    fi
  }
  expect "no block" 0 "text"
  expect "a command that works" 0 "${fence}sh" "linnet info" "grep -q 'linnet info' ran" "$fence"
  expect "a command that fails" 1 "${fence}sh" "false" "true" "$fence"
  expect "a failure in a pipe" 1 "${fence}sh" "false | cat" "$fence"
  expect "a program that is not there" 1 "${fence}sh" "no-such-program" "$fence"
  expect "a block that is not to be run" 0 "${fence}sh no-test" "false" "$fence"
  expect "output" 0 "$fence" "false" "$fence"
  expect "blocks in one folder" 0 "${fence}sh" "echo 1 >a" "$fence" "text" "${fence}sh" "grep 1 a" "$fence"
  expect "./run, in two lines" 0 "${fence}sh" './run \' "  3 no-such-program" "./test laws" "true" "$fence"
  expect "a block in a list" 1 "1. text" "   ${fence}sh" "   false" "   $fence"
  expect "a block of another name" 1 "${fence}bash" "true" "$fence"
  expect "an unknown mark" 1 "${fence}sh notest" "true" "$fence"
  expect "a block without an end" 1 "${fence}sh" "true"
  mkdir "$work/files/d"
  document=d/a.md
  echo '<line x="1.5" y="-20"/>' >"$work/files/d/p.svg"
  expect "a picture" 0 "${fence}sh" 'cp d/p.svg .' "$fence"
  expect "one that is another by rounding" 0 "${fence}sh" "echo '<line x=\"1.6\" y=\"-20\"/>' >p.svg" "$fence"
  expect "one of other numbers" 1 "${fence}sh" "echo '<line x=\"1.8\" y=\"-20\"/>' >p.svg" "$fence"
  expect "one of other text" 1 "${fence}sh" "echo '<rect x=\"1.5\" y=\"-20\"/>' >p.svg" "$fence"
  expect "one that stands nowhere" 0 "${fence}sh" "echo '<rect/>' >q.svg" "$fence"
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$@"
