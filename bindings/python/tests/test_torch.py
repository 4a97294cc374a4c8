"""loravk.torch inside a PyTorch model, against PEFT's layers in the same model."""
import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

import loravk
from conftest import TINY
from loravk.torch import LoRALinear, add_lora

TARGETS = ["q_proj", "v_proj", "down_proj"]


def load(dtype=torch.float32):
    return AutoModelForCausalLM.from_pretrained(TINY, dtype=dtype)


def test_a_pytorch_model_trains_as_with_peft():
    theirs = get_peft_model(load(), LoraConfig(r=4, lora_alpha=8, target_modules=TARGETS, lora_dropout=0))
    ours = add_lora(load(), TARGETS, rank=4, alpha=8)
    pairs = {name: p for name, p in ours.named_parameters() if p.requires_grad}
    wanted = {name.removeprefix("base_model.model.").replace(".default", ""): p
              for name, p in theirs.named_parameters() if p.requires_grad}
    assert pairs.keys() == wanted.keys()
    with torch.no_grad():
        for name, parameter in pairs.items():
            parameter.copy_(wanted[name])
    tokens = torch.from_numpy(np.random.default_rng(0).integers(3, 1000, (2, 24)))
    optimizers = [torch.optim.AdamW(each.values(), lr=1e-3) for each in (pairs, wanted)]
    for _ in range(3):
        losses = [model(input_ids=tokens, labels=tokens).loss for model in (ours, theirs)]
        assert losses[0].item() == pytest.approx(losses[1].item(), rel=1e-5)
        for loss, optimizer in zip(losses, optimizers):
            optimizer.zero_grad()
            loss.backward()
        for name, parameter in pairs.items():
            largest = wanted[name].grad.abs().max()
            assert (parameter.grad - wanted[name].grad).abs().max() <= 1e-3 * largest, name
        for optimizer in optimizers:
            optimizer.step()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_layer_with_bias_in_every_dtype(dtype):
    torch.manual_seed(0)
    linear = torch.nn.Linear(24, 12).to(dtype)
    layer = LoRALinear(linear, rank=3, alpha=6)
    torch.nn.init.normal_(layer.lora_B.weight)
    x = torch.randn(2, 5, 24, dtype=dtype, requires_grad=True)
    wanted = (x.double() @ linear.weight.double().T + linear.bias.double()
              + 2 * x.double() @ layer.lora_A.weight.double().T @ layer.lora_B.weight.double().T)
    y = layer(x)
    assert y.dtype == dtype and y.shape == wanted.shape
    tolerance = {torch.float32: 1e-5, torch.float16: 5e-3, torch.bfloat16: 5e-2}[dtype]
    torch.testing.assert_close(y.double(), wanted, rtol=tolerance, atol=tolerance * wanted.abs().max().item())
    for wanted_gradient, gradient in zip(
            torch.autograd.grad(wanted.sum(), [x, layer.lora_A.weight, layer.lora_B.weight]),
            torch.autograd.grad(y.sum(), [x, layer.lora_A.weight, layer.lora_B.weight])):
        limit = tolerance * wanted_gradient.abs().max().item()
        torch.testing.assert_close(gradient.double(), wanted_gradient.double(), rtol=tolerance, atol=limit)
    assert set(layer.state_dict()) == {"lora_A.weight", "lora_B.weight"}


def test_what_is_refused():
    with pytest.raises(ValueError, match="no_such"):
        add_lora(torch.nn.Sequential(torch.nn.Linear(4, 4)), ["no_such"])
    with pytest.raises(loravk.InvalidArgumentError):
        LoRALinear(torch.nn.Linear(8, 4))(torch.zeros(3, 9))
