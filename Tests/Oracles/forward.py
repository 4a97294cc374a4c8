"""Loss and perplexity of a model on a file of chats or texts, as transformers computes them: one JSON line.

usage: forward.py MODEL FILE.jsonl|FILE.txt [--adapter DIR] [--length 256]      a .txt is cut into windows of that many tokens
"""
import argparse, json, math
from pathlib import Path

from oracle import example, load_model, load_tokenizer, mean_loss, rows


def examples(path, tokenizer, length):
    if path.suffix == ".jsonl":
        return [example(row["messages"], tokenizer) for row in rows(path)]
    ids = tokenizer(path.read_text(), add_special_tokens=False).input_ids
    return [(ids[i:i + length],) * 2 for i in range(0, len(ids) - 1, length)]


if __name__ == "__main__":
    ap = argparse.ArgumentParser()
    ap.add_argument("model", type=Path)
    ap.add_argument("file", type=Path)
    ap.add_argument("--adapter", type=Path)
    ap.add_argument("--length", type=int, default=256)
    args = ap.parse_args()
    loss, count = mean_loss(load_model(args.model, args.adapter), examples(args.file, load_tokenizer(args.model), args.length))
    print(json.dumps(dict(loss=loss, perplexity=math.exp(loss), tokens=count)))
