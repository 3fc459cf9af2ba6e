"""Events that only reading, or a command, makes are not emitted."""

from __future__ import annotations

import pytest

from hubwire import Hub
from hubwire.errors import CommandRejected
from hubwire.events import GenericEvent, UnknownEvent


async def test_an_unknown_event_is_not_emitted() -> None:
    """Nothing has changed, and the next event has the next seq."""
    async with Hub() as hub:
        before = hub.statistics().applied
        with pytest.raises(CommandRejected, match="comes from reading"):
            await hub.emit(UnknownEvent(kind="a.b"))
        assert hub.statistics().applied == before


async def test_a_command_makes_its_events_alone() -> None:
    """A generic event of such a kind is refused with the name of the command, not of the class."""
    async with Hub() as hub:
        with pytest.raises(CommandRejected, match=r"is not emitted: .* makes it"):
            await hub.emit(GenericEvent(kind="task.started"))
