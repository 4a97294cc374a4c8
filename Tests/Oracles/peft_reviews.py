"""PEFT's side of scripts/compare-reviews. usage: peft_reviews.py MODEL TRAIN.jsonl TEST.jsonl STEPS WARMUP SEED
Prints a line after every step and a JSON object at the end: peak megabytes of training, and the accuracy on TEST."""
import json, resource, sys

import torch
from oracle import load_tokenizer, rows, source
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, get_linear_schedule_with_warmup

BATCH = 8

path, train, test = sys.argv[1:4]
steps, warmup, seed = map(int, sys.argv[4:])
torch.manual_seed(seed)
tokenizer = load_tokenizer(path)
model = get_peft_model(
    AutoModelForCausalLM.from_pretrained(**source(path), dtype=torch.float32),
    LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM"))
optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=5e-4, weight_decay=0.0)
schedule = get_linear_schedule_with_warmup(optimizer, warmup, steps)


def batches(lines):
    """Ids, mask and labels of 8 lines at a time, padded to their longest; only the last token of each counts."""
    for start in range(0, len(lines), BATCH):
        ids = []
        for line in lines[start:start + BATCH]:
            prompt, answer = f"Review: {line['text']}\nSentiment:", [" negative", " positive"][line["label"]]
            ids.append([t for text in (prompt, answer) for t in tokenizer(text, add_special_tokens=False).input_ids])
        width = max(map(len, ids))
        padded = torch.tensor([row + [0] * (width - len(row)) for row in ids])
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in ids])
        labels = torch.full_like(padded, -100)
        for i, row in enumerate(ids):
            labels[i, len(row) - 1] = row[-1]
        yield padded, mask, labels


model.train()
for step, (ids, mask, labels) in enumerate(batches(rows(train)[:steps * BATCH])):
    model(input_ids=ids, attention_mask=mask, labels=labels).loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    schedule.step()
    print(f"step {step + 1}/{steps}", flush=True)
megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
model.eval()
right, count = 0, 0
with torch.no_grad():
    for ids, mask, labels in batches(rows(test)):
        choices = model(input_ids=ids, attention_mask=mask).logits.argmax(-1)[:, :-1]
        answers = labels[:, 1:]
        right += (choices == answers).sum().item()
        count += (answers >= 0).sum().item()
print(json.dumps(dict(megabytes=megabytes, accuracy=100 * right / count)))
