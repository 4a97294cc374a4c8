"""Every family of models against transformers, PEFT and llama.cpp: tiny random models of architectures.py, loaded by the Python package
and the program. Where one does not load, its first test fails with what the program said, and its others are skipped."""
import ctypes, os, subprocess, sys
from pathlib import Path

import architectures
import loravk
import numpy as np
import pytest
import torch
from conftest import required
from loravk import _api
from loravk._library import lib
from peft import LoraConfig, PeftModel, get_peft_model

HERE = Path(__file__).parent
LLAMA_CPP = os.environ.get("LORAVK_TEST_LLAMA_CPP")
RANK, ALPHA = 4, 8


def load(folder, architecture):
    return architectures.kind(architecture).from_pretrained(folder, dtype=torch.float32).eval()


def with_adapter(model, architecture, seed=0):
    """PEFT's adapter on all linear layers, both matrices random."""
    model = get_peft_model(model, LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=architecture.targets, task_type="CAUSAL_LM"))
    random = torch.Generator().manual_seed(seed)
    for name, p in sorted(model.named_parameters()):
        if p.requires_grad:
            p.data = torch.randn(p.shape, generator=random) * 0.5 * p.shape[-1] ** -0.5
    return model.eval()


@torch.no_grad()
def logits(model, ids):
    """(B, T, V)."""
    return model(input_ids=torch.tensor(np.atleast_2d(ids)).long(), use_cache=False).logits.numpy()


def assert_close(got, wanted, tolerance):
    """Within `tolerance` of the largest."""
    assert got.shape == wanted.shape
    error = np.abs(got - wanted).max() / np.abs(wanted).max()
    assert error <= tolerance, f"the largest difference is {error:.2g} of the largest number; {tolerance:g} is allowed"


