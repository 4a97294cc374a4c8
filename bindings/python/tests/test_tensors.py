"""Tensors and operations against numpy and PyTorch."""
import weakref

import numpy as np
import pytest
import torch

import loravk
from loravk import Tensor

SHAPES = [(), (0,), (1,), (7,), (3, 0, 2), (31, 5), (2, 3, 4, 5)]


def random(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape, dtype=np.float32)


def close(got, wanted, tolerance=1e-5):
    got, wanted = np.asarray(got), np.asarray(wanted)
    assert got.shape == wanted.shape
    assert np.abs(got - wanted).max(initial=0) <= tolerance * max(1, np.abs(wanted).max(initial=0))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int32])
def test_arrays_come_back_as_they_went(shape, dtype):
    array = (random(*shape) * 100).astype(dtype)
    tensor = Tensor.from_numpy(array)
    assert (tensor.shape, tensor.size, tensor.nbytes) == (array.shape, array.size, array.nbytes)
    for back in (tensor.numpy(), np.asarray(tensor), tensor.map(), np.from_dlpack(tensor), torch.from_dlpack(tensor).numpy(),
                 Tensor.from_dlpack(tensor).numpy()):
        assert back.dtype == dtype and np.array_equal(back, array)


def test_strides_views_lists_and_other_dtypes_are_copied_in_order():
    array = random(6, 8)
    assert np.array_equal(Tensor.from_numpy(array[::2, ::-1].T).numpy(), array[::2, ::-1].T)
    assert np.array_equal(Tensor.from_numpy([[1.5, 2.0]], "f32").numpy(), np.float32([[1.5, 2.0]]))
    assert np.array_equal(Tensor.from_numpy(np.arange(5), "i32").numpy(), np.arange(5))
    torch_tensor = torch.from_numpy(array).T
    assert np.array_equal(Tensor.from_dlpack(torch_tensor).numpy(), array.T)


def test_bf16_rounds_as_torch_does():
    array = random(33, 3) * 1e3
    wanted = torch.from_numpy(array).bfloat16()
    tensor = Tensor.from_numpy(array, "bf16")
    assert np.array_equal(tensor.numpy(), wanted.float().numpy())
    bits = wanted.view(torch.int16).numpy().view(np.uint16)
    assert np.array_equal(tensor.map(), bits)
    assert np.array_equal(Tensor.from_numpy(bits, "bf16").numpy(), tensor.numpy())
    assert np.array_equal(Tensor.from_numpy(array).to("f16").numpy(), array.astype(np.float16))
    with pytest.raises(BufferError):
        np.from_dlpack(tensor)


def test_a_mapped_array_is_the_tensors_memory_and_outlives_it():
    tensor = Tensor.from_numpy(random(64, 64))
    array = tensor.map()
    array[3, 4] = 42
    assert tensor.numpy()[3, 4] == 42
    tensor.zero()
    assert not array.any()
    array[:] = 7
    tensor.close()
    loravk.matmul(random(64, 64), random(64, 64))
    assert (array == 7).all()


def test_a_tensor_in_an_arrays_memory():
    context = loravk.default_context()
    alignment = context.device.import_alignment_bytes
    if alignment == 0:
        with pytest.raises(loravk.UnsupportedError):
            Tensor.share(np.zeros(1024, np.float32))
        return
    room = np.zeros(3 * alignment, np.uint8)
    start = -room.ctypes.data % alignment
    array = room[start:start + alignment].view(np.float32).reshape(-1, 4)
    tensor = Tensor.share(array)
    array[:] = 3
    loravk.scale(tensor, 2, out=tensor)
    assert (array == 6).all()
    alive = weakref.ref(room)
    del array, room
    assert (tensor.map() == 6).all() and alive() is not None
    tensor.close()
    assert alive() is None
    with pytest.raises(loravk.Error):
        Tensor.share(np.zeros(alignment + 4, np.uint8).view(np.float32)[1:])
    with pytest.raises(loravk.InvalidArgumentError, match="contiguous"):
        Tensor.share(random(64, 64).T)


@pytest.mark.parametrize("transpose_a", [False, True])
@pytest.mark.parametrize("transpose_b", [False, True])
@pytest.mark.parametrize("m, k, n", [(1, 1, 1), (5, 7, 3), (33, 64, 31), (4, 0, 3)])
def test_matmul(m, k, n, transpose_a, transpose_b):
    a, b = random(m, k), random(k, n, seed=1)
    wanted = a.astype(float) @ b
    left, right = a.T if transpose_a else a, b.T if transpose_b else b
    close(loravk.matmul(left, right, transpose_a, transpose_b), wanted)
    out = Tensor.from_numpy(np.ones((m, n), np.float32))
    assert loravk.matmul(left, right, transpose_a, transpose_b, scale=0.5, out=out, accumulate=True) is out
    close(out, 1 + 0.5 * wanted)


