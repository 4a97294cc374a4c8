"""Encoders and vectors of texts against transformers and PEFT: tiny random models of encoders.py, and all-MiniLM-L6-v2."""
import json, os
from pathlib import Path

import encoders
import loravk
import numpy as np
import pytest
import torch
from conftest import required
from peft import LoraConfig, PeftModel, get_peft_model
from tokenizers import pre_tokenizers
from transformers import AutoModel, AutoTokenizer

# A byte a token, by architectures.save_tokenizer.
BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False)
IDS = {text: id for id, text in enumerate(sorted(BYTES.alphabet()))}
TEXTS = ["The quick brown fox jumps over the lazy dog, twice.", "a", "no", "Half of them are short.", "x" * 64,
         "Windows of nine tokens see little of this one: it is long.", "To be, or not to be"]


def states(model, text):
    """(T, C): the last hidden states of one text."""
    ids = [IDS[byte] for word, _ in BYTES.pre_tokenize_str(text) for byte in word]
    return model(input_ids=torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long)).last_hidden_state[0]


def pooled(states, pooling):
    return {"mean": states.mean(0), "cls": states[0], "last": states[-1]}[pooling]


@torch.no_grad()
def wanted(model, texts, pooling):
    return np.stack([pooled(states(model, text), pooling).numpy() for text in texts])


def assert_close(got, wanted, tolerance=1e-4):
    assert got.shape == wanted.shape
    error = np.abs(got - wanted).max() / np.abs(wanted).max()
    assert error <= tolerance, f"the largest difference is {error:.2g} of the largest number; {tolerance:g} is allowed"


def with_adapter(model, seed=0):
    model = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="FEATURE_EXTRACTION",
                                             exclude_modules=["pooler.dense"]))
    random = torch.Generator().manual_seed(seed)
    for _, p in sorted(model.named_parameters()):
        if p.requires_grad:
            p.data = torch.randn(p.shape, generator=random) * 0.5 * p.shape[-1] ** -0.5
    return model.eval()


class Family:
    def __init__(self, name, folder):
        self.name, self.folder, self.adapter_folder = name, folder / name, folder / (name + "-adapter")
        self.base = encoders.make(name, self.folder)
        self.adapted = with_adapter(encoders.load(self.folder))
        self.adapted.save_pretrained(self.adapter_folder)
        self.model = loravk.Model.load(self.folder, weights="f32")


@pytest.fixture(scope="module", params=encoders.ALL)
def family(request, tmp_path_factory):
    torch.set_num_threads(1)
    return Family(request.param, tmp_path_factory.mktemp("encoders"))


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
def test_vectors_are_those_of_transformers(family, pooling):
    assert_close(family.model.embed(TEXTS, pooling=pooling, normalize=False), wanted(family.base, TEXTS, pooling))


