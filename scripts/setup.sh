#!/usr/bin/env bash
# Installs the Debian packages that packages.txt lists in the named sections and this machine lacks.
# Where all are present it prints nothing and needs neither root nor a network.
#
#   scripts/setup.sh build [test] [clang]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

mapfile -t wanted < <(awk -v sections=" $* " '
  { sub(/#.*/, "") }
  /^\[/ { name = $1; gsub(/[][]/, "", name); on = index(sections, " " name " "); next }
  on && NF { print $1 }' packages.txt)

if ! command -v dpkg-query >/dev/null; then
  echo "setup: this is not a Debian system, so packages are not checked. linnet needs the equivalents of: ${wanted[*]}" >&2
  exit 0
fi

# A package counts as present in any architecture; dpkg-query complains about the ones it has never heard of.
present=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${wanted[@]}" 2>/dev/null || true)
missing=()
for package in "${wanted[@]}"; do
  grep -qxF "installed $package" <<<"$present" || missing+=("$package")
done
((${#missing[@]})) || exit 0

remedy="As root, run:
  apt-get update && apt-get install --no-install-recommends ${missing[*]}"
as_root=()
if ((EUID != 0)); then
  if ! command -v sudo >/dev/null; then
    echo "setup: these Debian packages are missing, and there is no sudo to install them with: ${missing[*]}" >&2
    echo "$remedy" >&2
    exit 1
  fi
  as_root=(sudo)
fi

mkdir -p out
log=out/setup.log
echo "Installing ${#missing[@]} Debian packages (log: $log): ${missing[*]}"
apt() {
  # A prompt would wait for an answer that nobody gives; another apt may hold the lock for a while.
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 \
    -o Dpkg::Options::=--force-confold "$@" </dev/null >>"$log" 2>&1
}
: >"$log"
# An update that fails in part (one mirror of several) may still be enough, so only the installation decides.
apt update || true
if ! apt install --no-install-recommends "${missing[@]}"; then
  tail -n 15 "$log" >&2
  echo "setup: could not install ${missing[*]} (see above and $log: no network, or not allowed to?)" >&2
  echo "$remedy" >&2
  exit 1
fi
