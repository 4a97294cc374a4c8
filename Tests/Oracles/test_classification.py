"""Heads that say something of texts: loss, gradients, scores and files against transformers and PEFT, a reward model against TRL's
trainer, and runs that are killed."""
import json, math, random, signal

import numpy as np
import pytest
import torch
from conftest import EXAMPLES
from datasets import Dataset
from oracle import load_tokenizer, rows
from peft import AutoPeftModelForSequenceClassification, LoraConfig, PeftModel, get_peft_model
from safetensors import safe_open
from safetensors.torch import load_file
from test_objectives import RECIPE, pairs
from test_resume import disturb, lines, results
from transformers import AutoModelForSequenceClassification
from trl import RewardConfig, RewardTrainer

MOODS = ["calm", "rough", "wild"]
WEIGHTS = "adapter_model.safetensors"


def texts(count=12):
    found = [message["content"] for line in rows(EXAMPLES / "tiny" / "train.jsonl") for message in line["messages"]]
    return [text for text in found if text.strip()][:count]


def write(path, lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def labelled(count=12):
    return [dict(text=text, label=MOODS[7 * i // 2 % 3]) for i, text in enumerate(texts(count))]


def base(tiny, outputs, problem=None):
    torch.manual_seed(5)
    return AutoModelForSequenceClassification.from_pretrained(
        tiny, num_labels=outputs, problem_type=problem, dtype=torch.float32)


def start(tiny, folder, outputs, size=0.1, **options):
    """An adapter of PEFT that changes what the model says, with a head."""
    model = get_peft_model(
        base(tiny, outputs), LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="SEQ_CLS", **options))
    numbers = torch.Generator().manual_seed(1)
    for name, p in sorted(model.named_parameters()):
        if p.requires_grad:
            p.data = torch.randn(p.shape, generator=numbers) * size
    model.save_pretrained(folder)


def logits(model, tokenizer, text, pair=None):
    return model(**tokenizer(text, pair, return_tensors="pt")).logits[0]


def said(program, tiny, adapter, data):
    """What `classify` says of a file's lines."""
    printed = program.run("classify", "--model", tiny, "--adapter", adapter, "--data", data)
    return [json.loads(line) for line in printed.splitlines()]


def values(problem, i):
    """Of line i: the label of a row, and what transformers takes for it."""
    if problem == "classification":
        return 7 * i // 2 % 3, torch.tensor([7 * i // 2 % 3])
    if problem == "multilabel":
        return [(i >> k) % 2 for k in range(3)], torch.tensor([[float((i >> k) % 2) for k in range(3)]])
    if problem == "regression":
        return i / 4 - 1, torch.tensor([[i / 4 - 1]])
    return [i / 4, -i / 8], torch.tensor([[i / 4, -i / 8]])


PROBLEMS = {
    "classification": (3, "single_label_classification"), "multilabel": (3, "multi_label_classification"),
    "regression": (1, "regression"), "regression of two": (2, "regression")}


@pytest.mark.parametrize("problem", PROBLEMS)
def test_loss_and_gradients_are_those_of_transformers(problem, program, tiny, tmp_path):
    outputs, name = PROBLEMS[problem]
    start(tiny, tmp_path / "peft", outputs)
    rows = [dict(text=text, label=values(problem, i)[0]) for i, text in enumerate(texts(8))]
    data = write(tmp_path / "data.jsonl", rows)
    told = program.train(
        tmp_path / "out", "--model", tiny, "--adapter", tmp_path / "peft", "--data", data, "--objective", problem.split()[0],
        "--steps", 1, "--batch-size", len(rows), "--no-shuffle", "--optimizer", "sgd:momentum=0", "--lr", 1, "--warmup", 0,
        "--schedule", "constant", "--max-grad-norm", 0)[0]

    tokenizer = load_tokenizer(tiny)
    model = PeftModel.from_pretrained(base(tiny, outputs, name), tmp_path / "peft", is_trainable=True).eval()
    losses = [model(**tokenizer(row["text"], return_tensors="pt"), labels=values(problem, i)[1]).loss for i, row in enumerate(rows)]
    loss = sum(losses) / len(rows)
    loss.backward()
    assert math.isclose(told["loss"], loss.item(), rel_tol=1e-4)
    before, after = load_file(tmp_path / "peft" / WEIGHTS), load_file(tmp_path / "out" / WEIGHTS)
    gradients = {name.replace(".default", "").replace(".modules_to_save", ""): p.grad
                 for name, p in model.named_parameters() if p.requires_grad}
    assert set(gradients) == set(after) and "base_model.model.score.weight" in after
    largest = max(gradient.abs().max().item() for gradient in gradients.values())
    for name, gradient in gradients.items():
        np.testing.assert_allclose(
            (before[name] - after[name]).numpy(), gradient.numpy(), rtol=1e-3, atol=1e-3 * largest, err_msg=name)


def test_what_was_trained_is_what_peft_loads(program, tiny, tmp_path):
    data = write(tmp_path / "data.jsonl", labelled() + [dict(text="One", text_pair="two", label="wild")])
    program.train(
        tmp_path / "out", "--model", tiny, "--data", data, "--objective", "classification", "--steps", 5, "--lr", 5e-3, "--rank", 4)
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert config["task_type"] == "SEQ_CLS" and config["modules_to_save"] == ["score"]
    with safe_open(tmp_path / "out" / WEIGHTS, "pt") as file:
        assert json.loads(file.metadata()["id2label"]) == dict(zip("012", MOODS))
        assert file.metadata()["problem_type"] == "single_label_classification"
    ours = said(program, tiny, tmp_path / "out", data)
    tokenizer = load_tokenizer(tiny)
    loaded = [PeftModel.from_pretrained(base(tiny, 3), tmp_path / "out"),
              AutoPeftModelForSequenceClassification.from_pretrained(tmp_path / "out", num_labels=3, dtype=torch.float32)]
    for model in loaded:
        for row, told in zip(rows(data), ours):
            with torch.no_grad():
                theirs = logits(model.eval(), tokenizer, row["text"], row.get("text_pair")).softmax(-1)
            assert list(told["scores"]) == MOODS and told["label"] == MOODS[theirs.argmax()]
            np.testing.assert_allclose(list(told["scores"].values()), theirs.numpy(), rtol=1e-3, atol=1e-5)


def test_heads_of_peft_are_read(program, tiny, tmp_path):
    start(tiny, tmp_path / "peft", 3)
    start(tiny, tmp_path / "one", 1)
    data = write(tmp_path / "data.jsonl", labelled(4))
    tokenizer, model = load_tokenizer(tiny), PeftModel.from_pretrained(base(tiny, 3), tmp_path / "peft").eval()
    for row, told in zip(rows(data), said(program, tiny, tmp_path / "peft", data)):
        theirs = logits(model, tokenizer, row["text"]).softmax(-1).detach().numpy()
        assert list(told["scores"]) == ["LABEL_0", "LABEL_1", "LABEL_2"]
        np.testing.assert_allclose(list(told["scores"].values()), theirs, rtol=1e-3, atol=1e-5)
    model = PeftModel.from_pretrained(base(tiny, 1), tmp_path / "one").eval()
    for row, told in zip(rows(data), said(program, tiny, tmp_path / "one", data)):
        assert told["value"] == pytest.approx(logits(model, tokenizer, row["text"]).item(), rel=1e-3, abs=1e-4)


def test_it_learns_and_tells_what_it_measures(program, tiny, tmp_path):
    lines = labelled(24)
    write(tmp_path / "train.jsonl", lines)
    write(tmp_path / "valid.jsonl", lines[:9])
    words = ["--model", tiny, "--data", tmp_path, "--objective", "classification"]
    last = program.train(tmp_path / "out", *words, "--steps", 60, "--batch-size", 12, "--lr", 5e-3)[-1]
    told = program.eval(*words, "--adapter", tmp_path / "out")
    assert told["accuracy"] == 1 and told["f1"] == 1 and told["matthews_correlation"] == 1
    assert last["validation_accuracy"] == 1 and told["loss"] == pytest.approx(last["validation_loss"], rel=1e-3)
    answers = program.run("classify", "--model", tiny, "--adapter", tmp_path / "out", lines[0]["text"], lines[1]["text"])
    assert [json.loads(line)["label"] for line in answers.splitlines()] == [line["label"] for line in lines[:2]]


def test_what_cannot_be_done_is_said(program, tiny, tmp_path):
    start(tiny, tmp_path / "peft", 3)
    data = write(tmp_path / "data.jsonl", labelled(6))
    words = ["--model", tiny, "--adapter", tmp_path / "peft"]
    assert "lora-vk classify" in program.run("generate", *words, "--prompt", "Hi", fails=True)
    assert "a merged model would lose" in program.run("merge", *words, "--out", tmp_path / "merged", fails=True)
    assert "llama.cpp has no place for" in program.run("export", *words, "--out", tmp_path / "a.gguf", fails=True)
    plain = write(tmp_path / "plain.jsonl", [dict(text="One two three")])
    assert "trains none" in program.run("eval", *words, "--data", plain, fails=True)
    assert "one of the labels LABEL_0" in program.run("eval", *words, "--data", data, "--objective", "classification", fails=True)
    train = ["train", "--model", tiny, "--out", tmp_path / "out", "--objective", "classification"]
    assert "wants 2" in program.run(*train[:-1], "classification:labels=2", "--data", data, fails=True)
    assert "expected 'text' and 'label'" in program.run(*train, "--data", plain, fails=True)
    assert "use another" in program.run(*train, "--data", data, "--init", "lora-ga", fails=True)
    assert "no head" in program.run("classify", "--model", tiny, "--adapter", lm(program, tiny, tmp_path), "Hi", fails=True)


def lm(program, tiny, tmp_path):
    program.train(tmp_path / "lm", "--model", tiny, "--data", EXAMPLES / "tiny" / "train.jsonl", "--steps", 1, "--rank", 4)
    return tmp_path / "lm"


def test_an_adapter_of_a_language_model_gets_a_head(program, tiny, tmp_path):
    data = write(tmp_path / "data.jsonl", labelled())
    program.train(
        tmp_path / "out", "--model", tiny, "--adapter", lm(program, tiny, tmp_path), "--data", data, "--objective", "classification",
        "--steps", 1)
    assert said(program, tiny, tmp_path / "out", data)[0]["label"] in MOODS


@pytest.mark.parametrize("margin", [False, True])
def test_steps_of_a_reward_model_are_those_of_trl(margin, program, tiny, tmp_path):
    steps = 20
    start(tiny, tmp_path / "peft", 1, size=0.02)
    lines = [line | (dict(margin=i % 3 / 2) if margin else {}) for i, line in enumerate(pairs(4 * steps))]
    data = write(tmp_path / "data.jsonl", lines)
    metrics = program.train(
        tmp_path / "out", "--model", tiny, "--data", data, "--adapter", tmp_path / "peft", "--objective", "reward:centre=0.01",
        "--steps", steps, "--batch-size", 4, "--no-shuffle", "--lr", 1e-3, "--schedule", "constant", "--warmup", 0,
        "--max-grad-norm", 0)
    model = PeftModel.from_pretrained(base(tiny, 1), tmp_path / "peft", is_trainable=True)
    options = {key: value for key, value in RECIPE.items() if key != "beta"}
    trainer = RewardTrainer(
        model=model, processing_class=load_tokenizer(tiny), train_dataset=Dataset.from_list(lines),
        args=RewardConfig(
            output_dir=tmp_path / "trl", max_steps=steps, per_device_train_batch_size=4, center_rewards_coefficient=0.01, **options))
    trainer.train()
    log = [line for line in trainer.state.log_history if "accuracy" in line]
    assert len(log) == len(metrics) == steps
    for theirs, ours in zip(log, metrics):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-3, abs=1e-4)
        for name in ("margin", "mean_reward"):
            assert ours[name] == pytest.approx(theirs[name], rel=1e-3, abs=2e-3), name
        assert ours["accuracy"] == theirs["accuracy"] or abs(ours["margin"]) < 1e-3


def test_runs_that_are_killed_at_random_end_in_the_same_bytes(program, tiny, tmp_path):
    write(tmp_path / "train.jsonl", labelled(24))
    write(tmp_path / "valid.jsonl", labelled(6))
    options = ["--data", tmp_path, "--objective", "classification", "--steps", 40, "--save-every", 3, "--validate-every", 5,
               "--rank", 4, "--dropout", 0.1, "--batch-size", 4, "--lr", 1e-3]
    program.train(tmp_path / "whole", "--model", tiny, *options)
    whole = results(tmp_path / "whole")
    kills = sorted(random.Random(7).sample(range(1, 40), 5))
    for step in kills:
        code, told = disturb(program, tiny, tmp_path / "out", signal.SIGKILL, step, options)
        assert code == -signal.SIGKILL, told
    program.run("train", "--resume", "--model", tiny, "--out", tmp_path / "out", *options)
    assert results(tmp_path / "out") == whole, kills
