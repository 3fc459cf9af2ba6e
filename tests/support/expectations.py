"""What the tests of expectations share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from hubwire import Agent, Channel, Hub
from hubwire.events import ExpectationViolated
from hubwire.expectations import Expectation
from hubwire.ports import KnowledgeStore
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock, Recorder
from support import until_idle

ANSWER = Expectation(name="reply_within", params={"seconds": 60})


class World:
    """A hub with a clock and three agents; :meth:`restart` makes the next one on the same store."""

    def __init__(self, store: KnowledgeStore | None = None, **settings: Any) -> None:
        self.store = store or MemoryStore()
        self.settings = settings
        self.clock = ManualClock()
        self.recorder = Recorder()
        self.hub = Hub(self.store, listeners=[self.recorder], clock=self.clock, **self.settings)
        self.a: Agent
        self.b: Agent
        self.c: Agent

    async def __aenter__(self) -> Self:
        await self.hub.start()
        self.a, self.b, self.c = [await self.hub.agents.register(name) for name in "abc"]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.hub.aclose()

    async def restart(self, *evaluators: Any) -> None:
        await self.hub.aclose()
        self.recorder = Recorder()
        self.hub = Hub(self.store, listeners=[self.recorder], clock=self.clock, **self.settings)
        for each in evaluators:
            self.hub.channels.register_evaluator(each)
        await self.hub.start()
        self.a, self.b, self.c = [self.hub.agents.get(each.id) for each in (self.a, self.b, self.c)]

    async def open(self, *expectations: Expectation | Mapping[str, Any], **settings: Any) -> Channel:
        return await self.hub.channels.open([self.a, self.b, self.c], expectations=expectations, **settings)

    async def after(self, seconds: float) -> None:
        await self.settle()
        self.clock.advance(seconds)
        await self.settle()

    async def settle(self) -> None:
        """Return when the timers have nothing left to do: whatever is due was put, and committed."""
        await until_idle()
        await self.hub.flush()
        await until_idle()
        await self.hub.flush()

    @property
    def violated(self) -> list[Any]:
        """What this hub has told of, without what the one before it did."""
        return [event for event in self.recorder.events if isinstance(event, ExpectationViolated)]

    @property
    def violators(self) -> list[tuple[str, ...]]:
        return [event.violators for event in self.violated]


async def notices(agent: Agent, count: int) -> list[Any]:
    inbox = agent.inbox()
    read = [(await anext(inbox)).event for _ in range(count)]
    return [event for event in read if event.is_notice]
