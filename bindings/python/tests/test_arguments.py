"""What people pass by mistake, or from other packages: it works, or an error says what to pass."""
import copy, io, json, pathlib, pickle

import numpy as np
import pytest

import loravk
from conftest import TINY
from test_training import SHANTIES, trainer_for

ROWS = [{"prompt": f"Who sails {name}?", "completion": f" {name} does."} for name in ("north", "south", "east", "west")]


class Frame:
    """What pandas has of a frame: iterating gives the names of the columns."""

    def __init__(self, rows):
        self.rows = rows
        self.columns = list(rows[0])

    def __iter__(self):
        return iter(self.columns)

    def to_dict(self, orient="dict"):
        assert orient == "records"
        return self.rows


class Polars(Frame):
    def to_dicts(self):
        return self.rows


class Dataset(list):
    """What the package datasets has: rows one by one, and a to_dict of columns."""

    column_names = ["prompt", "completion"]

    def to_dict(self):
        raise AssertionError("rows are wanted")


def columns(rows):
    return {key: [row[key] for row in rows] for key in rows[0]}


@pytest.mark.parametrize("table", [
    Frame(ROWS), Polars(ROWS), Dataset(ROWS), columns(ROWS), {key: np.array(column) for key, column in columns(ROWS).items()},
    tuple(ROWS), (row for row in ROWS)], ids=["pandas", "polars", "datasets", "lists", "arrays", "tuple", "generator"])
def test_a_table_is_its_rows_and_not_its_names(tiny, table):
    wanted = tiny.evaluate_data(ROWS)
    assert wanted.examples == len(ROWS)
    assert tiny.evaluate_data(table) == wanted


def test_training_on_a_table_trains_on_its_rows(tiny):
    losses = []
    for data in (ROWS, Frame([{**row, "note": float("nan")} for row in ROWS]), columns(ROWS)):
        losses.append(trainer_for(tiny).fit(data, 2, batch_size=2).loss)
    assert losses[0] == losses[1] == losses[2]
    lists = {"input_ids": [np.arange(5), np.arange(7)]}
    assert tiny.evaluate_data(lists).counted_tokens == 10


@pytest.mark.parametrize("data, said", [
    ({"prompt": "one", "completion": " two"}, "one dict, whose 'prompt' is a str"),
    ({"text": ["a", "b"], "n": ["c"]}, "different lengths"),
    ({"train": Dataset(ROWS), "test": Dataset(ROWS)}, r"the splits 'train', 'test'; .* data\['train'\]"),
    ([[1, 2, 3]], r"data\[0\] is a list; .* Trainer.step and Model.evaluate"), (b"x.jsonl", "data is a bytes"), (3, "data is an int"),
    (None, "data is None"), ([ROWS[0], 3], r"data\[1\] is an int"), ([{"text": object()}], r"data\[0\]: an object cannot"), ([], "no examples"),
])
def test_what_is_no_data_is_refused(tiny, data, said):
    for call in (tiny.evaluate_data, trainer_for(tiny).fit):
        with pytest.raises((TypeError, ValueError), match=said):
            call(data)


def test_a_bad_row_is_named(tiny):
    with pytest.raises(loravk.InvalidArgumentError, match=r"data.rows\[2\].*txt"):
        tiny.evaluate_data([*ROWS[:2], {"txt": "a"}])


def test_validation_data_in_memory(tiny):
    seen = []
    result = trainer_for(tiny).fit(
        ROWS, 4, batch_size=2, validate_every=2, validation=ROWS[:2], on_progress=lambda done: seen.append(done.validation_loss))
    assert seen[0] is None and seen[2] is None and seen[1] > seen[3] == result.validation_loss > 0
    assert trainer_for(tiny).fit(ROWS, 1, batch_size=2).validation_loss is None
    history = loravk.History()
    trainer_for(tiny).fit(SHANTIES, 2, batch_size=2, validation=Frame(ROWS), validate_every=1, on_progress=history)
    assert [step for step, _ in history.validation_losses] == [1, 2] and "2 steps" in repr(history)


def test_steps_and_epochs(tiny):
    with pytest.raises(loravk.InvalidArgumentError, match="exclude"):
        trainer_for(tiny).fit(ROWS, 2, epochs=1)
    with pytest.raises(loravk.InvalidArgumentError, match="steps is 0"):
        trainer_for(tiny).fit(ROWS, 0)
    assert trainer_for(tiny).fit(ROWS, batch_size=2).steps == 6, "three passes"
    with pytest.raises(loravk.InvalidArgumentError, match="alpha is 0"):
        loravk.Adapter.create(tiny, alpha=0)


