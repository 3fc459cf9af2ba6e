"""What the tests of actors share."""

from __future__ import annotations

from typing import Any

from hubwire import Agent, BaseActor, Channel, Escalate, Hub, Turn


class Collector(BaseActor):
    """Remembers what it was told; raises what it is given."""

    name = "worker"

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.calls: list[str] = []

    async def on_start(self, hub: Any, agent: Agent) -> None:
        self.calls.append("start")

    async def on_envelope(self, turn: Turn, /) -> None:
        self.heard.append(turn.content)
        if isinstance(turn.content, dict) and turn.content.get("crash"):
            raise Escalate("too hard")
        if isinstance(turn.content, dict) and turn.content.get("fail"):
            raise ValueError("too hard")

    async def on_stop(self) -> None:
        self.calls.append("stop")


async def channel_to(hub: Hub, *others: Agent) -> tuple[Channel, Agent]:
    boss = hub.agents.find("boss") or await hub.agents.register("boss")
    return await hub.channels.open([boss, *others]), boss
