"""Answers: the options of a generation, its callbacks, and answers piece by piece."""
from __future__ import annotations

import ctypes
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from . import _api, _tokens
from ._library import Callbacks, kind_of, text


@dataclass(frozen=True)
class Choice:
    """A token of an answer, and how likely it was before temperature, cuts and penalties."""

    token: int
    log_probability: float  #: natural logarithm
    top: list[tuple[int, float]]  #: the likeliest tokens of its place with theirs, in descending order


class AnswerOptions(TypedDict, total=False):
    """How an answer is drawn and what ends it, as in `Model.generate`."""

    max_tokens: int | None
    temperature: float | None
    top_k: int | None
    top_p: float | None
    repetition_penalty: float | None
    seed: int
    stop_tokens: Sequence[int]
    stop: str | Sequence[str]
    top_log_probabilities: int
    on_choice: Callable[[Choice], Any] | None


def answer(
    generate: Callable[[_api.GenerationConfig], Any], on_token: Callable[[str], bool | None] | None = None, *,
    max_tokens: int | None = None, temperature: float | None = None, top_k: int | None = None, top_p: float | None = None,
    repetition_penalty: float | None = None, seed: int = 0, stop_tokens: Sequence[int] = (), stop: str | Sequence[str] = (),
    top_log_probabilities: int = 0, on_choice: Callable[[Choice], Any] | None = None,
) -> str:
    """The text that `generate` makes with a configuration."""
    with Callbacks() as callbacks:
        config = _api.GenerationConfig(
            max_tokens=max_tokens, temperature=temperature, top_k=top_k, top_p=top_p,
            repetition_penalty=repetition_penalty, seed=seed, top_log_probabilities=top_log_probabilities)
        ids = _tokens.as_int32(stop_tokens, "stop_tokens")
        config.stop_tokens, config.stop_token_count = _tokens.pointer(ids), ids.size
        texts = [text(each, "stop") for each in ([stop] if isinstance(stop, str) else stop)]
        config.stop_strings, config.stop_string_count = (ctypes.c_char_p * len(texts))(*texts), len(texts)
        pieces: list[str] = []

        def told(token: int, piece: Any, length: int) -> bool | None:
            pieces.append(ctypes.string_at(piece, length).decode(errors="replace"))
            return on_token(pieces[-1]) if on_token else None

        config.on_token = callbacks.wrap(_api.TokenCallback, told)
        if on_choice is not None:
            config.on_choice = callbacks.wrap(_api.ChoiceCallback, _choice(on_choice))
        generate(config)
    return "".join(pieces)


def _choice(on_choice: Callable[[Choice], Any]) -> Callable[..., None]:
    def told(token: int, log_probability: float, tokens: Any, log_probabilities: Any, count: int) -> None:
        on_choice(Choice(token, log_probability, list(zip(tokens[:count], log_probabilities[:count]))))

    return told


def stream(generate: Callable[[Callable[[str], bool]], Any]) -> Iterator[str]:
    """The pieces of an answer as they come. `generate` runs in a thread of its own, and ends with the iterator."""
    pieces: queue.SimpleQueue[str | BaseException | None] = queue.SimpleQueue()
    is_closed = threading.Event()

    def told(piece: str) -> bool:
        pieces.put(piece)
        return not is_closed.is_set()

    def run() -> None:
        try:
            generate(told)
            pieces.put(None)
        except BaseException as error:
            pieces.put(error)

    thread = threading.Thread(target=run, name="loravk.stream", daemon=True)
    thread.start()
    try:
        while (piece := pieces.get()) is not None:
            if isinstance(piece, BaseException):
                raise piece
            if piece:
                yield piece
    finally:
        is_closed.set()
        thread.join()


def known(options: Any) -> Any:
    """Refuses options that there are none of before anything runs."""
    unknown = options.keys() - AnswerOptions.__annotations__.keys()
    if unknown:
        raise TypeError(f"there is no option {', '.join(sorted(unknown))}")
    return options


def messages_of(value: Any) -> list[Any]:
    if isinstance(value, str):
        return [{"role": "user", "content": value}]
    if isinstance(value, (bytes, dict)) or not isinstance(value, Sequence):
        raise TypeError(f"the message is {kind_of(value)}; it must be a text, or a conversation: a list of dicts")
    return list(value)
