"""Makers: functions that make objects of a class from the same few fields, as the hub does with each command.

A class that is called with keywords makes a dictionary of them, and looks up the default of each field that is not
among them. For an event that takes four times as long as to set the fields. The arguments of a maker are the fields
that it is given, and all defaults are in its code.

An event knows which maker it is from until it is stamped: no other fields than those that were given are looked at
then.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from types import FunctionType
from typing import Any, ParamSpec, TypeVar, cast

import attrs

from ._pairs import fields_of, is_pair

__all__ = ("event_maker", "given_to", "maker")

P = ParamSpec("P")
T = TypeVar("T")

_Factory: Any = attrs.Factory

_given: list[tuple[frozenset[str], frozenset[str]]] = []
"""Of each maker of events: the fields that are given, and those of them that are known."""


def maker(cls: Callable[P, T], *names: str) -> Callable[P, T]:
    """Return a function that does what calling an attrs class with these fields does; all others have their defaults.

    It takes them in this order, or by keyword, and no others. The class has no validators and no converters. The
    function is compiled when it is first called: a program makes few of all the objects that it could make.
    """
    return cast(Callable[P, T], _later(cls, names, {}))


def event_maker(cls: Callable[P, T], *names: str, known: Collection[str] = ()) -> Callable[P, T]:
    """Return a function that makes events of this kind, as :func:`maker` does, for the hub to stamp.

    ``known`` are those of the fields that hold what the hub has made itself, or has stamped before: text that is short
    and ASCII, or None. They are not looked at when the event is stamped.
    """
    _given.append((frozenset(names), frozenset(known)))
    return cast(Callable[P, T], _later(cls, names, {"_weight": -len(_given)}))


def given_to(number: int) -> tuple[frozenset[str], frozenset[str]]:
    """Return the fields of the events of a maker that are given, and those of them that are known.

    Its number, which is negative, stands in the place of their weight until they are stamped.
    """
    return _given[-number - 1]


def _later(cls: Any, names: tuple[str, ...], others: Mapping[str, object]) -> Any:
    """Return the function; it gets its code when it is called first."""
    namespace: dict[str, Any] = {}
    make = FunctionType(_first_call.__code__, namespace, f"make_{cls.__name__}")

    def compile_now() -> Any:
        _compile(cls, names, others, namespace)
        make.__code__ = namespace["made"].__code__
        return make

    namespace["compile_now"] = compile_now
    return make


def _first_call(*args: Any, **values: Any) -> Any:
    return compile_now()(*args, **values)  # type: ignore[name-defined]  # noqa: F821 - it is in the namespace


def _compile(cls: Any, names: tuple[str, ...], others: Mapping[str, object], namespace: dict[str, Any]) -> None:
    """Compile the function in this namespace, as ``made``."""
    open_class = _open_class_of(cls)
    # In dunders, because the arguments have the names of fields, whatever those are.
    namespace |= {"__new__": object.__new__, "__open__": open_class, "__frozen__": cls}
    lines = ["    __made__ = __new__(__open__)"]
    for field in fields_of(cls):
        does_more = field.validator or field.converter
        assert not does_more, field.name
        name, alias, default = field.name, str(field.alias), others.get(field.name, field.default)
        if alias in names:
            value = alias
        elif default is attrs.NOTHING:
            assert not field.init, f"{cls.__name__} is not made without {name}"
            continue  # __attrs_post_init__ sets it
        elif default is None or type(default) in (bool, int):
            value = repr(default)
        else:
            value = f"__default_{name}__"
            namespace[value] = default
            if isinstance(default, _Factory):
                assert not default.takes_self, name
                namespace[value] = default.factory
                value += "()"
        lines.append(f"    __made__.{name} = {value}")
    if open_class is not cls:
        lines.append("    __made__.__class__ = __frozen__")
    if hasattr(cls, "__attrs_post_init__"):
        lines.append("    __made__.__attrs_post_init__()")
    lines.append("    return __made__")
    exec("\n".join([f"def made({', '.join(names)}):", *lines]), namespace)  # noqa: S102 - of declared fields


def _open_class_of(cls: Any) -> Any:
    """Return a class of the same layout whose fields are set without a check; itself, if it has none."""
    if is_pair(cls):
        return cls.__mro__[1]
    if cls.__setattr__ is object.__setattr__:
        return cls
    as_object = {"__slots__": (), "__setattr__": object.__setattr__, "__delattr__": object.__delattr__}
    return type(cls)(cls.__name__, (cls,), as_object)
