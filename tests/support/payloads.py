"""What the tests of payloads share."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

from hubwire import codec
from hubwire.context import EMPTY
from hubwire.events import Event, FrozenDict, ToolCompleted, evolve
from hubwire.events._canonical import DEPTH_MAX, Freezer
from hubwire.events._stamp import stamp

AT = "2026-11-21T09:30:00.000001Z"


MEBIBYTE = 1024 * 1024


def stamped(event: Event, *, bytes_max: int = 8 * MEBIBYTE) -> Event:
    return stamp(event, seq=7, id="an id", at=AT, hub="a hub", context=EMPTY, bytes_max=bytes_max)


def keep(value: Any) -> Any:
    """Return what becomes of a value on its way, stamped, encoded, decoded; see that it is one line of JSON."""
    made = stamped(ToolCompleted(tool="t", call_id="c", result=value))
    assert isinstance(made, ToolCompleted)
    body = codec.encode(made)
    check_line(body)
    read = codec.decode(body)
    assert read == made
    assert type(read) is ToolCompleted
    check_frozen(made.result)
    assert codec.encode(evolve(read)) == body
    return made.result


def check_line(body: bytes) -> dict[str, Any]:
    """See that the bytes are what every reader of lines and of JSON can read; return what they hold."""
    assert body.split(b"\n") == [body]
    text = body.decode()
    assert text.splitlines() == [text]
    for raw in ("\u2028", "\u2029", "\u0085", "\u007f"):
        assert raw not in text
    assert not any(ord(character) < 0x20 for character in text)

    def refuse(name: str) -> NoReturn:
        raise AssertionError(f"{name} is no JSON")

    def check_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        assert keys == sorted(set(keys))
        return dict(pairs)

    fields = json.loads(text, parse_constant=refuse, object_pairs_hook=check_keys)
    assert isinstance(fields, dict)
    return fields


def check_frozen(value: Any) -> None:
    if isinstance(value, dict):
        assert type(value) is FrozenDict
        for key, item in value.items():
            assert type(key) is str
            check_frozen(item)
    elif isinstance(value, tuple):
        assert type(value) is tuple
        for item in value:
            check_frozen(item)
    else:
        assert value is None or type(value) in (str, int, float, bool)


# --- what does harm -------------------------------------------------------------------------------------------------


class Raising:
    def __str__(self) -> str:
        raise RuntimeError("I am nobody's text")


class EvilDict(dict[str, Any]):
    def items(self) -> NoReturn:
        raise RuntimeError("no items")


class EvilMapping(Mapping[str, Any]):
    def __getitem__(self, key: str) -> Any:
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return iter(["a"])

    def __len__(self) -> int:
        return 1


class EvilPath:
    def __fspath__(self) -> str:
        raise RuntimeError("no path")


class NoText:
    def __str__(self) -> Any:
        return 5  # noqa: PLE0307 - that is what is wrong with it


@dataclasses.dataclass
class EvilField:
    a: int = 1

    def __getattribute__(self, name: str) -> Any:
        if name == "a":
            raise RuntimeError("no a")
        return super().__getattribute__(name)


# --- size -----------------------------------------------------------------------------------------------------------


def check_weight(value: Any) -> None:
    freezer = Freezer(bytes_max=sys.maxsize)
    size = len(codec.encode_fields({"": freezer.freeze(value)})) - len(b'{"":}')
    assert freezer.weight - DEPTH_MAX - 1 <= size <= 6 * freezer.weight
