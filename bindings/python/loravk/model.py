"""Models: their logits, their loss on data, and what they say."""
from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Union, cast

import numpy as np

from . import _answers, _api, _tokens
from ._answers import AnswerOptions, Choice
from ._data import Data, DataFormat, data_config
from ._library import Callbacks, Object, create, kind_of, lib, optional_text, path_text, read, record
from ._tokens import Tokens
from .context import Context, default_context
from .errors import InvalidArgumentError
from .session import Session
from .tokenizer import Tokenizer

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .adapter import Adapter

_FLOATS = ctypes.POINTER(ctypes.c_float)

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
    loss: float  #: mean of -log p(target) over the counted targets, in nats; of other objectives their own
    counted_tokens: int
    correct: int  #: targets that were the model's first choice
    examples: int
    correct_examples: int  #: whose every target was
    metrics: dict[str, float]  #: what the objective tells beside the loss: "rewards/accuracies" …


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
        cls, path: str | os.PathLike, context: Context | None = None, weights: str | None = None, *,
        on_progress: Callable[[int, int], bool | None] | None = None,
    ) -> Model:
        """A GGUF file or a Hugging Face folder.

        weights      how they are stored on the device: "auto" (as in the file where kernels read it; so does None), "f32", "f16" or "bf16"
        on_progress  called with how many of how many weights are on the device; returning False gives up
        """
        context = default_context() if context is None else context
        with Callbacks() as callbacks:
            told = callbacks.wrap(_api.LoadCallback, on_progress or (lambda done, total: None))
            config = _api.ModelConfig(weights=optional_text(weights, "weights"), on_progress=told)
            return cls(context, create(lib.loravk_model_load, context._handle, path_text(path, "path"), config))

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

    def logits(self, tokens: Tokens, adapter: Adapter | None = None) -> Any:
        """(B, T, V) float32: for each of the tokens (B, T) what may follow it. Of rows of different lengths a list of arrays
        (T, V)."""
        batch = _tokens.batch(tokens, None, "Model.generate")
        ids, _, lengths, sequences = batch.arguments
        result = np.empty((len(batch.ids), self.info.vocab_size), np.float32)
        lib.loravk_model_logits_ragged(
            self._handle, adapter and adapter._handle, ids, lengths, sequences, result.ctypes.data_as(_FLOATS), result.size)
        return batch.split(result)

    def token_losses(self, tokens: Tokens, labels: Tokens | None = None, adapter: Adapter | None = None) -> Any:
        """(B, T) float32: -log p of each label, in nats; 0 where none counts, as for the first of a row. Of rows of different
        lengths a list of arrays (T)."""
        batch = _tokens.batch(tokens, labels, "Model.evaluate_data")
        result = np.empty(len(batch.ids), np.float32)
        lib.loravk_model_token_losses(
            self._handle, adapter and adapter._handle, *batch.arguments, result.ctypes.data_as(_FLOATS), result.size)
        return batch.split(result)

    def scores(self, tokens: Tokens, adapter: Adapter) -> np.ndarray:
        """(S, K) float32: what the adapter's head of K outputs says of each row of tokens at its last one, not normalised."""
        return self._head_scores(lib.loravk_model_scores, tokens, adapter)

    def predict(self, tokens: Tokens, adapter: Adapter) -> np.ndarray:
        """(S, K) float32: `scores` as they are meant: probabilities of classes or labels, or numbers as they are."""
        return self._head_scores(lib.loravk_model_classify, tokens, adapter)

    def classify(self, texts: Sequence[str | tuple[str, str]], adapter: Adapter) -> list[dict[str, float]]:
        """What the adapter's head says of texts, or of pairs of them: probabilities (or numbers) by label."""
        rows = [[token for part in ((text,) if isinstance(text, str) else text) for token in self.tokenizer.encode(part)]
                for text in texts]
        return [dict(zip(adapter.labels, map(float, row))) for row in self.predict(rows, adapter)]

    def _head_scores(self, function: Callable[..., None], tokens: Tokens, adapter: Adapter) -> np.ndarray:
        batch = _tokens.batch(tokens)
        result = np.empty((len(batch.lengths), len(adapter.labels)), np.float32)
        ids, _, lengths, sequences = batch.arguments
        function(self._handle, adapter._handle, ids, lengths, sequences, result.ctypes.data_as(_FLOATS), result.size)
        return result

    def evaluate(self, tokens: Tokens, labels: Tokens | None = None, adapter: Adapter | None = None) -> Evaluation:
        """The loss on tokens and labels, as `Trainer.step` reads them. For examples and files: `evaluate_data`."""
        arguments = (self._handle, adapter and adapter._handle, *_tokens.batch(tokens, labels, "Model.evaluate_data").arguments)
        return record(Evaluation, read(lib.loravk_model_evaluate_ragged, *arguments, kind=_api.Evaluation))

    def evaluate_data(
        self, data: Data, adapter: Adapter | None = None, *, objective: str | None = None,
        on_progress: Callable[[int, int], bool | None] | None = None, **format: Unpack[DataFormat],
    ) -> Evaluation:
        """The loss on a data file (in a folder: on its valid.jsonl) or on examples, with the options of `Trainer.fit` that say
        how they are read, by an objective as `Trainer` takes it. `on_progress` is called with how many of how many examples were gone through; returning False, or
        raising, gives up."""
        config = data_config(data, objective=objective, **format)
        with Callbacks() as callbacks:
            config.on_progress = callbacks.wrap(_api.DataCallback, on_progress or (lambda done, total: None))
            arguments = (self._handle, adapter and adapter._handle, config)
            return record(Evaluation, read(lib.loravk_model_evaluate_data, *arguments, kind=_api.Evaluation))

    def feature_norms(self, tokens: Tokens, adapter: Adapter) -> FeatureNorms:
        """How large the adapter's features are on tokens (B, T), at least 32 in all; a few of them may be left out."""
        batch = _tokens.batch(tokens)
        if batch.shape is None:
            raise InvalidArgumentError("the rows of tokens have different lengths; features are looked at in rows of one length")
        return record(FeatureNorms, read(
            lib.loravk_model_feature_norms, self._handle, adapter._handle, _tokens.pointer(batch.ids), *batch.shape,
            kind=_api.FeatureNorms))

    def generate(
        self, prompt: Prompt, adapter: Adapter | None = None, *, max_tokens: int | None = None, temperature: float | None = None,
        top_k: int | None = None, top_p: float | None = None, repetition_penalty: float | None = None, seed: int = 0,
        stop_tokens: Sequence[int] = (), stop: str | Sequence[str] = (), top_log_probabilities: int = 0,
        on_choice: Callable[[Choice], Any] | None = None,
        on_token: Callable[[str], bool | None] | None = None,
    ) -> str:
        """The text with which the model goes on. What is None has the library's default: 200 tokens, always the most likely.

        temperature            0: always the most likely token
        top_k                  choose among so many; 0: all
        top_p                  choose among the likeliest that together have this probability
        repetition_penalty     1: none
        stop_tokens            further ids that end the answer; the model's own always do
        stop                   a text, or several, that end it too, and are no part of it
        on_choice              called with each token and its probability, and `top_log_probabilities` of the likeliest in its place
        on_token               called with each piece of text as it comes; returning False stops
        """
        ids = np.array(self._prompt_tokens(prompt), np.int32)

        def generate(config: _api.GenerationConfig) -> None:
            lib.loravk_model_generate(
                self._handle, adapter and adapter._handle, _tokens.pointer(ids), len(ids), config, None, 0, None)

        return _answers.answer(
            generate, on_token, max_tokens=max_tokens, temperature=temperature, top_k=top_k, top_p=top_p,
            repetition_penalty=repetition_penalty, seed=seed, stop_tokens=stop_tokens, stop=stop,
            top_log_probabilities=top_log_probabilities, on_choice=on_choice)

    def stream(self, prompt: Prompt, adapter: Adapter | None = None, **options: Unpack[AnswerOptions]) -> Iterator[str]:
        """`generate`, piece by piece: `for piece in model.stream("Once"): …`. The options are those of `generate`."""
        _answers.known(options)
        return _answers.stream(lambda on_token: self.generate(prompt, adapter, on_token=on_token, **options))

    def session(self, adapter: Adapter | None = None, *, capacity: int | None = None) -> Session:
        """A conversation that remembers, with room for `capacity` tokens (None: 4096, or the model's positions)."""
        return Session(self, adapter, capacity)

    def _prompt_tokens(self, prompt: Prompt) -> Sequence[int]:
        if isinstance(prompt, str):
            return self.tokenizer.encode(prompt)
        if isinstance(prompt, Mapping):
            raise TypeError("prompt is a dict; a conversation is a list of them")
        if isinstance(prompt, (bytes, os.PathLike)) or (len(prompt) and isinstance(prompt[0], str)):
            kind = kind_of(prompt) if isinstance(prompt, (bytes, os.PathLike)) else "a list of texts"
            raise TypeError(f"prompt is {kind}; it must be one text, a conversation, or token ids: call generate for each")
        if len(prompt) and isinstance(prompt[0], Mapping):
            messages = cast("Sequence[Mapping[str, str]]", prompt)
            return self.tokenizer.encode(self.tokenizer.apply_chat_template(messages), add_special=False)
        batch = _tokens.batch(cast("Sequence[int]", prompt))
        if len(batch.lengths) != 1:
            raise InvalidArgumentError(f"prompt has {len(batch.lengths)} rows of ids; call generate for each")
        return cast("Sequence[int]", batch.ids)

    def _described(self) -> str:
        info = self.info
        return f"{info.model_type}, {info.layers} layers of width {info.hidden_size}, {info.parameters} parameters"
