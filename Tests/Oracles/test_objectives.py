"""Objectives that compare answers: loss and gradients of every one against TRL's formulas in PyTorch, and whole runs against TRL's trainers."""
import json, math, shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import EXAMPLES
from datasets import Dataset
from make_adapter import make
from oracle import load_model, load_tokenizer, rows
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.numpy import load_file
from torch.nn.functional import logsigmoid
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer
from trl.experimental.cpo import CPOTrainer
from trl.experimental.orpo import ORPOTrainer

import loravk

PAIRS = EXAMPLES / "tiny" / "pairs"
METRICS = ["rewards/chosen", "rewards/rejected", "rewards/margins", "rewards/accuracies", "logps/chosen", "logps/rejected"]


def pairs(count, name="train"):
    """Texts, so that no chat template stands between."""
    lines = [
        {key: line[key][0]["content"] for key in ("prompt", "chosen", "rejected")} for line in rows(PAIRS / f"{name}.jsonl")]
    return [dict(prompt=line["prompt"], chosen=" " + line["chosen"], rejected=" " + line["rejected"]) for line in lines[:count]]


def judged(count):
    """Every other answer of the pairs as one that is wanted or not."""
    keys = ["chosen", "rejected"]
    return [dict(prompt=line["prompt"], completion=line[keys[i % 2]], label=i % 2 == 0) for i, line in enumerate(pairs(count))]


# Loss and gradients of one batch


def ids(tokenizer, prompt, answer):
    before = tokenizer(prompt)["input_ids"]
    whole = tokenizer(prompt + answer + tokenizer.eos_token)["input_ids"]
    assert whole[:len(before)] == before
    return before, whole[len(before):]


def log_p(model, prompt, answer):
    """log p of an answer, and the mean of a token."""
    logits = model(input_ids=torch.tensor([prompt + answer])).logits[0, len(prompt) - 1:-1]
    each = logits.log_softmax(-1).gather(-1, torch.tensor(answer)[:, None])
    return each.sum(), each.mean(), len(answer)


@torch.no_grad()
def fixed(model, prompt, answer):
    return log_p(model, prompt, answer)[0]


def pair_loss(model, reference, tokenizer, line, loss):
    prompt, chosen = ids(tokenizer, line["prompt"], line["chosen"])
    _, rejected = ids(tokenizer, line["prompt"], line["rejected"])
    return loss(*(log_p(model, prompt, answer) for answer in (chosen, rejected)),
                *(fixed(reference, prompt, answer) for answer in (chosen, rejected)))


def dpo(beta, smoothing=0.0):
    """Rafailov et al. 2023, with the label smoothing of Mitchell 2023."""
    def loss(chosen, rejected, *ref):
        h = beta * ((chosen[0] - ref[0]) - (rejected[0] - ref[1]))
        return -(1 - smoothing) * logsigmoid(h) - smoothing * logsigmoid(-h)
    return loss


def hinge(chosen, rejected, *ref):
    return torch.relu(1 - 0.1 * ((chosen[0] - ref[0]) - (rejected[0] - ref[1])))


def ipo(chosen, rejected, *ref):
    """Azar et al. 2023; log-ratios a token, as TRL has it."""
    return ((chosen[0] - ref[0]) / chosen[2] - (rejected[0] - ref[1]) / rejected[2] - 1 / 0.2)**2


def simpo(chosen, rejected, *ref):
    trainer = SimpleNamespace(
        alpha=0.0, beta=2.0, simpo_gamma=1.0, label_smoothing=0.1, loss_type="simpo", accelerator=SimpleNamespace(device="cpu"))
    return CPOTrainer.cpo_loss(trainer, chosen[1], rejected[1])[0]


def orpo(chosen, rejected, *ref):
    """Of the answer's tokens, as in the paper; TRL adds log p of the prompt's."""
    trainer = SimpleNamespace(beta=0.2, accelerator=SimpleNamespace(device="cpu"))
    return -chosen[1] - ORPOTrainer.odds_ratio_loss(trainer, chosen[1], rejected[1])[0]


