#!/usr/bin/env python3
"""Every schema of ours says what Kafka's own schema file says.

Compares name, type, versions, nullable versions, default, tag and ignorable of every field, in
order, with the reference files in $KLAMM_REFERENCE, or in ../shared/reference beside the source
tree. Skipped where they are absent.
"""
import json
import os
import re
import sys
import unittest

sys.dont_write_bytecode = True
TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
sys.path.insert(0, os.path.join(TOP, "src", "wire", "schema"))
import generate  # noqa: E402  (the path is set above)

REFERENCE = os.path.join(
    os.environ.get("KLAMM_REFERENCE", os.path.join(TOP, "..", "shared", "reference")), "protocol")
OWN_TAGS = 10000  # and above: Klamm's
FOLDERS = ["3.9", "3.9-internal/group-coordinator", "3.9-internal/transaction-coordinator",
           "4.0-trunk-internal/storage"]


def load_reference():
    """{message name: Kafka's declaration}, the earlier folders first."""
    messages = {}
    for folder in FOLDERS:
        path = os.path.join(REFERENCE, folder)
        for name in sorted(os.listdir(path)):
            with open(os.path.join(path, name), encoding="utf-8") as file:
                text = re.sub(r"^\s*//.*$", "", file.read(), flags=re.M)
            message = json.loads(text)
            messages.setdefault(message["name"], message)
    return messages


def versions(text, outer):
    return generate.intersect(generate.parse_versions(text), outer)


def empty(pair):
    return pair[0] > pair[1]


def default_of(field):
    """Kafka's default as a plain value: None, a number, a bool or an empty thing."""
    text = field.get("default", "")
    if text is None or text == "null":
        return None
    kind = field["type"]
    if kind == "bool":
        return str(text).lower() == "true"
    if kind.startswith(("int", "uint", "float")):
        return int(str(text or "0"), 0)
    return text


def our_default(field):
    if field.default == "null":
        return None
    if field.type == "bool":
        return field.default == "true"
    if field.type.startswith(("int", "uint", "float")):
        return int(field.default or "0", 0)
    return field.default or ""


@unittest.skipUnless(os.path.isdir(REFERENCE), f"no reference schemas in {REFERENCE}")
class SchemaTest(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.reference = load_reference()
        cls.ours = {message.name: message
                    for messages in generate.load_all().values() for message in messages}

    def test_every_message_has_its_key_versions_and_flexible_versions(self):
        for name, message in self.ours.items():
            with self.subTest(name):
                theirs = self.reference[name]
                self.assertEqual(message.api_key, theirs.get("apiKey"))
                self.assertEqual(message.kind, theirs["type"])
                self.assertEqual(message.versions,
                                 generate.parse_versions(theirs["validVersions"]))
                flexible = generate.parse_versions(theirs["flexibleVersions"])
                self.assertEqual(message.flexible_since,
                                 generate.NEVER if empty(flexible) else flexible[0])

    def test_every_field_is_declared_as_kafka_declares_it(self):
        for name, message in self.ours.items():
            with self.subTest(name):
                theirs = self.reference[name]
                common = {struct["name"]: struct for struct in theirs.get("commonStructs", [])}
                self.compare(message, message.root, theirs["fields"], common, message.versions,
                             name)

    def compare(self, message, struct, fields, common, outer, where):
        kafkas = [f for f in struct.fields if f.tag is None or f.tag < OWN_TAGS]
        self.assertEqual([field.name for field in kafkas],
                         [field["name"] for field in fields], where)
        for ours, theirs in zip(kafkas, fields):
            place = f"{where}.{ours.name}"
            valid = versions(theirs["versions"], outer)
            self.assertEqual(ours.type, theirs["type"], place)
            self.assertEqual(generate.intersect(ours.versions, outer), valid, place)
            null = versions(theirs.get("nullableVersions", "none"), valid)
            self.assertEqual(empty(ours.nullable), empty(null), place)
            if not empty(null):
                self.assertEqual(generate.intersect(ours.nullable, outer), null, place)
            self.assertEqual(our_default(ours), default_of(theirs), place)
            self.assertEqual(ours.ignorable,
                             str(theirs.get("ignorable", "false")).lower() == "true", place)
            self.assertEqual(ours.tag, theirs.get("tag"), place)
            if ours.tag is not None:
                self.assertEqual(versions(theirs["taggedVersions"], outer), valid, place)
            self.assertEqual(ours.inflexible, theirs.get("flexibleVersions") == "none", place)
            if ours.struct is not None:
                inner = theirs.get("fields") or common[ours.item]["fields"]
                self.compare(message, ours.struct, inner, common, valid, place)

    def test_what_is_our_own_says_so_by_name_and_tag_and_is_never_sent_unasked(self):
        own = [field for message in self.ours.values() for struct in message.all_structs()
               for field in struct.fields if field.tag is not None and field.tag >= OWN_TAGS]
        self.assertNotEqual(own, [])
        for field in own:
            self.assertTrue(field.name.startswith("Klamm"), field.name)
            self.assertTrue(field.default == "null" or not generate.sets_default(field))
        for message in self.ours.values():
            for struct in message.all_structs():
                for field in struct.fields:
                    if field.name.startswith("Klamm"):
                        self.assertIn(field, own)

    def test_all_that_a_zookeeper_broker_serves_is_declared(self):
        for name, theirs in self.reference.items():
            if "zkBroker" in theirs.get("listeners", []):
                self.assertIn(name, self.ours)
                self.assertIn(name.replace("Request", "Response"), self.ours)

    def test_all_records_of_the_internal_topics_are_declared(self):
        for folder in FOLDERS[1:3]:
            for file in os.listdir(os.path.join(REFERENCE, folder)):
                if not file.startswith("Share"):
                    self.assertIn(file[:-5], self.ours)


if __name__ == "__main__":
    if not os.path.isdir(REFERENCE):
        print(f"SKIPPED: no reference schemas in {REFERENCE} (KLAMM_REFERENCE names another place)")
        sys.exit(77)
    unittest.main()
