"""Heads that say something of texts: created, trained, saved, loaded and asked."""
import numpy as np
import pytest

import loravk

ROWS = [{"text": text, "label": label} for text, label in [
    ("The sea is calm.", "calm"), ("A storm came up.", "rough"), ("No wind at all.", "calm"), ("Waves broke over the deck.", "rough")]]
TEXTS = [row["text"] for row in ROWS]


def trained(model, objective="classification", rows=ROWS, steps=30, **options):
    adapter = loravk.Adapter.create(model, rank=4, objective=objective, data=rows, **options)
    trainer = loravk.Trainer(model, adapter, learning_rate=5e-3, objective=objective)
    seen = []
    trainer.fit(rows, steps=steps, batch_size=4, on_progress=lambda progress: seen.append(progress))
    return adapter, seen


def test_a_classifier_learns_and_says_what_it_learned(tiny, tmp_path):
    adapter, seen = trained(tiny)
    assert adapter.labels == ("calm", "rough") and seen[-1].loss < 0.5 * seen[0].loss
    assert "base_model.model.score.weight" in adapter.shapes and set(seen[0].metrics) >= {"accuracy", "f1"}
    said = tiny.classify(TEXTS, adapter)
    assert [max(scores, key=scores.get) for scores in said] == [row["label"] for row in ROWS]
    assert all(sum(scores.values()) == pytest.approx(1) for scores in said)
    told = tiny.evaluate_data(ROWS, adapter, objective="classification")
    assert told.metrics["accuracy"] == 1 and told.loss == pytest.approx(
        -np.mean([np.log(scores[row["label"]]) for scores, row in zip(said, ROWS)]), rel=1e-3, abs=1e-6)
    adapter.save(tmp_path)
    again = loravk.Adapter.load(tiny, tmp_path)
    assert again.labels == adapter.labels and tiny.classify(TEXTS, again) == said


def test_scores_and_what_they_mean(tiny):
    adapter = loravk.Adapter.create(tiny, objective="multilabel", labels=["a", "b", "c"])
    tokens = [[5, 6, 7], [8, 9]]
    scores = tiny.scores(tokens, adapter)
    assert scores.shape == (2, 3) and np.ptp(scores) > 0
    np.testing.assert_allclose(tiny.predict(tokens, adapter), 1 / (1 + np.exp(-scores)), rtol=1e-5)
    numbers = loravk.Adapter.create(tiny, objective="regression:labels=2")
    np.testing.assert_array_equal(tiny.predict(tokens, numbers), tiny.scores(tokens, numbers))


def test_a_reward_model_prefers_what_it_learned(tiny):
    pairs = [{"prompt": "Who sails?", "chosen": f" {a}", "rejected": f" {b}"} for a, b in [("We do.", "Nobody."), ("The crew.", "No one.")]]
    adapter, seen = trained(tiny, "reward", pairs)
    assert adapter.labels == ("LABEL_0",) and seen[-1].metrics["accuracy"] == 1 and seen[-1].metrics["margin"] > 0.5


def test_what_does_not_fit_is_refused(tiny):
    plain, head = loravk.Adapter.create(tiny), loravk.Adapter.create(tiny, objective="classification:labels=2")
    assert plain.labels == () and len(head.labels) == 2
    for call, said in [
            (lambda: tiny.scores([[1, 2]], plain), "no head"),
            (lambda: loravk.Trainer(tiny, plain, objective="classification"), "needs an adapter with the head"),
            (lambda: loravk.Trainer(tiny, head), "trains none"),
            (lambda: loravk.Trainer(tiny, head, objective="regression"), "regression"),
            (lambda: loravk.Adapter.create(tiny, labels=["a"]), "config.objective trains none"),
            (lambda: loravk.Adapter.create(tiny, objective="classification:labels=1", labels=["a", "b"]), "wants 1"),
            (lambda: tiny.evaluate_data([{"text": "x", "label": "z"}], head, objective="classification"), "one of the labels")]:
        with pytest.raises(loravk.Error, match=said):
            call()
