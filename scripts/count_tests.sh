#!/usr/bin/env bash
# Reads the results that ctest --output-junit wrote: lists what was skipped and why, then what failed, and ends with the line
# `N passed, N failed` or `N passed, N failed, N skipped`. The exit code is 0 if something passed and nothing failed.
#
#   scripts/count_tests.sh RESULTS.xml
set -euo pipefail

awk '
  function decoded(text) {
    gsub(/&lt;/, "<", text); gsub(/&gt;/, ">", text); gsub(/&quot;/, "\"", text); gsub(/&apos;/, "\x27", text)
    gsub(/&amp;/, "\\&", text)
    return text
  }
  function attribute(name) {
    if (!match($0, " " name "=\"[^\"]*\"")) return ""
    return decoded(substr($0, RSTART + length(name) + 3, RLENGTH - length(name) - 4))
  }
  # A gtest program prints "file:line: Skipped" and then the reason; a script prints "skipped: reason".
  function note(line) {
    if (after_skip && reason == "") { reason = line; after_skip = 0 }
    if (line ~ /: Skipped$/) after_skip = 1
    if (line ~ /^skipped: /) reason = substr(line, 10)
    if (line ~ /\[  FAILED  \]/) failed_inside = 1
  }
  function finish() {
    # ctest takes a test that says "skipped" for one that was, even if it said "failed" as well.
    if (status == "run") ++passed
    else if ((status == "notrun" && skipped && !failed_inside) || status == "disabled")
      skips[++skip_count] = name ": " (status == "disabled" ? "switched off" : reason == "" ? "no reason given" : reason)
    else failures[++failure_count] = name (why == "" ? "" : ": " why)
  }
  /<testcase / {
    name = attribute("name"); status = attribute("status")
    sub(/ +# GetParam.*/, "", name)  # which gtest adds for a parameter that has no text
    reason = why = ""
    skipped = failed_inside = after_skip = 0
    inside = 1
    if ($0 ~ /\/>$/) { finish(); inside = 0 }
    next
  }
  !inside { next }
  /<skipped / { skipped = attribute("message") ~ /^SKIP_/; why = attribute("message") }
  /<failure/ { why = attribute("message") }
  /<\/testcase>/ { finish(); inside = 0; next }
  { line = $0; sub(/^[ \t]*<system-out>/, "", line); note(decoded(line)) }
  END {
    if (skip_count) print "Skipped:"
    for (i = 1; i <= skip_count; ++i) print "  " skips[i]
    if (failure_count) print "Failed:"
    for (i = 1; i <= failure_count; ++i) print "  " failures[i]
    printf "%d passed, %d failed%s\n", passed, failure_count, skip_count ? ", " skip_count " skipped" : ""
    exit !(passed > 0 && failure_count == 0)
  }' "$1"
