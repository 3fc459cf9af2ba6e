"""CloudEvents 1.0, in JSON, a message a line."""

from __future__ import annotations

from collections.abc import Sequence

from .. import cloudevents
from .._foreign.arguments import Call
from ..errors import ConfigurationError
from ._format import Format
from ._record import ExportRecord

__all__ = ("CloudEvents",)

_CLOUD_EVENTS = Call("CloudEvents()", ConfigurationError)


class CloudEvents(Format):
    """A record a line, as the message that :func:`hubwire.cloudevents.to_cloudevent` makes of it.

    ``source`` is the URI of who sends it, if that is not the hub itself. Raises
    :class:`~hubwire.errors.ConfigurationError` if it is none.
    """

    media_type = "application/jsonl"
    suffix = ".cloudevents.jsonl"

    def __init__(self, source: str | None = None) -> None:
        self._source = _CLOUD_EVENTS.text("source", source, is_optional=True, wanted="a URI", is_empty_ok=False)
        cloudevents.to_cloudevent({}, source=self._source)

    def encode(self, records: Sequence[ExportRecord]) -> bytes:
        lines = (cloudevents.encode(record.fields, source=self._source) for record in records)
        return b"".join(b"%b\n" % line for line in lines)
