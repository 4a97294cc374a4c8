"""Arrays in device memory, to and from numpy and DLPack."""
from __future__ import annotations

import ctypes
import itertools
import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from . import _api, errors
from ._library import Handle, Object, create, lib, read
from .context import Context, default_context

DType = Literal["f32", "f16", "bf16", "i32"]

_CODES = {"f32": _api.F32, "f16": _api.F16, "bf16": _api.BF16, "i32": _api.I32}
_NUMPY: dict[str, np.dtype[Any]] = {"f32": np.dtype(np.float32), "f16": np.dtype(np.float16), "i32": np.dtype(np.int32)}


#: Arrays in whose memory tensors are, by number.
_shared: dict[int, np.ndarray] = {}
_share_keys = itertools.count(1)


@_api.Destructor
def _forget(key: int) -> None:
    _shared.pop(key, None)


class Tensor(Object):
    """An array in a device's memory, row-major, of dtype "f32", "f16", "bf16" or "i32"."""

    _kind = "tensor"

    context: Context
    shape: tuple[int, ...]
    dtype: DType

    def __init__(self, shape: int | Sequence[int], dtype: DType = "f32", context: Context | None = None) -> None:
        """Zeros of a shape, of at most 8 dimensions."""
        self._describe(shape, dtype, context)
        super().__init__(create(lib.loravk_tensor_create, *self._description))

    def _describe(self, shape: int | Sequence[int], dtype: DType, context: Context | None) -> None:
        self.context = default_context() if context is None else context
        self.shape = (shape,) if isinstance(shape, int) else tuple(int(size) for size in shape)
        self.dtype = dtype
        if dtype not in _CODES:
            raise errors.InvalidArgumentError(f"dtype is {dtype!r}; there are {', '.join(_CODES)}")
        for size in self.shape:
            if not 0 <= size < 2**31:
                raise errors.InvalidArgumentError(f"the shape is {self.shape}; sizes are 0 to 2147483647")

    @property
    def _description(self) -> tuple[Any, ...]:
        """As the library's first arguments."""
        sizes = (ctypes.c_int64 * len(self.shape))(*self.shape)
        return self.context._handle, _CODES[self.dtype], sizes, len(self.shape)

    # To the device

    @classmethod
    def from_numpy(cls, array: Any, dtype: DType | None = None, context: Context | None = None) -> Tensor:
        """A copy of an array. Without `dtype` the array's own, which must be float32, float16 or int32."""
        array = np.asarray(array)
        tensor = cls(array.shape, dtype or _dtype_of(array), context)
        tensor.copy_from(array)
        return tensor

    @classmethod
    def from_dlpack(cls, source: Any, context: Context | None = None) -> Tensor:
        """A copy of a tensor of another library in the host's memory (torch, jax …), of float32, float16 or int32."""
        return cls.from_numpy(np.from_dlpack(source), context=context)

    @classmethod
    def share(cls, array: np.ndarray, context: Context | None = None) -> Tensor:
        """A tensor in an array's own memory, without a copy, which keeps the array alive. The array is contiguous, begins at and
        is as long as multiples of the device's `import_alignment_bytes`; it may be read and written whenever no operation on
        the tensor runs. UnsupportedError where the device or the memory is not made for it."""
        if not (array.flags.c_contiguous and array.flags.writeable):
            raise errors.InvalidArgumentError("the array must be contiguous and writeable to be shared")
        tensor = cls.__new__(cls)
        tensor._describe(array.shape, _dtype_of(array), context)
        key = next(_share_keys)
        _shared[key] = array
        try:
            Object.__init__(tensor, create(
                lib.loravk_tensor_import, *tensor._description, array.ctypes.data, array.nbytes, key, _forget))
        except errors.Error:
            del _shared[key]
            raise
        return tensor

    def copy_from(self, array: Any) -> None:
        """Overwrites the tensor with an array of its shape, converted to its dtype."""
        array = np.asarray(array)
        if array.shape != self.shape:
            raise errors.InvalidArgumentError(f"the array has the shape {array.shape}; the tensor has {self.shape}")
        if self.dtype == "bf16":
            return self._round_from(array)
        wanted = _NUMPY[self.dtype]
        if array.dtype.kind not in "biuf" or (wanted.kind == "i" and array.dtype.kind == "f"):
            raise errors.InvalidArgumentError(f"the array is {array.dtype}, which a tensor of {self.dtype} cannot hold")
        if wanted.kind == "i" and array.size and not (-(2**31) <= int(array.min()) and int(array.max()) < 2**31):
            raise errors.InvalidArgumentError("the array has numbers that do not fit 32 bits")
        array = np.ascontiguousarray(array, wanted)
        lib.loravk_tensor_upload(self._handle, array.ctypes.data, array.nbytes)

    def _round_from(self, array: np.ndarray) -> None:
        if array.dtype == np.uint16:  # bf16 as it is in memory
            array = np.ascontiguousarray(array)
            lib.loravk_tensor_upload(self._handle, array.ctypes.data, array.nbytes)
        else:
            with Tensor.from_numpy(array, "f32", self.context) as wide:
                lib.loravk_copy(self._handle, wide._handle)

    # From the device

    def numpy(self) -> np.ndarray:
        """A copy in the host's memory: float32, float16 or int32; bf16 comes as float32, which holds all its numbers."""
        if self.dtype == "bf16":
            with self.to("f32") as wide:
                return wide.numpy()
        array = np.empty(self.shape, _NUMPY[self.dtype])
        lib.loravk_tensor_download(self._handle, array.ctypes.data, array.nbytes)
        return array

    def map(self) -> np.ndarray:
        """The tensor's own memory, without a copy, where the host sees it (CPU and integrated devices; else UnsupportedError).
        bf16 comes as uint16, its bits. The array keeps the memory alive, also when the tensor is closed. Do not touch it while
        another thread runs operations on the tensor."""
        address = read(lib.loravk_tensor_map, self._handle, kind=ctypes.c_void_p)
        dtype = _NUMPY.get(self.dtype, np.dtype(np.uint16))
        assert self._owned is not None
        return np.asarray(_Memory(self._owned, address, self.shape, dtype))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("an array of a loravk.Tensor is a copy; map() gives its own memory")
        array = self.numpy()
        return array if dtype is None else array.astype(dtype)

    def __dlpack__(self, **options: Any) -> Any:
        """The tensor's own memory where the host sees it, else a copy."""
        return self._host_array().__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)  # kDLCPU

    def _host_array(self) -> np.ndarray:
        if self.dtype == "bf16":
            raise BufferError("bf16 cannot be handed over: numpy has none; convert with to('f32')")
        try:
            return self.map()
        except errors.UnsupportedError:
            return self.numpy()

    # On the device

    def to(self, dtype: DType) -> Tensor:
        """A copy in another dtype, rounded to nearest even; i32 only to i32."""
        result = Tensor(self.shape, dtype, self.context)
        lib.loravk_copy(result._handle, self._handle)
        return result

    def zero(self) -> None:
        """Every number becomes 0."""
        lib.loravk_zero(self._handle)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.size * (2 if self.dtype in ("f16", "bf16") else 4)

    @property
    def _rows(self) -> int:
        return math.prod(self.shape[:-1])

    @property
    def _width(self) -> int:
        return self.shape[-1] if self.shape else 1

    def __repr__(self) -> str:
        return f"<loravk.Tensor {self.dtype} {self.shape}{', closed' if self.closed else ''}>"


class _Memory:
    """What numpy keeps for an array in a tensor's memory."""

    def __init__(self, owner: Handle, address: int, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self.owner = owner
        self.__array_interface__ = {"version": 3, "data": (address, False), "shape": shape, "typestr": dtype.str}


def _dtype_of(array: np.ndarray) -> DType:
    for dtype, kind in _NUMPY.items():
        if array.dtype == kind:
            return dtype  # type: ignore[return-value]
    raise errors.InvalidArgumentError(
        f"the array is {array.dtype}; tensors are float32, float16 or int32: convert it, or give dtype")
