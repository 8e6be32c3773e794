#!/bin/sh
# Runs each fuzzer for a bounded number of inputs, beginning with its corpus.
#
#	smoke.sh SOURCE_DIR FUZZER...
#
# FUZZ_RUNS   how many inputs each (20000)
# FUZZ_SEED   of libFuzzer's generator (0: a new one each time)
#
# An input that crashes is left in the current folder, and named.
set -eu

source_dir=$1
shift
test $# -gt 0 || { echo "smoke.sh: no fuzzers: configure with --enable-fuzz" >&2; exit 1; }
found=$(mktemp -d)
trap 'rm -rf "$found"' EXIT
failed=0
for fuzzer in "$@"; do
	name=$(basename "$fuzzer" _fuzz)
	mkdir "$found/$name"
	if "./$fuzzer" -runs="${FUZZ_RUNS:-20000}" -seed="${FUZZ_SEED:-0}" -max_len=65536 \
	    -timeout=20 -rss_limit_mb=1024 -verbosity=0 -artifact_prefix="$name-" \
	    "$found/$name" "$source_dir/tests/fuzz/corpus/$name" >"$found/log" 2>&1; then
		echo "PASS: $name"
	else
		cat "$found/log"
		echo "FAIL: $name"
		failed=1
	fi
done
exit $failed
