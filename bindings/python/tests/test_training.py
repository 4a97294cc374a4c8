"""Models, adapters and trainers: transformers' tokens and logits, runs, callbacks, generation."""
import dataclasses, json, signal, threading, time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from transformers import AutoTokenizer

import loravk
from conftest import GOLDEN, ROOT, TINY, run_python

TEXT = "The old captain sailed to sea, and never came home again."
OPENING = "Who sails"
SHANTIES = ROOT / "Examples" / "tiny" / "valid.jsonl"


def test_logits_are_the_models(tiny):
    tokens = np.load(GOLDEN / "tiny" / "initA" / "tokens.npy")[0, :1]
    wanted = np.load(GOLDEN / "tiny" / "base_logits.npy")
    logits = tiny.logits(tokens)
    assert logits.shape == (1, *wanted.shape) and np.abs(logits[0] - wanted).max() <= 1e-4 * np.abs(wanted).max()
    assert tiny.logits(tokens[0]).shape == logits.shape
    assert tiny.evaluate(tokens).correct == (wanted[:-1].argmax(-1) == tokens[0, 1:]).sum()


def test_tokens_are_those_of_transformers(tiny):
    theirs = AutoTokenizer.from_pretrained(TINY)
    for text in (TEXT, "", "a\0b", "Grüße, 世界 🏴‍☠️", " two  spaces\n\n"):
        ids = tiny.tokenizer.encode(text)
        assert ids == theirs.encode(text) and tiny.tokenizer.decode(ids) == theirs.decode(ids)
    assert loravk.Tokenizer.load(TINY).encode(TEXT) == tiny.tokenizer.encode(TEXT)
    assert tiny.tokenizer.vocab_size <= tiny.info.vocab_size and tiny.tokenizer.eos_id == theirs.eos_token_id
    messages = [{"role": "user", "content": "Who sails?"}]
    wanted = theirs.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert tiny.tokenizer.apply_chat_template(messages) == wanted


def trainer_for(model, **options):
    return loravk.Trainer(model, loravk.Adapter.create(model, seed=3), learning_rate=2e-3, **options)


def test_labels_that_do_not_count(tiny):
    tokens = np.array([tiny.tokenizer.encode(TEXT)] * 2)
    labels = tokens.copy()
    labels[:, :5] = -100
    assert trainer_for(tiny).step(tokens, labels).counted_tokens == labels[:, 5:].size
    whole, part = tiny.evaluate(tokens[:1]), tiny.evaluate(tokens, labels)
    assert part.counted_tokens == 2 * (whole.counted_tokens - 4)


def test_a_step_in_parts_is_the_step(tiny):
    rows = np.array([tiny.tokenizer.encode(TEXT), tiny.tokenizer.encode(TEXT)[::-1]])
    whole, parts = trainer_for(tiny), trainer_for(tiny)
    for _ in range(3):
        wanted = whole.step(rows)
        counted = rows.size - len(rows)
        losses = [parts.forward_backward(row, divisor=counted).loss for row in rows]
        assert np.mean(losses) == pytest.approx(wanted.loss, rel=1e-5)
        assert parts.apply() == pytest.approx(wanted.grad_norm, rel=1e-4)
    for name, values in whole.adapter.parameters().items():
        assert np.abs(parts.adapter.parameters()[name] - values).max() <= 1e-4


def test_gradients_can_be_replaced_between_backward_and_step(tiny):
    trainer = trainer_for(tiny)
    before = trainer.adapter.parameters()
    trainer.forward_backward(tiny.tokenizer.encode(TEXT))
    gradients = trainer.adapter.gradients()
    assert any(values.any() for values in gradients.values())
    trainer.adapter.set_gradients({name: np.zeros_like(values) for name, values in gradients.items()})
    assert trainer.apply() == 0
    assert all(np.array_equal(values, before[name]) for name, values in trainer.adapter.parameters().items())
    name = next(iter(gradients))
    trainer.adapter.set_gradients({name: np.full_like(gradients[name], np.nan)})
    with pytest.raises(loravk.DivergedError):
        trainer.apply()
    assert isinstance(trainer.last_error, loravk.DivergedError)
    with pytest.raises(loravk.InvalidArgumentError, match="no 'nonsense'"):
        trainer.adapter.set_parameters({"nonsense": gradients[name]})
    with pytest.raises(loravk.InvalidArgumentError, match="shape"):
        trainer.adapter.set_parameters({name: gradients[name].T})


