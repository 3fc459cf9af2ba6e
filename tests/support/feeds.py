"""Feeds for tests: idle ones, failing ones, and ones that say what they are told to."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from hubwire import FeedHandle, FeedState, GenericEvent, Hub

from . import until, until_idle

__all__ = ("Failing", "Finishing", "Idle", "Saying", "running", "said")


def said(number: int = 0) -> GenericEvent:
    return GenericEvent(kind="feed.said", data={"number": number})


class Idle:
    """Waits for ever, and says what becomes of it."""

    def __init__(self) -> None:
        self.steps: list[str] = []

    async def run(self, hub: Hub) -> None:
        self.steps.append("run")
        try:
            await asyncio.Event().wait()
        finally:
            self.steps.append("cancelled")


class Finishing(Idle):
    """Has one event in its hands, until it is to finish."""

    hub: Hub

    async def run(self, hub: Hub) -> None:
        self.hub = hub
        await super().run(hub)

    async def finish(self) -> None:
        self.steps.append("finish")
        await self.hub.emit(said())
        self.steps.append("finished")


class Failing:
    """Raises at each call."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.calls = 0
        self.error = error

    async def run(self, hub: Hub) -> None:
        self.calls += 1
        raise RuntimeError(f"call {self.calls}") if self.error is None else self.error


class Saying(Idle):
    """Answers what it is told to."""

    def __init__(self, problems: Any = (), statistics: Any = None) -> None:
        super().__init__()
        self.answers = {"problems": problems, "statistics": {} if statistics is None else statistics}

    def problems(self) -> Sequence[str]:
        return self._answer("problems")  # type: ignore[no-any-return]

    def statistics(self) -> Mapping[str, int]:
        return self._answer("statistics")  # type: ignore[no-any-return]

    def _answer(self, name: str) -> Any:
        answer = self.answers[name]
        if isinstance(answer, BaseException):
            raise answer
        return answer


async def running(handle: FeedHandle) -> None:
    await until(lambda: handle.state is FeedState.RUNNING)
    await until_idle()
