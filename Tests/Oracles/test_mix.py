"""Sums of adapters against PEFT's add_weighted_adapter with "cat", which is exact as well."""
import json

import pytest
import torch
from make_adapter import make
from oracle import load_model
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file

TOKENS = torch.tensor([[1, 40, 7, 300, 12, 99, 5, 1200, 3]])


@pytest.fixture(scope="session")
def parts(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("parts")
    make(tiny, folder / "a", seed=1, size=0.1)
    make(tiny, folder / "b", rank=4, alpha=4, rslora=True, seed=2, size=0.1)
    make(tiny, folder / "c", rank=3, targets="q_proj,down_proj", seed=3, size=0.1)
    return folder


def theirs(tiny, parts, weights):
    names = list(weights)
    model = PeftModel.from_pretrained(load_model(tiny), str(parts / names[0]), adapter_name=names[0])
    for name in names[1:]:
        model.load_adapter(str(parts / name), adapter_name=name)
    model.add_weighted_adapter(names, list(weights.values()), "mixed", combination_type="cat")
    model.set_adapter("mixed")
    return model.eval()


def logits(model):
    with torch.no_grad():
        return model(input_ids=TOKENS).logits


def named(parts, weights):
    return ",".join(f"{parts}/{name}={weight}" for name, weight in weights.items())


def test_a_mix_is_that_of_peft_to_the_matrix(program, tiny, parts, tmp_path):
    weights = {"a": 0.7, "b": 0.3}
    program.run("mix", "--adapter", named(parts, weights), "--out", tmp_path / "mixed")
    model = theirs(tiny, parts, weights)
    ours = load_file(tmp_path / "mixed" / "adapter_model.safetensors")
    wanted = {name.replace(".mixed.", "."): value for name, value in model.state_dict().items() if ".mixed." in name}
    assert ours.keys() == wanted.keys() and len(ours) == 56
    for name, value in wanted.items():
        assert torch.allclose(ours[name], value, rtol=1e-6, atol=0), name
    config = json.loads((tmp_path / "mixed" / "adapter_config.json").read_text())
    assert config["r"] == config["lora_alpha"] == 12 and not config["use_rslora"]
    loaded = PeftModel.from_pretrained(load_model(tiny), str(tmp_path / "mixed")).eval()
    assert torch.allclose(logits(loaded), logits(model), atol=1e-5)


def test_adapters_of_different_layers(program, tiny, parts, tmp_path):
    """PEFT sums what the two change apart; its own "cat" pads what only one of them has."""
    weights = {"a": 1.5, "c": -0.5}
    program.run("mix", "--model", tiny, "--adapter", named(parts, weights), "--out", tmp_path / "mixed")
    loaded = PeftModel.from_pretrained(load_model(tiny), str(tmp_path / "mixed")).eval()
    config = json.loads((tmp_path / "mixed" / "adapter_config.json").read_text())
    assert config["r"] == 11 and set(config["rank_pattern"].values()) == {8}
    base = dict(load_model(tiny).named_parameters())
    merged = dict(loaded.merge_and_unload().named_parameters())
    each = {name: dict(PeftModel.from_pretrained(load_model(tiny), str(parts / name)).merge_and_unload().named_parameters())
            for name in weights}
    for name, before in base.items():
        wanted = before + sum(weight * (each[part][name] - before) for part, weight in weights.items())
        assert torch.allclose(merged[name], wanted, atol=1e-5), name


def test_every_command_takes_a_mix(program, tiny, shanties, parts, tmp_path):
    mix, scaled = named(parts, {"a": 0.7, "c": 0.3}), named(parts, {"a": 1.4, "c": 0.6})
    program.run("mix", "--adapter", mix, "--out", tmp_path / "mixed")
    words = ["--model", tiny, "--data", shanties, "--limit", 2]
    saved = program.eval(*words, "--adapter", tmp_path / "mixed")
    assert program.eval(*words, "--adapter", mix) == pytest.approx(saved, rel=1e-5)
    assert program.eval(*words, "--adapter", mix, "--adapter-scale", 2) == pytest.approx(program.eval(*words, "--adapter", scaled), rel=1e-5)
    assert program.eval(*words, "--adapter", mix, "--adapter-scale", 2)["loss"] != pytest.approx(saved["loss"], rel=1e-4)
    assert program.eval(*words, "--adapter", mix, "--adapter-scale", 0) == pytest.approx(program.eval(*words), rel=1e-5)
    words = ["generate", "--model", tiny, "--prompt", "Who sails?", "--max-tokens", 16]
    assert program.run(*words, "--adapter", mix) == program.run(*words, "--adapter", tmp_path / "mixed")
    program.run("merge", "--model", tiny, "--adapter", mix, "--out", tmp_path / "merged", "--type", "f32")
    after = load_model(tmp_path / "merged")
    loaded = PeftModel.from_pretrained(load_model(tiny), str(tmp_path / "mixed")).eval()
    assert torch.allclose(logits(after), logits(loaded), atol=1e-3)


def test_what_is_no_sum_is_refused(program, tiny, parts, tmp_path):
    for name, options in {"dora": dict(use_dora=True), "saved": dict(modules_to_save=["lm_head"])}.items():
        get_peft_model(load_model(tiny), LoraConfig(target_modules=["q_proj"], task_type="CAUSAL_LM", **options)).save_pretrained(
            tmp_path / name)
    out = ["--out", tmp_path / "out"]
    assert "is a DoRA adapter" in program.run("mix", "--adapter", f"{parts}/a,{tmp_path}/dora", *out, fails=True)
    words = ["generate", "--model", tiny, "--prompt", "a", "--max-tokens", 2]
    assert "is a DoRA adapter" in program.run(*words, "--adapter", f"{tmp_path}/dora=0.5", fails=True)
    assert program.run(*words, "--adapter", tmp_path / "dora")
    assert "whole modules" in program.run("mix", "--adapter", f"{parts}/a,{tmp_path}/saved", *out, fails=True)
    assert "finite" in program.run("mix", "--adapter", f"{parts}/a=inf,{parts}/b", *out, fails=True)
    assert "/none" in program.run("mix", "--adapter", f"{parts}/a,/none", *out, fails=True)
    assert not (tmp_path / "out").exists()
    program.run("mix", "--adapter", f"{parts}/a", *out)
    assert "already" in program.run("mix", "--adapter", f"{parts}/b", *out, fails=True)
    program.run("mix", "--adapter", f"{parts}/b", *out, "--overwrite")
