"""The program end to end: what it prints, its exit codes, and that bad input gives one sentence and no half-written file."""
import json, os, re, shutil, signal, subprocess, time
from pathlib import Path

import pytest
from conftest import EXAMPLES

CHECKPOINTS = Path(__file__).parents[1] / "CheckpointsTests" / "Data"
TRAIN, VALID = EXAMPLES / "tiny" / "train.jsonl", EXAMPLES / "tiny" / "valid.jsonl"
COMMANDS = ["train", "data", "report", "plan", "chat", "generate", "eval", "mix", "merge", "export", "inspect", "devices", "tune"]
ADAPTER = {"adapter_config.json", "adapter_model.safetensors"}


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """Four short chats: a step on them takes no time."""
    path = tmp_path_factory.mktemp("data") / "small.jsonl"
    path.write_text("\n".join(TRAIN.read_text().splitlines()[:4]) + "\n")
    return path


@pytest.fixture(scope="session")
def trained(program, tiny, small, tmp_path_factory):
    out = tmp_path_factory.mktemp("trained") / "adapter"
    program.train(out, "--model", tiny, "--data", small, "--steps", 3, "--lr", 3e-3, "--batch-size", 2)
    return out


@pytest.fixture
def copy(tiny, tmp_path):
    """The tiny model in a folder that a test may damage."""
    shutil.copytree(tiny, tmp_path / "model")
    return tmp_path / "model"


def call(program, *words, stdin=None):
    return subprocess.run([program.path, *map(str, words)], input=stdin, stdin=None if stdin else subprocess.DEVNULL,
                          capture_output=True, text=True, errors="replace", timeout=600)


def refused(program, *words):
    """Runs what must fail with exit code 1 and one sentence; returns that."""
    done = call(program, *words)
    assert done.returncode == 1, f"exit code {done.returncode}\n{done.stdout}{done.stderr}"
    assert done.stdout == "" and done.stderr.startswith("lora-vk: "), done.stdout + done.stderr
    assert done.stderr.count("\n") == 1 and len(done.stderr) < 1500, done.stderr
    return done.stderr


def started(program, out, *words):
    """A training run that has done at least two steps."""
    run = subprocess.Popen([program.path, "train", "--out", out, *map(str, words)], stderr=subprocess.PIPE, text=True)
    metrics, deadline = out / "metrics.jsonl", time.monotonic() + 300
    while not (metrics.exists() and metrics.read_text().count("\n") >= 2):
        assert run.poll() is None and time.monotonic() < deadline, run.communicate()
        time.sleep(0.05)
    return run


def ended(run, code):
    _, said = run.communicate(timeout=300)
    assert run.returncode == code, said
    return said


# Help and plain use


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(program, command):
    for words in ([command, "--help"], ["help", command]):
        done = call(program, *words)
        assert done.returncode == 0 and done.stderr == ""
        assert f"USAGE: lora-vk {command}" in done.stdout and "OVERVIEW: " in done.stdout


def test_help_names_the_commands_and_version_is_a_number(program):
    said = program.run("--help")
    assert all(f"  {command} " in said for command in COMMANDS)
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", program.run("--version"))


def test_devices_are_listed(program):
    assert re.match(r"0: .+\n", program.run("devices"))


def test_a_whole_round(program, tiny, small, trained):
    metrics = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in metrics] == [1, 2, 3]
    assert all(line["loss"] > 0 and line["grad_norm"] > 0 and line["tokens"] > 0 for line in metrics)
    assert set(os.listdir(trained)) == ADAPTER | {"metrics.jsonl", ".loravk.lock"}
    before = program.eval("--model", tiny, "--data", small)
    after = program.eval("--model", tiny, "--data", small, "--adapter", trained)
    assert after["loss"] < before["loss"] and after["tokens"] == before["tokens"] and after["examples"] == 4
    assert before["perplexity"] == pytest.approx(2.718281828 ** before["loss"], rel=1e-4)
    assert program.eval("--model", tiny, "--data", small, "--limit", 1)["examples"] == 1
    said = program.run("generate", "--model", tiny, "--adapter", trained, "--prompt", "And he said", "--max-tokens", 5)
    assert said.endswith("\n") and len(said) > 1
    assert "rank         8, alpha 16" in program.run("inspect", trained)
    assert "4 blocks" in program.run("inspect", tiny)
    assert program.run("inspect", tiny, "--tensors").count("model.layers.3.") == 9


