"""Types of fields in a rule: what the annotations of declared kinds are, for what no class declares."""

from __future__ import annotations

import typing
from typing import Any

import attrs

from .._foreign.arguments import Call
from .._foreign.guards import guarded_call
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
        if guarded_call(_says_a_type, hint):
            return Type(path, hint, guarded_call(words, plain(hint)), guarded_call(check_of, plain(hint)))
    except Exception:  # noqa: BLE001, S110 - an annotation may be an object of any class: then it is refused
        pass
    raise call.refusal(
        f"types[{path.text!r}]",
        hint,
        "a type that can be checked: str, int, float, bool, list[str], dict, Literal, a class of values",
    )


def _says_a_type(hint: Any) -> bool:
    if not isinstance(hint, (type, typing.NewType)) and typing.get_origin(hint) is None:
        return False
    return all(rank(each) != ANY for each in members_of(hint))
