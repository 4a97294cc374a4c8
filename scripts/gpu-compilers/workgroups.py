"""How many workgroups a large GPU gets of each kernel: asked of the launchers by `loravk-bench workgroups`, on record in workgroups.json."""
import json, os, subprocess
import kit

RECORD = os.path.join(kit.KIT, "workgroups.json")
FEW = 0.01  # of a training step may be in launches of a kernel that do not fill a GPU

def found(bench, folder): return json.loads(subprocess.run([bench, "workgroups", folder], check=True, capture_output=True, text=True).stdout)

def load(): return json.load(open(RECORD)) if os.path.exists(RECORD) else {}

def save(works):
    with open(RECORD, "w") as file:
        blocks = [f" {json.dumps(work)}: {{\n" + ",\n".join(f"  {json.dumps(k)}: {json.dumps(f)}" for k, f in kernels.items()) + "\n }"
                  for work, kernels in works.items()]
        file.write("{\n" + ",\n".join(blocks) + "\n}\n")

def starved(works):
    for work, kernels in works.items():
        for kernel, f in kernels.items():
            if "step" in work and f["few"] > FEW: yield f"{work}: {f['few']:.1%} of the time is in launches of {kernel} that fill no GPU"

def worse(works, kept):
    for work, kernels in works.items():
        old = kept.get(work, {})
        for kernel, f in kernels.items():
            if kernel not in old: yield f"{work}: {kernel} is not on record: run check-gpu-compilers --record."
            elif f["workgroups"] < old[kernel]["workgroups"]:
                yield f"{work}: {kernel} has {f['workgroups']} workgroups; on record are {old[kernel]['workgroups']}."

def docs(works):
    for work, kernels in works.items():
        yield f"\n### {work[0].upper()}{work[1:]}\n"
        yield "| kernel | launches | share of the time | fewest workgroups | share in launches of fewer than 192 |\n|---|---|---|---|---|"
        for kernel, f in sorted(kernels.items(), key=lambda kernel: -kernel[1]["share"]):
            yield f"| {kernel} | {f['launches']} | {f['share']:.2%} | {f['workgroups']} | {f['few']:.2%} |"
