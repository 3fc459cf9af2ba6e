"""What the demo shows: four agents who work on tickets, in a process that may be killed at any moment.

``python -m hubwire.cli.scenario STORE TICKETS PACE HANG_AFTER``. Started again on the same store it goes on where the
killed one stopped: agents are found by their names, unacked envelopes are delivered again, and what was said already,
as the journal tells, is not said twice.
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


class Office:
    """Four agents, each with an inbox of its own, and the tickets they work on."""

    def __init__(self, hub: Hub, tickets: int, pace: float, hang_after: int) -> None:
        self._hub = hub
        self._tickets = tickets
        self._pace = pace
        self._hang_after = hang_after
        self._agents: dict[str, Agent] = {}
        self._channels: dict[int, str] = {}
        self._said: set[tuple[int, str]] = set()
        self._solved: set[int] = set()
        self._closed: set[str] = set()
        self._planning = anyio.Lock()
        self._farewell = ""
        """The envelope that tells everybody to go home."""
        self._left: set[str] = set()

    async def work(self) -> None:
        """Work until every ticket is solved."""
        await self._remember()
        for name in ("planner", "coder", "tester", "reviewer"):
            self._agents[name] = self._hub.agents.find(name) or await self._hub.agents.register(name)
        handlers = {"planner": self._plan, "coder": self._code, "tester": self._test, "reviewer": self._review}
        async with anyio.create_task_group() as tasks:
            for name, handle in handlers.items():
                if self._agents[name].id not in self._left:
                    tasks.start_soon(self._answer, name, handle)
            await self._hand_out()
        if self._channels[0] not in self._closed:
            await self._hub.channels.get(self._channels[0]).close("done")

    async def _remember(self) -> None:
        """Know again what the journal tells of an earlier life."""
        last = self._hub.statistics().committed - 1
        async for past in self._hub.events(after=-1):
            match past:
                case ChannelCreated(channel_id=str(channel_id), topic=topic) if topic.startswith("#"):
                    self._channels[int(topic[1:].partition(" ")[0])] = channel_id
                case ChannelClosed(channel_id=str(channel_id)):
                    self._closed.add(channel_id)
                case EnvelopePosted(content={"ticket": ticket, "step": step}):
                    self._said.add((ticket, step))
                    self._farewell = past.envelope_id if step == "done" else ""
                case EnvelopeAcked(envelope_id=self._farewell, agent_id=str(agent_id)):
                    self._left.add(agent_id)
                case TicketSolved():
                    self._solved.add(past.ticket)
            if past.seq >= last:
                break

    # -- what agents do --

    async def _answer(self, name: str, handle: Handler) -> None:
        """Be one agent: take what is in the inbox, do the work, and only then ack it."""
        async for delivery in self._agents[name].inbox():
            ticket, step = delivery.content["ticket"], delivery.content["step"]
            if step != "done":
                await handle(delivery, ticket)
            await delivery.ack()
            if step == "done":
                return

    async def _hand_out(self) -> None:
        """Let the planner begin tickets, a few at a time, and tell everybody when there are none left."""
        async with self._planning:
            begun = [ticket for ticket in self._channels if ticket and ticket not in self._solved]
            fresh = [ticket for ticket in range(1, self._tickets + 1) if ticket not in self._channels]
            for ticket in (begun + fresh)[:AT_A_TIME]:
                channel = await self._channel(ticket)
                await self._say(channel, "planner", ["coder"], ticket, "plan", f"please look: {title_of(ticket)}")
            if len(self._solved) == self._tickets and (0, "done") not in self._said:
                channel = await self._channel(0)
                await self._say(channel, "planner", list(self._agents), 0, "done", "that was all, thank you")

    async def _channel(self, ticket: int) -> Channel:
        """Return the channel of a ticket that is not solved, or open it; 0 stands for everybody's."""
        channel_id = self._channels.get(ticket)
        if channel_id is not None and channel_id not in self._closed:
            channel = self._hub.channels.get(channel_id)
            if channel.is_open:
                return channel
            # The process was killed between the two events that open a channel.
            await channel.close("was never opened")
        topic = f"#{ticket} {title_of(ticket)}" if ticket else "#0 everybody"
        channel = await self._hub.channels.open(list(self._agents.values()), topic=topic)
        self._channels[ticket] = channel.id
        return channel

    async def _plan(self, delivery: Delivery, ticket: int) -> None:
        if ticket not in self._solved:
            await self._hub.emit(
                TicketSolved(
                    ticket=ticket,
                    title=title_of(ticket),
                    agent_id=delivery.agent_id,
                    channel_id=delivery.event.channel_id,
                )
            )
            self._solved.add(ticket)
        if (channel_id := self._channels[ticket]) not in self._closed:
            self._closed.add(channel_id)
            await self._hub.channels.get(channel_id).close("solved")
        await self._hand_out()

    async def _code(self, delivery: Delivery, ticket: int) -> None:
        attempt = 2 if delivery.content["step"] == "red" else 1
        if (ticket, f"patch {attempt}") not in self._said:
            await self._use("coder", delivery, "edit", {"file": f"src/part_{ticket}.py", "attempt": attempt}, "saved")
        await self._reply(
            delivery, "coder", ["tester"], f"patch {attempt}", f"patch {attempt} is ready, please test it"
        )

    async def _test(self, delivery: Delivery, ticket: int) -> None:
        attempt = int(delivery.content["step"].split()[1])
        if ticket % 2 and attempt == 1:
            if (ticket, "red") not in self._said:
                await self._use("tester", delivery, "pytest", {"path": "tests"}, error="1 failed, 41 passed")
            await self._reply(delivery, "tester", ["coder"], "red", "one test fails, sorry")
            return
        if (ticket, "green") not in self._said:
            await self._use("tester", delivery, "pytest", {"path": "tests"}, "42 passed")
        await self._reply(delivery, "tester", ["reviewer"], "green", "all green")

    async def _review(self, delivery: Delivery, ticket: int) -> None:
        if (ticket, "approved") not in self._said:
            await self._use("reviewer", delivery, "diff", {"ticket": ticket}, {"files": 1, "added": 12, "removed": 7})
        await self._reply(delivery, "reviewer", ["planner"], "approved", "looks good to me")

    # -- how they do it --

    async def _reply(self, delivery: Delivery, sender: str, to: list[str], step: str, text: str) -> None:
        ticket = delivery.content["ticket"]
        # Said in an earlier life, it may have led to the channel's end.
        if (ticket, step) not in self._said:
            channel = self._hub.channels.get(delivery.event.channel_id or "")
            await self._say(channel, sender, to, ticket, step, text)

    async def _say(self, channel: Channel, sender: str, to: list[str], ticket: int, step: str, text: str) -> None:
        """Post an envelope, unless it was posted in an earlier life."""
        if (ticket, step) not in self._said:
            self._said.add((ticket, step))
            content = {"ticket": ticket, "step": step, "text": text}
            await channel.post(self._agents[sender], content, to=[self._agents[name] for name in to])
            await anyio.sleep(self._pace)

    async def _use(
        self, name: str, delivery: Delivery, tool: str, arguments: Any, result: Any = None, *, error: str | None = None
    ) -> None:
        """Use a tool: a pair of facts around the time that it takes."""
        about: dict[str, Any] = {
            "tool": tool,
            "call_id": secrets.token_hex(4),
            "agent_id": self._agents[name].id,
            "channel_id": delivery.event.channel_id,
        }
        await self._hub.emit(ToolCalled(**about, arguments=arguments))
        if len(self._solved) >= self._hang_after > 0:
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