@pytest.mark.parametrize("wrong", [io.BytesIO(), b"folder", 3, None, ["a"]], ids=lambda value: type(value).__name__)
def test_paths_are_paths(tiny, wrong, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    adapter = loravk.Adapter.create(tiny)
    trainer = loravk.Trainer(tiny, adapter)
    for call in (
        adapter.save, lambda path: loravk.Adapter.load(tiny, path), loravk.Model.load, loravk.Tokenizer.load, trainer.save_state,
        trainer.load_state, loravk.inspect_model, loravk.inspect_adapter, loravk.plan,
        lambda path: loravk.merge(TINY, TINY, path), lambda path: loravk.export_adapter(TINY, path, "out"),
        tiny.context.tune, lambda path: trainer.fit(SHANTIES, 1, output=path) if path is not None else adapter.save(path),
    ):
        with pytest.raises(TypeError, match="must be a str or os.PathLike"):
            call(wrong)
    assert list(tmp_path.iterdir()) == []
    adapter.save(pathlib.Path("own"))
    assert loravk.Adapter.load(tiny, "own").rank == adapter.rank
    with pytest.raises(TypeError, match="method is an int; it must be a str"):
        loravk.Adapter.create(tiny, method=3)


def test_the_wrong_kind_of_argument_names_the_right_function(tiny):
    for wrong in (ROWS, "folder", ["a", "b"], pathlib.Path("x"), Frame(ROWS), ROWS[0]):
        with pytest.raises(TypeError, match="Model.evaluate_data"):
            tiny.evaluate(wrong)
        with pytest.raises(TypeError, match="Trainer.fit"):
            trainer_for(tiny).step(wrong)
    with pytest.raises(TypeError, match="a list of texts; .* call generate for each"):
        tiny.generate(["a", "b"])
    with pytest.raises(TypeError, match="a conversation is a list"):
        tiny.generate({"role": "user", "content": "Hi"})
    with pytest.raises(loravk.InvalidArgumentError, match="message 0 has no 'content'; it has 'role'"):
        tiny.generate([{"role": "user"}])
    with pytest.raises(loravk.InvalidArgumentError, match="2 rows of ids"):
        tiny.generate([[1, 2], [3, 4]])
    with pytest.raises(TypeError, match="text is a list; .* call encode for each"):
        tiny.tokenizer.encode(["a", "b"])


def test_an_unusual_role_is_told(tiny, caplog):
    tiny.tokenizer.apply_chat_template([{"role": "user", "content": "Hi"}])
    assert not caplog.records
    tiny.tokenizer.apply_chat_template([{"role": "usr", "content": "Hi"}])
    assert "message 0 has the role 'usr'" in caplog.text


def test_reprs_and_short_ways(tiny):
    adapter = loravk.Adapter.create(tiny, rank=3, method="dora", target_modules="q_proj")
    assert repr(adapter) == f"<loravk.Adapter dora, rank 3, alpha 6, 4 modules, {adapter.info.parameters} parameters>"
    assert (adapter.rank, adapter.alpha, adapter.method) == (3, 6.0, "dora")
    trainer = loravk.Trainer(tiny, adapter)
    assert repr(trainer) == "<loravk.Trainer after 0 steps, learning rate 0.0005>" and trainer.learning_rate == 5e-4
    assert repr(tiny).startswith("<loravk.Model llama, 4 layers of width 192, ") and "tokens" in repr(tiny.tokenizer)
    assert len(tiny.tokenizer) == tiny.tokenizer.vocab_size and repr(loravk.History()) == "<loravk.History of 0 steps>"
    trainer.close()
    assert repr(trainer) == "<loravk.Trainer, closed>"


def test_what_holds_device_memory_is_not_copied(tiny, capsys):
    adapter = loravk.Adapter.create(tiny)
    for thing in (adapter, tiny, tiny.tokenizer, tiny.context, loravk.Tensor.from_numpy(np.ones((2, 2), np.float32))):
        for call in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="neither pickled nor copied"):
                call(thing)
    assert "Exception ignored" not in capsys.readouterr().err
    assert pickle.loads(pickle.dumps(adapter.parameters())).keys() == adapter.parameters().keys()


def test_a_missing_model_and_an_unknown_one_are_different_errors(tmp_path):
    with pytest.raises(loravk.FileError) as missing:
        loravk.Model.load(tmp_path / "none.gguf")
    assert missing.value.errno == 2
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "mamba9"}))
    with pytest.raises(loravk.UnsupportedError, match="mamba9.*llama"):
        loravk.Model.load(tmp_path)
