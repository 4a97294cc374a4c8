"""Golden training runs: what PEFT computes in float32 on the CPU, for the trainer to reproduce.

usage: golden.py MODEL_DIR OUT_DIR [--init A|B --rank R --alpha X --targets q_proj,v_proj --rslora --rope-scaling …]
       golden.py --tiny MODEL_DIR OUT_DIR       every run of TINY below, each in its own folder of OUT_DIR
Writes tokens.npy (steps, B, T), init/ and final/ (adapters as PEFT saves them), grads_step0.safetensors, logits_after.npy
(the final adapter at the last token of tokens[0]) and reference.json (settings, loss and gradient norm of every step).
"""
import argparse, json, os
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # PEFT would look the base model up while saving
import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

ALL = "q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj"
TINY = {
    "initA": [],
    "initB": ["--init", "B", "--learning-rate", "5e-4"],
    "rslora": ["--rslora", "--rank", "8", "--alpha", "4"],
    "rank3": ["--rank", "3", "--alpha", "6"],
    "qv": ["--targets", "q_proj,v_proj", "--rank", "8", "--alpha", "16"],
    "rope_llama3": ["--rope-scaling", json.dumps(dict(
        rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=64))],
}


def arguments(words=None):
    ap = argparse.ArgumentParser()
    ap.add_argument("model", type=Path)
    ap.add_argument("out", type=Path)
    ap.add_argument("--text", type=Path, default=Path(__file__).parent / "golden.txt")
    ap.add_argument("--tiny", action="store_true")
    ap.add_argument("--seed", type=int, default=11)
    ap.add_argument("--init", choices="AB", default="A")
    ap.add_argument("--rank", type=int, default=4)
    ap.add_argument("--alpha", type=float, default=8)
    ap.add_argument("--targets", default=ALL)
    ap.add_argument("--rslora", action="store_true")
    ap.add_argument("--rope-scaling", type=json.loads)
    ap.add_argument("--learning-rate", type=float, default=1e-3)
    ap.add_argument("--weight-decay", type=float, default=0.01)
    ap.add_argument("--rows", type=int, default=2)
    ap.add_argument("--length", type=int, default=48)
    ap.add_argument("--steps", type=int, default=10)
    return ap.parse_args(words)


def load(args):
    config = AutoConfig.from_pretrained(args.model)
    if args.rope_scaling:
        config.rope_parameters = {**config.rope_parameters, **args.rope_scaling}
    return AutoModelForCausalLM.from_pretrained(args.model, config=config, dtype=torch.float32).eval()


def trainable(model):
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def initialise(model, init, seed):
    """Uniform within 1/sqrt(fan-in) for the random half, zero for the other; drawn in the order of the names."""
    rng = np.random.default_rng(seed)
    for name, p in sorted(trainable(model).items()):
        value = np.zeros(p.shape, np.float32)
        if ("lora_A" in name) == (init == "A"):
            bound = p.shape[1] ** -0.5
            value = rng.uniform(-bound, bound, p.shape).astype(np.float32)
        p.data = torch.from_numpy(value)


def run(args):
    args.out.mkdir(parents=True, exist_ok=True)
    ids = AutoTokenizer.from_pretrained(args.model)(args.text.read_text(), add_special_tokens=False).input_ids
    ids = np.array(ids[:args.steps * args.rows * args.length], np.int32).reshape(args.steps, args.rows, args.length)
    np.save(args.out / "tokens.npy", ids)

    model = get_peft_model(load(args), LoraConfig(
        r=args.rank, lora_alpha=args.alpha, lora_dropout=0.0, target_modules=args.targets.split(","),
        task_type="CAUSAL_LM", use_rslora=args.rslora))
    model.peft_config["default"].base_model_name_or_path = args.model.name
    initialise(model, args.init, args.seed)
    model.save_pretrained(args.out / "init")

    parameters = trainable(model)
    optimizer = torch.optim.AdamW(parameters.values(), lr=args.learning_rate, betas=(0.9, 0.999), eps=1e-8,
                                  weight_decay=args.weight_decay)
    losses, norms = [], []
    for step, batch in enumerate(torch.from_numpy(ids.astype(np.int64))):
        loss = model(input_ids=batch, labels=batch).loss
        loss.backward()
        losses.append(loss.item())
        norms.append(sum(p.grad.square().sum() for p in parameters.values()).sqrt().item())
        if step == 0:
            save_file({name.replace(".default", ""): p.grad.contiguous() for name, p in parameters.items()},
                      args.out / "grads_step0.safetensors")
        optimizer.step()
        optimizer.zero_grad()

    with torch.no_grad():
        logits = model(input_ids=torch.from_numpy(ids[0].astype(np.int64))).logits[:, -1]
    np.save(args.out / "logits_after.npy", logits.numpy())
    model.save_pretrained(args.out / "final")
    for card in args.out.glob("*/README.md"):
        card.unlink()
    settings = dict(
        model=args.model.name, seed=args.seed, r=args.rank, alpha=args.alpha, targets=args.targets.split(","), init=args.init,
        lr=args.learning_rate, wd=args.weight_decay, B=args.rows, T=args.length, steps=args.steps, rslora=args.rslora,
        rope_scaling=args.rope_scaling, losses=losses, grad_norms=norms, torch=torch.__version__)
    (args.out / "reference.json").write_text(json.dumps(settings, indent=1) + "\n")
    print(args.out, " ".join(f"{x:.4f}" for x in losses))


def main():
    args = arguments()
    torch.use_deterministic_algorithms(True)
    if not args.tiny:
        return run(args)
    for name, words in TINY.items():
        run(arguments([str(args.model), str(args.out / name), "--text", str(args.text), *words]))
    # The frozen model alone: logits at every position of the first row.
    ids = np.load(args.out / "initA" / "tokens.npy")[0, 0]
    with torch.no_grad():
        logits = load(args)(input_ids=torch.from_numpy(ids[None].astype(np.int64))).logits[0]
    np.save(args.out / "base_logits.npy", logits.numpy())


if __name__ == "__main__":
    main()
