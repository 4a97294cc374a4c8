"""The pipelines that the launchers make on a GPU. **Change this table when a launcher changes**; check-gpu-compilers stops at a
constant that a row gives and the shader has not.

A row: shaders ({a,b} multiplied out, * matches), tag (what the pipeline's name ends in), constants by name, and as options
  few=False   not in the short list (--all)
  pin=True    with subgroups of the device's size, all full
Shaders of no row get the row "*", without the constants that they have not; those of IGNORED no pipeline.
`d` is the device: subgroup, invocations (of a workgroup), shared (bytes), fragment (m, n, k of its matrix units) or None."""

FAMILY = "SHARED"  # of the axis FAMILY, the variants that run on a GPU
IGNORED = ["peak*"]
SELDOM = ["convert*", "delora*", "vera*", "allora*", "unit*"]  # of the row "*", not in the short list
WEIGHTS = "{f32,f16,bf16,q8_0,q4_0,q4_1,q4_k,q5_k,q6_k}"
OF_EXPERTS = WEIGHTS[:-1] + ",mxfp4}"


def ruled(device):
    """Tiles of the rule on a device (KernelSelection.ruledSides)."""
    return ["64x64b32x4x4" if device.driver == "intel" else "64x64b32x8x4", "64x16b32x4x4", "16x64b32x4x4"]


def launches(d):
    lanes = min(64, d.invocations)  # Capabilities.lanes(.shared)
    rows = []

    def row(shaders, tag="", few=True, pin=False, **constants): rows.append((shaders, tag, constants, few, pin))

    def shared(shaders, tile, accumulate=0, few=True, tag="", **constants):  # KernelSelection.sharedTile
        (m, n), (k, bm, bn) = [map(int, part.split("x")) for part in tile.split("b")]
        threads = m // bm * (n // bn)
        if threads > d.invocations or k * (m + n + 8) * 4 > d.shared: return
        row(shaders, tile + tag, few, TILE_M=m, TILE_N=n, TILE_K=k, BLOCK_M=bm, BLOCK_N=bn, LANES=threads, ACCUMULATE=accumulate,
            **constants)

    def cooperative(shaders, m, n, few=True):  # KernelSelection.cooperativeTile
        fm, fn, fk = d.fragment
        most = d.invocations // d.subgroup
        wm, wn = (2, 2) if most >= 4 else (1, 2) if most >= 2 else (1, 1)
        if m * n // (wm * wn * fm * fn) > 16: return
        row(shaders, f"{m}x{n}", few, pin=True, LANES=d.subgroup * wm * wn, TILE_M=m, TILE_N=n, WAVES_M=wm, WAVES_N=wn, FRAGMENT_M=fm,
            FRAGMENT_N=fn, FRAGMENT_K=fk, ACCUMULATE=0)

    # Products: the rule's tile, the tuner's candidates (KernelSelection.candidates), an adapter's narrow tiles.
    plain = dict(RANK_TERM=0, TILED=1)
    for tile in "64x64b32x8x4", "64x64b32x4x4":
        if tile in ruled(d): shared("matmul_shared_{nt,nn}_" + WEIGHTS, tile, **plain)
        else: shared("matmul_shared_nt_{f32,q4_0}", tile, **plain)
    for tile in "64x64b16x8x4", "64x64b16x4x4", "32x32b32x4x4", "64x32b32x4x4", "128x64b32x8x4", "128x64b32x8x8", "128x128b16x8x8":
        shared("matmul_shared_nt_{f32,q4_0}", tile, **plain)
        shared("matmul_shared_nt_{bf16,q8_0,q4_k,q6_k}", tile, few=False, **plain)
    shared("matmul_shared_{nt,nn}_{f32,q4_0,q6_k}", ruled(d)[0], accumulate=1, tag="+rank", RANK_TERM=1, TILED=1)
    for tile in ruled(d): shared("matmul_shared_{nt,nn}_f32", tile, tag="rows", RANK_TERM=0, TILED=0)
    for tile in ruled(d): shared("matmul_transposed_shared", tile, accumulate=1)
    for tile in "16x64b32x4x4", "32x64b32x4x4":  # KernelSelection.expertTile
        shared("matmul_experts_shared_nt_" + OF_EXPERTS, tile, GATHERED=1)
        shared("matmul_experts_shared_nn_" + OF_EXPERTS, tile, GATHERED=0)
    for count in 1, 2, 4, 8:  # KernelSelection.matvecTile
        row("matvec_shared_" + WEIGHTS, f"r{count}", few=count in (1, 8), LANES=lanes, ROWS=count, ACCUMULATE=0)
    wide = 256 if d.invocations >= 256 else 128
    row("matvec_shared_f32", f"r1l{wide}", LANES=wide, ROWS=1, ACCUMULATE=0)  # runMatvec(rows:), a token's x·Aᵀ
    if d.fragment:
        side = 64 if d.fragment[0] * d.fragment[1] >= 128 else 32
        cooperative("matmul_cooperative_{nt,nn}_" + WEIGHTS, side, side)
        for m, n in (32, 32), (64, 64), (128, 64), (64, 128), (128, 128):
            if (m, n) != (side, side): cooperative("matmul_cooperative_nt_{f32,f16,q4_0}", m, n)

    # AttentionTile: heads of D that G query heads share
    names = dict(forward="attention_shared", decode="attention_decode_shared", backward_q="attention_backward_q_shared",
                 backward_kv="attention_backward_kv_shared")
    for head, group, few in (64, 3, False), (64, 4, True), (80, 4, True), (128, 1, False), (128, 4, True), (256, 8, True):
        for kernel, name in names.items():
            quads = 4 if kernel == "forward" and not d.intel else 2
            owned = 1 if kernel == "decode" or kernel == "backward_kv" and d.intel else 2
            team = next((n for n in (4, 8, 16, 32) if n * quads * 4 >= head), 64)
            kinds = 2 if kernel.startswith("backward") else 1
            memory = lambda tile: 2 * tile * team * quads * 16 + kinds * tile * owned * (132 + 128 // team) * 4
            tile = next((n for n in (4, 2) if memory(n) <= d.shared), 1)
            row(name, f"d{head}g{group}", few, LANES=128, HEAD_SIZE=head, GROUP_SIZE=group, ROW_LANES=team, ROWS_PER_LANE=owned,
                TILE_ROWS=8 if kernel == "decode" else tile, SCORE_CAP=0, CAUSAL=1)
    row("{rotary,cache_append}_shared", LANES=lanes, HEAD_SIZE=128)  # RotaryKernels, CacheKernels

    # All others: NormKernels, ElementwiseKernels, OptimizerKernels (CHUNK), AdapterKernels, ConvertKernels …
    row("*", LANES=lanes, VECTORS=1, CHUNK=1024, TURNS=0)
    return rows