def test_the_same_seed_gives_the_same_adapter(program, tiny, small, tmp_path):
    words = ["--model", tiny, "--data", small, "--steps", 2, "--batch-size", 2, "--dropout", 0.1]
    first = program.train(tmp_path / "1", *words, "--seed", 3)
    assert [line["loss"] for line in first] == [line["loss"] for line in program.train(tmp_path / "2", *words, "--seed", 3)]
    assert [line["loss"] for line in first] != [line["loss"] for line in program.train(tmp_path / "3", *words, "--seed", 4)]
    one, two = ((tmp_path / name / "adapter_model.safetensors").read_bytes() for name in "12")
    assert one == two


def test_a_folder_gives_a_validation_loss(program, tiny, small, tmp_path):
    (tmp_path / "data").mkdir()
    for name in ["train", "valid"]:
        shutil.copy(small, tmp_path / "data" / f"{name}.jsonl")
    metrics = program.train(tmp_path / "out", "--model", tiny, "--data", tmp_path / "data", "--steps", 2, "--validate-every", 1)
    assert all(line["validation_loss"] > 0 for line in metrics)
    got = program.eval("--model", tiny, "--data", tmp_path / "data", "--adapter", tmp_path / "out")
    assert got["loss"] == pytest.approx(metrics[-1]["validation_loss"], rel=1e-5)


def test_prompts_come_from_the_standard_input_too(program, tiny):
    words = ["generate", "--model", tiny, "--max-tokens", 4]
    piped = call(program, *words, stdin="And he said\n\nIn the beginning\n")
    given = call(program, *words, "--prompt", "And he said", "--prompt", "In the beginning")
    assert piped.returncode == 0 and piped.stdout == given.stdout and piped.stdout
    assert len(re.findall(r"^prompt: \d+ tokens, [\d.]+ tokens/s; answer: 4 tokens, [\d.]+ tokens/s$", piped.stderr, re.M)) == 2


def test_raw_continues_and_max_tokens_may_be_huge(program, tiny):
    said = program.run("generate", "--model", tiny, "--raw", "--prompt", "In the", "--max-tokens", 2**63 - 1)
    assert said.startswith("In the")


# Files that are not there, or damaged


def test_missing_files_are_named(program, tiny, small, tmp_path):
    out = ["--out", tmp_path / "out"]
    assert "/none: does not exist" in refused(program, "train", "--model", tmp_path / "none", "--data", small, *out)
    assert "/none.jsonl: does not exist" in refused(program, "train", "--model", tiny, "--data", tmp_path / "none.jsonl", *out)
    assert "/none" in refused(program, "generate", "--model", tiny, "--adapter", tmp_path / "none", "--prompt", "a")
    assert "/none: does not exist" in refused(program, "inspect", tmp_path / "none")
    (tmp_path / "empty").mkdir()
    for words in (["inspect", tmp_path / "empty"], ["eval", "--model", tmp_path / "empty", "--data", small]):
        assert "has no config.json" in refused(program, *words)
    assert "has no train.jsonl" in refused(program, "train", "--model", tiny, "--data", tmp_path / "empty", *out)
    assert not (tmp_path / "out").exists()


def test_an_adapter_is_not_a_model(program, trained, small):
    assert "holds an adapter, not a model" in refused(program, "eval", "--model", trained, "--data", small)


@pytest.mark.parametrize("kept", [0, 4, 8, 200, "header", 0.5, -1])
def test_cut_safetensors_are_refused(program, copy, small, tmp_path, kept):
    path = copy / "model.safetensors"
    whole = path.read_bytes()
    end = 8 + int.from_bytes(whole[:8], "little")
    path.write_bytes(whole[:end if kept == "header" else int(len(whole) * kept) if kept == 0.5 else kept])
    said = refused(program, "train", "--model", copy, "--data", small, "--out", tmp_path / "out")
    assert "model.safetensors" in said
    assert said == refused(program, "inspect", copy)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kept", [0, 3, 4, 10, 23, 100, 0.25, 0.5, 0.75, -1])
