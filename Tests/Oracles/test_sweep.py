"""`lora-vk sweep` on the tiny model: what it writes, runs that are cut short, processes that share, runs that diverge."""
import csv, json, math, re, signal, sqlite3, subprocess, time
import xml.etree.ElementTree as ET

import pytest

SVG = "{http://www.w3.org/2000/svg}"
HTML = "{http://www.w3.org/1999/xhtml}"
GRID = ("--init", "kaiming,init-b", "--lr", "1e-3...1e-1:3", "--seed", "1..2", "--rank", "4", "--steps", "4", "--batch-size", "2")


@pytest.fixture
def command(program, tiny, tmp_path, shanties):
    data = tmp_path / "data"
    data.mkdir()
    lines = shanties.read_text().splitlines()
    (data / "train.jsonl").write_text("\n".join(lines[:12]))
    (data / "valid.jsonl").write_text("\n".join(lines[12:18]))
    return [program.path, "sweep", "--model", tiny, "--data", data, "--max-length", "64"]


def run(command, out, *words, code=0):
    done = subprocess.run([*map(str, command), "--out", str(out), *words], capture_output=True, text=True, timeout=300)
    assert done.returncode == code, done.stderr
    return done


def results(out):
    """The rows of results.csv by run, without how long they took."""
    with open(out / "results.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    return {(row["method"], row["init"], row["rank"], row["lr"], row["seed"]): {**row, "seconds_per_step": None} for row in rows}


def database(out):
    connection = sqlite3.connect(out / "sweep.sqlite")
    runs = connection.execute(
        "SELECT method, init, rank, lr, seed, state, diverged_at, train_loss, validation_loss, accuracy, parameters, example_accuracy, memory_bytes"
        " FROM runs ORDER BY id"
    ).fetchall()
    steps = connection.execute("SELECT run, step, loss, lr, grad_norm, validation_loss, z_a, z_b FROM steps ORDER BY run, step").fetchall()
    connection.close()
    return runs, steps


def test_the_report_holds_what_the_runs_found(command, program, tmp_path):
    out = tmp_path / "sweep"
    printed = run(command, out, *GRID).stdout
    rows = results(out)
    assert len(rows) == 12 and all(row["state"] == "finished" for row in rows.values())
    assert len({row["validation_loss"] for row in rows.values()}) == 12
    runs, steps = database(out)
    assert len(runs) == 12 and len(steps) == 48

    with open(out / "curves.csv", newline="") as file:
        curves = list(csv.DictReader(file))
    assert [(float(row["loss"]), float(row["grad_norm"])) for row in curves] == [(step[2], step[4]) for step in steps]

    best = {}
    for init in ("kaiming", "init-b"):
        means = {}
        for key, row in rows.items():
            if key[1] == init:
                means.setdefault(float(key[3]), []).append(float(row["validation_loss"]))
        best[init] = min((sum(losses) / len(losses), rate) for rate, losses in means.items())
    tree = ET.parse(out / "report.html")
    plots = tree.findall(f".//{SVG}svg")
    assert len(plots) == 3 and len(plots[0].findall(f"{SVG}circle[@class='best']")) == 2
    tables = [[[cell.text or "" for cell in line] for line in table] for table in tree.findall(f".//{HTML}table")]
    for line in tables[0][1:]:
        loss, rate = best[line[0].split(", ")[1]]
        assert math.isclose(float(line[1]), rate, rel_tol=1e-5) and math.isclose(float(line[2]), loss, rel_tol=1e-5)
    for init, (loss, rate) in best.items():
        assert f"lora, {init}, rank 4: best lr {rate:.4g}, loss {loss:.4g}" in printed
    assert len(tables[1]) == 13 and ["steps", "4"] in tables[2]
    assert ET.parse(out / "loss.svg").getroot().tag == f"{SVG}svg" and not (out / "validation.svg").exists()
    assert "<script" not in (out / "report.html").read_text()


def test_a_run_of_a_sweep_is_the_run_of_train(command, program, tmp_path):
    run(command, tmp_path / "sweep", "--init", "init-b", "--lr", "3e-3", "--seed", "5", "--rank", "4", "--steps", "4")
    model, data = command[3], command[5]
    metrics = program.train(
        tmp_path / "adapter", "--model", model, "--data", data, "--max-length", "64",
        "--init", "init-b", "--lr", "3e-3", "--seed", "5", "--rank", "4", "--steps", "4")
    runs, steps = database(tmp_path / "sweep")
    assert [step[2] for step in steps] == [line["loss"] for line in metrics]
    assert runs[0][8] == metrics[-1]["validation_loss"]


def test_looking_on_the_way_changes_no_bit_of_the_training(command, tmp_path):
    words = ("--init", "kaiming,init-b", "--lr", "1e-2", "--rank", "4", "--steps", "4", "--batch-size", "2")
    run(command, tmp_path / "end", *words)
    run(command, tmp_path / "often", *words, "--eval-every", "2")
    (ends, end), (oftens, often) = database(tmp_path / "end"), database(tmp_path / "often")
    assert ends == oftens and [step[:5] for step in end] == [step[:5] for step in often]
    assert [step[5] is not None for step in end] == [False, False, False, True] * 2
    assert [[value is not None for value in step[5:]] for step in often] == [[False] * 3, [True] * 3] * 4
    assert [step[5:] for step in end[3::4]] == [step[5:] for step in often[3::4]]
    assert all(step[6] > 0 and step[7] > 0 for step in often if step[6] is not None)
    assert [step[5] for step in often[3::4]] == [run[8] for run in oftens]
    plots = ET.parse(tmp_path / "often" / "report.html").findall(f".//{SVG}svg")
    assert [plot.find(f"{SVG}title").text.split(" at ")[0] for plot in plots[3:]] == ["Validation", "‖A·x‖", "‖B·A·x‖"]


def test_a_killed_sweep_goes_on_to_the_same_bits(command, tmp_path):
    run(command, tmp_path / "whole", *GRID)
    words = [*map(str, command), "--out", str(tmp_path / "cut"), *GRID]
    process = subprocess.Popen(words, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (tmp_path / "cut" / "results.csv").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    done = len(results(tmp_path / "cut"))
    assert 0 < done < 12
    again = run(command, tmp_path / "cut", *GRID).stderr
    assert len(re.findall(r"seed \d+  loss", again)) in (12 - done, 11 - done)
    assert database(tmp_path / "cut") == database(tmp_path / "whole")
    assert "seed" not in run(command, tmp_path / "cut", *GRID).stderr, "what is done is not done again"


def test_two_processes_share_the_runs(command, tmp_path):
    run(command, tmp_path / "alone", *GRID)
    words = [*map(str, command), "--out", str(tmp_path / "shared"), *GRID]
    both = [subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) for _ in range(2)]
    told = [process.communicate(timeout=300)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    counts = [len(re.findall(r"seed \d+  loss", text)) for text in told]
    assert sum(counts) == 12 and min(counts) > 0, counts
    assert database(tmp_path / "shared") == database(tmp_path / "alone")
    assert results(tmp_path / "shared") == results(tmp_path / "alone")


def test_divergence_is_a_result(command, tmp_path):
    words = ("--lr", "1e-3,1e30", "--rank", "4", "--steps", "6", "--max-grad-norm", "0", "--warmup", "0")
    told = run(command, tmp_path / "sweep", *words).stderr
    rows = results(tmp_path / "sweep")
    wild = rows[("lora", "kaiming", "4", "1e+30", "0")]
    assert wild["state"] == "diverged" and 1 < int(wild["diverged_at"]) <= 6 and wild["validation_loss"] == ""
    assert f"diverged at step {wild['diverged_at']}" in told
    tree = ET.parse(tmp_path / "sweep" / "report.html")
    assert [text.text for text in tree.iter(f"{SVG}text")].count("×") == 2, "in the figures of loss and of accuracy"


def test_a_grid_file_and_what_is_refused(command, tmp_path):
    grid = tmp_path / "grid.json"
    grid.write_text(json.dumps({"lr": [1e-3, 1e-2], "method": ["lora", "rslora"], "rank": 4}))
    out = tmp_path / "sweep"
    run(command, out, "--grid", str(grid), "--lr", "2e-3", "--steps", "1")
    assert [key[0] for key in results(out)] == ["lora", "rslora"] and {key[3] for key in results(out)} == {"0.002"}
    assert "begun with steps 1, not 2" in run(command, out, "--steps", "2", code=1).stderr
    (out / "sweep.sqlite").write_bytes(b"something else that is no database, and is long enough to have a header")
    assert "file is not a database; move it away" in run(command, out, "--steps", "1", code=1).stderr
    assert "'x' is no positive number" in run(command, tmp_path / "new", "--lr", "x", code=1).stderr
    assert not (tmp_path / "new").exists()
