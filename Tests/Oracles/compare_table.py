"""The table of scripts/compare. usage: compare_table.py FOLDER JSON SHAPE …: FOLDER has peft-SHAPE and ours-SHAPE, one JSON object a round.
JSON is a file for all of it, or empty."""
import json, os, statistics, sys, time
from pathlib import Path

import numpy

folder, kept, shapes = Path(sys.argv[1]), sys.argv[2], sys.argv[3:]


def processor() -> str:
    """Its name, family and model, and how many of its cores this process may use."""
    lines = dict(line.split(":", 1) for line in Path("/proc/cpuinfo").read_text().splitlines() if ":" in line)
    facts = {key.strip(): value.strip() for key, value in lines.items()}
    name = facts.get("model name") or facts.get("CPU part") or "unknown"
    family = f", family {facts['cpu family']}, model {facts['model']}" if "cpu family" in facts else ""
    wide = "AVX-512" if "avx512f" in facts.get("flags", "") else "AVX2" if "avx2" in facts.get("flags", "") else ""
    return f"{name}{family}, {len(os.sched_getaffinity(0))} cores{', ' + wide if wide else ''}"


def openblas_rate() -> float:
    """GFLOP/s of numpy's matrix product in f32, best of many: what this machine can do at most."""
    a = numpy.random.default_rng(0).standard_normal((1024, 1024), dtype=numpy.float32)
    seconds = []
    for _ in range(30):
        start = time.monotonic()
        a @ a
        seconds.append(time.monotonic() - start)
    return 2 * 1024**3 / min(seconds) / 1e9


def records(side: str, shape: str) -> list[dict]:
    path = folder / f"{side}-{shape}"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def rounds(side: str, shape: str) -> tuple[float, float, int]:
    """The best and the median of all rounds in tokens a second, and the peak of memory in MB."""
    values = records(side, shape)
    return max(r["best"] for r in values), statistics.median(r["median"] for r in values), max(r["megabytes"] for r in values)


rate = openblas_rate()
print(f"{processor()}; numpy's OpenBLAS here: {rate:.0f} GFLOP/s\n")
if kept:
    sides = ("ours", "peft", "lowest")
    found = {shape: {side: records(side, shape) for side in sides if records(side, shape)} for shape in shapes}
    Path(kept).write_text(json.dumps({"processor": processor(), "openblas_gflops": rate, "shapes": found}, indent=1) + "\n")
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
