"""Entries of state machines as JSON, and back, by the annotations of their classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin

import msgspec

from .. import codec
from ..errors import InvalidRecord
from ..events import Event, FrozenDict
from ..events._canonical import freeze_json, is_mark

if TYPE_CHECKING:
    import cattrs

__all__ = ("decode_entry", "encode_entry")


def encode_entry(entry: Any) -> Any:
    """Return the JSON form of an entry: a value that msgspec can encode."""
    return _converter().unstructure(entry)


def decode_entry(entry_type: type, value: Any) -> Any:
    """Return the entry of which ``value`` is the JSON form, decoded.

    Raises :class:`~hubwire.errors.InvalidRecord` if it has another shape than its class.
    """
    try:
        return _converter().structure(value, entry_type)
    except Exception as error:
        raise InvalidRecord(
            f"it does not have the shape of {entry_type.__name__} in this version of hubwire ({error}):"
            f" {str(value)[:60]}…"
        ) from error


def _keep_if(*types: type) -> Callable[[Any, Any], Any]:
    """Accept values of these types, and marked substitutes, which stand for what JSON could not hold."""

    def keep(value: Any, _: Any) -> Any:
        if type(value) in types:
            return value
        frozen = freeze_json(value)
        if is_mark(frozen) or type(frozen) in types:
            return frozen
        raise TypeError(f"{type(value).__name__} instead of {types[0].__name__}")

    return keep


def _decode_event(value: Any, event_type: type) -> Event:
    event = codec.decode(codec.encode_fields(value))
    if not isinstance(event, event_type):
        raise TypeError(f"{event.kind} in another shape")
    return event


def _keep_member(value: Any, union: Any) -> Any:
    from cattrs import StructureHandlerNotFoundError  # noqa: PLC0415 - see _converter

    for member in get_args(union):
        try:
            return _converter().structure(value, member)
        except (TypeError, ValueError, StructureHandlerNotFoundError):
            continue
    raise TypeError(f"{type(value).__name__} instead of {union}")


def _is_event(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, Event)


def _is_union(hint: Any) -> bool:
    return get_origin(hint) in (Union, UnionType)


def _is_mapping(hint: Any) -> bool:
    return (get_origin(hint) or hint) in (Mapping, dict, FrozenDict)


def _is_set(hint: Any) -> bool:
    return (get_origin(hint) or hint) is frozenset


@cache
def _converter() -> cattrs.Converter:
    import cattrs  # noqa: PLC0415 - most programs neither read nor write a snapshot

    converter = cattrs.Converter(detailed_validation=False)
    converter.register_unstructure_hook_func(_is_event, lambda event: msgspec.Raw(codec.encode(event)))
    converter.register_unstructure_hook_func(_is_mapping, lambda mapping: mapping)
    converter.register_unstructure_hook_func(_is_set, sorted)
    converter.register_structure_hook_func(_is_event, _decode_event)
    converter.register_structure_hook_func(_is_mapping, _keep_if(FrozenDict))
    converter.register_structure_hook_func(_is_union, _keep_member)
    converter.register_structure_hook_func(lambda hint: hint is Any, lambda value, _: freeze_json(value))
    for accepted in ((str,), (bool,), (int,), (float, int), (NoneType,)):
        converter.register_structure_hook(accepted[0], _keep_if(*accepted))
    return converter
