"""A position that a reader keeps names a history: a hub that was restored from an older copy refuses it."""

from __future__ import annotations

from typing import Any

import pytest

from hubwire import GenericEvent, Hub, Position
from hubwire.errors import ConfigurationError, HistoryGone, InvalidCursor
from hubwire.stores import MemoryStore
from support import copy_of, numbers, said


async def two_lives(**settings: Any) -> tuple[MemoryStore, MemoryStore, list[Position]]:
    """A backup, the store that went on, and the positions after the 20 numbers of its two lives."""
    store, positions = MemoryStore(), []
    async with Hub(store, **settings) as hub:
        positions += [Position.after(await hub.emit(said(n))) for n in range(10)]
    backup = await copy_of(store)
    async with Hub(store, **settings) as hub:
        positions += [Position.after(await hub.emit(said(n))) for n in range(10, 20)]
    return backup, store, positions


@pytest.mark.parametrize("ring", [16, 4096])
async def test_a_reader_goes_on_at_its_position(ring: int) -> None:
    """Given as it is or as text; whether the event is in memory or in the journal."""
    _, store, positions = await two_lives()
    async with Hub(store, ring=ring) as hub:
        last = Position.after([await hub.emit(said(n)) for n in range(20, 80)][-1])
        for at, position in enumerate(positions):
            for after in (position, str(position)):
                stream = hub.events(after=after, pattern="number.said")
                assert numbers(await stream.take())[:1] == [at + 1]
        stream = hub.events(after=last)
        await hub.emit(said(80))
        assert numbers(await stream.take()) == [80]


async def test_a_position_beyond_the_end_is_refused() -> None:
    """At the call: the hub was restored."""
    backup, _, positions = await two_lives()
    async with Hub(backup) as hub:
        with pytest.raises(InvalidCursor, match="the newest event is"):
            hub.events(after=positions[-1])


@pytest.mark.parametrize("ring", [16, 4096])
async def test_a_position_in_another_history_is_refused(ring: int) -> None:
    """Before the first event is returned: the hub was restored, and has made other events since."""
    backup, _, positions = await two_lives()
    async with Hub(backup, ring=ring) as hub:
        for n in range(100):
            await hub.emit(said(n))
        for position in positions[10:]:
            stream = hub.events(after=str(position))
            for _ in range(2):
                with pytest.raises(InvalidCursor, match="is one in another history"):
                    await stream.take()
        common = hub.events(after=positions[9], pattern="number.said")
        assert numbers(await common.take())[:2] == [0, 1], "what both histories have is theirs"


async def test_a_position_of_another_hub_is_refused() -> None:
    _, _, positions = await two_lives()
    async with Hub(MemoryStore()) as hub:
        with pytest.raises(InvalidCursor, match="this is hub"):
            hub.events(after=positions[0])


async def test_a_position_before_what_is_held_is_told() -> None:
    """What is truncated cannot be compared, and is gone as for a number."""
    store = MemoryStore()
    async with Hub(store, journal_bytes_max=8192, snapshot_bytes=1000, ring=1) as hub:
        position = Position.after(await hub.emit(said(0)))
        for n in range(1200):
            await hub.emit(said(n))
        journal = hub.statistics().journal
        assert journal is not None
        assert journal.first_seq > position.seq + 1
        with pytest.raises(HistoryGone):
            await hub.events(after=position).take()


async def test_a_hub_in_memory_knows_its_positions() -> None:
    async with Hub() as hub:
        events = [await hub.emit(said(n)) for n in range(5)]
        assert numbers(await hub.events(after=Position.after(events[1])).take()) == [2, 3, 4]
        forged = Position(events[1].hub, events[1].seq, "another")
        with pytest.raises(InvalidCursor):
            await hub.events(after=forged).take()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "::",
        "h:1",
        "h:1:",
        ":1:i",
        "h::i",
        "h:-1:i",
        "h:01:i",
        "h: 1:i",
        "h:1.0:i",
        "h:²:i",
        "h:" + "9" * 20 + ":i",
        "h:1:" + "i" * 600,
        "\ud800",
        b"h:1:i",
        None,
        7,
    ],
)
async def test_text_that_is_no_position_is_refused(text: Any) -> None:
    with pytest.raises(InvalidCursor, match="is not a position"):
        Position.parse(text)
    async with Hub(MemoryStore()) as hub:
        if isinstance(text, str):
            with pytest.raises((ConfigurationError, InvalidCursor)):
                hub.events(after=text)


@pytest.mark.parametrize("after", [b"h:1:i", 1.5, True, -2, [], object(), Position("h", "x", "i"), Position("", 1, "")])  # type: ignore[arg-type]
async def test_what_is_no_place_is_refused(after: Any) -> None:
    async with Hub(MemoryStore()) as hub:
        with pytest.raises((ConfigurationError, InvalidCursor)):
            hub.events(after=after)
        assert hub.health().healthy


def test_only_a_stamped_event_has_a_position() -> None:
    with pytest.raises(InvalidCursor, match="was not stamped"):
        Position.after(GenericEvent(kind="a.happened"))


def test_a_position_is_its_text() -> None:
    position = Position("01a2", 7, "01a2-b")
    assert str(position) == "01a2:7:01a2-b"
    assert Position.parse(str(position)) == position
