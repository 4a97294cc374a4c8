"""Operations on tensors, which run at once or, inside `with context.record()`, are recorded.

An operand is a Tensor, or an array, which is copied to the device of the other operands. A tensor of more than two dimensions
is seen as rows of its last one. Letters in shapes: N rows, I inputs, O outputs, R rank, C width, V vocabulary, H heads,
K key/value heads, D head size. Results that a backward needs from its forward come with the forward.
"""
from __future__ import annotations

import ctypes
from collections.abc import Iterable, Sequence
from typing import Any, Union

import numpy as np

from . import _api, _tokens, errors
from ._library import lib
from .context import default_context
from .tensor import Tensor

Operand = Union[Tensor, np.ndarray, Sequence[Any]]


def _operands(*values: Operand) -> list[Tensor]:
    context = next((value.context for value in values if isinstance(value, Tensor)), None) or default_context()
    return [value if isinstance(value, Tensor) else Tensor.from_numpy(value, context=context) for value in values]


def matmul(
    a: Operand, b: Operand, transpose_a: bool = False, transpose_b: bool = False, *, scale: float = 1.0,
    out: Tensor | None = None, accumulate: bool = False,
) -> Tensor:
    """scale * a * b, of a (M, K) and b (K, N), (M, N) in f32; a is (K, M) with `transpose_a`, b (N, K) with `transpose_b`.
    With `out` the result is written there, or added with `accumulate`."""
    a, b = _operands(a, b)
    if transpose_a and transpose_b:
        b = _transposed(b)
    rows = (a._width,) if transpose_a else a.shape[:-1]
    width = b._rows if transpose_b and not transpose_a else b._width
    y = Tensor((*rows, width), context=a.context) if out is None else out
    op = _api.MATMUL_TN if transpose_a else _api.MATMUL_NT if transpose_b else _api.MATMUL_NN
    lib.loravk_matmul(y._handle, a._handle, b._handle, op, scale, accumulate)
    return y


def _transposed(matrix: Tensor) -> Tensor:
    """The library has no product of two transposed matrices."""
    if matrix.context._recording is not None:
        raise errors.InvalidStateError("a product of two transposed matrices cannot be recorded: transpose one yourself")
    array = matrix.numpy().reshape(matrix._rows, matrix._width)
    return Tensor.from_numpy(np.ascontiguousarray(array.T), context=matrix.context)


def lora_linear(x: Operand, w: Operand, a: Operand, b: Operand, scaling: float) -> Tensor:
    """y (N, O) = x * w^T + scaling * x * a^T * b^T: a linear layer with its adapter in one pass.
    x (N, I); w (O, I) f32, f16 or bf16, frozen; a (R, I); b (O, R)."""
    return lora_linear_forward(x, w, a, b, scaling)[0]


def lora_linear_forward(x: Operand, w: Operand, a: Operand, b: Operand, scaling: float) -> tuple[Tensor, Tensor]:
    """y as `lora_linear`, and h (N, R) = scaling * x * a^T, for the backward."""
    x, w, a, b = _operands(x, w, a, b)
    y = Tensor((*x.shape[:-1], w._rows), context=x.context)
    h = Tensor((*x.shape[:-1], a._rows), context=x.context)
    lib.loravk_lora_linear_forward(y._handle, h._handle, x._handle, w._handle, a._handle, b._handle, scaling)
    return y, h


def lora_linear_backward(
    dy: Operand, x: Operand, w: Operand, a: Operand, b: Operand, scaling: float, *, h: Tensor | None = None,
    dx: Tensor | None = None, da: Tensor | None = None, db: Tensor | None = None, need_dx: bool = True,
) -> tuple[Tensor | None, Tensor, Tensor]:
    """Gradients (dx (N, I), da (R, I), db (O, R)) of `lora_linear` for dy (N, O). `h` of the forward saves computing it again.
    Gradients are added to `dx`, `da`, `db` where they are given. Without `need_dx`, dx is None."""
    dy, x, w, a, b = _operands(dy, x, w, a, b)
    if h is None:
        h = matmul(x, a, transpose_b=True, scale=scaling)
    accumulate = dx is not None
    if dx is None and need_dx:
        dx = Tensor(x.shape, context=x.context)
    da = Tensor(a.shape, context=x.context) if da is None else da
    db = Tensor(b.shape, context=x.context) if db is None else db
    lib.loravk_lora_linear_backward(
        dx and dx._handle, da._handle, db._handle, dy._handle, x._handle, h._handle, w._handle, a._handle, b._handle, scaling,
        accumulate)
    return dx, da, db


def scale(x: Tensor, factor: float, out: Tensor | None = None) -> Tensor:
    """factor * x; `out` may be x."""
    y = Tensor(x.shape, context=x.context) if out is None else out
    lib.loravk_scale(y._handle, x._handle, factor)
    return y


def add(a: Tensor, b: Tensor, factor: float = 1.0, out: Tensor | None = None) -> Tensor:
    """a + factor * b; `out` may be either."""
    y = Tensor(a.shape, context=a.context) if out is None else out
    lib.loravk_add(y._handle, a._handle, b._handle, factor)
    return y


