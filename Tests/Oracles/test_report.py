"""`lora-vk report` and `lora-vk data`: what people see of runs and of data; TensorBoard reads what is written for it."""
import json, re, signal, subprocess, time
import xml.etree.ElementTree as ET

import pytest
from oracle import load_tokenizer
from test_cli import call, refused

HTML, SVG = "{http://www.w3.org/1999/xhtml}", "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def rows(shanties):
    return shanties.read_text().splitlines()


@pytest.fixture(scope="module")
def runs(program, tiny, rows, tmp_path_factory):
    """Two runs of six steps with a validation."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "data").mkdir()
    (folder / "data" / "train.jsonl").write_text("\n".join(rows[:12]))
    (folder / "data" / "valid.jsonl").write_text("\n".join(rows[10:18]))
    for name, rate in (("low", "1e-4"), ("high", "1e-2")):
        done = call(program, "train", "--model", tiny, "--data", folder / "data", "--out", folder / name, "--steps", 6, "--lr", rate,
                    "--validate-every", 3, "--batch-size", 2, "--max-length", 64)
        assert done.returncode == 0, done.stderr
    return folder


def metrics(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_a_page_has_a_curve_a_run(program, runs, tmp_path):
    page = tmp_path / "page.html"
    done = call(program, "report", runs / "low", runs / "high", "--out", page)
    assert done.returncode == 0, done.stderr
    root = ET.parse(page).getroot()
    figures = {figure.find(f"{SVG}title").text: figure for figure in root.iter(f"{SVG}svg")}
    assert list(figures)[:4] == ["Training loss", "Validation loss", "Learning rate", "Norm of the gradient"]
    # What is told under the pointer: a step, and what each run has there.
    told = [rect.find(f"{SVG}title").text.splitlines() for rect in figures["Training loss"].iter(f"{SVG}rect") if rect.find(f"{SVG}title") is not None]
    losses = {name: {row["step"]: f"{row['loss']:.6g}" for row in metrics(runs / name)} for name in ("low", "high")}
    assert len(told) == len(losses["low"]) and all(lines[0].split()[-1] == str(step) for step, lines in enumerate(told, 1)), told
    assert all(losses[name][step] in line and line.startswith(name) for step, lines in enumerate(told, 1)
               for name, line in zip(("low", "high"), lines[1:], strict=True)), told
    table = [[cell.text for cell in row] for row in next(root.iter(f"{HTML}table"))]
    best = min((row["validation_loss"], row["step"]) for row in metrics(runs / "high") if "validation_loss" in row)
    assert table[2][0] == "high" and float(table[2][3]) == pytest.approx(best[0], rel=1e-3) and int(table[2][4]) == best[1]


def test_tensorboard_reads_the_events(program, runs, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    for _ in range(2):  # the second writes the same file again
        done = call(program, "report", runs / "low", runs / "high", "--out", tmp_path / "page.html", "--tensorboard", tmp_path / "board")
        assert done.returncode == 0, done.stderr
    for name in ("low", "high"):
        board = EventAccumulator(str(tmp_path / "board" / name)).Reload()
        rows = metrics(runs / name)
        got = [(event.step, event.value) for event in board.Scalars("train/loss")]
        assert [step for step, _ in got] == [row["step"] for row in rows]
        assert [value for _, value in got] == pytest.approx([row["loss"] for row in rows], rel=1e-6)
        assert [event.step for event in board.Scalars("eval/loss")] == [3, 6]
        times = [event.wall_time for event in board.Scalars("train/loss")]
        assert times == sorted(times) and abs(times[-1] - time.time()) < 600


def test_following_ends_by_a_signal(program, runs, tmp_path):
    page = tmp_path / "page.html"
    running = subprocess.Popen([program.path, "report", runs / "low", "--out", page, "--follow"], stderr=subprocess.PIPE)
    deadline = time.time() + 60
    while not page.exists() and time.time() < deadline:
        time.sleep(0.05)
    assert "http-equiv" in page.read_text()
    running.send_signal(signal.SIGINT)
    assert running.wait(30) == 0
    assert "http-equiv" not in page.read_text()


def test_what_is_no_run_is_refused(program, runs, tmp_path):
    assert "has no metrics.jsonl" in refused(program, "report", tmp_path)
    assert "no/page.html" in refused(program, "report", runs / "low", "--out", tmp_path / "no" / "page.html")


def test_data_shows_what_is_learned(program, tiny, runs, tmp_path):
    page = tmp_path / "data.html"
    done = call(program, "data", "--model", tiny, "--data", runs / "data", "--max-length", 64, "--examples", 2, "--html", page)
    assert done.returncode == 0, done.stderr
    hf = load_tokenizer(tiny)
    chats = [json.loads(line)["messages"] for line in (runs / "data" / "train.jsonl").read_text().splitlines()]
    count = sum(min(64, len(hf.apply_chat_template(chat, tokenize=True, return_dict=True)["input_ids"])) for chat in chats)
    assert f"tokens       {count}, of them to learn" in done.stdout
    answer = next(message["content"] for message in chats[0] if message["role"] == "assistant")
    shown = re.findall("⟦(.*?)⟧", done.stdout, re.S)
    assert shown[0].startswith(answer[:30]) and shown[0].rstrip().endswith("<|im_end|>")
    assert "2 examples are also in the training data" in done.stderr
    marks = [mark.text for mark in ET.parse(page).getroot().iter(f"{HTML}mark")]
    assert marks[0] == "Marked" and marks[1:] == shown


def test_the_usual_mistakes_are_told(program, tiny, tmp_path):
    rows = [dict(text="the king went out"), dict(text="the king went out"), dict(text="and " * 400), dict(text="a")]
    path = tmp_path / "d.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    said = call(program, "data", "--model", tiny, "--data", path, "--no-end", "--batch-size", 2).stderr
    for part in ["3 examples have no end to learn", "1 example is there twice or more", "the longest example has"]:
        assert part in said, said


def test_pairs_are_shown_as_two_answers(program, tiny, tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps(dict(prompt="the king", chosen=" went out", rejected=" came in")) + "\n")
    shown = call(program, "data", "--model", tiny, "--data", path, "--objective", "dpo").stdout
    assert re.search(r"line 1, chosen: \d+ tokens, \d+ to learn\nthe king⟦ went out.*?⟧\n\nline 1, rejected: .*?\nthe king⟦ came in.*?⟧", shown, re.S), shown
