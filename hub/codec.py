"""One event, one line of JSON.

A line is an object with sorted keys, then the two keys that a log adds: ``"d"``, how many records of the log were known
durable when this one was written, and ``"h"``, the chain value, in logs that have a chain, or ``"c"``, a checksum, in
those that have none. It is UTF-8, with U+2028, U+2029, U+0085 and U+007F escaped, because some readers take them for
the end of a line. Msgspec writes and parses, behind functions compiled once per class.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from types import NoneType
from typing import Any, NoReturn, cast
from zlib import crc32

import attrs
import msgspec

from .errors import InvalidRecord
from .events import Event, GenericEvent, UnknownEvent, kind_class
from .events._canonical import INT_MAX, Freezer, FrozenDict, canonical, freeze_json, is_mark, json_numbers
from .events._event import field_names, own_fields
from .events._fit import QUICK_NAMES, FieldType, Misfit, types_of
from .events._pairs import fields_of
from .events._plain import is_plain

__all__ = (
    "CHECKSUM_BYTES",
    "body_of",
    "check_line",
    "decode",
    "decode_fields",
    "decode_marker",
    "encode",
    "encode_fields",
    "encode_marker",
    "encode_record",
    "has_checksum",
    "seal",
    "seal_all",
    "seal_of",
    "size_of",
    "unchained",
    "unseal",
)

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


def size_of(event: Event) -> int:
    """Return about how many bytes of JSON an event is, at least, without encoding it: short fields may not count."""
    body = event._body  # noqa: SLF001 - an event that was read, or encoded before, has its line
    if body is not None:
        return len(body)
    if type(event) is UnknownEvent:
        return len(event.body)
    return event._weight  # noqa: SLF001 - stamping left it for us


def encode_fields(fields: Mapping[str, Any]) -> bytes:
    """Return a hand-made record as one JSON object. Its values must be canonical."""
    line = _sorted_json.encode(fields)
    return line if line.isascii() and b"\x7f" not in line else _escape(line)


def encode_record(fields: dict[str, Any], *, bytes_max: int = 8 * 1024 * 1024) -> bytes:
    """Return a hand-made record as one JSON object; values that JSON cannot hold become marked substitutes.

    Raises :class:`~hubwire.errors.EventTooLarge` if it has more than ``bytes_max`` bytes.
    """
    # To make a record canonical takes several times as long as to encode it, and most records are canonical already.
    for key, value in fields.items():
        if (type(value) is not str and type(value) not in _FLAT) or type(key) is not str:
            return encode_fields(fields if is_plain(fields) else canonical(fields, bytes_max=bytes_max))
    try:
        body = encode_fields(fields)
    except UnicodeEncodeError:  # lone surrogates
        return encode_fields(canonical(fields, bytes_max=bytes_max))
    return body if len(body) <= bytes_max else encode_fields(canonical(fields, bytes_max=bytes_max))


_FLAT = frozenset({bool, NoneType})


def _escape(line: bytes) -> bytes:
    if b"\x7f" in line:
        line = line.replace(b"\x7f", b"\\u007f")
    if not line.isascii():
        for raw, escaped in _ESCAPES:
            line = line.replace(raw, escaped)
    return line


def _compile_encoder(cls: type[Event]) -> Callable[[Event], dict[str, Any]]:
    """Compile the walk over one class's fields, in the order of the keys: it halves the time of a loop."""
    types = types_of(cls)
    lines = ["def to_fields(event):", "    fields = {}"]
    for name in sorted({"kind", *field_names(cls)}):
        if name == "depth":
            lines += ["    if event.depth: fields['depth'] = event.depth"]
        elif name in _HEADER_KEYS and name not in {"seq", "id", "at", "hub"}:
            lines += [f"    if event.{name} is not None: fields[{name!r}] = event.{name}"]
        elif name in _HEADER_KEYS or name not in types or not types[name].numbers:
            lines += [f"    fields[{name!r}] = event.{name}"]
        else:
            # Most numbers are ones that JSON holds.
            known = f"value is None or type(value) is int and -{INT_MAX} <= value <= {INT_MAX}"
            lines += [
                f"    value = event.{name}",
                f"    fields[{name!r}] = value if {known} else json_numbers(value)",
            ]
    namespace: dict[str, Any] = {"json_numbers": json_numbers}
    exec("\n".join([*lines, "    return fields"]), namespace)  # noqa: S102 - the names in it are those of declared fields
    encoder: Callable[[Event], dict[str, Any]] = namespace["to_fields"]
    return encoder


