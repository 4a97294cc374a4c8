"""What needs files alone: what is in them, plans of memory, adapters for llama.cpp, models with an adapter folded in."""
from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import _api
from ._library import Callbacks, lib, optional_text, path_text, read, record
from .adapter import AdapterInfo, adapter_config
from .context import Context
from .model import ModelInfo


@dataclass(frozen=True)
class StoredTensor:
    """A tensor of a file."""

    name: str
    type: str  #: that it is stored in, such as "Q4_1"
    shape: tuple[int, ...]


@dataclass(frozen=True)
class MemoryPlan:
    """Bytes of device memory, and the layout of the steps that takes them."""

    weight_bytes: int
    adapter_bytes: int  #: parameters and gradients
    optimizer_bytes: int  #: AdamW's averages, and what it needs to undo a step
    activation_bytes: int
    token_bytes: int
    unused_bytes: int  #: of the blocks that memory is taken from the driver in
    total_bytes: int
    available_bytes: int  #: what the device has for this process; 2**63 - 1 where unknown
    tokens_per_pass: int
    recomputed_blocks: int  #: for Trainer


@dataclass(frozen=True)
class MergeReport:
    modules: int
    kept: float  #: part of the adapter's update that came through rounding
    relative_error: float  #: rounding's change of the weights, as a part of the adapter's
    type: str  #: that most merged weights have now


def inspect_model(path: str | os.PathLike) -> tuple[ModelInfo, list[StoredTensor]]:
    """What a GGUF file or Hugging Face folder is, and its tensors, after all but the weights' values was checked."""
    tensors, info = _inspect(lib.loravk_model_inspect, path, _api.ModelInfo)
    return record(ModelInfo, info), tensors


def inspect_adapter(folder: str | os.PathLike) -> tuple[AdapterInfo, list[StoredTensor]]:
    """What a PEFT folder is, and its tensors, after all of it was checked; without its model."""
    tensors, info = _inspect(lib.loravk_adapter_inspect, folder, _api.AdapterInfo)
    return record(AdapterInfo, info), tensors


def _inspect(function: Any, path: str | os.PathLike, kind: Any) -> tuple[list[StoredTensor], Any]:
    tensors: list[StoredTensor] = []

    def told(name: ctypes._Pointer, type: ctypes._Pointer, shape: ctypes._Pointer, dimensions: int) -> None:
        texts = [ctypes.string_at(each).decode(errors="replace") for each in (name, type)]
        tensors.append(StoredTensor(texts[0], texts[1], tuple(shape[:dimensions])))

    with Callbacks() as callbacks:
        return tensors, read(function, path_text(path, "path"), callbacks.wrap(_api.InspectCallback, told), None, kind=kind)


def plan(
    path: str | os.PathLike, batch_size: int | None = None, length: int | None = None, *, weights: str | None = None,
    budget_bytes: int = 0, recomputed_blocks: int | None = None, context: Context | None = None, optimizer: str | None = None,
    **adapter: Any,
) -> MemoryPlan:
    """What training a model takes, to the byte, found without loading it or touching a device.

    path               a GGUF file or a Hugging Face folder
    batch_size, length sequences of a step, and tokens of each; None: 8, of 512
    weights            as in Model.load
    budget_bytes       batches are split, then blocks computed again, until a step fits; 0: no limit
    recomputed_blocks  None: none without a budget, as few as it allows with one
    context            whose device to plan for; None: one that can do the least
    optimizer          as in Trainer
    adapter            as in Adapter.create: rank, target_modules, method, …
    """
    config = _api.PlanConfig(
        weights=optional_text(weights, "weights"), adapter=ctypes.pointer(adapter_config(**adapter)), budget_bytes=budget_bytes,
        batch_size=batch_size, length=length, recomputed_blocks=recomputed_blocks,
        optimizer=optional_text(optimizer, "optimizer"))
    handle = None if context is None else context._handle
    return record(MemoryPlan, read(lib.loravk_plan_training, handle, path_text(path, "path"), config, kind=_api.MemoryPlan))


def export_adapter(
    model: str | os.PathLike, adapter: str | os.PathLike, output: str | os.PathLike, *, type: str | None = None,
    overwrite: bool = False, on_tensor: Callable[[int, int], bool | None] | None = None,
) -> None:
    """Writes an adapter's folder as the GGUF file that llama.cpp loads.

    model      the GGUF file or folder that it belongs to
    type       "f32", "f16" or "bf16"; None: "f32"
    on_tensor  called with the tensors done and all of them; returning False, or raising, gives up, and nothing is written
    """
    with Callbacks() as callbacks:
        config = _export_config(callbacks, type, overwrite, on_tensor)
        lib.loravk_export_adapter(path_text(model, "model"), path_text(adapter, "adapter"), path_text(output, "output"), config)


def merge(
    model: str | os.PathLike, adapter: str | os.PathLike, output: str | os.PathLike, *, type: str | None = None,
    overwrite: bool = False, max_shard_bytes: int | None = None, on_tensor: Callable[[int, int], bool | None] | None = None,
) -> MergeReport:
    """Writes the model with the adapter folded in, a GGUF file where `output` ends in .gguf, else what the model is, and tells what
    rounding lost.

    type             how weights are stored, such as "f16", "q8_0" or "q4_k_m" (of a GGUF model K-quants are for all tensors, other types
                     for merged weights alone); None: as they were, or where that loses the update in the smallest of Q8_0, F16 and
                     F32 that keeps it
    max_shard_bytes  the most that one file of a folder holds; None: 5 GB
    on_tensor        as in export_adapter
    """
    with Callbacks() as callbacks:
        config = _export_config(callbacks, type, overwrite, on_tensor, max_shard_bytes=max_shard_bytes)
        paths = path_text(model, "model"), path_text(adapter, "adapter"), path_text(output, "output")
        return record(MergeReport, read(lib.loravk_export_merged, *paths, config, kind=_api.MergeReport))


def convert(
    model: str | os.PathLike, output: str | os.PathLike, *, type: str | None = None, overwrite: bool = False,
    max_shard_bytes: int | None = None, on_tensor: Callable[[int, int], bool | None] | None = None,
) -> None:
    """Writes a model in another format or other types: a GGUF file where `output` ends in .gguf, else a Hugging Face folder.

    type  how weights are stored, such as "f16" or "q4_k_m"; None: as they were, of quantised ones in a folder f16
    """
    with Callbacks() as callbacks:
        config = _export_config(callbacks, type, overwrite, on_tensor, max_shard_bytes=max_shard_bytes)
        lib.loravk_export_model(path_text(model, "model"), path_text(output, "output"), config)


def _export_config(
    callbacks: Callbacks, type: str | None, overwrite: bool, on_tensor: Callable[[int, int], bool | None] | None, **more: Any
) -> _api.ExportConfig:
    return _api.ExportConfig(
        type=optional_text(type, "type"), overwrite=overwrite,
        on_tensor=callbacks.wrap(_api.ExportCallback, lambda done, total: on_tensor(done, total) if on_tensor else None), **more)
