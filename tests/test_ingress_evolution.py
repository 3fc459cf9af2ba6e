"""Classes of one version read by the next and by the one before: no field of a record is lost."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

import hubwire.events._declare
from hubwire import Event, GenericEvent, Hub, UnknownEvent, codec, event
from hubwire.errors import CommandRejected, LogDamaged, NewerVersion
from hubwire.events import AgentRegistered, ToolCalled
from hubwire.listeners import AuditLog
from hubwire.ports import KnowledgeStore
from hubwire.stores import MemoryStore
from hubwire.testing import history
from support.payloads import stamped

KIND = "evolution_tests.charged"
SEGMENT = "/journal/log/00000000000000000000.jsonl"


@pytest.fixture(autouse=True)
def undeclared() -> Iterator[None]:
    yield
    hubwire.events._declare._kinds.pop(KIND, None)


def declare(annotations: dict[str, Any], **defaults: Any) -> Any:
    """Declare the kind in another version of a program: with these fields."""
    body = {"__annotations__": annotations, "__qualname__": "Charged", "__module__": __name__} | defaults
    return event(KIND)(type("Charged", (Event,), body))


def forget() -> None:
    hubwire.events._declare._kinds.pop(KIND, None)


def first() -> Any:
    return declare({"amount": int, "note": str}, note="")


def line_of(event: Event) -> bytes:
    return codec.encode(stamped(event))


# --- one line ---------------------------------------------------------------------------------------------------------


def test_an_added_field_has_its_default() -> None:
    body = line_of(first()(amount=42, note="refund"))
    after = declare({"amount": int, "note": str, "lines": tuple[str, ...], "rate": float}, note="", lines=(), rate=1.0)
    read: Any = codec.decode(body)
    assert type(read) is after
    assert (read.amount, read.note, read.lines, read.rate) == (42, "refund", (), 1.0)
    assert codec.encode(read) == body


def test_an_added_field_without_default_is_another_shape() -> None:
    body = line_of(first()(amount=42))
    declare({"amount": int, "note": str, "customer": str})
    read = codec.decode(body)
    assert type(read) is UnknownEvent
    assert (read.fields["amount"], codec.encode(read)) == (42, body)


def test_how_to_read_what_no_class_fits_is_found_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes longer than to read an event: a log of another version is all such events."""
    body = b'{"at":"2026-01-01T00:00:00.000000Z","hub":"h","id":"i","kind":"of.another_version","seq":1,"n":2}'
    assert type(codec.decode(body)) is UnknownEvent
    monkeypatch.delattr(codec, "types_of")
    assert codec.encode(codec.decode(body)) == body


def test_a_removed_field_stays_in_the_bytes() -> None:
    body = line_of(first()(amount=42, note="refund"))
    after = declare({"amount": int, "comment": str}, comment="")
    read: Any = codec.decode(body)
    assert type(read) is after
    assert (read.amount, read.comment) == (42, "")
    assert codec.encode(read) == body
    assert codec.decode(codec.encode(read)) == read


def test_the_version_before_keeps_what_is_new() -> None:
    declare({"amount": int, "note": str, "customer": str})
    body = line_of(declare({"amount": int, "note": str, "customer": str})(amount=1, note="n", customer="c"))
    before = first()
    read: Any = codec.decode(body)
    assert type(read) is before
    assert (read.amount, read.note) == (1, "n")
    assert codec.encode(read) == body


def test_a_changed_type_is_another_shape() -> None:
    body = line_of(first()(amount=42, note="refund"))
    declare({"amount": str, "note": str}, note="")
    read = codec.decode(body)
    assert type(read) is UnknownEvent
    assert read.fields == {"amount": 42, "note": "refund"}
    assert codec.encode(read) == body


def test_a_wider_type_reads_the_narrow_one() -> None:
    body = line_of(first()(amount=42))
    after = declare({"amount": float | None, "note": str | None}, note=None)
    read: Any = codec.decode(body)
    assert (type(read), read.amount, read.note) == (after, 42, "")


def test_a_kind_no_longer_declared_keeps_its_fields() -> None:
    body = line_of(first()(amount=42, note="refund"))
    forget()
    read = codec.decode(body)
    assert type(read) is UnknownEvent
    assert (read.fields, codec.encode(read)) == ({"amount": 42, "note": "refund"}, body)


