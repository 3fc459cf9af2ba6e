"""Pruning: what goes and what stays, and that the rest verifies, also after a kill between any two steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import attrs
import pytest

from hubwire import GenericEvent, Hub, codec
from hubwire.errors import ConfigurationError, HistoryGone, LogDamaged
from hubwire.listeners import AuditLog
from hubwire.listeners.audit import Outcome, Retention, Rotation, examine, verify
from hubwire.log import chain_value, segment_path
from hubwire.stores import FileStore, MemoryStore
from hubwire.testing import ManualClock
from support import files_of, store_of, until_idle
from support.odd import Stranger
from support.pruning import DAILY, DAY, Killed, blobs, days_of, firsts, long

# --- what goes ------------------------------------------------------------------------------------------------------


async def test_old_segments_are_pruned() -> None:
    """The oldest first, whole ones; what is left begins where `log.pruned` says."""
    store, clock = MemoryStore(), ManualClock()
    audit = await days_of(store, clock, 10, retention=Retention(days=30))
    before = await firsts(store)
    report = await audit.prune(retention=Retention(days=5), by="an operator", reason="a test")
    await audit.aclose()
    after = await firsts(store)
    assert after == [first for first in before if first >= report.first] != before
    assert (report.segments, report.records) == (len(before) - len(after), report.first)
    assert report.reasons == ("older than 5 days",)
    assert (await audit.read_all())[0]["day"] == 3
    pruned = [record.fields async for record in audit.read() if record.fields.get("kind") == "log.pruned"]
    assert [(each["first"], each["by"], each["reason"]) for each in pruned] == [(report.first, "an operator", "a test")]
    found = await verify(store)
    assert found.holds
    assert found.first_record == report.first
    assert str(found.pruned).startswith(f"records 0 to {report.first - 1} were pruned at 2026-01-10T")
    assert str(found.pruned).endswith(" by an operator (a test)")
    assert str(found.pruned) in found.integrity.not_looked_at
    assert str(found.pruned) in found.completeness.not_looked_at
    assert (found.integrity.outcome, found.completeness.outcome) == (Outcome.HOLDS, Outcome.HOLDS)


async def test_the_log_prunes_itself_when_it_rotates() -> None:
    """The store is bounded, and the log does not prune again for its own record."""
    store, clock = MemoryStore(), ManualClock()
    audit = await days_of(store, clock, 0, retention=Retention(segments_max=3))
    for day in range(40):
        await audit.append({"day": day})
        await until_idle()
        assert len(await firsts(store)) <= 3
        clock.advance(DAY)
    await audit.aclose()
    assert audit.prune_errors == 0
    await verify(store)


async def test_tiny_segments_do_not_prune_without_end() -> None:
    """Each `log.pruned` fills a segment of its own here."""
    store = MemoryStore()
    audit = AuditLog(store, rotation=1, retention=Retention(segments_max=2))
    for number in range(20):
        await audit.append({"n": number})
        await until_idle()
    await audit.aclose()
    assert len(await firsts(store)) <= 4
    await verify(store)


async def test_bytes_bound_the_log() -> None:
    store = MemoryStore()
    audit = AuditLog(store, rotation=1000, retention=Retention(bytes_max=5000))
    sizes = [0]
    for number in range(200):
        await audit.append({"n": number, "filling": "x" * 100})
        await until_idle()
        sizes = [len(content) for path, content in (await files_of(store)).items() if path.startswith("/audit/log/")]
        assert sum(sizes) < 7500
    assert audit.bytes_written == sum(sizes)
    await audit.aclose()
    await verify(store)


async def test_a_dry_run_changes_nothing() -> None:
    """It says what the pruning then does, also beside the writer, and of a log that is not open."""
    store, clock = MemoryStore(), ManualClock()
    audit = await days_of(store, clock, 10)
    files = await files_of(store)
    other = AuditLog(store, clock=clock)
    dry = await other.prune(dry_run=True, retention=Retention(segments_max=4))
    assert dry.is_dry_run
    assert dry.segments == 6
    assert await files_of(store) == files
    done = await audit.prune(retention=Retention(segments_max=4))
    assert attrs.evolve(done, is_dry_run=True) == dry
    await audit.aclose()


async def test_the_floor_holds_over_all_limits() -> None:
    store, clock = MemoryStore(), ManualClock()
    audit = await days_of(store, clock, 10, retention=Retention.regulated())
    for limits in (Retention(segments_max=2), Retention(bytes_max=1), Retention.regulated(segments_max=2)):
        report = await audit.prune(retention=limits)
        assert (report.records, report.segments) == (0, 0)
        assert "183 days (days_min)" in report.held[0]
    with pytest.raises(ConfigurationError, match="less than days_min"):
        await audit.prune(retention=Retention(days=5))
    await audit.aclose()
    bare = AuditLog(store, clock=clock)  # by another program, which knows no floor
    assert "183 days (days_min)" in (await bare.prune(retention=Retention(days=5))).held[0]
    clock.advance(DAY * 180)
    assert (await bare.prune(retention=Retention(days=5))).segments == 6
    await bare.aclose()
    assert (await verify(store)).pruned is not None


async def test_a_floor_alone_is_known_to_other_programs() -> None:
    """From the first record on, though the log itself prunes nothing."""
    store, clock = MemoryStore(), ManualClock()
    audit = await days_of(store, clock, 6, retention=Retention(days_min=30))
    await until_idle()
    await audit.aclose()
    other = AuditLog(store, clock=clock)
    for dry_run in (True, False):
        report = await other.prune(retention=Retention(segments_max=2), dry_run=dry_run)
        assert (report.segments, "for 30 days (days_min)" in report.held[0]) == (0, True)
    await other.aclose()


async def test_the_two_newest_segments_stay() -> None:
    """What the log knows of its position is in one of them."""
    store, clock = MemoryStore(), ManualClock()
    async with Hub(store, clock=clock, listeners=[AuditLog(store, rotation=1, clock=clock)]) as hub:
        for _ in range(5):
            await hub.emit(GenericEvent(kind="a.b"))
    audit = AuditLog(store, rotation=1, clock=clock)
    clock.advance(DAY)
    for _ in range(3):
        await audit.prune(retention=Retention(days=0))
    await audit._log.release()
    await store.delete("/audit/clean")
    async with Hub(store, clock=clock, listeners=[AuditLog(store, rotation=1, clock=clock)]) as hub:
        await hub.emit(GenericEvent(kind="a.b"))
    found = await verify(store)
    assert found.completeness.outcome is Outcome.HOLDS


async def test_no_limit_takes_the_last_two_segments() -> None:
    store, clock = MemoryStore(), ManualClock()
    audit = await days_of(store, clock, 6)
    clock.advance(DAY / 2)
    await audit.prune(retention=Retention(days=0, bytes_max=1, segments_max=2))
    await audit.aclose()
    assert len(await firsts(store)) == 2


async def test_an_idle_log_has_one_segment_and_keeps_it() -> None:
    store, clock = MemoryStore(), ManualClock()
    audit = AuditLog(store, clock=clock)
    await audit.append({"n": 0})
    clock.advance(DAY * 1000)
    report = await audit.prune(retention=Retention(days=1))
    assert (report.segments, report.first) == (0, 0)
    await audit.aclose()


async def test_a_log_that_is_not_there_is_not_pruned() -> None:
    report = await AuditLog(MemoryStore()).prune(retention=Retention(days=1), dry_run=True)
    assert (report.segments, report.records, report.first) == (0, 0, 0)


# --- a kill between any two steps -----------------------------------------------------------------------------------


async def test_a_kill_at_any_step_leaves_a_log_that_verifies() -> None:
    """The next pruning finishes: no file of what is gone is left, and no record of the rest is lost."""
    store, clock = Killed(), ManualClock()
    audit = await days_of(store, clock, 8, long_each=True)
    await audit.append(long("day 1"))  # the same as one that goes
    whole = await audit.read_all()
    head = audit.head
    store.states = []
    await audit.prune(retention=Retention(segments_max=4))
    states, store.states = store.states, None
    await audit.aclose()
    wanted = await blobs(store)
    assert len(states) > 10
    for number, state in enumerate(states):
        killed = await store_of(state)
        found = await examine(killed, expect_head=head)
        assert found.holds, (number, found)
        again = AuditLog(killed, rotation=DAILY, clock=clock)
        rest = await again.read_all()
        assert rest == whole[-len(rest) :], number
        await again.append({"after": "the kill"})
        assert (await verify(killed)).holds
        await again.prune(retention=Retention(segments_max=4))
        await again.aclose()
        assert await firsts(killed) == await firsts(store), number
        assert await blobs(killed) == wanted, number
        assert (await verify(killed, expect_head=head)).pruned is not None
        assert (await again.read_all())[:-1] == await audit.read_all()


async def test_a_second_kill_changes_nothing() -> None:
    """In the pruning that finishes the first one."""
    store, clock = Killed(), ManualClock()
    audit = await days_of(store, clock, 5, long_each=True)
    store.states = []
    await audit.prune(retention=Retention(segments_max=3))
    states = store.states
    for state in states:
        second = Killed()
        for path, content in state.items():
            await second.write(path, content)
        again = AuditLog(second, rotation=DAILY, clock=clock)
        second.states = []
        await again.prune(retention=Retention(segments_max=3))
        for inner in second.states:
            third = await store_of(inner)
            last = AuditLog(third, rotation=DAILY, clock=clock)
            await last.prune(retention=Retention(segments_max=3))
            await last.aclose()
            assert await blobs(third) == 3
            assert len(await firsts(third)) == 3
            await verify(third)


@pytest.mark.parametrize("steps", range(0, 60, 4))
async def test_a_cancelled_pruning_is_finished_by_the_next(steps: int, tmp_path: Path) -> None:
    store, clock = FileStore(tmp_path), ManualClock()
    audit = await days_of(store, clock, 6)
    async with anyio.create_task_group() as tasks:

        async def prune() -> None:
            await audit.prune(retention=Retention(segments_max=2))

        tasks.start_soon(prune)
        for _ in range(steps):
            await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    await verify(store)
    await audit.prune(retention=Retention(segments_max=2))
    await audit.aclose()
    assert len(await firsts(store)) == 2
    await verify(store)


# --- what is not as it was ------------------------------------------------------------------------------------------


async def pruned() -> tuple[MemoryStore, int]:
    store, clock = MemoryStore(), ManualClock()
    audit = await days_of(store, clock, 6)
    report = await audit.prune(retention=Retention(segments_max=3))
    await audit.append({"after": "it"})
    await audit.aclose()
    return store, report.first


async def test_a_segment_removed_without_a_record_is_damage() -> None:
    """Of a pruned log, and of one that never was, also where the file `kept` is written to match."""
    store, first = await pruned()
    following = (await firsts(store))[1]
    await store.delete(segment_path("/audit", first))
    with pytest.raises(LogDamaged):
        await verify(store)
    await store.write("/audit/kept", f"{following}")
    with pytest.raises(LogDamaged, match=f"records 0 to {following - 1} of the log /audit are missing"):
        await verify(store)


async def test_what_is_pruned_twice_begins_at_the_second_anchor() -> None:
    store, clock = MemoryStore(), ManualClock()
    audit = await days_of(store, clock, 6)
    await audit.prune(retention=Retention(segments_max=4))
    await store.delete("/audit/pruned")  # what it says is in the log, too
    second = await audit.prune(retention=Retention(segments_max=2))
    await audit.aclose()
    found = await verify(store)
    assert found.pruned is not None
    assert found.pruned.first == second.first == found.first_record


@pytest.mark.parametrize("file", ["pruned", "holds"])
async def test_a_flipped_bit_beside_the_log_is_no_lie(file: str) -> None:
    """The log is believed, and not the file; a damaged list of holds stops pruning."""
    store, clock = MemoryStore(), ManualClock()
    audit = await days_of(store, clock, 6, retention=Retention(segments_max=4, days_min=1))
    await audit.prune()
    await audit.aclose()
    path = f"/audit/{file}"
    content = await store.read_bytes(path)
    assert content is not None
    for at in range(0, len(content), 7):
        await store.write(path, content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :])
        assert (await verify(store)).holds
    again = AuditLog(store, clock=clock)
    if file == "pruned":
        await again.prune(retention=Retention(segments_max=3))
        assert (await verify(store)).holds
    else:
        files = await files_of(store)
        for dry_run in (True, False):
            with pytest.raises(LogDamaged, match=r"/audit/holds .* no record is pruned"):
                await again.prune(retention=Retention(segments_max=3), dry_run=dry_run)
        assert await files_of(store) == files
    await again.aclose()


async def test_damage_is_not_removed_unseen() -> None:
    """A record that was changed is reported, and stays."""
    store, clock = MemoryStore(), ManualClock()
    audit = await days_of(store, clock, 6)
    path = segment_path("/audit", (await firsts(store))[1])
    content = await store.read_bytes(path) or b""
    await store.write(path, content.replace(b'"day":1', b'"day":9'))
    files = await files_of(store)
    with pytest.raises(LogDamaged, match="was changed"):
        await audit.prune(retention=Retention(segments_max=3))
    assert await files_of(store) == files
    await audit.aclose()


@pytest.mark.parametrize("is_file_there", [True, False])
@pytest.mark.parametrize("forged", [{"chain": "A" * 22}, {"first": 1}])
async def test_a_forged_anchor_is_found(forged: dict[str, Any], *, is_file_there: bool) -> None:
    """One that names another `h`, or another record, than the log begins with."""
    store, first = await pruned()
    chain = b""
    for segment in await firsts(store):
        lines = (await store.read_bytes(segment_path("/audit", segment)) or b"").split(b"\n")[:-1]
        made = b""
        for line in lines:
            body, durable, was = codec.unseal(line)
            if not chain:  # the first record stays, as it is taken on trust
                chain = was or b""
                made += line + b"\n"
                continue
            fields = codec.decode_fields(body)
            if fields.get("kind") == "log.pruned":
                body = codec.encode_fields({**fields, **forged})
            chain = chain_value(chain, codec.seal(body, durable))
            made += codec.seal(body, durable, chain) + b"\n"
        await store.write(segment_path("/audit", segment), made)
    await store.delete("/audit/clean")
    if not is_file_there:
        await store.delete("/audit/pruned")
    found = await examine(store)
    assert not found.holds
    assert first == found.first_record


# --- heads, promises, readers ---------------------------------------------------------------------------------------


async def test_heads_from_before_still_prove() -> None:
    """Those of records that are there, and the one before the first; of older ones it is said."""
    store, clock = MemoryStore(), ManualClock()
    audit, heads = AuditLog(store, rotation=DAILY, clock=clock), []
    for day in range(6):
        await audit.append({"day": day})
        heads.append(audit.head)
        clock.advance(DAY)
    report = await audit.prune(retention=Retention(segments_max=3))
    await audit.aclose()
    for head in heads:
        assert head is not None
        found = await verify(store, expect_head=head)
        is_pruned = head.records < report.first
        assert any("they were pruned" in each for each in found.integrity.not_looked_at) is is_pruned
        if not is_pruned:
            with pytest.raises(LogDamaged, match="not the one whose head was kept"):
                await verify(store, expect_head=attrs.evolve(head, h="x" * 22))
    rotated = f"{report.first}:{await _h_before(store)}"
    assert (await verify(store, expect_head=rotated)).holds
    with pytest.raises(LogDamaged, match="was pruned is not the log whose head was kept"):
        await verify(store, expect_head=f"{report.first}:{'x' * 22}")


async def _h_before(store: MemoryStore) -> str:
    async for record in AuditLog(store).read():
        if record.fields.get("kind") == "log.pruned":
            return str(record.fields["chain"])
    raise AssertionError


async def test_what_a_log_was_to_hold_is_known_after_the_pruning() -> None:
    """Of a log that selects events its record `log.opened` is gone; `log.pruned` says the same."""
    store, clock = MemoryStore(), ManualClock()
    hub = Hub(store, clock=clock)
    audit = AuditLog(store, rotation=600, clock=clock)
    hub.attach(audit, pattern="odd.*")
    async with hub:
        for number in range(40):
            await hub.emit(GenericEvent(kind="odd.seen" if number % 2 else "even.seen"))
        await audit.prune(retention=Retention(segments_max=3))
    found = await verify(store)
    assert found.first_record > 10
    assert (found.integrity.outcome, found.completeness.outcome) == (Outcome.HOLDS, Outcome.HOLDS)
    assert not any("no log.opened speaks" in each for each in found.completeness.not_looked_at)


async def test_a_gap_behind_the_anchor_is_found() -> None:
    """The anchor says which event was the last before it."""
    store, clock = MemoryStore(), ManualClock()
    audit = AuditLog(store, rotation=600, clock=clock)
    async with Hub(store, clock=clock, listeners=[audit]) as hub:
        for _ in range(30):
            await hub.emit(GenericEvent(kind="a.b"))
        await audit.prune(retention=Retention(segments_max=3))
    fields = [record.fields async for record in audit.read()]
    first = min(each["seq"] for each in fields if "seq" in each)
    assert [each["last_seq"] for each in fields if each["kind"] == "log.pruned"] == [first - 1]


async def test_a_tail_goes_on_while_the_log_is_pruned() -> None:
    """One that stands at the end misses no record; one that stands in what goes is told so."""
    store, clock = MemoryStore(), ManualClock()
    audit = AuditLog(store, rotation=DAILY, clock=clock, retention=Retention(segments_max=2))
    seen: list[int] = []

    async def watch() -> None:
        async for record in audit.tail(start=0):
            seen.extend([record.fields["day"]] if "day" in record.fields else [])

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        late = audit.read()
        for day in range(30):
            await audit.append({"day": day})
            await until_idle()
            if not day:
                assert (await anext(late)).index == 0
            clock.advance(DAY)
        assert seen == list(range(30))
        with pytest.raises(HistoryGone, match=r"was pruned or truncated while it was read; .*Try again"):
            async for _ in late:
                pass
        tasks.cancel_scope.cancel()
    await audit.aclose()


class PrunedMeanwhile(MemoryStore):
    """A store whose log is pruned while a segment of it, or a long record, is read for the first time."""

    audit: AuditLog | None = None
    path = ""

    async def read_bytes(self, path: str, start: int = 0, end: int | None = None) -> bytes | None:
        if self.path and path.startswith(self.path):
            self.path = ""
            assert self.audit is not None
            await self.audit.prune(retention=Retention(segments_max=3))
        return await super().read_bytes(path, start, end)


@pytest.mark.parametrize("path", ["/audit/log/", "/audit/blob/"])
async def test_a_log_that_is_pruned_while_it_is_verified_holds(path: str) -> None:
    """It is read anew from where it begins then."""
    store = PrunedMeanwhile()
    store.audit = await days_of(store, ManualClock(), 6, long_each=True)
    store.path = path
    found = await examine(store)
    assert store.path == ""
    assert found.holds
    assert found.pruned is not None
    await store.audit.aclose()


async def test_a_hub_goes_on_over_prunings_and_restarts() -> None:
    """Each event is in the log once: its position is in what stays."""
    store, clock = MemoryStore(), ManualClock()
    for _ in range(10):
        audit = AuditLog(store, rotation=500, clock=clock, retention=Retention(segments_max=2))
        async with Hub(store, clock=clock, listeners=[audit]) as hub:
            for _ in range(7):
                await hub.emit(GenericEvent(kind="a.b"))
        assert audit.prune_errors == 0
    found = await verify(store)
    assert found.completeness.outcome is Outcome.HOLDS
    assert len(await firsts(store)) <= 4


async def test_numbers_are_not_used_again() -> None:
    """Indexes and `seq` go on where they were, so that a cursor finds what comes after it."""
    store, clock = MemoryStore(), ManualClock()
    cursor = -1
    for _ in range(4):
        audit = AuditLog(store, rotation=400, clock=clock, retention=Retention(segments_max=2))
        async with Hub(store, clock=clock, listeners=[audit]) as hub:
            emitted = [(await hub.emit(GenericEvent(kind="a.b"))).seq for _ in range(9)]
            await audit.prune()
        records = [record async for record in audit.read(start=cursor + 1)]
        assert records[0].index > cursor
        assert emitted[-1] in [record.fields.get("seq") for record in records]
        cursor = records[-1].index
    assert cursor > 60


async def test_two_hubs_prune_their_own_logs() -> None:
    store, clock = MemoryStore(), ManualClock()
    logs = [AuditLog(store, path=f"/{name}", rotation=1, clock=clock) for name in ("one", "two")]
    for log in logs:
        for number in range(5):
            await log.append({"n": number})
    await logs[0].prune(retention=Retention(segments_max=2))
    assert (len(await firsts(store, "/one")), len(await firsts(store, "/two"))) == (3, 5)
    for log in logs:
        await log.aclose()
        assert (await verify(store, log.path)).holds


async def test_the_log_is_closed_while_it_is_pruned(capfd: pytest.CaptureFixture[str]) -> None:
    """That is no failure: nothing is reported."""
    store, clock = MemoryStore(), ManualClock()
    audit = await days_of(store, clock, 50)
    again = AuditLog(store, rotation=DAILY, clock=clock, retention=Retention(segments_max=2))
    await audit.aclose()
    await again.append({"n": 0})
    await again.aclose()
    assert len(await firsts(store)) > 3
    assert again.prune_errors == 0
    assert "could not be pruned" not in "".join(capfd.readouterr())
    assert (await verify(store)).holds
    await again.prune()
    await again.aclose()
    assert len(await firsts(store)) <= 3


# --- arguments ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"days": -1},
        {"days": "5"},
        {"days": float("nan")},
        {"days": True},
        {"bytes_max": 0},
        {"bytes_max": 1.0},
        {"segments_max": 1},
        {"segments_max": Stranger()},
        {"days_min": None},
        {"days_min": -1},
        {"days_min": float("inf")},
        {"days": 5, "days_min": 6},
    ],
)
def test_no_other_retention_is_taken(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"Retention\(\): day|Retention\(\): .*_max"):
        Retention(**wrong)
    with pytest.raises(ConfigurationError, match="less than days_min, 183"):
        Retention.regulated(days=182)


@pytest.mark.parametrize("wrong", [5, "a year", Stranger(), Rotation(), Retention])
async def test_a_log_takes_no_other_retention(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="retention is a Retention"):
        AuditLog(MemoryStore(), retention=wrong)
    with pytest.raises(ConfigurationError, match="retention is a Retention"):
        await AuditLog(MemoryStore()).prune(retention=wrong)


@pytest.mark.parametrize(
    "wrong",
    [{"dry_run": 1}, {"dry_run": Stranger()}, {"by": 5}, {"by": ""}, {"reason": "\ud800"}, {"reason": "x" * 1001}],
)
async def test_a_refused_pruning_changes_nothing(wrong: dict[str, Any]) -> None:
    store = MemoryStore()
    audit = await days_of(store, ManualClock(), 5)
    files = await files_of(store)
    with pytest.raises((ConfigurationError, Exception), match=next(iter(wrong))):
        await audit.prune(**{"retention": Retention(segments_max=2), **wrong})
    assert await files_of(store) == files
    await audit.aclose()


async def test_without_a_retention_there_is_nothing_to_prune_by() -> None:
    with pytest.raises(ConfigurationError, match="has no retention"):
        await AuditLog(MemoryStore()).prune()
