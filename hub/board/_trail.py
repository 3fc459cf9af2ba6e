"""The trail of envelopes: what each says, and which turn has posted it."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import attrs

__all__ = ("Trail", "TrailKept")

_ENVELOPES_MAX = 2_048
"""How many envelopes are remembered, and how many turns by what they handle."""
_UNKNOWN = ("", -1)


@attrs.define(eq=False)
class TrailKept:
    """What a snapshot has of it."""

    posted: list[list[Any]]
    handled: list[list[Any]]


class Trail:
    """From a turn over the envelopes that it posts to the turns that handle them."""

    def __init__(self) -> None:
        self._posted: OrderedDict[str, tuple[str, int]] = OrderedDict()
        """By envelope, the beginning of what it says, and the span of the turn that has posted it, or -1."""
        self._handled: OrderedDict[str, int] = OrderedDict()
        """By the event that posted an envelope and the agent that handles it, as two lines of one text, the span."""

    def handles(self, event: Any, number: int) -> None:
        """A turn has begun, which handles an envelope."""
        if type(event.causation_id) is str and type(event.agent_id) is str:
            self._handled[f"{event.causation_id}\n{event.agent_id}"] = number
            if len(self._handled) > _ENVELOPES_MAX:
                self._handled.popitem(last=False)

    def posts(self, event: Any, envelope_id: str, said: str, number: int) -> None:
        """An envelope was posted: in the turn with this number, or, if that is -1, in the one that has caused it."""
        if number < 0 and self._handled:
            number = self._handled.get(f"{event.causation_id}\n{event.agent_id}", -1)
        self._posted[envelope_id] = (said, number)
        if len(self._posted) > _ENVELOPES_MAX:
            self._posted.popitem(last=False)

    def of(self, envelope_id: object) -> tuple[str, int]:
        """Return what an envelope says, and the span of the turn that has posted it, -1 if that is not known."""
        return self._posted.get(envelope_id, _UNKNOWN) if type(envelope_id) is str else _UNKNOWN

    def clear(self) -> None:
        self._posted.clear()
        self._handled.clear()

    def snapshot(self) -> TrailKept:
        posted = [[key, said, number] for key, (said, number) in self._posted.items()]
        return TrailKept(posted, [[key, number] for key, number in self._handled.items()])

    def restore(self, kept: TrailKept) -> None:
        self._posted = OrderedDict((key, (said, number)) for key, said, number in kept.posted)
        self._handled = OrderedDict(kept.handled)