# --- generic events whose kind was declared later ---------------------------------------------------------------------


def generic(**data: Any) -> bytes:
    return line_of(GenericEvent(kind=KIND, data=data))


def test_fitting_data_become_the_fields() -> None:
    body = generic(amount=42)
    cls = first()
    read: Any = codec.decode(body)
    assert (type(read), read.amount, read.note) == (cls, 42, "")
    assert codec.encode(read) == body


@pytest.mark.parametrize("data", [{}, {"note": "n"}, {"amount": "42"}, {"amount": 42, "more": 1}, {"$int": "5"}])
def test_other_data_stay_whole(data: dict[str, Any]) -> None:
    body = generic(**data)
    first()
    read = codec.decode(body)
    assert type(read) is GenericEvent
    assert (read.data, codec.encode(read)) == (data, body)


def test_a_class_may_have_data_of_its_own() -> None:
    body = generic(data=1, amount=2)
    cls = declare({"data": Mapping[str, Any]})
    read: Any = codec.decode(body)
    assert (type(read), read.data) == (cls, {"data": 1, "amount": 2})


def test_a_generic_event_is_never_a_commands() -> None:
    """What a program said before the kind was a command's changes no state now."""
    declared = hubwire.events._declare._kinds.pop("agent.registered")
    try:
        body = line_of(GenericEvent(kind="agent.registered", data={"name": "mallory"}))
    finally:
        hubwire.events._declare._kinds["agent.registered"] = declared
    read = codec.decode(body)
    assert type(read) is GenericEvent
    assert codec.encode(read) == body


async def test_a_kind_declared_meanwhile_is_not_generic() -> None:
    async with Hub() as hub:
        await hub.emit(GenericEvent(kind=KIND))
        cls = first()
        with pytest.raises(CommandRejected, match="is declared; emit its class, Charged"):
            await hub.emit(GenericEvent(kind=KIND))
        assert (await hub.emit(cls(amount=1))).amount == 1


# --- what earlier versions wrote --------------------------------------------------------------------------------------


def old(kind: str, **fields: Any) -> bytes:
    return json.dumps(
        {"seq": 3, "id": "i", "at": "2026-11-21T09:30:00.000001Z", "hub": "h", "kind": kind} | fields
    ).encode()


@pytest.mark.parametrize(
    ("fields", "name", "held"),
    [
        ({"tool": "t", "call_id": {"$text": "\\ud800"}}, "call_id", "\\ud800"),
        ({"tool": "t", "call_id": {"$bytes": "YQ=="}}, "call_id", '{"$bytes": "YQ=="}'),
        ({"tool": "t", "call_id": "c", "correlation_id": {"$text": "\\udcff"}}, "correlation_id", "\\udcff"),
        ({"tool": "t", "call_id": "c", "traceparent": "x"}, "traceparent", None),
        ({"tool": "t", "call_id": "c", "metadata": {"$map": [[1, 2]]}}, "metadata", {"$map": ((1, 2),)}),
    ],
)
def test_substitutes_in_declared_fields_are_read(fields: dict[str, Any], name: str, held: Any) -> None:
    """Until declared fields were checked, they could hold them."""
    body = old("tool.called", **fields)
    read = codec.decode(body)
    assert type(read) is ToolCalled
    assert (getattr(read, name), codec.encode(read)) == (held, body)


def test_parts_were_not_looked_at() -> None:
    read = codec.decode(old("agent.registered", name="x", capabilities=["a", 5]))
    assert type(read) is AgentRegistered
    parts: tuple[object, ...] = read.capabilities
    assert parts == ("a", 5)


# --- a store ----------------------------------------------------------------------------------------------------------


async def files_of(store: KnowledgeStore, path: str = "/") -> dict[str, bytes | None]:
    found: dict[str, bytes | None] = {}
    for name in await store.list(path):
        inner = f"{path.rstrip('/')}/{name}"
        if name.endswith("/"):
            found |= await files_of(store, inner)
        else:
            found[inner] = await store.read_bytes(inner)
    return found


async def journaled(store: KnowledgeStore) -> list[dict[str, Any]]:
    lines = (await store.read_bytes(SEGMENT) or b"").splitlines()
    return [json.loads(codec.unseal(line)[0]) for line in lines]


