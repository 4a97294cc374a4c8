"""LoRA adapters: parameters beside a model's frozen weights."""
from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _api
from ._data import Data, DataFormat, data_config
from ._library import Object, create, lib, optional_text, path_text, read, record, text
from .errors import InvalidArgumentError

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .model import Model

_FLOATS = ctypes.POINTER(ctypes.c_float)


@dataclass(frozen=True)
class AdapterInfo:
    rank: int  #: of most modules: a file may give some another
    alpha: float
    use_rslora: bool
    dropout: float
    method: str  #: as Adapter.create takes it
    modules: int
    parameters: int  #: numbers in all of them
    base_model: str  #: what the file says that it was made for; "" where it says nothing


class Adapter(Object):
    """A LoRA adapter of a model. Its parameters and their gradients go by PEFT's names
    ("base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"); A is (R, I), B is (O, R)."""

    _kind = "adapter"

    def __init__(self, model: Model, handle: ctypes.c_void_p) -> None:
        super().__init__(handle)
        self.model = model
        #: What the outputs of the adapter's head are; none without a head.
        self.labels = tuple(
            read(lib.loravk_adapter_get_label, self._handle, index, kind=ctypes.c_char_p).decode()
            for index in range(read(lib.loravk_adapter_label_count, self._handle, kind=ctypes.c_size_t)))
        #: The shape of each parameter, by name.
        self.shapes: dict[str, tuple[int, ...]] = {}
        for index in range(read(lib.loravk_adapter_parameter_count, self._handle, kind=ctypes.c_size_t)):
            info = read(lib.loravk_adapter_get_parameter_info, self._handle, index, kind=_api.ParameterInfo)
            self.shapes[info.name.decode()] = tuple(info.shape[:info.dimensions])

    @classmethod
    def create(
        cls, model: Model, rank: int | None = None, alpha: float | None = None,
        target_modules: str | Sequence[str] | None = None, init: str | None = None, *, method: str | None = None,
        dropout: float | None = None, use_rslora: bool = False,
        rates: Mapping[str, float] | None = None, seed: int = 0, data: Data | None = None, objective: str | None = None,
        labels: Sequence[str] | None = None, modules_to_save: Sequence[str] = (), **format: Unpack[DataFormat],
    ) -> Adapter:
        """A new adapter, which does not change the model's output yet. What is None has the library's default.

        rank, alpha     8, and twice the rank
        target_modules  names, or their last parts, `*` for any text; None: all linear layers
        init, method    "name" or "name:option=number,option=number", as docs/methods.md lists them; None: "lora", and the method's
                        own init
        use_rslora      scaling alpha / sqrt(rank) instead of alpha / rank
        rates           multipliers of the learning rate for modules, named as targets are; the last match holds, 0 freezes
        seed            of the matrices' random start
        data            what an init that looks at training data ("eva", "lora-ga") looks at, and, with the options of `Trainer.fit`
                        that say so, how it is read; with an objective, what the labels are of
        objective       one that trains a head gives the adapter one: "classification", "multilabel", "regression", "reward"
        modules_to_save "embed_tokens", "lm_head": copies of the embedding and the output, which train whole
        labels          names of the head's outputs; None: those of `data`, else as many as "classification:labels=3" says
        """
        config = adapter_config(
            rank, alpha, target_modules, init, method=method, dropout=dropout, use_rslora=use_rslora, rates=rates, seed=seed,
            objective=objective, labels=labels, modules_to_save=modules_to_save)
        unknown = format.keys() - DataFormat.__annotations__.keys()
        if unknown:
            raise TypeError(f"Adapter.create has no argument {', '.join(sorted(unknown))}")
        if data is None:
            if format:
                raise InvalidArgumentError(f"{', '.join(format)} says how data is read, and no data is given")
            return cls(model, create(lib.loravk_adapter_create, model._handle, config))
        config.data = ctypes.pointer(data_config(data, **format))
        return cls(model, create(lib.loravk_adapter_create, model._handle, config))

    @classmethod
    def load(cls, model: Model, folder: str | os.PathLike) -> Adapter:
        """An adapter that PEFT or `save` wrote."""
        return cls(model, create(lib.loravk_adapter_load, model._handle, path_text(folder, "folder")))

    @classmethod
    def mix(cls, adapters: Sequence[Adapter], weights: Sequence[float] | None = None) -> Adapter:
        """A new adapter that changes what several of one model change together, each multiplied by its weight (None: all 1). The sum
        is exact, and its rank the sum of the ranks. DoRA and VeRA are no such sums."""
        factors = [1.0] * len(adapters) if weights is None else [float(weight) for weight in weights]
        if not adapters or len(factors) != len(adapters):
            raise InvalidArgumentError(f"{len(adapters)} adapters and {len(factors)} weights; one weight is for each, and one at least")
        handles = (ctypes.c_void_p * len(adapters))(*(adapter._handle for adapter in adapters))
        model = adapters[0].model
        return cls(model, create(
            lib.loravk_adapter_mix, model._handle, handles, (ctypes.c_double * len(factors))(*factors), len(factors)))

    def save(self, folder: str | os.PathLike) -> None:
        """Writes PEFT's two files into a folder, which is made where it is missing; whole, or not at all."""
        lib.loravk_adapter_save(self._handle, path_text(folder, "folder"))

    @property
    def info(self) -> AdapterInfo:
        return record(AdapterInfo, read(lib.loravk_adapter_get_info, self._handle, kind=_api.AdapterInfo))

    @property
    def rank(self) -> int:
        return self.info.rank

    @property
    def alpha(self) -> float:
        return self.info.alpha

    @property
    def method(self) -> str:
        return self.info.method

    def _described(self) -> str:
        info = self.info
        return f"{info.method}, rank {info.rank}, alpha {info.alpha:g}, {info.modules} modules, {info.parameters} parameters"

    def parameters(self) -> dict[str, np.ndarray]:
        """Copies of all parameters, float32, by PEFT's names."""
        return self._read(lib.loravk_adapter_read_parameter)

    def gradients(self) -> dict[str, np.ndarray]:
        """Copies of all gradients, as after `Trainer.forward_backward`."""
        return self._read(lib.loravk_adapter_read_gradient)

    def set_parameters(self, values: Mapping[str, Any]) -> None:
        """Overwrites the parameters that are given."""
        self._write(lib.loravk_adapter_write_parameter, values)

    def set_gradients(self, values: Mapping[str, Any]) -> None:
        """Overwrites the gradients that are given, for instance with their mean over machines, before `Trainer.apply`."""
        self._write(lib.loravk_adapter_write_gradient, values)

    def _read(self, function: Callable[..., None]) -> dict[str, np.ndarray]:
        arrays = {name: np.empty(shape, np.float32) for name, shape in self.shapes.items()}
        for index, array in enumerate(arrays.values()):
            function(self._handle, index, array.ctypes.data_as(_FLOATS), array.size)
        return arrays

    def _write(self, function: Callable[..., None], values: Mapping[str, Any]) -> None:
        indices = {name: index for index, name in enumerate(self.shapes)}
        arrays = {name: np.ascontiguousarray(value, np.float32) for name, value in values.items()}
        for name, array in arrays.items():
            if name not in indices:
                raise InvalidArgumentError(f"the adapter has no '{name}'; it has {', '.join(list(indices)[:3])}, …")
            if array.shape != self.shapes[name]:
                raise InvalidArgumentError(f"{name} has the shape {self.shapes[name]}, not {array.shape}")
        for name, array in arrays.items():
            function(self._handle, indices[name], array.ctypes.data_as(_FLOATS), array.size)


