"""Figures of pipelines: from a driver's statistics, on record in record.json, and as docs/gpu-kernels.md."""
import json, os
import isa, kit, workgroups

RECORD = os.path.join(kit.KIT, "record.json")
LIMIT = 1.05
# By a statistic that only this driver has.
NAMES = {
    "VGPRs": dict(registers="VGPRs", spills=("Spilled VGPRs", "Spilled SGPRs"), scratch="Scratch size", shared="LDS size",
                  instructions="Instructions", cycles="Inverse Throughput"),
    "Static cycle count": dict(registers="Number of GPRs", spills=("Spills to memory", "Fills from memory"), instructions="Instruction count",
                               cycles="Static cycle count"),
    "SENDs": dict(registers="Max live registers", spills=("Spills", "Fills"), scratch="Scratch Memory Size",
                  shared="Workgroup Memory Size", instructions="Instructions", cycles="Cycles"),
    "NOPs Count": dict(registers="Registers used", spills=("STP Count", "LDP Count"), instructions="Instruction Count",
                       cycles="Instruction Count"),
}
COMPARED = ["registers", "shared", "instructions", "cycles", "waits"]

def figures(stats, listing):
    names = next(n for sign, n in NAMES.items() if sign in stats)
    f = dict(registers=0, scratch=0, shared=0, instructions=0, cycles=0)
    for title, name in names.items():
        f[title] = sum(stats.get(n, 0) for n in name) if isinstance(name, tuple) else stats.get(name, 0)
    if "VGPRs" in stats and os.path.exists(listing):
        loop = isa.hottest(listing)
        f["waits"], f["fma"], f["valu"] = loop["waits"], loop["fma"] + 2 * (loop["packed"] + loop["dot"]), loop["valu"]
    return f

def load(): return json.load(open(RECORD)) if os.path.exists(RECORD) else {}

def save(found):
    with open(RECORD, "w") as file:
        # A line a pipeline, so that a change of the record is read as what it is.
        devices = []
        for name, d in found.items():
            rows = ",\n".join(f"   {json.dumps(k)}: {json.dumps(v)}" for k, v in sorted(d["kernels"].items()))
            devices.append(f" {json.dumps(name)}: {{\n  \"driver\": {json.dumps(d['driver'])},\n  \"kernels\": {{\n{rows}\n  }}\n }}")
        file.write("{\n" + ",\n".join(devices) + "\n}\n")

def worse(name, found, kept):
    """What a reader should know of a device's figures; another version of the driver is only told of."""
    if not kept: return [f"{name} is not on record: run check-gpu-compilers --record."]
    if found["driver"] != kept["driver"]:
        kit.note(f"{name}: the record is of {kept['driver']}, this is {found['driver']}. Figures are not compared; --record writes new ones.")
        return []
    lines = [f"{name}: {k} is on record and was not compiled" for k in kept["kernels"] if k not in found["kernels"]]
    for kernel, f in found["kernels"].items():
        old = kept["kernels"].get(kernel)
        if old is None: lines.append(f"{name}: {kernel} is not on record: run check-gpu-compilers --record.")
        for title in COMPARED if old else []:
            now, before = f.get(title, 0), old.get(title, 0)
            if now > before * LIMIT and now > before + 1: lines.append(f"{name}: {kernel} has {title} {now}; on record are {before}.")
    return lines

def table(kernels):
    titles = ["registers", "spills", "scratch B", "shared B", "instructions", "cycles", "waits a slab", "FMA in the loop", "all vector instructions"]
    keys = ["registers", "spills", "scratch", "shared", "instructions", "cycles", "waits", "fma", "valu"]
    kept = [i for i, k in enumerate(keys) if any(k in f for f in kernels.values())]
    yield "| kernel | " + " | ".join(titles[i] for i in kept) + " |"
    yield "|---" * (len(kept) + 1) + "|"
    for name, f in sorted(kernels.items()): yield f"| {name} | " + " | ".join(str(f.get(keys[i], "")) for i in kept) + " |"

def docs(found, works):
    yield open(os.path.join(kit.KIT, "gpu-kernels.md")).read().rstrip("\n")
    yield from workgroups.docs(works)
    for name, d in found.items():
        yield f"\n## {name}\n\n{d['driver'].split(', ', 1)[-1]}\n"
        yield from table(d["kernels"])

def write_docs(root, found, works, only_check):
    path, text = os.path.join(root, "docs", "gpu-kernels.md"), "\n".join(docs(found, works)) + "\n"
    if only_check:
        if os.path.exists(path) and open(path).read() == text: return 0
        return "docs/gpu-kernels.md is not what is on record: run scripts/check-gpu-compilers --docs."
    with open(path, "w") as file: file.write(text)
    return 0
