"""PyTorch modules whose LoRA linear layers run through libloravk, forward and backward. Needs PyTorch.

`add_lora(model, ["q_proj", "v_proj"])` makes a PyTorch model one that LoRA-VK works for: train it as any other.
"""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.utils.dlpack
from torch.autograd.function import once_differentiable

from .context import Context
from .operations import lora_linear_backward, lora_linear_forward
from .tensor import Tensor


class LoRALinear(torch.nn.Module):
    """y (…, O) = x * w^T + bias + scaling * x * a^T * b^T for x (…, I), scaling = alpha / rank. The weight w (O, I) of `linear`
    is copied to the device of `context` and frozen (float16 and bfloat16 stay what they are), as is its bias; `lora_A.weight`
    (R, I) and `lora_B.weight` (O, R) learn. Arithmetic is float32; y has the dtype of x, and is on its device."""

    bias: torch.Tensor | None

    def __init__(self, linear: torch.nn.Linear, rank: int = 8, alpha: float = 16.0, context: Context | None = None) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.scaling = alpha / rank
        self.base_weight = _to_device(linear.weight, context)
        self.register_buffer("bias", None if linear.bias is None else linear.bias.detach().clone(), persistent=False)
        self.lora_A = torch.nn.Linear(self.in_features, rank, bias=False)
        self.lora_B = torch.nn.Linear(rank, self.out_features, bias=False)
        torch.nn.init.kaiming_uniform_(self.lora_A.weight, a=math.sqrt(5))
        torch.nn.init.zeros_(self.lora_B.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = _LoRALinear.apply(  # type: ignore[no-untyped-call]
            x, self.lora_A.weight, self.lora_B.weight, self.base_weight, self.scaling)
        return y if self.bias is None else y + self.bias

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, on {self.base_weight.context.device.name}"


def add_lora(
    model: torch.nn.Module, target_modules: Sequence[str], rank: int = 8, alpha: float = 16.0, context: Context | None = None,
) -> torch.nn.Module:
    """Freezes a model and puts a LoRALinear in the place of each Linear whose name, or the last part of it, is in
    `target_modules`. Changes the model, and returns it."""
    targets = set(target_modules)
    chosen = [
        name for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and (name in targets or name.rsplit(".", 1)[-1] in targets)]
    if not chosen:
        raise ValueError(f"the model has no Linear named {', '.join(sorted(targets))}")
    model.requires_grad_(False)
    for name in chosen:
        parent, _, child = name.rpartition(".")
        owner = model.get_submodule(parent)
        setattr(owner, child, LoRALinear(getattr(owner, child), rank, alpha, context))
    return model


class _LoRALinear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, lora_a: torch.Tensor, lora_b: torch.Tensor, w: Tensor, scaling: float
    ) -> torch.Tensor:
        a, b = _to_device(lora_a.float(), w.context), _to_device(lora_b.float(), w.context)
        on_device = _to_device(x.float(), w.context)
        y, h = lora_linear_forward(on_device, w, a, b, scaling)
        ctx.tensors, ctx.scaling = (on_device, w, a, b, h), scaling
        ctx.like = [(each.device, each.dtype) for each in (x, lora_a, lora_b)]
        return torch.utils.dlpack.from_dlpack(y).to(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, w, a, b, h = ctx.tensors
        needs = ctx.needs_input_grad
        gradients = lora_linear_backward(
            _to_device(dy.float(), w.context), x, w, a, b, ctx.scaling, h=h, need_dx=needs[0])
        out = [
            torch.utils.dlpack.from_dlpack(gradient).to(*like) if need and gradient is not None else None
            for gradient, like, need in zip(gradients, ctx.like, needs)]
        return (*out, None, None)


def _to_device(tensor: torch.Tensor, context: Context | None) -> Tensor:
    tensor = tensor.detach().cpu().contiguous()
    if tensor.dtype == torch.bfloat16:
        return Tensor.from_numpy(tensor.view(torch.int16).numpy().view(np.uint16), "bf16", context)
    return Tensor.from_numpy(tensor.numpy(), context=context)
