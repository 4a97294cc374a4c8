"""Adapters between this program and PEFT: the same logits, the same bytes, and training that goes on."""
import json, math

import numpy as np
import pytest
import torch
from conftest import EXAMPLES
from make_adapter import make
from oracle import chat_ids, load_model, load_tokenizer
from peft import PeftModel
from safetensors.numpy import load_file

TRAIN = EXAMPLES / "tiny" / "train.jsonl"
OPTIONS = [[], ["--rank", 3, "--alpha", 7], ["--rank", 20, "--rslora"], ["--initialization", "init-b", "--targets", "q_proj,v_proj"],
           ["--targets", "layers.2.*,layers.0.mlp.up_proj"]]


@pytest.fixture(scope="module", params=OPTIONS, ids=lambda words: " ".join(map(str, words)) or "defaults")
def trained(request, program, tiny, tmp_path_factory):
    out = tmp_path_factory.mktemp("trained") / "adapter"
    program.train(out, "--model", tiny, "--data", TRAIN, "--steps", 5, "--batch-size", 4, "--lr", 5e-3, *request.param)
    return out


@torch.no_grad()
def log_probabilities(model, ids):
    return model(input_ids=torch.tensor([ids])).logits[0].double().log_softmax(-1).numpy()


def test_logits_are_those_of_peft(program, tiny, trained, tmp_path):
    """Each example asks for one token at one place, so that its loss is one logit less the normaliser of its row: the eight
    likeliest and eight other tokens of six rows."""
    model, tokenizer = load_model(tiny, trained), load_tokenizer(tiny)
    text = json.loads(TRAIN.read_text().splitlines()[5])["messages"]
    ids = chat_ids(tokenizer, text)
    wanted, lines = [], []
    rows = log_probabilities(model, ids)
    for place in np.linspace(1, len(ids) - 1, 6).astype(int):
        order = np.argsort(-rows[place - 1])
        for token in [*order[:8], *order[8::len(order) // 8][:8]]:
            lines.append(json.dumps(dict(input_ids=ids[:place + 1], labels=[-100] * place + [int(token)])))
            wanted.append(-rows[place - 1, token])
    (tmp_path / "one.jsonl").write_text("\n".join(lines))
    said = program.run("eval", "--model", tiny, "--adapter", trained, "--data", tmp_path / "one.jsonl", "--each")
    losses = [float(line.split()[3]) for line in said.splitlines() if line.startswith("line ")]
    np.testing.assert_allclose(losses, wanted, rtol=1e-4, atol=1e-5)
    base = log_probabilities(load_model(tiny), ids)
    assert np.abs(base - rows).max() > 0.05, "the adapter does nothing"


def test_the_sum_of_losses_is_what_eval_prints(program, tiny, trained):
    words = ["--model", tiny, "--adapter", trained, "--data", TRAIN, "--limit", 5]
    lines = [line.split() for line in program.run("eval", *words, "--each").splitlines() if line.startswith("line ")]
    tokens = [int(line[5]) for line in lines]
    together = program.eval(*words)
    assert len(lines) == 5 and sum(tokens) == together["tokens"]
    mean = sum(float(line[3]) * count for line, count in zip(lines, tokens)) / sum(tokens)
    assert mean == pytest.approx(together["loss"], rel=1e-5)


def test_what_peft_saves_again_is_the_same(trained, tiny, tmp_path):
    PeftModel.from_pretrained(load_model(tiny), trained).save_pretrained(tmp_path)
    name = "adapter_model.safetensors"
    assert (tmp_path / name).read_bytes() == (trained / name).read_bytes()
    ours, theirs = (json.loads((folder / "adapter_config.json").read_text()) for folder in (trained, tmp_path))
    for config in (ours, theirs):
        for key in ["base_model_name_or_path", "task_type", "auto_mapping"]:  # PEFT fills these in from the model's class
            config.pop(key)
        config["target_modules"] = sorted(config["target_modules"])
    assert ours == {key: theirs[key] for key in ours}
    assert not any(theirs[key] for key in theirs.keys() - ours.keys() - {"peft_version"})


def test_an_adapter_of_peft_is_trained_further_and_saved_as_peft_does(program, tiny, tmp_path):
    make(tiny, tmp_path / "peft", rank=4, alpha=6, targets="q_proj,down_proj", size=0.1)
    program.train(tmp_path / "out", "--model", tiny, "--data", TRAIN, "--adapter", tmp_path / "peft", "--steps", 1, "--lr", 1e-3,
                  "--batch-size", 2)
    start, after = (load_file(tmp_path / name / "adapter_model.safetensors") for name in ("peft", "out"))
    assert start.keys() == after.keys()
    changes = np.concatenate([np.abs(after[key] - start[key]).ravel() for key in start])
    assert changes.max() <= 1.001e-3 and np.median(changes) > 5e-4  # AdamW's first step is the learning rate
    configs = [(tmp_path / name / "adapter_config.json").read_bytes() for name in ("peft", "out")]
    assert configs[0] == configs[1]
    PeftModel.from_pretrained(load_model(tiny), tmp_path / "out")


def test_first_steps_are_those_of_peft(program, tiny, tmp_path):
    """The loss before the second step shows the first update: the optimizer, the scaling and both halves of the gradient."""
    make(tiny, tmp_path / "peft", rank=4, alpha=8, size=0.1)
    tokenizer = load_tokenizer(tiny)
    lines = [chat_ids(tokenizer, json.loads(line)["messages"])[:48] for line in TRAIN.read_text().splitlines()[:4]]
    (tmp_path / "data.jsonl").write_text("\n".join(json.dumps(dict(input_ids=ids)) for ids in lines))
    metrics = program.train(
        tmp_path / "out", "--model", tiny, "--data", tmp_path / "data.jsonl", "--adapter", tmp_path / "peft", "--steps", 3,
        "--batch-size", 4, "--no-shuffle", "--lr", 2e-3, "--schedule", "constant", "--warmup", 0, "--max-grad-norm", 0.5)
    model = PeftModel.from_pretrained(load_model(tiny), tmp_path / "peft", is_trainable=True)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=2e-3, weight_decay=0)
    for line in metrics:
        total, count = 0, sum(len(ids) - 1 for ids in lines)
        for ids in lines:
            logits = model(input_ids=torch.tensor([ids])).logits[0, :-1]
            total = total + torch.nn.functional.cross_entropy(logits, torch.tensor(ids[1:]), reduction="sum") / count
        total.backward()
        norm = torch.nn.utils.clip_grad_norm_(parameters, 0.5)
        assert math.isclose(line["loss"], total.item(), rel_tol=1e-4)
        assert math.isclose(line["grad_norm"], norm.item(), rel_tol=1e-3)
        optimizer.step()
        optimizer.zero_grad()
