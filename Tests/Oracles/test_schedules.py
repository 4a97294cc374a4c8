"""The learning rate of every step of a run, by metrics.jsonl, against transformers' schedules. Ours begins its rise one step later
in it, so that the first step learns something."""
import pytest
import torch
from transformers import optimization as theirs

from conftest import EXAMPLES

STEPS, RATE = 24, 3e-3

CASES = {
    "constant": lambda o, w: theirs.get_constant_schedule_with_warmup(o, w),
    "linear": lambda o, w: theirs.get_linear_schedule_with_warmup(o, w, STEPS),
    "cosine": lambda o, w: theirs.get_cosine_schedule_with_warmup(o, w, STEPS),
    "cosine:floor=0.1": lambda o, w: theirs.get_cosine_with_min_lr_schedule_with_warmup(o, w, STEPS, min_lr_rate=0.1),
    "cosine:cycles=3": lambda o, w: theirs.get_cosine_with_hard_restarts_schedule_with_warmup(o, w, STEPS, 3),
    "wsd": lambda o, w: theirs.get_wsd_schedule(o, w, round(0.2 * STEPS), STEPS),
    "wsd:decay=0.5,floor=0.2,cosine=0": lambda o, w: theirs.get_wsd_schedule(
        o, w, STEPS // 2, STEPS, min_lr_ratio=0.2, decay_type="linear"),
    "inverse_sqrt": lambda o, w: theirs.get_inverse_sqrt_schedule(o, w),
    "inverse_sqrt:timescale=50": lambda o, w: theirs.get_inverse_sqrt_schedule(o, w, timescale=50),
    "polynomial:power=2": lambda o, w: theirs.get_polynomial_decay_schedule_with_warmup(o, w, STEPS, lr_end=0, power=2),
    "polynomial:power=0.5,floor=0.25": lambda o, w: theirs.get_polynomial_decay_schedule_with_warmup(
        o, w, STEPS, lr_end=0.25 * RATE, power=0.5),
}


def rates(make, warmup):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=RATE)
    schedule = make(optimizer, warmup)
    values = []
    for _ in range(STEPS + 1):
        values.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    return values


@pytest.mark.parametrize("warmup", [0, 6])
@pytest.mark.parametrize("name", CASES)
def test_every_rate_is_transformers(program, tiny, tmp_path, name, warmup):
    wanted = rates(CASES[name], warmup)
    lines = program.train(
        tmp_path / "out", "--model", tiny, "--data", EXAMPLES / "tiny" / "train.jsonl", "--steps", STEPS, "--batch-size", 1,
        "--rank", 1, "--targets", "layers.1.self_attn.q_proj", "--lr", RATE, "--schedule", name, "--warmup", warmup)
    got = [line["learning_rate"] for line in lines]
    if "wsd" in name and "floor" in name:  # theirs rises from the floor
        wanted[: warmup + 1] = [RATE * step / max(1, warmup) for step in range(warmup + 1)] if warmup else wanted[:1]
    assert got == pytest.approx(wanted[1 : warmup + 1] + wanted[warmup:STEPS], rel=1e-9, abs=1e-18)


def test_wrong_schedules_are_refused(program, tiny, tmp_path):
    words = ["train", "--model", tiny, "--data", EXAMPLES / "tiny" / "train.jsonl", "--out", tmp_path / "out", "--schedule"]
    for name, said in {
        "cosin": "there is no schedule 'cosin'; there are constant, linear, cosine, wsd, inverse_sqrt, polynomial",
        "cosine:low=1": "takes no option 'low'; it takes floor, cycles", "linear:floor=2": "floor is 2",
    }.items():
        assert said in program.run(*words, name, fails=True)
    assert not (tmp_path / "out").exists()
