"""A model in k-quants, kept so on the device, against transformers, which reads them as the package `gguf` does."""
import pytest
from conftest import EXAMPLES
from k_quants import convert
from oracle import example, load_model, load_tokenizer, mean_loss, rows

DATA = EXAMPLES / "pirate" / "valid.jsonl"


@pytest.fixture(scope="module")
def k_quants(smollm2, tmp_path_factory):
    path = tmp_path_factory.mktemp("k-quants") / "k.gguf"
    names = convert(smollm2, path)
    assert len(names) == 30 and all("ffn_down" in name for name in names)
    return path


def test_loss_is_that_of_transformers(program, k_quants, smollm2):
    words = ["--data", DATA, "--limit", 1]
    got = program.eval("--model", k_quants, *words)
    loss, count = mean_loss(load_model(k_quants), [example(row["messages"], load_tokenizer(k_quants)) for row in rows(DATA)[:1]])
    assert got["tokens"] == count
    assert got["loss"] == pytest.approx(loss, rel=1e-4)
    # Rounded again, the model is still itself.
    assert got["loss"] == pytest.approx(program.eval("--model", smollm2, *words)["loss"], rel=0.05)


def test_training_goes_through_them(program, k_quants, tmp_path):
    """The same losses as with weights that the host has turned into floats."""
    words = ["--data", DATA, "--steps", 2, "--batch-size", 1, "--max-length", 64, "--learning-rate", 1e-3]
    kept = program.train(tmp_path / "kept", "--model", k_quants, *words)
    floats = program.train(tmp_path / "floats", "--model", k_quants, "--weights", "f32", *words)
    assert [line["loss"] for line in kept] == pytest.approx([line["loss"] for line in floats], rel=1e-4)
    assert kept[0]["loss"] != kept[1]["loss"]
