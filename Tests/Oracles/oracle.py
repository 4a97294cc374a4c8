"""What the other oracles share: a model in float32 from a Hugging Face folder or a GGUF file, an adapter on it, and its examples."""
import json, os
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # PEFT would look the base model up
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer


def source(path):
    """Arguments of from_pretrained for a folder or a GGUF file."""
    path = Path(path).resolve()
    if path.suffix == ".gguf":
        return dict(pretrained_model_name_or_path=str(path.parent), gguf_file=path.name)
    return dict(pretrained_model_name_or_path=str(path))


def load_model(path, adapter=None):
    model = AutoModelForCausalLM.from_pretrained(**source(path), dtype=torch.float32)
    if adapter:
        model = PeftModel.from_pretrained(model, str(adapter))
    return model.eval()


def load_tokenizer(path):
    return AutoTokenizer.from_pretrained(**source(path))


def rows(path):
    return [json.loads(line) for line in Path(path).read_text().splitlines() if line.strip()]


def chat_ids(tokenizer, messages, **options):
    """The token ids of a chat, its template's special tokens among them."""
    return tokenizer.apply_chat_template(messages, return_dict=False, **options)


def example(messages, tokenizer):
    """A chat as token ids and labels: the loss counts the assistant's turns to their end."""
    ids, labels = [], []
    for i, message in enumerate(messages):
        before = tokenizer.apply_chat_template(messages[:i], tokenize=False) if i else ""
        if message["role"] == "assistant":
            before = tokenizer.apply_chat_template(messages[:i], tokenize=False, add_generation_prompt=True)
        after = tokenizer.apply_chat_template(messages[:i + 1], tokenize=False)
        ids = tokenizer(after, add_special_tokens=False).input_ids
        begin = len(tokenizer(before, add_special_tokens=False).input_ids)
        counts = message["role"] == "assistant"
        labels += [-100] * (begin - len(labels))
        labels += ids[begin:] if counts else [-100] * (len(ids) - begin)
    return ids, labels


@torch.no_grad()
def mean_loss(model, examples):
    """Mean over all counted tokens of all examples, each run alone."""
    total = count = 0
    for ids, labels in examples:
        logits = model(input_ids=torch.tensor([ids])).logits[0, :-1].double()
        target = torch.tensor(labels[1:])
        counted = target != -100
        total += torch.nn.functional.cross_entropy(logits[counted], target[counted], reduction="sum").item()
        count += int(counted.sum())
    return total / count, count
