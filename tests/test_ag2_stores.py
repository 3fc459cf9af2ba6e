"""Hubs of AG2's on stores of ours, and logs of ours on stores of AG2's."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import anyio
import pytest
from blockbuster import BlockBuster

pytest.importorskip("ag2", reason="needs ag2, which the test extra installs")

import ag2.network
from ag2.events import TextInput
from ag2.knowledge import (
    DefaultBootstrap,
    DiskKnowledgeStore,
    EventLogWriter,
    KnowledgeStore as TheirKnowledgeStore,
    LockedKnowledgeStore,
    MemoryKnowledgeStore,
    SqliteKnowledgeStore,
)
from ag2.network import Envelope, Passport, Resume, Rule
from ag2.task import TaskMetadata, TaskSpec, TaskState

from hubwire import BaseHubListener, GenericEvent, Hub
from hubwire.errors import ConfigurationError, Fenced, LogDamaged, StoreError
from hubwire.listeners import AuditLog
from hubwire.listeners.audit import verify
from hubwire.ports import KnowledgeStore
from hubwire.stores import FileStore, MemoryStore, open_store
from hubwire.text_store import TextStore, as_knowledge_store

SEGMENT = "/audit/log/00000000000000000000.jsonl"

# --- their hub, our stores ------------------------------------------------------------------------------------------

NewStore = Callable[[], KnowledgeStore]


@pytest.fixture(params=["memory", "file", "s3"])
def new_store(request: pytest.FixtureRequest, tmp_path: Path) -> NewStore:
    """Return what makes one more store object on the same medium, as a restart would."""
    if request.param == "memory":
        memory = MemoryStore()
        return lambda: memory
    if request.param == "file":
        return lambda: FileStore(tmp_path / "store")
    url: str = request.getfixturevalue("s3_url").replace("?", f"/{tmp_path.name}?")
    return lambda: open_store(url)


async def opened(store: Any) -> ag2.network.Hub:
    hub = await ag2.network.Hub.open(
        store, clock=lambda: "2026-11-21T00:00:00+00:00", ttl_sweep_interval=0, expectation_sweep_interval=0
    )
    hub.register_listener(Accepts(hub))
    return hub


def said(channel_id: str, sender_id: str, text: str) -> Envelope:
    return Envelope(
        channel_id=channel_id,
        sender_id=sender_id,
        audience=None,
        event_type="ag2.msg.text",
        event_data={"text": text},
    )


async def registered(hub: ag2.network.Hub, name: str) -> str:
    resume = Resume(claimed_capabilities=["talk"])
    passport = await hub.register_identity(Passport(name=name), resume, rule=Rule(), skill_md=f"# {name} \u2028 ü")
    assert passport.agent_id is not None
    return passport.agent_id


class Accepts(BaseHubListener):
    """Accepts every invitation, for whom it is sent to."""

    def __init__(self, hub: ag2.network.Hub) -> None:
        self._hub = hub

    async def on_envelope_posted(self, envelope: Any, metadata: Any) -> None:
        if envelope.event_type == "ag2.channel.invite":
            accepted = said(envelope.channel_id, envelope.audience[0], "")
            accepted.event_type = "ag2.channel.invite.ack"
            await self._hub.post_envelope(accepted)


async def conversation(hub: ag2.network.Hub, one: str, other: str) -> str:
    metadata = await hub.create_channel(creator_id=one, manifest_type="conversation", participants=[one, other])
    return metadata.channel_id


async def lived(store: Any) -> tuple[str, str, str]:
    """Let a hub do a bit of everything that it keeps; return an agent, an open channel and the one that left."""
    async with await opened(store) as hub:
        one, other, gone = [await registered(hub, name) for name in ("one", "other", "gone")]
        await hub.set_skill(one, None)
        await hub.record_observation(owner_id=one, capability="plan", outcome=TaskState.COMPLETED, task_id="t")
        closed = await conversation(hub, one, other)
        await hub.close_channel(closed, reason="done")
        channel = await conversation(hub, one, other)
        for text in ("hello", "ä\r\n\u2028", "x" * 70_000):
            await hub.post_envelope(said(channel, one, text))
        task = TaskMetadata(task_id="a.b-c_1", owner_id=one, spec=TaskSpec(title="t"), state=TaskState.RUNNING)
        await hub.observe_task(task)
        await hub.checkpoint_task("a.b-c_1", {"step": 3})
        await hub.update_task("a.b-c_1", progress={"done": 1})
        await hub.unregister(gone)
    return one, channel, gone


async def files(store: Any, path: str = "") -> dict[str, str]:
    """Return all files below a path."""
    found: dict[str, str] = {}
    for name in await store.list(path or "/"):
        if name.endswith("/"):
            found |= await files(store, f"{path}/{name[:-1]}")
        else:
            found[f"{path}/{name}"] = await store.read(f"{path}/{name}")
    return found


def numbered(found: dict[str, str]) -> dict[str, str]:
    """Put numbers in place of ids, in the order of appearance: ids are ever new."""
    numbers: dict[str, str] = {}

    def number(match: re.Match[str]) -> str:
        return numbers.setdefault(match[0], f"id {len(numbers)}")

    return {re.sub("[0-9a-f]{32}", number, path): re.sub("[0-9a-f]{32}", number, found[path]) for path in sorted(found)}


async def test_our_stores_have_the_type_of_ag2(new_store: NewStore) -> None:
    assert isinstance(new_store(), TheirKnowledgeStore)


async def test_an_ag2_hub_leaves_the_same_files(new_store: NewStore) -> None:
    """On our stores, a hub of AG2 leaves the files that it leaves on its own."""
    theirs, ours = MemoryKnowledgeStore(), new_store()
    await lived(theirs)
    await lived(ours)
    assert numbered(await files(ours)) == numbered(await files(theirs))


@pytest.mark.slow
async def test_an_ag2_hub_goes_on_from_our_store(new_store: NewStore) -> None:
    """What one hub of AG2 wrote to our store, a second one reads, and goes on with."""
    one, channel, gone = await lived(new_store())
    async with await opened(new_store()) as hub:
        assert sorted(passport.name for passport in await hub.list_agents()) == ["one", "other"]
        assert hub.find_agent_id("one") == one
        assert await hub.get_skill(one) is None
        assert (await hub.get_resume(one)).observed["plan"].completed == 1
        states = sorted(metadata.state.value for metadata in await hub.list_channels())
        assert states == ["active", "closed"]
        texts = [envelope.event_data.get("text") for envelope in await hub.read_wal(channel)]
        assert texts[-3:] == ["hello", "ä\r\n\u2028", "x" * 70_000]
        assert (await hub.get_task("a.b-c_1")).progress == {"done": 1}
        assert await hub.read_task_checkpoint("a.b-c_1") == {"step": 3}
        records = await hub.audit_log.read_all()
        assert (records[-1]["kind"], records[-1]["agent_id"]) == ("agent_unregistered", gone)
        await hub.post_envelope(said(channel, one, "again"))
        await hub.close_channel(channel)
    async with await opened(new_store()) as hub:
        last = await hub.read_wal(channel)
        assert [envelope.event_data.get("text") for envelope in last[-2:]] == ["again", None]
        assert (await hub.get_channel(channel)).is_terminal()
        assert len(await hub.audit_log.read_all()) == len(records) + 1


async def test_our_log_and_an_ag2_hub_share_a_store(new_store: NewStore) -> None:
    kept = []
    for name in ("one", "other"):
        store = new_store()
        hub = await opened(store)
        async with AuditLog(store) as audit:
            hub.replace_audit_log(cast("Any", audit))  # any object will do, whatever the annotation says
            async with hub:
                await registered(hub, name)
                kept = [record["name"] for record in await audit.read_all()]
    assert kept == ["one", "other"]
    assert (await verify(new_store())).records == 4  # each run has one of the log's own


async def test_other_users_of_ag2_stores_work_on_ours(new_store: NewStore) -> None:
    """AG2's bootstrap and its event log writer work on our stores."""
    store: Any = new_store()
    await DefaultBootstrap().bootstrap(store, "planner")
    assert "SKILL.md" in await store.list("/")
    writer = EventLogWriter(store)
    await writer.persist_dropped("s1", [TextInput("a")])  # type: ignore[arg-type]  # any id will do
    await writer.persist_dropped("s1", [TextInput("b ü")])  # type: ignore[arg-type]
    await writer.persist("s1", [TextInput("c")])  # type: ignore[arg-type]
    again = await EventLogWriter(store).load("s1")  # type: ignore[arg-type]
    assert [event.content for event in again] == ["a", "b ü", "c"]  # type: ignore[attr-defined]


