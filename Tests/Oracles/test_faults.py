"""Inputs of public bug reports that other tools train on wrongly without a word: what is right is PEFT's, transformers' or llama.cpp's."""
import csv, gzip, json, os, pty, re, shutil, subprocess, sys
from pathlib import Path

import gguf, numpy as np
import pytest
from conftest import EXAMPLES
from folder_to_gguf import write as write_gguf
from make_adapter import make
from oracle import load_model, load_tokenizer
from test_cli import call, refused
from test_export import needs_llama_cpp

HERE = Path(__file__).parent
TEXT = (EXAMPLES / "tiny" / "valid.jsonl").read_text()[:300]


@pytest.fixture(scope="module")
def examples():
    return [json.loads(line) for line in (EXAMPLES / "tiny" / "train.jsonl").read_text().splitlines()[:9]]


@pytest.fixture
def lines(examples, tmp_path):
    """The first examples as a file of lines."""
    def write(count):
        path = tmp_path / f"{count}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in examples[:count]))
        return path
    return write


@pytest.fixture(scope="module")
def tiny_gguf(tiny, tmp_path_factory):
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    write_gguf(tiny, path)
    return path


def rewritten(source, out, change={}, without=()):
    """A GGUF file with other keys: (type, value) by name."""
    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(str(out), "llama")
    for key, field in reader.fields.items():
        if key.startswith("GGUF.") or key == "general.architecture" or key in without or key in change:
            continue
        kind = field.types[0]
        writer.add_key_value(key, field.contents(), kind, field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None)
    for key, (kind, value) in change.items():
        writer.add_key_value(key, value, kind, gguf.GGUFValueType.INT32 if kind == gguf.GGUFValueType.ARRAY else None)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, np.array(tensor.data), raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return out


U32, F32, STRING = gguf.GGUFValueType.UINT32, gguf.GGUFValueType.FLOAT32, gguf.GGUFValueType.STRING


