"""Dead letters on disk: restarts, kills, damage, another version, a store that fails, and what is left of many."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import anyio
import pytest

from hubwire import (
    AttachmentState,
    DeadLetterEntry,
    DeadLetterPolicy,
    DeadLetterReason,
    Duty,
    Event,
    GenericEvent,
    Hub,
    RetryOutcome,
    StoreJournal,
    codec,
)
from hubwire._delivery.giving_up import LettersOf
from hubwire._delivery.letters import WAITING_MAX
from hubwire.errors import StoreError, StoreFull
from hubwire.ports import KnowledgeStore
from hubwire.redaction import RedactionRule, Redactor
from hubwire.stores import FileStore, MemoryStore
from hubwire.testing import ManualClock, Recorder, history
from support import AT, numbers, pass_time, said, until, until_idle
from support.durable import Failing, kept_position
from support.letters import durable, say

FOLDER = "/journal/dead-letters"


async def files(store: KnowledgeStore) -> list[str]:
    """Return the paths of the files that hold letters."""
    return [f"{FOLDER}/{name}" for name in await store.list(FOLDER) if name.endswith(".jsonl")]


async def given_up(hub: Hub) -> list[int]:
    """Return the numbers of the events in letters, in order."""
    return numbers(each.event for each in await hub.dead_letters.list(limit=100_000) if each.event)


async def leave(store: KnowledgeStore, *bad: int, count: int = 5, **settings: Any) -> Sequence[DeadLetterEntry]:
    """Let a hub live that gives these numbers up."""
    async with Hub(store, **settings) as hub:
        durable(hub, Failing(*bad))
        await say(hub, count)
        return await hub.dead_letters.list(limit=100_000)


# --- restarts -------------------------------------------------------------------------------------------------------


async def test_letters_outlive_the_hub() -> None:
    """They are the same, with equal events, and are retried when the listener is there again."""
    store = MemoryStore()
    before = await leave(store, 1, 3)
    mended = Recorder()
    async with Hub(store) as hub:
        assert await hub.dead_letters.list() == before
        durable(hub, mended)
        await hub.flush()
        assert {each.outcome for each in await hub.dead_letters.retry_all()} == {RetryOutcome.DELIVERED}
        assert numbers(mended.events) == [1, 3]
        assert not await files(store)
    async with Hub(store) as hub:
        assert not await hub.dead_letters.list()
        assert hub.health().healthy


async def test_health_knows_of_letters_of_a_former_life() -> None:
    """They are looked for in the background of the start."""
    store = MemoryStore()
    await leave(store, 1)
    async with Hub(store) as hub:
        await until(lambda: hub.statistics().listener_letters is not None)
        assert "owed 1 events" in hub.health().problems[0]


async def test_a_retry_that_failed_is_known_after_a_restart() -> None:
    store = MemoryStore()
    async with Hub(store) as hub:
        durable(hub, Failing(1))
        await say(hub, 2)
        await hub.dead_letters.retry_all()
        (before,) = await hub.dead_letters.list()
    async with Hub(store) as hub:
        assert await hub.dead_letters.list() == [before]
        assert before.retries == 1


async def test_letters_are_on_a_file_store(tmp_path: Any) -> None:
    """For the owner alone, as the journal."""
    store = FileStore(tmp_path)
    await leave(store, 1)
    async with Hub(store) as hub:
        assert await given_up(hub) == [1]
        (path,) = await files(store)
        mode = await anyio.to_thread.run_sync((tmp_path / path[1:]).stat)
        assert mode.st_mode & 0o777 == 0o600


async def test_two_hubs_on_a_store_have_their_own() -> None:
    store = MemoryStore()
    one, other = (StoreJournal(store, path=path) for path in ("/one", "/other"))
    async with Hub(journal=one) as hub, Hub(journal=other) as second:
        durable(hub, Failing(1))
        durable(second, Failing(2, 3))
        await say(hub, 5)
        await say(second, 5)
        assert await given_up(hub) == [1]
        assert await given_up(second) == [2, 3]


async def test_long_names_and_large_events_are_kept_whole() -> None:
    store, name = MemoryStore(), "ü" * 100
    event = GenericEvent(kind="text.said", data={"text": "\u2028\x7f\n\u00e4" * 100_000, "deep": [[[{"a": None}]]]})
    async with Hub(store) as hub:

        async def fail(_: Event) -> None:
            raise ValueError("\x00\u2028 bad")

        durable(hub, fail, name=name, pattern="text.said")
        stamped = await hub.emit(event)
        await hub.flush()
    async with Hub(store) as hub:
        (letter,) = await hub.dead_letters.list()
        assert letter.event == stamped
        assert letter.event is not None
        assert codec.encode(letter.event) == codec.encode(stamped)
        assert (letter.attachment, letter.error) == (name, "\x00\u2028 bad")


# --- kills ----------------------------------------------------------------------------------------------------------


class Dying(MemoryStore):
    """A store that writes letters only while it may; what comes then waits, as before a kill."""

    def __init__(self) -> None:
        super().__init__()
        self.may_write = True
        self.waiting = 0

    async def append(self, path: str, content: str | bytes, *, expect: int | None = None) -> int:
        if path.startswith(FOLDER) and not self.may_write:
            self.waiting += 1
            await anyio.sleep_forever()
        return await super().append(path, content, expect=expect)


async def test_a_kill_before_the_letter_loses_no_durable_event() -> None:
    """The position passes only after the letter is stored: the event comes again."""
    store, clock, failing = Dying(), ManualClock(), Failing(1)
    hub = Hub(store, clock=clock)
    await hub.start()
    durable(hub, failing)
    await hub.emit(said(0))
    await hub.flush()
    store.may_write = False
    position = hub.statistics().applied
    for n in (1, 2):
        await hub.emit(said(n))
    await until(lambda: store.waiting > 0)
    await pass_time(clock, 3)
    kept = await kept_position(store, "picky")
    assert kept is not None
    assert kept <= position
    await hub.abort()
    store.may_write = True
    assert numbers(failing.events) == [0]
    async with Hub(store) as hub:
        durable(hub, failing)
        await hub.flush()
        assert await given_up(hub) == [1]
        assert numbers(failing.events) == [0, 2]


async def test_a_kill_after_the_letter_makes_no_second_one() -> None:
    """The event comes again, because the position was not kept, and its letter goes on."""
    store, clock, failing = MemoryStore(), ManualClock(), Failing(1)
    hub = Hub(store, clock=clock)
    await hub.start()
    await durable(hub, failing).ready()
    await until_idle()
    await hub.emit(said(1))
    await until_idle()
    (before,) = await hub.dead_letters.list()
    await hub.abort()
    async with Hub(store, clock=clock) as hub:
        durable(hub, failing)
        await hub.flush()
        (after,) = await hub.dead_letters.list()
        assert (after.id, after.first_at, after.attempts) == (before.id, before.first_at, 2)


@pytest.mark.parametrize("at", range(1, 12))
async def test_a_letter_is_whole_or_not_there(at: int) -> None:
    """The last append may be cut anywhere by a kill: no letter before it is lost, and no damage is reported."""
    store = MemoryStore()
    before = await leave(store, 1, 2)
    (path,) = await files(store)
    content = await store.read_bytes(path) or b""
    end = content.index(b"\n") + 1
    await store.write(path, content[: end + (len(content) - end) * at // 12])
    async with Hub(store) as hub:
        assert await hub.dead_letters.list() == before[:1]
        assert hub.dead_letters.statistics().damaged == 0


# --- damage ---------------------------------------------------------------------------------------------------------


async def test_any_flipped_bit_costs_one_letter_at_most() -> None:
    """It is reported by health and statistics, and the hub starts and works."""
    store = MemoryStore()
    before = await leave(store, 1, 2, 3)
    (path,) = await files(store)
    content = await store.read_bytes(path) or b""
    ends = [at for at, byte in enumerate(content) if byte == 10]
    for at in (*range(0, len(content), 97), *ends):
        changed = bytearray(content)
        changed[at] ^= 1
        await store.write(path, bytes(changed))
        async with Hub(store) as hub:
            line = None if at in ends else sum(end < at for end in ends)  # a line feed holds no letter
            assert await hub.dead_letters.list() == [each for n, each in enumerate(before) if n != line]
            assert hub.dead_letters.statistics().damaged == 1
            (problem,) = [each for each in hub.health().problems if "damaged" in each]
            assert path in problem
            durable(hub, Failing(9))
            await hub.emit(said(9))
            await hub.flush()
            assert 9 in await given_up(hub)
            (added,) = await hub.dead_letters.list(after=before[-1].id)
            await hub.dead_letters.discard(added.id)
        for each in await files(store):
            if each != path:
                await store.delete(each)


async def test_damage_while_the_hub_runs_is_told_by_the_letter() -> None:
    """The event may still be retried, from the journal."""
    store, failing = MemoryStore(), Failing(1)
    async with Hub(store) as hub:
        durable(hub, failing)
        await say(hub, 2)
        (path,) = await files(store)
        content = await store.read_bytes(path) or b""
        await store.write(path, content.replace(b"bad number", b"bed number"))
        (letter,) = await hub.dead_letters.list()
        assert letter.event is None
        assert "cannot be read where it is kept" in letter.error
        assert path in letter.error
        assert (await hub.dead_letters.retry(letter.id)).outcome is RetryOutcome.FAILED
        failing.bad.clear()
        assert (await hub.dead_letters.retry(letter.id)).is_delivered
        assert numbers(failing.events) == [0, 1]


async def test_a_missing_file_is_told() -> None:
    store = MemoryStore()
    await leave(store, 1)
    await leave(store, 11, count=15)
    first, second = await files(store)
    await store.delete(first)
    async with Hub(store) as hub:
        assert await given_up(hub) == [11]
        (problem,) = [each for each in hub.health().problems if "is missing" in each]
        assert first in problem
    await store.delete(second)
    async with Hub(store) as hub:
        assert not await hub.dead_letters.list()
        assert any(second in each for each in hub.health().problems)


async def test_a_damaged_index_is_told_and_costs_no_letter() -> None:
    store = MemoryStore()
    await leave(store, 1)
    await store.write(f"{FOLDER}/index", b"nonsense")
    async with Hub(store) as hub:
        assert await given_up(hub) == [1]
        assert any(f"{FOLDER}/index is damaged" in each for each in hub.health().problems)


async def test_what_a_newer_version_has_written_stays() -> None:
    """It is told, not shown, and set aside when its file has to go."""
    store = MemoryStore()
    await leave(store, 1, 2)
    (path,) = await files(store)
    first, second = [line for line in (await store.read_bytes(path) or b"").split(b"\n") if line]
    fields = codec.decode_fields(first)
    newer = codec.encode_marker({name: each for name, each in fields.items() if name not in "vc"}, version=2)
    await store.write(path, newer + second + b"\n")
    async with Hub(store) as hub:
        assert await given_up(hub) == [2]
        assert any("newer version of hubwire" in each for each in hub.health().problems)
        (letter,) = await hub.dead_letters.list()
        await hub.dead_letters.discard(letter.id)
        assert not await files(store)
        aside = path.replace(FOLDER, f"{FOLDER}/set-aside")
        assert newer in (await store.read_bytes(aside) or b"")


async def test_what_is_no_letter_is_told() -> None:
    """A line may be sound, and have no letter."""
    store = MemoryStore()
    await leave(store, 1)
    (path,) = await files(store)
    await store.append(path, codec.encode_marker({"a": 1}, version=1))
    await store.append(path, codec.encode_marker({"gone": 5}, version=1))
    async with Hub(store) as hub:
        assert await given_up(hub) == [1]
        assert hub.dead_letters.statistics().damaged == 2


# --- a store that fails ---------------------------------------------------------------------------------------------


class Refusing(MemoryStore):
    """A store that writes no letters while it has an error."""

    error: StoreError | None = None

    async def append(self, path: str, content: str | bytes, *, expect: int | None = None) -> int:
        if path.startswith(FOLDER) and self.error is not None:
            raise self.error
        return await super().append(path, content, expect=expect)


async def test_a_durable_listener_whose_letter_cannot_be_stored_is_suspended() -> None:
    """Its event is not lost: resumed, it gets the event again."""
    store, failing = Refusing(), Failing(1)
    store.error = StoreFull("no space left")
    async with Hub(store) as hub:
        attachment = durable(hub, failing)
        await say(hub, 3)
        assert attachment.state is AttachmentState.SUSPENDED
        assert any("dead letters cannot be stored or read: StoreFull" in each for each in hub.health().problems)
        store.error = None
        attachment.resume()
        await hub.flush()
        assert await given_up(hub) == [1]
        assert numbers(failing.events) == [0, 2]
        assert not any("cannot be stored" in each for each in hub.health().problems)


@pytest.mark.slow
async def test_best_effort_letters_wait_for_the_store() -> None:
    """So many, and no more; the rest are counted."""
    store, failing = Refusing(), Failing(*range(3))
    clock = ManualClock()
    store.error = StoreFull("no space left")
    async with Hub(store, clock=clock) as hub:
        hub.attach(failing, name="loose", pattern="number.said")
        for n in range(3):
            await hub.emit(said(n))
        await pass_time(clock, 3)
        assert hub.dead_letters.statistics().waiting == 3
        assert not await hub.dead_letters.list()
        store.error = None
        await until(lambda: hub.dead_letters.statistics().waiting == 0)
        assert await given_up(hub) == [0, 1, 2]
        store.error = StoreFull("no space left")
        (letter,) = (await hub.dead_letters.list())[:1]
        assert letter.event is not None
        mine = LettersOf(hub._parts.fanout.letters, "loose", Duty.BEST_EFFORT)
        for _ in range(WAITING_MAX + 10):
            mine.put(letter.event, ValueError("bad"))
        await until(lambda: hub.dead_letters.statistics().lost == 10)
        assert hub.dead_letters.statistics().waiting == WAITING_MAX


async def test_files_that_cannot_be_deleted_lose_no_letter() -> None:
    """The letter is stored all the same, and the listener goes on."""

    class Sticky(MemoryStore):
        is_stuck = True

        async def delete(self, path: str) -> None:
            if path.startswith(FOLDER) and self.is_stuck:
                raise StoreError("permission denied")
            await super().delete(path)

    store = Sticky()
    async with Hub(store, dead_letters=DeadLetterPolicy(bytes_max=8192)) as hub:
        attachment = durable(hub, Failing(*range(100)))
        for n in range(50):
            await hub.emit(said(n))
        await hub.flush()
        assert attachment.state is AttachmentState.RUNNING
        assert any("cannot be deleted: StoreError: permission denied" in each for each in hub.health().problems)
        store.is_stuck = False
        await hub.dead_letters.discard_all()
        assert not await store.list(FOLDER)
        assert not [each for each in hub.health().problems if "cannot be deleted" in each]


async def test_letters_do_not_fill_the_memory_while_the_store_hangs() -> None:
    store = Dying()
    async with Hub(store, close_seconds_max=0.2) as hub:
        event = await hub.emit(said(0))
        mine = LettersOf(hub._parts.fanout.letters, "loose", Duty.BEST_EFFORT)
        store.may_write = False
        mine.put(event, ValueError("bad"))
        await until(lambda: store.waiting > 0)
        for n in range(WAITING_MAX + 10):
            mine.put(event, ValueError(f"{n}"))
        found = hub.dead_letters.statistics()
        assert (found.waiting, found.lost) == (WAITING_MAX, 10)


# --- redaction ------------------------------------------------------------------------------------------------------


async def test_a_redacted_letter_delivers_the_true_event() -> None:
    """What is kept and shown is redacted, at rest too; the journal still has the event itself."""
    store, secret = MemoryStore(), "alice@example.org"
    got: list[Event] = []
    is_mended: list[bool] = []

    async def listen(event: Event) -> None:
        if not is_mended:
            raise ValueError(f"no mailbox of {secret}")
        got.append(event)

    async with Hub(store) as hub:
        durable(hub, listen, pattern="user.*")
        stamped = await hub.emit(GenericEvent(kind="user.seen", data={"email": secret}))
        await hub.flush()
        (letter,) = await hub.dead_letters.list()
        assert letter.is_redacted
        assert secret not in str(letter)
        (path,) = await files(store)
        assert secret.encode() not in (await store.read_bytes(path) or b"")
        assert "[redacted:email]" in letter.error
        is_mended.append(True)
        assert (await hub.dead_letters.retry(letter.id)).is_delivered
        assert got == [stamped]


async def test_a_redacted_letter_is_not_taken_for_the_event() -> None:
    """Where the journal has the event no longer, the redacted one is delivered only to a caller who wants it."""
    store, secret = MemoryStore(), "alice@example.org"
    seen = Recorder()

    async def fail(_: Event) -> None:
        raise ValueError("bad")

    policy = DeadLetterPolicy(redactor=Redactor())
    limits: dict[str, Any] = {"dead_letters": policy, "journal_bytes_max": 8192, "snapshot_bytes": 1000, "ring": 16}
    async with Hub(store, **limits) as hub:
        attachment = durable(hub, fail, pattern="user.*")
        await hub.emit(GenericEvent(kind="user.seen", data={"email": secret}))
        await hub.emit(GenericEvent(kind="user.left", data={"n": 1}))
        await hub.flush()
        await attachment.detach()
        await hub.forget("picky")
        for n in range(300):
            await hub.emit(said(n))
        await until(lambda: hub._parts.journal is not None and hub._parts.journal.first_seq > 20)
        durable(hub, seen, pattern="user.*")
        await hub.flush()
        redacted, plain = await hub.dead_letters.list()
        result = await hub.dead_letters.retry(redacted.id)
        assert result.outcome is RetryOutcome.EVENT_GONE
        assert "as_kept=True" in result.error
        assert (await hub.dead_letters.retry(plain.id)).is_delivered, "what is not redacted is the event itself"
        assert (await hub.dead_letters.retry(redacted.id, as_kept=True)).is_delivered
        assert [each.kind for each in seen.events] == ["user.left", "user.seen"]
        assert secret not in str(seen.events)


async def test_a_rule_that_raises_lets_no_text_out() -> None:
    def find(_: str) -> Any:
        raise SystemExit

    async with Hub(
        MemoryStore(), dead_letters=DeadLetterPolicy(redactor=Redactor(rules=[RedactionRule("own", find=find)]))
    ) as hub:
        durable(hub, Failing(1))
        await say(hub, 2)
        (letter,) = await hub.dead_letters.list()
        assert (letter.error, letter.is_redacted) == ("(withheld)", True)


# --- many -----------------------------------------------------------------------------------------------------------


async def test_of_many_letters_nothing_is_left() -> None:
    """The files are written anew and deleted, so that they take no more than twice what they hold."""
    store, count = MemoryStore(), 3000
    policy = DeadLetterPolicy(bytes_max=200_000, count_max=100)
    async with Hub(store, dead_letters=policy) as hub:

        async def fail(_: Event) -> None:
            raise ValueError("bad")

        durable(hub, fail)
        for n in range(count):
            await hub.emit(said(n))
        await hub.flush()
        assert await given_up(hub) == list(range(count - 100, count))
        sizes = [await store.size(path) or 0 for path in await files(store)]
        assert sum(sizes) <= 2 * policy.bytes_max
        assert len(sizes) < 20
    async with Hub(store, dead_letters=policy) as hub:
        assert await given_up(hub) == list(range(count - 100, count))
        for letter in await hub.dead_letters.list(limit=1000):
            await hub.dead_letters.discard(letter.id)
        assert await store.list(FOLDER) == []


async def test_letters_that_stay_outlive_those_around_them() -> None:
    """An old letter among many that go is written anew, and stays the same."""
    store = MemoryStore()
    policy = DeadLetterPolicy(bytes_max=50_000)
    async with Hub(store, dead_letters=policy) as hub:
        durable(hub, Failing(*range(2000)))
        await say(hub, 1)
        (old,) = await hub.dead_letters.list()
        for n in range(1, 400):
            await hub.emit(said(n))
            await hub.flush()
            (_, new) = await hub.dead_letters.list()
            await hub.dead_letters.discard(new.id)
        assert await hub.dead_letters.list() == [old]
        assert sum([await store.size(path) or 0 for path in await files(store)]) <= 60_000
    async with Hub(store, dead_letters=policy) as hub:
        assert await hub.dead_letters.list() == [old]


async def test_overflows_do_not_crowd_out_other_letters() -> None:
    """Each listener has so many of them, and no more."""
    clock = ManualClock()
    async with Hub(MemoryStore(), clock=clock) as hub:
        durable(hub, Failing(0))
        await say(hub, 1)
        letters = hub._parts.fanout.letters
        for n in range(150):
            letters.overflowed("slow", Duty.BEST_EFFORT, 2, 10 * n, 10 * n + 1)
            await hub.dead_letters.list(limit=1)
            clock.advance(1)
        found = hub.dead_letters.statistics()
        assert found.by_attachment == {"picky": 1, "slow": 100}
        overflows = await hub.dead_letters.list(reason=DeadLetterReason.OVERFLOW, limit=1000)
        assert overflows[0].ranges == ((500, 501),)


@pytest.mark.slow
async def test_a_hundred_thousand_letters_leave_no_more_than_is_kept() -> None:
    """Neither in memory nor on disk, and the last of them are there."""
    store, count = MemoryStore(), 100_000
    policy = DeadLetterPolicy(count_max=1000, bytes_max=4 * 1024 * 1024)
    async with Hub(store, dead_letters=policy) as hub:
        mine = LettersOf(hub._parts.fanout.letters, "loose", Duty.BEST_EFFORT)
        for n in range(count):
            event = GenericEvent(kind="number.said", id=f"{n // 2 * 2}", seq=n // 2 * 2, at=AT)  # each dies twice
            mine.put(event, ValueError(f"{n}"))
            if n % 500 == 499:
                await hub.dead_letters.list(limit=1)
        letters = await hub.dead_letters.list(limit=count)
        assert len(letters) == 1000
        assert (letters[-1].error, letters[-1].attempts) == (f"{count - 1}", 2)
        assert sum([await store.size(path) or 0 for path in await files(store)]) <= 3 * policy.bytes_max
        box = hub._parts.fanout.letters._box
        assert box is not None
        assert len(box._by_what) == len(box._kept) == len(letters)


# --- a process that is killed ---------------------------------------------------------------------------------------

LIFE = """
import asyncio, os, sys
from hubwire import Duty, GenericEvent, Hub
from hubwire.stores import FileStore

