"""The scenario of the demo: four agents work on tickets, in a process that may be killed at any moment.

``python -m hubwire.cli.scenario STORE TICKETS PACE HANG_AFTER``. Started again on the same store it goes on where the
killed process stopped: agents are found by their names, envelopes without an ack are delivered again, and an envelope
that the journal holds is not posted twice.
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import anyio

from hubwire.listeners.audit import AuditLog
from hubwire.stores import open_store

from .. import Agent, Channel, Delivery, Event, Hub, event
from ..errors import HubError
from ..events import ChannelClosed, ChannelCreated, EnvelopeAcked, EnvelopePosted, ToolCalled, ToolCompleted, ToolFailed
from ..ports import KnowledgeStore
from .output import complain

__all__ = ("TicketSolved", "run")

AT_A_TIME = 2
TITLES = (
    "the build is red",
    "login times out",
    "the cart forgets its items",
    "the report takes a minute",
    "dates are off by a day",
    "the disk fills up at night",
)

Handler = Callable[[Delivery, int], Awaitable[None]]


@event("ticket.solved")
class TicketSolved(Event):
    """The reviewer has approved the patch for a ticket."""

    ticket: int
    title: str


def title_of(ticket: int) -> str:
    return TITLES[(ticket - 1) % len(TITLES)]


class Progress:
    """How far the work on the tickets is, read from the journal of an earlier run and kept up to date in this one."""

    def __init__(self) -> None:
        self.leavers: set[str] = set()
        """The ids of the agents that have acked the farewell."""
        self._farewell = ""
        """The id of the envelope that ends the work of every agent."""
        self._channels: dict[int, str] = {}
        self._closed: set[str] = set()
        self._said: set[tuple[int, str]] = set()
        self._solved: set[int] = set()

    def learn(self, past: Event) -> None:
        """Take in an event of an earlier run."""
        match past:
            case ChannelCreated(channel_id=str(channel_id), topic=topic) if topic.startswith("#"):
                self.open(int(topic[1:].partition(" ")[0]), channel_id)
            case ChannelClosed(channel_id=str(channel_id)):
                self.close(channel_id)
            case EnvelopePosted(content={"ticket": ticket, "step": step}):
                self.say(ticket, step)
                self._farewell = past.envelope_id if step == "done" else ""
            case EnvelopeAcked(envelope_id=self._farewell, agent_id=str(agent_id)):
                self.leavers.add(agent_id)
            case TicketSolved():
                self.solve(past.ticket)

    def open(self, ticket: int, channel_id: str) -> None:
        self._channels[ticket] = channel_id

    def close(self, channel_id: str) -> None:
        self._closed.add(channel_id)

    def open_channel(self, ticket: int) -> str | None:
        """Return the id of the channel of a ticket, unless there is none or it was closed."""
        channel_id = self._channels.get(ticket)
        return None if channel_id in self._closed else channel_id

    def say(self, ticket: int, step: str) -> None:
        self._said.add((ticket, step))

    def has_said(self, ticket: int, step: str) -> bool:
        """Tell whether the envelope of this step was posted, in this run or an earlier one."""
        return (ticket, step) in self._said

    def solve(self, ticket: int) -> None:
        self._solved.add(ticket)

    def is_solved(self, ticket: int) -> bool:
        return ticket in self._solved

    @property
    def solved_count(self) -> int:
        return len(self._solved)

    def next_tickets(self, tickets: int) -> list[int]:
        """Return the tickets to work on now: those that were begun come first."""
        begun = [ticket for ticket in self._channels if ticket and ticket not in self._solved]
        fresh = [ticket for ticket in range(1, tickets + 1) if ticket not in self._channels]
        return (begun + fresh)[:AT_A_TIME]


class Office:
    """Four agents, each with an inbox of its own, and the tickets they work on."""

    def __init__(self, hub: Hub, tickets: int, pace: float, hang_after: int) -> None:
        self._hub = hub
        self._tickets = tickets
        self._pace = pace
        self._hang_after = hang_after
        self._agents: dict[str, Agent] = {}
        self._progress = Progress()
        self._planning = anyio.Lock()

    async def work(self) -> None:
        """Work until every ticket is solved."""
        await self._recall()
        for name in ("planner", "coder", "tester", "reviewer"):
            self._agents[name] = self._hub.agents.find(name) or await self._hub.agents.register(name)
        handlers = {"planner": self._plan, "coder": self._code, "tester": self._test, "reviewer": self._review}
        async with anyio.create_task_group() as tasks:
            for name, handle in handlers.items():
                if self._agents[name].id not in self._progress.leavers:
                    tasks.start_soon(self._answer, name, handle)
            await self._hand_out()
        if (channel_id := self._progress.open_channel(0)) is not None:
            await self._hub.channels.get(channel_id).close("done")

    async def _recall(self) -> None:
        """Read from the journal how far an earlier run came."""
        last = self._hub.statistics().committed - 1
        async for past in self._hub.events(after=-1):
            self._progress.learn(past)
            if past.seq >= last:
                break

    # -- the agents --

    async def _answer(self, name: str, handle: Handler) -> None:
        """Be one agent: take an envelope from the inbox, do the work, and only then ack it."""
        async for delivery in self._agents[name].inbox():
            ticket, step = delivery.content["ticket"], delivery.content["step"]
            if step != "done":
                await handle(delivery, ticket)
            await delivery.ack()
            if step == "done":
                return

    async def _hand_out(self) -> None:
        """Let the planner begin tickets, a few at a time, and end the work of all agents when none are left."""
        async with self._planning:
            for ticket in self._progress.next_tickets(self._tickets):
                channel = await self._channel(ticket)
                await self._say(channel, "planner", ["coder"], ticket, "plan", f"please look: {title_of(ticket)}")
            if self._progress.solved_count == self._tickets and not self._progress.has_said(0, "done"):
                channel = await self._channel(0)
                await self._say(channel, "planner", list(self._agents), 0, "done", "that was all, thank you")

    async def _channel(self, ticket: int) -> Channel:
        """Return the channel of a ticket that is not solved, or open it; 0 stands for the channel of the team."""
        channel_id = self._progress.open_channel(ticket)
        if channel_id is not None:
            channel = self._hub.channels.get(channel_id)
            if channel.is_open:
                return channel
            # The process was killed between the two events that open a channel.
            await channel.close("was never opened")
        topic = f"#{ticket} {title_of(ticket)}" if ticket else "#0 team"
        channel = await self._hub.channels.open(list(self._agents.values()), topic=topic)
        self._progress.open(ticket, channel.id)
        return channel

    async def _plan(self, delivery: Delivery, ticket: int) -> None:
        if not self._progress.is_solved(ticket):
            await self._hub.emit(
                TicketSolved(
                    ticket=ticket,
                    title=title_of(ticket),
                    agent_id=delivery.agent_id,
                    channel_id=delivery.event.channel_id,
                )
            )
            self._progress.solve(ticket)
        if (channel_id := self._progress.open_channel(ticket)) is not None:
            self._progress.close(channel_id)
            await self._hub.channels.get(channel_id).close("solved")
        await self._hand_out()

    async def _code(self, delivery: Delivery, ticket: int) -> None:
        attempt = 2 if delivery.content["step"] == "red" else 1
        if not self._progress.has_said(ticket, f"patch {attempt}"):
            await self._use("coder", delivery, "edit", {"file": f"src/part_{ticket}.py", "attempt": attempt}, "saved")
        await self._reply(
            delivery, "coder", ["tester"], f"patch {attempt}", f"patch {attempt} is ready, please test it"
        )

    async def _test(self, delivery: Delivery, ticket: int) -> None:
        attempt = int(delivery.content["step"].split()[1])
        if ticket % 2 and attempt == 1:
            if not self._progress.has_said(ticket, "red"):
                await self._use("tester", delivery, "pytest", {"path": "tests"}, error="1 failed, 41 passed")
            await self._reply(delivery, "tester", ["coder"], "red", "one test fails, sorry")
            return
        if not self._progress.has_said(ticket, "green"):
            await self._use("tester", delivery, "pytest", {"path": "tests"}, "42 passed")
        await self._reply(delivery, "tester", ["reviewer"], "green", "all green")

    async def _review(self, delivery: Delivery, ticket: int) -> None:
        if not self._progress.has_said(ticket, "approved"):
            await self._use("reviewer", delivery, "diff", {"ticket": ticket}, {"files": 1, "added": 12, "removed": 7})
        await self._reply(delivery, "reviewer", ["planner"], "approved", "looks good to me")

    # -- how they do their work --

    async def _reply(self, delivery: Delivery, sender: str, to: list[str], step: str, text: str) -> None:
        ticket = delivery.content["ticket"]
        # An envelope of an earlier run may have led to the end of the channel.
        if not self._progress.has_said(ticket, step):
            channel = self._hub.channels.get(delivery.event.channel_id or "")
            await self._say(channel, sender, to, ticket, step, text)

    async def _say(self, channel: Channel, sender: str, to: list[str], ticket: int, step: str, text: str) -> None:
        """Post an envelope, unless it was posted in an earlier run."""
        if not self._progress.has_said(ticket, step):
            self._progress.say(ticket, step)
            content = {"ticket": ticket, "step": step, "text": text}
            await channel.post(self._agents[sender], content, to=[self._agents[name] for name in to])
            await anyio.sleep(self._pace)

    async def _use(
        self, name: str, delivery: Delivery, tool: str, arguments: Any, result: Any = None, *, error: str | None = None
    ) -> None:
        """Use a tool: emit a pair of facts around the time that it takes."""
        about: dict[str, Any] = {
            "tool": tool,
            "call_id": secrets.token_hex(4),
            "agent_id": self._agents[name].id,
            "channel_id": delivery.event.channel_id,
        }
        await self._hub.emit(ToolCalled(**about, arguments=arguments))
        if self._progress.solved_count >= self._hang_after > 0:
            # This process is about to be killed; a tool that does not return makes sure it is in the middle of a call.
            await anyio.sleep_forever()
        await anyio.sleep(self._pace)
        if error is None:
            await self._hub.emit(ToolCompleted(**about, result=result))
        else:
            await self._hub.emit(ToolFailed(**about, error_type="TestsFailed", error_message=error))


async def run(store: KnowledgeStore, *, tickets: int, pace: float, hang_after: int = 0) -> None:
    """Work on the tickets of a store until all are solved. From ``hang_after`` solved ones on, tools do not return."""
    async with Hub(store, listeners=[AuditLog(store)]) as hub:
        await Office(hub, tickets, pace, hang_after).work()
    await store.aclose()


async def _main(arguments: Sequence[str]) -> None:
    url, tickets, pace, hang_after = arguments
    await run(open_store(url), tickets=int(tickets), pace=float(pace), hang_after=int(hang_after))


def _launch() -> int:
    try:
        anyio.run(_main, sys.argv[1:])
    except KeyboardInterrupt:
        return 130
    except HubError as error:
        complain(error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_launch())
