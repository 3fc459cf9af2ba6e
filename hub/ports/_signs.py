"""How the nodes of a cluster hear of each other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

__all__ = ("ClusterSigns",)


class ClusterSigns(Protocol):
    """What each node says, twice a second, to all that listen at that moment. What is lost is said again."""

    async def say(self, body: bytes) -> None:
        """Say it; what this raises is tried again."""

    def heard(self) -> AsyncIterator[bytes]:
        """Iterate for ever over what is said from now on, by this node too; raise when none can be heard any more."""

    async def aclose(self) -> None:
        """Give up the connection: called at the end of the cluster."""
