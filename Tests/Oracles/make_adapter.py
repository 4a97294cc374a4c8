"""An adapter as PEFT saves it, both halves random so that it changes what the model says.

usage: make_adapter.py MODEL OUT_DIR [--rank 8] [--alpha 16] [--targets q_proj,v_proj] [--rslora] [--seed 0] [--size 0.02]
"""
import argparse
from pathlib import Path

import torch
from oracle import load_model
from peft import LoraConfig, get_peft_model

ALL = "q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj"


def make(model, out, rank=8, alpha=16, targets=ALL, rslora=False, seed=0, size=0.02):
    model = get_peft_model(load_model(model), LoraConfig(
        r=rank, lora_alpha=alpha, target_modules=targets.split(","), task_type="CAUSAL_LM", use_rslora=rslora))
    random = torch.Generator().manual_seed(seed)
    for name, p in sorted(model.named_parameters()):
        if p.requires_grad:
            p.data = torch.randn(p.shape, generator=random) * size
    model.save_pretrained(out)


if __name__ == "__main__":
    ap = argparse.ArgumentParser()
    ap.add_argument("model", type=Path)
    ap.add_argument("out", type=Path)
    ap.add_argument("--rank", type=int, default=8)
    ap.add_argument("--alpha", type=float, default=16)
    ap.add_argument("--targets", default=ALL)
    ap.add_argument("--rslora", action="store_true")
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--size", type=float, default=0.02)
    make(**vars(ap.parse_args()))
