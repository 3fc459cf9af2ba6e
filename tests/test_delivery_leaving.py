"""What a listener that is being left says of its position does not count: it may be closed already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from hubwire import BaseHubListener, Duty, Event, GenericEvent, Hub
from hubwire.stores import MemoryStore


class Keeper(BaseHubListener):
    """Keeps its position, and knows it while it is open."""

    duty = Duty.DURABLE

    def __init__(self) -> None:
        self.hub: Hub | None = None
        self.is_open = False
        self.held: int | None = None

    async def __aenter__(self) -> Self:
        self.is_open = True
        return self

    async def on_events(self, events: Sequence[Event]) -> None:
        self.held = events[-1].seq

    def last_seq(self) -> int | None:
        return self.held if self.is_open else None

    async def __aexit__(self, *_: object) -> None:
        self.is_open = False
        assert self.hub is not None
        upkeep = self.hub._parts.upkeep
        assert upkeep is not None
        upkeep._ask_again()  # as it does whenever the journal has grown


async def test_the_position_of_a_closed_listener_stays() -> None:
    store, keeper = MemoryStore(), Keeper()
    keeper.hub = hub = Hub(store)
    hub.attach(keeper, name="keeper")
    async with hub:
        for number in range(20):
            await hub.emit(GenericEvent(kind="work.done", data={"number": number}))
        await hub.flush()
        held = keeper.held
    assert held is not None
    async with Hub(store) as again:
        journal = again.statistics().journal
        assert journal is not None
        assert dict(journal.positions)["keeper"] > held
