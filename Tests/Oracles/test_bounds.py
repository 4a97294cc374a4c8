"""What include/loravk.h says a file may cost: memory of its reader by the size of the file, for the worst files that are known."""
import os, shutil, subprocess, sys
from pathlib import Path

import pytest

MIB = 1 << 20
LOAD = """
import ctypes, resource, sys
library = ctypes.CDLL(sys.argv[1])
kind, path = sys.argv[2], sys.argv[3].encode()
library.loravk_last_error.restype = ctypes.c_char_p
usage = lambda: resource.getrusage(resource.RUSAGE_SELF)
status_of = lambda key: next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(key)) * 1024
open("/proc/self/clear_refs", "w").write("5")
handle, before, held = ctypes.c_void_p(), usage(), status_of("VmRSS")
if kind == "tokenizer":
    status = library.loravk_tokenizer_load(path, ctypes.byref(handle))
else:
    info = (ctypes.c_size_t * 64)(136)
    status = library.loravk_model_inspect(path, None, None, info)
after = usage()
print(status_of("VmHWM") - held, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
print((library.loravk_last_error() or b"").decode() if status else "")
"""


def u32(n):
    return n.to_bytes(4, "little")


def u64(n):
    return n.to_bytes(8, "little")


def gguf(element, count, item):
    head = b"GGUF" + u32(3) + u64(0) + u64(1) + u64(1) + b"a" + u32(9) + u32(element) + u64(count)
    return head + item * count


def tokenizer(vocab="", added="", merges=""):
    return (
        '{"added_tokens":[' + added + '],"decoder":{"type":"ByteLevel"},"pre_tokenizer":{"type":"ByteLevel"},'
        '"model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2' + vocab + '},"merges":[' + merges + "]}}"
    )


def config(text):
    return '{"a":' + text + "}"


# A name, the call, the file in its folder, and its contents at about a number of bytes.
FILES = [
    ("small arrays", "inspect", "config.json", lambda n: config("[" + ",".join(["[0]"] * (n // 4)) + "]")),
    ("small objects", "inspect", "config.json", lambda n: config("[" + ",".join(['{"":0}'] * (n // 7)) + "]")),
    ("keys", "inspect", "config.json", lambda n: "{" + ",".join(f'"{i:x}":0' for i in range(n // 9)) + "}"),
    ("escapes", "inspect", "config.json", lambda n: config('"' + "\\n" * (n // 2) + '"')),
    ("header", "inspect", "model.safetensors", lambda n: header("{" + ",".join(
        f'"{i:x}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}' for i in range(n // 53)) + "}")),
    ("metadata", "inspect", "model.safetensors", lambda n: header('{"__metadata__":{' + ",".join(
        f'"{i:x}":""' for i in range(n // 10)) + "}}")),
    ("bytes", "inspect", "model.gguf", lambda n: gguf(0, n, b"\0")),
    ("bools", "inspect", "model.gguf", lambda n: gguf(7, n, b"\1")),
    ("strings", "inspect", "model.gguf", lambda n: gguf(8, n // 8, u64(0))),
    ("arrays", "inspect", "model.gguf", lambda n: gguf(9, n // 12, u32(0) + u64(0))),
    ("vocabulary", "tokenizer", "tokenizer.json", lambda n: tokenizer(
        vocab="".join(f',"{i:x}g":{i}' for i in range(3, n // 15)))),
    ("added tokens", "tokenizer", "tokenizer.json", lambda n: tokenizer(added=",".join(
        f'{{"id":{i},"content":"{i:x}g"}}' for i in range(3, n // 30)))),
    ("long added tokens", "tokenizer", "tokenizer.json", lambda n: tokenizer(added=",".join(
        f'{{"id":{i},"content":"{i:x}{"g" * 1000}"}}' for i in range(3, n // 1030)))),
    ("merges", "tokenizer", "tokenizer.json", lambda n: tokenizer(merges=",".join(['["a","b"]'] * (n // 10)))),
]


def header(text):
    return u64(len(text)) + text.encode()


def cost(library, folder, call, name, contents):
    folder.mkdir()
    for file in "config.json", "model.safetensors":
        shutil.copy(Path(__file__).parents[1] / "CheckpointsTests" / "Data" / "tiny-hf" / file, folder)
    path = folder / name
    path.write_bytes(contents if isinstance(contents, bytes) else contents.encode())
    target = path if name.endswith("gguf") else folder
    done = subprocess.run([sys.executable, "-c", LOAD, library, call, target], capture_output=True, text=True, check=True)
    numbers, *sentence = done.stdout.splitlines()
    memory, seconds = numbers.split()
    return path.stat().st_size, int(memory), float(seconds), sentence


@pytest.mark.parametrize("name, call, file, make", FILES, ids=[file[0] for file in FILES])
def test_memory_by_the_size_of_a_file(tmp_path, name, call, file, make):
    library = os.environ["LORAVK_LIBRARY"]
    size, memory, seconds, sentence = cost(library, tmp_path / "a", call, file, make(8 * MIB))
    print(f"{name}: {size} bytes, {memory / size:.1f} bytes of memory and {seconds / size * 1e6:.2f} µs a byte; {sentence}")
    assert memory <= 64 * MIB + 40 * size


def test_a_template_of_holes_is_refused(tmp_path):
    library = os.environ["LORAVK_LIBRARY"]
    cost(library, tmp_path / "a", "tokenizer", "tokenizer.json", tokenizer())
    for name in "chat_template.jinja", "tokenizer_config.json":
        with open(tmp_path / "a" / name, "wb") as file:
            file.truncate(3 << 30)
        words = [sys.executable, "-c", LOAD, library, "tokenizer", tmp_path / "a"]
        numbers, *sentence = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
        assert int(numbers.split()[0]) < 64 * MIB and "the limit is" in sentence[0]
