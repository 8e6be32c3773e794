# Sourced by tests/run.sh and .ci/run: counts into $passed and $failed, and shows what failed.
passed=${passed:-0}
failed=${failed:-0}

# count_check BUILD_DIR: what `make check` left behind, test by test.
count_check() {
	local trs log ok bad result
	for trs in $(find "$1" -name '*.trs'); do
		log=${trs%.trs}.log
		result=$(sed -n 's/^:global-test-result: //p' "$trs")
		ok=$(grep -c '^\[       OK \]' "$log")
		bad=$(grep '^\[  FAILED  \] [a-z_]*$' "$log" | sort -u | wc -l)
		if [ "$ok" = 0 ] && [ "$result" = PASS ]; then ok=1; fi
		if [ "$bad" = 0 ] && [ "$result" != PASS ] && [ "$result" != SKIP ]; then bad=1; fi
		passed=$((passed + ok))
		failed=$((failed + bad))
		if [ "$bad" != 0 ]; then
			echo "FAILED: $log"
			tail -40 "$log"
		fi
	done
}

# count_pytest FILE: pytest's last line.
count_pytest() {
	local line ok bad
	line=$(grep -E '(passed|failed|error)' "$1" | tail -1)
	ok=$(echo "$line" | grep -oE '[0-9]+ passed' | cut -d' ' -f1)
	bad=$(echo "$line" | grep -oE '[0-9]+ (failed|errors?)' | awk '{n += $1} END {print n + 0}')
	if [ -z "$ok" ] && [ "$bad" = 0 ]; then bad=1; fi
	passed=$((passed + ${ok:-0}))
	failed=$((failed + bad))
	[ "$bad" = 0 ] || tail -80 "$1"
	echo "$line"
}

# count_step NAME COMMAND...: one thing that works or does not.
count_step() {
	local name=$1
	shift
	if "$@" >step.out 2>&1; then
		passed=$((passed + 1))
		echo "ok: $name"
	else
		failed=$((failed + 1))
		echo "FAILED: $name"
		tail -40 step.out
	fi
}
