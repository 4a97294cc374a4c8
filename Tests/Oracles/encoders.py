"""Tiny random encoders of every family, as transformers makes and saves them; see architectures.py.

usage: encoders.py OUT [NAME …]      a Hugging Face folder OUT/NAME of each
"""
import sys
from dataclasses import dataclass, field
from pathlib import Path

import torch
from architectures import END, V, randomise, save_tokenizer
from transformers import AutoConfig, AutoModel, AutoModelForMaskedLM

SIZES = dict(vocab_size=V, hidden_size=48, intermediate_size=72, num_hidden_layers=3, num_attention_heads=6,
             max_position_embeddings=64, pad_token_id=0, bos_token_id=None, eos_token_id=END)
MODERN = dict(local_attention=8, num_hidden_layers=4)


@dataclass(frozen=True)
class Architecture:
    """`has_head`: the file is that of a model with a head, whose names have a prefix."""

    model_type: str
    config: dict = field(default_factory=dict)
    has_head: bool = False


ALL = {
    "bert": Architecture("bert"),
    "bert-with-head": Architecture("bert", has_head=True),
    "bert-tanh": Architecture("bert", dict(hidden_act="gelu_new", layer_norm_eps=1e-3)),
    "roberta": Architecture("roberta", dict(pad_token_id=1, max_position_embeddings=66, type_vocab_size=1)),
    "roberta-with-head": Architecture("roberta", dict(pad_token_id=1, max_position_embeddings=66), has_head=True),
    "xlm-roberta": Architecture("xlm-roberta", dict(pad_token_id=1, max_position_embeddings=66)),
    "distilbert": Architecture("distilbert", dict(dim=48, hidden_dim=72, n_layers=3, n_heads=6)),
    "distilbert-with-head": Architecture("distilbert", dict(dim=48, hidden_dim=72, n_layers=3, n_heads=6), has_head=True),
    "modernbert": Architecture("modernbert", MODERN),
    "modernbert-biased": Architecture("modernbert", dict(
        MODERN, attention_bias=True, mlp_bias=True, norm_bias=True, layer_types=["sliding_attention", "full_attention"] * 2)),
    "modernbert-with-head": Architecture("modernbert", MODERN, has_head=True),
}


def make(name, folder):
    """Writes the model into a folder, with a tokenizer, and returns it without its head."""
    architecture = ALL[name]
    config = AutoConfig.for_model(architecture.model_type, **{**SIZES, **architecture.config})
    kind = AutoModelForMaskedLM if architecture.has_head else AutoModel
    model = kind.from_config(config, dtype=torch.float32).eval()
    randomise(model, seed=len(name))
    model.save_pretrained(folder)
    save_tokenizer(folder)
    return load(folder)


def load(folder):
    return AutoModel.from_pretrained(folder, dtype=torch.float32).eval()


if __name__ == "__main__":
    out, *names = sys.argv[1:]
    for name in names or ALL:
        print(name, sum(p.numel() for p in make(name, Path(out) / name).parameters()), "parameters")