async def listen(event):
    if event.data["n"] % 3 == 0:
        raise ValueError("bad number")
    os.write(handled, f"{event.data['n']}\\n".encode())

async def main():
    async with Hub(FileStore(sys.argv[1])) as hub:
        settings = {"duty": Duty.DURABLE, "attempts_max": 1, "when_exhausted": "dead_letter", "since": "start"}
        hub.attach(listen, name="picky", pattern="number.said", **settings)
        for n in range(int(sys.argv[2]), 10**9):
            await hub.emit(GenericEvent(kind="number.said", data={"n": n}))
            print(n, flush=True)

handled = os.open(sys.argv[1] + "/handled", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
asyncio.run(main())
"""


@pytest.mark.slow
async def test_a_killed_process_loses_no_letter_of_a_durable_listener(tmp_path: Any) -> None:
    """Each event of several lives was handled, or is one letter, or is handled by the last life."""
    first = 0
    for _ in range(4):
        command = [sys.executable, "-P", "-c", LIFE, str(tmp_path), str(first)]
        async with await anyio.open_process(command, stderr=None) as process:
            assert process.stdout is not None
            printed = b""
            while printed.count(b"\n") < 40:
                printed += await process.stdout.receive()
            process.kill()
            printed += b"".join([each async for each in process.stdout])
        first = int(printed.split(b"\n")[-2]) + 10_000  # the last may be in the journal, and not printed
    store, rest = FileStore(tmp_path), Failing(*range(0, 100_000, 3))
    async with Hub(store) as hub:
        durable(hub, rest)
        await hub.flush()
        emitted = [each.data["n"] for each in await history(hub) if isinstance(each, GenericEvent)]
        content = await anyio.Path(tmp_path / "handled").read_text()
        handled = {int(n) for n in content.split()} | set(numbers(rest.events))
        letters = await given_up(hub)
        assert len(letters) == len(set(letters))
        assert set(letters) == {n for n in emitted if n % 3 == 0}
        assert handled == {n for n in emitted if n % 3}
    await store.aclose()
