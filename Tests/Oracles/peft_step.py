"""Speed of one training step shape in PEFT on the CPU, all linear layers, float32. usage: peft_step.py MODEL SHAPE STEPS RANK
SHAPE is BxT for a training step, eval:BxT for the forward pass and its loss.
Prints one JSON object: tokens a second (best and median, the first two steps not counted) and the peak of memory in MB."""
import json, resource, statistics, sys, time

import torch
from oracle import source
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

path, shape, steps, rank = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
batch, tokens = map(int, shape.removeprefix("eval:").split("x"))
torch.manual_seed(0)
model = get_peft_model(
    AutoModelForCausalLM.from_pretrained(**source(path), dtype=torch.float32),
    LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM"))
model.train()
model.config.use_cache = False
optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)
ids = torch.randint(0, model.config.vocab_size, (batch, tokens))
seconds = []
for _ in range(steps):
    start = time.monotonic()
    if shape.startswith("eval:"):
        with torch.no_grad():
            model(input_ids=ids, labels=ids).loss.item()
    else:
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    seconds.append(time.monotonic() - start)
counted = seconds[2:]
print(json.dumps(dict(
    best=batch * tokens / min(counted), median=batch * tokens / statistics.median(counted),
    megabytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)))
