"""`loravk-study toy` on small widths: the same bits again, figures that parse, and the same training in numpy."""
import csv, math, subprocess
import xml.etree.ElementTree as ET

import numpy as np
import pytest

MASK = (1 << 64) - 1


@pytest.fixture
def toy(program):
    def run(out, *words):
        subprocess.run([program.path.with_name("loravk-study"), "toy", "--out", out, *words], check=True, capture_output=True, timeout=120)
        return {path.name: path.read_bytes() for path in out.iterdir()}
    return run


class Normals:
    """SplitMix64 and Box-Muller, as the study's seeds mean them."""

    def __init__(self, seed):
        self.state = seed

    def uniform(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return ((z ^ (z >> 31)) >> 11) * 2.0**-53

    def __call__(self, *shape, variance):
        def one():
            radius = math.sqrt(-2 * math.log(1 - self.uniform()))
            return radius * math.cos(2 * math.pi * self.uniform())
        return np.array([one() for _ in range(math.prod(shape))]).reshape(shape) * math.sqrt(variance)


def train(init, n, seed, rate, steps, rank=4, inputs=5, examples=512, teacher=20):
    """Losses of the steps and the sizes of the features before the last, in f64."""
    normal = Normals(seed)
    x, w_in = normal(examples, inputs, variance=1), normal(n, inputs, variance=1 / inputs)
    out = normal(n, variance=1 / n)
    w = normal(n, n, variance=1 / n)
    teacher_a, teacher_b = normal(teacher, n, variance=1 / n), normal(n, teacher, variance=1 / teacher)
    u = np.maximum(x @ w_in.T, 0)
    y = np.maximum(u @ (w + teacher_b @ teacher_a).T, 0) @ out
    normal = Normals((seed + (1 << 32)) & MASK)
    values = normal(rank * n, variance=1 / n if init == "Init[A]" else 1 / rank)
    zeros = np.zeros(rank * n)
    a, b = (values, zeros) if init == "Init[A]" else (zeros, values)
    parameters = [a.reshape(rank, n).copy(), b.reshape(n, rank).copy()]
    m, v = [0, 0], [0, 0]
    losses = []
    for step in range(1, steps + 1):
        a, b = parameters
        features = u @ a.T, u @ a.T @ b.T
        z = u @ w.T + features[1]
        error = np.maximum(z, 0) @ out - y
        losses.append(0.5 * (error**2).mean())
        dz = np.outer(error / examples, out) * (z > 0)
        for i, gradient in enumerate([(dz @ b).T @ u, dz.T @ (u @ a.T)]):
            m[i] = 0.9 * m[i] + 0.1 * gradient
            v[i] = 0.999 * v[i] + 0.001 * gradient**2
            parameters[i] = parameters[i] - rate * (m[i] / (1 - 0.9**step)) / (np.sqrt(v[i] / (1 - 0.999**step)) + 1e-8)
    return losses, [math.sqrt((z**2).mean()) for z in features]


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_the_toy_model_trains_as_numpy_does(toy, tmp_path):
    out = tmp_path / "toy"
    toy(out, "--widths", "64,128", "--seeds", "7", "--lr", "1e-3,1e-2", "--steps", "10")
    runs = {(row["init"], row["width"], row["lr"]): row for row in rows(out / "runs.csv")}
    assert len(runs) == 8
    for (init, width, rate), row in runs.items():
        losses, _ = train(init, int(width), 7, float(rate), 10)
        assert math.isclose(float(row["first_loss"]), losses[0], rel_tol=1e-4), row
        assert math.isclose(float(row["loss"]), losses[-1], rel_tol=1e-3), row
    found = rows(out / "rates.csv")
    assert len(found) == 4
    for row in found:
        own = {rate: float(run["loss"]) for (init, width, rate), run in runs.items() if (init, width) == (row["init"], row["width"])}
        assert row["best_lr"] == min(own, key=own.get)
        _, (z_a, z_b) = train(row["init"], int(row["width"]), 7, float(row["best_lr"]), 10)
        assert math.isclose(float(row["z_a"]), z_a, rel_tol=1e-3) and math.isclose(float(row["z_b"]), z_b, rel_tol=1e-3), row
    (exponent,) = [row["exponent"] for row in rows(out / "exponents.csv") if (row["init"], row["quantity"]) == ("Init[A]", "z_a")]
    sizes = [float(row["z_a"]) for row in found if row["init"] == "Init[A]"]
    assert math.isclose(float(exponent), math.log2(sizes[1] / sizes[0]), rel_tol=1e-9)


def test_rates_that_diverge_are_not_stable(toy, tmp_path):
    toy(tmp_path / "toy", "--widths", "64", "--seeds", "1", "--lr", "1e-3,1e-2,1e3,1e4", "--steps", "10")
    assert [row["loss"] for row in rows(tmp_path / "toy" / "runs.csv")[2:4]] == ["inf", "inf"]
    for row in rows(tmp_path / "toy" / "rates.csv"):
        assert row["stable_lr"] in ("0.001", "0.01") and row["steady_lr"] in ("0.001", "0.01"), row


def test_the_same_seeds_give_the_same_bits(toy, tmp_path):
    words = ("--widths", "64,128", "--seeds", "1..2", "--lr", "1e-3...1:4", "--steps", "20")
    first, second = toy(tmp_path / "first", *words), toy(tmp_path / "second", *words)
    assert first == second
    assert sorted(first) == [
        "exponents.csv", "features-width.svg", "features.csv", "features.svg", "loss-init-a.svg", "loss-init-b.svg", "rates.csv", "rates.svg", "runs.csv"
    ]
    for name in first:
        if name.endswith(".svg"):
            ET.fromstring(first[name])
