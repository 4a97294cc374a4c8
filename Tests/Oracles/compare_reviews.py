"""The runs and the table of scripts/compare-reviews. usage: compare_reviews.py LORA_VK MODEL.gguf FOLDER [option …] TRAIN.jsonl TEST.jsonl"""
import argparse, json, os, random, subprocess, sys, tempfile, time
from dataclasses import dataclass
from pathlib import Path

from oracle import rows

parser = argparse.ArgumentParser(prog="scripts/compare-reviews")
parser.add_argument("lora_vk", help=argparse.SUPPRESS)
parser.add_argument("model", help=argparse.SUPPRESS)
parser.add_argument("folder", help=argparse.SUPPRESS)
parser.add_argument("--head", action="store_true", help="train a classifier's head instead of the next word")
parser.add_argument("--steps", type=int, default=300)
parser.add_argument("--seed", type=int, default=0, help="of the adapter and of the order of lines")
parser.add_argument("--test-lines", type=int, default=1000)
parser.add_argument("train")
parser.add_argument("test")
options = parser.parse_args()
warmup = min(20, options.steps // 2)


@dataclass
class Run:
    """A program's lines, the time of its first and last step, and what memory it took."""
    first: float = 0
    trained: float = 0
    seconds: float = 0
    megabytes: int = 0
    last_line: str = ""
    accuracy: float = 0

    def __init__(self, *command):
        start = time.monotonic()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for line in process.stdout:
            if line.startswith("step "):
                self.trained = time.monotonic() - start
                self.first = self.first or self.trained
            self.last_line = line.strip() or self.last_line
            if line.startswith("accuracy "):
                # In percent of the next words, as a part of 1 of a head.
                words = line.split()
                self.accuracy = float(words[1]) * (1 if words[-1] == "%" else 100)
        _, status, usage = os.wait4(process.pid, 0)
        if status != 0:
            sys.exit(f"{command[0]} failed: {self.last_line}")
        self.seconds = time.monotonic() - start
        self.megabytes = usage.ru_maxrss // 1024


with tempfile.TemporaryDirectory() as temp:
    lines = rows(options.train)
    random.Random(options.seed).shuffle(lines)
    wanted = options.steps * 8
    if len(lines) < wanted:
        sys.exit(f"{options.train} has {len(lines)} lines, and {options.steps} steps see {wanted}: use --steps {len(lines) // 8}")
    train, test, adapter = (f"{temp}/{name}" for name in ("train.jsonl", "test.jsonl", "adapter"))
    for path, chosen in ((train, lines), (test, rows(options.test)[:options.test_lines])):
        Path(path).write_text("".join(json.dumps(line) + "\n" for line in chosen))

    template = ["--prompt", "Review: {text}\\nSentiment:", "--completion", " {label:negative|positive}", "--no-end"]
    if options.head:
        template = ["--objective", "classification"]
    ours = Run(
        options.lora_vk, "train", "--model", options.model, "--data", train, "--out", adapter, *template, "--no-shuffle",
        "--steps", str(options.steps), "--warmup", str(warmup), "--schedule", "linear", "--max-grad-norm", "0",
        "--seed", str(options.seed))
    evaluation = Run(options.lora_vk, "eval", "--model", options.model, "--adapter", adapter, "--data", test, *template)
    accuracy = evaluation.accuracy
    peft = Run(
        sys.executable, str(Path(__file__).with_name("peft_reviews.py")), options.folder, train, test, str(options.steps),
        str(warmup), str(options.seed), *(["--head"] if options.head else []))
    result = json.loads(peft.last_line)

print(f"{options.steps} steps of 8 lines, {len(rows(options.test)[:options.test_lines])} lines to test\n")
print("| | ours | PEFT | PEFT / ours |")
print("|---|---|---|---|")
for name, a, b in (
        ("start to the end of the first step, s", ours.first, peft.first),
        ("start to the trained adapter, s", ours.seconds, peft.trained),
        ("peak of memory, MB", ours.megabytes, result["megabytes"])):
    print(f"| {name} | {a:.4g} | {b:.4g} | {b / a:.2f} |")
print(f"| accuracy on the test lines, % | {accuracy:.1f} | {result['accuracy']:.1f} | |")
