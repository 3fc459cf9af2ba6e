"""What the events of a log say was done."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from .._foreign.arguments import Call, is_a
from ..errors import ConfigurationError
from ._deed import Deed

__all__ = ("deeds_of",)

_CALL: Final = Call("deeds_of()", ConfigurationError)
_VERDICTS: Final = ("approved", "denied", "escalated", "expired", "withdrawn", "returned")
_Fields = Mapping[str, Any]


def deeds_of(records: Iterable[Mapping[str, Any]]) -> Iterator[Deed]:
    """Iterate over what the records of a log say was done, in their order.

    ``records`` are fields, as :attr:`hubwire.query.Found.fields` and the records of an audit log have them. Of other
    kinds there is no deed; what a program may put into any event, of whatever type, harms nothing.

    Raises :class:`~hubwire.errors.ConfigurationError` for a record that is no mapping.
    """
    if is_a(records, Mapping) or is_a(records, str) or not is_a(records, Iterable):
        raise _CALL.refusal("records", records, "an iterable of the fields of records")
    return _read(records)


def _read(records: Iterable[Mapping[str, Any]]) -> Iterator[Deed]:
    for number, fields in enumerate(records):
        if not is_a(fields, Mapping):
            raise _CALL.refusal(f"record {number} of records", fields, "a mapping, the fields of a record")
        kind = fields.get("kind")
        if isinstance(kind, str) and (read := _READERS.get(kind)) is not None:
            yield from read(kind, fields)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def _about(kind: str, fields: _Fields) -> dict[str, Any]:
    seq, index = fields.get("seq"), fields.get("index")
    place = f"seq {seq}" if isinstance(seq, int) else f"record {index}" if isinstance(index, int) else kind
    group = next((fields[key] for key in ("channel_id", "correlation_id", "session_id") if fields.get(key)), "")
    return {"place": place, "group": _text(group), "by": kind}


def _given_id(fields: _Fields) -> str:
    """Return the id that the runtime gave a call: where it came twice, the hub's has ``#2`` behind it."""
    metadata = fields.get("metadata")
    given = metadata.get("call_id") if isinstance(metadata, Mapping) else None
    if given is not None:
        return _text(given)
    own = _text(fields.get("call_id"))
    base, mark, number = own.rpartition("#")
    return base if mark and number.isdecimal() and base else own


def _call(kind: str, fields: _Fields) -> Iterator[Deed]:
    yield Deed(
        "call",
        name=_text(fields.get("tool")),
        id=_given_id(fields),
        content=fields.get("arguments"),
        key=_text(fields.get("call_id")),
        **_about(kind, fields),
    )


def _result(kind: str, fields: _Fields) -> Iterator[Deed]:
    failed = kind == "tool.failed"
    yield Deed(
        "result",
        name=_text(fields.get("tool")),
        id=_given_id(fields),
        content=fields.get("error_message") if failed else fields.get("result"),
        key=_text(fields.get("call_id")),
        **_about(kind, fields),
    )


def _said(field: str) -> Any:
    def read(kind: str, fields: _Fields) -> Iterator[Deed]:
        if fields.get(field) is not None:
            yield Deed("message", content=fields[field], **_about(kind, fields))

    return read


def _asked(kind: str, fields: _Fields) -> Iterator[Deed]:
    """Read what a model was asked: each message by itself, as far as the log keeps them."""
    request = fields.get("request")
    if isinstance(request, Mapping):
        request = next((request[key] for key in ("messages", "input", "contents") if request.get(key)), request)
    items = request if isinstance(request, list | tuple) else () if request is None else (request,)
    for item in items:
        yield Deed("message", content=item, **_about(kind, fields))


def _turn(kind: str, fields: _Fields) -> Iterator[Deed]:
    turn = _text(fields.get("turn_id"))
    yield Deed("turn", id=turn, key=turn, content=fields.get("prompt"), **_about(kind, fields))
    if fields.get("prompt") is not None:
        yield Deed("message", content=fields["prompt"], **_about(kind, fields))


def _approval(kind: str, fields: _Fields) -> Iterator[Deed]:
    key = _text(fields.get("approval_id"))
    yield Deed(
        "approval",
        name=_text(fields.get("action")),
        id=_text(fields.get("idempotency_key")) or key,
        content=None if fields.get("arguments_at") else fields.get("arguments"),
        key=key,
        **_about(kind, fields),
    )


def _verdict(kind: str, fields: _Fields) -> Iterator[Deed]:
    name = kind.rpartition(".")[2]
    yield Deed("verdict", name=name, key=_text(fields.get("approval_id")), **_about(kind, fields))


def _checkpoint(kind: str, fields: _Fields) -> Iterator[Deed]:
    data = fields.get("data")
    if isinstance(data, Mapping) and data.get("checkpoint_id"):
        yield Deed("checkpoint", id=_text(data["checkpoint_id"]), **_about(kind, fields))


_READERS: Final[Mapping[str, Any]] = {
    "tool.called": _call,
    "tool.completed": _result,
    "tool.failed": _result,
    "envelope.posted": _said("content"),
    "model.called": _asked,
    "model.completed": _said("response"),
    "turn.started": _turn,
    "turn.ended": _said("content"),
    "approval.requested": _approval,
    **{f"approval.{verdict}": _verdict for verdict in _VERDICTS},
    "langgraph.checkpoint.saved": _checkpoint,
}
