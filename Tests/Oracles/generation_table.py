"""The table of scripts/compare-generation. usage: generation_table.py FOLDER PROMPT TOKENS: FOLDER has ours and llama.cpp, one JSON
object a round."""
import json, statistics, sys
from pathlib import Path

folder, prompt, tokens = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
ours, peer = ([json.loads(line) for line in (folder / side).read_text().splitlines()] for side in ("ours", "llama.cpp"))

print(f"llama.cpp's device: {peer[0]['device']}\n")
print("| | ours, tokens/s best (median) | llama.cpp Vulkan, best (median) | ratio of the best | of the medians |")
print("|---|---|---|---|---|")
for name, key in ((f"prompt of {prompt}", "prompt"), (f"generation of {tokens}", "generation")):
    mine, its = [r[key]["best"] for r in ours], [r[key] for r in peer]
    medians = statistics.median(mine), statistics.median(its)
    print(f"| {name} | {max(mine):.1f} ({medians[0]:.1f}) | {max(its):.1f} ({medians[1]:.1f}) "
          f"| {max(mine) / max(its):.1f} | {medians[0] / medians[1]:.1f} |")
print(f"\nPeak memory of the process: ours {max(r['megabytes'] for r in ours)} MB, llama.cpp {max(r['megabytes'] for r in peer)} MB")
