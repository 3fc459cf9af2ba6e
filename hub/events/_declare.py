"""Declaring a kind of event: the decorator, its checks, and the table of kinds."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from importlib import import_module
from keyword import iskeyword
from typing import Any, TypeVar, cast, dataclass_transform

import attrs

from ..errors import ConfigurationError
from ._event import HEADER, Event
from ._late import LATE, LATE_MODULES
from ._pairs import alias_of, declared_fields, default_of, is_argument, pair
from ._severity import Severity
from ._shown import is_a, shown

__all__ = ("check_kind", "declared_kinds", "event", "is_undeclared", "kind_class", "note_undeclared")

E = TypeVar("E")

_KIND = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")
_RESERVED = frozenset({"d", "h", "kind", "command"})

_kinds: dict[str, type[Event]] = {}
_undeclared: set[str] = set()
"""Kinds that were looked at and are well spelt, and not declared."""
_UNDECLARED_MAX = 4096


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(attrs.field,))
def event(
    kind: str, *, command: str | None = None, severity: Severity | str | None = None
) -> Callable[[type[E]], type[E]]:
    """Declare a kind of event: ``@event("billing.charged") class Charged(Event): amount: int``.

    Fields hold what JSON holds: text, integers, numbers, booleans, None, mappings and tuples of them. ``command`` names
    the one command that makes such events, if a state machine owns them. ``severity`` is that of events which are made
    without one; it costs nothing, because it is the default of the field. Raises
    :class:`~hubwire.errors.ConfigurationError` for a wrong or taken kind, a field name that records reserve, or what is
    no :class:`~hubwire.events.Severity`; and for a default that one event could change for all: a list or a dictionary.
    """
    check_kind(kind)
    default = None if severity is None else _checked_severity(severity)

    def declare(cls: type[E]) -> type[E]:
        frozen: type[Event] = pair(cls, _checked_fields(cls), None if default is None else {"severity": default})
        # The other class of the pair is that of an event while it is stamped in place.
        for each in (frozen, cast(type[Event], frozen.__mro__[1])):
            each.kind, each.command = kind, command
        name = (cls.__module__, cls.__qualname__)
        taken = _kinds.get(kind)
        if taken is not None and (taken.__module__, taken.__qualname__) != name:
            raise ConfigurationError(f"kind {kind!r} is declared by {taken.__module__}.{taken.__qualname__} already")
        if taken is None and (late := _late_name(kind)) is not None and late != name:
            raise ConfigurationError(f"kind {kind!r} is declared by {'.'.join(late)} already")
        _kinds[kind] = frozen
        _undeclared.discard(kind)
        return cast(type[E], frozen)

    return declare


def check_kind(kind: str) -> None:
    """Raise :class:`~hubwire.errors.ConfigurationError` unless ``kind`` is spelt as kinds are."""
    if not issubclass(type(kind), str) or not _KIND.fullmatch(kind):
        raise ConfigurationError(
            f"{shown(kind)} is not a kind of event; write two or more lower-case words joined by dots"
        )


def is_undeclared(kind: str) -> bool:
    """Tell whether an event of this kind is known to be a generic one. False also where that has not been found out."""
    return type(kind) is str and kind in _undeclared


def note_undeclared(kind: str) -> None:
    """Remember that events of this kind are generic ones, until it is declared."""
    if len(_undeclared) >= _UNDECLARED_MAX:
        _undeclared.clear()
    _undeclared.add(kind)


def declared_kinds() -> Collection[str]:
    """Return the kinds that are declared in this process by now, and those that are with the first event of theirs."""
    return _kinds.keys() | LATE_MODULES.keys()


def kind_class(kind: str) -> type[Event] | None:
    """Return the class that declares ``kind``, or None if it is not declared in this process."""
    cls = _kinds.get(kind)
    if cls is None and (module := LATE_MODULES.get(kind)) is not None:
        import_module(f".{module}", __package__)
        cls = _kinds.get(kind)
    return cls


def _late_name(kind: str) -> tuple[str, str] | None:
    """Return the module and the name of the class of a kind that is declared with the first event of its."""
    module = LATE_MODULES.get(kind)
    return None if module is None else (f"{__package__}.{module}", LATE[module][kind])


def _checked_severity(value: object) -> Severity:
    try:
        if is_a(value, str):
            return Severity(str.__str__(value))
    except ValueError:
        pass
    raise ConfigurationError(f"{shown(value)} is no severity; write one of {', '.join(map(str, Severity.__members__))}")


def _checked_fields(cls: type[Any]) -> dict[str, Any]:
    """Return the fields that a declaration adds, with their defaults. Raises ``ConfigurationError`` for a wrong one."""
    if Event not in cls.__bases__:
        raise ConfigurationError(
            f"{cls.__qualname__} must inherit from Event itself: kinds do not inherit from each other"
        )
    if taken := sorted(_NOT_DECLARED.intersection(vars(cls))):
        raise ConfigurationError(
            f"{cls.__qualname__} defines {', '.join(taken)}, but events are also made by copying their fields; leave it"
            " out: __attrs_post_init__ is called for what is made by the program"
        )
    own = declared_fields(cls)
    if clash := sorted(name for name in own if name in HEADER or name in _RESERVED):
        raise ConfigurationError(
            f"{cls.__qualname__} declares {', '.join(clash)}, which every event or record has already; rename it"
        )
    if hidden := sorted(name for name, default in own.items() if name.startswith("_") or not is_argument(default)):
        raise ConfigurationError(
            f"{cls.__qualname__} declares {', '.join(hidden)}, but every field of an event is public, and an argument"
            " when it is made; rename it, or make it a property"
        )
    if odd := sorted(name for name in own if not _is_argument_name(name)):
        raise ConfigurationError(
            f"{cls.__qualname__} declares {', '.join(map(shown, odd))}, which cannot be the name of an argument;"
            " rename it"
        )
    for name, default in own.items():
        kind = type(default_of(default))
        if kind.__hash__ is None:
            raise ConfigurationError(
                f"{cls.__qualname__} declares {name} with one {kind.__name__} as the default of all its events, each of"
                f" which could change it for the others; write {name} = attrs.field(factory={kind.__name__})"
            )
        if (alias := alias_of(default)) not in (None, name):
            raise ConfigurationError(
                f"{cls.__qualname__} declares {name} with the alias {shown(alias)}, but records know a field by one"
                " name; call the field so"
            )
    return own


def _is_argument_name(name: str) -> bool:
    if name.isascii():
        return name.isidentifier() and not iskeyword(name) and name != "self"
    import unicodedata  # noqa: PLC0415 - few have such names

    return name.isidentifier() and unicodedata.normalize("NFKC", name) == name  # Python reads it so in a call


_NOT_DECLARED = frozenset({"__init__", "__new__", "__setattr__", "__delattr__", "__getattribute__"})
"""Methods that kinds have from here."""
