"""What goes over a link: the request of a hub that follows, the answer of the hub that leads, each a JSON object."""

from __future__ import annotations

from typing import Any, TypeVar

import attrs
import msgspec

from .._foreign.guards import guarded_call
from ..ports import CommandLink
from .values import Unreadable

__all__ = ("VERSION", "Reply", "Request", "bytes_max_of", "read", "read_part", "write")

T = TypeVar("T")

VERSION = 1

_BYTES_MAX = 1024 * 1024
_BYTES_LEAST = 4096

_NOTHING = msgspec.Raw(b"null")


@attrs.frozen(kw_only=True)
class Request:
    """A command, with the session and the number by which it is known if it comes again."""

    v: int
    what: str
    """``call``; ``cancel``, if no task waits for the call any more; or ``leave``: the session ends."""
    session: str
    number: int
    first: int
    """The lowest number whose answer has not arrived: what is below is not asked for again."""
    opens: bool = False
    """Whether the session may be a new one."""
    wait: float = 0.0
    """After how many seconds the answer is to be that it is under way."""
    hub: str = ""
    """The id of the hub that follows; empty if it does not know it."""
    host: str = ""
    pid: int = 0
    call: msgspec.Raw = _NOTHING
    """The call itself: its name, what it is called on, arguments, who acts, and the context."""


@attrs.frozen(kw_only=True)
class Reply:
    """What came of it."""

    v: int
    what: str
    """``done`` or ``failed``, with a value; ``pending``; ``again``: not here, not now; ``gone``: no such session;
    ``refused``, with the reason in ``why``."""
    value: msgspec.Raw = _NOTHING
    seq: int = -1
    """Of the newest event that the answer knows of."""
    why: str = ""
    host: str = ""
    pid: int = 0


_decoders: dict[type, Any] = {Request: msgspec.json.Decoder(Request), Reply: msgspec.json.Decoder(Reply)}
_encoder = msgspec.json.Encoder()


def write(message: Any) -> bytes:
    """Return a message, or a part of one, as JSON."""
    return _encoder.encode(message)


def read(body: bytes, kind: type[T]) -> T:
    """Return the message. Raises :class:`~.values.Unreadable` if it is none."""
    try:
        message: Any = _decoders[kind].decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, TypeError) as error:
        raise Unreadable(f"it is no {kind.__name__.lower()}: {error}") from error
    return message  # type: ignore[no-any-return]


def read_part(body: bytes | msgspec.Raw) -> Any:
    """Return the value of a part of a message."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable(f"it is no JSON: {error}") from error


def bytes_max_of(link: CommandLink) -> int:
    """Return how long a message over a link may be; where it does not say so, what transports mostly carry."""
    try:
        most = guarded_call(getattr, link, "bytes_max", None)
    except Exception:  # noqa: BLE001 - the link is code of others
        return _BYTES_MAX
    return most if type(most) is int and most >= _BYTES_LEAST else _BYTES_MAX
