"""Writes loravk/_api.py, the C API as ctypes sees it, from include/loravk.h as clang understands it.

usage: generate.py
"""
import json, re, shutil, subprocess
from pathlib import Path

HERE = Path(__file__).parent
HEADER = HERE.parents[1] / "include" / "loravk.h"
OUTPUT = HERE / "loravk" / "_api.py"
CLANG = Path(shutil.which("swift")).resolve().parent / "clang"  # comes with Swift

SCALARS = {
    "bool": "c_bool", "_Bool": "c_bool", "float": "c_float", "double": "c_double", "size_t": "c_size_t", "char": "c_char",
    "uint8_t": "c_uint8", "int32_t": "c_int32", "uint32_t": "c_uint32", "int64_t": "c_int64", "uint64_t": "c_uint64",
}


def camel(name):
    return "".join(word.capitalize() for word in name.removeprefix("loravk_").split("_"))


class Header:
    """Declarations of the header by kind: constants, structs, callbacks, functions."""

    def __init__(self, path=HEADER):
        text = path.read_text()
        numbers = re.findall(r"#define (LORAVK_\w+) \d+$", text, re.MULTILINE)
        # Macros are no declarations: make them some.
        source = f'#include "{path.resolve()}"\nenum {{ {", ".join(f"macro_{name} = {name}" for name in numbers)} }};\n'
        done = subprocess.run(
            [CLANG, "-x", "c", "-std=c99", "-fsyntax-only", "-Xclang", "-ast-dump=json", "-"], input=source, capture_output=True,
            text=True, check=True)
        self.constants, self.integers, self.handles = {}, {}, []
        self.structs, self.callbacks, self.functions = {}, {}, {}
        for node in json.loads(done.stdout)["inner"]:
            read = getattr(self, "read_" + node["kind"], None)
            if read:
                read(node)

    def read_EnumDecl(self, node):
        for constant in node.get("inner", []):
            name = constant["name"].removeprefix("macro_")
            if name.startswith("LORAVK_"):
                self.constants[name.removeprefix("LORAVK_")] = int(value(constant["inner"][0]))

    def read_TypedefDecl(self, node):
        name, kind = node["name"], node["type"]["qualType"]
        if not name.startswith("loravk_"):
            return
        if "(*)" in kind:
            self.callbacks[name] = kind
        elif kind.startswith("struct "):
            self.handles += [name] if name not in self.structs else []
        else:
            self.integers[name] = kind

    def read_RecordDecl(self, node):
        if node.get("name", "").startswith("loravk_") and node.get("completeDefinition"):
            fields = [field for field in node["inner"] if field["kind"] == "FieldDecl"]
            self.structs[node["name"]] = {field["name"]: field["type"]["qualType"] for field in fields}

    def read_FunctionDecl(self, node):
        if node["name"].startswith("loravk_"):
            parameters = [item["type"]["qualType"] for item in node.get("inner", []) if item["kind"] == "ParmVarDecl"]
            result = node["type"]["qualType"].split("(")[0].strip()
            self.functions[node["name"]] = (result, parameters)

    def ctype(self, kind, element=False):
        """How ctypes writes a C type; `element`: characters are no strings."""
        array = re.fullmatch(r"(.+?) ?\[(\d+)\]", kind)
        if array:
            return f"{self.ctype(array[1], element=True)} * {array[2]}"
        words = kind.replace("const", "").replace("*", " * ").split()
        base, stars = words[0], words.count("*")
        if base in self.callbacks:
            return camel(base)
        if base == "void" or base in self.handles:
            base, stars = "c_void_p", stars - 1
        elif base == "char" and not element:
            base, stars = "c_char_p", stars - 1
        elif base in self.structs:
            base = camel(base)
        else:
            base = SCALARS[self.integers.get(base, base)]
        return "POINTER(" * stars + base + ")" * stars

    def result(self, kind):
        return {"void": "None", "loravk_status": "Status"}.get(kind) or self.ctype(kind)


def value(node):
    """The value of a constant."""
    if node["kind"] == "UnaryOperator":
        return f"-{value(node['inner'][0])}"
    return node["value"] if "value" in node else value(node["inner"][0])


def wrapped(start, items, end):
    """One line, or as many as 120 columns need."""
    line = start + ", ".join(items) + end
    if len(line) <= 120:
        return line
    lines, current = [start], " " * 8
    for item in items:
        if len(current) + len(item) + 1 > 120:
            lines.append(current.rstrip())
            current = " " * 8
        current += item + ", "
    return "\n".join(lines + [current.rstrip(" ,") + end])


def generate(header):
    version = ".".join(str(header.constants[f"VERSION_{part}"]) for part in ("MAJOR", "MINOR", "PATCH"))
    yield f'''\
"""The C API as ctypes sees it. Written by generate.py from include/loravk.h: change that and run it again."""
from ctypes import (
    CFUNCTYPE, POINTER, Structure, byref, c_bool, c_char, c_char_p, c_double, c_float, c_int32, c_int64, c_size_t, c_uint8, c_uint32,
    c_uint64, c_void_p, sizeof)
from typing import Any

VERSION = "{version}"
'''
    for name, number in header.constants.items():
        yield f"{name} = {number}"
    yield '''

class Status(c_int32):
    """A class of its own, so that it is seen which functions return one."""


class VersionedStructure(Structure):
    """Begins with its size; fields that are not given, or None, have the library's defaults."""

    _name_: str
    _library_: Any  # which knows the defaults: set by the module that loads it

    def __init__(self, **fields: Any) -> None:
        super().__init__()
        getattr(self._library_, f"loravk_{self._name_}_init")(byref(self), sizeof(type(self)))
        for name, value in fields.items():
            if value is None:
                continue
            setattr(self, name, value)
            if isinstance(value, int) and getattr(self, name) != value:
                raise ValueError(f"{name} is {value}, which does not fit its {8 * getattr(type(self), name).size} bits")
'''
    late = {name: kind for name, kind in header.callbacks.items() if any(struct in kind for struct in header.structs)}
    yield from (callback(header, name) for name in header.callbacks if name not in late)
    for name, fields in header.structs.items():
        for waiting in [each for each in late if f" {each}" in " " + " ".join(fields.values())]:
            yield "\n" + callback(header, waiting)
            late.pop(waiting)
        yield f"\n\nclass {camel(name)}(VersionedStructure):"
        yield f'    _name_ = "{name.removeprefix("loravk_")}"'
        members = [f'("{field}", {header.ctype(kind)})' for field, kind in fields.items()]
        yield wrapped("    _fields_ = [", members, "]")
    yield "\n\n# name: (result, arguments)\nPROTOTYPES = {"
    for name, (result, parameters) in header.functions.items():
        yield wrapped(f'    "{name}": ({header.result(result)}, [', [header.ctype(kind) for kind in parameters], "]),")
    yield "}"


def callback(header, name):
    result, parameters = re.fullmatch(r"(.+?) \(\*\)\((.*)\)", header.callbacks[name]).groups()
    arguments = [header.ctype(kind.strip(), element=True) for kind in parameters.split(",")]
    return f"{camel(name)} = CFUNCTYPE({', '.join([header.result(result), *arguments])})"


def api():
    """The text of loravk/_api.py."""
    return "\n".join(generate(Header())) + "\n"


if __name__ == "__main__":
    OUTPUT.write_text(api())