async def test_our_stores_answer_as_ag2_stores_do(new_store: NewStore) -> None:
    steps: list[tuple[str, *tuple[Any, ...]]] = [
        ("list", "/"),
        ("exists", "/"),
        ("append", "/a/b/wal.jsonl", "ä1\n"),
        ("append", "a//b/wal.jsonl/", "x\r\n"),
        ("append", "/a/b/empty", ""),
        ("write", "/a/c.md", "# c \u2028"),
        ("write", "/a/c.md", "shorter"),
        ("list", "/a/"),
        ("list", "/a/b"),
        ("list", "/a/c.md"),
        ("list", "/nowhere"),
        ("read", "/a/b/wal.jsonl"),
        ("read", "/a/b"),
        ("read", "/nowhere"),
        ("read_range", "/a/b/wal.jsonl", 4),
        ("read_range", "/a/b/wal.jsonl", 2, 3),
        ("read_range", "/a/b/wal.jsonl", 3, 2),
        ("read_range", "/a/b/wal.jsonl", 99),
        ("read_range", "/nowhere", 0),
        ("exists", "/a/b"),
        ("exists", "/a/b/wal"),
        ("delete", "/a/b"),
        ("delete", "/nowhere"),
        ("list", "/a"),
        ("exists", "/a/b"),
        ("delete", "/"),
        ("list", "/"),
        ("exists", "/"),
    ]
    theirs, ours = MemoryKnowledgeStore(), new_store()
    for method, *arguments in steps:
        expected = await getattr(theirs, method)(*arguments)
        assert await getattr(ours, method)(*arguments) == expected, (method, *arguments)


