#!/usr/bin/env python3
"""Writes, from broker.def and topic.def, what lists settings: the sample server.properties and the
tables of server.properties(5). One source for code and documents.

usage: sample.py properties|man BROKER_DEF [TOPIC_DEF]
"""
import re
import sys

STRING = r'"((?:[^"\\]|\\.)*)"'


def parse(path, fields):
    """The SECTION and CONF lines of a .def file, as dictionaries."""
    text = re.sub(r"/\*.*?\*/", "", open(path).read(), flags=re.S)
    section = ""
    for m in re.finditer(r'SECTION\(' + STRING + r'\)|CONF\((.*?)\)\s*(?=CONF\(|SECTION\(|\Z)',
                         text, re.S):
        if m.group(1) is not None:
            section = m.group(1)
            continue
        values = [v.strip() for v in re.findall(r'\s*("(?:[^"\\]|\\.)*"|[^,"]+)', m.group(2)) if v.strip()]
        entry = dict(zip(fields, (v[1:-1] if v.startswith('"') else v for v in values)))
        entry["section"] = section
        yield entry


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


def default(entry):
    return "" if entry["default"] == "NULL" else entry["default"]


def properties(broker_def):
    print("# server.properties for klammd: every setting that has an effect, with its default.\n"
          "# The keys are Kafka's; server.properties(5) lists them all. Uncomment to change.\n")
    section = None
    for e in parse(broker_def, BROKER):
        if e["effect"] != "CONF_IN_USE" or e["hidden"] == "true":
            continue
        if e["section"] != section:
            section = e["section"]
            print(f"\n## {section}\n")
        unit = f" ({e['unit']})" if e["unit"] else ""
        print(f"# {e['text']}{unit}\n#{e['key']}={default(e)}\n")


def escape(text):
    return text.replace("\\", "\\e").replace("-", "\\-")


def man_entry(e, extra):
    print(f".TP\n.B {escape(e['key'])}\n{escape(e['text'])}\n.br")
    parts = [e["type"].lower()]
    if e["words"] != "NULL":
        parts.append("one of " + e["words"].replace("|", ", "))
    if e["unit"]:
        parts.append("in " + e["unit"])
    parts.append("default " + (default(e) or "none"))
    print(escape("; ".join(parts + extra)) + ".", escape(EFFECTS[e["effect"]]))


def man(broker_def, topic_def):
    section = None
    for e in parse(broker_def, BROKER):
        if e["section"] != section:
            section = e["section"]
            print(f".SS {escape(section)}")
        man_entry(e, [SCOPES[e["scope"]]])
    print(".SH TOPIC SETTINGS\nStored in the ensemble with each topic; what a topic does not set "
          "is taken from the broker's settings in brackets.")
    for e in parse(topic_def, TOPIC):
        man_entry(e, [f"[{e['fallback'].replace(',', ', ')}]"] if e["fallback"] else [])


if __name__ == "__main__":
    if sys.argv[1] == "properties":
        properties(sys.argv[2])
    else:
        man(sys.argv[2], sys.argv[3])
