#!/usr/bin/env python3
"""Makes C structs and field tables of the message schemas beside this file.

    generate.py OUTPUT_DIR       write NAME.h and NAME.c for each NAME.schema, and api_table.c
    generate.py --list           print the names of what would be written, one per line

Only files whose content changes are written. The notation is told in README. Needs nothing but
Python 3's standard library.
"""
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
NEVER = 127  # INT8_MAX: a version that no message reaches

PRIMITIVES = {  # type -> (C type, enum, fewest bytes on the wire)
    "bool": ("bool", "WIRE_BOOL", 1),
    "int8": ("int8_t", "WIRE_INT8", 1),
    "int16": ("int16_t", "WIRE_INT16", 2),
    "uint16": ("uint16_t", "WIRE_UINT16", 2),
    "int32": ("int32_t", "WIRE_INT32", 4),
    "uint32": ("uint32_t", "WIRE_UINT32", 4),
    "int64": ("int64_t", "WIRE_INT64", 8),
    "float64": ("double", "WIRE_FLOAT64", 8),
    "uuid": ("struct uuid", "WIRE_UUID", 16),
    "string": ("struct str", "WIRE_STRING", 1),
    "bytes": ("struct slice", "WIRE_BYTES", 1),
    "records": ("struct wire_records", "WIRE_RECORDS", 1),
}


class SchemaError(Exception):
    """A line that does not follow the notation."""


# ---- reading the notation ----------------------------------------------------------------------


def parse_versions(text):
    """"3", "3-5", "3+" or "none" as an inclusive pair; (1, 0) is no version at all."""
    if text == "none":
        return (1, 0)
    match = re.fullmatch(r"(\d+)(?:(\+)|-(\d+))?", text)
    if match is None:
        raise SchemaError(f"not a range of versions: {text}")
    first = int(match[1])
    if match[2]:
        return (first, NEVER)
    return (first, int(match[3]) if match[3] else first)


def intersect(a, b):
    return (max(a[0], b[0]), min(a[1], b[1]))


class Field:
    """One field of a message or of a struct in it."""

    def __init__(self, words, outer):
        self.name, self.type = words[0], words[1]
        self.is_array = self.type.startswith("[]")
        self.item = self.type[2:] if self.is_array else self.type
        self.versions = outer
        self.nullable = (1, 0)
        self.default = None
        self.ignorable = False
        self.tag = None
        self.inflexible = False
        self.struct = None  # set for struct types
        rest = words[2:]
        if rest and rest[0][0].isdigit():
            self.versions = intersect(parse_versions(rest.pop(0)), outer)
        while rest:
            self._attribute(rest)

    def _attribute(self, rest):
        word = rest.pop(0)
        if word == "nullable":
            self.nullable = intersect(parse_versions(rest.pop(0)), self.versions)
        elif word == "default":
            self.default = rest.pop(0)
        elif word == "tag":
            self.tag = int(rest.pop(0))
        elif word in ("ignorable", "inflexible"):
            setattr(self, word, True)
        else:
            raise SchemaError(f"unknown attribute {word} of {self.name}")

    @property
    def may_be_null(self):
        return self.nullable[0] <= self.nullable[1]


class Struct:
    """A struct of fields: a message's root or one inside it."""

    def __init__(self, name, versions):
        self.name = name
        self.versions = versions
        self.fields = []


class Message:
    """A request, response, data record or header, with the structs it is made of."""

    def __init__(self, words, comment):
        self.kind = words.pop(0)
        self.comment = comment
        self.api_key = int(words.pop(0)) if self.kind in ("request", "response") else None
        self.api_name = words.pop(0)
        self.name = self.api_name
        if self.api_key is not None:
            self.name += self.kind.capitalize()
        self.versions = parse_versions(words.pop(0))
        if words.pop(0) != "flexible" or len(words) != 1:
            raise SchemaError("expected: flexible VERSIONS")
        flexible = parse_versions(words[0])
        self.flexible_since = flexible[0] if flexible[0] <= flexible[1] else NEVER
        self.root = Struct(self.name, self.versions)
        self.structs = {}  # by name, in the order of declaration

    def resolve(self):
        """Ties fields to structs that are declared elsewhere in the message."""
        for struct in [self.root, *self.structs.values()]:
            for field in struct.fields:
                if field.item in PRIMITIVES:
                    continue
                if field.item not in self.structs:
                    raise SchemaError(f"{self.name}: no struct {field.item}")
                field.struct = self.structs[field.item]

    def all_structs(self):
        """Inner structs first, so that C knows what it embeds; the root last."""
        order = []

        def visit(struct):
            for field in struct.fields:
                if field.struct is not None and field.struct not in order:
                    visit(field.struct)
            order.append(struct)

        visit(self.root)
        return order


