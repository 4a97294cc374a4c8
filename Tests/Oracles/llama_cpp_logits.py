"""Logits of GGUF models, with a GGUF adapter perhaps, as llama.cpp itself computes them.

usage: llama_cpp_logits.py MODEL.gguf ADAPTER.gguf|- TOKENS.npy OUT.npy [MODEL.gguf …]      TOKENS (T) int32; OUT (T, V) float32

LORAVK_TEST_LLAMA_CPP names the library that scripts/fetch-llama-cpp prints.
"""
import ctypes, os, sys
from ctypes import POINTER, Structure, c_bool, c_char_p, c_float, c_int, c_int8, c_int32, c_size_t, c_uint32, c_void_p

import numpy as np


class ModelParams(Structure):
    _fields_ = [
        *((name, c_void_p) for name in ["devices", "overrides"]),
        *((name, c_int32) for name in ["n_gpu_layers", "split_mode", "load_mode", "lazy_mode", "main_gpu"]),
        *((name, c_void_p) for name in ["tensor_split", "progress", "progress_data", "kv_overrides"]),
        *((name, c_bool) for name in ["vocab_only", "check_tensors", "use_extra_bufts", "no_host", "no_alloc", "load_mtp"]),
        ("later", c_void_p * 8)]  # what newer versions append


class ContextParams(Structure):
    _fields_ = [
        *((name, c_uint32) for name in ["n_ctx", "n_batch", "n_ubatch", "n_seq_max", "n_rs_seq", "n_outputs_max", "n_outputs_max_per_seq"]),
        *((name, c_int32) for name in ["n_threads", "n_threads_batch"]),
        *((name, c_int) for name in ["context_type", "rope_scaling_type", "pooling_type", "attention_type", "flash_attn_type"]),
        *((name, c_float) for name in ["rope_base", "rope_scale", "yarn_ext", "yarn_attn", "yarn_fast", "yarn_slow"]),
        ("yarn_orig_ctx", c_uint32), ("defrag", c_float), ("evaluated", c_void_p), ("evaluated_data", c_void_p),
        ("type_k", c_int), ("type_v", c_int), ("later", c_void_p * 16)]


class Batch(Structure):
    _fields_ = [
        ("n_tokens", c_int32), ("token", POINTER(c_int32)), ("embd", c_void_p), ("pos", POINTER(c_int32)), ("n_seq_id", POINTER(c_int32)),
        ("seq_id", POINTER(POINTER(c_int32))), ("logits", POINTER(c_int8))]


SIGNATURES = dict(
    llama_model_default_params=(ModelParams,), llama_context_default_params=(ContextParams,),
    llama_model_load_from_file=(c_void_p, c_char_p, ModelParams), llama_init_from_model=(c_void_p, c_void_p, ContextParams),
    llama_adapter_lora_init=(c_void_p, c_void_p, c_char_p),
    llama_set_adapters_lora=(c_int32, c_void_p, POINTER(c_void_p), c_size_t, POINTER(c_float)),
    llama_batch_init=(Batch, c_int32, c_int32, c_int32), llama_batch_free=(None, Batch), llama_decode=(c_int32, c_void_p, Batch),
    llama_get_logits=(POINTER(c_float), c_void_p), llama_model_get_vocab=(c_void_p, c_void_p), llama_vocab_n_tokens=(c_int32, c_void_p),
    llama_tokenize=(c_int32, c_void_p, c_char_p, c_int32, c_void_p, c_int32, c_bool, c_bool),
    llama_free=(None, c_void_p), llama_model_free=(None, c_void_p), llama_log_set=(None, c_void_p, c_void_p))


def library():
    lib = ctypes.PyDLL(os.environ["LORAVK_TEST_LLAMA_CPP"])
    for name, (result, *arguments) in SIGNATURES.items():
        getattr(lib, name).restype, getattr(lib, name).argtypes = result, arguments
    return lib


def check(condition, what):
    if not condition:
        sys.exit(f"llama.cpp could not {what}; its messages are above")


class Model:
    """A model, with an adapter perhaps, and a context for sequences of up to `length` tokens. Nothing in it is rounded but by the file."""

    def __init__(self, lib, model_path, adapter_path, length):
        self.lib, self.rows = lib, min(length, 128)
        self.model = lib.llama_model_load_from_file(str(model_path).encode(), lib.llama_model_default_params())
        check(self.model, f"load {model_path}")
        params = lib.llama_context_default_params()
        params.n_ctx = max(64, length)
        params.n_batch = params.n_ubatch = self.rows
        params.n_threads = params.n_threads_batch = 1  # its threads wait by spinning
        params.type_k = params.type_v = params.flash_attn_type = 0  # F32, and no flash attention
        self.context = lib.llama_init_from_model(self.model, params)
        check(self.context, "make a context")
        if str(adapter_path) != "-":
            adapter = lib.llama_adapter_lora_init(self.model, str(adapter_path).encode())
            check(adapter, f"load {adapter_path}")
            check(lib.llama_set_adapters_lora(self.context, c_void_p(adapter), 1, c_float(1)) == 0, "set the adapter")
        self.vocabulary = lib.llama_vocab_n_tokens(lib.llama_model_get_vocab(self.model))

    def __del__(self):
        self.lib.llama_free(self.context)
        self.lib.llama_model_free(self.model)

    def logits(self, ids):
        """(T, V) of a sequence, some rows at a time."""
        for start in range(0, len(ids), self.rows):
            part = ids[start:start + self.rows]
            batch = self.lib.llama_batch_init(len(part), 0, 1)
            batch.n_tokens = len(part)
            for place, token in enumerate(part):
                batch.token[place], batch.pos[place], batch.logits[place] = int(token), start + place, 1
                batch.n_seq_id[place], batch.seq_id[place][0] = 1, 0
            check(self.lib.llama_decode(self.context, batch) == 0, "decode")
            self.lib.llama_batch_free(batch)
            yield np.ctypeslib.as_array(self.lib.llama_get_logits(self.context), (len(part), self.vocabulary)).copy()


if __name__ == "__main__":
    jobs = sys.argv[1:]
    if not jobs or len(jobs) % 4:
        sys.exit(__doc__)
    lib = library()
    for model, adapter, tokens, out in zip(*[iter(jobs)] * 4):
        ids = np.load(tokens)
        np.save(out, np.concatenate(list(Model(lib, model, adapter, len(ids)).logits(ids))))
