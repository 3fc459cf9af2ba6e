"""Arguments of public calls, checked where they come in.

One error form: the call, the argument, what is wanted, what was given (:func:`shown`: bounded, and no foreign
``__repr__`` is called), and what to do. It is :class:`~hubwire.errors.CommandRejected` for commands on agents,
channels, tasks, approvals and inboxes, and :class:`~hubwire.errors.ConfigurationError` for what sets up a hub, a
listener, an actor or a plug-in, or waits for one. Each check returns the value as the hub goes on with it: an exact
``str``, ``int``, ``float``, ``bool`` or ``tuple``, made from subclasses, and from numbers of numpy and ``decimal``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from enum import Enum
from itertools import islice
from typing import Any, Literal, TypeVar, overload

import attrs

from .._values import Value
from ..errors import CallerError, CommandRejected
from ..events._shown import is_a, member, nearest, number_of, shown, whole_of
from .guards import guarded_call

__all__ = ("ID_LENGTH_MAX", "SECONDS_MAX", "Call", "has_method", "is_a", "nearest", "number_of", "shown", "whole_of")

T = TypeVar("T")
E = TypeVar("E", bound=Enum)

SECONDS_MAX = 1e9
"""Thirty years: a longer time is a mistake, or means never, for which there is None."""

ID_LENGTH_MAX = 500
"""Ours have 32; those of tasks that run elsewhere are what they are there."""

ITEMS_MAX = 100_000
"""How many a list may have that is given as an argument: one that does not end must not hold up the loop."""


@attrs.frozen(eq=False, repr=False)
class Call(Value):
    """A public call, as its errors name it, and the class of these errors."""

    name: str
    error: Callable[[str], CallerError] = CommandRejected

    def refusal(self, argument: str, value: object, wanted: str, advice: str = "") -> CallerError:
        """Return the error for an argument; ``wanted`` goes on after "is", ``advice`` says what to do."""
        return self.error(f"{self.name}: {argument} is {wanted}, not {shown(value)}{'; ' if advice else ''}{advice}")

    # -- text --

    @overload
    def text(self, argument: str, value: object, *, wanted: str = ..., is_empty_ok: bool = ...) -> str: ...
    @overload
    def text(
        self, argument: str, value: object, *, is_optional: Literal[True], wanted: str = ..., is_empty_ok: bool = ...
    ) -> str | None: ...
    def text(
        self,
        argument: str,
        value: object,
        *,
        is_optional: bool = False,
        wanted: str = "text",
        is_empty_ok: bool = True,
    ) -> str | None:
        """Return text that UTF-8 can hold; text with lone surrogates would not be read back as it was written."""
        if value is None and is_optional:
            return None
        if type(value) is str and value.isascii() and value:
            return value
        if not is_a(value, str):
            raise self.refusal(argument, value, wanted)
        text = str.__str__(value)
        if not _is_clean(text):
            raise self.refusal(argument, text, f"{wanted} that UTF-8 can hold", "replace its lone surrogates")
        if not text and not is_empty_ok:
            raise self.refusal(argument, text, f"{wanted}, not empty")
        return text

    def one_of(self, argument: str, value: object, choices: Collection[str]) -> str:
        """Return one of the texts that there are."""
        if type(value) is str and value in choices:
            return value
        text = str.__str__(value) if is_a(value, str) else None
        if text is None or text not in choices:
            raise self.refusal(argument, value, f"one of {', '.join(choices)}", nearest(text, choices))
        return text

    def id(self, argument: str, value: object, *, wanted: str) -> str:
        """Return an id, or a name in its place: text of a bounded length."""
        text = self.text(argument, value, wanted=wanted)
        if len(text) > ID_LENGTH_MAX:
            raise self.refusal(argument, text, f"{wanted}, of at most {ID_LENGTH_MAX} characters")
        return text

    # -- numbers --

    def flag(self, argument: str, value: object) -> bool:
        if value is True or value is False:
            return value
        raise self.refusal(argument, value, "True or False")

    @overload
    def whole(self, argument: str, value: object, *, least: int = ..., most: int = ...) -> int: ...
    @overload
    def whole(
        self, argument: str, value: object, *, least: int = ..., most: int = ..., is_optional: Literal[True]
    ) -> int | None: ...
    def whole(
        self, argument: str, value: object, *, least: int = 0, most: int = 2**53 - 1, is_optional: bool = False
    ) -> int | None:
        """Return a whole number; it is no boolean, and no float."""
        if value is None and is_optional:
            return None
        number = whole_of(value)
        if number is None or not least <= number <= most:
            above = f" to {most}" if most < 2**53 - 1 else " on"
            raise self.refusal(argument, value, f"a whole number from {least}{above}{_or_none(is_optional)}")
        return number

    @overload
    def seconds(self, argument: str, value: object, *, is_zero_ok: bool = ..., most: float = ...) -> float: ...
    @overload
    def seconds(
        self, argument: str, value: object, *, is_zero_ok: bool = ..., most: float = ..., is_optional: Literal[True]
    ) -> float | None: ...
    def seconds(
        self,
        argument: str,
        value: object,
        *,
        is_zero_ok: bool = False,
        most: float = SECONDS_MAX,
        is_optional: bool = False,
    ) -> float | None:
        """Return a number of seconds, of at most thirty years."""
        if value is None and is_optional:
            return None
        if type(value) is float and (0.0 < value <= most or (is_zero_ok and value == 0.0)):
            return value
        number = number_of(value)
        if number is None or not (number >= 0 if is_zero_ok else number > 0) or not number <= most:
            least = "0 or more" if is_zero_ok else "more than 0"
            wanted = f"a number of seconds, {least} and at most {most:g}{_or_none(is_optional)}"
            advice = "write its .total_seconds()" if type(value).__name__ == "timedelta" else ""
            raise self.refusal(argument, value, wanted, advice)
        return number

    # -- things --

    def items(
        self, argument: str, value: object, *, of: str, most: int = ITEMS_MAX, too_many: str = ""
    ) -> tuple[Any, ...]:
        """Return the items of a list; ``of`` says what it is a list of. A text is not a list of its letters.

        ``too_many`` says what to do with more than ``most``.
        """
        if is_a(value, str) or is_a(value, bytes) or is_a(value, Mapping) or not is_a(value, Iterable):
            is_one = type(value) is str and value
            raise self.refusal(argument, value, f"a list of {of}", f"write [{shown(value)}]" if is_one else "")
        iterable: Any = value
        try:
            items = tuple(islice(iterable, most + 1))
        except Exception as error:
            raise self.refusal(argument, value, f"a list of {of}", "reading it raised an exception") from error
        if len(items) > most:
            raise self.refusal(argument, value, f"a list of at most {most} {of}", too_many)
        return items

    def mapping(self, argument: str, value: object, *, wanted: str = "a mapping") -> dict[Any, Any]:
        """Return a copy of a mapping."""
        if not is_a(value, Mapping):
            raise self.refusal(argument, value, wanted)
        mapping: Any = value
        try:
            return dict(mapping)
        except Exception as error:
            raise self.refusal(argument, value, wanted, "reading it raised an exception") from error

    def instance(self, argument: str, value: object, kind: type[T], *, wanted: str = "", advice: str = "") -> T:
        """Return an object of this class."""
        if is_a(value, kind):
            return value  # type: ignore[return-value]
        raise self.refusal(argument, value, wanted or f"a hubwire.{kind.__name__}", advice)

    def member(self, argument: str, value: object, kind: type[E], *, wanted: str = "") -> E:
        """Return a member of an enumeration; its name or its value as text is none, and the advice names the member."""
        return self.instance(argument, value, kind, wanted=wanted, advice=member(value, kind))

    def keys(self, argument: str, given: Iterable[Any], known: Collection[str]) -> None:
        """Refuse keys that are not known, and name the nearest one that is."""
        for key in given:
            if type(key) is not str or key not in known:
                raise self.error(
                    f"{self.name}: {argument} has no {shown(key)}; it has {', '.join(sorted(known))}"
                    f"{_separated(nearest(key, known))}"
                )


def has_method(value: object, method: str) -> bool:
    """Tell whether an object, not a class, has a method of this name."""
    try:
        return not isinstance(value, type) and callable(guarded_call(getattr, value, method, None))
    except Exception:  # noqa: BLE001 - the value is a stranger's: then it is refused
        return False


def _is_clean(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _or_none(is_optional: bool) -> str:  # noqa: FBT001 - it is used in texts alone
    return ", or None" if is_optional else ""


def _separated(advice: str) -> str:
    return f"; {advice}" if advice else ""
