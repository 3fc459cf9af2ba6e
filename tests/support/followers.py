"""A hub that follows another one of the same process, and gives its commands to it over a link."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, Self

from hubwire import Event, Hub
from hubwire._commit.phase import Phase
from hubwire._forwarding.connecting import Connection
from hubwire._forwarding.table import COMMANDS, PREFIXES
from hubwire.errors import HubClosed
from hubwire.ports import CommandLink
from hubwire.testing import LocalLink, Recorder, history

_OF_FOLLOWER = {*PREFIXES.values(), *COMMANDS["hub"], "acting_as", "for_tenant"} - {"turns"}
"""What a test asks the hub that follows; recorded blocks are those of the hub that leads."""


class Replica:
    """Applies what another hub has committed, and forwards commands, as a hub does that follows a journal."""

    def __init__(self, leader: Hub, link: CommandLink, **settings: Any) -> None:
        self.leader = leader
        self.hub = Hub(**settings)
        self.is_following = True
        self.connection = Connection(self.hub, self.hub._parts, link, lambda: self.is_following)
        self.gate = asyncio.Event()
        """Set while it applies events."""
        self.gate.set()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Hub:
        parts = self.hub._parts
        parts.lifecycle.move(Phase.STARTING)
        parts.lifecycle.home.adopt_running_loop()
        parts.pipeline.ingress.hub_id = self.leader.id
        parts.pipeline.ring.start_at(0)
        parts.lifecycle.move(Phase.OPEN)
        self._task = asyncio.create_task(self._follow(self.leader.events(after=-1)))
        return self.hub

    async def follow(self, leader: Hub) -> None:
        """Go on with what another hub commits, which leads now."""
        assert self._task is not None
        self._task.cancel()
        after = self.hub._parts.pipeline.ring.applied.value - 1
        self.leader, self._task = leader, asyncio.create_task(self._follow(leader.events(after=after)))

    async def _follow(self, events: Any) -> None:
        pipeline = self.hub._parts.pipeline
        with suppress(HubClosed):
            async for event in events:
                await self.gate.wait()
                pipeline.put_stamped([event])

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        parts = self.hub._parts
        parts.lifecycle.move(Phase.CLOSING)
        parts.lifecycle.move(Phase.STOPPED)
        parts.pipeline.end()
        parts.core.end()
        await self.connection.aclose()


class ForwardedHub:
    """A hub whose commands are given to one that follows it: for tests that were written for a hub alone."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        self._leader = Hub(*args, **settings)
        self._link = LocalLink()
        self._leader.connect(self._link)
        self._clock = {"clock": settings["clock"]} if "clock" in settings else {}
        self._replica: Replica | None = None
        self._is_over = False

    async def __aenter__(self) -> Self:
        await self._leader.start()
        self._replica = Replica(self._leader, self._link, **self._clock)
        mine, theirs = self._replica.hub._parts.state, self._leader._parts.state
        for name in ("channel_types", "evaluators"):  # those of the program, which both hubs would be given
            vars(getattr(mine, name)).update(vars(getattr(theirs, name)))
        await self._replica.__aenter__()
        await self._until_the_same()
        return self

    async def start(self) -> None:
        await self.__aenter__()

    async def _until_the_same(self) -> None:
        assert self._replica is not None
        newest = self._leader._parts.pipeline.ring.committed.value - 1
        await self._replica.hub._parts.pipeline.ring.committed.wait_beyond(newest)

    async def __aexit__(self, *exc: object) -> None:
        leaving: Any = self._leader.__aexit__
        await self._end(leaving(*exc))

    async def aclose(self) -> None:
        await self._end(self._leader.aclose())

    async def abort(self) -> None:
        await self._end(self._leader.abort())

    async def _end(self, ending: Any) -> None:
        try:
            await ending
        finally:
            if self._replica is not None and not self._is_over:
                self._is_over = True
                if (following := self._replica._task) is not None:
                    await asyncio.wait([following], timeout=5)  # it reads to the end
                await self._replica.__aexit__()

    def __getattr__(self, name: str) -> Any:
        if name in _OF_FOLLOWER and self._replica is not None and self._leader._parts.core.is_open:
            return getattr(self._replica.hub, name)
        return getattr(self._leader, name)


_COUNTS = "it counts events, and each command of a follower has one more"
_INSIDE = "it looks at a moment of the hub that leads, at which the other one has not seen what it looks for"
_HELD = "it holds up the commit that the answer to a command waits for"
_POLICY = "it gives a policy to a command, which has code in it and is not sent"
_ENDS = "the command ends with the hub that leads, and is sent again until another one does"

_OF_ONE_HUB = {
    "test_a_failing_timer_stops_the_hub": _ENDS,
    "test_leaving_thousands_of_channels_ends": _COUNTS,
    "test_a_wide_close_is_split": _COUNTS,
    "test_thousands_get_it_in_one_event": _COUNTS,
    "test_a_repeated_post_returns_the_first": _COUNTS,
    "test_a_retry_reaches_the_one_that_failed": _COUNTS,
    "test_timers_left_behind_are_there_no_more": _INSIDE,
    "test_done_already_means_committed": _HELD,
    "test_an_approver_gets_the_question": _POLICY,
    "test_a_quorum_decides": _POLICY,
    "test_trust_follows_the_verdicts": _POLICY,
}


def is_of_one_hub(test: Any) -> str:
    """Return why a test cannot be run by way of a hub that follows; empty if it can."""
    return _OF_ONE_HUB.get(test.originalname, "")


async def without_followers(self: Any, events: Any) -> None:
    """Let a recorder of a test see what it would without a hub that follows."""
    await _on_events(self, [event for event in events if not event.kind.startswith("follower.")])


async def history_without_followers(hub: Any) -> list[Event]:
    """Return what :func:`hubwire.testing.history` does of a hub that no other one follows."""
    return [event for event in await history(hub) if not event.kind.startswith("follower.")]


_on_events = Recorder.on_events
