#!/usr/bin/env python3
"""Lists what grew: files over 1000 lines (an error) and functions over 100 lines."""
import re
import sys
from pathlib import Path

FILE_LINES_MAX = 1000
FUNCTION_LINES = 100


def functions(lines):
    """(name, first line, length) of each function: a name at column 0 and its closing brace."""
    name, start = None, 0
    for number, line in enumerate(lines, 1):
        m = re.match(r"([a-z_]\w*)\(", line)
        if m:
            name, start = m.group(1), number
        elif line == "}" and name:
            yield name, start, number - start + 1
            name = None


def main(top):
    too_long = 0
    for room in ("src", "zk"):
        for path in sorted((top / room).rglob("*.[ch]")):
            if "generated" in path.parts:
                continue
            lines = path.read_text().splitlines()
            if len(lines) > FILE_LINES_MAX:
                print(f"{path.relative_to(top)}: {len(lines)} lines: look for the second module")
                too_long += 1
            for name, start, length in functions(lines):
                if length > FUNCTION_LINES:
                    print(f"{path.relative_to(top)}:{start}: {name}() has {length} lines")
    return 1 if too_long else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else ".")))