@pytest.mark.slow
async def test_changes_of_our_store_reach_ag2_callbacks(new_store: NewStore) -> None:
    """A callback that is registered with `on_change`, AG2's way, is called for changes of our store."""
    store = new_store()
    told, seen = anyio.Event(), []

    async def callback(path: str) -> None:
        seen.append(path)
        told.set()

    subscription = await store.on_change("/channels", callback)
    await store.append("/channels/c1/wal.jsonl", "one\n")
    await told.wait()
    await subscription.close()
    await subscription.close()
    assert set(seen) == {"/channels/c1/wal.jsonl"}


# --- our log, their stores ------------------------------------------------------------------------------------------

NewTextStore = Callable[[], TextStore]


class Locks:
    """Whoever asks gets the lock."""

    async def acquire(self, name: str, *, ttl: float) -> bool:
        return bool(name and ttl)

    async def release(self, name: str) -> None:
        assert name


@pytest.fixture(params=["memory", "disk", "sqlite", "locked"])
def text_store(
    request: pytest.FixtureRequest, tmp_path: Path, blockbuster: BlockBuster
) -> Iterator[Callable[[], TextStore]]:
    """Return what makes one more store object of theirs on the same medium."""
    open_ones: list[SqliteKnowledgeStore] = []
    if request.param == "disk":
        blockbuster.deactivate()  # theirs blocks the loop at every call
        yield lambda: DiskKnowledgeStore(tmp_path / "disk")
    elif request.param == "sqlite":

        def connect() -> TextStore:
            open_ones.append(SqliteKnowledgeStore(tmp_path / "db" / "store.sqlite", poll_interval_s=0.05))
            return open_ones[-1]

        yield connect
        for store in open_ones:
            store.close()
    else:
        memory = MemoryKnowledgeStore()
        yield lambda: memory if request.param == "memory" else LockedKnowledgeStore(memory, Locks())


RECORDS = [{"kind": "said", "at": f"2026-11-21T00:00:{n:02}Z", "text": "ä\u2028\r\n€" * n} for n in range(30)]


async def test_an_ag2_store_keeps_a_log(text_store: NewTextStore) -> None:
    """An audit log keeps what is appended on a store of AG2, and says that its durability is unknown."""
    async with AuditLog(text_store()) as audit:
        assert audit.durability == "unknown"
        for number, record in enumerate(RECORDS, 1):
            assert await audit.append(record) == number  # after log.opened
        assert await audit.read_all() == RECORDS
        assert audit.bytes_written == len((await text_store().read_range(SEGMENT, 0)).encode())
    assert await AuditLog(text_store()).read_all() == RECORDS
    assert (await verify(text_store())).records == len(RECORDS) + 1


def test_our_stores_know_their_durability(tmp_path: Path) -> None:
    assert AuditLog(FileStore(tmp_path)).durability == "fsync"
    assert AuditLog(MemoryStore()).durability == "none"


@pytest.mark.parametrize("closed", [True, False], ids=["closed", "killed"])
async def test_a_log_goes_on_after_a_restart(text_store: NewTextStore, closed: bool) -> None:
    """It goes on across rotations, closed or killed."""
    audit = AuditLog(text_store(), rotation=1000)
    for run in range(3):
        audit = AuditLog(text_store(), rotation=1000)
        assert audit.bytes_written == 0
        async with anyio.create_task_group() as tasks:
            for record in RECORDS[10 * run : 10 * run + 10]:
                tasks.start_soon(audit.append, record)
        if closed:
            await audit.aclose()
    assert await AuditLog(text_store()).read_all() == RECORDS
    segments = [name for name in await text_store().list("/audit/log") if name.endswith(".jsonl")]
    assert len(segments) > 2
    sizes = [len((await text_store().read_range(f"/audit/log/{name}", 0)).encode()) for name in segments]
    assert audit.bytes_written == sum(sizes)
    await verify(text_store())


