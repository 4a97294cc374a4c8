"""Text to token ids and back."""
from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from . import _tokens
from ._library import Object, create, kind_of, lib, path_text, read, text
from .errors import InvalidArgumentError


class Tokenizer(Object):
    """A tokenizer never changes; threads may share it."""

    _kind = "tokenizer"

    @classmethod
    def load(cls, path: str | os.PathLike) -> Tokenizer:
        """The tokenizer of a model, without the model: a GGUF file or a Hugging Face folder."""
        return cls(create(lib.loravk_tokenizer_load, path_text(path, "path")))

    def encode(self, text: str, add_special: bool = True) -> list[int]:
        """Token ids. `add_special` adds what the model expects around a text."""
        if not isinstance(text, str):
            raise TypeError(f"text is {kind_of(text)}; it must be a str: call encode for each of several")
        data = text.encode()
        count = ctypes.c_size_t()
        lib.loravk_tokenizer_encode(self._handle, data, len(data), add_special, None, 0, count)
        ids = np.empty(count.value, np.int32)
        lib.loravk_tokenizer_encode(self._handle, data, len(data), add_special, _tokens.pointer(ids), len(ids), count)
        return ids.tolist()

    def decode(self, tokens: Sequence[int], skip_special: bool = False) -> str:
        """The text of ids; ids outside the vocabulary are left out."""
        ids = _tokens.as_int32(tokens, "tokens")
        if ids.ndim != 1:
            raise InvalidArgumentError(f"tokens has the shape {ids.shape}; it must be one list of ids")
        return _text(lib.loravk_tokenizer_decode, self._handle, _tokens.pointer(ids), len(ids), skip_special)

    def apply_chat_template(self, messages: Sequence[Mapping[str, str]], add_generation_prompt: bool = True) -> str:
        """A conversation as the model's chat template writes it, to be encoded with `add_special=False`. Messages are
        {"role": "user" | "assistant" | "system", "content": "…"}. UnsupportedError where the model came without a template."""
        for index, message in enumerate(messages):
            if not isinstance(message, Mapping):
                raise TypeError(f"message {index} is {kind_of(message)}; it must be a dict")
            for key in ("role", "content"):
                if key not in message:
                    raise InvalidArgumentError(f"message {index} has no {key!r}; it has {', '.join(map(repr, message)) or 'no key'}")
        roles = (ctypes.c_char_p * len(messages))(*(text(message["role"], "role") for message in messages))
        contents = (ctypes.c_char_p * len(messages))(*(text(message["content"], "content") for message in messages))
        return _text(
            lib.loravk_tokenizer_apply_chat_template, self._handle, roles, contents, len(messages), add_generation_prompt)

    @property
    def vocab_size(self) -> int:
        """One more than the largest id."""
        return read(lib.loravk_tokenizer_vocab_size, self._handle, kind=ctypes.c_int32)

    def __len__(self) -> int:
        return self.vocab_size

    def _described(self) -> str:
        return f"of {self.vocab_size} tokens"

    @property
    def bos_id(self) -> int | None:
        return self._special()[0]

    @property
    def eos_id(self) -> int | None:
        return self._special()[1]

    @property
    def pad_id(self) -> int | None:
        return self._special()[2]

    def _special(self) -> list[int | None]:
        ids = [ctypes.c_int32(), ctypes.c_int32(), ctypes.c_int32()]
        lib.loravk_tokenizer_special_ids(self._handle, *ids)
        return [None if each.value < 0 else each.value for each in ids]


def _text(function: Any, *arguments: Any) -> str:
    """Calls a function that ends in text, capacity and length: for the length, then for the text."""
    length = ctypes.c_size_t()
    function(*arguments, None, 0, length)
    room = ctypes.create_string_buffer(length.value + 1)
    function(*arguments, room, len(room), length)
    return room.raw[:length.value].decode(errors="replace")
