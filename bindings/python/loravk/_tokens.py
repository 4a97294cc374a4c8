"""Token ids and labels as the library takes them."""
from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Union

import numpy as np
from numpy.typing import ArrayLike

from ._library import kind_of
from .errors import InvalidArgumentError

Tokens = Union[ArrayLike, "np.ndarray"]
_POINTER = ctypes.POINTER(ctypes.c_int32)


@dataclass(frozen=True)
class Batch:
    """Sequences of ids, one behind the other, and their labels."""

    ids: np.ndarray
    labels: np.ndarray | None
    lengths: np.ndarray
    shape: tuple[int, int] | None  #: (B, T) where all have one length

    @property
    def arguments(self) -> tuple:
        """tokens, labels, lengths and their number as the library takes them; the arrays live as long as these."""
        return (pointer(self.ids), None if self.labels is None else pointer(self.labels), pointer(self.lengths), len(self.lengths))

    def split(self, values: np.ndarray) -> Any:
        """What belongs to the tokens, by sequences: an array (B, T, …), or a list of arrays where lengths differ."""
        if self.shape is not None:
            return values.reshape(*self.shape, *values.shape[1:])
        return np.split(values, np.cumsum(self.lengths)[:-1])


def batch(tokens: Tokens, labels: Tokens | None = None, examples: str = "Trainer.fit") -> Batch:
    """(B, T) ids, (T) being one row, or rows of different lengths. `examples` is the function for what has no ids yet."""
    ids, shape = _sequences(tokens, "tokens", examples)
    lengths = np.array([len(row) for row in ids], np.int32)
    wanted = None
    if labels is not None:
        targets, _ = _sequences(labels, "labels", examples)
        of_labels = [len(row) for row in targets]
        if of_labels != lengths.tolist():
            raise InvalidArgumentError(f"labels have the lengths {of_labels}; tokens have {lengths.tolist()}")
        wanted = _joined(targets)
    return Batch(_joined(ids), wanted, lengths, shape)


def _joined(rows: Any) -> np.ndarray:
    return np.ascontiguousarray(np.concatenate(rows) if len(rows) else np.zeros(0), np.int32)


def _sequences(tokens: Any, name: str, examples: str) -> tuple[Any, tuple[int, int] | None]:
    if isinstance(tokens, (str, bytes, os.PathLike, Mapping)) or hasattr(tokens, "columns"):
        raise TypeError(f"{name} is {kind_of(tokens)}; it must be token ids. For text, examples and files there is {examples}")
    if isinstance(tokens, Sequence) and len(tokens) and isinstance(tokens[0], (str, Mapping)):
        raise TypeError(f"{name} holds {kind_of(tokens[0])}; it must be token ids. For text and examples there is {examples}")
    try:
        array = np.asarray(tokens)
    except ValueError:
        return [_row(row, f"{name}[{index}]") for index, row in enumerate(tokens)], None
    if array.ndim == 1:
        array = array[None]
    if array.ndim != 2 or (array.dtype.kind not in "iu" and array.size):
        raise InvalidArgumentError(f"{name} is {array.dtype} {array.shape}; it must be integers of shape (B, T)")
    array = as_int32(array, name)
    return array, (array.shape[0], array.shape[1])


def _row(row: Any, name: str) -> np.ndarray:
    array = as_int32(row, name)
    if array.ndim != 1:
        raise InvalidArgumentError(f"{name} has the shape {array.shape}; it must be one list of ids")
    return array


def as_int32(array: Any, name: str) -> np.ndarray:
    array = np.asarray(array)
    if array.size == 0:
        return np.zeros(array.shape, np.int32)
    if array.dtype.kind not in "iu" or not (-(2**31) <= int(array.min()) and int(array.max()) < 2**31):
        raise InvalidArgumentError(f"{name} must be 32-bit integers")
    return np.ascontiguousarray(array, np.int32)


def pointer(array: np.ndarray) -> Any:
    """Keeps the array alive."""
    return array.ctypes.data_as(_POINTER)
