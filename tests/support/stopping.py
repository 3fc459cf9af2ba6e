"""What the tests of stopping share."""

from __future__ import annotations

from collections.abc import Sequence

from hubwire import Event
from hubwire.testing import Recorder
from support import GatedStore

SOON = 0.05
"""A deadline that a test waits for: only what hangs for ever comes to it."""


class Enterable(Recorder):
    """A recorder that tells when it is entered and left, and fails to be if it is told to."""

    def __init__(self, name: str = "it", calls: list[str] | None = None, error: BaseException | None = None) -> None:
        super().__init__()
        self.name = name
        self.calls = [] if calls is None else calls
        self.error = error

    async def __aenter__(self) -> None:
        if self.error is not None:
            raise self.error
        self.calls.append(f"{self.name} entered")

    async def __aexit__(self, *_: object) -> None:
        self.calls.append(f"{self.name} left")

    async def on_events(self, events: Sequence[Event]) -> None:
        await super().on_events(events)
        if "hub.stopped" in [each.kind for each in events]:
            self.calls.append(f"{self.name} heard the end")


def encoded(content: str | bytes) -> bytes:
    return content.encode() if isinstance(content, str) else content


class Watched(GatedStore):
    """A gated store that also notes, and may refuse, the clean markers of logs."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    async def write(
        self, path: str, content: str | bytes, *, if_absent: bool = False, expect: int | None = None
    ) -> None:
        if path.endswith("/clean") and b'"closed":true' in encoded(content):
            self.calls.append(f"clean marker of {path.split('/')[1]}")
            if self.error is not None:
                raise self.error
        await super().write(path, content, if_absent=if_absent, expect=expect)
