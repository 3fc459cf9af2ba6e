"""Followers: the sessions in which other hubs give commands, and the results of their last commands.

``(absent) -- follower.joined --> (present) -- follower.left | an hour without a command --> (absent)``.

A hub without followers has no entry here, and the kinds of these events are not imported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import attrs

from .._values import Value
from ..errors import CommandRejected
from ..events import Event
from .moments import deadline_ns

__all__ = ("IDLE_SECONDS_MAX", "RESULTS_MAX", "SESSIONS_MAX", "CommandResult", "FollowerSession", "Followers")

RESULTS_MAX = 256
"""Of how many commands of a session the results are kept: those with the highest numbers."""

IDLE_SECONDS_MAX = 3600
"""How long after its last command a session ends."""

SESSIONS_MAX = 500
"""How many there may be at a time."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class FollowerSession(Value):
    """A session of a hub that follows."""

    follower_id: str
    used_ns: int
    """When its last command was carried out."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class CommandResult(Value):
    """What came of a command."""

    follower_id: str
    number: int
    name: str
    digest: str
    seq: int
    """Of the event that says so, the last of its batch."""
    result: Any = None


class Followers:
    """The sessions, the one that was used last at the end, and the results of each by number."""

    entry_types: ClassVar[tuple[type, ...]] = (FollowerSession, CommandResult)

    def __init__(self) -> None:
        self._sessions: dict[str, FollowerSession] = {}
        self._results: dict[str, dict[int, CommandResult]] = {}

    def appliers(self) -> dict[type[Event], Callable[[Any], None]]:
        """Return none: those of :meth:`late_appliers` are found when the first such event comes."""
        return {}

    def late_appliers(self) -> Mapping[str, Callable[[Any], None]]:
        """Return what applies events, by kind; the kinds are declared when they are needed."""
        return {
            "follower.joined": self._joined,
            "follower.commanded": self._commanded,
            "follower.left": self._left,
        }

    def snapshot(self) -> Sequence[FollowerSession | CommandResult]:
        return (*self._sessions.values(), *(each for results in self._results.values() for each in results.values()))

    def restore(self, entries: Sequence[FollowerSession | CommandResult]) -> None:
        for entry in entries:
            if isinstance(entry, FollowerSession):
                self._sessions[entry.follower_id] = entry
                self._results[entry.follower_id] = {}
            elif (results := self._results.get(entry.follower_id)) is not None:
                results[entry.number] = entry

    # -- looking --

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[FollowerSession]:
        return iter(self._sessions.values())

    def __contains__(self, follower_id: str) -> bool:
        return follower_id in self._sessions

    def find(self, follower_id: str, number: int) -> CommandResult | None:
        """Return what came of a command; None if it had no events, or is not known (any more)."""
        return self._results.get(follower_id, {}).get(number)

    def is_forgotten(self, follower_id: str, number: int) -> bool:
        """Tell whether a result of this number would not be known any more."""
        results = self._results.get(follower_id, {})
        return len(results) >= RESULTS_MAX and number < min(results)

    # -- deciding --

    def join(self, follower_id: str, host: str, pid: int, now_ns: int) -> list[Event]:
        """Return no event where the session is there already."""
        from ..events import FollowerJoined  # noqa: PLC0415 - most hubs have no followers

        if follower_id in self._sessions:
            return []
        alive_ns = now_ns - IDLE_SECONDS_MAX * 1_000_000_000
        if sum(each.used_ns >= alive_ns for each in self) >= SESSIONS_MAX:
            raise CommandRejected(
                f"{SESSIONS_MAX} hubs that follow give commands to this one, and it takes no more; close some of them,"
                " or wait: one that has given none for an hour does not count"
            )
        return [FollowerJoined(follower_id=follower_id, host=host, pid=pid)]

    def leave(self, follower_id: str) -> list[Event]:
        """Return no event where there is no such session."""
        from ..events import FollowerLeft  # noqa: PLC0415 - as above

        return [FollowerLeft(follower_id=follower_id)] if follower_id in self._sessions else []

    # -- applying --

    def _joined(self, event: Any) -> None:
        self._use(event)

    def _commanded(self, event: Any) -> None:
        results = self._use(event)
        results[event.number] = CommandResult(
            follower_id=event.follower_id,
            number=event.number,
            name=event.name,
            digest=event.digest,
            seq=event.seq,
            result=event.result,
        )
        if len(results) > RESULTS_MAX:
            del results[min(results)]

    def _left(self, event: Any) -> None:
        self._forget(event.follower_id)

    def _use(self, event: Any) -> dict[int, CommandResult]:
        """Put a session at the end, and forget those that ended because they were idle; return its results."""
        used_ns = deadline_ns(event.at, 0)
        while self._sessions:
            oldest = next(iter(self))
            if oldest.used_ns >= used_ns - IDLE_SECONDS_MAX * 1_000_000_000:
                break
            self._forget(oldest.follower_id)
        self._sessions.pop(event.follower_id, None)
        self._sessions[event.follower_id] = FollowerSession(follower_id=event.follower_id, used_ns=used_ns)
        results = self._results[event.follower_id] = self._results.pop(event.follower_id, {})
        return results

    def _forget(self, follower_id: str) -> None:
        self._sessions.pop(follower_id, None)
        self._results.pop(follower_id, None)
