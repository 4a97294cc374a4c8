"""Models in other formats and types against ggml's quantisers, llama.cpp's converter, llama.cpp itself and transformers."""
import json, subprocess, sys
from pathlib import Path

import gguf, numpy as np
import pytest
import torch
from conftest import required
from ggml_quantize import quantize
from gguf import GGMLQuantizationType as Type
from oracle import load_model, load_tokenizer
from test_export import adapter_of_smollm2, needs_llama_cpp
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText
import architectures

HERE = Path(__file__).parent
# Experts that Hugging Face's files have in one tensor are not converted yet.
JOINED = ("gpt_oss", "granitemoe")
TINY = {name: architecture for name, architecture in architectures.ALL.items()
        if architecture.gguf and architecture.model_type not in JOINED}
# Of keys that llama.cpp's converter writes and the program does not, or writes otherwise: what no reader computes with.
OTHER = {
    "general.name": "the folder's name, made prettier there", "general.basename": "a part of the name", "general.size_label": "a label",
    "general.sampling.temp": "of generation_config.json", "general.finetune": "a part of the name", "general.version": "a part of the name",
    "tokenizer.ggml.model": "the oracle converts without a vocabulary", "general.quantization_version": "the converter's own",
}
# Keys that are missing where they say what holds without them.
ABSENT = {
    "rope.scaling.yarn_attn_factor": "said by attn_factor", "rope.freq_base_swa": "the base of all layers", "attention.sliding_window": "none",
    "rope.scaling.original_context_length": "of Phi-3 without factors",
}


@pytest.fixture(scope="module")
def tiny_folders(tmp_path_factory):
    out = tmp_path_factory.mktemp("families")
    for name in TINY:
        architectures.make(name, out / folder(name))
    return out


def folder(name):
    """llama.cpp looks for tokens of the real Phi-3 where a file has its name."""
    return name.replace("phi3", "phi")


