"""The mean loss of a text, and what a model would say next at every place, as llama.cpp computes them.

usage: llama_cpp_losses.py MODEL.gguf ADAPTER.gguf|- TEXT      prints one JSON object: tokens and choices (T), losses (T − 1)

LORAVK_TEST_LLAMA_CPP names the library that scripts/fetch-llama-cpp prints.
"""
import json, sys
from pathlib import Path

import numpy as np

from llama_cpp_logits import Model, library
from llama_cpp_tokens import tokens


def main(model_path, adapter_path, text_path):
    lib = library()
    ids = tokens(lib, model_path, Path(text_path).read_bytes())
    choices, losses = [], []
    for rows in Model(lib, model_path, adapter_path, len(ids)).logits(ids):
        choices += rows.argmax(-1).tolist()
        targets = ids[len(losses) + 1:][:len(rows)]
        largest = rows.max(-1)
        sums = np.log(np.exp(rows - largest[:, None]).sum(-1, dtype=np.float64)) + largest
        losses += (sums[:len(targets)] - rows[np.arange(len(targets)), targets]).tolist()
    print(json.dumps(dict(tokens=ids.tolist(), choices=choices, losses=losses)))


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
