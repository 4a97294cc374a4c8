"""Configs of PEFT's adapters: what they name, their patterns, whole modules, embeddings and outputs, against what PEFT computes."""
import json, shutil

import pytest
import torch
from oracle import example, load_model, load_tokenizer, mean_loss, rows
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from test_cli import call, refused

ROWS = 6


@pytest.fixture(scope="module")
def untied(tiny, tmp_path_factory):
    """The tiny model with an output of its own."""
    folder = tmp_path_factory.mktemp("models") / "untied"
    shutil.copytree(tiny, folder)
    tensors = load_file(folder / "model.safetensors")
    embedding = tensors["model.embed_tokens.weight"].float()
    tensors["lm_head.weight"] = (embedding + torch.randn(embedding.shape, generator=torch.Generator().manual_seed(3)) * 0.01).to(
        tensors["model.embed_tokens.weight"].dtype)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": False}))
    return folder


@pytest.fixture(scope="module")
def few(shanties, tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "few.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows(shanties)[:ROWS]))
    return path


def made(model, out, save={}, **options):
    """An adapter of PEFT's whose parameters are all random."""
    adapted = get_peft_model(load_model(model), LoraConfig(**{"r": 4, "lora_alpha": 8, "task_type": "CAUSAL_LM"} | options))
    random = torch.Generator().manual_seed(len(str(options)))
    for name, p in sorted(adapted.named_parameters()):
        if p.requires_grad:
            p.data += torch.randn(p.shape, generator=random) * 0.06
    adapted.save_pretrained(out, **save)
    return adapted.eval()


def changed(out, **keys):
    path = out / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | keys))


def peft_loss(model, out, data):
    tokenizer = load_tokenizer(model)
    with torch.no_grad():
        adapted = PeftModel.from_pretrained(load_model(model), str(out)).eval()
        return mean_loss(adapted, [example(row["messages"], tokenizer) for row in rows(data)])[0]


def assert_same(program, model, out, data):
    """The program's loss is PEFT's, and not the base model's."""
    wanted = peft_loss(model, out, data)
    assert program.eval("--model", model, "--data", data, "--adapter", out)["loss"] == pytest.approx(wanted, rel=1e-4)
    assert abs(program.eval("--model", model, "--data", data)["loss"] - wanted) > 1e-4


