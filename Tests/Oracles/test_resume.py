"""Runs of the program that are killed or stopped and go on: the same files and losses as those of an undisturbed run, bit for bit."""
import json, signal, subprocess, time

import pytest
from conftest import EXAMPLES
from test_program import assert_same_loss

STEPS = 40
STATE = "training_state.safetensors"
OPTIONS = ["--data", EXAMPLES / "tiny" / "train.jsonl", "--steps", STEPS, "--save-every", 3, "--rank", 4, "--dropout", 0.1,
           "--batch-size", 3, "--accumulate", 2, "--lr", 3e-3, "--weight-decay", 0.1]


def lines(out):
    """What metrics.jsonl says of each step, without times; a line that is being written is none yet."""
    rows = []
    for line in (out / "metrics.jsonl").read_text().split("\n")[:-1]:
        row = json.loads(line)
        rows.append({key: value for key, value in row.items() if key not in ("seconds", "tokens_per_second")})
    return rows


def results(out):
    assert not (out / STATE).exists() and not list(out.glob("*.partial")) and not list(out.glob(".*.partial"))
    return (out / "adapter_model.safetensors").read_bytes(), (out / "adapter_config.json").read_bytes(), lines(out)


def disturb(program, model, out, number, step, options=OPTIONS):
    """Runs the program until `step` steps are done, sends a signal, and returns the code and what was said."""
    run = subprocess.Popen(
        [program.path, "train", "--resume", "--model", str(model), "--out", str(out), *map(str, options)],
        stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 300
    try:
        while not ((out / "metrics.jsonl").exists() and len(lines(out)) >= step):
            assert run.poll() is None and time.monotonic() < deadline, f"step {step} was not reached"
            time.sleep(0.002)
        run.send_signal(number)
        said = run.communicate(timeout=300)[1]
    finally:
        run.kill()
    return run.returncode, said


@pytest.fixture(scope="module")
def whole(program, tiny, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "out"
    program.train(out, "--model", tiny, *OPTIONS)
    assert [row["step"] for row in lines(out)] == list(range(1, STEPS + 1))
    return results(out)


def test_a_run_that_is_killed_again_and_again_ends_as_an_undisturbed_one(program, tiny, tmp_path, whole):
    out = tmp_path / "out"
    for step in (1, 5, 13, 27):
        code, said = disturb(program, tiny, out, signal.SIGKILL, step)
        assert code == -signal.SIGKILL, said
    program.run("train", "--resume", "--model", tiny, "--out", out, *OPTIONS)
    assert results(out) == whole


def test_a_run_that_is_stopped_says_how_to_go_on(program, tiny, shanties, tmp_path, whole):
    out = tmp_path / "out"
    code, said = disturb(program, tiny, out, signal.SIGINT, 7)
    assert code == 128 + signal.SIGINT and "to go on: the same command with --resume" in said, said
    assert (out / STATE).exists()
    # The state beside the adapter disturbs nobody: PEFT loads the folder, and so does the program.
    assert_same_loss(program, tiny, shanties, adapter=out)
    # Without --resume the run is safe, and other options are refused.
    said = program.run("train", "--model", tiny, "--out", out, *OPTIONS, fails=True)
    assert "already holds an unfinished run; go on with it by --resume" in said, said
    said = program.run("train", "--resume", "--model", tiny, "--out", out, *OPTIONS, "--lr", 1e-3, fails=True)
    assert "learning rate 0.003 there, 0.001 here" in said, said
    done = lines(out)[-1]["step"]
    code, said = disturb(program, tiny, out, signal.SIGTERM, 20)
    assert code == 128 + signal.SIGTERM and f"going on after step {done} of {STEPS}" in said and f"step 20/{STEPS}" in said, said
    program.run("train", "--resume", "--model", tiny, "--out", out, *OPTIONS)
    assert results(out) == whole
    said = program.run("train", "--resume", "--model", tiny, "--out", out, *OPTIONS, fails=True)
    assert "holds an adapter without a training state" in said, said


def test_options_of_a_file_go_on_too(program, tiny, tmp_path, whole):
    out, config = tmp_path / "out", tmp_path / "run.json"
    words = {str(key).lstrip("-"): value for key, value in zip(OPTIONS[::2], OPTIONS[1::2])}
    config.write_text(json.dumps(words | dict(resume=True, data=str(words["data"]))))
    code, said = disturb(program, tiny, out, signal.SIGKILL, 10, ["--config", config])
    assert code == -signal.SIGKILL, said
    program.run("train", "--config", config, "--model", tiny, "--out", out)
    assert results(out) == whole


def test_a_run_from_an_adapter_goes_on_with_the_same_start(program, tiny, tmp_path, whole):
    start = tmp_path / "start"
    program.train(start, "--model", tiny, "--data", EXAMPLES / "tiny" / "train.jsonl", "--steps", 1, "--rank", 4)
    rank = OPTIONS.index("--rank")  # which is the adapter's
    options = [*OPTIONS[:rank], *OPTIONS[rank + 2 :], "--adapter", start]
    program.run("train", "--model", tiny, "--out", tmp_path / "whole", *options)
    disturb(program, tiny, tmp_path / "out", signal.SIGKILL, 10, options)
    program.run("train", "--resume", "--model", tiny, "--out", tmp_path / "out", *options)
    assert results(tmp_path / "out") == results(tmp_path / "whole") != whole


def test_a_run_on_pairs_that_is_killed_ends_as_an_undisturbed_one(program, tiny, tmp_path):
    """What the reference makes of the pairs is computed again, with the adapter that the run began with."""
    program.train(tmp_path / "first", "--model", tiny, "--data", EXAMPLES / "tiny" / "train.jsonl", "--steps", 3, "--rank", 4)
    options = ["--data", EXAMPLES / "tiny" / "pairs", "--objective", "dpo", "--adapter", tmp_path / "first", "--steps", 12,
               "--save-every", 2, "--validate-every", 4, "--dropout", 0.1, "--batch-size", 3]
    program.train(tmp_path / "whole", "--model", tiny, *options)
    out = tmp_path / "out"
    for step in (1, 5, 9):
        code, said = disturb(program, tiny, out, signal.SIGKILL, step, options)
        assert code == -signal.SIGKILL, said
    for other, reason in [(["--objective", "ipo"], "objective dpo:beta=0.1,smoothing=0 there, ipo:beta=0.1 here")]:
        said = program.run("train", "--resume", "--model", tiny, "--out", out, *options, *other, fails=True)
        assert reason in said, said
    program.run("train", "--resume", "--model", tiny, "--out", out, *options)
    assert results(out) == results(tmp_path / "whole")
    assert lines(out)[-1]["validation_rewards/accuracies"] > 0.5
