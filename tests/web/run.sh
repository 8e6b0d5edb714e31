#!/usr/bin/env bash
# The page in a real browser: its logic, the chat and the other pages against mock.mjs, and a conversation
# with a real linnet.
# It is skipped, saying why, where there is no chromium or npm cannot have the packages.
#
#   run.sh BUILD_FOLDER LINNET
set -euo pipefail
build=$(realpath "$1")
LINNET_PROGRAM=$(realpath "$2")
export LINNET_PROGRAM LINNET_PAGE=$build/web/page
cd "$(dirname "${BASH_SOURCE[0]}")"

skip() {
  echo "skipped: $*"
  exit 77
}
command -v node >/dev/null || skip "there is no node (Debian's package nodejs)"
[[ ! -f $build/web/without-page ]] || skip "the page was not built: $(<"$build/web/without-page")"
LINNET_CHROMIUM=$(command -v chromium || command -v chromium-browser || command -v google-chrome) ||
  skip "there is no chromium (Debian's package of that name)"
export LINNET_CHROMIUM
# The page's own packages are there unless somebody removed them after the build.
for folder in . ../../web; do
  if [[ ! $folder/node_modules/.package-lock.json -nt $folder/package-lock.json ]]; then
    npm ci --prefix "$folder" --ignore-scripts --no-audit --no-fund --fetch-retries=1 >"$build/web/npm.log" 2>&1 ||
      skip "npm cannot have the packages: $(head -n 1 "$build/web/npm.log")"
  fi
done

node_modules/.bin/tsc -p ../../web
node --test ./*.test.mjs