CONFIGS = {
    "exclude": dict(target_modules=["q_proj", "down_proj", "o_proj"], exclude_modules=["down_proj"]),
    "exclude-regex": dict(target_modules=["q_proj", "o_proj"], exclude_modules=r".*layers\.[02]\..*o_proj"),
    "exclude-layer": dict(target_modules=["up_proj"], exclude_modules=["layers.1.mlp.up_proj", "nothing_like_it"]),
    "rank-regex": dict(target_modules=["q_proj", "v_proj"], rank_pattern={r"layers\.[01]\.self_attn\.q_proj": 8}, alpha_pattern={".*v_proj": 24}),
    "rank-first": dict(target_modules=["q_proj", "v_proj"], rank_pattern={"(q|k)_proj": 2, "q_proj": 8, "^model.layers.1.+v_proj$": 6}),
    "alpha-part": dict(target_modules=["q_proj", "v_proj"], alpha_pattern={r"v_proj|layers\.\d.*q_proj": 3, r"model\.layers\.(0|3)\..{1,9}\.v_proj": 5}),
    "rank-unused": dict(target_modules=["q_proj"], rank_pattern={"down_proj": 16}, alpha_pattern={"gate_proj": 1}),
    "targets-unused": dict(target_modules=["q_proj", "c_attn", "query_key_value"]),
    "layers": dict(target_modules=["q_proj", "v_proj"], layers_to_transform=[1, 3]),
    "regex": dict(target_modules=r".*\.[13]\..*(q|up)_proj"),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_configs_mean_what_they_mean_to_peft(program, tiny, few, tmp_path, name):
    made(tiny, tmp_path / "adapter", **CONFIGS[name])
    assert_same(program, tiny, tmp_path / "adapter", few)


WHOLE = {
    "saved-head": dict(target_modules=["q_proj"], modules_to_save=["lm_head"]),
    "saved-embedding": dict(target_modules=["q_proj"], modules_to_save=["embed_tokens"]),
    "saved-both": dict(target_modules=["q_proj", "v_proj"], modules_to_save=["lm_head", "embed_tokens"]),
    "saved-norm": dict(target_modules=["q_proj"], modules_to_save=["norm", "input_layernorm"]),
    "head": dict(target_modules=["v_proj", "lm_head"]),
    "head-dora": dict(target_modules=["v_proj", "lm_head"], use_dora=True),
    "embedding": dict(target_modules=["v_proj", "embed_tokens"]),
    "embedding-alone": dict(target_modules=["embed_tokens"], use_rslora=True),
    "embedding-and-head": dict(target_modules=["embed_tokens", "lm_head"], rank_pattern={"lm_head": 2}),
}


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("kind", ["tied", "untied"])
def test_whole_modules_embeddings_and_outputs_are_those_of_peft(program, tiny, untied, few, tmp_path, kind, name):
    model = tiny if kind == "tied" else untied
    made(model, tmp_path / "adapter", **WHOLE[name])
    assert_same(program, model, tmp_path / "adapter", few)
    if name in ("saved-head", "saved-embedding", "saved-both"):
        return  # these train: test_whole.py
    said = refused(program, "train", "--model", model, "--data", few, "--out", tmp_path / "out", "--adapter", tmp_path / "adapter")
    assert "which can be neither trained" in said and "lora-vk merge" in said


@pytest.mark.parametrize("kind", ["tied", "untied"])
def test_embeddings_that_peft_saves_beside_the_adapter_take_their_place(program, tiny, untied, few, tmp_path, kind):
    model = tiny if kind == "tied" else untied
    out = tmp_path / "adapter"
    made(model, out, save=dict(save_embedding_layers=True), target_modules=["q_proj", "v_proj"])
    tensors = load_file(out / "adapter_model.safetensors")
    names = [name for name in tensors if name.endswith("embed_tokens.weight")]
    assert names
    for name in tensors:
        if name.endswith(("embed_tokens.weight", "lm_head.weight")):
            tensors[name] = tensors[name] * 1.25
    save_file(tensors, out / "adapter_model.safetensors", metadata={"format": "pt"})
    assert_same(program, model, out, few)


def test_an_untied_merge_is_what_peft_merges(program, untied, few, tmp_path):
    made(untied, tmp_path / "adapter", target_modules=["q_proj", "embed_tokens", "lm_head"])
    program.run("merge", "--model", untied, "--adapter", tmp_path / "adapter", "--out", tmp_path / "merged", "--type", "f32")
    wanted = peft_loss(untied, tmp_path / "adapter", few)
    assert program.eval("--model", tmp_path / "merged", "--data", few)["loss"] == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("name", ["head", "embedding", "embedding-and-head"])
def test_a_tied_merge_of_one_end_is_refused(program, tiny, tmp_path, name):
    made(tiny, tmp_path / "adapter", **WHOLE[name])
    assert "tied to its embedding" in refused(
        program, "merge", "--model", tiny, "--adapter", tmp_path / "adapter", "--out", tmp_path / "merged")


@pytest.fixture(scope="module")
def plain(tiny, tmp_path_factory):
    out = tmp_path_factory.mktemp("adapters") / "plain"
    made(tiny, out, target_modules=["q_proj", "v_proj"])
    return out


QUIET = dict(peft_version="0.18.0", alora_invocation_tokens=None, arrow_config=None, ensure_weight_tying=False, some_new_key=None,
             another_new_key=False, a_list=[], an_object={})
LOUD = {"alora_invocation_tokens": [308], "arrow_config": {"top_k": 2}, "use_bdlora": {"match_strict": True}, "some_new_key": 1,
        "use_something": True, "new_pattern": {"q_proj": 2}, "target_parameters": ["mlp.experts"], "lora_bias": True}


def test_a_newer_config_is_quiet_about_what_it_leaves_alone(program, tiny, plain, few, tmp_path):
    shutil.copytree(plain, tmp_path / "adapter")
    changed(tmp_path / "adapter", **QUIET)
    done = call(program, "eval", "--model", tiny, "--data", few, "--adapter", tmp_path / "adapter")
    assert done.returncode == 0 and done.stderr == ""


@pytest.mark.parametrize("key", LOUD)
@pytest.mark.parametrize("command", ["eval", "train", "inspect"])
def test_a_key_that_changes_the_arithmetic_is_refused_by_name(program, tiny, plain, few, tmp_path, command, key):
    shutil.copytree(plain, tmp_path / "adapter")
    changed(tmp_path / "adapter", **{key: LOUD[key]})
    words = {"inspect": ["inspect", tmp_path / "adapter"], "eval": ["eval", "--model", tiny, "--data", few, "--adapter", tmp_path / "adapter"],
             "train": ["train", "--model", tiny, "--data", few, "--out", tmp_path / "out", "--adapter", tmp_path / "adapter"]}[command]
    assert f"'{key}' is" in refused(program, *words)
