"""Training data: a file or folder, or examples in memory, which the library gets as JSON."""
from __future__ import annotations

import ctypes
import json
import os
from collections.abc import Iterable, Mapping
from typing import Any, TypedDict, Union

from . import _api
from ._library import kind_of, optional_text, path_text

#: A .jsonl or .txt file, a folder with train.jsonl (and valid.jsonl), or examples: {"messages": …}, {"prompt": …,
#: "completion": …}, {"text": …} or plain text, {"prompt": …, "chosen": …, "rejected": …} for objectives that compare answers; also as a table of such columns (pandas, polars, pyarrow, datasets, or a dict of
#: lists).
Data = Union[str, os.PathLike, Iterable[Union[str, Mapping[str, Any]]], Mapping[str, Any]]


class DataFormat(TypedDict, total=False):
    """How data is read, as in `Trainer.fit`."""

    prompt_template: str | None
    completion_template: str | None
    max_tokens: int | None
    learn_prompts: bool
    append_end: bool
    format: str | None


def data_config(
    data: Data, *, prompt_template: str | None = None, completion_template: str | None = None, max_tokens: int | None = None,
    learn_prompts: bool = False, append_end: bool = True, format: str | None = None, objective: str | None = None,
) -> _api.DataConfig:
    config = _api.DataConfig(
        prompt_template=optional_text(prompt_template, "prompt_template"),
        completion_template=optional_text(completion_template, "completion_template"), max_tokens=max_tokens,
        learn_prompts=learn_prompts, no_end=not append_end, format=optional_text(format, "format"),
        objective=optional_text(objective, "objective"))
    if isinstance(data, (str, os.PathLike)):
        config.path = path_text(data, "data")
    else:
        lines = [_line(row, index) for index, row in enumerate(_rows(data))]
        if not lines:
            raise ValueError("data has no examples")
        config.rows, config.row_count = (ctypes.c_char_p * len(lines))(*lines), len(lines)
    return config


def _rows(data: Any) -> Iterable[Any]:
    """The examples of a table, or of what already is a series of them."""
    if hasattr(data, "to_dicts"):  # polars
        return data.to_dicts()
    if hasattr(data, "to_pylist"):  # pyarrow
        return data.to_pylist()
    if hasattr(data, "columns") and hasattr(data, "to_dict"):  # pandas, where what is missing is NaN
        return [{key: value for key, value in row.items() if not _is_missing(value)} for row in data.to_dict("records")]
    if isinstance(data, Mapping):
        return _columns(data)
    if isinstance(data, (bytes, bytearray)) or not isinstance(data, Iterable):
        raise TypeError(f"data is {kind_of(data)}; it must be the path of a file, or examples")
    return data


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and value != value)


def _columns(data: Mapping[str, Any]) -> Iterable[Any]:
    """Rows of a dict of equally long lists."""
    for key, column in data.items():
        if hasattr(column, "column_names"):
            raise TypeError(f"data has the splits {', '.join(map(repr, data))}; give one of them: data[{key!r}]")
        if isinstance(column, (str, bytes, Mapping)) or not hasattr(column, "__len__"):
            raise TypeError(f"data is one dict, whose {key!r} is {kind_of(column)}; give a list of examples, or a dict of lists")
    lengths = {key: len(column) for key, column in data.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"the columns of data have different lengths: {lengths}")
    return [dict(zip(data, values)) for values in zip(*data.values())]


def _line(row: Any, index: int) -> bytes:
    if isinstance(row, str):
        row = {"text": row}
    if not isinstance(row, Mapping):
        raise TypeError(
            f"data[{index}] is {kind_of(row)}; it must be a dict or a str (token ids go into Trainer.step and Model.evaluate, or "
            'as {"input_ids": …})')
    try:
        return json.dumps(dict(row), ensure_ascii=False, default=_plain).encode()
    except TypeError as error:
        raise TypeError(f"data[{index}]: {error}") from None
    except UnicodeEncodeError as error:
        raise ValueError(f"data[{index}]: {error}") from None


def _plain(value: Any) -> Any:
    """What numpy and its like have, as JSON knows it."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{kind_of(value)} cannot be written as JSON")
