"""raises: a store can be proved without importing pytest."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

E = TypeVar("E", bound=BaseException)


class Caught(Generic[E]):
    """The error that :func:`raises` caught."""

    error: E


@contextmanager
def raises(expected: type[E] | tuple[type[E], ...]) -> Iterator[Caught[E]]:
    """Fail unless the block raises ``expected``, or one of them."""
    caught: Caught[E] = Caught()
    try:
        yield caught
    except expected as error:
        caught.error = error
        return
    names = " or ".join([each.__name__ for each in (expected if isinstance(expected, tuple) else (expected,))])
    raise AssertionError(f"{names} was not raised")
