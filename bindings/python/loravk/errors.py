"""Exceptions of loravk: one class a status of the C API, with the C error's text and parts."""
from __future__ import annotations

from . import _api


class Error(Exception):
    """A call of libloravk failed. The text says what happened and what to do about it."""

    #: The code of the C API, `loravk_status`.
    status: int = _api.ERROR_INTERNAL
    #: VkResult; 0 where Vulkan was not the cause.
    vk_result: int = 0
    #: 0 where the system was not the cause.
    errno: int = 0
    #: The file that was the cause, else None; `byte_offset` and `line` (from 1) in it, None where unknown.
    path: str | None = None
    byte_offset: int | None = None
    line: int | None = None
    #: The tensor that was the cause, else None.
    tensor: str | None = None


class InvalidArgumentError(Error, ValueError):
    """A shape that does not fit, or a setting out of range."""

    status = _api.ERROR_INVALID_ARGUMENT


class InvalidHandleError(Error):
    """The object was closed."""

    status = _api.ERROR_INVALID_HANDLE


class InvalidStateError(Error):
    """Not now: while a graph is recorded, or only then."""

    status = _api.ERROR_INVALID_STATE


class BusyError(Error):
    """The object is inside another call."""

    status = _api.ERROR_BUSY


class BufferTooSmallError(Error):
    status = _api.ERROR_BUFFER_TOO_SMALL


class FileError(Error):
    """A file is missing, damaged, or cannot be written."""

    status = _api.ERROR_FILE


class NoDeviceError(Error):
    """No Vulkan loader, driver or device."""

    status = _api.ERROR_NO_DEVICE


class UnsupportedError(Error):
    """This device, driver or build cannot do it."""

    status = _api.ERROR_UNSUPPORTED


class OutOfMemoryError(Error, MemoryError):
    """Of the device or the host."""

    status = _api.ERROR_OUT_OF_MEMORY


class DeviceLostError(Error):
    """Every further call on the context fails too: close it and make another."""

    status = _api.ERROR_DEVICE_LOST


class DriverError(Error):
    """A Vulkan call failed in another way."""

    status = _api.ERROR_DRIVER


class DivergedError(Error, ArithmeticError):
    """The loss or the gradients stopped being numbers; the step was not applied."""

    status = _api.ERROR_DIVERGED


class ForkedError(Error):
    """The process was forked after the first call: use the library in one of the two."""

    status = _api.ERROR_FORKED


class InternalError(Error):
    """A bug of the library: please report it."""

    status = _api.ERROR_INTERNAL


_classes = {each.status: each for each in Error.__subclasses__()}


def make(status: int, message: str, detail: _api.ErrorDetail) -> Error:
    """The exception for a failed call."""
    error = _classes.get(status, Error)(message)
    error.status = status
    error.vk_result = detail.vk_result
    error.errno = detail.system_errno
    error.path = detail.path.decode(errors="replace") or None
    error.tensor = detail.tensor.decode(errors="replace") or None
    error.byte_offset = None if detail.byte_offset < 0 else detail.byte_offset
    error.line = None if detail.line < 0 else detail.line
    return error