@pytest.fixture(scope="module")
def theirs(tiny_folders):
    """GGUF files by llama.cpp's converter, F32, without vocabularies."""
    jobs = [path for name in TINY for path in (tiny_folders / folder(name), tiny_folders / (name + "-theirs.gguf"))]
    done = subprocess.run(
        [sys.executable, HERE / "llama_cpp_convert.py", required("LORAVK_TEST_CONVERTER"), *jobs], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return tiny_folders


@pytest.fixture(scope="module")
def ours(program, tiny_folders):
    for name in TINY:
        program.run("convert", "--model", tiny_folders / folder(name), "--out", tiny_folders / (name + ".gguf"), "--type", "f32")
    return tiny_folders


def contents(field):
    value = field.contents()
    return value if isinstance(value, (str, list)) else float(value)


@pytest.mark.parametrize("name", TINY)
def test_folder_becomes_what_llama_cpps_converter_writes(ours, theirs, name):
    mine, other = gguf.GGUFReader(ours / (name + ".gguf")), gguf.GGUFReader(theirs / (name + "-theirs.gguf"))
    tensors = {tensor.name: tensor for tensor in mine.tensors}
    assert tensors.keys() == {tensor.name for tensor in other.tensors}
    for tensor in other.tensors:
        own = tensors[tensor.name]
        assert list(own.shape) == list(tensor.shape), tensor.name
        if tensor.name.startswith("rope_f"):
            np.testing.assert_allclose(own.data, tensor.data, rtol=1e-6)
        else:
            assert own.data.tobytes() == tensor.data.tobytes(), tensor.name
    for key, field in other.fields.items():
        if key.startswith("GGUF.") or key in OTHER:
            continue
        if key not in mine.fields and key.partition(".")[2] in ABSENT:
            continue
        assert key in mine.fields, f"{key} is missing: {contents(field)}"
        if isinstance(contents(field), float):
            assert contents(mine.fields[key]) == pytest.approx(contents(field), rel=1e-6), key
        else:
            assert contents(mine.fields[key]) == contents(field), key


@torch.no_grad()
def logits(folder, ids):
    keys = json.loads((folder / "config.json").read_text())
    kind = AutoModelForImageTextToText if "text_config" in keys else AutoModelForCausalLM
    model = kind.from_pretrained(folder, dtype=torch.float32).eval()
    return model(input_ids=torch.tensor(ids[None]).long(), use_cache=False).logits[0].numpy()


def ids_of(name):
    return np.random.default_rng(1).integers(0, architectures.END, TINY[name].lengths[-1]).astype(np.int32)


@needs_llama_cpp
def test_llama_cpp_computes_what_the_folder_does(ours):
    names = [name for name, architecture in TINY.items() if architecture.llama_cpp]
    jobs = []
    for name in names:
        np.save(ours / (name + "-ids.npy"), ids_of(name))
        jobs += [ours / (name + ".gguf"), "-", ours / (name + "-ids.npy"), ours / (name + "-logits.npy")]
    done = subprocess.run([sys.executable, HERE / "llama_cpp_logits.py", *jobs], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    for name in names:
        wanted = logits(ours / folder(name), ids_of(name))
        error = np.abs(np.load(ours / (name + "-logits.npy")) - wanted).max() / np.abs(wanted).max()
        assert error <= TINY[name].llama_cpp_tolerance, f"{name}: {error}"


@pytest.mark.parametrize("name", TINY)
def test_gguf_becomes_a_folder_that_transformers_computes_alike(program, ours, name, tmp_path):
    program.run("convert", "--model", ours / (name + ".gguf"), "--out", tmp_path / "folder")
    config = json.loads((tmp_path / "folder" / "config.json").read_text())
    before = json.loads((ours / folder(name) / "config.json").read_text())
    assert config["architectures"] == before["architectures"] or "text_config" in before
    ids, wanted = ids_of(name), logits(ours / folder(name), ids_of(name))
    got = logits(tmp_path / "folder", ids)
    assert np.abs(got - wanted).max() <= 1e-4 * np.abs(wanted).max()
    text = "A shanty for 12345 sailors: it's <|end|> sung,  twice!\n"
    tokenizer = load_tokenizer(tmp_path / "folder")
    assert tokenizer.encode(text) == load_tokenizer(ours / folder(name)).encode(text)
    assert tokenizer.decode(tokenizer.encode(text)) == load_tokenizer(ours / folder(name)).decode(tokenizer.encode(text))


@pytest.mark.parametrize("name", [name for name in architectures.ALL if name not in TINY])
def test_what_gguf_cannot_say_is_refused_or_said(program, name, tmp_path):
    """Never a file that computes something else: what is written is read again as the same model."""
    architectures.make(name, tmp_path / "model")
    done = subprocess.run(
        [program.path, "convert", "--model", tmp_path / "model", "--out", tmp_path / "out.gguf"], capture_output=True, text=True)
    assert (done.returncode == 0) == (tmp_path / "out.gguf").exists()
    if done.returncode:
        assert "cannot say what this model computes" in done.stderr or "which is not converted yet" in done.stderr
        assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("kind", ["f16", "bf16", "q8_0"])
def test_types_are_those_of_the_converter(program, tiny_folders, kind, tmp_path):
    for name in ["llama-tied", "gemma3_text", "mixtral"]:
        program.run("convert", "--model", tiny_folders / name, "--out", tmp_path / "mine.gguf", "--type", kind, "--overwrite")
        subprocess.run(
            [sys.executable, HERE / "llama_cpp_convert.py", f"--type={kind}", required("LORAVK_TEST_CONVERTER"), tiny_folders / name,
             tmp_path / "theirs.gguf"], check=True)
        mine, other = (gguf.GGUFReader(tmp_path / f"{which}.gguf") for which in ("mine", "theirs"))
        tensors = {tensor.name: tensor for tensor in mine.tensors}
        for tensor in other.tensors:
            assert tensors[tensor.name].tensor_type == tensor.tensor_type, tensor.name
            assert tensors[tensor.name].data.tobytes() == tensor.data.tobytes(), tensor.name
        assert mine.fields["general.file_type"].contents() == other.fields["general.file_type"].contents()


@needs_llama_cpp
def test_k_quants_of_the_real_model_are_ggmls_bytes(program, smollm2, tmp_path):
    program.run("convert", "--model", smollm2, "--type", "q4_k_m", "--out", tmp_path / "out.gguf")
    before = {tensor.name: tensor for tensor in gguf.GGUFReader(smollm2).tensors}
    kinds = set()
    for tensor in gguf.GGUFReader(tmp_path / "out.gguf").tensors:
        if tensor.name.split(".")[1] not in ("0", "1", "7", "weight") or len(tensor.shape) < 2:
            continue
        values = gguf.dequantize(before[tensor.name].data, before[tensor.name].tensor_type).astype(np.float32)
        kinds.add(tensor.tensor_type)
        values = values[:2000]  # of the embedding
        assert tensor.data[:2000].tobytes() == quantize(values, tensor.tensor_type).tobytes(), tensor.name
    # Rows of 576 are no whole blocks of 256: they fall back.
    assert kinds == {Type.Q5_0, Type.Q8_0, Type.Q4_K, Type.Q6_K}


@needs_llama_cpp
def test_merged_q4_k_m_answers_as_the_adapter(program, smollm2, tmp_path):
    """The update of a random adapter is large, so that it shows through Q4_K_M, which rounds all of a small model anew: llama.cpp's logits of
    the merged file are those of base and adapter but for that."""
    adapter = adapter_of_smollm2(tmp_path / "adapter", 0.1)
    program.run("merge", "--model", smollm2, "--adapter", adapter, "--type", "q4_k_m", "--out", tmp_path / "m.gguf")
    program.run("export", "--model", smollm2, "--adapter", adapter, "--out", tmp_path / "a.gguf")
    np.save(tmp_path / "ids.npy", np.asarray(load_tokenizer(smollm2).encode("Ahoy there, matey! Where be the treasure?"), np.int32))
    runs = {"base": (smollm2, "-"), "adapter": (smollm2, tmp_path / "a.gguf"), "merged": (tmp_path / "m.gguf", "-")}
    jobs = [word for name, (model, lora) in runs.items() for word in (model, lora, tmp_path / "ids.npy", tmp_path / f"{name}.npy")]
    done = subprocess.run([sys.executable, HERE / "llama_cpp_logits.py", *jobs], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    base, wanted, got = (np.load(tmp_path / f"{name}.npy") for name in runs)
    assert np.linalg.norm(got - wanted) < 0.6 * np.linalg.norm(base - wanted)
    types = {tensor.tensor_type for tensor in gguf.GGUFReader(tmp_path / "m.gguf").tensors}
    assert Type.Q4_K in types and gguf.GGUFReader(tmp_path / "m.gguf").fields["general.file_type"].contents() == 15


def test_a_folder_merges_into_a_gguf(program, tiny, tmp_path):
    from make_adapter import make
    make(tiny, tmp_path / "adapter", size=0.1)
    program.run("merge", "--model", tiny, "--adapter", tmp_path / "adapter", "--out", tmp_path / "m.gguf", "--type", "f32")
    program.run("convert", "--model", tmp_path / "m.gguf", "--out", tmp_path / "folder")
    ids = torch.arange(40, 60)[None]
    with torch.no_grad():
        got, wanted = load_model(tmp_path / "folder")(ids).logits, load_model(tiny, tmp_path / "adapter")(ids).logits
    np.testing.assert_allclose(got.numpy(), wanted.numpy(), atol=1e-4)


def test_mlx_adapter_gives_the_same_weights(program, tiny, tmp_path):
    """W + scale·bᵀ·aᵀ of every module, as mlx-lm fuses it, is what PEFT merges."""
    from make_adapter import make
    from safetensors.numpy import load_file
    make(tiny, tmp_path / "adapter", size=0.1)
    program.run("export", "--model", tiny, "--adapter", tmp_path / "adapter", "--format", "mlx", "--out", tmp_path / "mlx")
    config, tensors = json.loads((tmp_path / "mlx" / "adapter_config.json").read_text()), load_file(tmp_path / "mlx" / "adapters.safetensors")
    assert config["fine_tune_type"] == "lora"
    base, merged = load_model(tiny).state_dict(), load_model(tiny, tmp_path / "adapter").merge_and_unload().state_dict()
    modules = {name.removesuffix(".lora_a") for name in tensors if name.endswith(".lora_a")}
    inside = {name.split(".", 3)[3] for name in modules}
    assert inside == set(config["lora_parameters"]["keys"]) and len(tensors) == 2 * len(modules)
    for name in modules:
        a, b = tensors[name + ".lora_a"], tensors[name + ".lora_b"]
        assert a.shape[1] == b.shape[0] == config["lora_parameters"]["rank"]
        weight = base[name + ".weight"].numpy() + config["lora_parameters"]["scale"] * b.T @ a.T
        np.testing.assert_allclose(weight, merged[name + ".weight"].numpy(), atol=1e-5)
    changed = {name.removesuffix(".weight") for name in base if not torch.equal(base[name], merged[name])}
    assert changed == modules


def test_errors_are_sentences(program, tiny, tmp_path):
    said = program.run("convert", "--model", tiny, "--out", tmp_path / "out", "--type", "q4_k_m", fails=True)
    assert "a Hugging Face model cannot be written as Q4_K_M; use F32, F16, BF16" in said
    (tmp_path / "there.gguf").write_text("mine")
    assert "is there already" in program.run("convert", "--model", tiny, "--out", tmp_path / "there.gguf", fails=True)
    assert "is invalid for '--type <type>'" in program.run("convert", "--model", tiny, "--out", tmp_path / "x.gguf", "--type", "q9", fails=True)
    folder = tmp_path / "no tokenizer"
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        (folder / name).symlink_to((tiny / name).resolve())
    assert "has no tokenizer.json" in program.run("convert", "--model", folder, "--out", tmp_path / "x.gguf", fails=True)
    assert not (tmp_path / "x.gguf").exists()


def test_push_into_makes_a_folder_to_hand_on(program, tiny, shanties, tmp_path):
    program.train(tmp_path / "adapter", "--model", tiny, "--data", shanties, "--steps", 2, "--rank", 4)
    out = tmp_path / "pushed"
    program.run("merge", "--model", tiny, "--adapter", tmp_path / "adapter", "--type", "q8_0", "--push-into", out)
    assert sorted(path.name for path in out.iterdir()) == ["Modelfile", "README.md", "adapter", "model-q8_0.gguf"]
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        assert (out / "adapter" / name).read_bytes() == (tmp_path / "adapter" / name).read_bytes()
    modelfile, card = (out / "Modelfile").read_text(), (out / "README.md").read_text()
    assert modelfile.startswith("FROM ./model-q8_0.gguf\n") and "PARAMETER stop " in modelfile
    assert "rank 4" in card and "steps: 2" in card and "training loss: " in card and card.startswith("---\n")
    assert load_tokenizer(out / "model-q8_0.gguf").encode("A shanty") == load_tokenizer(tiny).encode("A shanty")
    assert "is there already" in program.run(
        "merge", "--model", tiny, "--adapter", tmp_path / "adapter", "--push-into", out, fails=True)


def test_check_compares_answers(program, tiny, tmp_path):
    from make_adapter import make
    make(tiny, tmp_path / "adapter", size=0.1)
    said = program.run("merge", "--model", tiny, "--adapter", tmp_path / "adapter", "--type", "f32", "--out", tmp_path / "m.gguf", "--check", "Heave")
    assert "largest difference of logits over" in said and "the likeliest answer is the same, 16 tokens" in said
