"""What is read or called of a feed: all of it goes through here, guarded."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from itertools import islice
from typing import Any

from .._foreign.arguments import Call, is_a, whole_of
from .._foreign.guards import class_name, clean, guarded_call, is_async, message_of, repr_of, text_of
from ..errors import ConfigurationError
from ..events import FrozenDict

__all__ = ("FEED", "AdaptedFeed")

FEED = Call("hub.feed()", ConfigurationError)

PROBLEMS_MAX = 10
NUMBERS_MAX = 100

_CHARS_MAX = 1000
_NAME_CHARS_MAX = 200


class AdaptedFeed:
    """A feed of any class. What the port leaves open is found out here, once.

    Raises :class:`~hubwire.errors.ConfigurationError` if ``candidate`` is no feed.
    """

    def __init__(self, candidate: Any) -> None:
        self.candidate: Any = candidate
        if issubclass(type(candidate), type):
            raise FEED.refusal("feed", candidate, "an object with async def run(self, hub)", "give an instance of it")
        self.run: Callable[[object], Awaitable[object]] = self._async("run", "hub")
        self.finish: Callable[[], Awaitable[object]] | None = self._optional(self._async, "finish")
        self._problems: Callable[[], Any] | None = self._optional(self._sync, "problems")
        self._statistics: Callable[[], Any] | None = self._optional(self._sync, "statistics")
        self.name: str = self._name()

    # -- what it is --

    def _async(self, name: str, *arguments: str) -> Any:
        method = self._read(name)
        wanted = f"async def {name}({', '.join(('self', *arguments))})"
        if method is None:
            raise FEED.refusal("feed", self.candidate, f"an object with {wanted}")
        if not is_async(method):
            raise FEED.error(f"hub.feed(): {name} of {self._shown()} must be a coroutine function: {wanted}")
        self._check_call(method, wanted, arguments)
        return method

    def _sync(self, name: str) -> Any:
        method, wanted = self._read(name), f"def {name}(self)"
        if not callable(method) or is_async(method):
            raise FEED.error(f"hub.feed(): {name} of {self._shown()} must be a method that does not wait: {wanted}")
        self._check_call(method, wanted, ())
        return method

    def _optional(self, read: Callable[[str], Any], name: str) -> Any:
        return None if self._read(name) is None else read(name)

    def _check_call(self, method: Any, wanted: str, arguments: tuple[str, ...]) -> None:
        """Refuse what cannot be called as the hub does: it would fail each time."""
        try:
            signature = guarded_call(inspect.signature, method)
        except Exception:  # noqa: BLE001 - Python does not know it, as of what is written in C: the first call shows
            return
        try:
            guarded_call(signature.bind, *arguments)
        except Exception as error:
            raise FEED.error(
                f"hub.feed(): a method of {self._shown()} cannot be called as the hub does; write {wanted}"
                f" ({message_of(error)})"
            ) from error

    def _read(self, name: str) -> Any:
        """Return an attribute, None if there is none."""
        try:
            return guarded_call(getattr, self.candidate, name, None)
        except Exception as error:
            raise FEED.error(
                f"hub.feed(): reading {name} of {self._shown()} raised an exception ({text_of(error)})"
            ) from error

    def _name(self) -> str:
        name = self._read("name")
        text = clean(str.__str__(name), _NAME_CHARS_MAX) if is_a(name, str) else ""
        text = text if text.strip() else class_name(self.candidate)
        return "".join(each if each.isprintable() else "?" for each in text)

    def _shown(self) -> str:
        return f"class {class_name(self.candidate)}"

    # -- what it says --

    def problems(self) -> list[str]:
        """Return what it should bring and does not, as it says; that it does not answer is a problem, too."""
        found: list[str] = []
        if self._problems is not None:
            try:
                found += guarded_call(_texts, guarded_call(self._problems))
            except Exception as error:  # noqa: BLE001 - all that a guest can raise is its own failure
                found.append(f"its problems() has failed: {text_of(error)}")
        if (failure := self.numbers()[1]) is not None:
            found.append(failure)
        return found

    def numbers(self) -> tuple[FrozenDict, str | None]:
        """Return the numbers that it gives, and why there are none where it has failed at that."""
        if self._statistics is None:
            return FrozenDict(), None
        try:
            return guarded_call(_numbers, guarded_call(self._statistics)), None
        except Exception as error:  # noqa: BLE001 - all that a guest can raise is its own failure
            return FrozenDict(), f"its statistics() has failed: {text_of(error)}"


def _texts(answer: Any) -> list[str]:
    """Return what ``problems()`` has answered as texts; the code of the answer is the guest's, too."""
    if any(is_a(answer, kind) for kind in (str, bytes, Mapping)) or not is_a(answer, Iterable):
        raise _no_answer(answer, "a list of texts")
    texts = list(islice(answer, PROBLEMS_MAX))
    for each in texts:
        if not is_a(each, str):
            raise _no_answer(answer, f"a list of texts: {repr_of(each)} is none")
    return [clean(str.__str__(each), _CHARS_MAX) for each in texts]


def _numbers(answer: Any) -> FrozenDict:
    """Return what ``statistics()`` has answered as names and numbers; the code of the answer is the guest's, too."""
    if not is_a(answer, Mapping):
        raise _no_answer(answer, "a mapping of names to whole numbers")
    numbers: dict[str, int] = {}
    for name, value in islice(answer.items(), NUMBERS_MAX):
        number = whole_of(value)
        if not is_a(name, str) or number is None or not -(2**63) <= number < 2**63:
            raise _no_answer(answer, f"a mapping of names to whole numbers: {repr_of(name)} has {repr_of(value)}")
        numbers[clean(str.__str__(name), _NAME_CHARS_MAX)] = number
    return FrozenDict(numbers)


def _no_answer(answer: Any, wanted: str) -> TypeError:
    if inspect.iscoroutine(answer):
        answer.close()
    return TypeError(f"it returned {repr_of(answer)}, not {wanted}")
