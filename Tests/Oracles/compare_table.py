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


def rounds(side: str, shape: str) -> tuple[float, float, int]:
    """The best and the median of all rounds in tokens a second, and the peak of memory in MB."""
    values = [json.loads(line) for line in (folder / f"{side}-{shape}").read_text().splitlines()]
    return max(r["best"] for r in values), statistics.median(r["median"] for r in values), max(r["megabytes"] for r in values)


print(f"numpy's OpenBLAS here: {openblas_rate():.0f} GFLOP/s\n")
print("| batch × tokens | ours, tokens/s best (median) | PEFT, best (median) | ratio of the best | ours, peak MB | PEFT, peak MB |")
print("|---|---|---|---|---|---|")
for shape in (s for s in shapes if not s.startswith("adapter:")):
    (best, median, peak), (their_best, their_median, their_peak) = rounds("ours", shape), rounds("peft", shape)
    print(f"| {shape.replace('x', ' × ').replace('eval:', 'forward only, ')} | {best:.0f} ({median:.0f}) | {their_best:.0f} ({their_median:.0f}) "
          f"| {best / their_best:.2f} | {peak} | {their_peak} |")
for shape in (s for s in shapes if s.startswith("adapter:")):
    (best, median, _), (bare_best, bare_median, _) = rounds("ours", shape), rounds("lowest", shape)
    print(f"\nA step of {shape.removeprefix('adapter:').replace('x', ' × ')} with adapters on all linear layers takes {bare_best / best:.3f} times as long as one "
          f"with an adapter on the lowest layer only\n(best of each; by the medians {bare_median / median:.3f}): "
          f"{best:.0f} against {bare_best:.0f} tokens/s.")
