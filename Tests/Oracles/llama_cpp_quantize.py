"""A GGUF model quantised by llama.cpp itself. usage: llama_cpp_quantize.py LIBLLAMA IN.gguf OUT.gguf FILE_TYPE …   (OUT and a number by turns)

LIBLLAMA is a library that exports llama_model_quantize: that of the wheel llama-cpp-cffi has it, that of LORAVK_TEST_LLAMA_CPP does not.
A library runtime.so beside it is loaded first: where the system's C++ library is older, one that has __cxa_call_terminate.
"""
import ctypes, sys
from pathlib import Path
from ctypes import POINTER, Structure, byref, c_bool, c_char_p, c_int32, c_size_t, c_uint32, c_void_p


class Params(Structure):
    _fields_ = [
        *((name, c_int32) for name in ["threads", "file_type", "output_type", "embedding_type"]),
        *((name, c_bool) for name in ["allow_requantize", "quantize_output", "only_copy", "pure", "keep_split", "dry_run"]),
        *((name, c_void_p) for name in ["importance", "overrides", "types", "pruned"]), ("later", c_size_t * 8)]


def quantize(library, source, target, file_type):
    runtime = Path(library).parent / "runtime.so"
    if runtime.exists():
        ctypes.CDLL(str(runtime), ctypes.RTLD_GLOBAL)
    sys.path.insert(0, str(runtime.parent))  # what an extension module imports
    llama = ctypes.PyDLL(str(library))
    llama.llama_model_quantize_default_params.restype = Params
    llama.llama_model_quantize.restype = c_uint32
    llama.llama_model_quantize.argtypes = [c_char_p, c_char_p, POINTER(Params)]
    params = llama.llama_model_quantize_default_params()
    params.file_type, params.allow_requantize, params.threads = file_type, True, 1
    assert llama.llama_model_quantize(str(source).encode(), str(target).encode(), byref(params)) == 0, f"file type {file_type}"


if __name__ == "__main__":
    library, source, *jobs = sys.argv[1:]
    for target, file_type in zip(jobs[::2], jobs[1::2], strict=True):
        quantize(library, source, target, int(file_type))
