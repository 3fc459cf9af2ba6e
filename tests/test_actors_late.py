"""Actors are made with the first one that is spawned: what was before counts for them all the same."""

from __future__ import annotations

import pytest

from hubwire import Hub, Turn
from hubwire._actors.rules import GroupRules
from hubwire.errors import HubClosed
from support import said


async def idle(turn: Turn) -> None:
    pass


async def test_what_came_before_the_first_actor_is_not_recovered() -> None:
    """Only what a run before has left is: its beginning would be waited for."""
    async with Hub() as hub:
        first = await hub.emit(said())
        actors = hub._parts.actors.made()
        assert not actors._is_recovered(first)
        assert actors is hub._parts.actors.made()
        await hub.spawn(idle)


async def test_an_aborted_hub_takes_no_first_actor() -> None:
    """Nor a group, also through the hub of an agent, whose agent for the actor is registered already."""
    async with Hub() as hub:
        acting = hub.acting_as(await hub.agents.register("boss"))
        await acting.agents.register("idle")
        await hub.abort()
        with pytest.raises(HubClosed, match="takes no actors"):
            await acting.spawn(idle)
        with pytest.raises(HubClosed, match="takes no actors"):
            hub._parts.actors.made().supervise("a group", GroupRules())
    assert hub.statistics().actors == ()