def test_cut_gguf_is_refused(program, tmp_path, small, kept):
    whole = (CHECKPOINTS / "tiny.gguf").read_bytes()
    assert "GGUF model, architecture llama" in program.run("inspect", CHECKPOINTS / "tiny.gguf")
    path = tmp_path / "cut.gguf"
    path.write_bytes(whole[:int(len(whole) * kept) if isinstance(kept, float) else kept])
    assert "cut.gguf" in refused(program, "inspect", path)
    assert "cut.gguf" in refused(program, "eval", "--model", path, "--data", small)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"model": {"type": "WordLevel"}}', '{"model": 7}', None, "cut"])
def test_a_damaged_tokenizer_is_refused(program, copy, small, text):
    path = copy / "tokenizer.json"
    if text is None:
        path.unlink()
    else:
        path.write_text(path.read_text()[:5000] if text == "cut" else text)
    assert "tokenizer.json" in refused(program, "generate", "--model", copy, "--prompt", "a")


@pytest.mark.parametrize("key,value,reason", [
    ("hidden_size", 191, "the config says .1536, 191."), ("num_attention_heads", 0, "num_attention_heads"),
    ("num_hidden_layers", 10**9, "num_hidden_layers"), ("num_hidden_layers", 5, "model.layers.4"),
    ("vocab_size", -1, "vocab_size"), ("rms_norm_eps", "x", "rms_norm_eps"), ("model_type", "whisper", "model_type"),
    ("intermediate_size", 450, "intermediate_size|has the shape"), ("attention_bias", True, "q_proj.bias. is missing")])
def test_a_config_that_does_not_fit_is_refused(program, copy, key, value, reason):
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {key: value}))
    assert re.search(reason, refused(program, "generate", "--model", copy, "--prompt", "a"))


def test_a_chat_template_that_cannot_be_used_is_refused(program, copy, small):
    config = json.loads((copy / "tokenizer_config.json").read_text())
    (copy / "tokenizer_config.json").write_text(json.dumps(config | dict(chat_template="{% for m in messages %}")))
    assert "template" in refused(program, "generate", "--model", copy, "--prompt", "a")
    assert "template" in refused(program, "eval", "--model", copy, "--data", small)


@pytest.mark.parametrize("line,reason", [
    ("say hello", "expected a value"), ('{"text": NaN}', "NaN"), ('{"text": 7}', "'text' is the number 7"),
    ('{"messages": [{"role": "user", "content": "a"}]}', "no message of the assistant"), ('{"txt": "a"}', "txt"),
    ("[" * 100_000, "nest|deep"), ('{"input_ids": [1, 5000000000]}', "input_ids")])
def test_a_bad_line_is_named(program, tiny, small, tmp_path, line, reason):
    data = tmp_path / "data.jsonl"
    data.write_text(small.read_text().splitlines()[0] + "\n\n" + line + "\n")
    said = refused(program, "train", "--model", tiny, "--data", data, "--out", tmp_path / "out")
    assert "data.jsonl:3" in said and re.search(reason, said), said
    assert not (tmp_path / "out").exists()
    assert "data.jsonl:3" in refused(program, "eval", "--model", tiny, "--data", data)


def test_data_without_an_example_is_refused(program, tiny, tmp_path):
    (tmp_path / "data.jsonl").write_text("\n\n")
    said = refused(program, "train", "--model", tiny, "--data", tmp_path / "data.jsonl", "--out", tmp_path / "out")
    assert "no example" in said


def test_a_damaged_adapter_is_refused(program, tiny, trained, tmp_path):
    words = ["generate", "--model", tiny, "--prompt", "a", "--adapter", tmp_path / "a"]
    for name in ADAPTER:
        for kept in [0, 10, -1]:
            shutil.rmtree(tmp_path / "a", ignore_errors=True)
            shutil.copytree(trained, tmp_path / "a")
            path = tmp_path / "a" / name
            path.write_bytes(path.read_bytes()[:kept])
            assert name in refused(program, *words)
            assert name in refused(program, "inspect", tmp_path / "a")
        path.unlink()
        assert name in refused(program, *words)


# Options


def test_an_unknown_device_is_refused_with_the_list_of_those_there(program, tiny, small):
    said = refused(program, "eval", "--model", tiny, "--data", small, "--device", "no such card")
    assert "no such card" in said and "0: " in said
    assert "no Vulkan device 99" in refused(program, "eval", "--model", tiny, "--data", small, "--device", 99)


