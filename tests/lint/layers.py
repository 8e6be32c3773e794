#!/usr/bin/env python3
"""Holds every #include to src/LAYERS: a folder includes itself and folders of lower number only.

The files that decide (controller_state, groups, fetch sessions, producer ids) include base and wire alone.
"""
import re
import sys
from pathlib import Path

DECIDING = {
    "src/controller/controller_state.c", "src/controller/controller_flush.c",
    "src/controller/controller_state.h", "src/controller/controller_model.h",
    "src/replica/fencing.c", "src/replica/fencing.h",
    "src/replica/isr.c", "src/replica/isr.h",
    "src/replica/truncation.c", "src/replica/truncation.h",
    "src/controller/controller_asked.c", "src/controller/controller_deletion.c",
    "src/controller/controller_elections.c",
    "src/replica/fetch_session.c", "src/replica/fetch_session.h",
    "src/group/group.c", "src/group/group.h", "src/group/group_internal.h",
    "src/group/group_join.c", "src/group/group_sync.c", "src/group/group_members.c",
    "src/group/group_offsets.c", "src/group/group_offsets.h", "src/group/group_memory.h",
    "src/group/group_records.c", "src/group/group_records.h",
    "src/txn/producer_ids.c", "src/txn/producer_ids.h",
}
PURE_ROOMS = {"src/base", "src/wire"}


def read_layers(top):
    layers = {}
    for line in (top / "src/LAYERS").read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            number, folder = line.split()
            layers[folder] = int(number)
    return layers


def room_of_include(name, layers):
    head = name.split("/")[0]
    if f"src/{head}" in layers:
        return f"src/{head}"
    return head if head in layers else None


def check(top):
    layers = read_layers(top)
    mistakes = []
    for room in layers:
        for path in sorted((top / room).rglob("*.[ch]")):
            name = str(path.relative_to(top))
            for number, line in enumerate(path.read_text().splitlines(), 1):
                m = re.match(r'#include "([^"]+)"', line)
                target = m and room_of_include(m.group(1), layers)
                if not target or target == room:
                    continue
                if layers[target] >= layers[room]:
                    mistakes.append(f"{name}:{number}: {room} (layer {layers[room]}) may not "
                                    f"include {target} (layer {layers[target]})")
                elif name in DECIDING and target not in PURE_ROOMS:
                    mistakes.append(f"{name}:{number}: a file that decides includes {target}")
    return mistakes


if __name__ == "__main__":
    found = check(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
    print("\n".join(found) if found else "layers: every include goes downwards")
    sys.exit(1 if found else 0)