def llama_cpp(model, text, tmp_path):
    (tmp_path / "text.txt").write_text(text)
    done = subprocess.run([sys.executable, HERE / "llama_cpp_losses.py", model, "-", tmp_path / "text.txt"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


# Epochs


@pytest.mark.parametrize("count, words, steps", [
    (3, ["--epochs", 10, "--batch-size", 8], 10), (5, ["--epochs", 10, "--batch-size", 4], 20), (9, [], 6),
    (9, ["--epochs", 2, "--batch-size", 2, "--accumulate", 2], 5), (9, ["--epochs", 0.5, "--batch-size", 2], 3)], ids=str)
def test_an_epoch_is_every_example_once(program, tiny, lines, tmp_path, count, words, steps):
    assert len(program.train(tmp_path / "out", "--model", tiny, "--data", lines(count), "--rank", 1, *words)) == steps
    import loravk
    options = dict(zip((word for word in words[::2]), words[1::2]))
    model = loravk.Model.load(tiny)
    trainer = loravk.Trainer(model, loravk.Adapter.create(model, rank=1))
    ran = trainer.fit(lines(count), epochs=options.get("--epochs", 3), batch_size=options.get("--batch-size", 8),
                      accumulation=options.get("--accumulate", 1))
    assert ran.steps == steps


# Options


@pytest.mark.parametrize("words", [
    ["--rank", 4], ["--alpha", 3], ["--targets", "q_proj"], ["--method", "dora"], ["--rslora"], ["--init", "pissa"], ["--rank", 8]], ids=str)
def test_options_without_effect_beside_an_adapter_are_refused(program, tiny, lines, tmp_path, words):
    make(tiny, tmp_path / "adapter")
    said = refused(program, "train", "--model", tiny, "--data", lines(3), "--out", tmp_path / "out", "--adapter", tmp_path / "adapter", *words)
    assert f"{words[0]} cannot be given beside --adapter" in said and not (tmp_path / "out").exists()


def test_dropout_and_rates_of_layers_take_effect_beside_an_adapter(program, tiny, lines, tmp_path):
    make(tiny, tmp_path / "adapter", targets="q_proj,v_proj")
    from safetensors.numpy import load_file
    def trained(*words):
        out = tmp_path / f"out{len(words)}{words}"
        losses = [line["loss"] for line in program.train(out, "--model", tiny, "--data", lines(3), "--steps", 2, "--adapter", tmp_path / "adapter", *words)]
        return losses, load_file(out / "adapter_model.safetensors"), json.loads((out / "adapter_config.json").read_text())
    before = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    plain, dropped, frozen = trained(), trained("--dropout", 0.9), trained("--module-lr", "q_proj=0")
    assert dropped[0] != plain[0] and dropped[2]["lora_dropout"] == 0.9
    for name in before:
        assert np.array_equal(frozen[1][name], before[name]) == ("q_proj" in name)
        assert not np.array_equal(plain[1][name], before[name])
    assert "matches no linear layer" in refused(
        program, "train", "--model", tiny, "--data", lines(3), "--out", tmp_path / "o", "--adapter", tmp_path / "adapter", "--module-lr", "k_proj=0")


def test_lists_of_layers_may_be_given_several_times(program, tiny, lines, tmp_path):
    from safetensors.numpy import load_file
    program.train(tmp_path / "out", "--model", tiny, "--data", lines(3), "--steps", 1, "--targets", "q_proj", "--targets", "v_proj,k_proj")
    names = load_file(tmp_path / "out" / "adapter_model.safetensors")
    assert {name.split(".")[-3] for name in names} == {"q_proj", "k_proj", "v_proj"}
    (tmp_path / "run.json").write_text(json.dumps(dict(targets=["q_proj"])))
    program.train(tmp_path / "two", "--model", tiny, "--data", lines(3), "--steps", 1, "--config", tmp_path / "run.json", "--targets", "up_proj")
    names = load_file(tmp_path / "two" / "adapter_model.safetensors")
    assert {name.split(".")[-3] for name in names} == {"up_proj"}


def test_a_warm_up_longer_than_the_run_is_told(program, tiny, lines, tmp_path):
    done = call(program, "train", "--model", tiny, "--data", lines(3), "--out", tmp_path / "a b", "--steps", 2, "--warmup", 10, "--lr", 1e-3)
    assert "warning: the warm-up takes 10 steps and the run has 2: the learning rate only comes to 0.0002 of 0.001" in done.stderr
    assert "2 steps of 3 examples" in done.stderr
    assert f"--adapter '{tmp_path}/a b'" in done.stderr


def test_the_parts_of_a_memory_that_is_too_small_add_up(program, tiny):
    said = call(program, "plan", "--model", tiny, "--memory", "60MB", "8x128", "--rank", 8).stderr
    whole, parts = re.search(r"training needs (\d+) MB of device memory \((.*?)\) even", said).groups()
    assert sum(int(number) for number in re.findall(r"(\d+) MB", parts)) == int(whole) > 60


def test_a_status_is_cut_to_the_terminal(program, tiny, lines, tmp_path):
    """Sixty columns: no status wraps, so each stays on its line."""
    import fcntl, struct, termios
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
    run = subprocess.Popen([program.path, "sweep", "--model", tiny, "--data", lines(3), "--out", tmp_path / "sweep", "--steps", "3", "--lr", "1e-4,3e-4"],
                           stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=follower)
    os.close(follower)
    said = b""
    while True:
        try:
            piece = os.read(leader, 65536)
        except OSError:
            break
        said += piece
        if not piece:
            break
    assert run.wait() == 0
    statuses = [part for part in said.decode().split("\r\x1b[K")[1:]]
    assert statuses and all(len(status.split("\r\n")[0]) < 60 for status in statuses if status.startswith("run "))
    assert any("…" in status for status in statuses)


# Data


def test_each_example_is_numbered_by_its_line_and_what_is_left_out_is_told(program, tiny, examples, tmp_path):
    long = dict(messages=[dict(role="user", content="In the beginning God created. " * 60), examples[0]["messages"][1]])
    (tmp_path / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [dict(input_ids=[5]), long, examples[0]]) + "\n"
                                      + json.dumps(dict(text="one two three four five six seven eight")) + "\n")
    done = call(program, "eval", "--model", tiny, "--data", tmp_path / "d.jsonl", "--each", "--max-length", 64)
    numbered = [line for line in done.stdout.splitlines() if line.startswith("line ")]
    assert [line.split()[1] for line in numbered] == ["3", "5"]
    assert "2 lines have nothing to learn and are left out (lines 1, 2)" in done.stderr
    done = call(program, "eval", "--model", tiny, "--data", tmp_path / "d.jsonl", "--each", "--max-length", 8)
    assert done.stdout.splitlines()[0].startswith("line 5") and done.stdout.splitlines()[0].endswith("  cut")
    assert "1 example is longer than 8 tokens and cut (line 5)" in done.stderr


def forms(examples, folder):
    """The same examples in every form of file, of messages and of prompts."""
    flat = [dict(prompt=row["messages"][0]["content"], completion=' "' + row["messages"][1]["content"] + '",\nand more') for row in examples]
    files = {}
    for name, rows in [("messages", examples), ("flat", flat)]:
        jsonl = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(jsonl)
        (folder / f"{name}.json").write_text(json.dumps(rows))
        (folder / f"{name}-pretty.jsonl").write_text("\ufeff" + json.dumps(rows, indent=2))
        with gzip.open(folder / f"{name}.jsonl.gz", "wt") as file:
            file.write(jsonl)
        (folder / f"{name}-two.gz").write_bytes(gzip.compress(jsonl[:100].encode()) + gzip.compress(jsonl[100:].encode()))
        for ending, separator in [("csv", ","), ("tsv", "\t")]:
            with open(folder / f"{name}.{ending}", "w", newline="") as file:
                table = csv.DictWriter(file, rows[0], delimiter=separator)
                table.writeheader()
                table.writerows({key: value if isinstance(value, str) else json.dumps(value) for key, value in row.items()} for row in rows)
        (folder / f"{name}.csv.gz").write_bytes(gzip.compress((folder / f"{name}.csv").read_bytes()))
        files[name] = [folder / (name + ending) for ending in (".jsonl", ".json", "-pretty.jsonl", ".jsonl.gz", "-two.gz", ".csv", ".tsv", ".csv.gz")]
    return files


def test_every_form_of_file_gives_the_same_examples(program, tiny, examples, tmp_path):
    for files in forms(examples, tmp_path).values():
        results = [program.eval("--model", tiny, "--data", path) for path in files]
        assert results[0]["examples"] == 9 and all(result == results[0] for result in results)


@pytest.mark.parametrize("name, content, said", [
    ("x.parquet", b"PAR1....PAR1", "is a Parquet file"), ("x.jsonl", b"PAR1....PAR1", "pandas.read_parquet('x.jsonl')"),
    ("x.xlsx", b"PK\3\4....", "pandas.read_excel"), ("x.jsonl.zst", b"\x28\xb5\x2f\xfd....", "is compressed by zstd"),
    ("x.jsonl", '{"text": "a"}'.encode("utf-16"), "is UTF-16 text"),
    ("x.json", b'{\n "data": [\n {"text": "a"}]}', "is one JSON object over several lines with the keys 'data'"),
    ("x.jsonl.gz", gzip.compress(b'{"text": "one two"}\n' * 99)[:-20], "is compressed by gzip and ends too early"),
    ("x.jsonl.gz", b"\x1f\x8b\x08\0" + bytes(30), "is compressed by gzip and"),
    ("x.csv", b"prompt,completion\na,b,c\n", ":2: has 3 values, the first row names 2 columns"),
    ("x.csv", b'prompt,completion\n"a\n\nb,c\n', ":2: has a quote that does not end"),
    ("x.csv", b'prompt,completion\n"a\n"b,c\n', ":3: has more text behind the quote"),
    ("x.csv", b"text,text\na,b\n", "names the column 'text' twice"), ("x.csv", b"question,answer\na,b\n", "has the keys [\"question\", \"answer\"]"),
    ("x.csv", b"text\n\xff\n", ":2: is not valid UTF-8"), ("x.json", b'[{"text": "a"}, 5]', "example 2: holds the number 5"),
    ("x.json", b'[{"text": "a"}, {"txt": "b"}]', "example 2: has the keys"), ("x.csv", b"", "has no example")], ids=str)
def test_other_files_are_refused_by_what_they_are(program, tiny, tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    assert said in refused(program, "eval", "--model", tiny, "--data", tmp_path / name)


def test_keys_that_are_not_used_are_named(program, tiny, examples, tmp_path):
    rows = [examples[0] | dict(score=1), examples[1] | dict(score=2, text="x"), dict(text="a text of some words", source=None, train=False)]
    (tmp_path / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    said = call(program, "eval", "--model", tiny, "--data", tmp_path / "d.jsonl").stderr.splitlines()
    assert [re.search(r"jsonl: '(\w+)' of (\d) lines? is not used", line).groups() for line in said] == [("score", "2"), ("text", "1"), ("train", "1")]
    assert call(program, "eval", "--model", tiny, "--data", tmp_path / "d.jsonl", "--limit", 1, "--prompt", "{score}", "--completion", "b").returncode == 1


def test_a_second_file_of_a_split_is_told(program, tiny, examples, tmp_path):
    for ending in ("jsonl", "json"):
        (tmp_path / f"train.{ending}").write_text(json.dumps(examples[0]))
    assert f"warning: {tmp_path}/train.jsonl: {tmp_path}/train.json is there too, and not read" in call(
        program, "eval", "--model", tiny, "--data", tmp_path).stderr


# Tokenizers


def variant(tiny, out, config=None, remove=()):
    """The tiny model whose tokenizer.json lacks some added tokens, which tokenizer_config.json names."""
    shutil.copytree(tiny, out)
    path = out / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    tokenizer["added_tokens"] = [token for token in tokenizer["added_tokens"] if token["content"] not in remove]
    path.write_text(json.dumps(tokenizer))
    path = out / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | (config or {})))
    return out


def token(content, **flags):
    return dict(content=content, lstrip=False, rstrip=False, normalized=False, single_word=False, special=True) | flags


DECODERS = {
    "three-missing": (["<|im_start|>", "<|im_end|>"], {"0": token("<|endoftext|>"), "1": token("<|im_start|>"), "2": token("<|im_end|>")}),
    "beyond": ([], {"0": token("<|endoftext|>"), "1": token("<|im_start|>"), "2": token("<|im_end|>"), "1536": token("<tool>", special=False),
                    "1537": token("<|think|>", lstrip=True)}),
    "flags": ([], {"0": token("<|endoftext|>"), "1": token("<|im_start|>", rstrip=True), "2": token("<|im_end|>", lstrip=True)}),
    "named-only": (["<|im_end|>", "<|im_start|>", "<|endoftext|>"], {}),
    "a-word": (["<|im_end|>"], {"2": token("<|im_end|>"), "300": None}),
}
TEXTS = ["<|im_start|>user\nthe <tool>LORD</tool> <|think|> and<|im_end|>\n", "  <|im_start|>  he said <|im_end|> unto", "and the the", "and"]


@pytest.mark.parametrize("name", DECODERS)
def test_tokens_that_only_the_config_names_are_one_token(tiny, tmp_path, name):
    import loravk
    remove, decoder = DECODERS[name]
    words = {id: text for text, id in json.loads((tiny / "tokenizer.json").read_text())["model"]["vocab"].items()}
    decoder = {id: flags or token(words[int(id)], special=False) for id, flags in decoder.items()}
    named = dict(extra_special_tokens=["<|im_start|>", "and"]) if name == "named-only" else {}
    model = variant(tiny, tmp_path / "model", dict(added_tokens_decoder=decoder) | named, remove)
    wanted = load_tokenizer(model)
    got = loravk.Tokenizer.load(model) if max(map(int, decoder), default=0) < 1536 else None
    if got is None:  # tokens without an embedding: the model must not be run on them
        with pytest.raises(loravk.Error, match="has a tokenizer of 1538 tokens and embeddings for 1536"):
            loravk.Tokenizer.load(model)
        config = json.loads((model / "config.json").read_text())
        (model / "config.json").write_text(json.dumps(config | dict(vocab_size=1600)))
        from safetensors.numpy import load_file, save_file
        tensors = load_file(model / "model.safetensors")
        tensors["model.embed_tokens.weight"] = np.resize(tensors["model.embed_tokens.weight"], (1600, 192))
        save_file(tensors, model / "model.safetensors", metadata=dict(format="pt"))
        got = loravk.Tokenizer.load(model)
    for text in TEXTS + [TEXT]:
        assert list(got.encode(text, add_special=False)) == wanted(text, add_special_tokens=False).input_ids, text


# A text that itself has the token of the beginning


BEGIN, END = "<|im_start|>", "<|im_end|>"
TURNS = "{% for m in messages %}{{ m.role + ': ' + m.content + '" + END + "' }}{% endfor %}"


def counted(program, model, row, tmp_path):
    """Tokens of the one example."""
    (tmp_path / "one.jsonl").write_text(json.dumps(row))
    said = call(program, "train", "--model", model, "--data", tmp_path / "one.jsonl", "--out", tmp_path / "out", "--steps", 1, "--overwrite")
    assert said.returncode == 0, said.stderr
    return json.loads((tmp_path / "out" / "metrics.jsonl").read_text())["tokens"]


@pytest.mark.parametrize("start", ["", BEGIN, BEGIN + " "], ids=["none", "one", "one-and-a-space"])
def test_the_token_of_the_beginning_comes_once(program, tiny, tmp_path, start):
    model = variant(tiny, tmp_path / "model", dict(bos_token=BEGIN, eos_token=END))
    path = model / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    [id] = [token["id"] for token in tokenizer["added_tokens"] if token["content"] == BEGIN]
    tokenizer["post_processor"] = dict(
        type="TemplateProcessing", single=[dict(SpecialToken=dict(id=BEGIN, type_id=0)), dict(Sequence=dict(id="A", type_id=0))],
        pair=[dict(Sequence=dict(id="A", type_id=0)), dict(Sequence=dict(id="B", type_id=1))],
        special_tokens={BEGIN: dict(id=BEGIN, ids=[id], tokens=[BEGIN])})
    path.write_text(json.dumps(tokenizer))
    hf = load_tokenizer(model)
    text = "the king went out"
    bare = hf(start.replace(BEGIN, "") + text, add_special_tokens=False).input_ids
    for row in (dict(text=start + text), dict(prompt=start + text, completion="")):
        assert counted(program, model, row, tmp_path) == 1 + len(bare) + 1, row
    # A template writes what it wants: its token is the only one, and where it writes none there is none.
    chat = dict(messages=[dict(role="user", content=text), dict(role="assistant", content="and came")])
    config = json.loads((model / "tokenizer_config.json").read_text())
    (model / "tokenizer_config.json").write_text(json.dumps(config | dict(chat_template="{{ '" + start + "' }}" + TURNS)))
    (model / "chat_template.jinja").unlink(missing_ok=True)
    wanted = load_tokenizer(model).apply_chat_template(chat["messages"], tokenize=False)
    assert counted(program, model, chat, tmp_path) == len(hf(wanted, add_special_tokens=False).input_ids)


def test_a_special_token_that_is_none_is_told(program, tiny, lines, tmp_path):
    model = variant(tiny, tmp_path / "model", dict(eos_token="<|nothing|>"))
    assert "'<|nothing|>', which the tokenizer's config names as a special token, is no token" in call(
        program, "eval", "--model", model, "--data", lines(1)).stderr


def test_what_generation_config_asks_for_and_is_not_done_is_told(program, tiny, tmp_path):
    model = variant(tiny, tmp_path / "model")
    (model / "generation_config.json").write_text(json.dumps(dict(eos_token_id=2, forced_eos_token_id=2, suppress_tokens=[5], no_repeat_ngram_size=0,
                                                                  num_beams=1, temperature=0.6)))
    said = call(program, "generate", "--model", model, "--prompt", "x", "--max-tokens", 1).stderr
    assert re.findall(r"warning: .*json: '(\w+)'", said) == ["forced_eos_token_id", "suppress_tokens"]


@pytest.mark.parametrize("text, said", [
    ('{"rnak": null}', "Unknown option '--rnak'"), ('{"shufle": false}', "Unknown option '--shufle'"), ('{"rank": 1, "lr": "x"}', "'x' is invalid for '--lr")])
def test_a_key_of_a_run_config_that_is_no_option_is_told(program, tmp_path, text, said):
    (tmp_path / "run.json").write_text(text)
    assert said in call(program, "train", "--model", "m", "--data", "d", "--out", tmp_path / "o", "--config", tmp_path / "run.json").stderr
    (tmp_path / "run.yaml").write_text("rank: 8")
    assert "options are read from JSON" in call(
        program, "train", "--model", "m", "--data", "d", "--out", tmp_path / "o", "--config", tmp_path / "run.yaml").stderr


# GGUF files


@needs_llama_cpp
@pytest.mark.parametrize("keys", [
    {"llama.rope.scale_linear": (F32, 4.0)}, {"llama.rope.scale_linear": (F32, 2.5)}, {"llama.rope.scale_linear": (F32, 1.0)},
    {"llama.rope.scaling.factor": (F32, 4.0)}, {"llama.rope.scaling.type": (STRING, "linear"), "llama.rope.scaling.factor": (F32, 4.0)},
    {"llama.rope.scaling.type": (STRING, "none"), "llama.rope.scale_linear": (F32, 4.0)},
    {"llama.rope.scaling.factor": (F32, 2.0), "llama.rope.scale_linear": (F32, 4.0)},
    {"llama.rope.scaling.type": (STRING, "linear"), "llama.rope.scale_linear": (F32, 3.0)}], ids=str)
def test_old_keys_of_rope_scaling_mean_what_they_mean_to_llama_cpp(program, tiny_gguf, tmp_path, keys):
    model = rewritten(tiny_gguf, tmp_path / "model.gguf", keys)
    (tmp_path / "d.jsonl").write_text(json.dumps(dict(text=TEXT)))
    wanted = np.mean(llama_cpp(model, TEXT, tmp_path)["losses"])
    assert program.eval("--model", model, "--data", tmp_path / "d.jsonl", "--no-end")["loss"] == pytest.approx(wanted, rel=2e-4)


@needs_llama_cpp
@pytest.mark.parametrize("text", [TEXT, "It's 1234567 and $5.50<=6; don't  stop...!?\n\n  x^2|y", "naïve 日本 12345678 + Ünï_code"], ids=str)
def test_a_file_without_a_pre_tokenizer_has_llama_cpps_default(program, tiny_gguf, tmp_path, text):
    import loravk
    model = rewritten(tiny_gguf, tmp_path / "model.gguf", without=["tokenizer.ggml.pre"])
    assert list(loravk.Tokenizer.load(model).encode(text)) == llama_cpp(model, text, tmp_path)["tokens"]
    (tmp_path / "d.jsonl").write_text(json.dumps(dict(text=TEXT)))
    assert "warning: " + str(model) + ": 'tokenizer.ggml.pre' is missing" in call(program, "eval", "--model", model, "--data", tmp_path / "d.jsonl").stderr


@pytest.mark.parametrize("keys, said", [
    ({"tokenizer.ggml.bos_token_id": (U32, 4294967295)}, "'tokenizer.ggml.bos_token_id' is 4294967295, which is none of the 1536 tokens"),
    ({"tokenizer.ggml.eos_token_id": (U32, 2000)}, "'tokenizer.ggml.eos_token_id' is 2000"),
    ({"tokenizer.ggml.padding_token_id": (U32, 4294967295)}, "'tokenizer.ggml.padding_token_id' is 4294967295"),
    ({"tokenizer.ggml.token_type": (gguf.GGUFValueType.ARRAY, [0] * 10 + [1] * 1526)}, "10 tokens, of which 0 is the first, have the type 0")], ids=str)
def test_ids_and_types_that_are_none_are_told_and_ignored(program, tiny_gguf, lines, tmp_path, keys, said):
    model = rewritten(tiny_gguf, tmp_path / "model.gguf", keys)
    done = call(program, "eval", "--model", model, "--data", lines(1), "--prompt", "a", "--completion", " b")
    assert done.returncode == 0 and said in done.stderr and done.stderr.count("warning") == 1


def test_an_exported_adapter_is_used_as_its_folder(program, tiny, tiny_gguf, lines, tmp_path):
    make(tiny, tmp_path / "adapter", size=0.1)
    for model in (tiny, tiny_gguf):
        program.run("export", "--model", model, "--adapter", tmp_path / "adapter", "--out", tmp_path / "a.gguf", "--overwrite")
        words = ["eval", "--model", model, "--data", lines(4), "--prompt", "{messages}", "--completion", "b"]
        words = ["eval", "--model", tiny, "--data", lines(4)] if model == tiny else None
        if words:
            assert program.run(*words, "--adapter", tmp_path / "a.gguf") == program.run(*words, "--adapter", tmp_path / "adapter") != program.run(*words)
        one, two = (program.run("generate", "--raw", "--model", model, "--adapter", path, "--prompt", "And he", "--max-tokens", 8)
                    for path in (tmp_path / "a.gguf", tmp_path / "adapter"))
        assert one == two
    said = program.run("inspect", tmp_path / "a.gguf")
    assert "GGUF LoRA adapter" in said and "rank         8, alpha 16" in said and "modules      28" in said
    assert "is the string \"model\", expected \"adapter\"" in refused(program, "eval", "--model", tiny, "--data", lines(1), "--adapter", tiny_gguf) \
        or "general.type" in refused(program, "eval", "--model", tiny, "--data", lines(1), "--adapter", tiny_gguf)
    assert "chat" not in refused(program, "generate", "--model", tmp_path / "a.gguf", "--prompt", "x")


# Templates


def test_a_model_without_a_chat_template_takes_one(program, tiny, lines, tmp_path):
    model = variant(tiny, tmp_path / "model", dict(chat_template=None))
    assert "give it one by --chat-template" in refused(program, "eval", "--model", model, "--data", lines(3))
    same = program.eval("--model", tiny, "--data", lines(3))
    assert program.eval("--model", model, "--data", lines(3), "--chat-template", "chatml") == same
    (tmp_path / "t.jinja").write_text("{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}"
                                      "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}")
    assert program.eval("--model", model, "--data", lines(3), "--chat-template", tmp_path / "t.jinja") == same
    for name in ("zephyr", "alpaca", "vicuna", "mistral"):
        done = call(program, "eval", "--model", model, "--data", lines(3), "--chat-template", name)
        assert done.returncode == 0 and done.stderr == "", name
    assert "is neither a file nor the name" in refused(program, "eval", "--model", model, "--data", lines(3), "--chat-template", "chatml2")
    (tmp_path / "bad.jinja").write_text("{% for %}")
    assert "is no chat template" in refused(program, "eval", "--model", model, "--data", lines(3), "--chat-template", tmp_path / "bad.jinja")
    assert "ends turns with '<|eot_id|>', which is no token of the model" in call(
        program, "eval", "--model", model, "--data", lines(3), "--chat-template", "llama3").stderr


def test_shards_may_be_links_to_another_folder(program, tmp_path):
    source = HERE.parent / "CheckpointsTests" / "Data" / "tiny-hf-sharded"
    shutil.copytree(source, tmp_path / "store")
    (tmp_path / "model").mkdir()
    for path in (tmp_path / "store").iterdir():
        (tmp_path / "model" / path.name).symlink_to(path)
    assert program.run("inspect", tmp_path / "model") == program.run("inspect", source)
    index = json.loads((source / "model.safetensors.index.json").read_text())
    name = next(iter(index["weight_map"]))
    index["weight_map"][name] = "../store/" + index["weight_map"][name]
    (tmp_path / "model" / "model.safetensors.index.json").unlink()
    (tmp_path / "model" / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "is not a plain name inside its folder" in refused(program, "inspect", tmp_path / "model")
