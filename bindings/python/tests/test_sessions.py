"""Sessions, answers piece by piece, and sums of adapters: what is remembered changes no token."""
import math
import threading

import numpy as np
import pytest

import loravk

OPENING = "Who sails"
QUESTION = [{"role": "user", "content": "Who sails?"}]


@pytest.fixture(scope="module")
def adapter(tiny):
    made = loravk.Adapter.create(tiny, rank=4, seed=1)
    random = np.random.default_rng(1)
    made.set_parameters({name: random.normal(size=shape, scale=0.1) for name, shape in made.shapes.items()})
    return made


def test_a_conversation_is_as_from_zero(tiny, adapter):
    for each in (None, adapter):
        session = tiny.session(each, capacity=256)
        first = session.chat("Who sails?", max_tokens=12)
        assert first == tiny.generate(QUESTION, each, max_tokens=12)
        second = session.chat("And then?", max_tokens=12)
        assert session.info.kept_tokens > session.info.prompt_tokens
        said = [*QUESTION, {"role": "assistant", "content": first}, {"role": "user", "content": "And then?"}]
        assert session.messages == [*said, {"role": "assistant", "content": second}]
        assert second == tiny.generate(said, each, max_tokens=12)
        assert tiny.session(each).chat(said, max_tokens=12) == second
        assert session.tokens and session.info.tokens == len(session.tokens) and "256 tokens" in repr(session)
        session.reset()
        assert session.messages == [] and session.tokens == [] and session.chat("Who sails?", max_tokens=12) == first


def test_tokens_behind_tokens(tiny, adapter):
    session = tiny.session(adapter)
    logits = session.append(OPENING)
    ids = tiny.tokenizer.encode(OPENING)
    assert session.tokens == ids and np.abs(logits - tiny.logits(ids, adapter)[0, -1]).max() < 1e-3
    text = session.generate(max_tokens=8)
    assert text == tiny.generate(OPENING, adapter, max_tokens=8)
    session.rewind(len(ids))
    assert session.generate(max_tokens=8) == text
    session.adapter = None
    session.rewind(len(ids))
    assert session.adapter is None and session.generate(max_tokens=8) == tiny.generate(OPENING, max_tokens=8)
    # Training between two answers is seen.
    session.adapter = adapter
    before = adapter.parameters()
    adapter.set_parameters({name: 2 * value for name, value in before.items()})
    session.rewind(len(ids))
    assert session.generate(max_tokens=8) == tiny.generate(OPENING, adapter, max_tokens=8)
    adapter.set_parameters(before)
    with pytest.raises(loravk.InvalidArgumentError, match="only 8 fit"):
        tiny.session(capacity=8).append([5] * 9)
    with pytest.raises(loravk.InvalidArgumentError, match="capacity is 1"):
        tiny.session(capacity=1)
    with pytest.raises(TypeError, match="no option colour"):
        session.generate(colour="red")


def test_pieces_come_one_by_one(tiny, adapter):
    whole = tiny.generate(OPENING, adapter, max_tokens=12)
    pieces = list(tiny.stream(OPENING, adapter, max_tokens=12))
    assert "".join(pieces) == whole and len(pieces) > 3
    session = tiny.session()
    assert "".join(session.stream("Who sails?", max_tokens=8)) == session.messages[1]["content"]
    # Closing ends the generation, and leaves nothing behind.
    stream = tiny.stream(OPENING, max_tokens=400)
    assert next(stream)
    stream.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "loravk.stream"]
    with pytest.raises(loravk.InvalidArgumentError):
        list(tiny.stream(OPENING, max_tokens=0))
    with pytest.raises(TypeError, match="no option"):
        tiny.stream(OPENING, colour="red")


def test_stops_and_probabilities(tiny):
    choices = []
    whole = tiny.generate(OPENING, max_tokens=8, on_choice=choices.append, top_log_probabilities=3)
    ids = tiny.tokenizer.encode(OPENING)
    logits = tiny.logits(ids + [choice.token for choice in choices])[0].astype(np.float64)
    for place, choice in enumerate(choices):
        row = logits[len(ids) - 1 + place]
        wanted = row - np.log(np.exp(row - row.max()).sum()) - row.max()
        assert math.isclose(choice.log_probability, wanted[choice.token], abs_tol=1e-3)
        assert [token for token, _ in choice.top] == list(np.argsort(-row, kind="stable")[:3])
        assert choice.top[0] == (choice.token, choice.log_probability)
    stop = whole[3:6]
    assert tiny.generate(OPENING, max_tokens=8, stop=["never there", stop]) == whole[:whole.index(stop)]
    assert tiny.generate(OPENING, max_tokens=8, stop=stop) == whole[:whole.index(stop)]
    with pytest.raises(loravk.InvalidArgumentError, match="empty"):
        tiny.generate(OPENING, stop="")
    with pytest.raises(RuntimeError, match="mine"):
        tiny.generate(OPENING, max_tokens=4, on_choice=lambda choice: (_ for _ in ()).throw(RuntimeError("mine")))


def test_a_mix_is_the_sum(tiny, adapter):
    tokens = tiny.tokenizer.encode(OPENING)
    mixed = loravk.Adapter.mix([adapter, adapter], [0.25, 0.75])
    assert mixed.rank == 8 and np.abs(tiny.logits(tokens, mixed) - tiny.logits(tokens, adapter)).max() < 1e-3
    nothing = loravk.Adapter.mix([adapter, adapter], [1, -1])
    assert np.abs(tiny.logits(tokens, nothing) - tiny.logits(tokens)).max() < 1e-3
    assert loravk.Adapter.mix([adapter]).rank == 4
    with pytest.raises(loravk.UnsupportedError, match="DoRA"):
        loravk.Adapter.mix([loravk.Adapter.create(tiny, method="dora")])
    with pytest.raises(loravk.InvalidArgumentError, match="2 adapters and 1 weights"):
        loravk.Adapter.mix([adapter, adapter], [1])