def read_lines(path):
    """Yields (line number, depth, words, comment lines before it)."""
    comment = []
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            text = line.split("#", 1)[0].rstrip()
            if not text:
                comment = comment + [line.strip("# \n")] if line.startswith("#") else []
                continue
            depth = len(text) - len(text.lstrip("\t"))
            yield number, depth, text.split(), comment
            comment = []


def parse_schema(path):
    """The messages of one .schema file."""
    messages = []
    stack = []  # the struct that each depth's lines belong to
    for number, depth, words, comment in read_lines(path):
        try:
            if depth == 0:
                message = Message(words, " ".join(comment))
                messages.append(message)
                stack = [message.root]
                continue
            if depth > len(stack):
                raise SchemaError("indented too far")
            del stack[depth:]
            if words[0] == "struct":
                struct = Struct(words[1], message.versions)
                if len(words) > 2:
                    struct.versions = intersect(parse_versions(words[2]), message.versions)
                message.structs[struct.name] = struct
                stack.append(struct)
                continue
            outer = stack[-1]
            field = Field(words, outer.versions)
            outer.fields.append(field)
            if field.item not in PRIMITIVES:
                # Lines further in declare the struct; without them it is declared elsewhere.
                stack.append(_Pending(message, field))
        except (SchemaError, IndexError, ValueError) as error:
            raise SchemaError(f"{path}:{number}: {error}") from error
    for message in messages:
        message.resolve()
    return messages


class _Pending(Struct):
    """A struct that comes to be in its message when its first field is read."""

    def __init__(self, message, field):
        super().__init__(field.item, field.versions)
        self._message = message
        self.fields = _FirstAppend(self)

    def declare(self):
        if self.name in self._message.structs:
            raise SchemaError(f"struct {self.name} is declared twice")
        self._message.structs[self.name] = self


class _FirstAppend(list):
    def __init__(self, pending):
        super().__init__()
        self._pending = pending

    def append(self, field):
        if not self:
            self._pending.declare()
        super().append(field)


def schema_files(folder=HERE):
    return sorted(name[:-7] for name in os.listdir(folder) if name.endswith(".schema"))


def load_all(folder=HERE):
    """{file name: [Message]} for the whole folder."""
    return {
        name: parse_schema(os.path.join(folder, name + ".schema")) for name in schema_files(folder)
    }


# ---- writing C ---------------------------------------------------------------------------------


def snake(name):
    name = name.replace("KRaft", "Kraft")
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


class Names:
    """C names of structs, unique over all messages."""

    def __init__(self, files):
        owners = {}
        for messages in files.values():
            for message in messages:
                for name in message.structs:
                    owners.setdefault(name, set()).add(message.name)
        self._owners = owners

    def of(self, message, struct):
        own = snake(struct.name)
        if struct is message.root or ("_" in own and len(self._owners[struct.name]) == 1):
            return own
        return f"{snake(message.name)}_{own}"


def c_type(names, message, field):
    if field.struct is None:
        base = PRIMITIVES[field.item][0]
    else:
        base = f"struct {names.of(message, field.struct)}"
    pointer = field.is_array or (field.struct is not None and field.may_be_null)
    return f"{base} *" if pointer else f"{base} "


def versions_text(versions, last):
    first, until = versions
    if until >= last:
        return f"{first}+"
    return str(first) if first == until else f"{first}-{until}"


