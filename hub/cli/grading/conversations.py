"""A conversation, as the formats of ``hubwire import`` read it, as deeds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...events import ToolCalled, ToolCompleted, ToolFailed
from ...grading import Deed
from ..importing.conversation import Envelope, Fact, Part

__all__ = ("clean_text", "deeds_of_parts")

_ASKED, _ANSWERED = "mcp_approval_request", "mcp_approval_response"


def deeds_of_parts(parts: Sequence[Part], group: str, places: Sequence[str] | str) -> Iterator[Deed]:
    """Iterate over what a conversation says was done. ``places``: that of each message, or of all of them."""
    for part in parts:
        if isinstance(places, str):
            place = places if part.message < 0 else f"{places}, message {part.message + 1}"
        else:
            place = places[part.message] if 0 <= part.message < len(places) else ""
        about = {"group": group, "place": place}
        yield from _said(part, about) if isinstance(part, Envelope) else _done(part, about)


def _said(part: Envelope, about: dict[str, Any]) -> Iterator[Deed]:
    content = part.content
    items = content.get("parts") if isinstance(content, Mapping) else None
    only = items[0] if isinstance(items, list) and len(items) == 1 and isinstance(items[0], Mapping) else {}
    if only.get("type") == _ASKED:
        key = clean_text(only.get("id"))
        name = clean_text(only.get("name"))
        yield Deed("approval", name=name, id=key, key=key, content=only.get("arguments"), **about)
    elif only.get("type") == _ANSWERED:
        name = "approved" if only.get("approve") is True else "denied"
        yield Deed("verdict", name=name, key=clean_text(only.get("approval_request_id")), **about)
    else:
        yield Deed("message", name=clean_text(str(part.speaker)), content=content, **about)


def _done(part: Fact, about: dict[str, Any]) -> Iterator[Deed]:
    fields = part.fields
    if part.kind not in (ToolCalled, ToolCompleted, ToolFailed):
        return
    key = str(fields["call_id"])
    given = part.metadata.get("call_id", "" if key == part.id.replace("/", "-") else key)
    about |= {"name": clean_text(fields["tool"]), "id": clean_text(given), "key": clean_text(key)}
    if part.kind is ToolCalled:
        # A call without arguments has none in the other record either: that is known, and not left out.
        yield Deed("call", content={} if fields["arguments"] is None else fields["arguments"], **about)
    else:
        yield Deed("result", content=fields.get("result", fields.get("error_message")), **about)


def clean_text(value: Any) -> str:
    """Return an id or a name of a record as text that UTF-8 can hold."""
    text = "" if value is None else value if isinstance(value, str) else str(value)
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()
