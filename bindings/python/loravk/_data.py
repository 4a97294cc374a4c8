"""Training data: a file or folder, or examples, which are written to a file for the library to read."""
from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypedDict, Union

from . import _api
from ._library import text

#: A .jsonl or .txt file, a folder with train.jsonl (and valid.jsonl), or examples: {"messages": …}, {"prompt": …,
#: "completion": …}, {"text": …} or plain text.
Data = Union[str, os.PathLike, Iterable[Union[str, Mapping[str, Any]]]]


class DataFormat(TypedDict, total=False):
    """How data is read, as in `Trainer.fit`."""

    prompt_template: str | None
    completion_template: str | None
    max_tokens: int
    learn_prompts: bool
    append_end: bool


@contextlib.contextmanager
def data_config(
    data: Data, *, prompt_template: str | None = None, completion_template: str | None = None, max_tokens: int = 512,
    learn_prompts: bool = False, append_end: bool = True,
) -> Iterator[_api.DataConfig]:
    config = _api.DataConfig(
        prompt_template=None if prompt_template is None else text(prompt_template, "prompt_template"),
        completion_template=None if completion_template is None else text(completion_template, "completion_template"),
        max_tokens=max_tokens, learn_prompts=learn_prompts, no_end=not append_end)
    with contextlib.ExitStack() as stack:
        path = data if isinstance(data, (str, os.PathLike)) else stack.enter_context(_written(data))
        config.path = text(path, "data")
        yield config


@contextlib.contextmanager
def _written(examples: Iterable[Any]) -> Iterator[str]:
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", prefix="loravk-", suffix=".jsonl") as file:
        for example in examples:
            line = {"text": example} if isinstance(example, str) else dict(example)
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
        file.flush()
        yield file.name
