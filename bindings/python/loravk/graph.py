"""Operations recorded once and run as often as wanted."""
from __future__ import annotations

from typing import TYPE_CHECKING

from ._library import Object, create, lib
from .errors import Error

if TYPE_CHECKING:
    from .context import Context


class Recording(Object):
    """A graph, and the block that records it. Operations of the context, whatever thread calls them, are recorded while the
    block lasts; uploads and downloads happen at once. It keeps its tensors alive."""

    _kind = "graph"

    def __init__(self, context: Context) -> None:
        self._context = context
        self._owned = None

    def __enter__(self) -> Recording:
        lib.loravk_graph_begin(self._context._handle)
        self._context._recording = self
        return self

    def __exit__(self, kind: object, *rest: object) -> None:
        self._context._recording = None
        try:
            super().__init__(create(lib.loravk_graph_end, self._context._handle))
        except Error:
            if kind is None:
                raise  # else what ended the block is the error to see
        if kind is not None:
            self.close()

    def run(self) -> None:
        """Runs all of it, and waits."""
        lib.loravk_graph_run(self._handle)