def member_comment(message, struct, field):
    """What the reader of the header wants to know of a field."""
    notes = []
    if field.versions != struct.versions:
        notes.append("v" + versions_text(field.versions, message.versions[1]))
    if field.may_be_null:
        first = "" if field.nullable == field.versions else " in v" + versions_text(
            field.nullable, message.versions[1])
        notes.append("nullable" + first)
    if field.default is not None and field.default not in ("null", "0", "false"):
        notes.append(f"default {field.default}")
    return f" /* {', '.join(notes)} */" if notes else ""


def write_struct(out, names, message, struct):
    out.append(f"struct {names.of(message, struct)} {{")
    for field in struct.fields:
        name = snake(field.name)
        out.append(f"\t{c_type(names, message, field)}{name};"
                   f"{member_comment(message, struct, field)}")
        if field.is_array:
            out.append(f"\tint32_t {name}_count;")
    if not struct.fields:
        out.append("\tchar nothing; /* the message is empty */")
    out.append("};")
    out.append("")


def write_header(name, messages, names):
    guard = f"KLAMM_WIRE_GENERATED_{name.upper()}_H"
    out = [f"/* Written by generate.py from {name}.schema: do not edit. */"]
    out += [f"#ifndef {guard}", f"#define {guard}", "", '#include "wire/codec.h"', ""]
    for message in messages:
        first, last = message.versions
        flexible = "" if message.flexible_since == NEVER else (
            f", flexible from {message.flexible_since}")
        key = "" if message.api_key is None else f" (key {message.api_key})"
        out.append(f"/* {message.name}{key}, versions {first}-{last}{flexible}."
                   f"{' ' + message.comment if message.comment else ''} */")
        for struct in message.all_structs():
            write_struct(out, names, message, struct)
        for struct in message.all_structs():
            kind = "STRUCT"
            if struct is message.root:
                kind = "DATA" if message.kind == "data" else "MESSAGE"
            out.append(f"WIRE_{kind}_FUNCTIONS({names.of(message, struct)})")
        out.append("")
    out += ["#endif", ""]
    return "\n".join(out)


def default_number(field):
    """The default of bool and integers as C, and whether it is not zero."""
    text = field.default or "0"
    if text in ("true", "false"):
        value = int(text == "true")
    elif text == "null" or field.item not in PRIMITIVES:
        value = 0
    else:
        value = int(text, 0)
    if value == -(2 ** 31):
        return "INT32_MIN", True
    return str(value), value != 0


def struct_has_defaults(struct):
    return any(sets_default(field) for field in struct.fields)


def sets_default(field):
    """Whether the default differs from zeroed memory."""
    if field.is_array:
        return field.default == "null"
    if field.item in ("string", "bytes"):
        return field.default != "null"
    if field.struct is not None:
        return not field.may_be_null and struct_has_defaults(field.struct)
    return default_number(field)[1]


def field_flags(field):
    flags = []
    if field.is_array:
        flags.append("WIRE_ARRAY")
    if field.ignorable:
        flags.append("WIRE_IGNORABLE")
    if field.default == "null":
        flags.append("WIRE_NULL_DEFAULT")
    if field.struct is not None and field.may_be_null and not field.is_array:
        if field.default != "null":
            raise SchemaError(f"{field.name}: a nullable struct must have the default null")
        flags.append("WIRE_POINTER")
    if field.inflexible:
        flags.append("WIRE_INFLEXIBLE")
    if sets_default(field):
        flags.append("WIRE_SET_DEFAULT")
    return " | ".join(flags) or "0"


def min_field_bytes(field):
    if field.is_array or field.struct is None:
        return 1 if field.is_array else PRIMITIVES[field.item][2]
    return 1 if field.may_be_null else min_struct_bytes(field.struct)


def min_struct_bytes(struct):
    """The fewest bytes in any version; versions overlap freely, so each is tried."""
    first, last = struct.versions
    sizes = []
    for version in range(first, min(last, 40) + 1):
        sizes.append(sum(min_field_bytes(field) for field in struct.fields
                         if field.tag is None
                         and field.versions[0] <= version <= field.versions[1]))
    return max(1, min(sizes, default=1))