def adapter_config(
    rank: int | None = None, alpha: float | None = None, target_modules: str | Sequence[str] | None = None,
    init: str | None = None, *, method: str | None = None, dropout: float | None = None, use_rslora: bool = False,
    rates: Mapping[str, float] | None = None, seed: int = 0, objective: str | None = None, labels: Sequence[str] | None = None,
    modules_to_save: Sequence[str] = (),
) -> _api.AdapterConfig:
    if alpha == 0:
        raise InvalidArgumentError("alpha is 0; it must be positive, or None for twice the rank")
    if isinstance(target_modules, str):
        target_modules = [target_modules]
    targets = _strings(target_modules or [], "target_modules")
    modules = _strings(rates or {}, "rates")
    return _api.AdapterConfig(
        method=optional_text(method, "method"), init=optional_text(init, "init"), rank=rank, use_rslora=use_rslora,
        alpha=alpha, dropout=dropout, target_modules=None if target_modules is None else targets, target_module_count=len(targets),
        rate_modules=modules, rate_multipliers=(ctypes.c_double * len(modules))(*(rates or {}).values()),
        rate_count=len(modules), seed=seed, objective=optional_text(objective, "objective"),
        labels=None if labels is None else _strings(labels, "labels"), label_count=len(labels or []),
        modules_to_save=_strings(modules_to_save, "modules_to_save"), module_to_save_count=len(modules_to_save))


def _strings(values: Sequence[str] | Mapping[str, Any], name: str) -> Any:
    return (ctypes.c_char_p * len(values))(*(text(value, name) for value in values))
