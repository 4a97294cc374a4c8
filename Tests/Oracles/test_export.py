"""Merged models and exported adapters against PEFT, transformers, the package gguf, and llama.cpp itself."""
import json, os, re, subprocess, sys
from pathlib import Path

import gguf, numpy as np
import pytest
import torch
from conftest import EXAMPLES
from folder_to_gguf import gguf_name, permuted, write as write_gguf
from make_adapter import make
from oracle import load_model, load_tokenizer
from peft import LoraConfig, get_peft_model
from safetensors.numpy import save_file
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaForCausalLM

HERE = Path(__file__).parent
CHECKPOINTS = HERE.parent / "CheckpointsTests" / "Data"
HEAD = 32  # of the tiny model
LLAMA_CPP = os.environ.get("LORAVK_TEST_LLAMA_CPP")
needs_llama_cpp = pytest.mark.skipif(
    not LLAMA_CPP, reason="LORAVK_TEST_LLAMA_CPP is not set: scripts/fetch-llama-cpp has llama.cpp for Linux on x86-64 only")


@pytest.fixture(scope="module")
def adapter(tiny, tmp_path_factory):
    out = tmp_path_factory.mktemp("adapter") / "random"
    make(tiny, out, size=0.1)
    return out


@pytest.fixture(scope="module")
def merged(tiny, adapter):
    """Weights as PEFT merges them, in float32."""
    return load_model(tiny, adapter).merge_and_unload().state_dict()


@pytest.fixture(scope="module")
def tiny_gguf(tiny, tmp_path_factory):
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    write_gguf(tiny, path)
    return path


def dora(model, out, **options):
    model = get_peft_model(load_model(model), LoraConfig(r=4, lora_alpha=8, task_type="CAUSAL_LM", use_dora=True, **options))
    random = torch.Generator().manual_seed(1)
    for name, p in model.named_parameters():
        if p.requires_grad:
            p.data += torch.randn(p.shape, generator=random) * 0.1
    model.save_pretrained(out)


SMOLLM2 = dict(q_proj=(576, 576), k_proj=(192, 576), v_proj=(192, 576), o_proj=(576, 576), gate_proj=(1536, 576), up_proj=(1536, 576),
               down_proj=(576, 1536))


def adapter_of_smollm2(out, size, modules=("v_proj",)):
    """Random, of standard deviation `size`; written without PEFT, which needs long for the real model."""
    random, tensors = np.random.default_rng(3), {}
    for layer in range(30):
        for name in modules:
            rows, columns = SMOLLM2[name]
            block = "self_attn" if name in ("q_proj", "k_proj", "v_proj", "o_proj") else "mlp"
            for part, shape in [("A", (8, columns)), ("B", (rows, 8))]:
                key = f"base_model.model.model.layers.{layer}.{block}.{name}.lora_{part}.weight"
                tensors[key] = (random.standard_normal(shape) * size).astype(np.float32)
    out.mkdir()
    save_file(tensors, out / "adapter_model.safetensors")
    config = dict(peft_type="LORA", r=8, lora_alpha=16, target_modules=list(modules))
    (out / "adapter_config.json").write_text(json.dumps(config))
    return out


def weights(folder):
    return {name: values for path in sorted(Path(folder).glob("*.safetensors")) for name, values in load_file(path).items()}


def assert_same_weights(got, wanted, tolerance):
    """Every tensor within `tolerance` of its largest entry."""
    assert got.keys() >= {name for name in wanted if name != "lm_head.weight"}
    for name, values in got.items():
        error = (values.double() - wanted[name].double()).abs().max() / wanted[name].abs().max()
        assert error <= tolerance, f"{name}: {error}"


@torch.no_grad()
def logits(model, ids):
    return model(input_ids=torch.tensor([ids])).logits[0].numpy()


def kept(said):
    """Per type what the report says is kept and lost, as parts of the update."""
    return {line.split()[2]: tuple(float(number) / 100 for number in re.findall(r"([\d.e+-]+) %", line)) for line in said.splitlines()
            if " modules " in line}


