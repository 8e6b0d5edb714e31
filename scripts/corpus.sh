#!/usr/bin/env bash
# Gathers the corpus that ships with linnet: its own documents and sources, and the questions and answers of
# data/howto.jsonl. Needs bash, awk and coreutils; no git.
#
#   scripts/corpus.sh [FILE]     writes FILE (default out/corpus.txt)
#
# `linnet train` holds out the last tenth of a file to validate on. For that tenth to be a fair sample, files are cut at
# line ends into blocks of some 3 KB, and blocks are put in an order that depends only on a hash of their names. A question
# stands once in each of up to three phrasings, far apart, but the phrasings of one question never stand on both sides of
# the border: validation would otherwise reward learning answers by heart. A follow-up stands after what it follows.
set -euo pipefail
root=$(realpath "$(dirname "${BASH_SOURCE[0]}")/..")
corpus=$(realpath -m "${1:-$root/out/corpus.txt}")
cd "$root"
export LC_ALL=C

# Sources are what was written by hand: no seeds of the fuzzers (bytes), no vocabularies, no licence (not our words).
sources() {
  local places=()
  for place in README.md CONTRIBUTING.md CMakeLists.txt CMakePresets.json packages.txt run test build .ci data/README.md \
    docs src tests bench web scripts recipes; do
    [[ ! -e $place ]] || places+=("$place")
  done
  find -H "${places[@]}" \( -path tests/fuzz/corpus -o -name node_modules \) -prune -o -type f \
    \( -name '*.md' -o -name '*.cc' -o -name '*.h' -o -name '*.cu' -o -name '*.sh' -o -name '*.ts' -o -name '*.css' \
    -o -name '*.html' -o -name '*.toml' -o -name 'CMake*' -o -name packages.txt -o ! -name '*.*' \) -print0 | sort -z
}

# One line a piece: unit, piece, text with each line end as \001. Pieces of one unit go to the same side of the border.
blocks() {
  sources | xargs -0 awk '
    function flush() {
      if (text != "") {
        ++count
        print name "#" count "\t" name "#" count "\t" text
      }
      text = ""
    }
    FNR == 1 { flush(); name = FILENAME; count = 0 }
    { text = text $0 "\001"; if (length(text) > 3000) flush() }
    END { flush() }'
}
questions() {
  awk '
    function fail(what) { print "corpus: data/howto.jsonl, line " NR ": " what >"/dev/stderr"; exit 1 }
    function unescaped(s,   plain, at, c) {
      plain = ""
      while ((at = index(s, "\\")) > 0) {
        c = substr(s, at + 1, 1)
        plain = plain substr(s, 1, at - 1)
        s = substr(s, at + 2)
        if (c == "n") c = "\001"
        else if (c == "t") c = " "
        else if (c != "\"" && c != "\\" && c != "/") fail("unexpected escape \\" c)
        plain = plain c
      }
      return plain s
    }
    {
      rest = $0; key = ""; id = ""; follows = ""; answer = ""; phrasings = 0
      while (match(rest, /"([^"\\]|\\.)*"/)) {
        value = unescaped(substr(rest, RSTART + 1, RLENGTH - 2))
        rest = substr(rest, RSTART + RLENGTH)
        if (rest ~ /^ *:/) key = value
        else if (key == "id") id = value
        else if (key == "follows") follows = value
        else if (key == "answer") answer = value
        else if (key == "questions") question[++phrasings] = value
      }
      if (id == "" || answer == "" || phrasings == 0) fail("needs an id, questions and an answer")
      if (follows != "" && !(follows in turn)) fail("follows " follows ", which is no pair before it")
      unit = follows == "" ? id : first[follows]  # what follows an answer repeats it: one unit
      before = follows == "" ? "" : turn[follows]
      for (i = 1; i <= phrasings && i <= 3; ++i)
        print "?" unit "\t?" id "#" i "\t" before "Question: " question[i] "\001Answer: " answer "\001\001"
      first[id] = unit
      turn[id] = before "Question: " question[1] "\001Answer: " answer "\001\001"
    }' data/howto.jsonl
}

# sort -R orders by a hash of the key, seeded by the random source: any file that never changes makes it reproducible.
shuffled() { sort -s -t $'\t' --random-source=LICENSE "$@"; }

# Marks each piece 0 (train), 1 (around the border) or 2 (held out). Whole units are held out from the end while they fit in a
# tenth; a block of source then fills the tenth and takes the border in its middle.
divided() {
  awk -F '\t' '
    { line[NR] = $0; unit[NR] = $1; size[NR] = length($0) - length($1) - length($2) - 2; total += size[NR] }
    END {
      space = int(total / 10)
      for (first = NR + 1; first > 1; first = start) {
        start = first; bytes = 0
        do bytes += size[--start]; while (start > 1 && unit[start - 1] == unit[start])
        if (bytes > space) break
        space -= bytes
      }
      for (border = first - 1; border > 1; --border)
        if (unit[border] !~ /^[?]/ && size[border] > space) break
      for (i = 1; i <= NR; ++i) print (i == border ? 1 : i < first ? 0 : 2) "\t" substr(line[i], length(unit[i]) + 2)
    }'
}

mkdir -p "$(dirname "$corpus")"
work=$(mktemp -d "$corpus.XXXXXX")
trap 'rm -rf "$work"' EXIT
{ blocks; questions; } >"$work/pieces"
shuffled -k1,1R "$work/pieces" | divided | shuffled -k1,1n -k2,2R | cut -f3- | tr -d '\n' | tr '\001' '\n' >"$work/corpus"
mv "$work/corpus" "$corpus"
awk -F '\t' -v name="${corpus#"$PWD"/}" -v bytes="$(wc -c <"$corpus")" '
  /^[?]/ { ++phrasings; sub(/#.*/, "", $2); pairs += !seen[$2]++; next }
  { ++blocks; sub(/#.*/, "", $1); files += !seen[$1]++ }
  END {
    printf "%s: %d bytes: %d files of linnet in %d blocks; %d questions in %d phrasings\n", name, bytes, files, blocks,
      pairs, phrasings
  }' "$work/pieces"