TORN = '{"at":"2026","kind":"said","text":"ä'


async def test_a_torn_record_is_set_aside(text_store: NewTextStore) -> None:
    first = AuditLog(text_store())
    await first.append(RECORDS[1])
    await text_store().append(SEGMENT, TORN)
    second = AuditLog(text_store())
    await second.append(RECORDS[2])
    assert await second.read_all() == RECORDS[1:3]
    told = [fields async for fields in _fields(second) if fields["kind"] == "log.recovered"]
    assert (told[0]["byte_offset"], told[0]["torn_bytes"]) == (first.bytes_written, len(TORN.encode()))
    assert await text_store().read(told[0]["torn_path"]) == TORN
    await verify(text_store())


async def test_a_record_torn_within_a_character_is_set_aside(tmp_path: Path, blockbuster: BlockBuster) -> None:
    blockbuster.deactivate()
    store = DiskKnowledgeStore(tmp_path)
    await AuditLog(store).append(RECORDS[1])
    with (tmp_path / SEGMENT[1:]).open("ab") as file:
        file.write(TORN.encode()[:-1])
    audit = AuditLog(store)
    await audit.append(RECORDS[2])
    assert await audit.read_all() == RECORDS[1:3]
    told = [fields async for fields in _fields(audit) if fields["kind"] == "log.recovered"]
    assert told[0]["torn_bytes"] == len(TORN.encode()) - 1
    assert await store.read(told[0]["torn_path"]) == TORN[:-1] + "\\xc3"
    await verify(store)


async def _fields(audit: AuditLog) -> Any:
    async for record in audit.read():
        yield record.fields


async def test_a_second_writer_is_noticed(text_store: NewTextStore) -> None:
    """The older writer of two is fenced, and no acknowledged record is lost."""
    first, second = AuditLog(text_store()), AuditLog(text_store())
    await first.append({"kind": "first"})
    await second.append({"kind": "second"})
    for fenced in (first, second, first):
        with pytest.raises(Fenced):
            await fenced.append({"kind": "too late"})
    third = AuditLog(text_store())
    await third.append({"kind": "third"})
    assert [record["kind"] for record in await third.read_all()] == ["first", "second", "third"]
    await verify(text_store())


async def test_a_long_record_is_read_back_whole(text_store: NewTextStore) -> None:
    """A record that is too long for its line is cut there, and whole when it is read back."""
    record = {"kind": "said", "at": "2026-11-21T00:00:00Z", "text": "ä" * 70_000}
    audit = AuditLog(text_store())
    for _ in range(2):
        await audit.append(record)
    assert await audit.read_all() == [record, record]
    assert (await verify(text_store())).records == 3


@pytest.mark.parametrize("shift", range(4))
async def test_a_read_may_cut_a_character(text_store: NewTextStore, shift: int) -> None:
    """A range that begins or ends within a character gives exactly its bytes."""
    # The log is read a mebibyte at a time.
    record = {"kind": "said", "at": "2026-11-21T00:00:00Z", "pad": "x" * shift, "text": "€" * 20_000}
    audit = AuditLog(text_store())
    for _ in range(19):
        await audit.append(record)
    assert await audit.read_all() == [record] * 19
    store = as_knowledge_store(text_store())
    whole = await store.read_bytes(SEGMENT) or b""
    assert len(whole) > 1024 * 1024
    middle = whole.index("€".encode()) + 1
    assert await store.read_bytes(SEGMENT, middle, middle + 4) == whole[middle : middle + 4]
    assert await store.read_bytes(SEGMENT, middle) == whole[middle:]


async def test_verify_finds_an_altered_record(text_store: NewTextStore) -> None:
    async with AuditLog(text_store()) as audit:
        for record in RECORDS[:5]:
            await audit.append(record)
    content = await text_store().read_range(SEGMENT, 0)
    await text_store().write(SEGMENT, content.replace("00:00:03", "00:00:04"))
    with pytest.raises(LogDamaged, match="record 4"):
        await verify(text_store())


