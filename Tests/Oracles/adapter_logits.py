"""Logits of a model with an adapter as PEFT computes them.

usage: adapter_logits.py MODEL ADAPTER_DIR TOKENS.npy OUT.npy      TOKENS (…, T) int32; OUT (…, T, V) float32
       adapter_logits.py MODEL - TOKENS.npy OUT.npy                the model alone
"""
import sys

import numpy as np
import torch
from oracle import load_model


def main(model, adapter, tokens, out):
    ids = np.load(tokens).astype(np.int64)
    model = load_model(model, None if adapter == "-" else adapter)
    with torch.no_grad():
        logits = model(input_ids=torch.from_numpy(ids.reshape(-1, ids.shape[-1]))).logits
    np.save(out, logits.numpy().reshape(*ids.shape, -1))


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    main(*sys.argv[1:])
