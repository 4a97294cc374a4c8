"""Compiles the kernels with the compilers of real GPUs' drivers, and prints what came out: registers and what did not fit into them.

  check-gpu-compilers [options] [DEVICE…]     devices of scripts/gpu-compilers/devices.txt

Fails where a kernel spills registers or takes scratch memory (attention: with heads of up to 128), where a driver makes no
pipeline of a kernel and, with --short, where a figure is more than 5 % worse than the one on record, where a kernel has fewer workgroups
than on record, or where one takes more than 1 % of a training step without filling a GPU. The drivers see no GPU and run nothing: cycles
are the compilers' own guesses."""
import argparse, fnmatch, itertools, json, os, re, sys
sys.dont_write_bytecode = True
import kit, launches, record, shaders, workgroups

DEVICES = "polaris10 vega10 navi31 TGL A770 B580 TU104 AD102 adreno740".split()
ROOT = os.path.dirname(os.path.dirname(kit.KIT))
# What decides a step's time; the rule's tiles alone.
SHORT = re.compile(r"attention\w*\.d(64|128)g4|matmul_(shared_(nt|nn)_(f32|f16|q8_0|q4_0|q4_k|q6_k)|transposed_shared)\.64x64b32x[84]x4(\+rank|$)"
                   r"|matmul_\w*\.(64x16|16x64)|matvec_shared_((q4_0|q4_k|f16)\.r1|f32\.r1l)|(cross_entropy|rms_norm|adamw|square_sums)\w*|sum_parts|attention_merge")
PLANTED = "attention_backward_kv_shared.planted"  # heads of 128 shared out over 4 lanes, which fit no registers

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

def may_spill(device, pipeline):
    head = re.search(r"attention.*\.d(\d+)", pipeline)
    if head: return int(head[1]) > 128
    tile = re.search(r"^matmul_\w+\.(.*?x.*?)(\+|rows|$)", pipeline)
    # A tile that only the tuner would choose, or one that the rule gives to other GPUs.
    return bool(tile) and ("cooperative" in pipeline or tile[1] not in launches.ruled(device))

def compiled(cache, name, spirv, everything, only, planted, wrong):
    """{pipeline: figures} of a device"""
    d, out = kit.device(cache, name), os.path.join(cache, "out")
    facts = kit.facts(cache, d)
    todo = list(jobs(spirv, facts, everything, only))
    if planted:
        path, f = spirv.get("attention_backward_kv_shared")
        constants = dict(LANES=128, HEAD_SIZE=128, GROUP_SIZE=4, ROW_LANES=4, ROWS_PER_LANE=4, TILE_ROWS=4, SCORE_CAP=0, CAUSAL=1)
        todo.append("\t".join([PLANTED, path, f["bindings"], str(f["push"]), "0",
                               ",".join(f"{f['spec'][k]}={v}" for k, v in constants.items() if k in f["spec"])]))
    if not todo: kit.die("there is no such pipeline.")
    kit.run(cache, d, todo, out, limit=120)
    figures = {}
    for line in open(os.path.join(out, name + ".jsonl")):
        j = json.loads(line)
        if j["result"] != 0 or not j["executables"]:
            wrong.append(f"{name}: {j['name']} was not made ({j['result']})")
            continue
        figures[j["name"]] = found = record.figures(j["executables"][0]["stats"], os.path.join(out, name, j["name"] + ".txt"))
        if (found["spills"] or found["scratch"]) and not may_spill(d, j["name"]):
            wrong.append(f"{name}: {j['name']} spills: {found['spills']} registers, {found['scratch']} B of scratch memory")
    return facts, figures

def main():
    p = argparse.ArgumentParser(prog="check-gpu-compilers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--cache", required=True, help=argparse.SUPPRESS)
    p.add_argument("--bench", help=argparse.SUPPRESS)
    p.add_argument("--only", type=re.compile, metavar="REGEX", help="of the pipelines only these (default: attention's)")
    p.add_argument("--all", action="store_true", help="the pipelines of all kernels")
    p.add_argument("--short", action="store_true", help="the kernels that decide, beside the figures on record")
    p.add_argument("--record", action="store_true", help="what --short finds goes on record, and into docs/gpu-kernels.md")
    p.add_argument("--self-test", action="store_true", help="plants a kernel that spills, and fails where that is not told of")
    p.add_argument("--docs", action="store_true", help="writes docs/gpu-kernels.md from what is on record")
    p.add_argument("--check", action="store_true", help="with --docs: only fails where the file is another")
    p.add_argument("devices", nargs="*", metavar="device")
    a = p.parse_args()
    if a.docs: sys.exit(record.write_docs(ROOT, record.load(), workgroups.load(), a.check))
    short = a.short or a.record
    only = a.only or (SHORT if short else re.compile("" if a.all else "^attention"))
    if a.self_test: only = re.compile(r"^attention_shared\.d64g4$")
    spirv = shaders.Shaders([os.path.join(ROOT, "Shaders")], a.cache, kit.tool(a.cache, "glsl"), launches.FAMILY)
    os.makedirs(os.path.join(a.cache, "out"), exist_ok=True)
    wrong, found = [], {}
    if short:
        works = workgroups.found(a.bench, os.path.join(a.cache, "out"))
        wrong += workgroups.starved(works)
        if not a.record: wrong += workgroups.worse(works, workgroups.load())
    for name in a.devices or (["navi31"] if a.self_test else DEVICES):
        facts, figures = compiled(a.cache, name, spirv, a.all, only, a.self_test, wrong)
        found[name] = dict(driver=facts.text.split("Vulkan ")[1].split("\n")[0], kernels=figures)
        if short:
            if not a.record: wrong += record.worse(name, found[name], record.load().get(name))
            continue
        print(f"\n{name:42} registers  spills  scratch   cycles")
        for pipeline, f in figures.items():
            print(f"{pipeline:42} {f['registers']:9} {f['spills']:7} {f['scratch']:8} {f['cycles']:8}")
    if a.record and not wrong:
        kept = {**record.load(), **found}
        record.save(kept)
        workgroups.save(works)
        record.write_docs(ROOT, kept, works, False)
    for line in wrong: print(line, file=sys.stderr)
    if a.self_test:
        told = any(PLANTED in line for line in wrong)
        print("The planted spill is told of." if told else "The planted spill was NOT told of.")
        sys.exit(not told)
    if short and not wrong: print(f"{sum(len(d['kernels']) for d in found.values())} pipelines: no spill, no figure worse than on record.")
    sys.exit(bool(wrong))

main()
