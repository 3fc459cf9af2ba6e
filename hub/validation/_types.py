"""Types of fields in a rule: what the annotations of declared kinds are, for what no class declares."""

from __future__ import annotations

import typing
from typing import Any

import attrs

from .._foreign.arguments import Call
from .._foreign.guards import guarded_call
from ..errors import CallerError
from ..events._types import ANY, Check, Misfit, check_of, members_of, plain, rank, words
from ._paths import Path, path_of

__all__ = ("Misfit", "Type", "type_of")


@attrs.frozen(eq=False, repr=False)
class Type:
    """The type of what is at one path."""

    path: Path
    hint: Any
    wanted: str
    check: Check
    """Raises :class:`Misfit` for a frozen value that is not of the type."""


def type_of(call: Call, name: object, hint: Any) -> Type:
    """Compile the type of a field; refuse what says no type that can be checked."""
    path = path_of(call, "types", name)
    try:
        compiled = guarded_call(_compiled, hint)
    except Exception as error:
        raise _refusal(call, path, hint) from error  # an annotation may be an object of any class
    if compiled is None:
        raise _refusal(call, path, hint)
    return Type(path, hint, *compiled)


def _refusal(call: Call, path: Path, hint: object) -> CallerError:
    wanted = "a type that can be checked: str, int, float, bool, list[str], dict, Literal, a class of values"
    return call.refusal(f"types[{path.text!r}]", hint, wanted)


def _compiled(hint: Any) -> tuple[str, Check] | None:
    """Return what a type takes, in words, and its check; None for what says none that can be checked."""
    if not isinstance(hint, (type, typing.NewType)) and typing.get_origin(hint) is None:
        return None
    if any(rank(each) == ANY for each in members_of(hint)):
        return None
    return words(plain(hint)), check_of(plain(hint))
