"""Token ids of a text as llama.cpp makes them, with what the model's file adds around it.

usage: llama_cpp_tokens.py MODEL.gguf TEXT OUT      OUT: int32, little endian

LORAVK_TEST_LLAMA_CPP names the library that scripts/fetch-llama-cpp prints.
"""
import sys
from pathlib import Path

import numpy as np

from llama_cpp_logits import check, library


def tokens(lib, model_path, text):
    """Of `text`, bytes; special tokens by name are those tokens."""
    params = lib.llama_model_default_params()
    params.vocab_only = True
    model = lib.llama_model_load_from_file(model_path.encode(), params)
    check(model, f"load {model_path}")
    ids = np.zeros(len(text) + 8, np.int32)
    count = lib.llama_tokenize(lib.llama_model_get_vocab(model), text, len(text), ids.ctypes.data, len(ids), True, True)
    check(count >= 0, "encode the text")
    lib.llama_model_free(model)
    return ids[:count]


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    _, model_path, text, out = sys.argv
    Path(out).write_bytes(tokens(library(), model_path, Path(text).read_bytes()).astype("<i4").tobytes())
