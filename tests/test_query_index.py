"""Indexes of sealed segments: less is read, the same is found, and what does not fit is left aside."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from hubwire.errors import ConfigurationError, LogDamaged, StoreError
from hubwire.listeners import AuditLog
from hubwire.listeners.audit import Retention
from hubwire.log import Rotation, segment_path
from hubwire.query import Selection, index_log, query
from hubwire.stores import MemoryStore
from support import until_idle
from support.log import Spy
from support.queries import FILTERS, VALUES, at, numbers, record, write_log

COUNT = 60


async def indexed(records_max: int = 10, **options: Any) -> MemoryStore:
    store = MemoryStore()
    await write_log(store, map(record, range(COUNT)), records_max=records_max, **options)
    await index_log(store)
    return store


def segments_of(store: MemoryStore) -> list[int]:
    return sorted(int(name[:20]) for name in asyncio.run(store.list("/audit/log")))


async def test_a_narrow_range_reads_little() -> None:
    """Of the sealed segments, only the one that holds it; the last one has no index."""
    store = await indexed()
    asked = query(store, selection=Selection.of(since=at(22), until=at(24)))
    assert await numbers(asked) == [22, 23]
    assert len(asked.looked.segments) == 2
    assert asked.looked.passed_segments == 4
    assert asked.looked.passed_bytes > 2 * asked.looked.read_bytes
    assert asked.looked.faults == []


async def test_an_index_is_read_at_once() -> None:
    """One read for it and one for the end of its segment: each goes to another thread, or over a network."""
    store = Spy(await indexed())
    asked = query(store, selection=Selection.of(kind="tool.completed", since=at(22), until=at(24)))
    assert await numbers(asked) == [22]
    assert {store.count("read_bytes", name) for name in await store.list("/audit/index")} == {1}


async def test_no_record_is_lost_at_the_ends_of_a_segment() -> None:
    """Whichever is the first or the last that is wanted."""
    store = await indexed()
    for number in range(COUNT):
        assert await numbers(query(store, selection=Selection.of(since=at(number)))) == list(range(number, COUNT))
        assert await numbers(query(store, selection=Selection.of(until=at(number)))) == list(range(number))
        just_after = Selection.of(until=at(number + 0.0000015))
        assert await numbers(query(store, selection=just_after)) == list(range(number + 1))


async def test_an_agent_that_is_in_few_segments_is_found_in_these() -> None:
    store = MemoryStore()
    records = [record(number, agent_id="rare" if number in (17, 44) else "usual") for number in range(COUNT)]
    await write_log(store, records, records_max=10)
    await index_log(store)
    for newest_first in (False, True):
        asked = query(store, selection=Selection.of(agent="rare"), newest_first=newest_first)
        assert await numbers(asked) == ([44, 17] if newest_first else [17, 44])
        assert len(asked.looked.segments) == 3


async def test_names_are_known_from_indexes() -> None:
    """Without reading the segment in which they were given."""
    store = MemoryStore()
    named = {"kind": "agent.registered", "agent_id": "a" * 32, "name": "planner", "at": at(0)}
    records = [named, *(record(number, agent_id="a" * 32 if number == 37 else "b" * 32) for number in range(COUNT))]
    await write_log(store, records, records_max=10)
    await index_log(store)
    asked = query(store, selection=Selection.of(agent="planner", since=at(30)))
    assert await numbers(asked) == [37]
    assert 0 not in asked.looked.segments


@settings(max_examples=60, deadline=None)
@given(
    chosen=st.sets(st.sampled_from(sorted(FILTERS)), min_size=1),
    newest_first=st.booleans(),
    page=st.sampled_from([1, 3, 100]),
    only=st.sets(st.integers(0, 10)),
)
def test_an_index_changes_no_result(chosen: set[str], newest_first: bool, page: int, only: set[int]) -> None:
    """Whichever of the segments have one."""
    order = list(range(80))
    random.Random(2).shuffle(order)
    records = [record(number) for number in order]
    expected = [each["n"] for each in records if all(FILTERS[name](each) for name in chosen)]
    selection = Selection.of(**{name: VALUES[name] for name in chosen})  # type: ignore[arg-type]

    async def pages() -> list[int]:
        store = MemoryStore()
        await write_log(store, records, records_max=8)
        await index_log(store)
        for number, name in enumerate(await store.list("/audit/index")):
            if number in only:
                await store.delete(f"/audit/index/{name}")
        found: list[int] = []
        after = None
        while some := [
            each async for each in query(store, "/audit", selection, after=after, limit=page, newest_first=newest_first)
        ]:
            found += [each.fields["n"] for each in some if "n" in each.fields]
            after = some[-1].cursor
        return found

    assert asyncio.run(pages()) == (expected[::-1] if newest_first else expected)


async def test_every_damage_of_an_index_is_noticed() -> None:
    """A flipped bit, a cut, another version, another segment's: the log is read instead, and that is said."""
    store = await indexed()
    path = f"/audit/index/{sorted(await store.list('/audit/index'))[2]}"
    whole = await store.read_bytes(path) or b""
    other = await store.read_bytes(f"/audit/index/{sorted(await store.list('/audit/index'))[3]}") or b""
    selection = Selection.of(agent="agent-2", since=at(20), until=at(30))
    damages = [b"", whole[:-1], whole[:500], whole[:1030], other, whole.replace(b'"v":1', b'"v":2')]
    chance = random.Random(3)
    for _ in range(300):
        place = chance.randrange(len(whole))
        damages.append(whole[:place] + bytes([whole[place] ^ 1 << chance.randrange(8)]) + whole[place + 1 :])
    for damage in damages:
        await store.write(path, damage)
        asked = query(store, selection=selection)
        assert await numbers(asked) == [22]
        if asked.looked.faults:
            assert "is not used" in asked.looked.faults[0]
    await store.write(path, other)
    asked = query(store, selection=selection)
    assert await numbers(asked) == [22]
    assert len(asked.looked.faults) == 1
    assert (await index_log(store)).made == 1
    assert await store.read_bytes(path) == whole


