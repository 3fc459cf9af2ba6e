"""Calls of code that is not ours, and all that it may raise, return or say.

One guard for all guests: only an ``Exception`` comes out of a guarded call, what is said about it is bounded
text, and an answer is checked before it is used. A guest that may hang is called in a task (:mod:`.tasks`) or a thread
(:mod:`.threads`) of its own.
"""

from __future__ import annotations

import asyncio
import inspect
import math
import signal
import threading
from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec, TypeVar

import anyio

__all__ = (
    "class_name",
    "clean",
    "expect",
    "failure_of",
    "guarded",
    "guarded_call",
    "guarded_for_caller",
    "is_async",
    "is_cancelled",
    "message_of",
    "repr_of",
    "text_of",
)

P = ParamSpec("P")
T = TypeVar("T")

TEXT_CHARS_MAX = 1000
NAME_CHARS_MAX = 200
REPR_CHARS_MAX = 100


def guarded_call(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call foreign code that does not wait. Only an ``Exception`` comes out of it."""
    try:
        return function(*args, **kwargs)
    except BaseException as error:
        failure = failure_of(error)
        if failure is error:
            raise
        raise failure from error


def is_async(function: object) -> bool:
    """Tell whether this is an async function. What cannot be asked is none: an attribute is the guest's code, too."""
    try:
        return guarded_call(inspect.iscoroutinefunction, function)
    except Exception:  # noqa: BLE001 - it has said by this that it is no function
        return False


async def guarded(function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
    """Await foreign code in this task. Only an ``Exception`` comes out, unless the task is cancelled from here.

    This trusts the code to end when it is cancelled; see :class:`~.tasks.GuestTask` for code that may not.
    """
    try:
        return await function(*args, **kwargs)
    except BaseException as error:
        if (cancellation := _cancellation_in(error)) is not None and is_cancelled():
            raise cancellation from None
        failure = failure_of(error)
        if failure is error:
            raise
        raise failure from error


async def guarded_for_caller(function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
    """Await foreign code in a task of the caller's, who may cancel it as tasks are cancelled: that comes out, too.

    Code that cancels the task which it runs in has it cancelled.
    """
    task = asyncio.current_task()
    before = 0 if task is None else task.cancelling()
    try:
        return await function(*args, **kwargs)
    except BaseException as error:
        if (cancellation := _cancellation_in(error)) is not None and (
            (task is not None and task.cancelling() > before) or anyio.current_effective_deadline() == -math.inf
        ):
            raise cancellation from None
        failure = failure_of(error)
        if failure is error:
            raise
        raise failure from error


def failure_of(error: BaseException) -> Exception:
    """Return what a guest raised as an ``Exception``: itself, or an error that says what it was.

    ``SystemExit``, ``GeneratorExit``, ``CancelledError``, a panic of a native extension or a group with one of them is
    the guest's own failure. So is ``KeyboardInterrupt``, except where it can be a person's: where no runner turns
    Ctrl-C into a cancellation, it is raised again.
    """
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error  # that one would end a generator of ours
    if isinstance(error, KeyboardInterrupt) and _ctrl_c_raises():
        raise error
    if isinstance(error, asyncio.CancelledError):
        failure = RuntimeError("it raised CancelledError, though nobody had cancelled it")
    else:
        failure = RuntimeError(f"it raised {text_of(error)}")
    failure.__cause__ = error
    return failure


def _cancellation_in(error: BaseException) -> asyncio.CancelledError | None:
    """Return the cancellation that an error is, or that a group holds alone."""
    if isinstance(error, BaseExceptionGroup):
        found = [_cancellation_in(each) for each in error.exceptions]
        return found[0] if all(found) else None
    return error if isinstance(error, asyncio.CancelledError) else None


def _ctrl_c_raises() -> bool:
    is_main = threading.current_thread() is threading.main_thread()
    return is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler


def is_cancelled() -> bool:
    """Tell whether the running task is being cancelled by one of the scopes it is in; forget if it cancelled itself."""
    if anyio.current_effective_deadline() == -math.inf:
        return True
    task = asyncio.current_task()
    while task is not None and task.cancelling():
        task.uncancel()
    return False


# --- what it answers ------------------------------------------------------------------------------------------------


def expect(answer: Any, kind: type[T] | tuple[type[T], ...], what: str) -> T:
    """Return a guest's answer if it is of this type; otherwise raise ``TypeError``: it returned …, not ``what``.

    ``True`` is no number here. The answer is not asked for its class, because it may lie; a text or a number of a class
    of the guest's own comes back as a plain one, because its methods are the guest's code.
    """
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if issubclass(type(answer), kinds) and (type(answer) is not bool or bool in kinds):
        checked: Any = _plain(answer)
        return checked  # type: ignore[no-any-return]
    raise TypeError(f"it returned {repr_of(answer)}, not {what}")


def _plain(answer: Any) -> Any:
    if issubclass(type(answer), str):
        return str.__str__(answer)
    if issubclass(type(answer), int) and type(answer) is not bool:
        return int.__int__(answer)
    return answer


# --- what it says ---------------------------------------------------------------------------------------------------


def text_of(error: BaseException) -> str:
    """Return what an exception is and what it says, as bounded text that can be stored."""
    message = message_of(error)
    name = class_name(error)
    return f"{name}: {message}" if message else name


def message_of(error: BaseException) -> str:
    """Return what an exception says, as bounded text that can be stored; its class may be a stranger's."""
    return _said(str, error, TEXT_CHARS_MAX)


def repr_of(value: object) -> str:
    """Return the ``repr`` of a foreign object for an error's message, as bounded text that can be stored."""
    return _said(repr, value, REPR_CHARS_MAX)


def class_name(value: object) -> str:
    """Return the name of the class of a foreign object, as bounded text that can be stored."""
    # Not type(value).__name__: a metaclass may make that a property of its own.
    name: str = type.__dict__["__name__"].__get__(type(value))
    return clean(name, NAME_CHARS_MAX)


def clean(text: str, chars_max: int = TEXT_CHARS_MAX) -> str:
    """Return foreign text cut to so many characters, as a plain ``str`` that UTF-8 can hold."""
    if type(text) is str and len(text) <= chars_max and text.isascii():
        return text
    return str.__getitem__(text, slice(chars_max)).encode(errors="backslashreplace").decode()


def _said(say: Callable[[Any], str], value: object, chars_max: int) -> str:
    try:
        return clean(say(value), chars_max)
    except BaseException as again:  # noqa: BLE001 - what a stranger's __str__ raises must not become ours
        return f"(its text raised {class_name(again)})"