def test_merged_folder_is_what_peft_merges(program, tiny, adapter, merged, tmp_path):
    said = program.run("merge", "--model", tiny, "--adapter", adapter, "--out", tmp_path / "out", "--type", "f32", "--max-shard-size", "2MB")
    assert_same_weights(weights(tmp_path / "out"), merged, 1e-6)
    assert kept(said) == {"F32": (1, 0)}
    index = json.loads((tmp_path / "out" / "model.safetensors.index.json").read_text())
    files = sorted(path.name for path in (tmp_path / "out").glob("*.safetensors"))
    assert len(files) > 2 and sorted(set(index["weight_map"].values())) == files
    assert index["metadata"]["total_size"] == sum(4 * t.numel() for t in weights(tmp_path / "out").values())
    ids = list(range(40, 60))
    model = load_model(tmp_path / "out")
    assert model.config.dtype == torch.float32
    np.testing.assert_allclose(logits(model, ids), logits(load_model(tiny, adapter), ids), atol=1e-4)
    assert load_tokenizer(tmp_path / "out").encode("A shanty") == load_tokenizer(tiny).encode("A shanty")


def test_merged_folder_keeps_the_type_of_the_base(program, tiny, adapter, merged, tmp_path):
    said = program.run("merge", "--model", tiny, "--adapter", adapter, "--out", tmp_path / "out")
    got = weights(tmp_path / "out")
    assert all(values.dtype == torch.float16 for values in got.values())
    assert_same_weights(got, merged, 5e-4)
    assert (tmp_path / "out" / "config.json").read_bytes() == (tiny / "config.json").read_bytes()
    (part, error), = kept(said).values()
    base = load_model(tiny).state_dict()
    names = [name for name in got if "_proj" in name]
    update = sum((merged[n] - base[n]).double().square().sum() for n in names)
    lost = sum((got[n].double() - merged[n].double()).square().sum() for n in names)
    assert error == pytest.approx((lost / update).sqrt().item(), rel=0.01) and part == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("name", ["patterns", "dora", "saved"])
def test_adapters_of_peft_of_every_kind_merge(program, name, tmp_path):
    model, adapter = CHECKPOINTS / "tiny-hf", CHECKPOINTS / "adapters" / name
    program.run("merge", "--model", model, "--adapter", adapter, "--out", tmp_path / "out")
    wanted = load_model(model, adapter).merge_and_unload().state_dict()
    assert_same_weights(weights(tmp_path / "out"), wanted, 1e-6)
    base = load_model(model).state_dict()
    assert any((wanted[key] - base[key]).abs().max() > 1e-3 for key in base)


def test_dora_merges_as_in_peft(program, tiny, tmp_path):
    dora(tiny, tmp_path / "dora", target_modules=["q_proj", "down_proj"])
    program.run("merge", "--model", tiny, "--adapter", tmp_path / "dora", "--out", tmp_path / "out", "--type", "f32")
    assert_same_weights(weights(tmp_path / "out"), load_model(tiny, tmp_path / "dora").merge_and_unload().state_dict(), 1e-6)


@pytest.mark.parametrize("kind", ["f32", "f16", "bf16", "q8_0", "q5_0", "q4_1"])
def test_merged_gguf_is_what_the_package_gguf_reads(program, tiny_gguf, adapter, merged, tmp_path, kind):
    said = program.run("merge", "--model", tiny_gguf, "--adapter", adapter, "--out", tmp_path / "out.gguf", "--type", kind, "--each")
    before, after = gguf.GGUFReader(tiny_gguf), gguf.GGUFReader(tmp_path / "out.gguf")
    old = {tensor.name: tensor for tensor in before.tensors}
    assert [tensor.name for tensor in after.tensors] == list(old)
    assert said.count("self_attn.q_proj  F32 to " + kind.upper()) == 4
    wanted = {gguf_name(name): permuted(name, values.numpy(), HEAD) for name, values in merged.items()}
    update = lost = 0
    for tensor in after.tensors:
        values = gguf.dequantize(tensor.data, tensor.tensor_type)
        if "_proj" not in next(name for name in merged if gguf_name(name) == tensor.name):
            assert np.array_equal(tensor.data, old[tensor.name].data)
            continue
        assert tensor.tensor_type.name == kind.upper()
        exact = wanted[tensor.name]
        if kind in ("q8_0", "q5_0", "q4_1"):  # as the package quantises the same numbers, but where ours differ in the last bit
            own = gguf.dequantize(gguf.quantize(exact, tensor.tensor_type), tensor.tensor_type)
            assert (values != own).mean() < 1e-3
        update += np.square(exact.astype(float) - old[tensor.name].data).sum()
        lost += np.square(values.astype(float) - exact).sum()
    assert kept(said)[kind.upper()][1] == pytest.approx(np.sqrt(lost / update), rel=0.01, abs=1e-6)
    names = {field for field in after.fields if not field.startswith("GGUF.")}
    expected = {field for field in before.fields if not field.startswith("GGUF.")}
    assert names - expected <= {"general.file_type", "general.quantization_version"} and expected <= names
    for field in expected:
        assert after.fields[field].contents() == before.fields[field].contents()


