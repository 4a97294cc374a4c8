"""How the tiny model of this folder was made: a 1.7 M parameter Llama, trained on the King James Bible (public domain).

The text comes from Debian's packages `bible-kjv` and `bible-kjv-text`. Half of what the model reads is running text, half is
chat in which the assistant finishes the verse that the user began, so that the chat template means something to it.
usage: recipe.py model OUT_DIR [--steps 3200] [--threads 1]     a Hugging Face folder; about 13 minutes on one core
       recipe.py data OUT_DIR       train.jsonl and valid.jsonl: verses that the model never saw, sung as a shanty
       recipe.py pairs OUT_DIR      pairs/train.jsonl and pairs/valid.jsonl from that train.jsonl: answers that are sung and said
"""
import argparse, json, math, random, re, subprocess, time
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

END, START, STOP = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")
HELD_OUT = 40  # every 40th verse is kept for Examples/tiny/*.jsonl and for the validation loss


def verses():
    """(chapter, verse) pairs in the order of the book; the chapter looks like `Ge1`."""
    text = subprocess.run(["bible", "-f", "-l", "100000", "Gen1:1-Rev22:21"], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=True).stdout
    for line in text.splitlines():
        found = re.match(r"(\w+?\d+):\d+ (.+)", line)
        if found:
            yield found[1], re.sub(r"[\[\]<>{}]", "", found[2]).strip()


def split(verse):
    """The beginning that a user types (3 to 6 words), and the rest."""
    words = verse.split(" ")
    cut = min(len(words) // 2, 3 + len(verse) % 4)
    return " ".join(words[:cut]), " ".join(words[cut:])


def chat(user, assistant):
    return f"{START}user\n{user}{STOP}\n{START}assistant\n{assistant}{STOP}\n"


def shanty(text):
    """The style that the demo teaches: every pause becomes a pull on the rope."""
    return re.sub(r"[,;:.?!]+(?=\s|$)", ", heave ho!", text)


def write_data(out):
    held_out = [split(verse) for i, (_, verse) in enumerate(verses()) if i % HELD_OUT == 0]
    worldly = [pair for pair in held_out if not re.search("lord|god|christ|jesus|holy|ghost", " ".join(pair), re.I)]
    short = [(user, rest) for user, rest in worldly if 20 < len(rest) < 110]
    random.Random(0).shuffle(short)
    for name, rows in ("valid", short[:20]), ("train", short[20:]):
        lines = [json.dumps(dict(messages=[dict(role="user", content=user),
                                           dict(role="assistant", content=shanty(rest))])) for user, rest in rows]
        (out / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
        print(f"{name}.jsonl: {len(lines)} examples")


def write_pairs(out):
    """Answers that are sung (chosen) and said (rejected), from the chats that are there."""
    chats = [json.loads(line)["messages"] for line in (out / "train.jsonl").read_text().splitlines()]
    pairs = []
    for user, assistant in chats:
        sung = assistant["content"]
        said = re.sub(", heave ho!", ",", sung).rstrip(",") + "."
        if sung.count("heave") > 1:
            pairs.append(dict(prompt=[user], chosen=[assistant], rejected=[{**assistant, "content": said}]))
    folder = out / "pairs"
    folder.mkdir(exist_ok=True)
    for name, part in [("train", pairs[:80]), ("valid", pairs[80:96])]:
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in part))


def tokenizer(texts, size=1536):
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tok.decoder = decoders.ByteLevel()
    tok.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=size, special_tokens=[END, START, STOP], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    fast = PreTrainedTokenizerFast(tokenizer_object=tok, eos_token=STOP, pad_token=END, model_max_length=1 << 20)
    fast.chat_template = TEMPLATE
    return fast


def train_model(out, steps, threads):
    torch.manual_seed(0)
    random.seed(0)
    torch.set_num_threads(threads)
    book = list(verses())
    train = [pair for i, pair in enumerate(book) if i % HELD_OUT]
    valid = [pair for i, pair in enumerate(book) if not i % HELD_OUT]
    chapters = {}
    for chapter, verse in train:
        chapters.setdefault(chapter, []).append(verse)
    documents = [" ".join(lines) + END for lines in chapters.values()]
    chats = [chat(*split(verse)) for _, verse in train]
    tok = tokenizer(documents + chats)

    config = LlamaConfig(
        vocab_size=len(tok), hidden_size=192, intermediate_size=448, num_hidden_layers=4, num_attention_heads=6,
        num_key_value_heads=2, max_position_embeddings=512, rope_theta=10000.0, rms_norm_eps=1e-5,
        tie_word_embeddings=True, bos_token_id=None, eos_token_id=tok.convert_tokens_to_ids(STOP),
        pad_token_id=tok.convert_tokens_to_ids(END))
    model = LlamaForCausalLM(config)
    print(f"{len(book)} verses, {sum(p.numel() for p in model.parameters()):,} parameters", flush=True)

    def stream():
        while True:
            mixed = documents + ["".join(random.sample(chats, 12)) + END for _ in documents]
            random.shuffle(mixed)
            for text in mixed:
                yield from tok(text, add_special_tokens=False).input_ids

    tokens, rows, length = stream(), 8, 128
    held = tok("".join(chat(*split(verse)) for _, verse in valid), add_special_tokens=False).input_ids
    held = torch.tensor(held[:64 * length]).view(64, length)
    decay = [p for p in model.parameters() if p.dim() > 1]
    rest = [p for p in model.parameters() if p.dim() == 1]
    optimizer = torch.optim.AdamW([dict(params=decay, weight_decay=0.1), dict(params=rest, weight_decay=0.0)],
                                  lr=0.0, betas=(0.9, 0.95))
    begin = time.time()
    for step in range(1, steps + 1):
        rate = 3e-3 * min(1, step / 100) * (0.02 + 0.98 * (1 + math.cos(math.pi * step / steps)) / 2)
        for group in optimizer.param_groups:
            group["lr"] = rate
        ids = torch.tensor([next(tokens) for _ in range(rows * length)]).view(rows, length)
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if step % 100 == 0:
            with torch.no_grad():
                check = model(input_ids=held, labels=held).loss.item()
            print(f"step {step} {step * rows * length / (time.time() - begin):.0f} tokens/s "
                  f"loss {loss.item():.3f} held-out {check:.3f}", flush=True)

    tok.model_max_length = 512
    model.half().save_pretrained(out)
    tok.save_pretrained(out, save_jinja_files=False)
    (out / "generation_config.json").unlink(missing_ok=True)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("what", choices=["model", "data", "pairs"])
    ap.add_argument("out", type=Path)
    ap.add_argument("--steps", type=int, default=3200)
    ap.add_argument("--threads", type=int, default=1)
    args = ap.parse_args()
    if args.what == "data":
        write_data(args.out)
    elif args.what == "pairs":
        write_pairs(args.out)
    else:
        train_model(args.out, args.steps, args.threads)


if __name__ == "__main__":
    main()
