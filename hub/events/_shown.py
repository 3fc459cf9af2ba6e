"""Values of strangers: what they are, as a number, and in texts of ours, however their methods behave.

In texts they are bounded, of one line, and without their ``__repr__`` or ``__str__``: these may raise, block, or return
text without end. So values of a few built-in types are written out, and of all others the name of their class.
"""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import math
import numbers
import operator
import types
import uuid
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeGuard

from ._canonical import FrozenDict

__all__ = (
    "FAULTS_MAX",
    "is_a",
    "is_name",
    "listed",
    "member",
    "nearest",
    "nearest_name",
    "number_of",
    "said",
    "shown",
    "type_name",
    "whole_of",
)

FAULTS_MAX = 100
"""How many faults of an event an error holds."""

_FAULTS_SAID = 5
_LENGTH_MAX = 200
_TEXT_LENGTH_MAX = 80
_NAME_LENGTH_MAX = 255
_ITEMS_MAX = 4
_DEPTH_MAX = 2

_WRITTEN_OUT = frozenset(
    {type(None), bool, float, dt.datetime, dt.date, dt.time, dt.timedelta, decimal.Decimal, uuid.UUID}
)
_BRACKETS: dict[Any, str] = {list: "[]", tuple: "()", set: "{}", frozenset: "{}"}

_name_of_class = type.__dict__["__name__"].__get__
"""A metaclass may say what it wants; this is what the class was made with."""


def shown(value: object) -> str:
    """Return what a value is, for an error: at most 200 characters of text that can be written and printed."""
    text = _shown(value, 0)
    return text if len(text) <= _LENGTH_MAX else f"{text[: _LENGTH_MAX - 1]}…"


def is_a(value: object, kind: type | tuple[type, ...]) -> bool:
    """Tell whether a value is of a class; its ``__class__`` may be a property that raises."""
    try:
        return isinstance(value, kind)
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 - then it is refused
        return False


def nearest(given: object, known: Iterable[str]) -> str:
    """Return advice that names what was probably meant; none if no name is near."""
    if not is_a(given, str):
        return ""
    given = str.__str__(given)  # a subclass may answer for itself as it likes
    if len(given) > 100:
        return ""
    found = nearest_name(given, known)
    return "" if found is None else f"did you mean {found}?"


def nearest_name(given: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the name among ``known`` that was probably meant; None if none is near."""
    import difflib  # noqa: PLC0415 - few programs get a name wrong, and all would pay for it when they start

    return next(iter(difflib.get_close_matches(given, list(known), 1, cutoff)), None)


def is_name(value: object) -> TypeGuard[str]:
    """Tell whether a value is plain text that UTF-8 can hold, not empty and of a bounded length."""
    if type(value) is not str or not 0 < len(value) <= _NAME_LENGTH_MAX:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def whole_of(value: Any) -> int | None:
    """Return the whole number that a value is, also one of numpy; None if it is none."""
    if value is True or value is False or is_a(value, float):
        return None
    try:
        if is_a(value, int):
            return int.__int__(value)
        return int.__int__(operator.index(value))
    except Exception:  # noqa: BLE001 - the value is a stranger's: it is refused after any error
        return None


def number_of(value: Any) -> float | None:
    """Return the finite number that a value is, also one of numpy or a decimal; None if it is none."""
    if value is True or value is False:
        return None
    try:
        if is_a(value, float):
            number = float.__float__(value)
        elif is_a(value, int):
            number = float(int.__int__(value))
        elif is_a(value, (numbers.Real, decimal.Decimal)):
            number = float.__float__(float(value))
        else:
            return None
    except Exception:  # noqa: BLE001 - the value is a stranger's: it is refused after any error
        return None
    return number if math.isfinite(number) else None


def member(given: object, kind: type[enum.Enum]) -> str:
    """Return advice that names the member of an enumeration that was probably meant; all of them if none is near."""
    names = [each.name for each in kind]
    found = nearest_name(given.upper(), names) if type(given) is str and len(given) <= 100 else None
    if found is not None:
        return f"write {kind.__name__}.{found}"
    return f"write one of {', '.join(f'{kind.__name__}.{name}' for name in names)}"


def listed(ids: Collection[str]) -> str:
    """Return ids, for an error: a few of them, and how many there are."""
    few = ", ".join(each[:_NAME_LENGTH_MAX] for each in islice(ids, _ITEMS_MAX))
    return few if len(ids) <= _ITEMS_MAX else f"{few} and {len(ids) - _ITEMS_MAX} more"


def said(faults: Sequence[object]) -> Iterator[str]:
    """Return what an error's message says of what is wrong: the first few, and how many more there are."""
    yield from (str(each)[:_NAME_LENGTH_MAX] for each in islice(faults, _FAULTS_SAID))
    if len(faults) > _FAULTS_SAID:
        yield f"and {len(faults) - _FAULTS_SAID} more"


def type_name(value: object) -> str:
    """Return the name of a value's class, bounded and printable."""
    return _printable(_name_of_class(type(value)))


def _shown(value: Any, depth: int) -> str:
    kind = type(value)
    if kind in _WRITTEN_OUT:
        return repr(value)
    if kind is int:
        return repr(value) if value.bit_length() <= 128 else f"a whole number of {value.bit_length()} bits"
    if kind is str or kind is bytes:
        return repr(value) if len(value) <= _TEXT_LENGTH_MAX else f"{value[:_TEXT_LENGTH_MAX]!r}…"
    if kind in _BRACKETS:
        return _BRACKETS[kind][0] + _joined(_shown_items(value, depth), len(value)) + _BRACKETS[kind][1]
    if kind is dict or kind is FrozenDict:
        return "{" + _joined(_shown_entries(value, depth), len(value)) + "}"
    if kind is types.FunctionType:
        return f"the function {_printable(value.__name__)}"
    if kind is types.MethodType and type(value.__func__) is types.FunctionType:
        return f"the method {_printable(value.__func__.__name__)}"
    if kind is types.CoroutineType:
        return f"the coroutine {_printable(value.__name__)}, which was not awaited"
    if issubclass(kind, type):
        return f"the class {_printable(_name_of_class(value))}"
    if issubclass(kind, enum.Enum):
        return f"{type_name(value)}.{_printable(object.__getattribute__(value, '_name_'))}"
    return f"an object of class {type_name(value)}"


def _shown_items(value: Iterable[Any], depth: int) -> list[str]:
    return ["…"] if depth == _DEPTH_MAX else [_shown(each, depth + 1) for each in islice(value, _ITEMS_MAX)]


def _shown_entries(value: dict[Any, Any], depth: int) -> list[str]:
    if depth == _DEPTH_MAX:
        return ["…"]
    entries = islice(value.items(), _ITEMS_MAX)
    return [f"{_shown(key, depth + 1)}: {_shown(each, depth + 1)}" for key, each in entries]


def _joined(items: list[str], count: int) -> str:
    return ", ".join(items if count <= _ITEMS_MAX or items == ["…"] else [*items, f"… {count} in all"])


def _printable(name: object) -> str:
    if type(name) is not str:
        return "?"
    return name[:_TEXT_LENGTH_MAX].encode("ascii", "backslashreplace").decode()