def kto_losses(model, reference, tokenizer, lines):
    """Ethayarajh et al. 2024, eq. 8; the zero point is the mean over each prompt with the answer before."""
    parts = [ids(tokenizer, line["prompt"], line["completion"]) for line in lines]
    others = [(prompt, parts[i - 1][1]) for i, (prompt, _) in enumerate(parts)]
    zero = sum(fixed(model, *other) - fixed(reference, *other) for other in others) / len(others)
    zero = torch.clamp(zero, min=0)
    for line, part in zip(lines, parts):
        ratio = log_p(model, *part)[0] - fixed(reference, *part)
        yield 1.5 * (1 - torch.sigmoid(0.1 * (ratio - zero))) if line["label"] else 1 - torch.sigmoid(0.1 * (zero - ratio))


OBJECTIVES = {
    "dpo": dpo(0.1), "dpo:beta=0.3,smoothing=0.2": dpo(0.3, 0.2), "hinge": hinge, "ipo": ipo, "simpo:smoothing=0.1": simpo,
    "orpo:lambda=0.2": orpo, "kto:desirable=1.5": None}


def one_step(tiny, folder, objective, lines):
    """The run in `folder`/out, begun or gone on with, stopped after a step: what was told, the adapter, and the optimizer's state."""
    model = loravk.Model.load(tiny)
    trainer = loravk.Trainer(
        model, loravk.Adapter.load(model, folder / "peft"), learning_rate=2e-2, objective=objective, max_grad_norm=0)
    told = []

    def stop(progress):
        told.append(progress)
        return False

    result = trainer.fit(
        lines, steps=3, batch_size=4, shuffle=False, schedule="constant", warmup_steps=0, output=folder / "out", resume=True,
        on_progress=stop)
    assert result.stopped and len(told) == 1
    return told[0], load_file(folder / "out" / "training_state.safetensors")


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_loss_and_gradients_are_those_of_pytorch(objective, tiny, tmp_path):
    """Of the second step, in which the model is not its reference any more."""
    make(tiny, tmp_path / "peft", rank=4, alpha=8, size=0.1)
    lines = judged(4) if objective.startswith("kto") else pairs(4)
    _, before = one_step(tiny, tmp_path, objective, lines)
    shutil.copytree(tmp_path / "out", tmp_path / "first")
    told, after = one_step(tiny, tmp_path, objective, lines)
    assert told.step == 2

    tokenizer = load_tokenizer(tiny)
    model = PeftModel.from_pretrained(load_model(tiny), tmp_path / "first", is_trainable=True).eval()
    reference = PeftModel.from_pretrained(load_model(tiny), tmp_path / "peft").eval()
    if objective.startswith("kto"):
        losses = list(kto_losses(model, reference, tokenizer, lines))
    else:
        losses = [pair_loss(model, reference, tokenizer, line, OBJECTIVES[objective]) for line in lines]
    loss = sum(losses) / len(losses)
    loss.backward()
    assert math.isclose(told.loss, loss.item(), rel_tol=1e-4)
    largest = max(p.grad.abs().max().item() for p in model.parameters() if p.grad is not None)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            # AdamW's mean of the gradient is a tenth of it, and nine tenths of the mean before.
            key = name.replace(".default", "") + ".exp_avg"
            gradient = (after[key] - 0.9 * before[key]) * 10
            np.testing.assert_allclose(gradient, parameter.grad.numpy(), rtol=1e-3, atol=1e-3 * largest, err_msg=name)


