"""What a board is bounded by."""

from __future__ import annotations

import attrs

from .._foreign.arguments import Call
from .._values import Value
from ..errors import ConfigurationError

__all__ = ("BoardLimits",)

_CALL = Call("BoardLimits()", ConfigurationError)
_MOST = 10_000_000


@attrs.frozen(kw_only=True, eq=False, repr=False)
class BoardLimits(Value):
    """The bounds of a :class:`Board`: ``Board(limits=BoardLimits(lines=200))``. Numbers count entries.

    What goes beyond a bound leaves the board, the oldest first, and among these first what has ended; how many have
    left is told, in the ``not_shown`` of a view.

    Raises :class:`~hubwire.errors.ConfigurationError` for a bound that is no whole number, or no positive time.
    """

    agents: int = 5_000
    """Agents that are registered, or have acted without being registered."""
    agents_gone: int = 200
    channels: int = 1_000
    channels_ended: int = 200
    participants: int = 200
    """Of one channel."""
    lines: int = 50
    """Of the transcript of one channel, the newest."""
    links: int = 200
    """Of who talks to whom: of one channel, and ten times as many of the whole hub."""
    runs: int = 250
    """Runs in which a part is open; and as many again of which all parts have ended. Likewise of listeners."""
    spans: int = 200
    """Of one run: its turns, calls and tasks."""
    spans_open: int = 10_000
    """Of all runs: those whose end has not come."""
    tasks: int = 5_000
    tasks_ended: int = 500
    approvals: int = 10_000
    """Those that wait for a verdict: a hub lets no more of them wait, and each can be decided."""
    approvals_decided: int = 200
    listeners: int = 500
    kinds: int = 500
    """Kinds of events that are counted one by one."""
    troubles: int = 100
    """Events that were wrong, or need attention, the newest."""
    gaps: int = 100
    seconds: int = 600
    """For how many seconds the counts of each second are kept; likewise the next two."""
    minutes: int = 1_440
    hours: int = 720
    silent_seconds: float = 120.0
    """An agent with work in its hands that has not been heard of for so long is silent."""

    def __attrs_post_init__(self) -> None:
        for field in attrs.fields(type(self)):
            value = getattr(self, field.name)
            if field.name == "silent_seconds":
                checked: float = _CALL.seconds(field.name, value)
            else:
                checked = _CALL.whole(field.name, value, least=1, most=_MOST)
            object.__setattr__(self, field.name, checked)
