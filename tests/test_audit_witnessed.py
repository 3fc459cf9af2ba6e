"""An audit log with witnesses: who has seen what, and what becomes of the log without them."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import anyio
import pytest

from hubwire import Hub
from hubwire.errors import ConfigurationError, LogRolledBack, NotWitnessed, WitnessFailed
from hubwire.listeners.audit import AuditLog, Outcome, examine
from hubwire.proof import (
    Checkpoint,
    FunctionWitness,
    HttpWitness,
    KeySigner,
    Note,
    NoteSignature,
    StoreWitness,
    VerifierKey,
    WitnessKey,
    WitnessPolicy,
    WitnessRequest,
    WitnessServer,
    cosignatures,
)
from hubwire.stores import FileStore, MemoryStore
from support import until

pytest.importorskip("cryptography")

NAME = "example.org/hub/audit"
LOG = KeySigner.new(NAME)
WITNESS = WitnessKey.new("witness.example.org/w1")
QUICK: dict[str, Any] = {"interval_seconds": 0.0, "seconds_max": 5.0}


@asynccontextmanager
async def served(tmp_path: Path, *, begins: bool = True, name: str = "state") -> AsyncIterator[WitnessServer]:
    server = await anyio.to_thread.run_sync(lambda: WitnessServer(WITNESS, tmp_path / name, [LOG.vkey], begins=begins))
    async with server:
        yield server


class Double:
    """A witness that does as it is told."""

    def __init__(self, behave: Callable[[WitnessRequest], Awaitable[Any]], *, name: str = "double") -> None:
        self.behave = behave
        self.asked: list[int] = []
        self.name = name
        self.vkey: VerifierKey | None = WITNESS.vkey

    async def witness(self, request: WitnessRequest) -> NoteSignature | None:
        self.asked.append(request.checkpoint.size)
        answer: NoteSignature | None = await self.behave(request)
        return answer


async def fill(audit: AuditLog, count: int) -> None:
    await audit.append_many([{"kind": "work.done", "number": number} for number in range(count)])


async def kinds(audit: AuditLog) -> list[str]:
    return [record.fields["kind"] async for record in audit.read()]


def size_of(note: Note) -> int:
    return Checkpoint.parse(note.text).size


async def test_cosignatures_stand_below_the_checkpoint(tmp_path: Path) -> None:
    store = MemoryStore()
    async with served(tmp_path) as server:
        policy = WitnessPolicy([HttpWitness(server.url, server.vkey)], **QUICK)
        audit = AuditLog(store, signer=LOG, witnesses=policy)
        await fill(audit, 300)
        note = await audit.witnessed()
        assert size_of(note) == 302
        (found,) = cosignatures(note, [WITNESS.vkey])
        assert note.signed_by(LOG.vkey)
        assert await store.read("/audit/checkpoint") == str(note) == await store.read("/audit/witnessed")
        await audit.append({"kind": "work.done"})
        await audit.aclose()
        last = Note.parse(await store.read("/audit/checkpoint"))
        assert server.witness.logs == {NAME: size_of(last)} == {NAME: 303}
        assert cosignatures(last, [WITNESS.vkey])
        assert await store.read(f"/audit/checkpoints/{303:020}") == str(last)
        assert audit.witness_errors == 0
    assert found.at_seconds > 0
    assert (await examine(store, vkey=LOG.vkey)).signer.outcome is Outcome.HOLDS


def cosigned(request: WitnessRequest) -> NoteSignature:
    return WITNESS.cosign(request.checkpoint.text, 1_900_000_000)


async def agrees(request: WitnessRequest) -> NoteSignature:
    return cosigned(request)


async def is_away(_: WitnessRequest) -> NoteSignature:
    raise WitnessFailed("it is away")


async def test_a_log_without_its_witnesses_goes_on_and_says_so_once() -> None:
    """In its records, once for an outage, and in its health until they are back."""
    double = Double(is_away)
    policy = WitnessPolicy([double], grace_seconds=0.0, **QUICK)
    audit = AuditLog(MemoryStore(), signer=LOG, witnesses=policy, checkpoint_seconds=0.0)
    for number in range(20):
        await audit.append({"kind": "work.done", "number": number})
        await audit.checkpoint()
    await until(lambda: audit.problem is not None)
    assert "is not witnessed since" in str(audit.problem)
    assert "double: it is away" in str(audit.problem)
    await audit.append({"kind": "work.done"})
    assert (await kinds(audit)).count("log.unwitnessed") == 1
    (record,) = [each.fields async for each in audit.read() if each.fields["kind"] == "log.unwitnessed"]
    assert record["witnesses"] == [{"name": "double", "reason": "it is away"}]
    assert record["quorum"] == 1
    double.behave = agrees
    await audit.witnessed()
    assert audit.problem is None
    double.behave = is_away
    await audit.append({"kind": "work.done"})
    await audit.checkpoint()
    await until(lambda: audit.problem is not None)
    await audit.aclose()
    assert (await kinds(audit)).count("log.unwitnessed") == 2


@pytest.mark.slow
async def test_a_closed_log_refuses_what_would_not_be_witnessed() -> None:
    """Nothing is written then; and it takes the next one as soon as its witnesses are back."""
    double = Double(is_away)
    policy = WitnessPolicy([double], on_missing="closed", grace_seconds=0.0, **QUICK)
    audit = AuditLog(MemoryStore(), signer=LOG, witnesses=policy, checkpoint_seconds=0.0)
    await audit.append({"kind": "work.done", "number": 0})
    await until(lambda: audit.problem is not None)
    with pytest.raises(NotWitnessed, match=r"was not appended to, because .* 1 of 1 witnesses .* double: it is away"):
        await audit.append({"kind": "work.done", "number": 1})
    with pytest.raises(NotWitnessed):
        await audit.append_many([{"kind": "work.done"}, {"kind": "work.done"}])
    with pytest.raises(NotWitnessed, match=r"first 1 records .* stored, and not witnessed after 0.1 seconds"):
        await audit.witnessed(0, seconds=0.1)
    assert (await kinds(audit)).count("work.done") == 1
    double.behave = agrees
    await asyncio.sleep(1.1)  # it is asked again out of turn after a second
    await audit.append({"kind": "work.done", "number": 2})
    assert audit.problem is None
    assert (await kinds(audit)).count("work.done") == 2
    await audit.aclose()


async def test_a_hub_whose_log_is_closed_stops_without_witnesses() -> None:
    double = Double(is_away)
    policy = WitnessPolicy([double], on_missing="closed", grace_seconds=0.0, **QUICK)
    store = MemoryStore()
    audit = AuditLog(store, signer=LOG, witnesses=policy, checkpoint_seconds=0.0)
    with pytest.raises(Exception, match="is not witnessed since") as caught:
        async with Hub(store, listeners=[audit]) as hub:
            await hub.agents.register("first")
            await until(lambda: audit.problem is not None)
            await hub.agents.register("second")
    assert "NotWitnessed" in repr(caught.value) or "NotWitnessed" in repr(caught.value.__cause__)


async def test_a_witness_shows_that_log_and_checkpoint_were_put_back(tmp_path: Path) -> None:
    """The log alone cannot know it: all that it has was put back together. Nothing more is signed then."""
    async with served(tmp_path) as server:
        for count in (5, 7):
            store = FileStore(tmp_path / "live")
            policy = WitnessPolicy([HttpWitness(server.url, server.vkey)], **QUICK)
            audit = AuditLog(store, signer=LOG, witnesses=policy)
            await fill(audit, count)
            await audit.witnessed()
            await audit.aclose()
            await store.aclose()
            if count == 5:
                await anyio.to_thread.run_sync(shutil.copytree, tmp_path / "live", tmp_path / "backup")
        store = FileStore(tmp_path / "backup")
        audit = AuditLog(store, signer=LOG, witnesses=[HttpWitness(server.url, server.vkey)])
        await audit.append({"kind": "work.done"})
        await until(lambda: audit.problem is not None)
        assert "it was restored from an older copy" in str(audit.problem)
        await audit.append({"kind": "work.done"})  # an open log goes on
        with pytest.raises(LogRolledBack, match="No more checkpoint is signed"):
            await audit.checkpoint()
        assert "log.unwitnessed" in await kinds(audit)
        await audit.aclose()
        await store.aclose()


async def test_a_copy_elsewhere_shows_the_same(tmp_path: Path) -> None:
    elsewhere = MemoryStore()
    store = FileStore(tmp_path / "live")
    audit = AuditLog(store, signer=LOG, witnesses=[StoreWitness(elsewhere)], checkpoint_seconds=3600)
    await fill(audit, 5)
    note = await audit.witnessed()
    assert await elsewhere.read("/witnessed/checkpoint") == str(note)
    assert note.signatures == LOG_SIGNED(note)
    await audit.aclose()
    kept = await elsewhere.read("/witnessed/checkpoint")
    found = await examine(store, vkey=LOG.vkey, expect_checkpoint=kept)
    assert found.completeness.outcome is Outcome.HOLDS
    await store.aclose()
    await anyio.to_thread.run_sync(shutil.rmtree, tmp_path / "live")
    store = FileStore(tmp_path / "live")
    audit = AuditLog(store, signer=LOG, witnesses=[StoreWitness(elsewhere)])
    await fill(audit, 30)
    with pytest.raises((NotWitnessed, LogRolledBack), match="they are not the first"):
        await audit.witnessed(seconds=5)
    assert await elsewhere.read("/witnessed/checkpoint") == kept, "the copy is never written over"
    await audit.aclose()
    await store.aclose()


def LOG_SIGNED(note: Note) -> tuple[NoteSignature, ...]:  # noqa: N802
    return (LOG.signature(note.text.encode()),)


async def test_a_function_gets_each_newest_checkpoint_as_text() -> None:
    texts: list[str] = []

    async def keep(text: str) -> None:
        texts.append(text)

    audit = AuditLog(MemoryStore(), signer=LOG, witnesses=WitnessPolicy([FunctionWitness(keep)], **QUICK))
    await fill(audit, 3)
    await audit.witnessed()
    await audit.append({"kind": "work.done"})
    await audit.aclose()
    assert [size_of(Note.parse(text)) for text in texts][-1] == 6
    assert all(Note.parse(text).signed_by(LOG.vkey) for text in texts)


class Swallows:
    name, vkey = "swallows", None

    async def witness(self, request: WitnessRequest) -> None:
        while True:
            try:
                await asyncio.sleep(3600)
            except BaseException:  # noqa: BLE001, S110
                pass


class Hostile:
    name, vkey = "hostile", WITNESS.vkey

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    async def witness(self, request: WitnessRequest) -> Any:
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


class Awful(BaseException):
    def __str__(self) -> str:
        raise RuntimeError("no text")


HOSTILE: list[Any] = [
    None,
    "— witness AAAA",
    NoteSignature("witness.example.org/w1", WITNESS.vkey.id, b""),
    NoteSignature("witness.example.org/w1", WITNESS.vkey.id, b"x" * 72),
    NoteSignature("witness.example.org/w1", WITNESS.vkey.id, b"x" * 1_000_000),
    WITNESS.cosign("another text\n1\n", 1),
    WitnessKey.new("witness.example.org/w1").cosign(f"{NAME}\n1\n", 1),
    LOG.signature(b"x"),
    Awful(),
    SystemExit(3),
    asyncio.CancelledError(),
    RecursionError("\x1b[31m" + "x" * 100_000),
]


@pytest.mark.parametrize("hostile", HOSTILE, ids=range(len(HOSTILE)))
async def test_what_a_witness_returns_or_raises_harms_no_log(hostile: Any) -> None:
    store = MemoryStore()
    policy = WitnessPolicy([Hostile(hostile)], grace_seconds=0.0, **QUICK)
    audit = AuditLog(store, signer=LOG, witnesses=policy, checkpoint_seconds=0.0)
    await audit.append({"kind": "work.done"})
    await until(lambda: audit.problem is not None)
    await audit.append({"kind": "work.done"})
    await audit.aclose()
    note = Note.parse(await store.read("/audit/checkpoint"))
    assert note.signatures == LOG_SIGNED(note)
    assert len(str(audit.problem)) < 2000
    assert await store.read("/audit/witnessed") is None
    assert (await examine(store, vkey=LOG.vkey)).signer.outcome is Outcome.HOLDS


@pytest.mark.slow
async def test_a_witness_that_never_ends_holds_up_neither_append_nor_close() -> None:
    policy = WitnessPolicy([Swallows()], grace_seconds=0.0, interval_seconds=0.0, seconds_max=0.1)
    audit = AuditLog(MemoryStore(), signer=LOG, witnesses=policy, checkpoint_seconds=0.0, close_seconds_max=0.1)
    with anyio.fail_after(20):
        for _ in range(50):
            await audit.append({"kind": "work.done"})
        await until(lambda: audit.problem is not None)
        await audit.aclose()


async def test_a_slow_witness_is_told_of_the_newest_checkpoint_alone() -> None:
    """One call at a time: what came meanwhile is skipped."""
    now = 0

    async def slowly(request: WitnessRequest) -> NoteSignature:
        nonlocal now
        now += 1
        assert now == 1
        await asyncio.sleep(0.3)
        now -= 1
        return cosigned(request)

    double = Double(slowly)
    audit = AuditLog(MemoryStore(), signer=LOG, witnesses=WitnessPolicy([double], **QUICK), checkpoint_seconds=0.0)
    for _ in range(100):
        await audit.append({"kind": "work.done"})
        await audit.checkpoint()
    await audit.witnessed()
    assert len(double.asked) < 20
    assert double.asked == sorted(set(double.asked))
    await audit.aclose()


@pytest.mark.slow
async def test_two_of_three_are_enough() -> None:
    keys = [WitnessKey.new(f"witness.example.org/{number}") for number in range(3)]
    doubles = []
    for number, key in enumerate(keys):

        async def behave(request: WitnessRequest, key: WitnessKey = key, number: int = number) -> NoteSignature:
            if number == 1:
                raise WitnessFailed("it is away")
            return key.cosign(request.checkpoint.text, 1_900_000_000)

        double = Double(behave, name=str(number))
        double.vkey = key.vkey
        doubles.append(double)
    store = MemoryStore()
    audit = AuditLog(store, signer=LOG, witnesses=WitnessPolicy(doubles, quorum=2, grace_seconds=0.0, **QUICK))
    await fill(audit, 3)
    note = await audit.witnessed()
    assert {each.key for each in cosignatures(note, [key.vkey for key in keys])} == {keys[0].vkey, keys[2].vkey}
    assert audit.problem is None
    doubles[0].behave = is_away
    await audit.append({"kind": "work.done"})
    with pytest.raises(NotWitnessed, match="2 of 3 witnesses"):
        await audit.witnessed(seconds=1)
    await audit.aclose()


def test_witnesses_that_cannot_be_are_refused() -> None:
    double = Double(agrees)
    for witnesses, message in (
        ([], "one or more"),
        ([double, double], "two witnesses have the name"),
        ([HttpWitness], "not of type"),
        ("https://witness.example.org", "not str"),
        ([5], "not of int"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            AuditLog(MemoryStore(), signer=LOG, witnesses=witnesses)  # type: ignore[arg-type]
    for name in ("", "a\nb", "\x1b[31m", "x" * 201, None):
        with pytest.raises(ConfigurationError, match="name is a line of text"):
            WitnessPolicy([Double(agrees, name=name)])  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="give the log a signer"):
        AuditLog(MemoryStore(), witnesses=[double])
    for given in (
        {"quorum": 0},
        {"quorum": 2},
        {"quorum": True},
        {"on_missing": "ajar"},
        {"grace_seconds": -1},
        {"interval_seconds": float("nan")},
        {"seconds_max": 0},
    ):
        with pytest.raises(ConfigurationError, match=next(iter(given))):
            WitnessPolicy([double], **given)


async def test_a_new_key_is_witnessed_like_the_old_one(tmp_path: Path) -> None:
    """By a witness that was given both, and by one that was given the old one, and has seen the hand-over."""
    new, store = KeySigner.new(NAME), MemoryStore()
    server = await anyio.to_thread.run_sync(
        lambda: WitnessServer(WITNESS, tmp_path / "state", [LOG.vkey, new.vkey], begins=True)
    )
    async with server, served(tmp_path, name="other") as other:
        witnesses = [
            HttpWitness(server.url, WITNESS.vkey),
            HttpWitness(other.url, WITNESS.vkey, name="not told of the new key"),
        ]
        audit = AuditLog(store, signer=LOG, witnesses=WitnessPolicy(witnesses, quorum=2, **QUICK))
        await fill(audit, 5)
        await audit.rotate_key(new)
        await audit.witnessed()
        await fill(audit, 5)
        note = await audit.witnessed()
        assert note.signed_by(new.vkey)
        assert server.witness.logs == other.witness.logs == {NAME: size_of(note)}
        await audit.aclose()
    found = await examine(store, vkey=LOG.vkey, witnesses=[WITNESS.vkey])
    assert found.signer.outcome is Outcome.HOLDS


async def test_restarts_go_on_where_the_witness_is(tmp_path: Path) -> None:
    """A client that knows nothing asks what was seen, and proves from there."""
    store = FileStore(tmp_path / "data")
    async with served(tmp_path) as server:
        for _ in range(4):
            policy = WitnessPolicy([HttpWitness(server.url, server.vkey)], **QUICK)
            async with Hub(store, listeners=[AuditLog(store, signer=LOG, witnesses=policy)]) as hub:
                await hub.agents.register(f"agent-{server.witness.logs[NAME]}")
            newest = Note.parse(await store.read("/audit/checkpoint"))
            assert server.witness.logs[NAME] == size_of(newest)
            assert cosignatures(newest, [server.vkey])
    await store.aclose()


async def test_the_health_of_a_hub_tells_of_an_outage() -> None:
    store = MemoryStore()
    policy = WitnessPolicy([Double(is_away)], grace_seconds=0.0, **QUICK)
    audit = AuditLog(store, signer=LOG, witnesses=policy, checkpoint_seconds=0.0)
    async with Hub(store, listeners=[audit]) as hub:
        await hub.agents.register("a")
        await until(lambda: audit.problem is not None)
        assert "is not witnessed since" in str(hub.health())


async def test_a_checkpoint_that_is_signed_again_keeps_its_cosignatures() -> None:
    times = count(1_700_000_000)

    async def later(request: WitnessRequest) -> NoteSignature:
        return WITNESS.cosign(request.checkpoint.text, next(times))

    store, double = MemoryStore(), Double(later)
    audit = AuditLog(store, signer=LOG, witnesses=WitnessPolicy([double], **QUICK), checkpoint_seconds=3600)
    await fill(audit, 3)
    note = await audit.witnessed()
    for _ in range(3):
        assert await audit.checkpoint() == note
    assert Note.parse(await store.read("/audit/checkpoint")) == note
    assert double.asked == [5]
    await audit.aclose()
    again = AuditLog(store, signer=LOG, witnesses=WitnessPolicy([double], **QUICK))
    assert await again.checkpoint() == note
    await again.witnessed()
    await again.aclose()
    last = Note.parse(await store.read("/audit/checkpoint"))
    assert len(last.signatures) == len({each.key_id for each in last.signatures}) == 2


@pytest.mark.slow
async def test_a_hundred_thousand_records_leave_no_task_and_one_file_more() -> None:
    store = MemoryStore()
    policy = WitnessPolicy([Double(agrees)], **QUICK)
    audit = AuditLog(store, signer=LOG, witnesses=policy, checkpoint_seconds=0.0, redactor=None)
    for _ in range(100):
        await fill(audit, 999)
    await audit.aclose()
    await asyncio.sleep(0.1)
    assert [name for task in asyncio.all_tasks() if (name := task.get_name()).startswith("hubwire")] == []
    assert "witnessed" in await store.list("/audit")
    found = await examine(store, vkey=LOG.vkey, witnesses=[WITNESS.vkey])
    assert found.signer.reason.endswith(f"and a witness has seen {found.records:,}")
