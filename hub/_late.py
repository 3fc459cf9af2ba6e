"""Parts of a hub that few programs use: what they need is imported, and they are made, at the first use."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from .forks import register_at_fork

__all__ = ("Late",)

T = TypeVar("T")


class Late(Generic[T]):
    """A part that is made when it is asked for, once, in any thread."""

    def __init__(self, make: Callable[[], T]) -> None:
        """``make`` imports what the part needs: until then the program has not waited for it."""
        self._make = make
        self._part: T | None = None
        self._making = threading.Lock()
        register_at_fork(self)

    def after_fork_in_child(self) -> None:
        """A thread of the parent may have been making it, which the child does not have."""
        self._making = threading.Lock()

    def made(self) -> T:
        """Return the part; the first call makes it."""
        if self._part is None:
            with self._making:
                if self._part is None:
                    self._part = self._make()
        return self._part
