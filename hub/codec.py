"""One event, one line of JSON.

A line is an object with sorted keys, then the two keys that a log adds: ``"d"``, how many records of the log were known
durable when this one was written, and ``"h"``, the chain value, in logs that have a chain. It is UTF-8, with U+2028,
U+2029, U+0085 and U+007F escaped, because some readers take them for the end of a line. Msgspec writes, behind a
function compiled once per class; cattrs reads.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Union, cast, get_args, get_origin

import msgspec

from .errors import InvalidRecord
from .events import Event, GenericEvent, UnknownEvent, kind_class
from .events._canonical import FrozenDict, canonical, freeze_json, is_mark, is_plain
from .events._event import field_names, own_fields

if TYPE_CHECKING:
    import cattrs

__all__ = ("decode", "decode_fields", "encode", "encode_fields", "encode_record", "prepare", "seal", "unseal")

_json = msgspec.json.Encoder()
_sorted_json = msgspec.json.Encoder(order="sorted")
_encoders: dict[type[Event], Callable[[Event], dict[str, Any]]] = {}
_ESCAPES = ((b"\xe2\x80\xa8", b"\\u2028"), (b"\xe2\x80\xa9", b"\\u2029"), (b"\xc2\x85", b"\\u0085"))


# --- writing --------------------------------------------------------------------------------------------------------


def encode(event: Event) -> bytes:
    """Return the event as one JSON object, without a line feed. The work is done once per stamped event."""
    body = event._body  # noqa: SLF001 - the codec fills it
    if body is None:
        cls = type(event)
        if cls is UnknownEvent:
            return cast(UnknownEvent, event).body
        try:
            to_fields = _encoders[cls]
        except KeyError:
            to_fields = _encoders[cls] = _compile_encoder(cls)
        body = _escape(_json.encode(to_fields(event)))
        # The one field of a frozen event that changes: its content follows from the other fields.
        _set_body(event, body)
    return body


_set_body = Event.__dict__["_body"].__set__


def encode_fields(fields: Mapping[str, Any]) -> bytes:
    """Return a hand-made record as one JSON object. Its values must be canonical."""
    return _escape(_sorted_json.encode(fields))


def encode_record(fields: dict[str, Any], *, bytes_max: int = 8 * 1024 * 1024) -> bytes:
    """Return a hand-made record as one JSON object; values that JSON cannot hold become marked substitutes.

    Raises :class:`~hubwire.errors.EventTooLarge` if it has more than ``bytes_max`` bytes.
    """
    # To make a record canonical takes several times as long as to encode it, and most records are canonical already.
    if not _TEXTS.issuperset(map(type, fields.values())) or not _KEYS.issuperset(map(type, fields)):
        return encode_fields(fields if is_plain(fields) else canonical(fields, bytes_max=bytes_max))
    try:
        body = encode_fields(fields)
    except UnicodeEncodeError:  # lone surrogates
        return encode_fields(canonical(fields, bytes_max=bytes_max))
    return body if len(body) <= bytes_max else encode_fields(canonical(fields, bytes_max=bytes_max))


_KEYS = frozenset({str})
_TEXTS = frozenset({str, bool, NoneType})


def _escape(line: bytes) -> bytes:
    if b"\x7f" in line:
        line = line.replace(b"\x7f", b"\\u007f")
    if not line.isascii():
        for raw, escaped in _ESCAPES:
            line = line.replace(raw, escaped)
    return line


def _compile_encoder(cls: type[Event]) -> Callable[[Event], dict[str, Any]]:
    """Compile the walk over one class's fields, in the order of the keys: it halves the time of a loop."""
    header = set(field_names(Event))
    lines = ["def to_fields(event):", "    fields = {}"]
    for name in sorted({"kind", *field_names(cls)}):
        if name == "depth":
            lines += ["    if event.depth: fields['depth'] = event.depth"]
        elif name in header and name not in {"seq", "id", "at", "hub"}:
            lines += [f"    if event.{name} is not None: fields[{name!r}] = event.{name}"]
        else:
            lines += [f"    fields[{name!r}] = event.{name}"]
    namespace: dict[str, Any] = {}
    exec("\n".join([*lines, "    return fields"]), namespace)  # noqa: S102 - the names in it are those of declared fields
    encoder: Callable[[Event], dict[str, Any]] = namespace["to_fields"]
    return encoder


# --- the keys of a log ------------------------------------------------------------------------------------------------

_SEAL = re.compile(rb',"d":(\d+)(?:,"h":"([A-Za-z0-9_-]{22})")?\}')


def seal(body: bytes, durable: int, chain: bytes | None = None) -> bytes:
    """Return the line, without its line feed, that a log writes for a record."""
    if chain is None:
        return b'%b,"d":%d}' % (body[:-1], durable)
    return b'%b,"d":%d,"h":"%b"}' % (body[:-1], durable, chain)


def unseal(line: bytes) -> tuple[bytes, int, bytes | None]:
    """Return the record's JSON object, ``d`` and ``h`` of a line; the inverse of :func:`seal`.

    Raises :class:`~hubwire.errors.InvalidRecord` if the line does not end as sealed lines do.
    """
    match = _SEAL.fullmatch(line, line.rfind(b',"d":'))
    if match is None:
        raise InvalidRecord(f'the line does not end in "d" and "h" as records of a log do: …{line[-60:]!r}')
    return line[: match.start()] + b"}", int(match[1]), match[2]


