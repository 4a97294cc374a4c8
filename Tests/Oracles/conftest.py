"""What the tests of the program share: the built `lora-vk` (LORAVK_BIN), the tiny model, and SmolLM2 (LORAVK_TEST_MODEL)."""
import json, os, subprocess
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "Examples"


def required(name):
    value = os.environ.get(name)
    assert value, f"{name} is not set: run these tests with scripts/test"
    return Path(value)


class Program:
    """The built program; every call must end well unless the test says how it fails."""

    def __init__(self, path):
        self.path = path

    def run(self, *words, fails=False):
        done = subprocess.run([self.path, *map(str, words)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600)
        assert (done.returncode != 0) == fails, f"exit code {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stderr if fails else done.stdout

    def eval(self, *words):
        """The numbers that `eval` prints, by name."""
        lines = [line.split() for line in self.run("eval", *words).splitlines() if line.strip()]
        return {words[0]: float(words[1]) for words in lines}

    def train(self, out, *words):
        """Trains and returns the lines of metrics.jsonl."""
        self.run("train", "--out", out, *words)
        return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="session")
def program():
    return Program(required("LORAVK_BIN"))


@pytest.fixture(scope="session")
def smollm2():
    return required("LORAVK_TEST_MODEL")


@pytest.fixture(scope="session")
def tiny():
    return EXAMPLES / "tiny" / "model"


@pytest.fixture(scope="session")
def shanties():
    return EXAMPLES / "tiny" / "valid.jsonl"
