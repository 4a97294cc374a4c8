"""libloravk, found and loaded with its first use: `lib.loravk_…` are its functions, which raise what they fail with."""
from __future__ import annotations

import atexit
import ctypes
import ctypes.util
import dataclasses
import logging
import os
import signal
import threading
from pathlib import Path
from typing import Any, TypeVar

from . import _api, errors

T = TypeVar("T")
LOGGER = logging.getLogger("loravk")
LEVELS = {
    _api.LOG_DEBUG: logging.DEBUG, _api.LOG_INFO: logging.INFO, _api.LOG_WARNING: logging.WARNING,
    _api.LOG_ERROR: logging.ERROR}


def path() -> str:
    """LORAVK_LIBRARY, or the library beside this package, as the wheel has it, or the system's."""
    named = os.environ.get("LORAVK_LIBRARY")
    if named:
        return named
    beside = Path(__file__).with_name("libloravk.so")
    if beside.exists():
        return str(beside)
    return ctypes.util.find_library("loravk") or f"libloravk.so.{_api.ABI_VERSION}"


class Library:
    """Not at import: importing needs neither Vulkan nor the library, and a process may fork before the first call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loaded = False

    def __getattr__(self, name: str) -> Any:
        if name not in _api.PROTOTYPES:
            raise AttributeError(name)
        with self._lock:
            if not self._loaded:
                self._load(path())
                self._loaded = True
        return self.__dict__[name]

    def _load(self, name: str) -> None:
        try:
            library = ctypes.CDLL(name)
        except OSError as error:
            raise ImportError(
                f"libloravk cannot be loaded: {error}. Install it and the Vulkan loader (libvulkan.so.1), or set LORAVK_LIBRARY "
                "to its path") from error
        functions = {}
        for function_name, (result, arguments) in _api.PROTOTYPES.items():
            function = getattr(library, function_name, None)
            if function is None:
                raise ImportError(f"{name} has no {function_name}: it is older than this package ({_api.VERSION})")
            function.restype, function.argtypes = result, arguments
            # Telling an error must not fail in its turn.
            if result is _api.Status and function_name != "loravk_last_error_detail":
                function.errcheck = self._check
            functions[function_name] = function
        abi = functions["loravk_abi_version"]()
        if abi != _api.ABI_VERSION:
            raise ImportError(f"{name} has version {abi} of the ABI; this package was made for {_api.ABI_VERSION}")
        self.__dict__.update(functions)
        self.loravk_set_log_callback(_log, _api.LOG_WARNING, None, _api.Destructor())
        atexit.register(self.loravk_set_log_callback, _api.LogCallback(), _api.LOG_ERROR, None, _api.Destructor())

    def _check(self, status: _api.Status, function: Any, arguments: tuple) -> None:
        if status.value != _api.OK:
            message = self.loravk_last_error().decode(errors="replace")
            detail = _api.ErrorDetail()
            self.loravk_last_error_detail(ctypes.byref(detail))
            raise errors.make(status.value, message, detail)


@_api.LogCallback
def _log(user_data: Any, level: int, text: Any) -> None:
    LOGGER.log(LEVELS.get(level, logging.WARNING), "%s", ctypes.string_at(text).decode(errors="replace"))


lib = Library()
_api.VersionedStructure._library_ = lib


class Handle:
    """Something of the library's, released with the last reference to it."""

    __slots__ = ("address", "_release")

    def __init__(self, address: int, release: Any) -> None:
        self.address, self._release = address, release

    def __del__(self) -> None:
        self._release(self.address)


