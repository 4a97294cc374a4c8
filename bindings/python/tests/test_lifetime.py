"""What is made is given back, in any order; threads, processes and forks."""
import itertools, subprocess, sys, threading

import numpy as np
import pytest

import loravk
from conftest import TINY, run_python

# One step and its loss, ten times.
TRAIN = """
import sys, threading
import numpy as np, loravk

def losses(seed):
    context = loravk.Context()
    model = loravk.Model.load(sys.argv[1], context)
    trainer = loravk.Trainer(model, loravk.Adapter.create(model, seed=seed), learning_rate=2e-3)
    tokens = np.random.default_rng(seed).integers(3, 1000, (2, 24))
    return [trainer.step(tokens).loss for _ in range(10)]
"""


def test_ten_thousand_creations_and_releases_do_not_grow():
    grown = run_python("""
import gc, os, sys
import numpy as np, loravk

model = loravk.Model.load(sys.argv[1])
context = model.context
adapter = loravk.Adapter.create(model)

def resident():
    gc.collect()
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

def cycles(count):
    for index in range(count):
        tensor = loravk.Tensor.from_numpy(np.ones((16, 16), np.float32))
        view, pack = tensor.map(), np.from_dlpack(tensor)
        with loravk.AdamW([tensor], [loravk.Tensor((16, 16))]):
            pass
        if index % 20 == 0:
            trainer = loravk.Trainer(model, loravk.Adapter.create(model, 2, target_modules=["q_proj"]))
            loravk.Tokenizer(loravk._library.create(loravk._library.lib.loravk_model_get_tokenizer, model._handle))
            with context.record() as graph:
                loravk.scale(tensor, 2)
            try:
                loravk.matmul(tensor, loravk.Tensor((3, 3)))
            except loravk.Error:
                pass

cycles(2000)
before, held = resident(), context.held_bytes
cycles(10000)
print(resident() - before, context.held_bytes - held)
""", TINY, LORAVK_VALIDATION="0")
    resident, held = map(int, grown.split())
    assert held == 0 and resident < 8 << 20


def test_any_order_of_closing_is_fine():
    tokens = np.array([[5, 6, 7, 8]])
    for order in itertools.islice(itertools.permutations(range(4)), 0, 24, 5):
        context = loravk.Context()
        model = loravk.Model.load(TINY, context)
        adapter = loravk.Adapter.create(model)
        trainer = loravk.Trainer(model, adapter)
        wanted = trainer.step(tokens).loss
        objects = [context, model, adapter, trainer]
        for index in order:
            if objects[3].closed is False:
                assert trainer.step(tokens).loss < wanted + 1
            objects[index].close()
            objects[index].close()
        for call in (lambda: trainer.step(tokens), lambda: model.logits(tokens), adapter.parameters, lambda: context.held_bytes):
            with pytest.raises(loravk.InvalidHandleError, match="was closed"):
                call()


def test_a_view_outlives_everything():
    context = loravk.Context()
    array = loravk.Tensor.from_numpy(np.arange(6, dtype=np.float32), context=context).map()
    context.close()
    del context
    assert array.tolist() == [0, 1, 2, 3, 4, 5]


def test_two_threads_with_a_context_each_train_as_alone():
    # Without the validation layer, whose table of devices has no lock.
    run_python(TRAIN + """
alone = [losses(1), losses(2)]
together = [None, None]
def work(index):
    together[index] = losses(index + 1)
threads = [threading.Thread(target=work, args=[index]) for index in range(2)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert together == alone, (together, alone)
""", TINY, LORAVK_VALIDATION="0")


def test_two_threads_may_share_a_context():
    x = loravk.Tensor.from_numpy(np.random.default_rng(0).standard_normal((64, 64), np.float32))
    wanted = loravk.matmul(x, x).numpy()
    failures = []

    def work():
        for _ in range(50):
            if not np.array_equal(loravk.matmul(x, x).numpy(), wanted):
                failures.append("another product")

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_two_processes_train_as_alone():
    command = [sys.executable, "-c", TRAIN + "print(losses(1))", str(TINY)]
    alone = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    pair = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate()[0] for process in pair] == [alone, alone]
    assert all(process.returncode == 0 for process in pair)


def test_errors_belong_to_their_thread():
    def fail(shape, texts):
        for _ in range(200):
            with pytest.raises(loravk.Error) as failure:
                loravk.matmul(np.zeros(shape, np.float32), np.zeros((3, 3), np.float32))
            texts.add(str(failure.value))

    texts = [set(), set()]
    threads = [threading.Thread(target=fail, args=[(2, 5 + index), texts[index]]) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(len(each) == 1 for each in texts) and texts[0] != texts[1]


def test_a_forked_child_is_refused_and_ends_well():
    run_python("""
import os, numpy as np, loravk
child = os.fork()
if child == 0:  # before the first call a process may fork
    loravk.Tensor(3)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
tensor, context = loravk.Tensor.from_numpy(np.ones(3, np.float32)), loravk.Context()
child = os.fork()
if child == 0:
    try:
        tensor.numpy()
        os._exit(1)
    except loravk.ForkedError:
        del tensor
        context.close()
        os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert tensor.numpy().all()
""")