# --- reading --------------------------------------------------------------------------------------------------------


def decode_fields(body: bytes) -> dict[str, Any]:
    """Return the object of a line. Raises :class:`~hubwire.errors.InvalidRecord` if it is not one JSON object."""
    try:
        fields = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRecord(f"the line is not JSON ({error}): {body[:60]!r}…") from error
    if type(fields) is not dict:
        raise InvalidRecord(f"the line is JSON, but not an object: {body[:60]!r}…")
    return fields


def decode(body: bytes) -> Event:
    """Return the event of a JSON object that :func:`encode` wrote.

    A kind that is not declared here, or whose fields have another shape than its class, becomes an
    :class:`~hubwire.events.UnknownEvent`; fields that the class does not have are left out. Raises
    :class:`~hubwire.errors.InvalidRecord` if the line is not an event: not JSON, or without ``seq`` or ``kind``.
    """
    try:
        fields = cast(FrozenDict, freeze_json(decode_fields(body)))
    except RecursionError as error:
        raise InvalidRecord(f"the line is nested deeper than can be read: {body[:60]!r}…") from error
    kind, seq = fields.get("kind"), fields.get("seq")
    if type(kind) is not str or type(seq) is not int:
        raise InvalidRecord(f'the record has no "kind" or no "seq", so it is not an event: {body[:60]!r}…')
    declared = cls = kind_class(kind)
    if cls is None and type(fields.get("data")) is FrozenDict and not (fields.keys() - _GENERIC_KEYS):
        cls = GenericEvent
    if cls is not None:
        try:
            event = _structure(fields, cls)
            if declared is None:
                # Another writer may have spelt it in another way, and the kind has no class here to compare with.
                _set_body(event, body)
            return event
        except Exception:  # noqa: BLE001 - cattrs groups any exceptions of the hooks; all mean "another shape"
            cls = None
    header = {name: fields[name] for name in _HEADER_KEYS if name in fields}
    rest = FrozenDict({name: value for name, value in fields.items() if name not in _HEADER_KEYS and name != "kind"})
    return UnknownEvent(kind=kind, fields=rest, body=body, **header)


def prepare() -> None:
    """Import the libraries that :func:`decode` needs: 20 ms of work, for a thread, before an event loop decodes."""
    _converter()


_HEADER_KEYS = frozenset(field_names(Event))
_GENERIC_KEYS = _HEADER_KEYS | {"kind", *own_fields(GenericEvent)}


def _structure(fields: FrozenDict, cls: type[Event]) -> Event:
    converter = _converter()
    try:
        return converter.structure(fields, cls)
    except NameError:
        # An annotation was imported for type checkers alone, or is local to a function: then this kind's types cannot
        # be checked, now or later.
        names = field_names(cls)
        converter.register_structure_hook_func(
            lambda hint: hint is cls, lambda fields, _: cls(**{name: fields[name] for name in names if name in fields})
        )
        return converter.structure(fields, cls)


def _keep_if(*types: type) -> Callable[[Any, Any], Any]:
    """Accept values of these types as they are, and marked substitutes, which replace values that JSON cannot hold."""

    def keep(value: Any, _: Any) -> Any:
        if type(value) in types or is_mark(value):
            return value
        raise TypeError(f"{type(value).__name__} instead of {types[0].__name__}")

    return keep


@cache
def _converter() -> cattrs.Converter:
    import cattrs  # noqa: PLC0415 - a program that only writes need not wait for it

    converter = cattrs.Converter(detailed_validation=False)
    # A field of any other class (a date, a decimal, an enumeration) holds the value that stamping made of it.
    converter.register_structure_hook_func(_is_foreign, lambda value, _: value)
    for accepted in ((str,), (bool,), (int,), (float, int), (NoneType,)):
        converter.register_structure_hook(accepted[0], _keep_if(*accepted))
    converter.register_structure_hook_func(lambda hint: _plain(hint) in (Mapping, dict), _keep_if(FrozenDict))
    converter.register_structure_hook_func(lambda hint: _plain(hint) in (tuple, list, Sequence), _keep_if(tuple))
    converter.register_structure_hook_func(_is_union, _keep_member)
    return converter


def _is_union(hint: Any) -> bool:
    origin: Any = get_origin(hint)
    return origin is Union or origin is UnionType


def _plain(hint: Any) -> Any:
    return get_origin(hint) or hint


def _is_foreign(hint: Any) -> bool:
    return isinstance(_plain(hint), type) and not issubclass(_plain(hint), Event)


def _keep_member(value: Any, union: Any) -> Any:
    from cattrs import StructureHandlerNotFoundError  # noqa: PLC0415 - see _converter

    converter = _converter()
    for member in get_args(union):
        try:
            return converter.structure(value, member)
        except (TypeError, StructureHandlerNotFoundError):
            continue
    raise TypeError(f"{type(value).__name__} instead of {union}")
