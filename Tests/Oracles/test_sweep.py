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
        "SELECT method, init, rank, lr, seed, state, diverged_at, train_loss, validation_loss, token_accuracy, parameters, example_accuracy,"
        " memory_bytes, options, pruned_at FROM runs ORDER BY id"
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
    assert len(plots) == 4 and len(plots[0].findall(f"{SVG}circle[@class='best']")) == 2
    tables = [[[cell.text or "" for cell in line] for line in table] for table in tree.findall(f".//{HTML}table")]
    for line in tables[0][1:]:
        loss, rate = best[line[0]]
        assert math.isclose(float(line[1]), rate, rel_tol=1e-5) and math.isclose(float(line[2]), loss, rel_tol=1e-5)
    for init, (loss, rate) in best.items():
        assert f"lora, {init}, rank 4: best lr {rate:.4g}, loss {loss:.4g}" in printed
    names = [table[0] for table in tables]
    assert [name[1] for name in names] == ["lr", "difference, mean", "parameters", "lr", "value"], "kaiming against init-b by their two seeds"
    assert len(tables[3]) == 13 and ["steps", "4"] in tables[4]
    row = next(iter(rows.values()))
    assert row["steps"] == "4" and row["batch-size"] == "2" and row["model"] == str(command[3]) and row["warmup"] == ""
    assert tree.find(f".//{HTML}h1").text == "Sweep of model on data"
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
    assert [plot.find(f"{SVG}title").text.split(" at ")[0] for plot in plots[4:]] == ["Validation", "‖A·x‖", "‖B·A·x‖"]


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
    assert [text.text for text in tree.iter(f"{SVG}text")].count("×") == 3, "in the figures of the loss and of what is right"


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


def test_the_best_adapter_is_kept_and_can_be_made_again(command, program, tmp_path):
    out = tmp_path / "sweep"
    told = run(command, out, *GRID, "--axis", "alpha=4,16", "--batch-size", "3").stderr
    assert f"the best run's adapter is {out}/best" in told
    rows = list(csv.DictReader(open(out / "results.csv", newline="")))
    assert len(rows) == 24 and {row["alpha"] for row in rows} == {"4", "16"} and len({row["validation_loss"] for row in rows}) == 24
    best = min(rows, key=lambda row: float(row["validation_loss"]))
    options = json.loads((out / "best" / "options.json").read_text())
    assert {name: str(options[name]) for name in ("method", "lr", "alpha", "seed", "rank")} == {
        name: best[name] for name in ("method", "lr", "alpha", "seed", "rank")}
    assert json.loads((out / "best" / "result.json").read_text())["validation_loss"] == float(best["validation_loss"])
    model, data = command[3], command[5]
    program.run("train", "--config", out / "best" / "options.json", "--out", tmp_path / "again")
    weights = "adapter_model.safetensors"
    assert (tmp_path / "again" / weights).read_bytes() == (out / "best" / weights).read_bytes()
    losses = program.eval("--model", model, "--adapter", out / "best", "--data", data / "valid.jsonl", "--max-length", "64")
    assert math.isclose(losses["loss"], float(best["validation_loss"]), rel_tol=1e-3)

    folders = sorted((out / "runs").iterdir())
    assert len(folders) == 24 and all(sorted(file.name for file in folder.iterdir() if file.name[0] != ".") == ["metrics.jsonl", "options.json"]
                                      for folder in folders)
    program.run("report", *folders[:3], "--out", tmp_path / "runs.html")
    page = ET.parse(tmp_path / "runs.html")
    assert folders[0].name in "".join(page.getroot().itertext())
    program.run("report", out, "--out", tmp_path / "all.html")
    assert len(ET.parse(tmp_path / "all.html").findall(f".//{HTML}table")[0]) == 25


def test_points_flags_and_exclusions(command, tmp_path):
    out = tmp_path / "sweep"
    run(command, out, "--point", "method=lora", "--point", "method=dora,lr=2e-3", "--axis", "rslora=true,false", "--lr", "1e-3,1e-2", "--rank", "4",
        "--steps", "2", "--exclude", "method=dora,rslora=true", "--exclude", "lr=0.01,rslora=true")
    rows = list(csv.DictReader(open(out / "results.csv", newline="")))
    assert [(row["method"], row["lr"], row["rslora"]) for row in rows] == [
        ("lora", "0.001", "true"), ("lora", "0.001", "false"), ("lora", "0.01", "false"), ("dora", "0.002", "false")]
    refused = {
        "--axis=speed=1": "'speed' is no axis", "--axis=batch-size=x": "'x' is invalid for '--batch-size", "--axis=rslora=maybe": "neither true nor false",
        "--axis=objective=chess": "there is no objective 'chess'", "--prune=luck": "there is no way of pruning 'luck'", "--axis=dropout=2": "dropout is 2",
    }
    for word, reason in refused.items():
        assert reason in run(command, tmp_path / "none", word, code=1).stderr
    assert "leave one away" in run(command, tmp_path / "none", "--prune", "halving", "--part", "1/2", code=1).stderr
    assert not (tmp_path / "none").exists()