async def test_verify_finds_bytes_that_are_not_text(tmp_path: Path, blockbuster: BlockBuster) -> None:
    blockbuster.deactivate()
    store = DiskKnowledgeStore(tmp_path)
    async with AuditLog(store) as audit:
        for record in RECORDS[:5]:
            await audit.append(record)
    file = tmp_path / SEGMENT[1:]
    file.write_bytes(file.read_bytes().replace("ä".encode(), b"\xff\xff", 1))
    with pytest.raises(LogDamaged, match="record 2"):
        await verify(store)
    with pytest.raises(LogDamaged, match="was durable"):
        (tmp_path / "audit" / "clean").unlink()
        await AuditLog(store).append({"kind": "more"})


async def test_a_tail_follows_a_log(text_store: NewTextStore) -> None:
    audit, seen = AuditLog(text_store()), []
    reader = AuditLog(text_store())
    async with anyio.create_task_group() as tasks:

        async def follow() -> None:
            async for record in reader.tail(start=0):
                seen.append(record.fields["kind"])
                if seen[-1] == "last":
                    return

        tasks.start_soon(follow)
        for kind in ("first", "second", "last"):
            await audit.append({"kind": kind})
            await anyio.wait_all_tasks_blocked()
    assert seen == ["log.opened", "first", "second", "last"]


async def test_a_hub_writes_every_event_once(text_store: NewTextStore, tmp_path: Path) -> None:
    """On our hub, an audit log on a store of AG2 is required, and has every event once."""
    for run in range(2):
        audit = AuditLog(text_store(), rotation=2000)
        async with Hub(FileStore(tmp_path / "journal"), listeners=[audit]) as hub:
            for n in range(10):
                await hub.emit(GenericEvent(kind="number.said", data={"n": 10 * run + n}))
    records = await AuditLog(text_store()).read_all()
    assert [record["seq"] for record in records] == list(range(len(records)))
    assert [record["data"]["n"] for record in records if record["kind"] == "number.said"] == list(range(20))
    assert (await verify(text_store())).events == len(records)


async def test_a_batch_of_records_is_appended(text_store: NewTextStore) -> None:
    audit = AuditLog(text_store())
    assert list(await audit.append_many([{"n": 1}, {"n": "ä"}, {"n": 3}])) == [2, 3, 4]
    await audit.aclose()
    again = AuditLog(text_store())
    await again.append({"n": 4})
    assert [record["n"] for record in await again.read_all()] == [1, "ä", 3, 4]


def test_a_journal_on_an_ag2_store_is_refused(text_store: NewTextStore) -> None:
    """The message says why."""
    with pytest.raises(ConfigurationError, match="cannot hold a journal"):
        Hub(text_store())  # type: ignore[arg-type]


async def test_errors_of_ag2_stores_keep_path_and_cause(text_store: NewTextStore) -> None:
    class Broken(MemoryKnowledgeStore):
        async def append(self, path: str, content: str) -> int:
            raise OSError(28, "No space left on device")

    audit = AuditLog(Broken())
    for _ in range(2):
        with pytest.raises(StoreError, match=r"Broken could not append to '/audit/log/.*No space left") as failed:
            await audit.append({"kind": "lost"})
        assert failed.value.path == SEGMENT
        assert isinstance(failed.value.__cause__, OSError)
    assert await audit.read_all() == []


async def test_the_adapter_checks_what_a_write_expects(text_store: NewTextStore) -> None:
    """An expected size and an absent file are checked, although a store of AG2 cannot check them."""
    store = as_knowledge_store(text_store())
    assert await store.read_bytes("/a") is None
    assert await store.size("/a") is None
    await store.write("/a", "ä", if_absent=True, expect=0)
    with pytest.raises(StoreError, match="exists already"):
        await store.write("/a", "b", if_absent=True)
    for wrong in (0, 1, 3):
        with pytest.raises(StoreError, match="has 2 bytes"):
            await store.write("/a", "b", expect=wrong)
    assert await store.read("/a") == "ä"
    await store.write("/a", b"b", expect=2)
    await store.append("/a", b"c", expect=1)
    assert await store.read_bytes("/a") == b"bc"
    assert await store.read_range("/a", 1) == "c"
    with pytest.raises(ValueError, match="begins and ends"):
        await store.read_bytes("/a", -1)
    await store.delete("/a")
    assert not await store.exists("/a")


async def test_bytes_of_a_wrong_range_are_refused() -> None:
    """A store of AG2 that answers with another range than the one asked for is not believed."""

    class Whole(MemoryKnowledgeStore):
        """Decodes everything before it cuts."""

        async def read_range(self, path: str, start: int, end: int | None = None) -> str:
            return b"abc\xff".decode()[start:end]

    with pytest.raises(StoreError, match="could not read '/a'"):
        await as_knowledge_store(Whole()).read_bytes("/a", 0, 2)