@pytest.mark.parametrize("option,values,reason", [
    ("--rank", [0, -1, 4097, 2**63 - 1], "rank is"), ("--alpha", [0, -1, "nan", "inf"], "alpha is"),
    ("--dropout", [-0.1, 1, "nan"], "dropout is"), ("--lr", [0, -1, "nan", "inf", "1e300"], "learning rate is"),
    ("--steps", [0, -1], "number of steps is"), ("--epochs", [0, -1, "nan", "inf", 1e300], "number of epochs is"),
    ("--batch-size", [0, -1, 2**63 - 1, -2**63], "batch size is"), ("--accumulate", [0, -1, 2**63 - 1], "accumulation is"),
    ("--warmup", [-1, -2**63], "warm-up steps"), ("--weight-decay", [-1, 2, "nan"], "weight decay is"),
    ("--max-grad-norm", [-1, "nan", "inf"], "gradient norm"), ("--max-length", [1, 0, -5], "longest example is"),
    ("--save-every", [-1], "between saves is"), ("--validate-every", [-1], "between validations is"),
    ("--targets", [",", "q_proj,nothing", "lm_head"], "target|--targets"), ("--prompt", ["{text}"], "template"),
])
def test_training_options_out_of_range_are_refused(program, tiny, small, tmp_path, option, values, reason):
    for value in values:
        said = refused(program, "train", "--model", tiny, "--data", small, "--out", tmp_path / "out", f"{option}={value}")
        assert re.search(reason, said), said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option,values,reason", [
    ("--max-tokens", [0, -1], "--max-tokens is"), ("--temperature", [-1, "nan", "inf"], "temperature is"),
    ("--top-k", [-1], "top-k is"), ("--top-p", [0, 1.5, "nan"], "top-p is"),
    ("--repetition-penalty", [0, 0.5, "nan"], "repetition penalty is"),
])
def test_generation_options_out_of_range_are_refused(program, tiny, option, values, reason):
    for value in values:
        assert reason in refused(program, "generate", "--model", tiny, "--prompt", "a", f"{option}={value}")


def test_a_prompt_that_does_not_fit_is_refused(program, tiny):
    assert "tokens" in refused(program, "generate", "--model", tiny, "--prompt", "word " * 2000)
    assert "no tokens" in refused(program, "generate", "--model", tiny, "--raw", "--prompt", "")


@pytest.mark.parametrize("words", [
    ["train"], ["train", "--model"], ["nothing"], ["eval", "--limit=x"], ["train", "--rank=1.5"], ["train", "--seed=-1"],
    ["train", "--schedule=square"], ["train", "--targets="], ["train", "--rank=99999999999999999999"], ["inspect"], ["devices", "more"]], ids=str)
def test_wrong_usage_is_explained(program, words):
    done = call(program, *words)
    assert done.returncode == 64 and "Error: " in done.stderr and "Usage: lora-vk" in done.stderr, done.stderr


def test_steps_and_epochs_exclude_each_other(program, tiny, small, tmp_path):
    said = refused(program, "train", "--model", tiny, "--data", small, "--out", tmp_path / "o", "--steps", 1, "--epochs", 1)
    assert "exclude each other" in said


def test_longer_examples_than_the_model_has_positions_are_cut(program, tiny, tmp_path):
    (tmp_path / "long.jsonl").write_text(json.dumps(dict(text="and the " * 2000)) + "\n")
    got = program.eval("--model", tiny, "--data", tmp_path / "long.jsonl", "--max-length", 100_000)
    assert got["tokens"] == 511


# The output folder


def test_an_occupied_folder_is_left_alone(program, tiny, small, trained, tmp_path):
    shutil.copytree(trained, tmp_path / "out")
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    words = ["train", "--model", tiny, "--data", small, "--out", tmp_path / "out", "--steps", 1]
    assert "already holds an adapter" in refused(program, *words)
    after = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert before.keys() == after.keys() and all(before[name] == after[name] for name in before if name != ".loravk.lock")
    program.run(*words, "--overwrite")
    assert (tmp_path / "out" / "metrics.jsonl").read_text().count("\n") == 1