def test_check_compares_logits(program, tiny_gguf, adapter, tmp_path):
    words = ["merge", "--model", tiny_gguf, "--adapter", adapter, "--check", "A shanty of the sea"]
    def numbers(*more):
        *_, said, same = program.run(*words, *more).splitlines()
        assert said.startswith("largest difference of logits over ") and "likeliest answer" in same, (said, same)
        found = re.search(r"tokens  ([\d.e+-]+); the adapter's own is ([\d.e+-]+)", said)
        return float(found[1]), float(found[2])
    exact, own = numbers("--out", tmp_path / "f32.gguf")
    assert exact < 1e-3 < own
    rough, _ = numbers("--out", tmp_path / "q4.gguf", "--type", "q4_0")
    assert rough > 10 * exact


def test_a_drowned_update_is_told(program, smollm2, tmp_path):
    """The real model is Q4_1, and an adapter as small as this one drowns in its rounding."""
    adapter_of_smollm2(tmp_path / "adapter", 0.01)
    done = subprocess.run([program.path, "merge", "--model", smollm2, "--adapter", tmp_path / "adapter", "--out", tmp_path / "out.gguf"],
                          capture_output=True, text=True)
    assert done.returncode == 0 and "30 modules  F16 keeps " in done.stdout, done.stdout + done.stderr
    assert "the merged weights are F16: Q4_1 would lose the update" in done.stderr and "warning" not in done.stderr, done.stderr
    values = {t.name: t.tensor_type.name for t in gguf.GGUFReader(tmp_path / "out.gguf").tensors}
    assert len(values) == 272 and values["blk.3.attn_v.weight"] == "F16" and values["blk.3.attn_q.weight"] == "Q4_1"
    for kind, what in [("q4_1", r"only [\d.e-]+ % of the update came through"), ("q8_0", "times as much as the adapter did")]:
        done = subprocess.run([program.path, "merge", "--model", smollm2, "--adapter", tmp_path / "adapter", "--out",
                               tmp_path / f"{kind}.gguf", "--type", kind], capture_output=True, text=True)
        assert done.returncode == 0 and f"30 modules  {kind.upper()} keeps " in done.stdout
        assert re.search(f"warning: .* may not answer as the adapter does: .*{what}.*; merge again with --type f16", done.stderr), done.stderr


def test_a_large_update_keeps_a_smaller_type(program, smollm2, tmp_path):
    adapter_of_smollm2(tmp_path / "adapter", 0.1)
    done = subprocess.run([program.path, "merge", "--model", smollm2, "--adapter", tmp_path / "adapter", "--out", tmp_path / "out.gguf"],
                          capture_output=True, text=True)
    (kind, (part, error)), = kept(done.stdout).items()
    assert kind in ("Q4_1", "Q8_0") and part > 0.9 and error < 0.5 and "warning" not in done.stderr, done.stdout + done.stderr