def test_adapters_come_back_from_their_files(tiny, tmp_path):
    adapter = loravk.Adapter.create(tiny, 4, 8, ["q_proj", "down_proj"], seed=5)
    rng = np.random.default_rng(0)
    adapter.set_parameters({name: rng.standard_normal(shape) * 0.05 for name, shape in adapter.shapes.items()})
    adapter.save(tmp_path / "adapter")
    wanted = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    loaded = loravk.Adapter.load(tiny, tmp_path / "adapter")
    assert wanted.keys() == adapter.parameters().keys() == loaded.shapes.keys()
    for name, values in loaded.parameters().items():
        assert np.array_equal(values, wanted[name])
    tokens = tiny.tokenizer.encode(TEXT)
    assert np.array_equal(tiny.logits(tokens, adapter), tiny.logits(tokens, loaded))
    assert not np.array_equal(tiny.logits(tokens, adapter), tiny.logits(tokens))


@pytest.mark.parametrize("options", [
    *({"method": name} for name in [
        "rslora", "lora+:ratio=4", "lora-fa", "dora", "delora", "allora", "rocoft", "rocoft-columns", "nora+", "vera"]),
    *({"init": name} for name in [
        "gaussian", "init-b", "init-b-gaussian", "pissa", "olora", "orthogonal", "nora", "eva:samples=4", "lora-ga", "spectral"])],
    ids=str)
def test_every_method_and_start_trains_and_comes_back(tiny, tmp_path, options):
    if options.get("init", "").startswith(("eva", "lora-ga", "spectral")):
        with pytest.raises(loravk.Error, match="training data"):
            loravk.Adapter.create(tiny, 4, **options)
        options = {**options, "data": TINY.parent / "train.jsonl", "max_tokens": 32}
    adapter = loravk.Adapter.create(tiny, 4, 8, ["q_proj", "v_proj"], **options)
    trainer = loravk.Trainer(tiny, adapter, learning_rate=1e-3)
    tokens = tiny.tokenizer.encode(TEXT)
    losses = [trainer.step(tokens).loss for _ in range(4)]
    assert losses[-1] < losses[0]
    adapter.save(tmp_path / "adapter")
    wanted = tiny.logits(tokens, adapter)
    assert np.allclose(tiny.logits(tokens, loravk.Adapter.load(tiny, tmp_path / "adapter")), wanted, atol=1e-4)


def test_a_run_reports_saves_and_learns(tiny, tmp_path):
    trainer, history = trainer_for(tiny, max_grad_norm=1), loravk.History()
    result = trainer.fit(SHANTIES, 12, batch_size=4, warmup_steps=2, output=tmp_path, on_progress=history)
    assert (result.steps, result.stopped, trainer.steps, history.steps) == (12, False, 12, list(range(1, 13)))
    assert result.loss == history.losses[-1] < history.losses[0]
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["loss"] for line in lines if "loss" in line] == pytest.approx(history.losses)
    assert loravk.Adapter.load(tiny, tmp_path).shapes == trainer.adapter.shapes
    before, after = tiny.evaluate_data(SHANTIES), tiny.evaluate_data(SHANTIES, trainer.adapter)
    assert after.loss < before.loss and after.examples == len(SHANTIES.read_text().splitlines())


