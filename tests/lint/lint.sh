#!/bin/sh
# make lint: layers, formatting, sizes, cppcheck. What a missing tool would check is said, not failed.
#
# usage: lint.sh SOURCE_DIR
set -u
cd "$1" || exit 1
status=0

python3 tests/lint/layers.py . || status=1
python3 tests/lint/sizes.py . || status=1

if command -v clang-format >/dev/null; then
	for f in $(find src zk -name '*.[ch]' -not -path '*/generated/*'); do
		clang-format --dry-run -Werror "$f" >/dev/null 2>&1 || {
			echo "$f: not formatted: clang-format -i $f"
			status=1
		}
	done
else
	echo "lint: clang-format is not installed: formatting was not checked"
fi

if command -v cppcheck >/dev/null; then
	cppcheck --quiet --std=c11 --enable=warning,portability --inline-suppr \
		--suppress=missingInclude --suppress=unknownMacro --suppress=nullPointerOutOfMemory \
		--suppress=nullPointerArithmeticOutOfMemory --suppress=autoVariables \
		--error-exitcode=1 -j2 -Isrc -I. src zk 2>&1 || status=1
else
	echo "lint: cppcheck is not installed: it was not run"
fi
exit $status
