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
    `max_grad_norm` scales gradients down to that global norm; None: never."""

    _kind = "optimizer"

    def __init__(
        self, parameters: Iterable[Tensor], gradients: Iterable[Tensor], *, learning_rate: float = 5e-4,
        betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 0.0,
        max_grad_norm: float | None = None,
    ) -> None:
        self.learning_rate = learning_rate
        config = _api.OptimizerConfig(
            beta1=betas[0], beta2=betas[1], epsilon=eps, weight_decay=weight_decay, max_grad_norm=max_grad_norm)
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
