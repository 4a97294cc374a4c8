"""Token ids and labels as the library takes them."""
from __future__ import annotations

import ctypes
from typing import Any, Union

import numpy as np
from numpy.typing import ArrayLike

from .errors import InvalidArgumentError

Tokens = Union[ArrayLike, "np.ndarray"]
_POINTER = ctypes.POINTER(ctypes.c_int32)


def rows(tokens: Tokens, name: str = "tokens") -> np.ndarray:
    """(B, T) int32; (T) is one row."""
    try:
        array = np.asarray(tokens)
    except ValueError as error:
        raise InvalidArgumentError(f"the rows of {name} have different lengths: pad them, with labels of -100") from error
    if array.ndim == 1:
        array = array[None]
    if array.ndim != 2 or (array.dtype.kind not in "iu" and array.size):
        raise InvalidArgumentError(f"{name} is {array.dtype} {array.shape}; it must be integers of shape (B, T)")
    return as_int32(array, name)


def as_int32(array: Any, name: str) -> np.ndarray:
    array = np.asarray(array)
    if array.size == 0:
        return np.zeros(array.shape, np.int32)
    if array.dtype.kind not in "iu" or not (-(2**31) <= int(array.min()) and int(array.max()) < 2**31):
        raise InvalidArgumentError(f"{name} must be 32-bit integers")
    return np.ascontiguousarray(array, np.int32)


def batch(tokens: Tokens, labels: Tokens | None) -> tuple:
    """tokens, labels, B, T as arguments of the library; the arrays live as long as these."""
    ids = rows(tokens)
    wanted = None if labels is None else rows(labels, "labels")
    if wanted is not None and wanted.shape != ids.shape:
        raise InvalidArgumentError(f"labels have the shape {wanted.shape}; tokens have {ids.shape}")
    return pointer(ids), None if wanted is None else pointer(wanted), *ids.shape


def pointer(array: np.ndarray) -> Any:
    """Keeps the array alive."""
    return array.ctypes.data_as(_POINTER)
