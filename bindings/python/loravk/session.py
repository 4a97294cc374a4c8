"""Sessions: a model that remembers what it read and said, so that each answer costs only what is new."""
from __future__ import annotations

import ctypes
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _answers, _api, _tokens
from ._answers import AnswerOptions
from ._library import Object, create, lib, read, record

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .adapter import Adapter
    from .model import Model


@dataclass(frozen=True)
class SessionInfo:
    tokens: int  #: that were appended or answered
    capacity: int  #: the most that there can be
    kept_tokens: int  #: of the last prompt those that were in the cache already
    prompt_tokens: int  #: and those that were computed
    answer_tokens: int  #: of the last answer
    prompt_seconds: float
    answer_seconds: float  #: of the answer's tokens but the first
    finish_reason: str  #: of the last answer: "stop", "stop_string", "length", "context", "interrupted"; "" before the first


class Session(Object):
    """A conversation, or any sequence of tokens, with a cache that stays from call to call: `Model.session` makes one."""

    _kind = "session"

    def __init__(self, model: Model, adapter: Adapter | None = None, capacity: int | None = None) -> None:
        super().__init__(create(lib.loravk_session_create, model._handle, adapter and adapter._handle, capacity or 0))
        self.model = model
        self._adapter = adapter
        #: What was said by `chat`.
        self.messages: list[Any] = []

    @property
    def info(self) -> SessionInfo:
        return record(SessionInfo, read(lib.loravk_session_get_info, self._handle, kind=_api.SessionInfo))

    @property
    def tokens(self) -> list[int]:
        """The ids that were appended or answered."""
        count = ctypes.c_size_t()
        lib.loravk_session_get_tokens(self._handle, None, 0, count)
        ids = np.empty(count.value, np.int32)
        lib.loravk_session_get_tokens(self._handle, _tokens.pointer(ids), ids.size, count)
        return ids.tolist()

    @property
    def adapter(self) -> Adapter | None:
        """Setting another one keeps the tokens, which are computed again with it."""
        return self._adapter

    @adapter.setter
    def adapter(self, adapter: Adapter | None) -> None:
        lib.loravk_session_set_adapter(self._handle, adapter and adapter._handle)
        self._adapter = adapter

    def append(self, tokens: str | Sequence[int]) -> np.ndarray:
        """Reads a text or ids behind what is there. Returns the logits (V) of what may follow."""
        ids = self.model.tokenizer.encode(tokens, add_special=self.info.tokens == 0) if isinstance(tokens, str) else tokens
        array = _tokens.as_int32(ids, "tokens")
        logits = np.empty(self.model.info.vocab_size, np.float32)
        lib.loravk_session_append(
            self._handle, _tokens.pointer(array), array.size, logits.ctypes.data_as(ctypes.POINTER(ctypes.c_float)), logits.size)
        return logits

    def generate(
        self, prompt: str | Sequence[int] | None = None, *, on_token: Callable[[str], bool | None] | None = None,
        **options: Unpack[AnswerOptions],
    ) -> str:
        """Goes on behind what is there and `prompt`; the answer becomes part of it. The options are those of `Model.generate`."""
        _answers.known(options)
        if prompt is not None:
            self.append(prompt)
        return _answers.answer(
            lambda config: lib.loravk_session_generate(self._handle, config, None, 0, None), on_token, **options)

    def chat(
        self, message: str | Sequence[Mapping[str, Any]], *, tools: Sequence[Any] | None = None,
        on_token: Callable[[str], bool | None] | None = None, **options: Unpack[AnswerOptions],
    ) -> str:
        """The answer to a message behind those before, in the model's chat template; or to a whole conversation, in their place.
        `messages` are then all of them with the answer. The options are those of `Model.generate`.

        tools  for templates that know them
        """
        _answers.known(options)
        own = _answers.messages_of(message)
        messages = self.messages + own if isinstance(message, str) else own
        said: dict[str, Any] = {"messages": messages}
        if tools is not None:
            said["tools"] = list(tools)
        encoded = json.dumps(said).encode()
        answer = _answers.answer(
            lambda config: lib.loravk_session_chat(self._handle, encoded, config, None, 0, None), on_token, **options)
        self.messages = [*messages, {"role": "assistant", "content": answer}]
        return answer

    def stream(
        self, message: str | Sequence[Mapping[str, Any]], *, tools: Sequence[Any] | None = None, **options: Unpack[AnswerOptions],
    ) -> Iterator[str]:
        """`chat`, piece by piece: `for piece in session.stream("Hi"): …`."""
        _answers.known(options)
        return _answers.stream(lambda on_token: self.chat(message, tools=tools, on_token=on_token, **options))

    def rewind(self, count: int) -> None:
        """Goes back to the first `count` tokens."""
        lib.loravk_session_rewind(self._handle, count)

    def reset(self) -> None:
        """Forgets everything."""
        self.rewind(0)
        self.messages = []

    def _described(self) -> str:
        info = self.info
        return f"{info.tokens} of {info.capacity} tokens"
