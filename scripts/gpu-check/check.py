"""Checks a GPU in at most nine minutes and writes report.md and report.json. Needs nothing but Python's own library.

usage: run [--out FOLDER] [--models SIZE:TYPE,…] [--minutes N]
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
# Billions of parameters, and bytes of one as stored.
SIZES = {"tiny": 0.0018, "135m": 0.135, "1.5b": 1.54, "8b": 8.03}
BYTES = {"f16": 2, "bf16": 2, "q8_0": 34 / 32, "q4_0": 18 / 32, "q4_k": 144 / 256, "q6_k": 210 / 256}
# Of the tiny model's losses (golden.json, by lavapipe, whose golden runs equal PEFT's).
LOSS_BOUND = 2e-3


class Check:
    def __init__(self, out: Path, minutes: float):
        self.out = out
        self.end = time.monotonic() + 60 * minutes
        self.report: dict = {"steps": {}, "models": {}}
        self.bin = HERE / "bin"

    @property
    def seconds_left(self) -> float:
        return self.end - time.monotonic()

    def run(self, name: str, command: list, limit: float, environment: dict | None = None):
        """Runs a program within the time that is left; what it printed goes into a file. None where it failed."""
        limit = min(limit, self.seconds_left - 5)
        if limit < 5:
            return self.skip(name, "no time was left")
        print(f"{name} …", flush=True)
        start = time.monotonic()
        try:
            result = subprocess.run(
                [str(word) for word in command], capture_output=True, text=True, errors="replace", timeout=limit,
                env={**os.environ, **(environment or {})},
            )
        except subprocess.TimeoutExpired as error:
            self.log(name).write_text(text(error.stdout) + text(error.stderr))
            return self.fail(name, f"did not end in {limit:.0f} s")
        self.log(name).write_text(result.stdout + result.stderr)
        if result.returncode != 0:
            words = (result.stderr.strip() or result.stdout.strip()).splitlines()
            return self.fail(name, f"exit code {result.returncode}: {words[-1] if words else 'no word'}")
        seconds = time.monotonic() - start
        self.report["steps"][name] = {"result": "passed", "seconds": round(seconds, 1)}
        print(f"{name}: {seconds:.1f} s", flush=True)
        return result.stdout + result.stderr

    def skip(self, name: str, why: str):
        print(f"{name}: left out, {why}", flush=True)
        self.report["steps"][name] = {"result": "left out", "why": why}

    def fail(self, name: str, why: str):
        print(f"{name}: FAILED, {why}", flush=True)
        self.report["steps"][name] = {"result": "failed", "why": why}

    def log(self, name: str) -> Path:
        return self.out / (re.sub("[^A-Za-z0-9._-]+", "-", name) + ".log")

    # The parts

    def doctor(self) -> None:
        output = self.run("doctor", [self.bin / "lora-vk", "doctor"], 90)
        log = self.log("doctor")
        self.report["doctor"] = output or (log.read_text() if log.exists() else "")
        found = re.search(r"^   memory +(\d+) MB", self.report["doctor"], re.M)
        self.report["megabytes"] = int(found.group(1)) if found else None
        name = re.search(r"\n\n(.+) \((discrete|integrated|virtual|cpu|other)\)\n", self.report["doctor"])
        self.report["device"] = name.group(1) if name else "unknown"

    def kernels(self) -> None:
        if self.seconds_left < 60:
            return self.skip("kernel tests", "less than a minute was left")
        tests = [self.bin / "lora-vk-tests", "--testing-library", "swift-testing", "--no-parallel", "--filter", "KernelsTests"]
        output = self.run("kernel tests", tests, 200)
        if output:
            found = re.search(r"Test run with (\d+) tests.* passed", output)
            if not found:
                return self.fail("kernel tests", "no test ran")
            self.report["steps"]["kernel tests"]["tests"] = int(found.group(1))

    def golden(self, folder: Path) -> None:
        expected = json.loads((HERE / "golden.json").read_text())
        words = [self.bin / "lora-vk", "train", "--model", HERE / "tiny/model", "--data", HERE / "tiny/train.jsonl", "--out", folder / "golden"]
        if self.run("golden run", words + expected["options"], 60) is None:
            return
        lines = [json.loads(line) for line in (folder / "golden/metrics.jsonl").read_text().splitlines()]
        losses = [line["loss"] for line in lines if "loss" in line]
        worst = max(abs(a - b) for a, b in zip(losses, expected["losses"]))
        if len(losses) != len(expected["losses"]) or not worst <= LOSS_BOUND:
            return self.fail("golden run", f"losses {losses} differ from {expected['losses']} by {worst}")
        self.report["steps"]["golden run"]["largest difference of losses"] = worst

    def model(self, name: str, folder: Path) -> None:
        size, kind = name.split(":")
        need = SIZES[size] * BYTES[kind] * 1000 * 1.1 + (3000 if SIZES[size] > 1 else 500)
        if self.report["megabytes"] and need > self.report["megabytes"]:
            return self.skip(name, f"it takes about {need:.0f} MB and the device has {self.report['megabytes']}")
        if SIZES[size] > 1 and self.seconds_left < 60:
            return self.skip(name, "less than a minute was left")
        path = folder / "model.gguf"
        try:
            if self.run(f"{name} write", [self.bin / "loravk-bench", "random-model", "--size", size, "--type", kind, "--out", path], 120) is None:
                return
            self.measure(name, path)
        finally:
            path.unlink(missing_ok=True)

    def measure(self, name: str, path: Path) -> None:
        figures = self.report["models"][name] = {}
        bench = self.bin / "loravk-bench"
        output = self.run(f"{name} tune", [self.bin / "lora-vk", "tune", "--model", path], 90)
        if output:
            figures["tune"] = [line for line in output.splitlines() if "GFLOP" not in line and re.match(r"n[nt] ", line)]
        for shape in ("1x512", "4x512"):
            output = self.run(f"{name} train {shape}", [bench, "step", "--model", path, "--steps", 5, "--json", shape], 90)
            if output:
                step = last_object(output)
                figures[f"train {shape}"] = {"tokens/s": round(step["best"], 1), "median": round(step["median"], 1),
                                             "MB of activations": step["activations"] // 1_000_000}
        output = self.run(f"{name} generate", [bench, "generate", "--model", path, "--rank", 8, "--prompt", 512, "--tokens", 64, "--rounds", 3, "--json"], 90)
        if output:
            rates = last_object(output)
            figures["prompt"] = {"tokens/s": round(rates["prompt"]["best"], 1)}
            figures["generate"] = {"tokens/s": round(rates["generation"]["best"], 1)}
        output = self.run(f"{name} profile", [bench, "step", "--model", path, "--steps", 3, "--profile", "1x512"], 60)
        if output:
            figures["profile"] = output.splitlines()[1:26]

    def peer(self, sizes: list) -> None:
        for size in sizes:
            output = self.run(f"PEFT {size}", [sys.executable, HERE / "peft_peer.py", size], 120, {"LD_LIBRARY_PATH": os.environ.get("LD_LIBRARY_PATH", "").removeprefix(str(HERE / "lib")).lstrip(":")})
            if output:
                found = last_object(output)
                if "why" in found:
                    return self.skip(f"PEFT {size}", found["why"])
                self.report["models"][f"PEFT {size}:bf16"] = found

    # The report

    def write(self) -> None:
        (self.out / "report.json").write_text(json.dumps(self.report, indent=1) + "\n")
        lines = [f"# {self.report.get('device', 'unknown')}", "", "| part | result | |", "|---|---|---|"]
        for name, step in self.report["steps"].items():
            detail = step.get("why") or ", ".join(f"{key} {value}" for key, value in step.items() if key != "result")
            lines.append(f"| {name} | {step['result']} | {detail} |")
        columns = ["train 1x512", "train 4x512", "prompt", "generate"]
        lines += ["", "Random weights, tokens a second, the best run; training is LoRA of rank 8 on all linear layers.", "",
                  "| model | " + " | ".join(columns) + " | MB of activations, 4x512 |", "|---" * (len(columns) + 2) + "|"]
        for name, figures in self.report["models"].items():
            rates = [str(figures.get(column, {}).get("tokens/s", "")) for column in columns]
            lines.append(f"| {name} | " + " | ".join(rates) + f" | {figures.get('train 4x512', {}).get('MB of activations', '')} |")
        for name, figures in self.report["models"].items():
            if "profile" in figures:
                lines += ["", f"Kernels of a step, {name}, 1x512:", "", "```", *figures["profile"], "```"]
        lines += ["", "```", self.report.get("doctor", "").strip(), "```", ""]
        (self.out / "report.md").write_text("\n".join(lines))
        print(f"wrote {self.out}/report.md and report.json")


def text(output) -> str:
    return output.decode(errors="replace") if isinstance(output, bytes) else output or ""


def last_object(output: str) -> dict:
    return json.loads([line for line in output.splitlines() if line.startswith("{")][-1])


def main() -> int:
    parser = argparse.ArgumentParser(description="Checks the GPU of this machine.")
    parser.add_argument("--out", type=Path, default=Path("gpu-report"), help="the folder of the report")
    parser.add_argument("--models", default="1.5b:f16,1.5b:q4_k,8b:q8_0,8b:q4_k", help="SIZE:TYPE,…")
    parser.add_argument("--minutes", type=float, default=9, help="how long it may take")
    options = parser.parse_args()
    models = [name for name in options.models.split(",") if name]
    for name in models:
        size, _, kind = name.partition(":")
        if size not in SIZES or kind not in BYTES:
            parser.error(f"'{name}' is no model: sizes are {', '.join(SIZES)}, types are {', '.join(BYTES)}")
    options.out.mkdir(parents=True, exist_ok=True)
    check = Check(options.out.resolve(), options.minutes)
    with tempfile.TemporaryDirectory(dir=options.out) as folder:
        # Measured anew, and nothing of it stays.
        os.environ["LORAVK_CACHE_DIR"] = f"{folder}/cache"
        try:
            check.doctor()
            check.golden(Path(folder))
            for index, name in enumerate(models):
                check.model(name, Path(folder))
                if index == 0:
                    check.kernels()
            check.peer(sorted({name.split(":")[0] for name in models}, key=SIZES.get))
        finally:
            check.write()
    return 1 if any(step["result"] == "failed" for step in check.report["steps"].values()) else 0


if __name__ == "__main__":
    sys.exit(main())
