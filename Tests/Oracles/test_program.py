"""The program against transformers and PEFT: losses, greedy answers, and adapters that go both ways."""
import signal, subprocess, time

import numpy as np
import pytest
import torch
from conftest import EXAMPLES
from make_adapter import make
from oracle import chat_ids, example, load_model, load_tokenizer, mean_loss, rows
from safetensors.numpy import load_file


def expected(model, data, adapter=None, limit=None):
    """Loss and number of counted tokens as PEFT has them."""
    tokenizer = load_tokenizer(model)
    return mean_loss(load_model(model, adapter), [example(row["messages"], tokenizer) for row in rows(data)[:limit]])


def assert_same_loss(program, model, data, adapter=None, limit=None, rtol=1e-4):
    words = ["--adapter", adapter] if adapter else []
    words += ["--limit", limit] if limit else []
    got = program.eval("--model", model, "--data", data, *words)
    loss, count = expected(model, data, adapter, limit)
    assert got["tokens"] == count
    assert got["loss"] == pytest.approx(loss, rel=rtol)
    assert got["perplexity"] == pytest.approx(np.exp(loss), rel=2 * rtol * max(1, loss))


def test_loss_is_that_of_transformers(program, tiny, shanties):
    assert_same_loss(program, tiny, shanties)


def test_loss_of_a_quantised_model_is_that_of_transformers(program, smollm2):
    assert_same_loss(program, smollm2, EXAMPLES / "pirate" / "valid.jsonl", limit=4)


@pytest.mark.parametrize("options", [
    dict(), dict(rank=3, alpha=5), dict(rslora=True, rank=16, alpha=4), dict(targets="q_proj,v_proj")], ids=str)
def test_adapter_of_peft_changes_the_loss_as_in_peft(program, tiny, shanties, tmp_path, options):
    make(tiny, tmp_path, size=0.1, **options)
    assert_same_loss(program, tiny, shanties, adapter=tmp_path)


@pytest.mark.parametrize("options", [
    [], ["--rank", 3], ["--rslora", "--initialization", "init-b"], ["--targets", "q_proj,v_proj"]], ids=str)
def test_peft_loads_a_trained_adapter(program, tiny, shanties, tmp_path, options):
    metrics = program.train(
        tmp_path / "out", "--model", tiny, "--data", EXAMPLES / "tiny" / "train.jsonl", "--steps", 6, "--lr", 3e-3, *options)
    assert [line["step"] for line in metrics] == [1, 2, 3, 4, 5, 6]
    before, _ = expected(tiny, shanties)
    after, _ = expected(tiny, shanties, tmp_path / "out")
    assert after < before - 0.05, "six steps changed nothing"
    assert_same_loss(program, tiny, shanties, adapter=tmp_path / "out")


def test_training_goes_on_from_an_adapter_of_peft(program, tiny, tmp_path):
    make(tiny, tmp_path / "peft", rank=4, size=0.1)
    data = EXAMPLES / "tiny" / "train.jsonl"
    metrics = program.train(
        tmp_path / "out", "--model", tiny, "--data", data, "--adapter", tmp_path / "peft", "--steps", 2, "--batch-size", 4,
        "--no-shuffle")
    loss, _ = expected(tiny, data, tmp_path / "peft", limit=4)
    assert metrics[0]["loss"] == pytest.approx(loss, rel=1e-4)
    start = load_file(tmp_path / "peft" / "adapter_model.safetensors")
    final = load_file(tmp_path / "out" / "adapter_model.safetensors")
    assert start.keys() == final.keys()
    assert all(0 < np.abs(final[key] - start[key]).max() < 0.01 for key in start)


def test_greedy_answer_is_that_of_transformers(program, tiny, tmp_path):
    make(tiny, tmp_path, size=0.05)
    model, tokenizer = load_model(tiny, tmp_path), load_tokenizer(tiny)
    for question in (EXAMPLES / "tiny" / "questions.txt").read_text().splitlines():
        ids = chat_ids(tokenizer, [dict(role="user", content=question)], add_generation_prompt=True, return_tensors="pt")
        with torch.no_grad():
            answer = model.generate(
                input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=24, do_sample=False,
                pad_token_id=tokenizer.pad_token_id)
        words = tokenizer.decode(answer[0, ids.shape[1]:], skip_special_tokens=True)
        got = program.run("generate", "--model", tiny, "--adapter", tmp_path, "--max-tokens", 24, "--prompt", question)
        assert got.rstrip("\n") == words.rstrip("\n")


def test_inspect_names_what_an_adapter_is(program, tiny, tmp_path):
    make(tiny, tmp_path, rank=3, alpha=5)
    got = program.run("inspect", tmp_path)
    assert "rank         3, alpha 5" in got and "modules      28" in got
    assert "4 blocks, width 192" in program.run("inspect", tiny)


def test_bad_line_of_data_is_named_and_nothing_is_written(program, tiny, tmp_path):
    data = tmp_path / "data.jsonl"
    data.write_text('{"prompt": "a", "completion": "b"}\n{"prompt": "a", "completion": 7}\n')
    said = program.run("train", "--model", tiny, "--data", data, "--out", tmp_path / "out", fails=True)
    assert "data.jsonl:2" in said and "completion" in said, said
    assert not (tmp_path / "out" / "adapter_config.json").exists()


def test_adapter_of_another_model_is_refused(program, smollm2, tiny, tmp_path):
    make(tiny, tmp_path)
    said = program.run("generate", "--model", smollm2, "--adapter", tmp_path, "--prompt", "Hello", fails=True)
    assert "q_proj" in said or "adapter" in said, said


def test_interrupt_saves_the_adapter_and_says_how_to_go_on(program, tiny, shanties, tmp_path):
    out = tmp_path / "out"
    run = subprocess.Popen(
        [program.path, "train", "--model", tiny, "--data", EXAMPLES / "tiny" / "train.jsonl", "--out", out, "--steps", "100000"],
        stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 300
    while not ((out / "metrics.jsonl").exists() and (out / "metrics.jsonl").read_text().count("\n") >= 2):
        assert run.poll() is None and time.monotonic() < deadline, "no step was done"
        time.sleep(0.1)
    run.send_signal(signal.SIGINT)
    _, said = run.communicate(timeout=300)
    assert run.returncode == 128 + signal.SIGINT and "--resume" in said, said
    assert_same_loss(program, tiny, shanties, adapter=out)
