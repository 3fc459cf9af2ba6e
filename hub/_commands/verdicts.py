"""Reporting verdicts: each is followed by ``audit.logged`` when it has committed."""

from __future__ import annotations

import anyio

from .._state.approvals import Approvals
from .._state.verdicts import VERDICTS
from ..context import EMPTY
from ..errors import HubClosed, HubFailed
from .core import Core

__all__ = ("Verdicts",)


class Verdicts:
    """Reports each verdict on an approval by ``audit.logged`` when it has committed; after a crash, at the start."""

    def __init__(self, core: Core, approvals: Approvals) -> None:
        self._core = core
        self._approvals = approvals
        self._judged = anyio.Event()
        for kind in VERDICTS:
            core.on_applied(kind, lambda _: self._judged.set())

    async def run(self) -> None:
        """Run until the hub is stopped; verdicts that are reached while it closes are reported, too."""
        while not self._core.is_stopped:
            self._judged = anyio.Event()
            while (verdict := self._approvals.unlogged()) is not None:
                try:
                    await self._core.until_committed(verdict.seq)
                except (HubClosed, HubFailed):
                    return  # reported by the next start
                if not self._core.announce(self._approvals.log(verdict.approval_id), EMPTY):
                    return  # the hub has put its last event meanwhile: reported by the next start
            await self._judged.wait()