class Object:
    """Base of what has a handle. It is released when it is closed, or with the last reference to it; whatever still needs it
    keeps it alive, so any order is fine."""

    _kind: str

    def __init__(self, handle: ctypes.c_void_p) -> None:
        self._owned: Handle | None = Handle(handle.value or 0, getattr(lib, f"loravk_{self._kind}_release"))

    @property
    def _handle(self) -> int:
        owned = self._owned
        if owned is None:
            raise errors.InvalidHandleError(f"the {self._kind} was closed")
        return owned.address

    @property
    def closed(self) -> bool:
        return self._owned is None

    def close(self) -> None:
        """Gives back what the library holds for it; what was made of it goes on working. Closing twice is fine."""
        self._owned = None

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError(
            f"a loravk.{type(self).__name__} holds memory of a device, so it can be neither pickled nor copied; an adapter's "
            "parameters() and save() can be kept")

    def __repr__(self) -> str:
        name = f"loravk.{type(self).__name__}"
        return f"<{name}, closed>" if self.closed else f"<{name} {self._described()}>"

    def _described(self) -> str:
        return f"at {self._handle:#x}"

    def __enter__(self: T) -> T:
        return self

    def __exit__(self, kind: object, *rest: object) -> None:
        self.close()


def create(function: Any, *arguments: Any) -> ctypes.c_void_p:
    """Calls a function whose last argument gets a handle."""
    handle = ctypes.c_void_p()
    function(*arguments, ctypes.byref(handle))
    return handle


def read(function: Any, *arguments: Any, kind: Any) -> Any:
    """Calls a function whose last argument gets a number or a struct."""
    value = kind()
    function(*arguments, ctypes.byref(value))
    return value.value if hasattr(value, "value") else value


def record(cls: type[T], struct: ctypes.Structure) -> T:
    """A dataclass from the fields of a struct that have its fields' names. A number that is none is None where the dataclass
    says so."""
    values = {}
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        value = getattr(struct, field.name)
        if isinstance(value, bytes):
            value = value.decode(errors="replace")
        elif field.name.endswith("metrics"):
            count = getattr(struct, f"{field.name[:-1]}_count")
            value = {value[index].name.decode(): value[index].value for index in range(count)}
        values[field.name] = None if value != value and "None" in str(field.type) else value
    return cls(**values)


def text(value: Any, name: str) -> bytes:
    """A str as the library takes it."""
    if not isinstance(value, str):
        raise TypeError(f"{name} is {kind_of(value)}; it must be a str")
    return _without_nul(value.encode(), name)


def optional_text(value: Any, name: str) -> bytes | None:
    return None if value is None else text(value, name)


def path_text(value: Any, name: str) -> bytes:
    """A path as the library takes it."""
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(f"{name} is {kind_of(value)}; it must be a str or os.PathLike, the path of a file or folder")
    return _without_nul(os.fsencode(value), name)


def kind_of(value: Any) -> str:
    """What a value is, in an error: "a BytesIO"."""
    name = type(value).__name__
    return "None" if value is None else f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


def _without_nul(encoded: bytes, name: str) -> bytes:
    if b"\0" in encoded:
        raise errors.InvalidArgumentError(f"{name} contains a NUL character")
    return encoded


class Callbacks:
    """Python callbacks for one call. What they raise stops the call, and is raised again when it returns:
    `with Callbacks() as callbacks: lib.f(callbacks.wrap(kind, body))`. So does what a signal's handler raises (Ctrl-C): Python
    runs it when a callback begins, where ctypes would drop it."""

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self._in_body = False
        self._handlers: dict[int, Any] = {}

    def wrap(self, kind: Any, body: Any) -> Any:
        """As a C callback; whatever `body` returns but False goes on."""

        def called(user_data: Any, *arguments: Any) -> bool:
            try:
                self._in_body = True
                return self.error is None and body(*arguments) is not False
            except BaseException as error:
                self.error = error
                return False
            finally:
                self._in_body = False

        return kind(called)

    def __enter__(self) -> Callbacks:
        if threading.current_thread() is threading.main_thread():
            for number in signal.valid_signals():
                handler = signal.getsignal(number)
                if callable(handler):
                    self._handlers[number] = handler
                    signal.signal(number, self._handle_signal)
        return self

    def _handle_signal(self, number: int, frame: Any) -> None:
        try:
            self._handlers[number](number, frame)
        except BaseException as error:
            if self._in_body:
                raise
            self.error = error

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        if self.error is not None:
            raise self.error
