"""Optimizers against torch's and transformers', or the paper's formulas where those have none, on gradients that are given; and what
is said of wrong ones."""
import numpy as np
import pytest
import torch
from transformers.optimization import Adafactor

import loravk

STEPS, RATE, DECAY = 10, 2e-3, 0.1


class Lion(torch.optim.Optimizer):
    """Algorithm 2 of Chen et al. 2023."""

    def __init__(self, parameters, lr, beta1=0.9, beta2=0.99):
        super().__init__(parameters, dict(lr=lr, beta1=beta1, beta2=beta2))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                m = self.state[p].setdefault("m", torch.zeros_like(p))
                update = (group["beta1"] * m + (1 - group["beta1"]) * p.grad).sign()
                p.sub_(group["lr"] * (update + DECAY * p))
                m.mul_(group["beta2"]).add_((1 - group["beta2"]) * p.grad)


class SGD(torch.optim.SGD):
    """With decoupled weight decay, as all of ours have it."""

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                p.mul_(1 - group["lr"] * DECAY)
        super().step()



def muon(parameters, **options):
    from torch.optim import _muon
    plain = _muon._zeropower_via_newtonschulz

    def exact(gradient, coefficients, steps, eps):
        a, b, c = coefficients
        x = gradient.double()
        x = x.T if x.size(0) > x.size(1) else x
        x = x / x.norm().clamp(min=eps)
        for _ in range(steps):
            gram = x @ x.T
            x = a * x + (b * gram + c * gram @ gram) @ x
        return (x.T if gradient.size(0) > gradient.size(1) else x).float()

    optimizer = torch.optim.Muon(parameters, weight_decay=DECAY, **options)
    step = optimizer.step

    def patched():
        _muon._zeropower_via_newtonschulz = exact
        try:
            step()
        finally:
            _muon._zeropower_via_newtonschulz = plain

    optimizer.step = patched
    return optimizer


CASES = {
    "adamw:beta1=0.8,beta2=0.95": lambda p: torch.optim.AdamW(p, lr=RATE, betas=(0.8, 0.95), weight_decay=DECAY),
    "lion": lambda p: Lion(p, lr=RATE),
    "lion:beta1=0.95,beta2=0.98": lambda p: Lion(p, lr=RATE, beta1=0.95, beta2=0.98),
    "sgd:momentum=0": lambda p: SGD(p, lr=RATE),
    "sgd": lambda p: SGD(p, lr=RATE, momentum=0.9),
    "sgd:momentum=0.8,nesterov=1": lambda p: SGD(p, lr=RATE, momentum=0.8, nesterov=True),
    "adafactor": lambda p: Adafactor(
        p, lr=RATE, scale_parameter=False, relative_step=False, weight_decay=DECAY),
    "muon": lambda p: muon(p, lr=RATE, adjust_lr_fn="match_rms_adamw"),
    "muon:rms=0,nesterov=0,momentum=0.8": lambda p: muon(p, lr=RATE, nesterov=False, momentum=0.8),
}


@pytest.mark.parametrize("name", CASES)
def test_ten_steps_are_the_references(tiny, name):
    adapter = loravk.Adapter.create(tiny, rank=5, seed=3)
    trainer = loravk.Trainer(tiny, adapter, learning_rate=RATE, weight_decay=DECAY, optimizer=name)
    theirs = {key: torch.nn.Parameter(torch.tensor(value)) for key, value in adapter.parameters().items()}
    optimizer = CASES[name](list(theirs.values()))
    random = np.random.default_rng(7)
    for step in range(STEPS):
        size = 3.0 if step % 4 == 3 else 0.01
        gradients = {key: (size * random.standard_normal(p.shape)).astype(np.float32) for key, p in theirs.items()}
        adapter.set_gradients(gradients)
        norm = trainer.apply()
        for key, parameter in theirs.items():
            parameter.grad = torch.tensor(gradients[key])
        assert norm == pytest.approx(torch.nn.utils.clip_grad_norm_(theirs.values(), 1.0).item(), rel=1e-5)
        optimizer.step()
    for key, values in adapter.parameters().items():
        assert np.abs(values - theirs[key].detach().numpy()).max() <= 1e-5, key


def test_eight_bits_stay_near_all(tiny):
    """AdamW with coded averages goes where AdamW goes: on the same gradients, in the size of its steps."""
    ends = []
    for name in ("adamw", "adamw8bit"):
        adapter = loravk.Adapter.create(tiny, rank=8, seed=3)
        trainer = loravk.Trainer(tiny, adapter, learning_rate=RATE, optimizer=name)
        start, random = adapter.parameters(), np.random.default_rng(7)
        for _ in range(20):
            adapter.set_gradients({k: (0.5 + random.standard_normal(p.shape)).astype(np.float32) for k, p in start.items()})
            trainer.apply()
        ends.append(np.concatenate([(p - start[k]).ravel() for k, p in adapter.parameters().items()]))
    whole, coded = ends
    assert np.linalg.norm(coded - whole) <= 0.03 * np.linalg.norm(whole)


def test_a_training_with_each_learns_and_goes_on(tiny, tmp_path):
    rows = np.array([tiny.tokenizer.encode("The old captain sailed to sea, and never came home again.")])
    for name in ("lion", "sgd", "adafactor", "muon", "adamw8bit"):
        def made():
            return loravk.Trainer(tiny, loravk.Adapter.create(tiny, seed=3), learning_rate=1e-3, optimizer=name)

        trainer = made()
        losses = [trainer.step(rows).loss for _ in range(4)]
        assert losses[3] < losses[0], name
        trainer.save_state(tmp_path / "state")
        wanted = [trainer.step(rows).loss for _ in range(2)]
        other = made()
        other.load_state(tmp_path / "state")
        assert [other.step(rows).loss for _ in range(2)] == wanted, name
        with pytest.raises(loravk.Error, match=f"is the state of the optimizer '{name}', and this trainer's is 'adamw'"):
            loravk.Trainer(tiny, loravk.Adapter.create(tiny, seed=3)).load_state(tmp_path / "state")


def test_wrong_optimizers_are_refused(tiny):
    adapter = loravk.Adapter.create(tiny)
    for name, said in {
        "adam": "there is no optimizer 'adam'; there are adamw, ", "lion:beta=1": "takes no option 'beta'",
        "sgd:momentum=1": "momentum is 1", "": "there is no optimizer ''",
    }.items():
        with pytest.raises(loravk.InvalidArgumentError, match=said):
            loravk.Trainer(tiny, adapter, optimizer=name)
    with pytest.raises(loravk.InvalidArgumentError, match="write them as options"):
        loravk.Trainer(tiny, adapter, optimizer="lion", betas=(0.9, 0.99))


def test_the_plan_counts_what_an_optimizer_keeps(tiny):
    from conftest import TINY
    bytes_of = {name: loravk.plan(TINY, optimizer=name, rank=64).optimizer_bytes for name in ("adamw", "adamw8bit", "sgd")}
    assert bytes_of["adamw8bit"] < bytes_of["sgd"] < bytes_of["adamw"]
