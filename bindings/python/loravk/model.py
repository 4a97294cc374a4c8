"""Models: their logits, their loss on data, and what they say."""
from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Union, cast

import numpy as np

from . import _api, _tokens
from ._data import Data, DataFormat, data_config
from ._library import Callbacks, Object, create, lib, read, record, text
from ._tokens import Tokens
from .context import Context, default_context
from .tokenizer import Tokenizer

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .adapter import Adapter

#: Text to go on with, a conversation for the model's chat template, or token ids.
Prompt = Union[str, Sequence[Mapping[str, str]], Sequence[int]]


@dataclass(frozen=True)
class ModelInfo:
    model_type: str  #: Hugging Face's word
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    layers: int
    heads: int
    kv_heads: int
    head_size: int
    context_length: int  #: the most tokens of a sequence
    weight_bytes: int  #: on the device; from inspect_model, in the file
    parameters: int  #: numbers in all weights


@dataclass(frozen=True)
class Evaluation:
    loss: float  #: mean of -log p(target) over the counted targets, in nats
    counted_tokens: int
    correct: int  #: targets that were the model's first choice
    examples: int
    correct_examples: int  #: whose every target was


@dataclass(frozen=True)
class FeatureNorms:
    """How large an adapter's features are (Hayou, Ghosh & Yu 2024): means over layers of the root mean square, over tokens, of
    Euclidean norms."""

    z_a: float  #: of A x, without ranks that do not train
    z_b: float  #: of B A x, before scaling


class Model(Object):
    """A language model with its frozen weights on the device."""

    _kind = "model"

    def __init__(self, context: Context, handle: ctypes.c_void_p) -> None:
        super().__init__(handle)
        self.context = context

    @classmethod
    def load(
        cls, path: str | os.PathLike, context: Context | None = None, weights: str = "auto", *,
        on_progress: Callable[[int, int], bool | None] | None = None,
    ) -> Model:
        """A GGUF file or a Hugging Face folder.

        weights      how they are stored on the device: "auto" (as in the file where kernels read it), "f32", "f16" or "bf16"
        on_progress  called with how many of how many weights are on the device; returning False gives up
        """
        context = default_context() if context is None else context
        with Callbacks() as callbacks:
            told = callbacks.wrap(_api.LoadCallback, on_progress or (lambda done, total: None))
            config = _api.ModelConfig(weights=text(weights, "weights"), on_progress=told)
            return cls(context, create(lib.loravk_model_load, context._handle, text(path, "path"), config))

    @property
    def info(self) -> ModelInfo:
        return record(ModelInfo, read(lib.loravk_model_get_info, self._handle, kind=_api.ModelInfo))

    @functools.cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer that came with the model."""
        return Tokenizer(create(lib.loravk_model_get_tokenizer, self._handle))

    @property
    def linear_names(self) -> list[str]:
        """The linear layers that an adapter can adapt, by Hugging Face's names."""
        count = read(lib.loravk_model_linear_count, self._handle, kind=ctypes.c_size_t)
        names = (read(lib.loravk_model_get_linear_name, self._handle, index, kind=ctypes.c_char_p) for index in range(count))
        return [name.decode() for name in names]

    def logits(self, tokens: Tokens, adapter: Adapter | None = None) -> np.ndarray:
        """(B, T, V) float32: for each of the tokens (B, T) what may follow it."""
        ids, _, rows, length = _tokens.batch(tokens, None)
        result = np.empty((rows, length, self.info.vocab_size), np.float32)
        lib.loravk_model_logits(
            self._handle, adapter and adapter._handle, ids, rows, length,
            result.ctypes.data_as(ctypes.POINTER(ctypes.c_float)), result.size)
        return result

    def evaluate(self, tokens: Tokens, labels: Tokens | None = None, adapter: Adapter | None = None) -> Evaluation:
        """The loss on tokens and labels (B, T), as `Trainer.step` reads them."""
        arguments = (self._handle, adapter and adapter._handle, *_tokens.batch(tokens, labels))
        return record(Evaluation, read(lib.loravk_model_evaluate, *arguments, kind=_api.Evaluation))

    def evaluate_data(
        self, data: Data, adapter: Adapter | None = None, *, on_progress: Callable[[int, int], bool | None] | None = None,
        **format: Unpack[DataFormat],
    ) -> Evaluation:
        """The loss on a data file (in a folder: on its valid.jsonl) or on examples, with the options of `Trainer.fit` that say
        how they are read. `on_progress` is called with how many of how many examples were gone through; returning False, or
        raising, gives up."""
        with data_config(data, **format) as config, Callbacks() as callbacks:
            config.on_progress = callbacks.wrap(_api.DataCallback, on_progress or (lambda done, total: None))
            arguments = (self._handle, adapter and adapter._handle, config)
            return record(Evaluation, read(lib.loravk_model_evaluate_data, *arguments, kind=_api.Evaluation))

    def feature_norms(self, tokens: Tokens, adapter: Adapter) -> FeatureNorms:
        """How large the adapter's features are on tokens (B, T), at least 32 in all; a few of them may be left out."""
        ids, _, rows, length = _tokens.batch(tokens, None)
        return record(FeatureNorms, read(
            lib.loravk_model_feature_norms, self._handle, adapter._handle, ids, rows, length, kind=_api.FeatureNorms))

    def generate(
        self, prompt: Prompt, adapter: Adapter | None = None, *, max_tokens: int = 200, temperature: float = 0.0,
        top_k: int = 0, top_p: float = 1.0, repetition_penalty: float = 1.0, seed: int = 0, stop_tokens: Sequence[int] = (),
        on_token: Callable[[str], bool | None] | None = None,
    ) -> str:
        """The text with which the model goes on.

        temperature         0: always the most likely token
        top_k               choose among so many; 0: all
        top_p               choose among the likeliest that together have this probability
        repetition_penalty  1: none
        stop_tokens         further ids that end the answer; the model's own always do
        on_token            called with each piece of text as it comes; returning False stops
        """
        with Callbacks() as callbacks:
            config = _api.GenerationConfig(
                max_tokens=max_tokens, temperature=temperature, top_k=top_k, top_p=top_p,
                repetition_penalty=repetition_penalty, seed=seed)
            stops = _tokens.as_int32(stop_tokens, "stop_tokens")
            config.stop_tokens, config.stop_token_count = _tokens.pointer(stops), stops.size
            pieces: list[str] = []

            def told(token: int, piece: ctypes._Pointer, length: int) -> bool | None:
                pieces.append(ctypes.string_at(piece, length).decode(errors="replace"))
                return on_token(pieces[-1]) if on_token else None

            config.on_token = callbacks.wrap(_api.TokenCallback, told)
            ids = np.array(self._prompt_tokens(prompt), np.int32)
            lib.loravk_model_generate(
                self._handle, adapter and adapter._handle, _tokens.pointer(ids), len(ids), config, None, 0, None)
        return "".join(pieces)

    def _prompt_tokens(self, prompt: Prompt) -> Sequence[int]:
        if isinstance(prompt, str):
            return self.tokenizer.encode(prompt)
        if len(prompt) and isinstance(prompt[0], Mapping):
            messages = cast("Sequence[Mapping[str, str]]", prompt)
            return self.tokenizer.encode(self.tokenizer.apply_chat_template(messages), add_special=False)
        return cast("Sequence[int]", _tokens.rows(cast("Sequence[int]", prompt), "prompt")[0])
