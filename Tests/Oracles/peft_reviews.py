"""PEFT's side of scripts/compare-reviews. usage: peft_reviews.py MODEL TRAIN.jsonl TEST.jsonl STEPS WARMUP SEED [--head]
Prints a line after every step and a JSON object at the end: peak megabytes of training, and the accuracy on TEST."""
import json, resource, sys

import torch
from oracle import load_tokenizer, rows, source
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, get_linear_schedule_with_warmup

BATCH = 8

path, train, test = sys.argv[1:4]
steps, warmup, seed = map(int, sys.argv[4:7])
has_head = "--head" in sys.argv
torch.manual_seed(seed)
tokenizer = load_tokenizer(path)
if has_head:
    base, task = AutoModelForSequenceClassification.from_pretrained(**source(path), dtype=torch.float32, num_labels=2), "SEQ_CLS"
    base.config.pad_token_id = tokenizer.convert_tokens_to_ids(tokenizer.eos_token)
else:
    base, task = AutoModelForCausalLM.from_pretrained(**source(path), dtype=torch.float32), "CAUSAL_LM"
model = get_peft_model(base, LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type=task))
optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=5e-4, weight_decay=0.0)
schedule = get_linear_schedule_with_warmup(optimizer, warmup, steps)


def batches(lines):
    """Ids, mask and labels of 8 lines at a time, padded to their longest; only the last token of each counts, or with a head the class."""
    for start in range(0, len(lines), BATCH):
        ids, classes = [], [line["label"] for line in lines[start:start + BATCH]]
        for line in lines[start:start + BATCH]:
            if has_head:
                ids.append(tokenizer(line["text"]).input_ids)
                continue
            prompt, answer = f"Review: {line['text']}\nSentiment:", [" negative", " positive"][line["label"]]
            ids.append([t for text in (prompt, answer) for t in tokenizer(text, add_special_tokens=False).input_ids])
        width = max(map(len, ids))
        pad = base.config.pad_token_id if has_head else 0
        padded = torch.tensor([row + [pad] * (width - len(row)) for row in ids])
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in ids])
        if has_head:
            yield padded, mask, torch.tensor(classes)
            continue
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
        choices = model(input_ids=ids, attention_mask=mask).logits.argmax(-1)
        choices, answers = (choices, labels) if has_head else (choices[:, :-1], labels[:, 1:])
        right += (choices == answers).sum().item()
        count += (answers >= 0).sum().item()
print(json.dumps(dict(megabytes=megabytes, accuracy=100 * right / count)))
