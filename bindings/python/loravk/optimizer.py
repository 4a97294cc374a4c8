"""AdamW for programs with their own training loop."""
from __future__ import annotations

import ctypes
from collections.abc import Iterable

from . import _api
from ._library import Object, create, lib, read
from .operations import handle_array
from .tensor import Tensor


class AdamW(Object):
    """AdamW (Loshchilov & Hutter 2019) for f32 tensors and their gradients, pair by pair of one shape. It keeps both alive.
    `max_grad_norm` scales gradients down to that global norm; None or 0: never. The rest is None for the library's default."""

    _kind = "optimizer"

    def __init__(
        self, parameters: Iterable[Tensor], gradients: Iterable[Tensor], *, learning_rate: float | None = None,
        betas: tuple[float, float] | None = None, eps: float | None = None, weight_decay: float | None = None,
        max_grad_norm: float | None = None,
    ) -> None:
        self.learning_rate: float = _api.TrainerConfig().learning_rate if learning_rate is None else learning_rate
        config = _api.OptimizerConfig(
            beta1=betas and betas[0], beta2=betas and betas[1], epsilon=eps, weight_decay=weight_decay, max_grad_norm=max_grad_norm)
        of_parameters, of_gradients = handle_array(parameters), handle_array(gradients)
        if len(of_parameters) != len(of_gradients):
            raise ValueError(f"{len(of_parameters)} parameters and {len(of_gradients)} gradients: each needs its own")
        super().__init__(create(lib.loravk_optimizer_create, config, of_parameters, of_gradients, len(of_parameters)))

    def step(self) -> float:
        """One step; returns the global gradient norm before clipping. The gradients stay as they are. Where the norm is not
        finite nothing changes, and DivergedError is raised."""
        return read(lib.loravk_optimizer_step, self._handle, self.learning_rate, kind=ctypes.c_double)

    def zero_gradients(self) -> None:
        """Every gradient becomes 0."""
        lib.loravk_optimizer_zero_gradients(self._handle)
