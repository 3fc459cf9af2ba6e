"""Agents on demand: registered when they are first named, because a rule says what makes their actors."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

__all__ = ("Demand",)


class Demand:
    """Registers agents that are named and are not there, where a rule of :meth:`hubwire.Hub.spawn_on_demand` is met."""

    def __init__(self) -> None:
        self.register: Callable[[Any, str], Awaitable[None]] | None = None
        """Registers the agent of a name, if it is not registered, for who acts through a core; None without rules."""

    async def admit(self, core: Any, agents: Iterable[object]) -> None:
        """Register those of these agents that are given by names which rules are met by."""
        if self.register is None:
            return
        for each in agents:
            if type(each) is str:
                await self.register(core, each)
