"""The table of scripts/compare. usage: compare_table.py FOLDER SHAPE …: FOLDER has peft-SHAPE and ours-SHAPE, one JSON object a round."""
import json, statistics, sys, time
from pathlib import Path

import numpy

folder, shapes = Path(sys.argv[1]), sys.argv[2:]


def openblas_rate() -> float:
    """GFLOP/s of numpy's matrix product in f32, best of many: what this machine can do at most."""
    a = numpy.random.default_rng(0).standard_normal((1024, 1024), dtype=numpy.float32)
    seconds = []
    for _ in range(30):
        start = time.monotonic()
        a @ a
        seconds.append(time.monotonic() - start)
    return 2 * 1024**3 / min(seconds) / 1e9


print(f"numpy's OpenBLAS here: {openblas_rate():.0f} GFLOP/s\n")
print("| batch × tokens | ours, tokens/s best (median) | PEFT, best (median) | ratio of the best | ours, peak MB | PEFT, peak MB |")
print("|---|---|---|---|---|---|")
for shape in shapes:
    rounds = {side: [json.loads(line) for line in (folder / f"{side}-{shape}").read_text().splitlines()] for side in ("ours", "peft")}
    best = {side: max(r["best"] for r in values) for side, values in rounds.items()}
    median = {side: statistics.median(r["median"] for r in values) for side, values in rounds.items()}
    peak = {side: max(r["megabytes"] for r in values) for side, values in rounds.items()}
    print(f"| {shape.replace('x', ' × ').replace('eval:', 'forward only, ')} | {best['ours']:.0f} ({median['ours']:.0f}) | {best['peft']:.0f} ({median['peft']:.0f}) "
          f"| {best['ours'] / best['peft']:.2f} | {peak['ours']} | {peak['peft']} |")
