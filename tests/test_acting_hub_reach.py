"""What an agent reaches by its hub, and by actors that it spawns, of others."""

from __future__ import annotations

import pytest

from hubwire import BaseActor, Hub
from hubwire.errors import AccessDenied


async def test_a_name_that_changes_spawns_no_other_agent() -> None:
    """What was checked is what is spawned."""
    reads: list[str] = []

    class Twofold(BaseActor):
        @property
        def name(self) -> str:  # type: ignore[override]
            reads.append("")
            return "child" if len(reads) == 1 else "victim"

        async def on_envelope(self, turn: object) -> None:
            """Handle it."""

    async with Hub() as hub:
        boss, victim = await hub.agents.register("boss"), await hub.agents.register("victim")
        handle = await hub.acting_as(boss).spawn(Twofold())
        assert handle.agent.name == "child"
        assert hub.agents.named("victim").id == victim.id
        with pytest.raises(AccessDenied):
            await hub.acting_as(boss).spawn(Twofold())


async def test_the_timers_of_others_are_not_read() -> None:
    """Neither those of another agent, nor those of the program."""
    async with Hub() as hub:
        boss, other = await hub.agents.register("boss"), await hub.agents.register("other")
        face = hub.acting_as(boss)
        for timer in (await hub.timers.after(60, agent=other, payload="secret"), await hub.timers.after(60)):
            with pytest.raises(AccessDenied):
                face.timers.get(timer.id)
        own = await face.timers.after(60)
        assert face.timers.get(own.id).entry.agent_id == boss.id
        assert hub.timers.get(own.id).is_waiting