def test_normalized_vectors_have_length_one(family):
    vectors = wanted(family.base, TEXTS, "mean")
    assert_close(family.model.embed(TEXTS, normalize=True), vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def test_adapters_are_those_of_peft(family, tmp_path):
    adapter = loravk.Adapter.load(family.model, family.adapter_folder)
    vectors = wanted(family.adapted, TEXTS, "mean")
    assert np.abs(vectors - wanted(family.base, TEXTS, "mean")).max() > 0.05, "the adapter does nothing"
    assert_close(family.model.embed(TEXTS, adapter, normalize=False), vectors)
    adapter.save(tmp_path)
    saved = PeftModel.from_pretrained(encoders.load(family.folder), tmp_path).eval()
    assert_close(wanted(saved, TEXTS, "mean"), vectors)


def test_merged_folder_is_the_adapted_model(family, program, tmp_path):
    program.run("merge", "--model", family.folder, "--adapter", family.adapter_folder, "--out", tmp_path / "merged", "--type", "f32")
    assert_close(wanted(encoders.load(tmp_path / "merged"), TEXTS, "mean"), wanted(family.adapted, TEXTS, "mean"))


def test_what_an_encoder_cannot_do_is_said(family, program):
    if "modernbert" not in family.name:
        with pytest.raises(loravk.Error, match="64"):
            family.model.evaluate(np.ones((1, 65), np.int32))
    with pytest.raises(loravk.Error, match="is an encoder"):
        family.model.generate([1, 2, 3], max_tokens=2)
    with pytest.raises(loravk.Error, match="is an encoder"):
        loravk.Trainer(family.model, loravk.Adapter.create(family.model, rank=2))


# ------------------------------------------------------------------------------------------------------------- Objectives

# Five: no multiple of four.
PAIRS = [dict(anchor=TEXTS[i], positive=TEXTS[-1 - i]) for i in range(3)] + [
    dict(anchor="other", positive="another"), dict(anchor="the last", positive="of all")]
TRIPLETS = [dict(row, negative=text) for row, text in zip(PAIRS, ["none", "of these", "is alike", "at all", "or so"])]
SCORED = [dict(sentence1=row["anchor"], sentence2=row["positive"], score=i / 4) for i, row in enumerate(PAIRS)]


def cosines(a, b):
    a, b = (torch.nn.functional.normalize(x, dim=1) for x in (a, b))
    return a @ b.T


def ranking(scale):
    def loss(columns):
        others = torch.cat(columns[1:])
        return torch.nn.functional.cross_entropy(scale * cosines(columns[0], others), torch.arange(len(columns[0])))
    return loss


def triplet(columns):
    a, b, c = columns
    return torch.relu((a - b).norm(dim=1) - (a - c).norm(dim=1) + 5).mean()


def scored(columns):
    scores = torch.tensor([row["score"] for row in SCORED])
    return torch.nn.functional.mse_loss(cosines(*columns).diagonal(), scores)


@pytest.mark.parametrize("objective, data, loss", [
    ("multiple-negatives", PAIRS, ranking(20)), ("multiple-negatives:scale=7", TRIPLETS, ranking(7)), ("cosine", SCORED, scored),
    ("triplet", TRIPLETS, triplet)])
def test_losses_and_gradients_are_those_of_pytorch(family, objective, data, loss):
    theirs = family.adapted
    theirs.zero_grad()
    keys = [key for key in data[0] if key != "score"]
    wanted = loss([torch.stack([pooled(states(theirs, row[key]), "mean") for row in data]) for key in keys])
    wanted.backward()
    adapter = loravk.Adapter.load(family.model, family.adapter_folder)
    assert family.model.evaluate_data(data, adapter, objective=objective).loss == pytest.approx(wanted.item(), rel=1e-4)
    before = adapter.parameters()
    # A step of gradient descent at rate 1 is the gradient.
    trainer = loravk.Trainer(family.model, adapter, learning_rate=1.0, weight_decay=0, max_grad_norm=0, optimizer="sgd:momentum=0",
                             objective=objective)
    history = loravk.History()
    trainer.fit(data, steps=1, batch_size=len(data), schedule="constant", warmup_steps=0, on_progress=history)
    assert history.losses[0] == pytest.approx(wanted.item(), rel=1e-4)
    after = adapter.parameters()
    gradients = {name.replace(".default", ""): p.grad.numpy() for name, p in theirs.named_parameters() if p.requires_grad}
    assert gradients.keys() == before.keys()
    for name, gradient in gradients.items():
        largest = np.abs(gradient).max()
        # Parameters are near 1: their difference has their rounding.
        assert np.abs(before[name] - after[name] - gradient).max() <= 1e-3 * largest + 3e-7, name


# -------------------------------------------------------------------------------------------------------- all-MiniLM-L6-v2

MIXED = Path(__file__).parents[1] / "TokenizerTests" / "Data" / "mixed.txt"


@pytest.fixture(scope="module")
def minilm():
    return required("LORAVK_TEST_MINILM")


def sentences():
    """Of all lengths; the longest are cut. No text for a program has a zero."""
    text = MIXED.read_bytes().decode().replace("\0", "")
    return ["A man is eating food.", "Ein Mädchen trägt ein Baby.", "",
            *(text[start:start + 90 * (1 + start % 17)] for start in range(0, 30000, 2100))]


@torch.no_grad()
def by_transformers(folder, texts):
    """As sentence-transformers does it: cut, the mean of the tokens, length 1."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    longest = json.loads((Path(folder) / "sentence_bert_config.json").read_text())["max_seq_length"]
    batch = tokenizer(texts, padding=True, truncation=True, max_length=longest, return_tensors="pt")
    states, mask = model(**batch).last_hidden_state, batch["attention_mask"][:, :, None]
    return torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1)).numpy()


def test_minilm_is_that_of_transformers(minilm, program, tmp_path):
    texts = sentences()
    expected = by_transformers(minilm, texts)
    assert_close(loravk.Model.load(minilm).embed(texts), expected)
    (tmp_path / "texts.jsonl").write_text("".join(json.dumps(dict(text=text)) + "\n" for text in texts))
    program.run("embed", "--model", minilm, "--output", tmp_path / "vectors.npy", "--data", tmp_path / "texts.jsonl")
    assert_close(np.load(tmp_path / "vectors.npy"), expected)
    lines = program.run("embed", "--model", minilm, "--text", texts[0], "--text", texts[1]).splitlines()
    assert [json.loads(line)["text"] for line in lines] == texts[:2]
    assert_close(np.array([json.loads(line)["embedding"] for line in lines]), expected[:2])
