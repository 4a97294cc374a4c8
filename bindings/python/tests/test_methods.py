"""Adapter methods that PEFT has too: gradients by its autograd from the same parameters and tokens, and the steps of LoRA+."""
import numpy as np
import pytest
import torch
from peft import DeloraConfig, LoraConfig, VeraConfig, get_peft_model, get_peft_model_state_dict
from peft.optimizers import create_loraplus_optimizer
from transformers import AutoModelForCausalLM

import loravk
from conftest import TINY

LORA = dict(r=5, lora_alpha=10)
CONFIGS = {
    "lora": LoraConfig(**LORA), "rslora": LoraConfig(**LORA, use_rslora=True), "dora": LoraConfig(**LORA, use_dora=True),
    "vera": VeraConfig(r=20, d_initial=0.5)}


def peft_model(config, *targets):
    """With random parameters, away from a start where half of the gradients are zero."""
    config.task_type, config.target_modules = "CAUSAL_LM", list(targets or ["q_proj", "v_proj", "up_proj", "down_proj"])
    torch.manual_seed(4)
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(TINY, dtype=torch.float32), config).eval()
    for name, p in model.named_parameters():
        if p.requires_grad:
            p.data += 0.1 * torch.randn(p.shape)
    return model


@pytest.mark.parametrize("name", CONFIGS)
def test_gradients_are_those_of_pefts_autograd(tiny, name, tmp_path):
    model = peft_model(CONFIGS[name])
    model.save_pretrained(tmp_path)
    tokens = np.random.default_rng(2).integers(0, tiny.info.vocab_size, (2, 24))
    loss = model(input_ids=torch.tensor(tokens), labels=torch.tensor(tokens)).loss
    loss.backward()
    state = dict(model.state_dict(), **{n: p.grad for n, p in model.named_parameters() if p.requires_grad})
    wanted = {key: value.numpy() for key, value in get_peft_model_state_dict(model, state).items()}
    adapter = loravk.Adapter.load(tiny, tmp_path)
    result = loravk.Trainer(tiny, adapter).forward_backward(tokens)
    assert result.loss == pytest.approx(loss.item(), rel=1e-5)
    gradients = adapter.gradients()
    assert len(gradients) >= 16
    for key, gradient in gradients.items():
        largest = np.abs(wanted[key]).max()
        assert largest > 1e-5, key
        assert np.abs(gradient - wanted[key]).max() <= 1e-4 * largest, key


def test_lora_plus_steps_as_pefts_optimizer(tiny):
    model = peft_model(LoraConfig(**LORA))
    start = {key: value.numpy().copy() for key, value in get_peft_model_state_dict(model).items()}
    optimizer = create_loraplus_optimizer(model, torch.optim.AdamW, lr=1e-3, loraplus_lr_ratio=8)
    adapter = loravk.Adapter.create(
        tiny, rank=LORA["r"], alpha=LORA["lora_alpha"], target_modules=["q_proj", "v_proj", "up_proj", "down_proj"],
        method="lora+:ratio=8")
    adapter.set_parameters(start)
    trainer = loravk.Trainer(tiny, adapter, learning_rate=1e-3, max_grad_norm=0)
    for seed in range(3):
        tokens = np.random.default_rng(seed).integers(0, tiny.info.vocab_size, (2, 24))
        model(input_ids=torch.tensor(tokens), labels=torch.tensor(tokens)).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        trainer.step(tokens)
    ours = adapter.parameters()
    for key, wanted in get_peft_model_state_dict(model).items():
        moved = np.abs(wanted.numpy() - start[key])
        assert moved.mean() > (4e-3 if "lora_B" in key else 5e-4), key
        assert np.abs(ours[key] - wanted.numpy()).mean() <= 1e-3 * moved.mean(), key


def test_gradients_of_delora_are_those_of_pefts_autograd(tiny):
    """Its names for the same: lora_A is delora_A. Its λ scales what ours does, norms of W's columns included."""
    tokens = np.random.default_rng(3).integers(0, tiny.info.vocab_size, (2, 24))
    model = peft_model(DeloraConfig(r=3, delora_lambda=2), "q_proj", "down_proj")
    loss = model(input_ids=torch.tensor(tokens), labels=torch.tensor(tokens)).loss
    loss.backward()
    theirs = {name.replace(".default", ""): p for name, p in model.named_parameters() if p.requires_grad}

    def key(name):
        return "base_model.model." * name.endswith("lambda") + name.replace(".lora_A.weight", ".delora_A").replace(
            ".lora_B.weight", ".delora_B").replace(".lambda", ".delora_lambda")

    adapter = loravk.Adapter.create(tiny, rank=3, method="delora", target_modules=["q_proj", "down_proj"])
    adapter.set_parameters({name: theirs[key(name)].detach().numpy() for name in adapter.shapes})
    result = loravk.Trainer(tiny, adapter).forward_backward(tokens)
    assert result.loss == pytest.approx(loss.item(), rel=1e-5)
    gradients = adapter.gradients()
    assert len(gradients) == 3 * 8
    for name, gradient in gradients.items():
        wanted = theirs[key(name)].grad.numpy()
        assert np.abs(gradient - wanted).max() <= 1e-4 * np.abs(wanted).max(), name
