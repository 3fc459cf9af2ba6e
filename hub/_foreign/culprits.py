"""Whose code holds up an event loop: what another thread can read of it in the frames of the loop's thread.

Code that blocks the loop cannot be bounded in time there, so it is named. No note is taken when a guest is called: the
frames are looked at when the loop is late already, and a call costs what it did.
"""

from __future__ import annotations

import asyncio
import sys
from types import CodeType, FrameType
from typing import Any

import attrs

from .._values import Value
from .guards import clean

__all__ = ("GUESTS", "Culprit", "culprit_of")

_PACKAGE = __name__.partition(".")[0]
_FOREIGN = __name__.rpartition(".")[0] + "."
_TASK = f"{_PACKAGE} "
"""What the names of the tasks begin with in which a hub calls its guests."""

_LOOPS = ("asyncio.events", "asyncio.base_events", "asyncio.runners", "uvloop")
"""The modules of event loops: the frames further out are of what runs the loop, not of what it runs."""

_BENEATH = frozenset(sys.stdlib_module_names) | {"aiofiles", "anyio", "attr", "attrs", "cattr", "cattrs", "structlog"}
"""What a guest calls, or is called by, without being one."""

_DEPTH_MAX = 2000
"""How many frames are looked at; a guest that recurses has more."""

_AT_ONCE = "it is called on the event loop, and has to answer at once"
_PURE = f"{_AT_ONCE}: let an actor or a listener do what takes long"
_IN_THREAD = "let it await asyncio.to_thread(...) for what blocks"

GUESTS: dict[tuple[str, str], tuple[str, str]] = {
    ("_commands.authorizer", "_authorize"): ("the arbiter", f"{_AT_ONCE}: make it async, and {_IN_THREAD}"),
    ("validation._checks", "_called"): ("the check of a rule for events", _AT_ONCE),
    ("_state.expectations", "_owed"): ("an evaluator", _PURE),
    ("_state.guests", "call_type"): ("a channel type", _PURE),
    ("_state.guests", "ask_at_deadline"): ("a channel type", _PURE),
    ("_state.guests", "ask_result"): ("a channel type", _PURE),
    ("listeners.live._redacting", "_redact"): ("the redactor of a LiveTail", f"{_AT_ONCE}, for each event"),
    ("redaction.rules", "spans"): ("a rule of a redactor", f"{_AT_ONCE}, for each text"),
    ("_delivery.side_by_side", "_key_of"): ("the key of a listener", _AT_ONCE),
    ("_delivery.adapted", "last_seq"): ("last_seq() of a listener", f"{_AT_ONCE}: let it keep the number ready"),
    ("_delivery.adapted", "last_id"): ("last_id() of a listener", f"{_AT_ONCE}: let it keep the id ready"),
    ("_delivery.adapted", "head"): ("head of a listener", f"{_AT_ONCE}: let it keep the head ready"),
    ("_delivery.adapted", "bind"): ("bind() of a listener", f"{_AT_ONCE}: open things in __aenter__"),
    ("_delivery.adapted", "bind_attachment"): ("bind_attachment() of a listener", _AT_ONCE),
    ("_foreign.clocks", "now_ns"): ("the clock of the hub", _AT_ONCE),
    ("_foreign.clocks", "monotonic"): ("the clock of the hub", _AT_ONCE),
}
"""The plug-ins that are called on the event loop and cannot wait: by module and function that calls them."""


@attrs.frozen(eq=False, repr=False)
class Culprit(Value):
    """A guest that was seen on the event loop while this stood still."""

    guest: str
    """Whose code it is."""
    place: str
    """The function that was called, where it was, and what it was in; empty if only its caller was seen."""
    advice: str

    def __str__(self) -> str:
        return f"{self.guest}{', ' if self.place else ''}{self.place}; {self.advice}"


def culprit_of(thread_id: int, loop: asyncio.AbstractEventLoop) -> Culprit | None:
    """Return whose code runs in the thread of an event loop now; None if that is none that can be named."""
    frames: list[FrameType] = []
    frame = sys._current_frames().get(thread_id)  # noqa: SLF001 - the documented way to look at another thread
    while frame is not None and len(frames) < _DEPTH_MAX and not _module_of(frame).startswith(_LOOPS):
        frames.append(frame)
        frame = frame.f_back
    if frames and (known := GUESTS.get(_name_of(frames[0]))) is not None:
        return Culprit(known[0], "", known[1])  # what it calls has no frame: a function of an extension
    entry = next((place for place, each in enumerate(frames) if _is_guest(each)), None)
    if entry is None:
        return None
    caller = entry
    while caller < len(frames) and not _is_ours(frames[caller]):
        if _is_guest(frames[caller]):
            entry = caller
        caller += 1
    while caller < len(frames) and _module_of(frames[caller]).startswith(_FOREIGN) and not _is_known(frames[caller]):
        caller += 1  # the guard that it is called through
    guest, advice = _role(frames[caller] if caller < len(frames) else None, loop)
    place = _place_of(frames[entry])
    return Culprit(guest, place if entry == 0 else f"{place}, in {_place_of(frames[0])}", advice)


def _role(caller: FrameType | None, loop: asyncio.AbstractEventLoop) -> tuple[str, str]:
    """Return who a guest is, by the function that calls it or else by the task it runs in; and what to do."""
    if caller is not None and (known := GUESTS.get(_name_of(caller))) is not None:
        return known
    task = asyncio.current_task(loop)
    if type(task) is asyncio.Task and (name := task.get_name()).startswith(_TASK):
        return clean(name.removeprefix(_TASK)), _IN_THREAD
    return "code of the program", _IN_THREAD


def _is_known(frame: FrameType) -> bool:
    return _name_of(frame) in GUESTS


def _is_ours(frame: FrameType) -> bool:
    return _module_of(frame).startswith(f"{_PACKAGE}.")


def _is_guest(frame: FrameType) -> bool:
    module = _module_of(frame)
    return not module.startswith(f"{_PACKAGE}.") and module.partition(".")[0] not in _BENEATH


def _name_of(frame: FrameType) -> tuple[str, str]:
    return _module_of(frame).removeprefix(f"{_PACKAGE}."), frame.f_code.co_name


def _module_of(frame: FrameType) -> str:
    # Code that is made with exec() may have globals of any class, and any name in them.
    name: Any = dict.get(frame.f_globals, "__name__")
    return name if type(name) is str else ""


def _place_of(frame: FrameType) -> str:
    code: CodeType = frame.f_code
    return clean(f"{code.co_qualname} ({code.co_filename}:{frame.f_lineno})", 300)