@pytest.mark.parametrize("below", ["", "/adapter"])
def test_a_file_in_place_of_the_folder_is_left_alone(program, tiny, small, tmp_path, below):
    (tmp_path / "out").write_text("a file")
    said = refused(program, "train", "--model", tiny, "--data", small, "--out", f"{tmp_path}/out{below}", "--steps", 1)
    assert "cannot create the folder" in said and (tmp_path / "out").read_text() == "a file"


def test_a_second_run_in_one_folder_is_refused(program, tiny, small, tmp_path):
    words = ["--model", tiny, "--data", small, "--steps", 100_000, "--batch-size", 1]
    first = started(program, tmp_path / "out", *words)
    said = refused(program, "train", "--out", tmp_path / "out", *words)
    assert f"another run (process {first.pid}) is writing into this folder" in said
    first.send_signal(signal.SIGTERM)
    ended(first, 128 + signal.SIGTERM)


# Signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_the_adapter_and_the_run_goes_on(program, tiny, small, tmp_path, number):
    out = tmp_path / "out"
    run = started(program, out, "--model", tiny, "--data", small, "--steps", 100_000, "--batch-size", 2, "--save-every", 0)
    assert not (out / "adapter_config.json").exists()
    run.send_signal(number)
    said = ended(run, 128 + number)
    steps = (out / "metrics.jsonl").read_text().count("\n")
    assert f"stopped after step {steps} of 100000 and saved {out}" in said
    assert said.rstrip().endswith("to go on: the same command with --resume")  # test_resume.py does
    assert set(os.listdir(out)) == ADAPTER | {"metrics.jsonl", ".loravk.lock", "training_state.safetensors"}

    program.run("train", "--model", tiny, "--data", small, "--adapter", out, "--out", tmp_path / "out-2", "--steps", 1,
                "--batch-size", 2, "--no-shuffle")
    first = json.loads((tmp_path / "out-2" / "metrics.jsonl").read_text())["loss"]
    saved = program.eval("--model", tiny, "--data", small, "--adapter", out, "--limit", 2)["loss"]
    assert first == pytest.approx(saved, rel=1e-5)


@pytest.mark.parametrize("words", [["eval", "--data", TRAIN, "--each"], ["generate", *["--prompt", "And he said"] * 500]], ids=["eval", "generate"])
def test_a_signal_ends_the_other_commands(program, tiny, words):
    run = subprocess.Popen([program.path, words[0], "--model", tiny, *map(str, words[1:])],
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert run.stdout.read(1)
    run.send_signal(signal.SIGINT)
    assert ended(run, 128 + signal.SIGINT) == ""


# Divergence


def test_divergence_stops_and_keeps_a_good_adapter(program, tiny, small, tmp_path):
    said = call(program, "train", "--model", tiny, "--data", small, "--out", tmp_path / "out", "--steps", 20, "--lr", 1e30,
                "--batch-size", 2)
    assert said.returncode == 1, said.stderr
    last = said.stderr.splitlines()[-1]
    assert last.startswith("lora-vk: the ") and "smaller learning rate" in last, last
    assert f"The adapter of the last good step is in {tmp_path / 'out'}" in last
    before = program.eval("--model", tiny, "--data", small)["loss"]
    assert program.eval("--model", tiny, "--data", small, "--adapter", tmp_path / "out")["loss"] == pytest.approx(before, rel=0.5)


def test_what_was_measured_is_kept_and_forgotten(program, tiny, small, trained, tmp_path, monkeypatch):
    monkeypatch.setenv("LORAVK_CACHE_DIR", str(tmp_path / "cache"))
    before = program.eval("--model", tiny, "--data", small)
    done = call(program, "tune", "--model", tiny, "--rows", 16)
    assert done.returncode == 0 and "GFLOP/s" in done.stdout + done.stderr, done.stderr
    kept = {path.name.split("-")[0]: path.read_text() for path in (tmp_path / "cache").glob("*.txt")}
    assert re.search(r"^family: (texel|subgroup|shared|host)$", kept["tuning"], re.M)
    assert int(kept.get("software", "512")) in (128, 256, 512)
    assert program.eval("--model", tiny, "--data", small)["loss"] == pytest.approx(before["loss"], rel=1e-5)
    assert "built-in rules" in program.run("tune", "--model", tiny, "--reset")
    assert not list((tmp_path / "cache").glob("*.txt"))
    assert "16 to 4096" in program.run("tune", "--model", tiny, "--rows", 3, fails=True)
