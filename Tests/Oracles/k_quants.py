"""A GGUF model with its widest matrices in k-quants. usage: k_quants.py MODEL.gguf OUT.gguf

The package `gguf` reads k-quants but does not write them: these are plain roundings to the nearest level.
"""
import sys

import gguf, numpy as np
from gguf import GGMLQuantizationType as Type


def divided(x, y):
    return np.divide(x, y, out=np.zeros_like(x), where=y != 0)


def halves(x):
    return x.astype(np.float16).view(np.uint8).reshape(len(x), 2)


def q45(x, bits):
    """Blocks of 256 as d·scale·q − dmin·minimum, groups of 32."""
    groups = x.reshape(-1, 8, 32)
    low = np.minimum(groups.min(2), 0)
    steps = (groups.max(2) - low) / (2**bits - 1)
    d, dmin = (top.astype(np.float16).astype(np.float32) for top in (steps.max(1) / 63, (-low).max(1) / 63))
    scales, minima = (np.rint(divided(some, top[:, None])).clip(0, 63).astype(np.uint8) for some, top in ((steps, d), (-low, dmin)))
    step, offset = d[:, None] * scales, dmin[:, None] * minima
    q = np.rint(divided(groups + offset[..., None], np.broadcast_to(step[..., None], groups.shape))).clip(0, 2**bits - 1).astype(np.uint8)
    packed = np.concatenate([scales[:, :4] | scales[:, 4:] >> 4 << 6, minima[:, :4] | minima[:, 4:] >> 4 << 6,
                             scales[:, 4:] & 15 | (minima[:, 4:] & 15) << 4], 1)
    nibbles = ((q[:, 0::2] & 15) | (q[:, 1::2] & 15) << 4).reshape(-1, 128)
    fifth = np.bitwise_or.reduce((q >> 4) << np.arange(8, dtype=np.uint8)[None, :, None], 1)
    return np.concatenate([halves(d), halves(dmin), packed, *([fifth] if bits == 5 else []), nibbles], 1)


def q6(x):
    """Blocks of 256 as d·scale·(q − 32), groups of 16."""
    groups = x.reshape(-1, 16, 16)
    steps = np.abs(groups).max(2) / 31
    d = (steps.max(1) / 127).astype(np.float16).astype(np.float32)
    scales = np.rint(divided(steps, d[:, None])).clip(0, 127).astype(np.int8)
    step = np.broadcast_to((d[:, None] * scales)[..., None], groups.shape)
    q = (np.rint(divided(groups, step)).clip(-32, 31) + 32).astype(np.uint8).reshape(-1, 2, 4, 32)
    low = np.stack([q[:, :, 0] & 15 | (q[:, :, 2] & 15) << 4, q[:, :, 1] & 15 | (q[:, :, 3] & 15) << 4], 2)
    high = np.bitwise_or.reduce((q >> 4) << np.arange(0, 8, 2, dtype=np.uint8)[None, None, :, None], 2)
    return np.concatenate([low.reshape(-1, 128), high.reshape(-1, 64), scales.view(np.uint8), halves(d)], 1)


KINDS = [(Type.Q4_K, lambda x: q45(x, 4)), (Type.Q5_K, lambda x: q45(x, 5)), (Type.Q6_K, q6)]


def convert(source, target):
    """All matrices with whole blocks of 256 in a row, in the three types by turns; returns their names."""
    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(target, reader.fields["general.architecture"].contents())
    for field in reader.fields.values():
        if not field.name.startswith("GGUF.") and field.name != "general.architecture":
            kinds = field.types
            writer.add_key_value(field.name, field.contents(), kinds[0], kinds[-1] if kinds[0] == gguf.GGUFValueType.ARRAY else None)
    names = []
    for tensor in reader.tensors:
        if len(tensor.shape) < 2 or tensor.shape[0] % 256:
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
            continue
        kind, encode = KINDS[len(names) % len(KINDS)]
        values = gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        data = encode(values).reshape(*values.shape[:-1], -1)
        error = np.abs(gguf.dequantize(data, kind) - values).max() / np.abs(values).max()
        assert error < 0.1, f"{tensor.name} as {kind.name} is off by {error:.3f} of its largest value"
        writer.add_tensor(tensor.name, data, raw_dtype=kind)
        names.append(tensor.name)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return names


if __name__ == "__main__":
    print(len(convert(*sys.argv[1:])), "matrices in k-quants")
