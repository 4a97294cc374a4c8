"""What the boundary costs, from the times that scripts/compare-bindings collected. usage: boundary_table.py FOLDER TOKENS"""
import json
import pathlib
import statistics
import sys

folder, length = pathlib.Path(sys.argv[1]), int(sys.argv[2])
rounds = [json.loads(line) for line in (folder / "swift").read_text().splitlines()]
swift, swift_processor = min(length / each["best"] for each in rounds), min(each["processor"] for each in rounds)
print(f"{'':8}{'best step':>12}{'÷ Swift':>9}{'processor':>13}{'÷ Swift':>9}   call ÷ the step inside it: median, worst")
print(f"{'Swift':8}{swift * 1e3:9.1f} ms{1:9.3f}{swift_processor * 1e3:10.1f} ms{1:9.3f}")
dear = []
for name in ("C", "Python"):
    times = [tuple(map(float, line.split())) for line in (folder / name).read_text().splitlines()]
    best, processor = min(outside for outside, _, _ in times), min(processor for _, _, processor in times)
    ratios = [outside / inside for outside, inside, _ in times]
    print(f"{name:8}{best * 1e3:9.1f} ms{best / swift:9.3f}{processor * 1e3:10.1f} ms{processor / swift_processor:9.3f}"
          f"   {statistics.median(ratios):.5f}, {max(ratios):.5f}")
    if best > 1.02 * swift:
        dear.append(name)
if dear:
    sys.exit(f"a step through {' and '.join(dear)} takes more than 1.02 of Swift's; nothing else may run on the machine meanwhile")
