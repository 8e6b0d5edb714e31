#!/usr/bin/env bash
# The last line of ./test counts what really happened: a real ctest runs made-up tests, and scripts/count_tests.sh reads its results.
#
#   results_test.sh SOURCE_FOLDER
set -euo pipefail
count=$(realpath "$1")/scripts/count_tests.sh
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# A test is a name and what it prints or does; it is skipped as gtest's are, by what it prints.
tests() {
  rm -f CTestTestfile.cmake
  while (($#)); do
    printf 'add_test(%s sh -c [=[%s]=])\n' "$1" "$2" >>CTestTestfile.cmake
    printf 'set_tests_properties(%s PROPERTIES SKIP_REGULAR_EXPRESSION "\\\\[  SKIPPED \\\\]")\n' "$1" >>CTestTestfile.cmake
    shift 2
  done
}
# expect CODE LAST_LINE [TEXT...]: what count_tests.sh answers for the tests as they are
expect() {
  local code=0
  ctest --output-junit "$work/results.xml" >/dev/null 2>&1 || true
  "$count" results.xml >output || code=$?
  if [[ $code != "$1" || $(tail -n 1 output) != "$2" ]]; then
    echo "FAILED: wanted '$2' and code $1, got code $code and:" >&2
    cat output >&2
    exit 1
  fi
  shift 2
  for text in "$@"; do grep -qF -- "$text" output || { echo "FAILED: no '$text' in: $(cat output)" >&2; exit 1; }; done
}

tests a.one true a.two 'echo "<&> \"quoted\""'
expect 0 "2 passed, 0 failed"
tests a.one true a.two false a.three 'kill -SEGV $$'
expect 1 "1 passed, 2 failed" "  a.two" "  a.three"
tests a.one true b.skipped 'echo "file.cc:7: Skipped"; echo "no golden data in <x> & y"; echo "[  SKIPPED ] b (0 ms)"'
expect 0 "1 passed, 0 failed, 1 skipped" "  b.skipped: no golden data in <x> & y"
tests a.one true b.both 'echo "[  FAILED  ] b.one"; echo "[  SKIPPED ] b.two"; exit 1'
expect 1 "1 passed, 1 failed" "  b.both"
tests b.skipped 'echo "[  SKIPPED ] b"'
expect 1 "0 passed, 0 failed, 1 skipped" "  b.skipped: no reason given"
tests a.one true
echo 'add_test(a.missing /no/such/program)' >>CTestTestfile.cmake
echo 'add_test(a.off true)' >>CTestTestfile.cmake
echo 'set_tests_properties(a.off PROPERTIES DISABLED TRUE)' >>CTestTestfile.cmake
expect 1 "1 passed, 1 failed, 1 skipped" "  a.missing" "  a.off: switched off"
