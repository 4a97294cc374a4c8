"""The table of scripts/compare-methods. usage: methods_table.py OURS PEFT: OURS has one JSON object a method, PEFT one with all."""
import json, sys
from pathlib import Path

ours = [json.loads(line) for line in Path(sys.argv[1]).read_text().splitlines()]
peft = json.loads(Path(sys.argv[2]).read_text())
lora = ours[0]["processor"]

print("| | trains | ms a step | × `lora` | activations MB | PEFT, × its LoRA |")
print("|---|---|---|---|---|---|")
for method in ours:
    name, seconds = method["method"], method["processor"]
    title = f"`lora` from `--init {name.split('/')[1]}`" if "/" in name else f"`{name}`"
    theirs = f"{peft[name] / peft['lora']:.2f}" if name in peft else ""
    trains = f"{method['parameters']:,}".replace(",", " ")
    print(f"| {title} | {trains} | {1e3 * seconds:.0f} | {seconds / lora:.2f} | {method['activations'] / 1e6:.0f} | {theirs} |")
print(f"\nPEFT's LoRA: {1e3 * peft['lora']:.0f} ms a step.")