def test_rows_of_the_last_dimension():
    x, w = random(2, 3, 8), random(5, 8)
    close(loravk.matmul(x, w, transpose_b=True), x @ w.T)


@pytest.mark.parametrize("dtype", ["f32", "f16", "bf16"])
@pytest.mark.parametrize("rows, inputs, outputs, rank", [(1, 4, 4, 1), (33, 64, 48, 8), (5, 31, 7, 3)])
def test_lora_linear_and_its_backward(rows, inputs, outputs, rank, dtype):
    x, a, b = random(rows, inputs), random(rank, inputs), random(outputs, rank)
    w = Tensor.from_numpy(random(outputs, inputs), dtype)
    dy = random(rows, outputs, seed=1)
    leaves = [torch.tensor(each, dtype=torch.float64, requires_grad=True) for each in (x, a, b)]
    frozen = torch.tensor(w.numpy(), dtype=torch.float64)
    wanted = leaves[0] @ frozen.T + 0.5 * (leaves[0] @ leaves[1].T) @ leaves[2].T
    wanted.backward(torch.tensor(dy, dtype=torch.float64))

    close(loravk.lora_linear(x, w, a, b, 0.5), wanted.detach())
    y, h = loravk.lora_linear_forward(x, w, a, b, 0.5)
    close(y, wanted.detach())
    for kept in (h, None):
        gradients = loravk.lora_linear_backward(dy, x, w, a, b, 0.5, h=kept)
        for gradient, leaf in zip(gradients, leaves):
            close(gradient, leaf.grad)
    added = [Tensor.from_numpy(np.ones_like(each)) for each in (x, a, b)]
    loravk.lora_linear_backward(dy, x, w, a, b, 0.5, h=h, dx=added[0], da=added[1], db=added[2])
    for gradient, leaf in zip(added, leaves):
        close(gradient, 1 + leaf.grad)
    assert loravk.lora_linear_backward(dy, x, w, a, b, 0.5, h=h, need_dx=False)[0] is None


def test_rms_norm_and_its_backward():
    x, weight, dy = random(9, 48), random(48), random(9, 48, seed=1)
    leaf = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    wanted = torch.nn.functional.rms_norm(leaf, (48,), torch.tensor(weight, dtype=torch.float64), 1e-5)
    wanted.backward(torch.tensor(dy, dtype=torch.float64))
    y, rstd = loravk.rms_norm(x, weight, 1e-5)
    close(y, wanted.detach())
    close(loravk.rms_norm_backward(dy, x, weight, rstd), leaf.grad)
    close(loravk.rms_norm_backward(dy, x, weight, rstd, Tensor.from_numpy(np.ones_like(x))), 1 + leaf.grad)


def test_cross_entropy_and_its_backward():
    logits, labels = random(6, 40), np.array([0, 39, -100, 7, 40, 3], np.int32)
    counted = (labels >= 0) & (labels < 40)
    leaf = torch.tensor(logits, dtype=torch.float64, requires_grad=True)
    target = torch.tensor(np.where(counted, labels, -100).astype(np.int64))
    losses = torch.nn.functional.cross_entropy(leaf, target, ignore_index=-100, reduction="none")
    (losses.sum() * 0.25).backward()
    close(loravk.cross_entropy(logits, labels), losses.detach())
    dlogits, again = loravk.cross_entropy_backward(logits, labels, 0.25)
    close(again, losses.detach())
    close(dlogits, leaf.grad)


def test_embedding():
    table, ids = random(11, 8), np.array([[3, 0], [10, -1]], np.int32)
    wanted = np.where((ids >= 0)[..., None], table[ids], 0)
    close(loravk.embedding(ids, table), wanted)


