"""A hundred thousand agents and ten thousand channels: nothing costs more because of what else there is.

Work is counted, not timed. ``HUBWIRE_SCALE=100000`` runs these tests at full size; by default they take a tenth of it.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import anyio
import anyio.lowlevel

from hubwire import Hub
from hubwire._journal.entries import decode_entry, encode_entry
from hubwire._state import State
from hubwire._state.ledgers import Ledgers
from hubwire._state.memories import Memories
from hubwire._state.moments import Deadlines, deadline_ns
from hubwire._state.owned import Owned
from hubwire.context import EMPTY
from hubwire.events import Event
from hubwire.events._stamp import stamp
from hubwire.testing import ManualClock
from support import Unscanned

SCALE = int(os.environ.get("HUBWIRE_SCALE", "10000"))
"""How many agents; a tenth as many channels."""

AT = "2026-11-21T09:30:00.000001Z"
TTL_SECONDS = 60.0


class Bench:
    """A state with agents and channels, in which everybody has something to read and to do."""

    def __init__(self, agents: int) -> None:
        self.state = State()
        self.seq = 0
        for number in range(agents):
            self.do(self.state.agents.register(f"name {number}", [f"c{number % 100}"], agent_id=f"a{number}"))
        for number in range(agents // 10):
            self.open(f"c{number}", f"a{10 * number}", f"a{10 * number + 1}")
            self.do(self.state.tasks.start(f"a{10 * number}", "t", task_id=f"t{number}", ttl_seconds=TTL_SECONDS))

    def open(self, channel_id: str, *ids: str) -> None:
        self.do(self.state.membership.open(ids, "", channel_id=channel_id, ttl_seconds=TTL_SECONDS))
        self.do(self.state.envelopes.post(channel_id, ids[0], "hello", None, envelope_id=f"e of {channel_id}"))

    def do(self, events: Iterable[Event]) -> None:
        for event in events:
            made = stamp(event, seq=self.seq, id="", at=AT, hub="", context=EMPTY, bytes_max=1 << 20)
            self.seq += 1
            self.state.apply(made)

    def do_what_is_due(self, now_ns: int) -> int:
        """Do what is due, in batches; return how many batches that were."""
        batches = 0
        while events := self.state.due(now_ns, 256):
            self.do(events)
            batches += 1
        return batches


def calls_of(work: Callable[[], object]) -> int:
    """Return how many functions are called in doing this, those of the interpreter too."""
    count = 0

    def counted(_frame: object, what: str, _argument: object) -> None:
        nonlocal count
        count += what in ("call", "c_call")

    earlier = sys.getprofile()
    gc.disable()  # what others have it call at a collection would be counted
    sys.setprofile(counted)
    try:
        work()
    finally:
        sys.setprofile(earlier)
        gc.enable()
    return count


def holders(state: State) -> Iterator[tuple[str, Any]]:
    """The machines and the indexes in them, by name."""
    for machine in (*state.machines.values(), state.endings, state.membership):
        yield type(machine).__name__, machine
        for name, value in vars(machine).items():
            if isinstance(value, Owned | Ledgers):
                yield f"{type(machine).__name__}.{name}", value


def let_nobody_walk_through_much(state: State, much: int) -> int:
    """Let no dictionary be walked through that has as many entries as this; return how many have."""
    count = 0
    for _, holder in holders(state):
        deadlines = [each for each in vars(holder).values() if isinstance(each, Deadlines)]
        for name, value in list(vars(holder).items()):
            if type(value) is dict and len(value) >= much:
                unscanned = Unscanned(value)
                setattr(holder, name, unscanned)
                for each in deadlines:
                    if each._alive is value:
                        each._alive = unscanned
                count += 1
        if isinstance(holder, Owned):
            large = {field for field, groups in holder._groups.items() if len(groups) >= much}
            holder._groups.update({field: Unscanned(holder._groups[field]) for field in large})
            holder._groupings = tuple(
                (value_of, groups)
                for (value_of, _), groups in zip(holder._groupings, holder._groups.values(), strict=True)
            )
            count += len(large)
    return count


def costs(bench: Bench) -> dict[str, int]:
    """Return what each of these commands costs, in calls of functions."""
    state, do = bench.state, bench.do
    found = {"register": calls_of(lambda: do(state.agents.register("new", ["new"], agent_id="n")))}
    found["find"] = calls_of(lambda: (state.agents.find("new"), state.agents.all("new")))
    found["open"] = calls_of(lambda: do(state.membership.open(["n", "a1"], "", channel_id="x", ttl_seconds=1.0)))
    found["post"] = calls_of(lambda: do(state.envelopes.post("x", "a1", "hello", None, envelope_id="e", ttl_seconds=9)))
    found["nack"] = calls_of(lambda: do(state.inboxes.nack("n", "e", 5.0, "")))
    found["ack"] = calls_of(lambda: do(state.inboxes.ack("n", "e")))
    found["start"] = calls_of(lambda: do(state.tasks.start("n", "t", task_id="t", channel_id="x")))
    found["expire"] = calls_of(lambda: bench.do_what_is_due(deadline_ns(AT, 2.0)))
    assert "x" not in state.channels
    assert state.tasks.find("t") is None
    found["unregister"] = calls_of(lambda: do(state.endings.unregister("n")))
    return found


def test_a_command_costs_the_same_at_scale() -> None:
    costs(Bench(10))  # what is compiled when an event of its kind is first made is not counted
    few, many = Bench(100), Bench(SCALE)
    assert let_nobody_walk_through_much(many.state, SCALE // 10) >= 10
    assert costs(many) == costs(few)


def test_expiry_costs_by_what_expires() -> None:
    """What has ended is not kept."""

    def cost(size: int) -> float:
        bench = Bench(size)
        calls = calls_of(lambda: bench.do_what_is_due(deadline_ns(AT, TTL_SECONDS)))
        assert (len(bench.state.channels), len(bench.state.tasks)) == (0, 0)
        for number in range(size):
            bench.do(bench.state.endings.unregister(f"a{number}"))
        assert sizes(bench.state) == {}
        return calls / size

    assert cost(SCALE) < 1.2 * cost(1000)


def sizes(state: State) -> dict[str, int]:
    """Return what the machines hold anything in, and how much; not the bounded memory of what has ended."""
    found = {
        f"{holder}.{name}": size_of(name, value)
        for holder, each in holders(state)
        if not isinstance(each, Memories)
        for name, value in vars(each).items()
        if isinstance(value, dict | list | set | Deadlines) and name not in ("_ended", "_seconds_max")
    }
    # A heap lets go of its dead when they are the most, and keeps some until then.
    return {name: size for name, size in found.items() if size > (64 if "deadlines" in name else 0)}


def size_of(name: str, value: Any) -> int:
    return sum(len(groups) for groups in value.values()) if name == "_groups" else len(value)


def test_a_start_costs_by_its_snapshot() -> None:
    def cost(size: int) -> int:
        snapshot = {
            name: [(type(entry), encode_entry(entry)) for entry in entries]
            for name, entries in Bench(size).state.snapshot().items()
        }
        state = State()

        def restore() -> None:
            for name, entries in snapshot.items():
                state.machines[name].restore([decode_entry(kind, body) for kind, body in entries])

        calls = calls_of(restore)
        assert len(state.agents) == size
        return calls

    cost(10)  # what is compiled once is not counted
    half, whole = cost(SCALE // 10), cost(SCALE // 5)
    assert 1.9 < whole / half < 2.1


async def test_an_abandoned_hub_holds_nothing() -> None:
    """All agents have left it."""
    clock, size = ManualClock(), SCALE // 5
    async with Hub(clock=clock) as hub:

        async def take_part(number: int) -> None:
            for each in range(number, size, 100):
                agent = await hub.agents.register(f"name {each}")
                if each % 10 == 0:
                    channel = await hub.channels.open([agent], ttl_seconds=TTL_SECONDS)
                    await channel.post(agent, "to myself", to=[agent], idempotency_key="once")

        async with anyio.create_task_group() as tasks:
            for number in range(100):
                tasks.start_soon(take_part, number)
        assert hub.statistics().channels == size // 10
        assert hub.statistics().envelopes_pending == size // 10
        clock.advance(TTL_SECONDS)
        while hub.statistics().channels:
            await anyio.lowlevel.checkpoint()
        for agent in hub.agents.list():
            await agent.unregister()
        assert sizes(hub._parts.state) == {}
        assert (hub._parts.core._readers, hub._parts.core._awaited) == ({}, {})
