"""Devices, and contexts: devices that are open."""
from __future__ import annotations

import ctypes
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import _api
from ._library import Object, create, lib, read, record, text

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


class Context(Object):
    """An open device, and everything made on it. `device` is an index in `devices()` or a part of a name; None is the variable
    LORAVK_DEVICE, else the best device. Threads may share a context, and wait for each other; with a context each they run in
    parallel. `display_friendly` hands the device its work in pieces of 8 ms instead of 250, so that a desktop on the same GPU
    stays fluid."""

    _kind = "context"

    def __init__(self, device: int | str | None = None, display_friendly: bool = False) -> None:
        config = _api.ContextConfig(device=None if device is None else text(device, "device"), display_friendly=display_friendly)
        super().__init__(create(lib.loravk_context_create, config))
        self._recording: Recording | None = None

    @property
    def device(self) -> DeviceInfo:
        return DeviceInfo._of(read(lib.loravk_context_get_device_info, self._handle, kind=_api.DeviceInfo))

    @property
    def held_bytes(self) -> int:
        """Device memory that this context holds from the driver."""
        return read(lib.loravk_context_get_held_bytes, self._handle, kind=ctypes.c_int64)

    def record(self) -> Recording:
        """`with context.record() as graph: …` records the operations of the block instead of running them;
        `graph.run()` then runs them all, as often as wanted, on what the tensors hold at that time."""
        from .graph import Recording

        return Recording(self)

    def __repr__(self) -> str:
        return "<loravk.Context, closed>" if self.closed else f"<loravk.Context on {self.device.name}>"


_default: Context | None = None
_default_lock = threading.Lock()


def default_context() -> Context:
    """What functions use where no context is given: the best device, opened once."""
    global _default
    with _default_lock:
        if _default is None or _default.closed:
            _default = Context()
        return _default