async def test_catching_up_writes_what_was_journaled() -> None:
    """The audit log is as if it had seen each event live: also those whose class has changed since."""
    store, cls = MemoryStore(), first()
    async with Hub(store) as hub:
        await hub.emit(cls(amount=42, note="refund of order 7"))
        await hub.emit(GenericEvent(kind="user.came", data={"b": 1, "a": 2**60, "c": "\ud800"}))
        await hub.emit(ToolCalled(tool="t", call_id="\ud800", metadata={"x": {1: 2}}))
    forget()
    await AuditLog(store).aclose()
    versions: list[dict[str, Any] | None] = [{"amount": int, "comment": str}, {"amount": str, "comment": str}, None]
    for number, fields in enumerate(versions):
        forget()
        if fields is not None:
            declare(fields, comment="")
        path = f"/audit{number}"
        async with Hub(store, listeners=[AuditLog(store, path=path)]):
            pass
        audited = [record for record in await AuditLog(store, path=path).read_all() if "seq" in record]
        written = [record for record in await journaled(store) if "seq" in record]
        assert [{**record} for record in audited] == written[: len(audited)]
        assert {"amount", "note"} < set(audited[1])


async def test_history_reads_the_class_of_now() -> None:
    store, cls = MemoryStore(), first()
    async with Hub(store) as hub:
        await hub.emit(cls(amount=42, note="n"))
    after = declare({"amount": int, "comment": str}, comment="")
    async with Hub(store) as hub:
        (read,) = [each for each in await history(hub) if each.kind == KIND]
    assert type(read) is after
    assert json.loads(codec.encode(read))["note"] == "n"


async def rewrite(store: KnowledgeStore, kind: str, change: dict[str, Any], *, without: str = "") -> None:
    """Change the first journaled event of a kind, as another version would have written it."""
    lines = (await store.read_bytes(SEGMENT) or b"").splitlines(keepends=True)
    place = next(place for place, line in enumerate(lines) if f'"kind":"{kind}"'.encode() in line)
    body, durable, _ = codec.unseal(lines[place].rstrip())
    fields = {name: value for name, value in json.loads(body).items() if name != without} | change
    (lines[place],) = codec.seal_all([codec.encode_fields(fields)], durable, place)
    for name in await store.list("/journal"):
        if name != "log/":
            await store.delete(f"/journal/{name.rstrip('/')}")
    await store.write(SEGMENT, b"".join(lines))


async def check_refused(store: KnowledgeStore, error: type[Exception], match: str) -> None:
    before = await files_of(store)
    for _ in range(2):
        with pytest.raises(error, match=match):
            async with Hub(store):
                pass
    after = await files_of(store)
    assert after[SEGMENT] == before[SEGMENT]
    assert not [name for name in after if "damaged" in name or "torn" in name]
    assert before.items() <= after.items()


@pytest.mark.parametrize("change", [{"mood": "good"}, {"name": 5}, {"name": None}])
async def test_a_newer_shape_of_an_owned_kind_is_refused(change: dict[str, Any]) -> None:
    """A start would lose what it says: it is refused, and nothing is changed or set aside."""
    store = MemoryStore()
    async with Hub(store) as hub:
        await hub.agents.register("planner")
    await rewrite(store, "agent.registered", change)
    await check_refused(store, LogDamaged, r"'agent\.registered' in another shape than this version .* use a newer one")


async def test_kinds_of_a_newer_format_are_refused() -> None:
    """A command of a newer version may make kinds of which this one has not heard, and which it would pass over."""
    store = MemoryStore()
    async with Hub(store) as hub:
        await hub.agents.register("planner")
    await rewrite(store, "hub.started", {"format": 2, "version": "9.1"})
    await check_refused(store, NewerVersion, r"hubwire '9\.1', .* \(format 2, not 1\); use the newer version")


async def test_a_start_without_a_format_is_read() -> None:
    """Earlier versions wrote none."""
    store = MemoryStore()
    async with Hub(store) as hub:
        await hub.agents.register("planner")
    await rewrite(store, "hub.started", {}, without="format")
    assert b"format" not in (await store.read_bytes(SEGMENT) or b"")
    async with Hub(store) as hub:
        assert [agent.name for agent in hub.agents.list()] == ["planner"]
