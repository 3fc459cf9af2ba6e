"""Listeners that give events up, and the events that they get."""

from __future__ import annotations

from typing import Any

from hubwire import Duty, Hub

from . import said

__all__ = ("durable", "say")


def durable(hub: Hub, listener: Any, **settings: Any) -> Any:
    """Attach a listener that gives an event up when it has failed at it once."""
    given = {"duty": Duty.DURABLE, "name": "picky", "pattern": "number.said", "attempts_max": 1}
    return hub.attach(listener, **{**given, "when_exhausted": "dead_letter", **settings})


async def say(hub: Hub, count: int, first: int = 0) -> None:
    for n in range(first, first + count):
        await hub.emit(said(n))
    await hub.flush()
