"""What the Python scripts share: the cache, devices, how a device's driver is opened, runs of vkstat."""
import argparse, glob, json, os, re, selectors, subprocess, sys
from types import SimpleNamespace

KIT = os.path.dirname(os.path.realpath(__file__))

def die(message): sys.exit(f"{os.path.basename(sys.argv[0])}: {message}")
def note(message): print(f"{os.path.basename(sys.argv[0])}: {message}", file=sys.stderr)

def tool(cache, name):
    path = os.path.join(cache, "bin", name)
    if not os.path.exists(path): die(f"{path} is missing: run fetch first.")
    return path

def unpacked(cache, name):
    """(libraries, dynamic linker) of a release that fetch unpacked"""
    folder = os.path.join(cache, name)
    radv = glob.glob(folder + "/root/usr/lib/*/libvulkan_radeon.so")
    linker = [p for p in glob.glob(folder + "/root/usr/lib*/**/ld-linux*.so.*", recursive=True)]
    if not radv or not linker: die(f"{folder} is missing: run fetch {name} first.")
    return os.path.dirname(radv[0]), linker[0]

def device(cache, name):
    """A device of devices.txt: its driver, the words before a program's, its environment"""
    for line in open(os.path.join(KIT, "devices.txt")):
        words = line.split()
        if not words or words[0] == "#" or words[0] != name: continue
        _, driver, source, shim, choice = words[:5]
        d = SimpleNamespace(name=name, driver=driver, before=[],
                            environment=dict([choice.split("=")], NVK_I_WANT_A_BROKEN_VULKAN_DRIVER="1", MESA_SHADER_CACHE_DISABLE="true"))
        if source == "installed":
            found = glob.glob(f"/usr/lib/*/libvulkan_{driver}.so")
            if not found: die(f"{name}: there is no libvulkan_{driver}.so here (package mesa-vulkan-drivers).")
            d.library = found[0]
        else:
            libraries, linker = unpacked(cache, source)
            d.library, d.before = f"{libraries}/libvulkan_{driver}.so", [linker, "--library-path", libraries]
            if shim != "-":
                path = os.path.join(cache, "shims", f"lib{shim}_shim.so")
                if not os.path.exists(path): die(f"{path} is missing: run fetch shims first.")
                d.before[1:1] = ["--preload", path]
        return d
    die(f"devices.txt knows no {name}.")

def vkstat(cache, d, *words, **more):
    return subprocess.Popen(["nice", "-n", "10", *d.before, tool(cache, "vkstat"), d.library, *words], env={**os.environ, **d.environment},
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE if not words else more.pop("log"), text=True, **more)

def facts(cache, d):
    """What the launchers ask of a device."""
    text, errors = vkstat(cache, d).communicate()
    if not text: die(f"{d.name}: the driver shows no device.\n{errors.strip()[-600:]}")
    number = lambda pattern, base=10: int(re.search(pattern, text).group(1), base)
    matrices = [tuple(map(int, m)) for m in re.findall(r"^matrices (\d+)x(\d+)x(\d+), types a 0 b 0 c 1 r 1, scope 3$", text, re.M)]
    fit = [(m, n, k) for m, n, k in matrices if m and n and k and 16 % m == 0 and 16 % n == 0 and 32 % k == 0]  # CooperativeMatrix.largest
    return SimpleNamespace(text=text, driver=d.driver, intel=d.driver == "intel", subgroup=number(r"\nsubgroup (\d+)"),
                           pins=bool(number(r"required in stages ([0-9a-f]+)", 16) & 0x20), invocations=number(r"workgroup (\d+) invocations"),
                           shared=number(r"shared (\d+) B"), fragment=max(fit, key=lambda f: f[0] * f[1] * f[2], default=None))

def run(cache, d, jobs, out, limit):
    """Makes the pipelines of jobs, lines of vkstat's. A pipeline that kills the driver or takes too long is told of and left out."""
    os.makedirs(os.path.join(out, d.name), exist_ok=True)
    results, left, failed = os.path.join(out, d.name + ".jsonl"), list(jobs), 0
    with open(results, "w") as file, open(os.path.join(out, d.name + ".log"), "w") as log:
        while left:
            path = os.path.join(out, d.name + ".jobs")
            open(path, "w").write("\n".join(left) + "\n")
            process = vkstat(cache, d, path, os.path.join(out, d.name), log=log)
            wait = selectors.DefaultSelector()
            wait.register(process.stdout, selectors.EVENT_READ)
            why, done = "crashed", 0
            while True:
                if not wait.select(limit):
                    why = f"stopped after {limit} s"
                    process.kill()
                    break
                line = process.stdout.readline()
                if not line.endswith("}\n"): break
                file.write(line)
                failed += json.loads(line)["result"] != 0
                done += 1
            process.stdout.close()
            process.wait()
            left = left[done:]
            # Shims do not use freed memory again, so a process may end where a fresh one goes on.
            if left and not (done and why == "crashed"):
                file.write(json.dumps(dict(name=left[0].split("\t")[0], result=why, executables=[])) + "\n")
                failed += 1
                left = left[1:]
            file.flush()
    note(f"{d.name}: {len(jobs)} pipelines, {failed} failed: {results}")