def test_k_quants_that_keep_the_update_stay(program, tmp_path):
    """Q4_K blocks hold 256 numbers: a model of that width, its first feed-forward in Q4_K."""
    config = LlamaConfig(vocab_size=32, hidden_size=256, intermediate_size=256, num_hidden_layers=1, num_attention_heads=4,
                         num_key_value_heads=4, max_position_embeddings=64, tie_word_embeddings=True)
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(tmp_path / "model")
    write_gguf(tmp_path / "model", tmp_path / "f32.gguf")
    make(tmp_path / "model", tmp_path / "adapter", targets="up_proj,gate_proj", size=0.1)
    blocks = np.random.default_rng(0).integers(0, 256, (256, 144), dtype=np.uint8)
    blocks[:, :4] = np.array([0.001, 0.002], np.float16).view(np.uint8)
    reader, writer = gguf.GGUFReader(tmp_path / "f32.gguf"), gguf.GGUFWriter(tmp_path / "k.gguf", "llama")
    for name, field in reader.fields.items():
        if not name.startswith("GGUF.") and name != "general.architecture":
            writer.add_key_value(name, field.contents(), field.types[0])
    for tensor in reader.tensors:
        if tensor.name == "blk.0.ffn_up.weight":
            writer.add_tensor(tensor.name, blocks, raw_dtype=gguf.GGMLQuantizationType.Q4_K)
        else:
            writer.add_tensor(tensor.name, tensor.data.copy())
    writer.write_header_to_file(); writer.write_kv_data_to_file(); writer.write_tensors_to_file(); writer.close()
    said = program.run("merge", "--model", tmp_path / "k.gguf", "--adapter", tmp_path / "adapter", "--out", tmp_path / "out.gguf")
    assert kept(said).keys() == {"Q4_K", "F32"}
    after = {tensor.name: tensor for tensor in gguf.GGUFReader(tmp_path / "out.gguf").tensors}
    assert after["blk.0.ffn_up.weight"].tensor_type.name == "Q4_K" and after["blk.0.ffn_gate.weight"].tensor_type.name == "F32"
    stored = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    a, b = (stored[f"base_model.model.model.layers.0.mlp.up_proj.lora_{part}.weight"].numpy() for part in "AB")
    update = 2 * b @ a
    got = gguf.dequantize(after["blk.0.ffn_up.weight"].data, gguf.GGMLQuantizationType.Q4_K)
    lost = np.linalg.norm(got - gguf.dequantize(blocks, gguf.GGMLQuantizationType.Q4_K) - update) / np.linalg.norm(update)
    assert lost < 0.5 and lost == pytest.approx(kept(said)["Q4_K"][1], rel=0.01)


# Adapters for llama.cpp


