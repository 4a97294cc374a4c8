"""What the boundary costs, from the times that scripts/compare-bindings collected. usage: boundary_table.py FOLDER TOKENS"""
import json
import pathlib
import statistics
import sys

folder, tokens = pathlib.Path(sys.argv[1]), int(sys.argv[2])
swift = min(tokens / json.loads(line)["best"] for line in (folder / "swift").read_text().splitlines())
print(f"{'':8}{'best step':>12}{'÷ Swift':>9}   call ÷ the Swift step inside it: median, worst")
print(f"{'Swift':8}{swift * 1e3:9.1f} ms{1:9.3f}")
for name in ("C", "Python"):
    times = [tuple(map(float, line.split())) for line in (folder / name).read_text().splitlines()]
    best, ratios = min(outside for outside, _ in times), [outside / inside for outside, inside in times]
    print(f"{name:8}{best * 1e3:9.1f} ms{best / swift:9.3f}   {statistics.median(ratios):.5f}, {max(ratios):.5f}")
    if statistics.median(ratios) > 1.02:
        sys.exit(f"{name}: the boundary costs more than 2 %")
