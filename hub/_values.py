"""Equality, hash and text of value classes, shared instead of compiled for each.

attrs compiles these methods for every class when it is made, and that is half of what a class costs an import. Most
values are made often and compared rarely: they inherit them from here, and are declared with
``attrs.frozen(eq=False, repr=False)``. What is compared on a hot path lets attrs compile them.
"""

from __future__ import annotations

from typing import Any, ClassVar

__all__ = ("Shown", "Value")


class Shown:
    """A class of attrs that is shown with its fields, as attrs would show it."""

    __slots__ = ()
    __attrs_attrs__: ClassVar[tuple[Any, ...]] = ()  # as attrs.fields() gives them

    def __repr__(self) -> str:
        shown = (each.name for each in self.__attrs_attrs__ if each.repr)
        name = type(self).__qualname__.rpartition(">.")[2]
        return f"{name}({', '.join(f'{each}={getattr(self, each)!r}' for each in shown)})"


class Value(Shown):
    """Equal to another of its class whose fields are equal. As a key only where it is frozen."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, each.name) == getattr(other, each.name) for each in self.__attrs_attrs__ if each.eq)

    def __hash__(self) -> int:
        return hash((type(self), *(getattr(self, each.name) for each in self.__attrs_attrs__ if each.eq)))
