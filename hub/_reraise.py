"""Errors that are raised a second time, and failures that come while another exception is on its way."""

from __future__ import annotations

from typing import TypeVar

__all__ = ("append_context", "repeat")

_E = TypeVar("_E", bound=BaseException)


def repeat(error: _E) -> _E:
    """Return an equal error, for another task to raise: one error raised by two tasks would mix up their tracebacks."""
    copy = type(error).__new__(type(error), *error.args)
    copy.__dict__.update(error.__dict__)
    copy.__cause__ = error.__cause__
    return copy


def append_context(error: BaseException, failure: BaseException) -> None:
    """Append a later failure of the hub to the contexts of the exception that left the body, which stays as it is."""
    last = error
    while last.__context__ is not None and last.__context__ is not failure:
        last = last.__context__
    # A failure raised while the exception was on its way has that as its own context: a circle.
    failure.__context__ = None
    if last is not failure and type(last) is not type(failure):
        last.__context__ = failure
