"""What the code here belongs to: the run or tool call of each recorder that is above it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, Token
from types import MappingProxyType
from typing import Any

from .recorder import Recorder

__all__ = ("Above",)

_NONE: Mapping[int, str] = MappingProxyType({})


class Above:
    """The keys of what is above in one runtime. Keys are a recorder's own: two that hear the same have one each."""

    def __init__(self, runtime: str) -> None:
        self._keys: ContextVar[Mapping[int, str]] = ContextVar(f"hubwire.runtimes.{runtime}.above", default=_NONE)

    def key(self, recorder: Recorder) -> str | None:
        """Return the key of the run or tool call that this code belongs to."""
        return self._keys.get().get(id(recorder))

    @contextmanager
    def inside(self, recorder: Recorder, key: str) -> Iterator[None]:
        """Let what runs in here belong to a run or a tool call."""
        token = self._keys.set({**self._keys.get(), id(recorder): key})
        try:
            yield
        finally:
            self._reset(token)

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Let what runs in here belong to nothing that is recorded."""
        token = self._keys.set(_NONE)
        try:
            yield
        finally:
            self._reset(token)

    def _reset(self, token: Token[Any]) -> None:
        try:
            self._keys.reset(token)
        except ValueError:
            pass  # what is closed in another context, as an async generator or a stream may be
