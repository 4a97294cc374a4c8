"""Devices, and contexts: devices that are open."""
from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import _api, _tokens
from ._library import Callbacks, Object, create, lib, optional_text, path_text, read, record

if TYPE_CHECKING:
    from .graph import Recording

_TYPES = {
    _api.DEVICE_DISCRETE: "discrete", _api.DEVICE_INTEGRATED: "integrated", _api.DEVICE_VIRTUAL: "virtual",
    _api.DEVICE_CPU: "cpu"}


@dataclass(frozen=True)
class DeviceInfo:
    """A Vulkan device and its limits."""

    name: str
    driver: str
    type: str  #: "discrete", "integrated", "virtual", "cpu" or "other"
    vulkan_major: int
    vulkan_minor: int
    vendor_id: int
    device_id: int
    subgroup_size: int
    memory_bytes: int  #: of the largest device-local heap; 0 where unknown
    max_allocation_bytes: int  #: the largest tensor
    max_storage_buffer_bytes: int  #: what one kernel may see of it; larger tensors are worked on in parts
    max_workgroup_size: int
    import_alignment_bytes: int  #: of arrays for `Tensor.share`; 0 where the device cannot

    @classmethod
    def _of(cls, info: _api.DeviceInfo) -> DeviceInfo:
        device = record(cls, info)
        object.__setattr__(device, "type", _TYPES.get(info.type, "other"))
        return device


def devices() -> list[DeviceInfo]:
    """The devices that can be used, best first."""
    found = []
    for index in range(read(lib.loravk_device_count, kind=ctypes.c_size_t)):
        found.append(DeviceInfo._of(read(lib.loravk_device_get_info, index, kind=_api.DeviceInfo)))
    return found


@dataclass(frozen=True)
class TuneFinding:
    """What was measured of one product with a model's weights."""

    product: str  #: operation, weights' type, tokens and shape
    rule_flops_per_second: float  #: of the kernel that runs where nothing was measured
    best_flops_per_second: float  #: of the fastest


class Context(Object):
    """An open device, and everything made on it. `device` is an index in `devices()` or a part of a name; None is the variable
    LORAVK_DEVICE, else the best device. Threads may share a context, and wait for each other; with a context each they run in
    parallel. `display_friendly` hands the device its work in pieces of 8 ms instead of 250, so that a desktop on the same GPU
    stays fluid."""

    _kind = "context"

    def __init__(self, device: int | str | None = None, display_friendly: bool = False) -> None:
        name = str(device) if isinstance(device, int) else device
        config = _api.ContextConfig(device=optional_text(name, "device"), display_friendly=display_friendly)
        super().__init__(create(lib.loravk_context_create, config))
        self._recording: Recording | None = None

    @property
    def device(self) -> DeviceInfo:
        return DeviceInfo._of(read(lib.loravk_context_get_device_info, self._handle, kind=_api.DeviceInfo))

    @property
    def held_bytes(self) -> int:
        """Device memory that this context holds from the driver."""
        return read(lib.loravk_context_get_held_bytes, self._handle, kind=ctypes.c_int64)

    @property
    def is_tuned(self) -> bool:
        """Whether it uses what `tune` measured."""
        return read(lib.loravk_context_is_tuned, self._handle, kind=ctypes.c_bool)

    def tune(
        self, path: str | os.PathLike, *, weights: str | None = None, tokens: Sequence[int] | None = None, matrix_units: bool = True,
        on_finding: Callable[[TuneFinding], bool | None] | None = None,
    ) -> None:
        """Measures which kernels run the products of a model fastest on this device, and keeps that for contexts that are created
        from then on, also by other programs. Seconds to a minute, once for a device, its driver and a kind of model; worth it on
        any GPU. It changes the last digits of results, with matrix units the third.

        path          a GGUF file or a Hugging Face folder, of which only the shapes are read
        weights       as in Model.load
        tokens        of batches to measure, 16 to 4096 each; None: 128 and 512
        matrix_units  try a GPU's matrix units, whose factors are float16
        on_finding    called after each product; returning False, or raising, gives up, and nothing is kept
        """
        rows = None if tokens is None else _tokens.as_int32(tokens, "tokens").reshape(-1)
        with Callbacks() as callbacks:

            def found(finding: ctypes._Pointer) -> bool | None:
                return on_finding(record(TuneFinding, finding.contents)) if on_finding else None

            config = _api.TuneConfig(
                weights=optional_text(weights, "weights"), tokens=None if rows is None else _tokens.pointer(rows),
                token_count=0 if rows is None else rows.size,
                no_matrix_units=not matrix_units, on_finding=callbacks.wrap(_api.TuneCallback, found))
            lib.loravk_context_tune(self._handle, path_text(path, "path"), config)

    def forget_tuning(self) -> None:
        """Contexts that are created from then on go by the built-in rules."""
        lib.loravk_context_forget_tuning(self._handle)

    def record(self) -> Recording:
        """`with context.record() as graph: …` records the operations of the block instead of running them;
        `graph.run()` then runs them all, as often as wanted, on what the tensors hold at that time."""
        from .graph import Recording

        return Recording(self)

    def _described(self) -> str:
        return f"on {self.device.name}"


_default: Context | None = None
_default_lock = threading.Lock()


def default_context() -> Context:
    """What functions use where no context is given: the best device, opened once."""
    global _default
    with _default_lock:
        if _default is None or _default.closed:
            _default = Context()
        return _default
