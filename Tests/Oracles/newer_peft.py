"""What only a PEFT newer than the one in requirements.txt has. usage: PYTHONPATH=<that PEFT> newer_peft.py MODEL IDS.json OUT.npz
IDS is a list of lists of token ids, all of one length. Of q_proj and down_proj OUT has `lora-ga/KEY`, the matrices LoRA-GA starts with,
`delora/KEY` and `delora-gradient/KEY`, random parameters of DeLoRA and their gradients, and `delora-loss`; KEY as in a saved adapter."""
import json, sys

import numpy as np
import torch
from oracle import load_model
from peft import DeloraConfig, LoraConfig, LoraGAConfig, get_peft_model, get_peft_model_state_dict
from peft.tuners.lora import preprocess_loraga

path, ids, out = sys.argv[1:]
tokens = torch.tensor(json.load(open(ids)))
COMMON = dict(r=3, target_modules=["q_proj", "down_proj"], task_type="CAUSAL_LM")
result = {}


def keep(name, tensors):
    for key, value in tensors.items():
        result[f"{name}/{key}"] = value.detach().numpy()


model = load_model(path)
config = LoraConfig(**COMMON, lora_alpha=6, init_lora_weights="lora_ga", lora_ga_config=LoraGAConfig(direction="ArB2r"))
# PEFT's four iterations from an unseeded draw leave the last directions to chance; thirty find the same ones each time.
torch.manual_seed(6)
svd_lowrank = torch.svd_lowrank
torch.svd_lowrank = lambda matrix, q, niter: svd_lowrank(matrix, q=q, niter=30)
preprocess_loraga(model, config, lambda: model(input_ids=tokens, labels=tokens).loss.backward())
keep("lora-ga", get_peft_model_state_dict(get_peft_model(model, config)))

torch.manual_seed(6)
model = get_peft_model(load_model(path), DeloraConfig(**COMMON, delora_lambda=2)).eval()
trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
for p in trained.values():
    p.data += 0.1 * torch.randn(p.shape)
loss = model(input_ids=tokens, labels=tokens).loss
loss.backward()
keep("delora", {name.replace(".default", ""): p for name, p in trained.items()})
keep("delora-gradient", {name.replace(".default", ""): p.grad for name, p in trained.items()})
np.savez(out, **result, **{"delora-loss": loss.item()})
