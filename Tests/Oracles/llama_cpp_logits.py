"""Logits of a GGUF model, with a GGUF adapter perhaps, as llama.cpp itself computes them.

usage: llama_cpp_logits.py MODEL.gguf ADAPTER.gguf|- TOKENS.npy OUT.npy      TOKENS (T) int32; OUT (T, V) float32

LORAVK_TEST_LLAMA_CPP names the folder that scripts/fetch-llama-cpp made.
"""
import ctypes, importlib, os, sys
from pathlib import Path

import numpy as np


def library():
    folder = Path(os.environ["LORAVK_TEST_LLAMA_CPP"])
    ctypes.CDLL(str(folder / "runtime.so"), ctypes.RTLD_GLOBAL)
    sys.path.insert(0, str(folder))
    module = importlib.import_module("_llama_cpp_cpu")
    return module.ffi, module.lib


def check(condition, what):
    if not condition:
        sys.exit(f"llama.cpp could not {what}; its messages are above")


def main(model_path, adapter_path, tokens, out):
    ffi, lib = library()
    ids = np.load(tokens).astype(np.int32)
    model = lib.llama_model_load_from_file(model_path.encode(), lib.llama_model_default_params())
    check(model, f"load {model_path}")
    params = lib.llama_context_default_params()
    params.n_ctx = params.n_batch = params.n_ubatch = max(64, len(ids))
    params.n_threads = params.n_threads_batch = 1  # its threads wait by spinning
    params.type_k = params.type_v = 0  # F32: the cache rounds nothing
    context = lib.llama_init_from_model(model, params)
    check(context, "make a context")
    if adapter_path != "-":
        adapter = lib.llama_adapter_lora_init(model, adapter_path.encode())
        check(adapter, f"load {adapter_path}")
        check(lib.llama_set_adapter_lora(context, adapter, 1.0) == 0, "set the adapter")
    vocab = lib.llama_vocab_n_tokens(lib.llama_model_get_vocab(model))
    batch = lib.llama_batch_init(len(ids), 0, 1)
    batch.n_tokens = len(ids)
    for place, token in enumerate(ids):
        batch.token[place], batch.pos[place], batch.logits[place] = int(token), place, 1
        batch.n_seq_id[place], batch.seq_id[place][0] = 1, 0
    check(lib.llama_decode(context, batch) == 0, "decode")
    logits = np.frombuffer(ffi.buffer(lib.llama_get_logits(context), 4 * vocab * len(ids)), np.float32)
    np.save(out, logits.reshape(len(ids), vocab))


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    main(*sys.argv[1:])