HALVING = ("--lr", "1e-3...1e-1:6", "--seed", "1..2", "--rank", "4", "--steps", "8", "--batch-size", "2", "--prune", "halving:factor=2,rungs=2")


def test_halving_goes_on_with_the_best(command, tmp_path):
    out = tmp_path / "sweep"
    told = run(command, out, *HALVING).stderr
    rows = list(csv.DictReader(open(out / "results.csv", newline="")))
    by_state = {state: [row for row in rows if row["state"] == state] for state in ("finished", "pruned")}
    assert len(by_state["finished"]) == 4, "of 6 rates 3 go on, then 2, with two seeds each"
    assert sorted(row["pruned_at"] for row in by_state["pruned"]) == ["2"] * 6 + ["4"] * 2
    assert "pruned at step 2" in told and not list((out / "runs").glob("*/*.safetensors"))
    lengths = {len(folder.joinpath("metrics.jsonl").read_text().splitlines()) for folder in (out / "runs").iterdir()}
    assert lengths == {2, 4, 8}
    # Who goes on is who was best; and what goes on is the run that never waited.
    at = {}
    for run_id, lr, rung, loss in sqlite3.connect(out / "sweep.sqlite").execute("SELECT run, lr, rung, loss FROM rungs JOIN runs ON run = id"):
        at.setdefault((rung, lr), []).append(loss)
    means = sorted((sum(losses) / 2, lr) for (rung, lr), losses in at.items() if rung == 0)
    assert {lr for rung, lr in at if rung == 1} == {lr for _, lr in means[:3]}
    whole = tmp_path / "whole"
    run(command, whole, *HALVING[:-2])
    losses = {key: row["validation_loss"] for key, row in results(whole).items()}
    for key, row in results(out).items():
        if row["state"] == "finished":
            assert row["validation_loss"] == losses[key]


def test_halving_is_shared_and_goes_on_to_the_same_bits(command, tmp_path):
    run(command, tmp_path / "alone", *HALVING)
    words = [*map(str, command), "--out", str(tmp_path / "shared"), *HALVING]
    deadline = time.monotonic() + 60
    process = subprocess.Popen(words, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    while not list((tmp_path / "shared").glob("runs/*/training_state.safetensors")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.wait()
    both = [subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) for _ in range(2)]
    told = [process.communicate(timeout=300)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    assert database(tmp_path / "shared") == database(tmp_path / "alone")
    for name in ("adapter_model.safetensors", "options.json", "result.json"):
        shared, alone = ((tmp_path / folder / "best" / name).read_bytes() for folder in ("shared", "alone"))
        assert shared == alone


def test_parts_are_merged_to_the_whole(command, program, tmp_path):
    run(command, tmp_path / "whole", *GRID)
    for part in "12":
        run(command, tmp_path / f"part{part}", *GRID, "--part", f"{part}/2")
    program.run("merge-sweeps", tmp_path / "part1", tmp_path / "part2", "--out", tmp_path / "all")
    assert results(tmp_path / "all") == results(tmp_path / "whole")
    weights = "best/adapter_model.safetensors"
    assert (tmp_path / "all" / weights).read_bytes() == (tmp_path / "whole" / weights).read_bytes()
    logs = [sorted(path.name for path in (tmp_path / folder / "runs").iterdir()) for folder in ("all", "whole")]
    assert logs[0] == logs[1] and len(logs[0]) == 12
    run(command, tmp_path / "other", *GRID[:-4], "--steps", "3", "--part", "1/12")
    assert "begun with steps 4, not 3" in program.run("merge-sweeps", tmp_path / "all", tmp_path / "other", "--out", tmp_path / "all2", fails=True)
    assert "holds no sweep" in program.run("merge-sweeps", tmp_path / "nothing", "--out", tmp_path / "all3", fails=True)