def llama_cpp(model, adapter, ids, tmp_path):
    np.save(tmp_path / "tokens.npy", np.array(ids, np.int32))
    done = subprocess.run([sys.executable, HERE / "llama_cpp_logits.py", model, adapter or "-", tmp_path / "tokens.npy", tmp_path / "logits.npy"],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return np.load(tmp_path / "logits.npy")


@needs_llama_cpp
@pytest.mark.parametrize("options", [
    dict(), dict(rank=3, alpha=5), dict(rslora=True, rank=16, alpha=4), dict(targets="q_proj,k_proj")], ids=str)
def test_llama_cpp_runs_an_exported_adapter_as_peft(program, tiny, tiny_gguf, tmp_path, options):
    make(tiny, tmp_path / "adapter", size=0.1, **options)
    program.run("export", "--model", tiny, "--adapter", tmp_path / "adapter", "--out", tmp_path / "adapter.gguf")
    ids = list(np.random.default_rng(0).integers(3, 1500, 24))
    wanted = logits(load_model(tiny, tmp_path / "adapter"), ids)
    np.testing.assert_allclose(llama_cpp(tiny_gguf, tmp_path / "adapter.gguf", ids, tmp_path), wanted, atol=2e-4)
    base = logits(load_model(tiny), ids)
    np.testing.assert_allclose(llama_cpp(tiny_gguf, None, ids, tmp_path), base, atol=2e-4)
    assert np.abs(base - wanted).max() > 0.05, "the adapter does nothing"


@needs_llama_cpp
def test_llama_cpp_takes_ranks_and_alphas_that_differ(program, tmp_path):
    model, adapter = CHECKPOINTS / "tiny-hf", CHECKPOINTS / "adapters" / "patterns"
    write_gguf(model, tmp_path / "model.gguf")
    ids = list(np.random.default_rng(0).integers(3, 40, 16))
    wanted = logits(load_model(model, adapter), ids)
    for kind, tolerance in [("f32", 1e-4), ("f16", 2e-2), ("bf16", 1e-1)]:
        program.run("export", "--model", tmp_path / "model.gguf", "--adapter", adapter, "--out", tmp_path / "a.gguf", "--type", kind,
                    "--overwrite")
        np.testing.assert_allclose(llama_cpp(tmp_path / "model.gguf", tmp_path / "a.gguf", ids, tmp_path), wanted, atol=tolerance)


@needs_llama_cpp
def test_llama_cpp_runs_a_merged_model(program, tiny, tiny_gguf, adapter, tmp_path):
    ids = list(np.random.default_rng(1).integers(3, 1500, 24))
    wanted = logits(load_model(tiny, adapter), ids)
    for kind, tolerance in [("f32", 2e-4), ("q8_0", 1.0)]:
        program.run("merge", "--model", tiny_gguf, "--adapter", adapter, "--out", tmp_path / "m.gguf", "--type", kind, "--overwrite")
        np.testing.assert_allclose(llama_cpp(tmp_path / "m.gguf", None, ids, tmp_path), wanted, atol=tolerance)


@needs_llama_cpp
def test_llama_cpp_answers_as_this_program_with_the_real_model(program, smollm2, tmp_path):
    """The same greedy words, without and with an adapter that changes them. In F16, which an adapter of zeros makes of the model:
    for Q4_1 llama.cpp rounds the activations too."""
    zeros, model = adapter_of_smollm2(tmp_path / "zeros", 0, SMOLLM2), tmp_path / "model.gguf"
    program.run("merge", "--model", smollm2, "--adapter", zeros, "--type", "f16", "--out", model)
    folder = adapter_of_smollm2(tmp_path / "adapter", 0.08)
    program.run("export", "--model", model, "--adapter", folder, "--out", tmp_path / "adapter.gguf")
    tokenizer = load_tokenizer(smollm2)
    prompt = "Once upon a time, there was a"
    said = [program.run("generate", "--model", model, "--raw", "--prompt", prompt, "--max-tokens", 5, *words)
            for words in ([], ["--adapter", folder])]
    assert said[0] != said[1], "the adapter does nothing"
    for adapter, text in zip([None, tmp_path / "adapter.gguf"], said):
        ids, start = (tokenizer(words, add_special_tokens=False).input_ids for words in (text.removesuffix("\n"), prompt))
        chosen = llama_cpp(model, adapter, ids, tmp_path).argmax(-1)
        assert list(chosen[len(start) - 1:-1]) == ids[len(start):], text


def test_what_an_exported_adapter_says_of_itself(program, tiny, adapter, tmp_path):
    program.run("export", "--model", tiny, "--adapter", adapter, "--out", tmp_path / "a.gguf")
    reader = gguf.GGUFReader(tmp_path / "a.gguf")
    fields = {name: field.contents() for name, field in reader.fields.items() if not name.startswith("GGUF.")}
    assert fields == {"general.type": "adapter", "general.architecture": "llama", "adapter.type": "lora", "adapter.lora.alpha": 16.0}
    tensors = {tensor.name: tensor.data for tensor in reader.tensors}
    stored = load_file(adapter / "adapter_model.safetensors")
    assert len(tensors) == len(stored) == 56
    for key, values in stored.items():
        module, part = key.removeprefix("base_model.model.").removesuffix(".weight").rsplit(".", 1)
        rows = values.numpy() if part == "lora_A" else permuted(module + ".weight", values.numpy(), HEAD)
        assert np.array_equal(tensors[f"{gguf_name(module)}.{part.lower()}"], rows)


def test_what_cannot_be_exported_is_told_in_a_sentence(program, tiny, smollm2, adapter, tmp_path):
    model, adapters, out = CHECKPOINTS / "tiny-hf", CHECKPOINTS / "adapters", tmp_path / "out.gguf"
    def refusal(command, model, adapter, *more):
        said = program.run(command, "--model", model, "--adapter", adapter, "--out", out, *more, fails=True)
        assert said.count("\n") == 1 and not list(tmp_path.iterdir()), said
        return said
    assert "DoRA magnitudes" in refusal("export", model, adapters / "dora")
    assert "modules_to_save" in refusal("export", model, adapters / "saved")
    assert "cannot be stored as Q8_0; use F32" in refusal("export", model, adapters / "plain", "--type", "q8_0")
    for command in ("export", "merge"):
        assert "belongs to another model" in refusal(command, smollm2, adapter)
        assert "does not exist" in refusal(command, tmp_path / "none", adapter)
        assert "adapter_config.json" in refusal(command, tiny, tiny)
    assert "5GB" in refusal("merge", model, adapters / "plain", "--max-shard-size", "much")
    out.write_text("mine")
    said = program.run("export", "--model", tiny, "--adapter", adapter, "--out", out, fails=True)
    assert "is there already" in said and out.read_text() == "mine"
