#!/usr/bin/env python3
"""Writes what lists settings, APIs, errors, metrics, locks and folders, from the tables that the
code is made of: manual pages from their .in files, and the sample server.properties.

usage: tables.py page SOURCE_DIR FILE.in      the page, each line @NAME@ replaced by its table
       tables.py properties SOURCE_DIR        the sample server.properties
"""
import re
import sys
from pathlib import Path

ITEM = r'"(?:[^"\\]|\\.)*"|[^,"]+'
BROKER = ["name", "key", "type", "default", "min", "max", "words", "unit", "scope", "effect",
          "hidden", "text"]
TOPIC = ["name", "key", "type", "default", "min", "max", "words", "unit", "effect", "fallback",
         "text"]
SCOPES = {"CONF_READ_ONLY": "at start only", "CONF_PER_BROKER": "while running, per broker",
          "CONF_PER_LISTENER": "while running, per listener",
          "CONF_CLUSTER_WIDE": "while running, per broker or for all"}
EFFECTS = {"CONF_NOT_YET": "No effect yet.", "CONF_JVM_ONLY": "Belongs to the JVM: ignored.",
           "CONF_KRAFT_ONLY": "KRaft only: ignored.", "CONF_NEUTRAL": "Accepted; nothing to tune.",
           "CONF_IN_USE": ""}
# What a first broker must have; everything else of the sample is commented out.
SAMPLE = {"zookeeper.connect": "localhost:2181", "log.dirs": "/var/lib/klamm",
          "listeners": "PLAINTEXT://localhost:9092"}


def calls(path, *names):
    """The entries NAME(item, item, ...) of a .def file: (NAME, items) with strings unquoted."""
    text = re.sub(r"/\*.*?\*/|^#.*?$", "", Path(path).read_text(), flags=re.S | re.M)
    entry = re.compile(r"(%s)\(((?:%s|,|\s)*?)\)\s*(?=[A-Z_]+\(|\Z)" % ("|".join(names), ITEM))
    for match in entry.finditer(text):
        items = (item.strip() for item in re.findall(ITEM, match.group(2)))
        yield match.group(1), [i[1:-1] if i.startswith('"') else i for i in items if i]


def settings(path, fields):
    """The CONF entries of a .def file, as dictionaries that know their section."""
    section = ""
    for name, items in calls(path, "SECTION", "CONF"):
        if name == "SECTION":
            section = items[0]
            continue
        if len(items) != len(fields):
            sys.exit(f"{path}: cannot read the entry of {items[:2]}")
        yield dict(zip(fields, items), section=section)


def default(entry):
    return "" if entry["default"] == "NULL" else entry["default"]


def properties(source):
    print("# server.properties for klammd: every setting that has an effect, with its default.\n"
          "# The keys are Kafka's; server.properties(5) lists them all. Uncomment to change.")
    section = None
    for e in settings(source / "src/base/broker.def", BROKER):
        if e["effect"] != "CONF_IN_USE" or e["hidden"] == "true":
            continue
        if e["section"] != section:
            section = e["section"]
            print(f"\n## {section}")
        unit = f" ({e['unit']})" if e["unit"] else ""
        line = f"#{e['key']}={default(e)}"
        if e["key"] in SAMPLE:
            line = f"{e['key']}={SAMPLE[e['key']]}"
        print(f"\n# {e['text']}{unit}\n{line}")


# Tables of manual pages: each a list of lines.

def escape(text):
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\\&" + text if text[:1] in (".", "'") else text


def setting(e, extra):
    parts = [e["type"].lower()]
    if e["words"] != "NULL":
        parts.append("one of " + e["words"].replace("|", ", "))
    if e["unit"]:
        parts.append("in " + e["unit"])
    parts.append("default " + (default(e) or "none"))
    facts = escape("; ".join(parts + extra)) + "."
    return [".TP", f".B {escape(e['key'])}", escape(e["text"]), ".br",
            f"{facts} {EFFECTS[e['effect']]}".rstrip()]


def broker_settings(source):
    section = None
    for e in settings(source / "src/base/broker.def", BROKER):
        if e["section"] != section:
            section = e["section"]
            yield f".SS {escape(section)}"
        yield from setting(e, [SCOPES[e["scope"]]])


def topic_settings(source):
    for e in settings(source / "src/base/topic.def", TOPIC):
        yield from setting(e, ["else " + e["fallback"].replace(",", ", ")] if e["fallback"] else [])


def table(form, head, rows):
    yield from [".TS", form + ".", "\t".join(f"\\fB{h}\\fR" for h in head)]
    for row in rows:
        *first, last = map(escape, row)
        yield "\t".join([*first, "T{"])
        yield from [last or "\\&", "T}"]
    yield ".TE"


def apis(source):
    requests = {}
    for schema in (source / "src/wire/schema").glob("*.schema"):
        for key, name in re.findall(r"^request (\d+) (\w+) ", schema.read_text(), re.M):
            requests[key] = name
    return table("r l l lx", ["key", "API", "versions", "operation, resource"],
                 ((key, requests[key], f"{low}-{high}", operation)
                  for _, (key, _, low, high, _, operation)
                  in calls(source / "src/api/api.def", "API")))


def errors(source):
    return table("r l l lx", ["code", "name", "retry", "meaning"],
                 ((code, name, "yes" if kind == "KERR_RETRIABLE" else "", text)
                  for kind, (code, name, text)
                  in calls(source / "src/wire/kerr.def", "KERR", "KERR_RETRIABLE")))


def metrics(source):
    for _, (_, name, kind, labels, text) in calls(source / "src/base/metrics.def", "METRIC"):
        kind = kind.replace("METRIC_", "").lower()
        label = "labels " if "," in labels else "label "
        by = "; " + label + labels.replace(",", ", ") if labels else ""
        yield from [".TP", f".B {name}", escape(text), ".br", f"{kind}{by}."]


def locks(source):
    return table("l lx", ["lock", "guards"],
                 (items for _, items in calls(source / "src/base/locks.def", "LOCK")))


def layers(source):
    folders = (line.split() for line in (source / "src/LAYERS").read_text().splitlines()
               if line and not line.startswith("#"))
    return table("r lx", ["layer", "folder"], folders)


TABLES = {"@BROKER_SETTINGS@": broker_settings, "@TOPIC_SETTINGS@": topic_settings, "@APIS@": apis,
          "@ERRORS@": errors, "@METRICS@": metrics, "@LOCKS@": locks, "@LAYERS@": layers}


def page(source, path):
    for line in Path(path).read_text().splitlines():
        if line in TABLES:
            lines = list(TABLES[line](source))
            if len(lines) < 4:
                sys.exit(f"{path}: {line} is empty")
            print("\n".join(lines))
        else:
            print(line)


if __name__ == "__main__":
    if len(sys.argv) == 4 and sys.argv[1] == "page":
        page(Path(sys.argv[2]), sys.argv[3])
    elif len(sys.argv) == 3 and sys.argv[1] == "properties":
        properties(Path(sys.argv[2]))
    else:
        sys.exit(__doc__)
