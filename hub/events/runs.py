"""Runs of agents, as their runtimes report them: loops, what hooks have changed, errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ._declare import event
from ._event import Event
from ._severity import Severity

__all__ = ("ErrorRaised", "HookMutated", "LoopBlocked", "LoopWarned", "RecordingCovered", "RecordingDropped")


@event("loop.warned", severity=Severity.WARNING)
class LoopWarned(Event):
    """An agent seems to go round in a loop: it called ``tool`` again, ``call_count`` times by now.

    ``pattern`` says what repeats, ``severity_level`` how grave the runtime takes it to be, in its own words.
    """

    tool: str
    pattern: str = ""
    severity_level: str = ""
    call_count: int = 0


@event("loop.blocked", severity=Severity.ERROR)
class LoopBlocked(Event):
    """A call of ``tool`` was not carried out, because the agent goes round in a loop: see ``loop.warned``."""

    tool: str
    pattern: str = ""
    call_count: int = 0


@event("hook.mutated")
class HookMutated(Event):
    """A hook of the runtime changed what a tool was called with, or what it returned: the field ``mutated_field``."""

    hook: str
    tool: str = ""
    mutated_field: str = ""


@event("error.raised", severity=Severity.ERROR)
class ErrorRaised(Event):
    """An error that no other kind tells of. ``error_context`` says where it was raised, as far as it is to be kept."""

    error_type: str
    error_message: str = ""
    error_context: Any = None


@event("recording.dropped", severity=Severity.WARNING)
class RecordingDropped(Event):
    """The recorder of a runtime had no room for ``count`` of its calls: more came than the hub could take in.

    ``steps`` says how many of each sort: what is least important is left out first. With ``source`` ``"spool"``, so
    many events of processes could not be written to a spool, and no later one of theirs says so.
    """

    count: int
    steps: Mapping[str, int] | None = None


@event("recording.covered")
class RecordingCovered(Event):
    """A recorder says what it captures of a runtime, and what is ``hidden`` from it: before the first of its events.

    ``runtime`` is the ``source`` of its events, ``version`` that of the package. What is hidden, no record of the log
    can show.
    """

    runtime: str
    version: str = ""
    captured: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