def test_runs_are_as_long_as_epochs_say(tiny):
    lines = len(SHANTIES.read_text().splitlines())
    rates = []
    result = trainer_for(tiny).fit(
        SHANTIES, epochs=1.5, batch_size=2, accumulation=2, warmup_steps=-1, schedule="constant",
        on_progress=lambda progress: rates.append(progress.learning_rate))
    assert result.steps == -(-lines * 3 // 8)  # rounded up
    assert sum(rate < 2e-3 * 0.999 for rate in rates) == max(0, result.steps // 20 - 1)
    for epochs in (0, -1, float("nan"), 1e30):
        with pytest.raises(loravk.InvalidArgumentError, match="epochs"):
            trainer_for(tiny).fit(SHANTIES, epochs=epochs)


def same_bits(one, other):
    return all(np.array_equal(values, other[name]) for name, values in one.items())


def test_a_loop_goes_on_from_its_state_to_the_same_bits(tiny, tmp_path):
    def made():
        adapter = loravk.Adapter.create(tiny, 4, 8, seed=3, dropout=0.1)
        return loravk.Trainer(tiny, adapter, learning_rate=2e-3, max_grad_norm=1, weight_decay=0.01, seed=9)

    rows = [tiny.tokenizer.encode(TEXT)[start:start + 12] for start in range(6)]
    whole = made()
    wanted = [whole.step(row).loss for row in rows]
    first = made()
    for row in rows[:3]:
        first.step(row)
    first.save_state(tmp_path / "state")
    second = made()
    second.step(rows[4])
    second.load_state(tmp_path / "state")
    assert second.steps == 3
    before = second.adapter.parameters()
    (tmp_path / "cut").write_bytes((tmp_path / "state").read_bytes()[:-100])
    for bad in ("cut", "none"):
        with pytest.raises(loravk.FileError):
            second.load_state(tmp_path / bad)
    with pytest.raises(loravk.FileError, match="other options"):
        trainer_for(tiny).load_state(tmp_path / "state")
    assert same_bits(second.adapter.parameters(), before)
    assert load_file(tmp_path / "state").keys() >= before.keys()
    assert [second.step(row).loss for row in rows[3:]] == wanted[3:]
    assert same_bits(second.adapter.parameters(), whole.adapter.parameters())


def test_a_run_that_was_stopped_goes_on_to_the_same_bits(tiny, tmp_path):
    def run(folder, stop=None, **options):
        trainer = loravk.Trainer(tiny, loravk.Adapter.create(tiny, 4, 8, seed=3, dropout=0.1), learning_rate=2e-3)
        history = loravk.History()

        def progressed(progress):
            history(progress)
            return progress.step != stop

        result = trainer.fit(
            SHANTIES, 8, batch_size=2, accumulation=2, warmup_steps=2, output=tmp_path / folder, on_progress=progressed, **options)
        return result, history, trainer.adapter.parameters()

    result, wanted, parameters = run("whole")
    part, before, _ = run("parts", stop=3)
    assert part.stopped and (tmp_path / "parts" / "training_state.safetensors").exists()
    with pytest.raises(loravk.FileError, match="resume"):
        run("parts")
    with pytest.raises(loravk.FileError, match="seed"):
        run("parts", resume=True, seed=1)
    with pytest.raises(loravk.FileError, match="tokens of a pass all there, 64 here"):
        run("parts", resume=True, tokens_per_pass=64)
    with pytest.raises(loravk.InvalidArgumentError, match="output folder"):
        trainer_for(tiny).fit(SHANTIES, resume=True)
    part, after, resumed = run("parts", resume=True)
    assert (part.steps, part.stopped, after.steps) == (8, False, [4, 5, 6, 7, 8])
    assert before.losses + after.losses == wanted.losses and same_bits(resumed, parameters)
    assert sorted(path.name for path in (tmp_path / "parts").iterdir()) == sorted(
        path.name for path in (tmp_path / "whole").iterdir())
    assert run("anew", resume=True)[0].loss == result.loss


def test_evaluations_tell_how_far_they_are_and_can_be_given_up(tiny):
    told, lines = [], len(SHANTIES.read_text().splitlines())
    result = tiny.evaluate_data(SHANTIES, max_tokens=64, on_progress=lambda *done: told.append(done))
    assert told[-1] == (lines, lines) and told == sorted(told) and 0 <= result.correct_examples <= result.examples
    assert result == tiny.evaluate_data(SHANTIES, max_tokens=64)
    with pytest.raises(loravk.InvalidStateError, match="gave up"):
        tiny.evaluate_data(SHANTIES, on_progress=lambda done, total: False)
    with pytest.raises(KeyboardInterrupt):
        tiny.evaluate_data(SHANTIES, on_progress=interrupted)


def test_features_are_those_of_the_adapter(tiny):
    """Of the first layer's q_proj: A and B times what a forward in numpy gives it."""
    tokens = np.array([(tiny.tokenizer.encode(TEXT) * 4)[:32]])
    adapter = loravk.Adapter.create(tiny, 4, 8, ["layers.0.self_attn.q_proj"], seed=5)
    assert tiny.feature_norms(tokens, adapter).z_b == 0  # B is zero
    rng = np.random.default_rng(0)
    adapter.set_parameters({name: rng.standard_normal(shape) for name, shape in adapter.shapes.items()})
    a, b = adapter.parameters().values()
    weights = load_file(TINY / "model.safetensors")
    config = json.loads((TINY / "config.json").read_text())
    x = weights["model.embed_tokens.weight"].astype("f8")[tokens[0]]
    x = x / np.sqrt((x**2).mean(-1, keepdims=True) + config["rms_norm_eps"]) * weights["model.layers.0.input_layernorm.weight"]
    z_a = x @ a.T
    norms = tiny.feature_norms(tokens, adapter)
    for found, z in ((norms.z_a, z_a), (norms.z_b, z_a @ b.T)):
        assert found == pytest.approx(np.sqrt((z**2).sum(-1).mean()), rel=1e-4)
    with pytest.raises(loravk.InvalidArgumentError, match="too few"):
        tiny.feature_norms(tokens[:, :8], adapter)
    with pytest.raises(loravk.UnsupportedError, match="dora"):
        tiny.feature_norms(tokens, loravk.Adapter.create(tiny, method="dora"))


def test_what_is_in_files(tiny, tmp_path):
    info, tensors = loravk.inspect_model(TINY)
    weights = load_file(TINY / "model.safetensors")
    assert {each.name: each.shape for each in tensors} == {name: array.shape for name, array in weights.items()}
    assert info.parameters == tiny.info.parameters == sum(array.size for array in weights.values())
    assert info.weight_bytes == sum(array.nbytes for array in weights.values())
    assert {each.type.lower() for each in tensors} == {"f16"}
    assert info == dataclasses.replace(tiny.info, weight_bytes=info.weight_bytes)

    adapter = loravk.Adapter.create(tiny, 4, 10, ["q_proj"], method="dora", dropout=0.25, use_rslora=True)
    adapter.save(tmp_path)
    info, tensors = loravk.inspect_adapter(tmp_path)
    saved = load_file(tmp_path / "adapter_model.safetensors")
    assert {each.name: each.shape for each in tensors} == {name: array.shape for name, array in saved.items()}
    assert info.parameters == sum(array.size for array in saved.values())
    assert (info.rank, info.alpha, info.use_rslora, info.dropout, info.method) == (4, 10, True, 0.25, "dora")
    assert info == adapter.info == loravk.Adapter.load(tiny, tmp_path).info
    for function, path in ((loravk.inspect_model, tmp_path), (loravk.inspect_adapter, TINY)):
        with pytest.raises(loravk.FileError):
            function(path)


def test_a_device_is_tuned_once_for_all(tiny, tmp_path):
    """In processes of their own, with a cache of their own: what was measured stays."""
    measure = """if True:
        import sys, loravk, numpy as np
        context = loravk.Context()
        assert not context.is_tuned
        try:
            context.tune(sys.argv[1], tokens=[16], on_finding=lambda finding: False)
            raise AssertionError("was not given up")
        except loravk.InvalidStateError as error:
            assert "gave up" in str(error)
        assert not loravk.Context().is_tuned
        found = []
        context.tune(sys.argv[1], tokens=np.array([16]), matrix_units=False, on_finding=found.append)
        assert found and all(0 < each.rule_flops_per_second <= each.best_flops_per_second for each in found)
        assert loravk.Context().is_tuned and not context.is_tuned
        for tokens in ([15], [4097], [-1], []):
            try:
                context.tune(sys.argv[1], tokens=tokens)
                raise AssertionError("was taken")
            except loravk.InvalidArgumentError:
                pass
        print(loravk.Model.load(sys.argv[1], loravk.Context()).evaluate(list(range(40))).loss)
    """
    tuned = float(run_python(measure, TINY, LORAVK_CACHE_DIR=str(tmp_path)))
    assert tuned == pytest.approx(tiny.evaluate(list(range(40))).loss, rel=1e-5)
    forget = """if True:
        import loravk
        context = loravk.Context()
        assert context.is_tuned
        context.forget_tuning()
        assert not loravk.Context().is_tuned
    """
    run_python(forget, LORAVK_CACHE_DIR=str(tmp_path))


def test_examples_need_no_file(tiny):
    from_file, from_list = [], []
    examples = [json.loads(line) for line in SHANTIES.read_text().splitlines()]
    trainer_for(tiny).fit(SHANTIES, 3, on_progress=lambda progress: from_file.append(progress.loss))
    trainer_for(tiny).fit(examples, 3, on_progress=lambda progress: from_list.append(progress.loss))
    assert from_file == from_list and len(from_list) == 3
    trainer_for(tiny).fit([TEXT] * 4, 1, batch_size=2)


def test_answers_are_compared(tiny):
    """What a run of pairs tells, and that evaluating tells the same; a reference is the model itself before the first step."""
    pairs = [json.loads(line) for line in (ROOT / "Examples" / "tiny" / "pairs" / "train.jsonl").read_text().splitlines()[:8]]
    adapter = loravk.Adapter.create(tiny, rank=4)
    trainer = loravk.Trainer(tiny, adapter, learning_rate=2e-3, objective="dpo:beta=0.2")
    seen = []
    trainer.fit(pairs, 6, batch_size=8, validation=pairs, on_progress=seen.append, schedule="constant", warmup_steps=0)
    assert seen[0].loss == pytest.approx(np.log(2), abs=1e-5) and abs(seen[0].metrics["rewards/margins"]) < 1e-4
    assert seen[-1].metrics["rewards/accuracies"] == 1 and seen[-1].metrics["rewards/margins"] > 0.1
    assert seen[0].validation_metrics == {} and seen[-1].validation_metrics.keys() == seen[-1].metrics.keys()
    told = tiny.evaluate_data(pairs, adapter, objective="dpo:beta=0.2")
    assert told.metrics == pytest.approx(seen[-1].validation_metrics, rel=1e-5) and told.loss < seen[-1].loss
    assert tiny.evaluate_data(SHANTIES).metrics == {}
    judged = [dict(prompt=pair["prompt"], completion=pair["chosen"], label=index % 2 == 0) for index, pair in enumerate(pairs)]
    kto = loravk.Trainer(tiny, loravk.Adapter.create(tiny, rank=4), objective="kto")
    assert kto.fit(judged, 1).loss == pytest.approx(0.5, abs=1e-5)
    for wrong, reason in [
        (lambda: trainer.step([[1, 2, 3]]), "learns from pairs of a chosen and a rejected answer"),
        (lambda: trainer.fit([TEXT], 1), "expected 'chosen' and 'rejected'"),
        (lambda: trainer.fit(pairs, 1, format="chat"), "rows of the format chat are texts and answers"),
        (lambda: loravk.Trainer(tiny, adapter, objective="dpo:gamma=1"), "takes no option 'gamma'"),
        (lambda: loravk.Trainer(tiny, adapter, objective="ppo"), "there is no objective 'ppo'"),
    ]:
        with pytest.raises(loravk.Error, match=reason):
            wrong()


def test_rows_of_different_lengths_are_not_padded(tiny):
    rows = [tiny.tokenizer.encode(TEXT)[:length] for length in (5, 12, 9)]
    padded = np.array([row + [0] * (12 - len(row)) for row in rows])
    labels = np.array([row + [-100] * (12 - len(row)) for row in rows])
    ragged, square = trainer_for(tiny), trainer_for(tiny)
    for _ in range(2):
        mine, theirs = ragged.step(rows), square.step(padded, labels)
        assert (mine.tokens, theirs.tokens) == (26, 36) and mine.counted_tokens == theirs.counted_tokens == 23
        assert mine.loss == pytest.approx(theirs.loss, rel=1e-5)
    assert tiny.evaluate(rows).loss == pytest.approx(tiny.evaluate(padded, labels).loss, rel=1e-6)
    logits, losses = tiny.logits(rows), tiny.token_losses(rows)
    assert [array.shape for array in logits] == [(len(row), tiny.info.vocab_size) for row in rows]
    for row, ours, loss in zip(rows, logits, losses):
        assert np.allclose(ours, tiny.logits(row)[0], atol=1e-4)
        wanted = np.log(np.exp(ours.astype(float)).sum(-1))[:-1] - ours[np.arange(len(row) - 1), row[1:]]
        assert loss[0] == 0 and np.allclose(loss[1:], wanted, atol=1e-4)
    assert np.array(losses[1]).tolist() == tiny.token_losses([rows[1]])[0].tolist()
    some = [[-100] * (len(row) - 1) + row[-1:] for row in rows]
    assert [np.count_nonzero(each) for each in tiny.token_losses(rows, some)] == [1, 1, 1]
    with pytest.raises(loravk.InvalidArgumentError, match="labels have the lengths"):
        ragged.step(rows, padded)


class Stop(Exception):
    pass


def test_a_callback_that_raises_stops_the_run_and_is_seen(tiny, tmp_path):
    trainer, seen = trainer_for(tiny), []

    def raising(progress):
        seen.append(progress.step)
        if progress.step == 3:
            raise Stop("enough")

    with pytest.raises(Stop, match="enough"):
        trainer.fit(SHANTIES, 50, batch_size=2, output=tmp_path, on_progress=raising)
    assert seen == [1, 2, 3] and trainer.steps == 3
    saved = loravk.Adapter.load(tiny, tmp_path).parameters()
    assert all(np.array_equal(values, saved[name]) for name, values in trainer.adapter.parameters().items())
    assert trainer.fit(SHANTIES, 2, batch_size=2).steps == 2

    def raising_text(piece):
        raise Stop

    with pytest.raises(Stop):
        tiny.generate(OPENING, on_token=raising_text)

    def raising_load(done, total):
        raise Stop

    with pytest.raises(Stop):
        loravk.Model.load(TINY, on_progress=raising_load)
    with pytest.raises(loravk.InvalidStateError):
        loravk.Model.load(TINY, on_progress=lambda done, total: False)


def test_runs_can_be_stopped(tiny):
    trainer = trainer_for(tiny)
    assert trainer.fit(SHANTIES, 50, batch_size=2, on_progress=lambda progress: progress.step < 2).stopped
    stopper = threading.Thread(target=trainer.request_stop)

    def start(progress):
        if progress.step == 1:
            stopper.start()
            stopper.join()

    assert trainer.fit(SHANTIES, 50, batch_size=2, on_progress=start).steps == 1


@pytest.mark.parametrize("delay", [0, 10])
def test_what_a_signal_raises_stops_the_run(tiny, delay):
    """Ctrl-C: while the library works, and while a callback of ours does."""

    def interrupt(progress):
        if progress.step == 2:
            signal.setitimer(signal.ITIMER_REAL, 0.02)
            time.sleep(delay)

    trainer = trainer_for(tiny)
    handler = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            trainer.fit(SHANTIES, 200, batch_size=2, on_progress=interrupt)
        assert signal.getsignal(signal.SIGALRM) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGALRM, handler)
    assert 2 <= trainer.steps < 100
    assert trainer.fit(SHANTIES, 1, batch_size=2).steps == 1


def test_a_trainer_in_a_run_is_busy(tiny):
    trainer, errors = trainer_for(tiny), []

    def meddle(progress):
        try:
            trainer.step(tiny.tokenizer.encode(TEXT))
        except loravk.BusyError as error:
            errors.append(error)
        assert tiny.logits(tiny.tokenizer.encode(TEXT)).shape[-1] == tiny.info.vocab_size
        trainer.model.tokenizer.close()
        del tiny.tokenizer

    trainer.fit(SHANTIES, 2, batch_size=2, on_progress=meddle)
    assert len(errors) == 2


def test_generation(tiny):
    ids = tiny.tokenizer.encode(OPENING)
    pieces = []
    text = tiny.generate(OPENING, max_tokens=12, on_token=pieces.append)
    assert text == "".join(pieces) == tiny.generate(ids, max_tokens=12)
    following = int(tiny.logits(ids)[0, -1].argmax())
    assert text.startswith(tiny.tokenizer.decode([following]))
    assert tiny.generate(ids, max_tokens=12, stop_tokens=[following]) == ""
    sampled = {tiny.generate(OPENING, max_tokens=12, temperature=1.0, seed=seed) for seed in (1, 1, 2)}
    assert len(sampled) == 2
    messages = [{"role": "user", "content": "Who sails?"}]
    wanted = tiny.tokenizer.encode(tiny.tokenizer.apply_chat_template(messages), add_special=False)
    assert tiny.generate(messages, max_tokens=8) == tiny.generate(wanted, max_tokens=8)
    adapter = loravk.Adapter.create(tiny, init="init-b")
    assert tiny.generate(OPENING, adapter, max_tokens=12) == text


def test_a_plan_touches_nothing(tiny):
    held = tiny.context.held_bytes
    small, large = (loravk.plan(TINY, *shape, context=tiny.context, rank=4) for shape in ((1, 32), (64, 64)))
    assert small.activation_bytes < large.activation_bytes and large.total_bytes > large.activation_bytes
    tight = loravk.plan(TINY, 64, 64, context=tiny.context, rank=4, budget_bytes=large.total_bytes - 1)
    assert tight.total_bytes < large.total_bytes and (tight.recomputed_blocks > 0 or tight.tokens_per_pass < 64 * 64)
    assert tiny.context.held_bytes == held
    with pytest.raises(loravk.OutOfMemoryError):
        loravk.plan(TINY, budget_bytes=1000)


def test_files_from_an_adapter(tiny, tmp_path):
    folder, told = tmp_path / "adapter", []
    loravk.Adapter.create(tiny, rank=4).save(folder)
    loravk.export_adapter(TINY, folder, tmp_path / "adapter.gguf", on_tensor=lambda *done: told.append(done))
    assert (tmp_path / "adapter.gguf").read_bytes()[:4] == b"GGUF" and told[-1][0] == told[-1][1]
    report = loravk.merge(TINY, folder, tmp_path / "merged")
    assert report.modules > 0 and (tmp_path / "merged" / "model.safetensors").exists()
    with pytest.raises(KeyboardInterrupt):
        loravk.merge(TINY, folder, tmp_path / "given-up", on_tensor=interrupted)
    assert not (tmp_path / "given-up").exists()


def interrupted(done, total):
    raise KeyboardInterrupt


def test_what_models_refuse(tiny, tmp_path):
    with pytest.raises(loravk.FileError) as failure:
        loravk.Model.load(tmp_path / "none.gguf")
    assert failure.value.path == str(tmp_path / "none.gguf") and failure.value.status == 6
    with pytest.raises(loravk.InvalidArgumentError, match="auto"):
        loravk.Model.load(TINY, weights="q9")
    trainer = trainer_for(tiny)
    for tokens in ([[1, 2], []], [[1, 2], [3.5]], [[1.5, 2]], np.zeros((2, 2, 2), int), [], [[2**40, 1]], [[-1, 4]], [[10**6, 1]],
                   np.zeros((1, 100_000), int)):
        with pytest.raises(loravk.Error):
            trainer.step(tokens)
    with pytest.raises(loravk.InvalidArgumentError, match="labels"):
        trainer.step([[1, 2, 3]], [[1, 2]])
    with pytest.raises(loravk.InvalidArgumentError):
        trainer.forward_backward([1, 2, 3], divisor=-1)
    with pytest.raises(ValueError, match="rank"):
        loravk.Adapter.create(tiny, rank=2**32 + 8)
    with pytest.raises(loravk.InvalidArgumentError):
        loravk.Adapter.create(tiny, target_modules=["no_such_layer"])
    with pytest.raises(TypeError, match="ranks"):
        loravk.Adapter.create(tiny, ranks=4)
    with pytest.raises(loravk.InvalidArgumentError, match="no data"):
        loravk.Adapter.create(tiny, max_tokens=4)
    with pytest.raises(loravk.InvalidArgumentError, match="NUL"):
        loravk.Adapter.load(tiny, "a\0b")
    other = loravk.Model.load(TINY)
    with pytest.raises(loravk.InvalidArgumentError, match="another model"):
        loravk.Trainer(other, trainer.adapter)
    assert Path(tmp_path / "none.gguf").exists() is False


def test_a_run_ends_with_its_best_adapter_and_tells_what_happens(tiny, tmp_path):
    told = {"validated": [], "saved": [], "samples": []}
    trainer = trainer_for(tiny)
    trainer.learning_rate = 5e-2
    result = trainer.fit(
        [TEXT, "A storm came up."], 200, validation=["What the sea takes, it keeps."], batch_size=2, schedule="constant",
        warmup_steps=0, output=tmp_path / "out", save_every=3, validate_every=2, keep_best=True, patience=3,
        keep_checkpoints=1, samples=["The old captain"], sample_tokens=4,
        on_validate=told["validated"].append, on_save=lambda step, folder: told["saved"].append((step, folder)),
        on_sample=lambda *sample: told["samples"].append(sample))
    losses = {done.step: done.validation_loss for done in told["validated"]}
    best = min(losses, key=losses.get)
    assert (result.ending, result.stopped, result.best_step) == (2, False, best) and result.steps == best + 6
    assert result.best_validation_loss == losses[best]
    assert [step for step, _ in told["saved"]][-1] == result.steps and told["saved"][0] == (3, str(tmp_path / "out"))
    assert [(step, prompt) for step, prompt, _ in told["samples"]] == [(step, "The old captain") for step in losses]
    assert [path.name for path in (tmp_path / "out").glob("checkpoint-*")] == [f"checkpoint-{(result.steps - 1) // 3 * 3}"]
    saved = load_file(tmp_path / "out" / "adapter_model.safetensors")
    assert all((values == saved[name]).all() for name, values in trainer.adapter.parameters().items())
    with pytest.raises(loravk.Error, match="there is no validation data"):
        trainer_for(tiny).fit([TEXT], 2, keep_best=True)
    stopped = trainer_for(tiny).fit([TEXT], 10**6, output=tmp_path / "time", max_seconds=0.5)
    assert (stopped.ending, stopped.stopped) == (3, True) and 0 < stopped.steps < 10**6
