"""The word that a verdict has committed."""

from __future__ import annotations

import anyio

from .._state.verdicts import VERDICTS
from ..context import EMPTY
from .core import Core

__all__ = ("Verdicts",)


class Verdicts:
    """Tells of each verdict on an approval by ``audit.logged``, when it has committed; after a crash, at the start."""

    def __init__(self, core: Core) -> None:
        self._approvals = core.state.approvals
        self._pipeline = core.pipeline
        self._judged = anyio.Event()
        for kind in VERDICTS:
            core.watch(kind, lambda _: self._judged.set())

    async def run(self) -> None:
        """Run until the hub is stopped: also what is decided while it closes is told of."""
        while not self._pipeline.stopped:
            self._judged = anyio.Event()
            while (verdict := self._approvals.unlogged()) is not None:
                if not await self._pipeline.ring.committed.wait_beyond(verdict.seq) or self._pipeline.stopped:
                    return
                self._pipeline.put(self._approvals.log(verdict.approval_id), EMPTY)
            await self._judged.wait()
