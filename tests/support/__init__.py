"""What the tests share: waiting without a guess, small events and their numbers, gated and copied stores.

Found as `support` because `tests` is on pytest's `pythonpath`. What users need for tests of their own is in
`hubwire.testing`.
"""

from __future__ import annotations

import asyncio
import copy
import json
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from hubwire import Agent, Event, GenericEvent, Hub, JournalStatistics
from hubwire._journal.entries import decode_entry, encode_entry
from hubwire._state import State
from hubwire.context import EMPTY
from hubwire.errors import StoreError
from hubwire.events._stamp import stamp
from hubwire.ports import KnowledgeStore
from hubwire.stores import MemoryStore
from hubwire.testing import Gate, ManualClock, pending

if TYPE_CHECKING:
    from hubwire.stores.s3 import S3Store

AT = "2026-11-21T09:30:00.000001Z"
"""A moment, as events have it."""

TURNS_MAX = 100_000
"""A loop that has turned so often without a pause will not come to rest by itself."""


# --- waiting --------------------------------------------------------------------------------------------------------


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until the condition holds. The timeout of the test is for when it never does."""
    while not condition():  # noqa: ASYNC110 - what makes it true sets no event
        await asyncio.sleep(0)


async def until_idle() -> None:
    """Let the loop turn until it has nothing left to run: each task waits for time, a thread, a file or the test.

    `anyio.wait_all_tasks_blocked` waits for the same, and looks every tenth of a second only. Worker threads are not
    waited for: where one takes part, wait for what it brings, with `until`.
    """
    ready = asyncio.get_running_loop()._ready  # type: ignore[attr-defined]
    for _ in range(TURNS_MAX):
        await asyncio.sleep(0)
        if not ready:
            return
    raise AssertionError(f"the loop is still busy after {TURNS_MAX:,} turns")


async def advance(clock: ManualClock, seconds: float) -> None:
    """Let time go by at once, and then all happen that has come due."""
    await until_idle()
    clock.advance(seconds)
    await until_idle()


async def pass_time(clock: ManualClock, seconds: float) -> None:
    """Let time go by in quarters of a second, and all happen that comes due in each: one retry after the other."""
    for _ in range(round(seconds * 4)):
        await advance(clock, 0.25)


async def until_tidy(hub: Hub) -> JournalStatistics:
    """Let the hub write its snapshot, if one is due, and truncate; return how its journal is then."""
    await until_idle()
    upkeep = hub._parts.upkeep
    assert upkeep is not None
    await until(lambda: not upkeep.snapshotter.is_due())
    await until_idle()
    journal = hub.statistics().journal
    assert journal is not None
    return journal


# --- events ---------------------------------------------------------------------------------------------------------


def said(n: int = 0) -> GenericEvent:
    return GenericEvent(kind="number.said", data={"n": n})


def numbers(events: Iterable[Event], kind: str = "number.said") -> list[int]:
    """Return the numbers of the events that `said` made, in order."""
    return [each.data["n"] for each in events if isinstance(each, GenericEvent) and each.kind == kind]


def seqs(events: Iterable[Event]) -> list[int]:
    return [each.seq for each in events]


def contents(hub: Hub, agent: Agent) -> list[Any]:
    """Return what is in the envelopes that an agent has not acked, in the order of their delivery."""
    return [envelope.content for envelope in pending(hub, agent)]


# --- stores ---------------------------------------------------------------------------------------------------------


class GatedStore(MemoryStore):
    """A store whose journal is written only while its gate is open, and not while it has an error to raise."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = Gate()
        self.error: BaseException | None = None
        self.appends: list[int] = []
        """How many records each append to the journal had that was begun."""

    async def append(self, path: str, content: str | bytes, *, expect: int | None = None) -> int:
        if path.startswith("/journal/"):
            assert isinstance(content, bytes)
            self.appends.append(content.count(b"\n"))
            await self.gate.pass_through()
            if self.error is not None:
                raise self.error
        return await super().append(path, content, expect=expect)

    def crashed(self) -> MemoryStore:
        """Return what another process would find if this one died now."""
        other = MemoryStore()
        other._root = copy.deepcopy(self._root)
        return other


async def files_of(store: KnowledgeStore, below: str = "/") -> dict[str, bytes]:
    """Return the content of each file below a path."""
    found: dict[str, bytes] = {}
    for name in await store.list(below):
        path = f"{below.rstrip('/')}/{name}"
        if name.endswith("/"):
            found |= await files_of(store, path.rstrip("/"))
        else:
            found[path] = await store.read_bytes(path) or b""
    return found


async def store_of(files: dict[str, bytes]) -> MemoryStore:
    """Return a store with these files."""
    store = MemoryStore()
    for path, content in files.items():
        await store.write(path, content)
    return store


async def copy_of(store: KnowledgeStore) -> MemoryStore:
    """Return what a machine would find that takes over after a crash at this moment."""
    return await store_of(await files_of(store))


def store_at(url: str, prefix: str, **options: Any) -> S3Store:
    """Return a store below a prefix of the bucket that the fixture `s3_url` names."""
    from hubwire.stores.s3 import S3Store

    parts = urlsplit(url)
    given: dict[str, Any] = {name: values[0] for name, values in parse_qs(parts.query).items()}
    return S3Store(parts.netloc, prefix, **given, **options)


async def outcome(call: Coroutine[Any, Any, object]) -> tuple[str, Any]:
    """Return what a call to a store returned, or the class of what it raised: to compare two stores."""
    try:
        return "returned", await call
    except (StoreError, ValueError) as error:
        return "raised", type(error)


# --- the state machines ---------------------------------------------------------------------------------------------


def apply_to(state: State, *events: Event) -> None:
    """Stamp events, and apply them, as a hub does."""
    for event in events:
        state.apply(stamp(event, seq=0, id="", at=AT, hub="", context=EMPTY, bytes_max=1 << 20))


def restored(state: State, empty: State) -> State:
    """Return `empty`, restored from a snapshot of `state` that was kept as text and read back."""
    for name, machine in state.machines.items():
        types = {entry_type.__name__: entry_type for entry_type in machine.entry_types}
        entries = [
            decode_entry(types[type(entry).__name__], msgspec.json.decode(msgspec.json.encode(encode_entry(entry))))
            for entry in machine.snapshot()
        ]
        empty.machines[name].restore(entries)
    return empty


class Unscanned(dict[Any, Any]):
    """A dictionary that may be looked into, and not be walked through."""

    def __iter__(self) -> Any:
        raise AssertionError("scanned")

    keys = values = items = __iter__


# --- recorded conversations -----------------------------------------------------------------------------------------


def count_independently(lines: Iterable[bytes]) -> dict[str, int]:
    """Count the events that an import of these recorded conversations must lead to, without the code of the import."""
    kinds: Counter[str] = Counter()
    for line in lines:
        kinds.update(("channel.created", "channel.opened", "channel.closed"))
        for message in json.loads(line)["traj"]:
            kinds["envelope.posted"] += message["role"] != "tool"
            kinds["tool.called"] += len(message.get("tool_calls") or ())
            if message["role"] == "tool":
                kinds["tool.completed"] += 1
    return {**kinds, "agent.registered": 3}
