"""Compiles the kernels with the compilers of real GPUs' drivers, and prints what came out: registers and what did not fit into them.

  check-gpu-compilers [options] [DEVICE…]     devices of scripts/gpu-compilers/devices.txt

Fails where a kernel of attention spills registers or takes scratch memory, with heads of up to 128, or where a driver
makes no pipeline of a kernel. The drivers see no GPU and run nothing: cycles are the compilers' own guesses."""
import argparse, fnmatch, itertools, json, os, re, sys
sys.dont_write_bytecode = True
import kit, launches, shaders

DEVICES = "polaris10 vega10 navi31 TGL A770 B580 TU104 AD102 adreno740".split()
ROOT = os.path.dirname(os.path.dirname(kit.KIT))
MUST_FIT = re.compile(r"attention.*\.d(\d+)")
# By a statistic that only this driver has: registers, spilled, scratch bytes, cycles.
COLUMNS = {
    "VGPRs": ("VGPRs", ("Spilled VGPRs", "Spilled SGPRs"), "Scratch size", "Inverse Throughput"),
    "Static cycle count": ("Number of GPRs", ("Spills to memory", "Fills from memory"), "SLM size", "Static cycle count"),
    "SENDs": ("Max live registers", ("Spills", "Fills"), "Scratch Memory Size", "Cycles"),
    "NOPs Count": ("Registers used", ("STP Count", "LDP Count"), None, "Instruction Count"),
}

def braces(text):
    parts = [part[1:-1].split(",") if part[0] == "{" else [part] for part in re.split(r"(\{[^}]*\})", text) if part]
    return ["".join(words) for words in itertools.product(*parts)]

def pipelines(names, rows, everything):
    """(shader, name of the pipeline, constants, pin) of all rows"""
    named = set()
    for patterns, tag, constants, few, pin in rows:
        strict = patterns != "*"
        found = sorted({n for p in braces(patterns) for n in fnmatch.filter(names, p)})
        if not found: kit.die(f"launches.py names {patterns}, which no shader matches.")
        for shader in found:
            if not strict and (shader in named or any(fnmatch.fnmatch(shader, p) for p in launches.IGNORED)): continue
            named.add(shader)
            seldom = not strict and any(fnmatch.fnmatch(shader, p) for p in launches.SELDOM)
            if everything or few and not seldom: yield shader, shader + ("." + tag if tag else ""), constants, strict, pin

def jobs(spirv, facts, everything, only):
    for shader, pipeline, constants, strict, pin in pipelines(spirv.names, launches.launches(facts), everything):
        if not only.search(pipeline): continue
        path, f = spirv.get(shader)
        unknown = set(constants) - set(f["spec"])
        if unknown and strict: kit.die(f"launches.py gives {pipeline} {', '.join(sorted(unknown))}, which the shader has not.")
        ids = ",".join(f"{f['spec'][k]}={v}" for k, v in sorted(constants.items()) if k in f["spec"]) or "-"
        size = facts.subgroup if pin and facts.pins else 0
        yield "\t".join([pipeline, path, f["bindings"] or "-", str(f["push"]), str(size), ids])

def cells(stats):
    registers, spills, scratch, cycles = next(c for sign, c in COLUMNS.items() if sign in stats)
    spilled = [stats.get(name, 0) for name in spills]
    return stats.get(registers), spilled, stats.get(scratch, 0) if scratch else 0, stats.get(cycles)

def main():
    p = argparse.ArgumentParser(prog="check-gpu-compilers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--cache", required=True, help=argparse.SUPPRESS)
    p.add_argument("--only", type=re.compile, metavar="REGEX", help="of the pipelines only these (default: attention's)")
    p.add_argument("--all", action="store_true", help="the pipelines of all kernels")
    p.add_argument("devices", nargs="*", metavar="device")
    a = p.parse_args()
    only = a.only or re.compile("" if a.all else "^attention")
    out, wrong = os.path.join(a.cache, "out"), []
    spirv = shaders.Shaders([os.path.join(ROOT, "Shaders")], a.cache, kit.tool(a.cache, "glsl"), launches.FAMILY)
    os.makedirs(out, exist_ok=True)
    for name in a.devices or DEVICES:
        d = kit.device(a.cache, name)
        todo = list(jobs(spirv, kit.facts(a.cache, d), a.all, only))
        if not todo: kit.die("there is no such pipeline.")
        kit.run(a.cache, d, todo, out, limit=120)
        print(f"\n{name:42} registers  spills  scratch   cycles")
        for line in open(os.path.join(out, name + ".jsonl")):
            j = json.loads(line)
            if j["result"] != 0 or not j["executables"]: wrong.append(f"{name}: {j['name']} was not made ({j['result']})")
            for e in j["executables"]:
                registers, spilled, scratch, cycles = cells(e["stats"])
                print(f"{j['name']:42} {registers:9} {'/'.join(map(str, spilled)):>7} {scratch:8} {cycles:8}")
                attention = MUST_FIT.match(j["name"])
                if attention and int(attention[1]) <= 128 and (any(spilled) or scratch):
                    wrong.append(f"{name}: {j['name']} spills {spilled} registers, {scratch} B of scratch memory")
    for line in wrong: print(line, file=sys.stderr)
    sys.exit(bool(wrong))

main()