def write_fields(out, names, message, struct):
    own = names.of(message, struct)
    tagged = sorted((f for f in struct.fields if f.tag is not None), key=lambda f: f.tag)
    regular = [f for f in struct.fields if f.tag is None]
    if not struct.fields:
        return f'"{struct.name}", NULL, 0, 0, sizeof(struct {own}), 1'
    out.append(f"static const struct wire_field {own}_fields[] = {{")
    for field in regular + tagged:
        sub = f"&{names.of(message, field.struct)}_struct" if field.struct else "NULL"
        kind = "WIRE_STRUCT" if field.struct else PRIMITIVES[field.item][1]
        out.append(
            f'\t{{"{field.name}", {sub}, {default_number(field)[0]}, '
            f"offsetof(struct {own}, {snake(field.name)}), {kind},\n"
            f"\t {field_flags(field)}, {field.versions[0]}, {field.versions[1]}, "
            f"{field.nullable[0]}, {field.nullable[1]}, {field.tag or 0}}},")
    out.append("};")
    return (f'"{struct.name}", {own}_fields, {len(struct.fields)}, {len(regular)}, '
            f"sizeof(struct {own}), {min_struct_bytes(struct)}")


def write_source(name, messages, names):
    out = [f"/* Written by generate.py from {name}.schema: do not edit. */"]
    out += [f'#include "wire/generated/{name}.h"', ""]
    for message in messages:
        for struct in message.all_structs():
            own = names.of(message, struct)
            body = write_fields(out, names, message, struct)
            if struct is message.root:
                first, last = message.versions
                out.append(f"const struct wire_schema {own}_schema = {{")
                out.append(f"\t{{{body}}}, {first}, {last}, {message.flexible_since}}};")
            else:
                out.append(f"const struct wire_struct {own}_struct = {{{body}}};")
            out.append("")
    return "\n".join(out)


def write_api_table(files):
    apis = {}
    data = []
    out = ["/* Written by generate.py from all schemas: do not edit. */",
           '#include "wire/api_table.h"', "", "#include <stddef.h>", ""]
    for name, messages in files.items():
        out.append(f'#include "wire/generated/{name}.h"')
        for message in messages:
            if message.api_key is None:
                data.append(message)
            else:
                apis.setdefault(message.api_key, {})[message.kind] = message
    out += ["", "const struct wire_api wire_apis[] = {"]
    for key, pair in sorted(apis.items()):
        request, response = pair["request"], pair["response"]
        if (request.versions, request.flexible_since) != (
                response.versions, response.flexible_since):
            raise SchemaError(f"{request.name} and its response differ in versions")
        out.append(f'\t{{"{request.api_name}", &{snake(request.name)}_schema, '
                   f"&{snake(response.name)}_schema, {key}, {request.versions[0]}, "
                   f"{request.versions[1]}, {request.flexible_since}}},")
    out += ["};", "const size_t wire_api_count = sizeof(wire_apis) / sizeof(wire_apis[0]);", ""]
    out += ["const struct wire_schema *const wire_data_schemas[] = {"]
    out += [f"\t&{snake(message.name)}_schema," for message in data]
    out += ["};", "const size_t wire_data_schema_count =",
            "\tsizeof(wire_data_schemas) / sizeof(wire_data_schemas[0]);", ""]
    return "\n".join(out)


def generate(folder=HERE):
    """{file name: content} of everything."""
    files = load_all(folder)
    names = Names(files)
    output = {"api_table.c": write_api_table(files)}
    for name, messages in files.items():
        output[name + ".h"] = write_header(name, messages, names)
        output[name + ".c"] = write_source(name, messages, names)
    return output


def main(args):
    if len(args) != 1:
        sys.exit(__doc__)
    output = generate()
    if args[0] == "--list":
        print("\n".join(sorted(output)))
        return
    os.makedirs(args[0], exist_ok=True)
    for name, content in output.items():
        path = os.path.join(args[0], name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(content)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except SchemaError as problem:
        sys.exit(f"generate.py: {problem}")
