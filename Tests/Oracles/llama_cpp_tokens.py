"""Token ids of a text as llama.cpp makes them, with what the model's file adds around it.

usage: llama_cpp_tokens.py MODEL.gguf TEXT OUT      OUT: int32, little endian

LORAVK_TEST_LLAMA_CPP names the folder that scripts/fetch-llama-cpp made.
"""
import sys
from pathlib import Path

import numpy as np

from llama_cpp_logits import check, library


def main(model_path, text, out):
    ffi, lib = library()
    params = lib.llama_model_default_params()
    params.vocab_only = True
    model = lib.llama_model_load_from_file(model_path.encode(), params)
    check(model, f"load {model_path}")
    text = Path(text).read_bytes()
    ids = ffi.new("int32_t[]", len(text) + 8)
    count = lib.llama_tokenize(lib.llama_model_get_vocab(model), text, len(text), ids, len(text) + 8, True, True)
    check(count >= 0, "encode the text")
    Path(out).write_bytes(np.frombuffer(ffi.buffer(ids, 4 * count), "<i4").tobytes())


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