# --- the keys of a log ------------------------------------------------------------------------------------------------

_SEAL = re.compile(rb',"d":(\d+)(?:,"h":"([A-Za-z0-9_-]{22})"|,"c":"([0-9a-f]{8})")?\}')
_CHAIN_BYTES = len(b',"h":"0123456789012345678901"}')
CHECKSUM_BYTES = len(b',"c":"01234567"}')


def seal(body: bytes, durable: int, chain: bytes | None = None) -> bytes:
    """Return the line, without its line feed, that a log writes for a record; :func:`seal_all` adds checksums."""
    if chain is None:
        return b'%b,"d":%d}' % (body[:-1], durable)
    return b'%b,"d":%d,"h":"%b"}' % (body[:-1], durable, chain)


def seal_all(bodies: Sequence[bytes], durable: int, index: int) -> list[bytes]:
    """Return the lines, with their line feeds, of records that begin with number ``index``, each with its checksum.

    ``"c"`` is the CRC-32 of the body as it was appended, begun with the record's ``d`` and its number. So each record
    can be checked by itself from any place, and one that was moved, doubled or that follows a missing one shows.
    """
    suffix = b',"d":%d' % durable
    begin = crc32(suffix)
    form = suffix + b',"c":"%08x"}\n'
    return [body[:-1] + form % crc32(body, begin ^ number) for number, body in enumerate(bodies, index)]


def has_checksum(line: bytes) -> bool:
    """Return whether a line ends in a checksum."""
    return line[-CHECKSUM_BYTES:-10] == b',"c":"'


def check_line(line: bytes, index: int, *, is_due: bool) -> bool:
    """Check that a line with a checksum is record ``index``, as it was written; return whether it has one.

    Raises :class:`~hubwire.errors.InvalidRecord` if it is not, or if it has none although one ``is_due``.
    """
    if not has_checksum(line):
        if is_due:
            raise InvalidRecord(f'it has no checksum "c", unlike records before it: …{line[-60:]!r}')
        return False
    at = line.rfind(b',"d":')
    if b"%08x" % crc32(line[:at] + b"}", crc32(line[at:-CHECKSUM_BYTES]) ^ index) == line[-10:-2]:
        return True
    body, durable, _ = unseal(line)
    if b"%08x" % crc32(body, crc32(b',"d":%d' % durable) ^ index) != line[-10:-2]:
        raise InvalidRecord(f'its checksum "c" is not that of record {index}: …{line[-60:]!r}')
    return True


def unseal(line: bytes) -> tuple[bytes, int, bytes | None]:
    """Return the record's JSON object, ``d`` and ``h`` of a line; the inverse of :func:`seal`.

    Raises :class:`~hubwire.errors.InvalidRecord` if the line does not end as sealed lines do. It checks no value.
    """
    match = _SEAL.fullmatch(line, line.rfind(b',"d":'))
    if match is None:
        raise InvalidRecord(f'the line does not end in "d" and "h" or "c" as records of a log do: …{line[-60:]!r}')
    return line[: match.start()] + b"}", int(match[1]), match[2]


def seal_of(line: bytes) -> tuple[int, bytes | None]:
    """Return ``d`` and ``h`` of a line; raises as :func:`unseal` does."""
    match = _SEAL.fullmatch(line, line.rfind(b',"d":'))
    return unseal(line)[1:] if match is None else (int(match[1]), match[2])


