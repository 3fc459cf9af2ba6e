"""verify beside a hub that begins to work, and which of the things beside a log vouch for its end."""

from __future__ import annotations

from hubwire import Duty, GenericEvent, Hub, codec
from hubwire.listeners import AuditLog
from hubwire.listeners.audit import Outcome, examine
from hubwire.log import segment_path
from hubwire.stores import MemoryStore
from support import GatedStore
from support.audit import Lines, alter, filled, lines_of


class OpenedMeanwhile(MemoryStore):
    """A store on which a hub begins to write the log right after its marker was read for the first time."""

    hub: Hub | None = None
    is_armed = False

    async def read_bytes(self, path: str, start: int = 0, end: int | None = None) -> bytes | None:
        content = await super().read_bytes(path, start, end)
        if path == "/audit/clean" and self.is_armed:
            self.is_armed = False
            self.hub = Hub(self, listeners=[AuditLog(self)])
            await self.hub.start()
            await self.hub.emit(GenericEvent(kind="a.b"))
        return content


async def test_a_log_that_is_opened_meanwhile_holds() -> None:
    """What follows the end at which it was closed is its writer's, as the marker says when it is read again."""
    store = OpenedMeanwhile()
    async with Hub(store, listeners=[AuditLog(store)]) as hub:
        await hub.emit(GenericEvent(kind="a.b"))
    store.is_armed = True
    found = await examine(store, journal=None)
    assert store.hub is not None
    await store.hub.aclose()
    assert found.records > 5
    assert found.integrity.outcome is Outcome.HOLDS


async def test_the_journal_says_nothing_of_a_lossy_log() -> None:
    """Of a BEST_EFFORT log the journal does not know how far it should go."""
    store = await filled(duty=Duty.BEST_EFFORT)
    await store.delete("/audit/clean")
    found = await examine(store)
    assert found.events > 0
    assert found.completeness.outcome is Outcome.UNKNOWN


async def test_a_damaged_journal_vouches_for_no_end() -> None:
    """It cannot be read as far as the log may have gone, so that what was cut off the log is not known."""
    store = await filled()
    path, beside = segment_path("/audit", 0), segment_path("/journal", 0)
    lines = (await store.read_bytes(path) or b"").splitlines(keepends=True)
    await store.write(path, b"".join(lines[:-2]))
    await store.delete("/audit/clean")
    journal = (await store.read_bytes(beside) or b"").splitlines(keepends=True)
    journal[-2] = journal[-2].replace(b'"c":"', b'"c":"z', 1)
    await store.write(beside, b"".join(journal))
    found = await examine(store)
    assert found.integrity.outcome is Outcome.HOLDS
    assert found.completeness.outcome is Outcome.UNKNOWN
    assert any("cannot be read to its end" in each for each in found.completeness.not_looked_at)


async def test_a_recovered_log_says_both() -> None:
    """What it promises from now on, and what was torn off, though both are said by the same append."""
    store = GatedStore()
    async with Hub(store, listeners=[AuditLog(store)]) as hub:
        await hub.emit(GenericEvent(kind="a.b"))
        crashed = store.crashed()
    path = segment_path("/audit", 0)
    await crashed.append(path, b'{"at":"now","ki')
    async with Hub(crashed, listeners=[AuditLog(crashed)]):
        pass
    own = [fields for fields in (await lines_of(crashed))[0] if fields["kind"].startswith("log.")]
    assert [fields["kind"] for fields in own] == ["log.opened", "log.opened", "log.recovered"]
    assert own[1]["duty"] == "required"
    assert own[2]["torn_bytes"] == 15
    found = await examine(crashed)
    assert (found.holds, found.notes) == (True, ())


async def test_a_log_may_go_on_behind_an_old_marker() -> None:
    """Earlier versions left it as it was when they opened the log again."""
    store = await filled()
    path = segment_path("/audit", 0)
    lines = (await store.read_bytes(path) or b"").splitlines(keepends=True)
    chain = codec.unseal(lines[4][:-1])[2] or b""
    fields = codec.decode_fields(lines[4])
    marker = {"first": 0, "size": len(b"".join(lines[:5])), "records": 5, "chain": chain.decode(), "rotated": False}
    marker |= {"seq": fields["seq"], "hub": fields["hub"]}
    await store.write("/audit/clean", codec.encode_fields(marker) + b"\n")
    found = await examine(store)
    assert found.records == len(lines) > 5
    assert (found.integrity.outcome, found.completeness.outcome) == (Outcome.HOLDS, Outcome.HOLDS)
    assert found.completeness.reason == "it ends where it should, by the journal beside it"


async def test_a_log_without_a_promise_may_lack_events() -> None:
    """Whether it was to hold those between is not known, though its end is where it is expected."""
    store = await filled()

    def change(lines: Lines) -> None:
        segment = lines[0]
        for name in ("duty", "pattern", "begins_seq"):
            del segment[0][name]
        del segment[4]
        for fields in segment:
            fields["d"] = 0

    await alter(store, change)
    records = len((await lines_of(store))[0])
    found = await examine(store, expect_records=records, journal=None)
    assert found.integrity.outcome is Outcome.HOLDS
    assert found.completeness.outcome is Outcome.UNKNOWN
    assert found.completeness.reason == "the log does not say which events it was to hold"


async def test_a_journal_that_went_on_is_not_closed() -> None:
    """A marker of earlier versions stays when the journal is opened again: its hub may be at work."""
    store = await filled()
    at = codec.decode_marker(await store.read_bytes("/journal/clean") or b"")
    async with Hub(store) as hub:
        await hub.emit(GenericEvent(kind="a.b"))
    assert (await examine(store)).completeness.outcome is Outcome.FAILS
    names = ("first", "size", "records", "chain", "seq", "hub", "rotated")
    await store.write("/journal/clean", codec.encode_fields({name: at[name] for name in names}))
    found = await examine(store)
    assert found.completeness.outcome is Outcome.HOLDS
    assert any("a hub at work is about to write them" in note for note in found.notes)


async def test_a_single_record_that_was_cut_off_is_missed() -> None:
    """The marker beside the log counts it."""
    store = await filled()
    path = segment_path("/audit", 0)
    lines = (await store.read_bytes(path) or b"").splitlines(keepends=True)
    await store.write(path, b"".join(lines[:-1]))
    found = await examine(store, journal=None)
    assert found.completeness.outcome is Outcome.FAILS
    assert f"had {len(lines)} records when its marker was written, and has {len(lines) - 1}" in str(found.completeness)


async def test_one_record_less_than_expected_is_missed() -> None:
    store = await filled()
    await store.delete("/audit/clean")
    records = (await examine(store, journal=None)).records
    outcomes = [(await examine(store, expect_records=records + n, journal=None)).completeness.outcome for n in (0, 1)]
    assert outcomes == [Outcome.HOLDS, Outcome.FAILS]