def rms_norm(x: Operand, weight: Operand, epsilon: float = 1e-5) -> tuple[Tensor, Tensor]:
    """y = x * rstd * weight and rstd (N) = 1 / sqrt(mean(x^2) + epsilon), of x (N, C), C a multiple of 4, and weight (C)."""
    x, weight = _operands(x, weight)
    y, rstd = Tensor(x.shape, context=x.context), Tensor(x.shape[:-1], context=x.context)
    lib.loravk_rms_norm_forward(y._handle, rstd._handle, x._handle, weight._handle, epsilon)
    return y, rstd


def rms_norm_backward(dy: Operand, x: Operand, weight: Operand, rstd: Operand, dx: Tensor | None = None) -> Tensor:
    """dx (N, C) of `rms_norm` with the weight frozen; added to `dx` where it is given."""
    dy, x, weight, rstd = _operands(dy, x, weight, rstd)
    accumulate = dx is not None
    dx = Tensor(x.shape, context=x.context) if dx is None else dx
    lib.loravk_rms_norm_backward(dx._handle, dy._handle, x._handle, weight._handle, rstd._handle, accumulate)
    return dx


def cross_entropy(logits: Operand, labels: Operand) -> Tensor:
    """Losses (N) = -log softmax(logits)[label], of logits (N, V), V a multiple of 4, and labels (N) i32; 0 where the label is
    outside 0 to V-1."""
    logits, labels = _operands(logits, labels)
    losses = Tensor(labels.shape, context=logits.context)
    lib.loravk_cross_entropy_forward(losses._handle, logits._handle, labels._handle)
    return losses


def cross_entropy_backward(logits: Operand, labels: Operand, scale: float) -> tuple[Tensor, Tensor]:
    """dlogits (N, V) = scale * (softmax(logits) - onehot(label)), 0 where the label is ignored, and the losses (N).
    For the mean over n labels, scale is 1 / n."""
    logits, labels = _operands(logits, labels)
    dlogits, losses = Tensor(logits.shape, context=logits.context), Tensor(labels.shape, context=logits.context)
    lib.loravk_cross_entropy_backward(dlogits._handle, losses._handle, logits._handle, labels._handle, scale)
    return dlogits, losses


def embedding(ids: Operand, table: Operand) -> Tensor:
    """Rows (N, C) of a table (V, C), C a multiple of 4, for ids (N) i32; zeros for an id outside the table."""
    ids, table = _operands(ids, table)
    y = Tensor((*ids.shape, table._width), context=ids.context)
    lib.loravk_embedding(y._handle, ids._handle, table._handle)
    return y


def attention(
    q: Operand, k: Operand, v: Operand, heads: int, kv_heads: int | None = None, lengths: Sequence[int] | None = None,
) -> tuple[Tensor, Tensor]:
    """Causal attention inside each sequence, scores scaled by 1 / sqrt(D): out (N, H*D), and lse (N, H), the log of each
    softmax's denominator. q (N, H*D); k, v (N, K*D); D a multiple of 4, at most 256. `lengths` are the tokens of each
    sequence, N in all; None is one sequence."""
    q, k, v = _operands(q, k, v)
    out, lse = Tensor(q.shape, context=q.context), Tensor((*q.shape[:-1], heads), context=q.context)
    config = _attention(heads, kv_heads, lengths)
    lib.loravk_attention_forward(out._handle, lse._handle, q._handle, k._handle, v._handle, config)
    return out, lse


def attention_backward(
    dout: Operand, out: Operand, lse: Operand, q: Operand, k: Operand, v: Operand, heads: int, kv_heads: int | None = None,
    lengths: Sequence[int] | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """(dq, dk, dv) of `attention` for dout (N, H*D)."""
    dout, out, lse, q, k, v = _operands(dout, out, lse, q, k, v)
    dq, dk, dv = (Tensor(each.shape, context=q.context) for each in (q, k, v))
    tensors = (dq, dk, dv, dout, out, lse, q, k, v)
    lib.loravk_attention_backward(*(tensor._handle for tensor in tensors), _attention(heads, kv_heads, lengths))
    return dq, dk, dv


def _attention(heads: int, kv_heads: int | None, lengths: Sequence[int] | None) -> _api.AttentionConfig:
    config = _api.AttentionConfig(heads=heads, kv_heads=heads if kv_heads is None else kv_heads)
    if lengths is not None:
        numbers = _tokens.as_int32(lengths, "lengths").ravel()
        config.lengths, config.sequences = (ctypes.c_int32 * len(numbers))(*numbers), len(numbers)
    return config


def clip_gradient_norm(gradients: Iterable[Tensor], max_norm: float) -> float:
    """The global norm of the gradients, which are scaled down to `max_norm` where it is above (0: never)."""
    handles = handle_array(gradients)
    norm = ctypes.c_double()
    lib.loravk_clip_gradient_norm(handles, len(handles), max_norm, ctypes.byref(norm))
    return norm.value


def handle_array(tensors: Iterable[Tensor]) -> Any:
    handles = [tensor._handle for tensor in tensors]
    return (ctypes.c_void_p * len(handles))(*handles)