def unchained(line: bytes) -> bytes:
    """Return a line that ends in ``h`` as it would be without: that is what the chain value stands for."""
    return line[:-_CHAIN_BYTES] + b"}"


def body_of(line: bytes) -> bytes:
    """Return the record's JSON object of a line; raises as :func:`unseal` does."""
    match = _SEAL.fullmatch(line, line.rfind(b',"d":'))
    return unseal(line)[0] if match is None else line[: match.start()] + b"}"


# --- markers: small files beside a log, each one object --------------------------------------------------------------


def encode_marker(fields: Mapping[str, Any], *, version: int) -> bytes:
    """Return the content of a file that holds one object, with its version ``"v"`` and a checksum ``"c"``."""
    body = encode_fields({**fields, "v": version})
    return b'%b,"c":"%08x"}\n' % (body[:-1], crc32(body))


def decode_marker(content: bytes) -> dict[str, Any]:
    """Return the object that :func:`encode_marker` wrote, with its version.

    Raises :class:`~hubwire.errors.InvalidRecord` if it is another one, or one bit of it has changed. All versions end
    in the checksum, so it is known whether a version number can be believed.
    """
    line = content.removesuffix(b"\n")
    if len(line) == len(content) or not has_checksum(line):
        raise InvalidRecord(f"it does not end in a checksum: …{content[-60:]!r}")
    body = line[:-CHECKSUM_BYTES] + b"}"
    if line[-10:] != b'%08x"}' % crc32(body):
        raise InvalidRecord(f"its checksum is wrong: …{content[-60:]!r}")
    fields = decode_fields(body)
    if type(fields.get("v")) is not int:
        raise InvalidRecord(f"it has no version: …{content[-60:]!r}")
    return fields


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
    """Return the event of a JSON object that :func:`encode` wrote. It keeps these bytes: encoding it gives them back.

    A kind that is not declared here becomes a :class:`~hubwire.events.GenericEvent` if it was one, and else an
    :class:`~hubwire.events.UnknownEvent`; so does one whose fields do not fit its class. Of what a program declares,
    fields that its class does not have are left to the bytes; in a kind that a command owns they are another shape,
    because a state machine would miss them. A generic event whose kind was declared later becomes one of the class if
    its data are fields of it, and else stays as it is.

    Raises :class:`~hubwire.errors.InvalidRecord` if the line is not an event: not JSON, or without ``seq`` or ``kind``.
    """
    try:
        fields = cast(FrozenDict, freeze_json(decode_fields(body)))
    except RecursionError as error:
        raise InvalidRecord(f"the line is nested deeper than can be read: {body[:60]!r}…") from error
    kind, seq = fields.get("kind"), fields.get("seq")
    if type(kind) is not str or type(seq) is not int:
        raise InvalidRecord(f'the record has no "kind" or no "seq", so it is not an event: {body[:60]!r}…')
    event = _decode_known(kind, fields) or _decode_unknown(kind, fields, body)
    _set_body(event, body)
    return event


_HEADER_KEYS = frozenset(field_names(Event))
_LOG_KEYS = frozenset({"kind", "d", "h", "c"})
_GENERIC_KEYS = _HEADER_KEYS | {"kind", *own_fields(GenericEvent)}
_own: dict[type[Event], frozenset[str]] = {}
_readers: dict[type[Event], Callable[[Mapping[str, Any]], Event]] = {}


def _decode_known(kind: str, fields: FrozenDict) -> Event | None:
    """Return the event as one of its class, or as a generic one; None if it is neither."""
    cls = kind_class(kind)
    is_generic = type(fields.get("data")) is FrozenDict and not (fields.keys() - _GENERIC_KEYS)
    if cls is not None:
        own = _own_names(cls)
        if is_generic and "data" not in own:
            # It was emitted before the kind was declared. A command's events are made by the command alone.
            data = cast(FrozenDict, fields["data"])
            if cls.command is None and not is_mark(data) and data.keys() <= own:
                event = _read(cls, {name: value for name, value in fields.items() if name != "data"} | data)
                if event is not None:
                    return event
        elif cls.command is None or not (fields.keys() - _HEADER_KEYS - _LOG_KEYS).difference(own):
            return _read(cls, fields)
        else:
            return None
    return _read(GenericEvent, fields) if is_generic else None


