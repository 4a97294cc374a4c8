"""Makes k-quants.gguf beside it: numbers of usual and unusual size (`values`), and what ggml's reference quantisers make of them.
usage: make_k_quants.py      (needs gguf, numpy, and LORAVK_TEST_LLAMA_CPP as scripts/fetch-llama-cpp prints it)"""
import os, sys
from pathlib import Path

import gguf, numpy as np

here = Path(__file__).parent
sys.path.append(str(here.parents[1] / "Oracles"))
from ggml_quantize import K_QUANTS, quantize

random = np.random.default_rng(11)
values = random.standard_normal((14, 256)) * np.array([0.02, 1, 300, 1e-6, 1e-9, 0.02] + 8 * [1])[:, None]
values[5] += 1  # all above zero
values[6], values[7] = 0, -0.25
values[8, 1::2], values[9, 3:] = 0, 0
values[10] = np.arange(256) / 2 - 16
values[11], values[12] = np.abs(values[11]), values[12] ** 5
values[13] *= np.repeat(10.0 ** random.uniform(-20, 3, 16), 16)  # groups of all sizes
values = values.astype(np.float32)
writer = gguf.GGUFWriter(here / "k-quants.gguf", "llama")
writer.add_tensor("values", values)
for kind in K_QUANTS:
    writer.add_tensor(kind.name, quantize(values, kind), raw_dtype=kind)
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
