"""The best adapter, patience, checkpoints, time and samples of a run; and that runs that are killed at random and go on end as
undisturbed ones, whichever optimizer they have."""
import json, random, signal

import pytest
from conftest import EXAMPLES
from peft import PeftModel
from transformers import AutoModelForCausalLM

from test_program import assert_same_loss
from test_resume import disturb, lines

STATE = "training_state.safetensors"
OPTIONS = ["--data", EXAMPLES / "tiny", "--steps", 300, "--save-every", 3, "--validate-every", 2, "--rank", 4, "--dropout", 0.1,
           "--batch-size", 4, "--lr", 2e-2, "--schedule", "constant", "--keep-best", "--patience", 4, "--keep-checkpoints", 2]
OPTIMIZERS = ["adamw", "adamw8bit", "lion:beta2=0.98", "muon"]


def options(optimizer):
    # Lion's numbers move by the whole rate.
    return [*OPTIONS, "--optimizer", optimizer, *(["--lr", 3e-3] if optimizer.startswith("lion") else [])]


def files(out):
    """Everything in a folder, but for times."""
    found = {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}
    found["metrics.jsonl"] = lines(out)
    return {name: data for name, data in found.items() if name != ".loravk.lock"}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_runs_that_are_killed_at_random_end_as_undisturbed_ones(program, tiny, tmp_path, optimizer):
    program.train(tmp_path / "whole", "--model", tiny, *options(optimizer))
    whole = files(tmp_path / "whole")
    last = len(whole["metrics.jsonl"])
    assert last < 300 and STATE not in whole and not [name for name in whole if name.startswith("best-")]
    losses = {row["step"]: row["validation_loss"] for row in whole["metrics.jsonl"] if "validation_loss" in row}
    best = min(losses, key=losses.get)
    assert best == last - 8, losses
    dice = random.Random(optimizer)
    kills = sorted(dice.sample(range(1, last), min(5, last - 1)))
    for step in kills:
        code, said = disturb(program, tiny, tmp_path / "out", signal.SIGKILL, step, options(optimizer))
        assert code == -signal.SIGKILL, said
    said = program.run("train", "--resume", "--model", tiny, "--out", tmp_path / "out", *options(optimizer))
    assert files(tmp_path / "out") == whole, kills


def test_the_best_adapter_is_the_one_that_is_left(program, tiny, shanties, tmp_path):
    rows = program.train(tmp_path / "out", "--model", tiny, *options("adamw"))
    losses = [row["validation_loss"] for row in rows if "validation_loss" in row]
    got = program.eval("--model", tiny, "--adapter", tmp_path / "out", "--data", shanties)
    assert got["loss"] == pytest.approx(min(losses), rel=1e-4) and losses[-1] > min(losses)


def test_checkpoints_are_adapters_and_go_on(program, tiny, shanties, tmp_path):
    plain = ["--data", EXAMPLES / "tiny" / "train.jsonl", "--steps", 10, "--save-every", 3, "--rank", 4, "--keep-checkpoints", 2]
    program.train(tmp_path / "out", "--model", tiny, *plain)
    found = sorted(path.name for path in (tmp_path / "out").glob("checkpoint-*"))
    assert found == ["checkpoint-6", "checkpoint-9"]
    assert_same_loss(program, tiny, shanties, adapter=tmp_path / "out" / "checkpoint-6")
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny), tmp_path / "out" / "checkpoint-6")
    assert any(name.endswith("lora_B.default.weight") and p.abs().max() > 0 for name, p in model.named_parameters())
    (tmp_path / "out" / "checkpoint-6").rename(tmp_path / "again")
    program.run("train", "--resume", "--model", tiny, "--out", tmp_path / "again", *plain)
    adapter = "adapter_model.safetensors"
    assert (tmp_path / "again" / adapter).read_bytes() == (tmp_path / "out" / adapter).read_bytes()


def test_the_time_of_a_run(program, tiny, tmp_path):
    words = ["train", "--model", tiny, "--out", tmp_path / "out", "--data", EXAMPLES / "tiny" / "train.jsonl", "--steps", 100000]
    program.run(*words, "--max-time", "2s")
    rows = lines(tmp_path / "out")
    assert 0 < len(rows) < 100000 and (tmp_path / "out" / STATE).exists()
    program.run(*words, "--max-time", "1s", "--resume")
    assert len(lines(tmp_path / "out")) > len(rows)
    for time in ("0", "-1s", "soon", "5x", ""):
        assert "max-time" in program.run(*words, "--resume", "--max-time", time, fails=True)


def test_samples_are_shown_and_written(program, tiny, tmp_path):
    plain = ["--data", EXAMPLES / "tiny", "--steps", 4, "--validate-every", 2, "--rank", 4]
    without = program.train(tmp_path / "without", "--model", tiny, *plain)
    config = tmp_path / "run.json"
    config.write_text(json.dumps({"sample": ["Who sails, and where?", "Where to?"], "sample-tokens": 5}))
    rows = program.train(tmp_path / "out", "--config", config, "--model", tiny, *plain)
    assert [row["loss"] for row in rows] == [row["loss"] for row in without]
    assert [[s["prompt"] for s in row.get("samples", [])] for row in rows] == [[], ["Who sails, and where?", "Where to?"]] * 2
    said = program.run("generate", "--model", tiny, "--adapter", tmp_path / "out", "--prompt", "Where to?", "--max-tokens", 5)
    assert said.strip().endswith(rows[3]["samples"][1]["text"].strip())
