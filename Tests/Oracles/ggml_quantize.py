"""ggml's own quantisers, out of the library that LORAVK_TEST_LLAMA_CPP names."""
import ctypes, os
from ctypes import c_int, c_int64, c_size_t, c_void_p

import gguf, numpy as np
from gguf import GGMLQuantizationType as Type

K_QUANTS = [Type.Q2_K, Type.Q3_K, Type.Q4_K, Type.Q5_K, Type.Q6_K]
QUANTS = [Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q8_0, *K_QUANTS]


def quantize(values, kind):
    """Bytes (…, B) of float32 numbers (…, C), without an importance matrix."""
    library = ctypes.PyDLL(os.environ["LORAVK_TEST_LLAMA_CPP"])
    library.ggml_quantize_chunk.restype = c_size_t
    library.ggml_quantize_chunk.argtypes = [c_int, c_void_p, c_void_p, c_int64, c_int64, c_int64, c_void_p]
    values = np.ascontiguousarray(values, np.float32)
    elements, size = gguf.GGML_QUANT_SIZES[kind]
    columns = values.shape[-1]
    out = np.zeros((*values.shape[:-1], columns // elements * size), np.uint8)
    written = library.ggml_quantize_chunk(
        int(kind), values.ctypes.data, out.ctypes.data, 0, values.size // columns, columns, None)
    assert written == out.nbytes
    return out
