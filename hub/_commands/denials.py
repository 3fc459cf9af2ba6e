"""Reporting what the arbiter denied: by events, few enough that a flood of denied commands is no flood of events."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Protocol

import anyio

from ..arbiter import Command
from ..errors import CommandRejected, HubClosed, HubFailed
from ..events import CommandDenied, Event
from ..ports import Clock

__all__ = ("Denials",)

_SECONDS = 1.0
"""At most one event per agent, command and reason in this time; the rest are counted into the next one."""

_TALLIES_MAX = 100
"""How many of these are told apart at a time; the denials of all others are counted together."""

_REASON_LENGTH_MAX = 1000
_NAME_LENGTH_MAX = 255

_REPORTED_OTHERWISE = frozenset({"send", "dispatch", "inbox"})
"""A post that is denied is ``envelope.rejected``, and one kept from an agent ``envelope.dispatch_failed``."""

_OTHERS = ("", "", "", "many agents were denied many commands: these were not told apart")


class Announcer(Protocol):
    """What puts events on the ring without admission: :class:`~hubwire._commands.core.Core`."""

    def announce(self, events: Sequence[Event]) -> list[Event]: ...

    def until_committed(self, seq: int) -> Awaitable[None]: ...


class Denials:
    """Reports denied commands by ``command.denied``: the first at once, and each second the sum of the others.

    What it puts is no command, so no arbiter is called for it.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._announcer: Announcer | None = None
        self._counts: dict[tuple[str, str, str, str], int] = {}
        """By agent's id and name, command and reason, the denials that were not reported yet."""
        self._denied = anyio.Event()

    def connect(self, announcer: Announcer) -> None:
        """Say, once, what puts the events."""
        self._announcer = announcer

    async def report(self, command: Command, reason: str) -> None:
        """Report a denied command, and return when that has committed: its caller learns of it after the log.

        An equal one that was reported within the last second is counted alone, and there is no commit to wait for.
        """
        if command.name in _REPORTED_OTHERWISE:
            return
        event = self.note(command.agent_id, command.agent_name, command.name, reason)
        if event is not None and self._announcer is not None:
            try:
                await self._announcer.until_committed(event.seq)
            except (HubClosed, HubFailed):
                return  # the caller gets the denial; the next command gets this

    def note(self, agent_id: str | None, agent_name: str, command: str, reason: str) -> Event | None:
        """Report a denied command without waiting; return the event, None if it is counted into a later one."""
        key = (
            _written(agent_id or "", _NAME_LENGTH_MAX),
            _written(agent_name, _NAME_LENGTH_MAX),
            command,
            _written(reason, _REASON_LENGTH_MAX),
        )
        if key not in self._counts and len(self._counts) >= _TALLIES_MAX:
            key = _OTHERS
        if key in self._counts:
            self._counts[key] += 1
            return None
        event = self._put(key, 1)
        if event is not None:
            self._counts[key] = 0
            self._denied.set()
        return event

    async def run(self) -> None:
        """Report each second what was counted, for as long as the hub runs."""
        while True:
            await self._denied.wait()
            await self._clock.sleep(_SECONDS)
            self._counts = {key: count for key, count in self._counts.items() if count}
            self.flush()
            if not self._counts:
                self._denied = anyio.Event()

    def flush(self) -> None:
        """Report at once what was counted."""
        for key, count in self._counts.items():
            if count and self._put(key, count) is not None:
                self._counts[key] = 0

    def _put(self, key: tuple[str, str, str, str], count: int) -> Event | None:
        """Put an event and return it; None if none can be put now."""
        agent_id, agent_name, command, reason = key
        event = CommandDenied(
            agent_id=agent_id or None, agent_name=agent_name, command_name=command, reason=reason, count=count
        )
        assert self._announcer is not None
        try:
            stamped = self._announcer.announce([event])
        except CommandRejected:
            return None  # listeners that answer denials by denied commands, too often in a row
        return stamped[0] if stamped else None


def _written(text: str, length_max: int) -> str:
    """Return text that UTF-8 can hold, and not too long: a reason may be a stranger's."""
    return text[:length_max].encode(errors="backslashreplace").decode()