class Family:
    """A model in a folder, as transformers runs it, and PEFT's adapter on it."""

    def __init__(self, name, folder):
        self.name, self.architecture = name, architectures.ALL[name]
        self.folder, self.adapter_folder = folder / name, folder / (name + "-adapter")
        architectures.make(name, self.folder)
        self.base = load(self.folder, self.architecture)
        adapted = with_adapter(load(self.folder, self.architecture), self.architecture)
        adapted.save_pretrained(self.adapter_folder)
        self.adapted, self.error = adapted, None
        try:
            self.model = loravk.Model.load(self.folder, weights="f32")
        except loravk.Error as error:
            self.error = error

    def ids(self, rows=2, length=None, seed=1):
        """(B, T), none of the special tokens."""
        shape = (rows, length or self.architecture.lengths[-1])
        return np.random.default_rng(seed).integers(0, architectures.END, shape).astype(np.int32)

    def adapter(self):
        return loravk.Adapter.load(self.model, self.adapter_folder)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """For matrices as small as these PyTorch's threads would mostly wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module", params=architectures.ALL)
def any_family(request, tmp_path_factory, one_thread):
    return Family(request.param, tmp_path_factory.mktemp("models"))


@pytest.fixture
def family(any_family):
    if any_family.error:
        pytest.skip(f"{any_family.name} does not load: {any_family.error}")
    return any_family


@pytest.fixture(scope="module")
def ggufs(tmp_path_factory):
    """By name, all that llama.cpp's converter can say."""
    out = tmp_path_factory.mktemp("ggufs")
    files = {name: out / (name + ".gguf") for name, architecture in architectures.ALL.items() if architecture.gguf}
    for name in files:
        architectures.make(name, out / name)
    jobs = [path for name, file in files.items() for path in (out / name, file)]
    done = subprocess.run(
        [sys.executable, HERE / "llama_cpp_convert.py", required("LORAVK_TEST_CONVERTER"), *jobs], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return files


@pytest.fixture
def gguf(family, ggufs):
    if not family.architecture.gguf:
        pytest.skip("llama.cpp's converter cannot say this model in a GGUF file")
    return ggufs[family.name]


def test_it_loads(any_family):
    assert any_family.error is None, f"the program does not load {any_family.name}: {any_family.error}"


def test_logits_are_those_of_transformers(family):
    for length in family.architecture.lengths:
        ids = family.ids(length=length)
        assert_close(family.model.logits(ids), logits(family.base, ids), 1e-4)


def test_examples_of_any_length_are_as_each_alone(family):
    examples = [family.ids(1, length, seed=length)[0] for length in (3, *family.architecture.lengths, 7, 11, 2)]
    total = 0
    for ids in examples:
        rows = torch.tensor(logits(family.base, ids)[0, :-1]).double().log_softmax(-1)
        total -= rows[torch.arange(len(rows)), ids[1:]].sum().item()
    got = family.model.evaluate_data([dict(input_ids=ids.tolist()) for ids in examples])
    assert got.counted_tokens == sum(len(ids) - 1 for ids in examples)
    assert got.loss == pytest.approx(total / got.counted_tokens, rel=1e-4)


def test_loss_and_gradients_are_those_of_peft(family):
    adapter, ids = family.adapter(), family.ids()
    assert_close(family.model.logits(ids, adapter), logits(family.adapted, ids), 1e-4)
    assert np.abs(logits(family.adapted, ids) - logits(family.base, ids)).max() > 0.1, "the adapter does nothing"
    family.adapted.zero_grad()
    loss = family.adapted(input_ids=torch.tensor(ids).long(), labels=torch.tensor(ids).long(), use_cache=False).loss
    loss.backward()
    wanted = {name.replace(".default", ""): p.grad.numpy() for name, p in family.adapted.named_parameters() if p.requires_grad}
    result = loravk.Trainer(family.model, adapter).forward_backward(ids)
    assert result.loss == pytest.approx(loss.item(), rel=1e-4)
    gradients = adapter.gradients()
    assert gradients.keys() == wanted.keys()
    for name, gradient in wanted.items():
        largest = np.abs(gradient).max()
        assert largest > 1e-6, f"{name} has no gradient in PEFT"
        assert np.abs(gradients[name] - gradient).max() <= 1e-3 * largest, name


def test_steps_are_those_of_peft_and_peft_runs_what_was_saved(family, tmp_path):
    adapter = family.adapter()
    trainer = loravk.Trainer(family.model, adapter, learning_rate=5e-3, weight_decay=0.01, max_grad_norm=0)
    theirs = PeftModel.from_pretrained(load(family.folder, family.architecture), family.adapter_folder, is_trainable=True).eval()
    parameters = [p for p in theirs.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=5e-3, weight_decay=0.01)
    for step in range(3):
        ids = family.ids(seed=10 + step)
        loss = theirs(input_ids=torch.tensor(ids).long(), labels=torch.tensor(ids).long(), use_cache=False).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        assert trainer.step(ids).loss == pytest.approx(loss.item(), rel=1e-4), f"loss of step {step}"
    adapter.save(tmp_path)
    saved = PeftModel.from_pretrained(load(family.folder, family.architecture), tmp_path).eval()
    ids = family.ids()
    assert_close(family.model.logits(ids, adapter), logits(saved, ids), 1e-4)


def generate(model, adapter, prompt, count):
    """The likeliest tokens, one by one."""
    tokens, found = (ctypes.c_int32 * count)(), ctypes.c_size_t()
    config = _api.GenerationConfig(max_tokens=count, repetition_penalty=1.0, top_p=1.0)
    prompt = np.ascontiguousarray(prompt, np.int32)
    lib.loravk_model_generate(
        model._handle, adapter and adapter._handle, prompt.ctypes.data_as(ctypes.POINTER(ctypes.c_int32)), len(prompt), config,
        tokens, count, ctypes.byref(found))
    return list(tokens[:found.value])


def test_token_by_token_is_as_the_whole_sequence(family):
    """Each generated token is the one that transformers, which sees all at once, finds likeliest behind those before it, or all but."""
    for adapter, reference in [(None, family.base), (family.adapter(), family.adapted)]:
        for seed in range(2):
            prompt = family.ids(1, family.architecture.lengths[-1] - 6, seed=20 + seed)[0]
            said = generate(family.model, adapter, prompt, 12)
            said += [architectures.END] * (len(said) < 12)
            wanted = logits(reference, np.concatenate([prompt, said]))[0, len(prompt) - 1:-1]
            chosen = wanted[np.arange(len(said)), said]
            assert (wanted.max(-1) - chosen).max() <= 1e-3 * np.abs(wanted).max()


def test_merged_folder_is_the_adapted_model(family, program, tmp_path):
    program.run("merge", "--model", family.folder, "--adapter", family.adapter_folder, "--out", tmp_path / "merged", "--type", "f32")
    ids = family.ids()
    wanted = logits(family.adapted, ids)
    assert_close(logits(load(tmp_path / "merged", family.architecture), ids), wanted, 1e-4)
    assert_close(loravk.Model.load(tmp_path / "merged", weights="f32").logits(ids), wanted, 1e-4)


def test_gguf_is_the_same_model(family, gguf):
    model = loravk.Model.load(gguf, weights="f32")
    for length in family.architecture.lengths:
        ids = family.ids(length=length)
        assert_close(model.logits(ids), logits(family.base, ids), 1e-4)
    adapter, ids = loravk.Adapter.load(model, family.adapter_folder), family.ids()
    assert_close(model.logits(ids, adapter), logits(family.adapted, ids), 1e-4)


def test_llama_cpp_computes_the_same(family, gguf, program, tmp_path):
    if not LLAMA_CPP:
        pytest.skip("LORAVK_TEST_LLAMA_CPP is not set: scripts/fetch-llama-cpp has llama.cpp for Linux on x86-64 only")
    if not family.architecture.llama_cpp:
        pytest.skip("llama.cpp does not compute what this file says")
    program.run("export", "--model", family.folder, "--adapter", family.adapter_folder, "--out", tmp_path / "adapter.gguf")
    program.run("merge", "--model", gguf, "--adapter", family.adapter_folder, "--out", tmp_path / "merged.gguf", "--type", "f32")
    ids = family.ids(1)[0]
    np.save(tmp_path / "ids.npy", ids)
    runs = {"base": (gguf, "-"), "adapter": (gguf, tmp_path / "adapter.gguf"), "merged": (tmp_path / "merged.gguf", "-")}
    jobs = [word for name, (model, adapter) in runs.items() for word in (model, adapter, tmp_path / "ids.npy", tmp_path / (name + ".npy"))]
    done = subprocess.run([sys.executable, HERE / "llama_cpp_logits.py", *jobs], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    for name in runs:
        reference = family.base if name == "base" else family.adapted
        assert_close(np.load(tmp_path / (name + ".npy")), logits(reference, ids)[0], family.architecture.llama_cpp_tolerance)
