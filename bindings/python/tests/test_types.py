"""The package's types are right, and programs that use it are checked by them."""
import subprocess, sys

from conftest import ROOT

GOOD = """
import numpy as np
import loravk

model = loravk.Model.load("m.gguf", on_progress=lambda done, total: done < total)
adapter = loravk.Adapter.create(model, rank=4, target_modules=["q_proj"], init="init-b")
with loravk.Trainer(model, adapter, learning_rate=1e-3) as trainer:
    loss: float = trainer.step(np.ones((2, 8), np.int32)).loss
    steps: int = trainer.fit("data.jsonl", epochs=2, on_progress=loravk.History()).steps
text: str = model.generate([{"role": "user", "content": "Hi"}], adapter)
session = model.session(adapter, capacity=512)
answer: str = session.chat("Hi", max_tokens=20, stop=["\\n"], on_choice=lambda choice: print(choice.log_probability))
pieces: list[str] = list(model.stream("Hi", adapter, temperature=0.5))
mixed: loravk.Adapter = loravk.Adapter.mix([adapter, adapter], [0.7, 0.3])
array: np.ndarray = loravk.matmul(np.ones((2, 3)), np.ones((3, 2))).numpy()
layers: int = loravk.inspect_model("m.gguf")[0].layers
"""
BAD = """
import loravk
model = loravk.Model.load(3)
loss: str = model.evaluate([[1, 2]]).loss
loravk.Adapter.create(model, ranks=4)
"""


def checked(*arguments):
    command = [sys.executable, "-m", "mypy", "--no-incremental", "--config-file", ROOT / "bindings/python/pyproject.toml"]
    return subprocess.run([*command, *arguments], capture_output=True, text=True, cwd=ROOT / "bindings" / "python")


def test_the_package_and_its_users_are_typed(tmp_path):
    package = checked("loravk")
    assert package.returncode == 0, package.stdout
    (tmp_path / "good.py").write_text(GOOD)
    good = checked(tmp_path / "good.py")
    assert good.returncode == 0, good.stdout
    (tmp_path / "bad.py").write_text(BAD)
    bad = checked(tmp_path / "bad.py")
    assert [f"bad.py:{line}: error" in bad.stdout for line in (3, 4, 5)] == [True] * 3, bad.stdout
