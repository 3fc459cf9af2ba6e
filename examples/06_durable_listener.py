"""Lesson 6: a listener that gets every event at least once, in order, also those of the time when it was away."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from hubwire import Duty, Event, GenericEvent, Hub
from hubwire.errors import NotFound
from hubwire.stores import FileStore


class Invoices:
    """Sends an invoice for each order. After a crash it may get an order again, but it never misses one."""

    duty = Duty.DURABLE
    pattern = "order.placed"

    async def on_events(self, events: Sequence[Event]) -> None:
        for event in events:
            print("invoice for event", event.seq)


async def main() -> None:
    store = FileStore("shop")

    async with Hub(store) as hub:
        invoices = hub.attach(Invoices(), name="invoices")
        await invoices.ready()  # from here on, a crash loses no order
        await hub.emit(GenericEvent(kind="order.placed", data={"item": "book"}))

    async with Hub(store) as hub:  # the service that sends invoices is down
        await hub.emit(GenericEvent(kind="order.placed", data={"item": "lamp"}))
        await hub.emit(GenericEvent(kind="order.placed", data={"item": "desk"}))

    async with Hub(store) as hub:  # and up again: the hub knows the name and its position
        invoices = hub.attach(Invoices(), name="invoices")
        await hub.flush()
        print("handled:", invoices.statistics().handled, "healthy:", hub.health().healthy)
        await invoices.detach()
        await hub.forget("invoices")  # it is not coming back: the journal need not wait for it
        try:
            await hub.forget("invoices")
        except NotFound as error:
            print("forgotten:", error)


asyncio.run(main())
