"""Processor time of PEFT's training steps with each of its methods, in turn, on one thread. usage: peft_methods.py MODEL BxT ROUNDS RANK
Prints one JSON object: seconds a step by the names that our methods have, medians of the rounds (two before them not counted)."""
import copy, itertools, json, statistics, sys, time

import torch
from oracle import load_model
from peft import DeloraConfig, LoraConfig, VeraConfig, get_peft_model
from peft.optimizers import create_lorafa_optimizer, create_loraplus_optimizer

path, shape, rounds, rank = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
batch, tokens = map(int, shape.split("x"))
torch.manual_seed(0)
torch.set_num_threads(1)
base = load_model(path)
base.config.use_cache = False
shared = {id(tensor): tensor for tensor in itertools.chain(base.parameters(), base.buffers())}

COMMON = dict(r=rank, target_modules="all-linear", task_type="CAUSAL_LM")
LORA = dict(COMMON, lora_alpha=2 * rank)
CONFIGS = {
    "lora": LoraConfig(**LORA), "rslora": LoraConfig(**LORA, use_rslora=True), "lora+": LoraConfig(**LORA),
    "lora-fa": LoraConfig(**LORA), "dora": LoraConfig(**LORA, use_dora=True), "delora": DeloraConfig(**COMMON),
    "vera": VeraConfig(**COMMON),
    "lora/olora": LoraConfig(**LORA, init_lora_weights="olora")}


def optimizer(name, model):
    if name == "lora+":
        return create_loraplus_optimizer(model, torch.optim.AdamW, lr=1e-5, loraplus_lr_ratio=16)
    if name == "lora-fa":
        return create_lorafa_optimizer(model, r=rank, lora_alpha=2 * rank, lr=1e-5)
    return torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-5)


entrants = {}
for name, config in CONFIGS.items():
    # All share the frozen weights, but for the start that changes them.
    model = get_peft_model(copy.deepcopy(base, {} if name == "lora/olora" else dict(shared)), config).train()
    entrants[name] = (model, optimizer(name, model), [])
ids = torch.randint(0, base.config.vocab_size, (batch, tokens))
for _ in range(rounds + 2):
    for model, steps, seconds in entrants.values():
        start = time.process_time()
        model(input_ids=ids, labels=ids).loss.backward()
        steps.step()
        steps.zero_grad()
        seconds.append(time.process_time() - start)
print(json.dumps({name: statistics.median(seconds[2:]) for name, (_, _, seconds) in entrants.items()}))
