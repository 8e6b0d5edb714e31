#!/usr/bin/env bash
# Runs tests with the real clients: clients_test.sh LINNET FOLDER TEST.mjs. Packages go to FOLDER. Ends with 77, which ctest
# takes as skipped, where there is no node or the packages cannot be had.
set -euo pipefail
linnet=$1 folder=$2 test=$3
source=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

skip() { echo "skipped: $*"; exit 77; }

command -v node >/dev/null && command -v npm >/dev/null || skip "there is no node and npm (Debian's nodejs and npm)"
mkdir -p "$folder"
exec 9>"$folder/lock"
flock 9
if ! cmp -s "$source/package-lock.json" "$folder/package-lock.json" || [[ ! -d $folder/node_modules ]]; then
  cp "$source/package.json" "$source/package-lock.json" "$folder"
  if ! (cd "$folder" && timeout 300 npm ci --no-audit --no-fund >npm.log 2>&1); then
    rm -f "$folder/package-lock.json"
    skip "npm could not install the clients: $(tail -n 3 "$folder/npm.log" | tr '\n' ' ')"
  fi
fi
cp "$source"/*.mjs "$folder"
flock -u 9
cd "$folder"
# Conversations go to a folder of their own, not to that of the user.
LINNET_SOURCE=$(cd "$source/../.." && pwd) XDG_DATA_HOME=$folder/data LINNET_PROGRAM=$linnet exec node --test "$test" 9>&-