async def test_an_index_of_an_older_copy_does_not_fit() -> None:
    """As after a restore: the segment has another size, or another end."""
    store = await indexed()
    first = segment_path("/audit", 0)
    content = await store.read_bytes(first) or b""
    other = await indexed()
    changed = content.replace(b'"agent_id":"agent-1"', b'"agent_id":"agent-9"')
    assert len(changed) == len(content)
    await other.write(first, changed)
    asked = query(other, selection=Selection.of(agent="agent-1", until=at(9)))
    assert await numbers(asked) == []
    assert asked.looked.faults


async def test_a_block_that_was_changed_is_damage() -> None:
    """Where its end is as it was, so that the index seems to fit."""
    store = MemoryStore()
    await write_log(store, (record(number, data="x" * 100) for number in range(200)), records_max=100)
    await index_log(store)
    first = segment_path("/audit", 0)
    content = await store.read_bytes(first) or b""
    await store.write(first, content.replace(b'"n":3,', b'"n":4,', 1))
    with pytest.raises(LogDamaged, match="was changed since its index was made") as raised:
        await numbers(query(store, selection=Selection.of(agent="agent-3")))
    assert raised.value.path == first


async def test_only_audit_logs_are_indexed() -> None:
    """A journal is truncated, and what it has lost would live on."""
    store = MemoryStore()
    await write_log(store, map(record, range(30)), path="/journal", chained=False, records_max=10)
    with pytest.raises(ConfigurationError, match="is a journal"):
        await index_log(store, "/journal")
    assert await store.list("/journal/index") == []
    with pytest.raises(ConfigurationError, match="store is a KnowledgeStore"):
        await index_log("./data")  # type: ignore[arg-type]


async def test_making_an_index_twice_makes_it_once() -> None:
    store = await indexed()
    before = {name: await store.read_bytes(f"/audit/index/{name}") for name in await store.list("/audit/index")}
    done = await index_log(store)
    assert (done.made, done.segments) == (0, len(before))
    assert {name: await store.read_bytes(f"/audit/index/{name}") for name in before} == before


async def test_a_log_with_indexes_verifies() -> None:
    store = await indexed()
    assert (await AuditLog(store).verify()).records > COUNT


# --- by the writer ----------------------------------------------------------------------------------------------------


async def test_an_indexed_log_indexes_what_it_seals() -> None:
    """Also what was sealed before it was asked to."""
    store = MemoryStore()
    async with AuditLog(store, rotation=Rotation(records_max=10)) as audit:
        for number in range(35):
            await audit.append({"n": number})
    assert await store.list("/audit/index") == []
    async with AuditLog(store, rotation=Rotation(records_max=10), indexed=True) as audit:
        for number in range(35, 70):
            await audit.append({"n": number})
            await until_idle()
        sealed = [name[:20] for name in await store.list("/audit/log")][:-1]
        assert [name[:20] for name in await store.list("/audit/index")] == sealed
        assert await numbers(audit.query()) == list(range(70))


async def test_pruning_deletes_the_indexes_of_what_it_prunes() -> None:
    """So that no name outlives the records that had it."""
    store = MemoryStore()
    async with AuditLog(store, rotation=Rotation(records_max=5)) as audit:
        for number in range(40):
            await audit.append({"kind": "agent.registered", "agent_id": f"a{number}", "name": f"secret {number}"})
        await audit.index()
        await audit.prune(retention=Retention(segments_max=3))
        left = {name[:20] for name in await store.list("/audit/log")}
        assert {name[:20] for name in await store.list("/audit/index")} < left
    contents = [await store.read_bytes(f"/audit/index/{name}") or b"" for name in await store.list("/audit/index")]
    assert b"secret 0" not in b"".join(contents)


async def test_an_index_that_cannot_be_written_harms_no_append() -> None:
    store = Spy()
    async with AuditLog(store, rotation=Rotation(records_max=5), indexed=True) as audit:
        await audit.append({"n": 0})
        store.failures["list"] = [StoreError("the disk is away", path="/audit") for _ in range(50)]
        for number in range(1, 30):
            await audit.append({"n": number})
            await until_idle()
        store.failures.clear()
        for number in range(30, 40):
            await audit.append({"n": number})
            await until_idle()
        assert await numbers(audit.query()) == list(range(40))
        assert await store.list("/audit/index")


def test_indexed_is_true_or_false() -> None:
    with pytest.raises(ConfigurationError, match="indexed is True or False"):
        AuditLog(MemoryStore(), indexed="yes")  # type: ignore[arg-type]


async def test_a_closed_log_leaves_no_task_behind() -> None:
    """However much there is to index."""
    store = MemoryStore()
    async with AuditLog(store, rotation=Rotation(records_max=50), indexed=True) as audit:
        await audit.append_many([record(number) for number in range(1000)])
        await audit.append_many([record(number) for number in range(1000)])
    assert [task for task in asyncio.all_tasks() if "indexing" in task.get_name()] == []