@pytest.mark.parametrize("lengths", [None, [5, 1, 7]])
def test_attention_and_its_backward(lengths):
    tokens, heads, kv_heads, size = 13, 4, 2, 8
    q, k, v = random(tokens, heads * size), random(tokens, kv_heads * size, seed=1), random(tokens, kv_heads * size, seed=2)
    dout = random(tokens, heads * size, seed=3)
    leaves = [torch.tensor(each, dtype=torch.float64, requires_grad=True) for each in (q, k, v)]
    sequence = torch.tensor(np.repeat(np.arange(len(lengths or [13])), lengths or [13]))
    mask = (sequence[:, None] == sequence) & torch.ones(tokens, tokens, dtype=torch.bool).tril()
    split = [each.reshape(tokens, -1, size).transpose(0, 1) for each in leaves]
    split[1:] = [each.repeat_interleave(heads // kv_heads, 0) for each in split[1:]]
    wanted = torch.nn.functional.scaled_dot_product_attention(*split, attn_mask=mask).transpose(0, 1).reshape(tokens, -1)
    wanted.backward(torch.tensor(dout, dtype=torch.float64))
    out, lse = loravk.attention(q, k, v, heads, kv_heads, lengths)
    close(out, wanted.detach())
    for got, leaf in zip(loravk.attention_backward(dout, out, lse, q, k, v, heads, kv_heads, lengths), leaves):
        close(got, leaf.grad)


def test_scale_and_add():
    a, b = random(7, 3), random(7, 3, seed=1)
    close(loravk.scale(Tensor.from_numpy(a), -2), -2 * a)
    x = Tensor.from_numpy(a)
    assert loravk.add(x, Tensor.from_numpy(b), 0.5, out=x) is x
    close(x, a + 0.5 * b)


def test_adamw_trains_as_in_torch():
    values, grads = [random(5, 3), random(9)], [random(5, 3, seed=1), random(9, seed=1)]
    parameters = [torch.nn.Parameter(torch.tensor(each)) for each in values]
    wanted = torch.optim.AdamW(parameters, 0.01, weight_decay=0.1)
    ours, gradients = [Tensor.from_numpy(each) for each in values], [Tensor.from_numpy(each) for each in grads]
    optimizer = loravk.AdamW(ours, gradients, learning_rate=0.01, weight_decay=0.1, max_grad_norm=1)
    for step in range(4):
        for parameter, gradient, tensor in zip(parameters, grads, gradients):
            parameter.grad = torch.tensor(gradient * (step + 1))
            tensor.copy_from(gradient * (step + 1))
        norm = torch.nn.utils.clip_grad_norm_(parameters, 1)
        wanted.step()
        assert optimizer.step() == pytest.approx(norm.item(), rel=1e-5)
    for parameter, tensor in zip(parameters, ours):
        close(tensor, parameter.detach(), 1e-5)
    assert loravk.clip_gradient_norm(gradients, 0.5) == pytest.approx(norm.item(), rel=1e-5)
    assert np.sqrt(sum((each.numpy() ** 2).sum() for each in gradients)) == pytest.approx(0.5, rel=1e-4)
    optimizer.zero_gradients()
    assert not gradients[0].numpy().any()
    gradients[1].copy_from(np.full(9, np.inf))
    with pytest.raises(loravk.DivergedError):
        optimizer.step()


def test_a_recorded_graph_runs_on_what_its_tensors_hold():
    x = Tensor.from_numpy(random(4, 8))
    w = Tensor.from_numpy(random(8, 8, seed=1))
    with x.context.record() as graph:
        y = loravk.scale(loravk.matmul(x, w), 2)
        with pytest.raises(loravk.InvalidStateError):
            loravk.matmul(x, w, transpose_a=True, transpose_b=True)
    assert not y.numpy().any()
    for seed in range(3):
        x.copy_from(random(4, 8, seed=seed))
        graph.run()
        close(y, 2 * x.numpy() @ w.numpy())
    with pytest.raises(ZeroDivisionError), x.context.record():
        1 / 0
    close(loravk.matmul(x, w), x.numpy() @ w.numpy())


def test_errors_say_what_does_not_fit():
    with pytest.raises(loravk.InvalidArgumentError, match=r"\[2, 3\]"):
        loravk.matmul(random(2, 3), random(4, 5))
    with pytest.raises(loravk.InvalidArgumentError, match="float64"):
        Tensor.from_numpy(np.zeros(3))
    with pytest.raises(loravk.InvalidArgumentError, match="f64"):
        Tensor(3, "f64")
    with pytest.raises(loravk.InvalidArgumentError):
        Tensor((2, -1))
    with pytest.raises(loravk.InvalidArgumentError):
        Tensor((2**64 + 1,))
    with pytest.raises(loravk.InvalidArgumentError, match="shape"):
        Tensor((2, 3)).copy_from(random(3, 2))
    with pytest.raises(loravk.InvalidArgumentError, match="32 bits"):
        Tensor.from_numpy(np.array([2**40]), "i32")
    with pytest.raises(loravk.Error):
        Tensor((2**31 - 1, 2**31 - 1))
    with pytest.raises(loravk.NoDeviceError, match="no such card"):
        loravk.Context("no such card")
    tensor = Tensor(3)
    with tensor:
        pass
    tensor.close()
    with pytest.raises(loravk.InvalidHandleError, match="tensor was closed"):
        tensor.numpy()
    assert "closed" in repr(tensor)


def test_devices_have_names_and_limits():
    first = loravk.devices()[0]
    assert first.name and first.max_allocation_bytes > 1 << 20 and first.type in ("discrete", "integrated", "virtual", "cpu")
    with loravk.Context(0) as context:
        before = context.held_bytes
        tensor = Tensor((1 << 10, 1 << 10), context=context)
        assert context.held_bytes >= before + tensor.nbytes
    assert loravk.has_feature("telepathy") is False
    assert loravk.library_version() == loravk.__version__