def test_eval_tells_what_training_tells(program, tiny, tmp_path):
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(line) + "\n" for line in pairs(6)))
    (tmp_path / "valid.jsonl").write_text("".join(json.dumps(line) + "\n" for line in pairs(6, "valid")))
    words = ["--model", tiny, "--data", tmp_path, "--objective", "dpo"]
    last = program.train(tmp_path / "out", *words, "--steps", 3, "--batch-size", 6, "--lr", 3e-3)[-1]
    told = program.eval(*words, "--adapter", tmp_path / "out")
    assert told["loss"] == pytest.approx(last["validation_loss"], rel=1e-4) and abs(told["rewards/margins"]) > 0.01
    for name in METRICS:
        assert told[name] == pytest.approx(last[f"validation_{name}"], rel=1e-4, abs=1e-5), name
    without = program.eval(*words)
    assert without["loss"] == pytest.approx(math.log(2), rel=1e-5) and abs(without["rewards/margins"]) < 1e-5


# Whole runs

RECIPE = dict(
    learning_rate=1e-3, lr_scheduler_type="constant", warmup_steps=0, weight_decay=0.0, max_grad_norm=0.0, logging_steps=1,
    report_to="none", save_strategy="no", use_cpu=True, bf16=False, gradient_checkpointing=False, disable_dropout=True, beta=0.1,
    train_sampling_strategy="sequential", dataloader_num_workers=0)


def start(tiny, folder):
    """A new adapter of PEFT, whose B is zero, in a folder."""
    torch.manual_seed(3)
    model = get_peft_model(load_model(tiny), LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM"))
    model.save_pretrained(folder)
    return model


def compare(log, metrics, names):
    assert len(log) == len(metrics)
    for theirs, ours in zip(log, metrics):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-3, abs=1e-4)
        for name in names:
            assert ours[name] == pytest.approx(theirs[name], rel=1e-3, abs=1e-3), name


@pytest.mark.parametrize("loss, objective, steps", [("sigmoid", "dpo", 20), ("ipo", "ipo", 5)])
def test_steps_of_dpo_are_those_of_trl(loss, objective, steps, program, tiny, tmp_path):
    model = start(tiny, tmp_path / "peft")
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(line) + "\n" for line in pairs(4 * steps)))
    metrics = program.train(
        tmp_path / "out", "--model", tiny, "--data", tmp_path / "train.jsonl", "--adapter", tmp_path / "peft", "--objective", objective,
        "--steps", steps, "--batch-size", 4, "--no-shuffle", "--lr", 1e-3, "--schedule", "constant", "--warmup", 0,
        "--max-grad-norm", 0)
    trainer = DPOTrainer(
        model=model, processing_class=load_tokenizer(tiny), train_dataset=Dataset.from_list(pairs(4 * steps)),
        args=DPOConfig(output_dir=tmp_path / "trl", max_steps=steps, per_device_train_batch_size=4, loss_type=[loss], **RECIPE))
    trainer.train()
    log = [line for line in trainer.state.log_history if "rewards/margins" in line]
    compare(log, metrics, METRICS)
    assert metrics[-1]["rewards/margins"] > 0.3 and metrics[-1]["rewards/accuracies"] == 1


def test_steps_of_kto_are_those_of_trl(program, tiny, tmp_path):
    model = start(tiny, tmp_path / "peft")
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(line) + "\n" for line in judged(8)))
    metrics = program.train(
        tmp_path / "out", "--model", tiny, "--data", tmp_path / "train.jsonl", "--adapter", tmp_path / "peft", "--objective", "kto",
        "--steps", 10, "--batch-size", 8, "--no-shuffle", "--lr", 1e-3, "--schedule", "constant", "--warmup", 0,
        "--max-grad-norm", 0)
    trainer = KTOTrainer(
        model=model, processing_class=load_tokenizer(tiny), train_dataset=Dataset.from_list(judged(8)),
        args=KTOConfig(output_dir=tmp_path / "trl", max_steps=10, per_device_train_batch_size=8, **RECIPE))
    trainer.train()
    log = [line for line in trainer.state.log_history if "kl" in line]
    compare(log, metrics, ["rewards/chosen", "rewards/rejected", "rewards/margins", "logps/chosen", "logps/rejected", "kl"])