def _own_names(cls: type[Event]) -> frozenset[str]:
    if (names := _own.get(cls)) is None:
        names = _own[cls] = frozenset(own_fields(cls))
    return names


def _decode_unknown(kind: str, fields: FrozenDict, body: bytes) -> UnknownEvent:
    # What is in the header by name but not by type is left to the other fields.
    types = _types_of_unknown()
    header = {name: fields[name] for name in _HEADER_KEYS if name in fields and _is_header(types[name], fields[name])}
    rest = FrozenDict({name: value for name, value in fields.items() if name not in header and name != "kind"})
    return UnknownEvent(kind=kind, fields=rest, body=body, **header)


@cache
def _types_of_unknown() -> Mapping[str, FieldType]:
    """Return the types of the header: to compile them takes longer than to read an event."""
    return types_of(UnknownEvent)


def _is_header(type_: FieldType, value: Any) -> bool:
    try:
        type_.read(value)
    except Misfit:
        return False
    return True


def _read(cls: type[Event], fields: Mapping[str, Any]) -> Event | None:
    """Return the event of a class that these are the fields of, or None if they do not fit it."""
    try:
        reader = _readers[cls]
    except KeyError:
        reader = _readers[cls] = _compile_reader(cls)
    try:
        return reader(fields)
    except Misfit:
        return None


def _compile_reader(cls: type[Event]) -> Callable[[Mapping[str, Any]], Event]:
    """Compile the making of an event from its fields.

    ``__init__`` is not called: converters and validators have seen the value that was given, not what stamping made.
    """
    classes = {"open_class": cls.__mro__[1], "frozen_class": cls}
    namespace: dict[str, Any] = {**QUICK_NAMES, **classes, "new": object.__new__}
    lines = ["def read(fields):", "    event = new(open_class)", "    event._body = None; event._weight = 0"]
    # What a record does not say of the header is not said: a default severity is of events that are made.
    defaults = {field.name: field.default for field in (*fields_of(cls), *fields_of(Event))}
    for name, type_ in types_of(cls).items():
        default, is_made = _default(type_, defaults[name])
        namespace |= {f"read_{name}": type_.read, f"default_{name}": default}
        lines += [
            f"    if {name!r} in fields:",
            f"        value = fields[{name!r}]",
            "        kind = type(value)",
            f"        if not ({type_.quick}){' and value is not None' if type_.takes_none else ''}:",
            f"            value = read_{name}(value)",
            f"        event.{name} = value",
            "    else:",
            f"        event.{name} = default_{name}{'(event)' if is_made else ''}",
        ]
    lines += ["    event.__class__ = frozen_class", "    return event"]
    exec("\n".join(lines), namespace)  # noqa: S102 - the names in it are those of declared fields
    reader: Callable[[Mapping[str, Any]], Event] = namespace["read"]
    return reader


def _default(type_: FieldType, default: Any) -> tuple[Any, bool]:
    """Return the value of a field that is not in the record, as stamping would have made it, or what makes the value.

    The second answer tells whether it is a function, to be called with the event.
    """
    if default is attrs.NOTHING:
        return _missing, True
    if not isinstance(default, attrs.Factory):  # type: ignore[arg-type]
        return _fitted(type_, default), False
    make, takes_self = default.factory, default.takes_self
    return (lambda event: _fitted(type_, make(event) if takes_self else make())), True


def _missing(_: Event) -> NoReturn:
    raise Misfit


def _fitted(type_: FieldType, default: Any) -> Any:
    try:
        return type_.fit(Freezer(sys.maxsize), default)
    except Misfit:
        return default
