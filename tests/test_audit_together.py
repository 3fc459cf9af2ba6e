"""Small records of many calls at the same time: they are redacted and written together, each as if it were alone."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import anyio
import pytest

from hubwire import codec
from hubwire.errors import EventTooLarge, StoreError, StoreFull
from hubwire.listeners import AuditLog
from hubwire.listeners.audit import Outcome
from hubwire.log import Log, LogReader
from hubwire.proof import KeySigner
from hubwire.redaction import RedactionRule, Redactor
from hubwire.redaction._quick import Quick
from hubwire.stores import MemoryStore
from support.log import Spy, body, log_on, records

SECRET = "mail ann@example.org"
MANY = 256


async def opened(store: Any, **settings: Any) -> AuditLog:
    """Return a log that has a record already: what is to be done first is done."""
    log = AuditLog(store, **settings)
    await log.append({"n": -1})
    return log


async def together(log: AuditLog, *given: dict[str, Any]) -> list[int]:
    return await asyncio.gather(*map(log.append, given))


async def found(log: AuditLog) -> list[dict[str, Any]]:
    return [each for each in await log.read_all() if each["n"] >= 0]


# --- redaction ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [0, 100, MANY - 1])
async def test_a_finding_in_one_of_many_is_redacted_alone(place: int) -> None:
    log, seen = await opened(MemoryStore()), list[int]()

    async def take(record: dict[str, Any]) -> None:
        assert SECRET not in str(record)
        seen.append(record["n"])

    log.subscribe(take)
    given = [{"n": n, "text": SECRET if n == place else 'plain " \n \\ text'} for n in range(MANY)]
    indexes = await together(log, *given)
    assert indexes == list(range(2, 2 + MANY))
    assert {each.index: each.fields["n"] async for each in log.read(start=2)} == {n + 2: n for n in range(MANY)}
    made = await found(log)
    assert [each["n"] for each in made if "redacted" in each] == [place]
    assert made[place]["text"] == "mail [redacted:email]"
    assert all(each["text"] == given[0 if place else 1]["text"] for each in made if each["n"] != place)
    await log.aclose()
    assert seen == list(range(MANY))
    assert log.withheld == 0
    assert (await log.verify()).integrity.outcome is Outcome.HOLDS


async def test_they_are_redacted_as_each_is_alone() -> None:
    """Also where two lines next to each other would make a finding of each other."""
    given = [
        {"n": 0, "z": "ann@"},
        {"a": "example.org", "n": 1},
        {"n": 2, "password": 'x"y\\z'},
        {"n": 3, "text": '{"token": "abc"}'},
        {"n": 4, "z": "4111 1111 1111"},
        {"n": 5, "a": "1111"},
        {"n": 6, "text": f"\u2028\x7f{SECRET}\ud800"},
        {"n": 7, "text": SECRET.encode()},
        {"n": 8, "z": "password"},
        {"n": 9, "ip": "10.1.2.3", "list": [[SECRET], {"pin": 1234}]},
    ]
    log = await opened(MemoryStore())
    await together(log, *given)
    alone = AuditLog(MemoryStore())
    for each in given:
        await alone.append(each)

    def timeless(made: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{name: value for name, value in each.items() if name != "at"} for each in made]

    assert timeless(await found(log)) == timeless(await found(alone))
    assert "ann@example.org" not in str(await log.read_all())


async def test_what_a_redaction_makes_longer_has_room_in_a_line() -> None:
    log = await opened(MemoryStore(), redactor=Redactor(mode="pseudonym", key=b"k" * 16))
    worst = [
        {"n": 0, "password": list(range(10)) * 95},
        {"n": 1, "text": "a@b.co " * 275},
        {"n": 2, "text": '"' * 900 + " a@b.co"},
        {"n": 3, "password": {f"{number:x}": 1 for number in range(262)}},
    ]
    assert all(1750 < len(codec.encode_record(each)) < 2000 for each in worst)
    await together(log, *worst)
    lines = (await LogReader(log._store, log.path).read())[2:]
    assert [b'"cut":' in each.line for each in lines] == [False] * 4
    assert 2048 < max(len(each.line) for each in lines) < 65_535
    assert all("redacted" in each for each in await found(log))


def raising(_: str) -> list[tuple[int, int]]:
    raise RuntimeError


async def test_a_failing_rule_of_ones_own_withholds_each() -> None:
    log = await opened(MemoryStore(), redactor=Redactor(rules=[RedactionRule("bad", find=raising)]))
    before = log.withheld
    indexes = await together(log, *({"kind": "a.b", "n": n} for n in range(9)))
    assert indexes == list(range(2, 11))
    assert log.withheld == before + 9
    assert [each.get("$redacted") for each in (await log.read_all())[1:]] == ["RuntimeError"] * 9


async def test_what_cannot_be_redacted_is_withheld_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("re2")
    log = await opened(MemoryStore())

    def broken(_: Any) -> None:
        raise RecursionError

    monkeypatch.setattr(sys.modules["hubwire.redaction.redactor"], "Walk", broken)
    await together(log, *({"kind": "a.b", "n": n, "text": SECRET if n % 8 == 3 else "x"} for n in range(64)))
    made = (await log.read_all())[1:]
    assert [n for n, each in enumerate(made) if "$redacted" in each] == list(range(3, 64, 8))
    assert made[3].keys() == {"$redacted", "kind", "at", "redacted"}
    assert log.withheld == 8
    assert "ann@" not in str(made)


async def test_a_redactor_that_fails_fails_its_calls_and_not_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("re2")
    log = await opened(MemoryStore())
    real = Quick.suspects

    def broken(*_: Any) -> None:
        raise MemoryError("no room for it")

    monkeypatch.setattr(Quick, "suspects", broken)
    calls = [asyncio.ensure_future(log.append({"n": n})) for n in range(5)]
    batch = asyncio.ensure_future(log._log.append((body(5),)))
    results = await asyncio.gather(*calls, batch, return_exceptions=True)
    assert [type(each) for each in results] == [MemoryError] * 5 + [int]
    assert len({id(each) for each in results[:5]}) == 5
    monkeypatch.setattr(Quick, "suspects", real)
    await together(log, {"n": 6, "text": SECRET}, {"n": 7})
    assert [each["n"] for each in await found(log)] == [5, 6, 7]
    assert (await log.verify()).integrity.outcome is Outcome.HOLDS


async def test_no_more_than_a_group_is_redacted_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("re2")
    log, sizes = await opened(MemoryStore()), list[int]()
    real = Quick.suspects

    def watched(quick: Quick, lines: list[bytes]) -> list[int]:
        sizes.append(sum(map(len, lines)))
        return real(quick, lines)

    monkeypatch.setattr(Quick, "suspects", watched)
    await together(log, *({"n": n, "text": "x" * 1500 + f" {SECRET}"} for n in range(200)))
    assert max(sizes) < 64 * 1024 + 2048
    assert sum(sizes) > 200 * 1500
    made = await found(log)
    assert [each["n"] for each in made] == list(range(200))
    assert SECRET not in str(made)


async def test_a_full_group_is_redacted_while_others_still_come(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("re2")
    store, lines = Spy(), list[bytes]()
    log = await opened(store)
    real = Quick.suspects

    def watched(quick: Quick, given: list[bytes]) -> list[int]:
        lines.extend(given)
        return real(quick, given)

    monkeypatch.setattr(Quick, "suspects", watched)
    store.close_gate()
    calls = [asyncio.ensure_future(log.append({"n": n, "text": "x" * 1500})) for n in range(200)]
    await asyncio.sleep(0)
    assert 150 < len(lines) < 200
    store.gate.set()
    await asyncio.gather(*calls)
    assert len(lines) == 200
    assert [each["n"] for each in await found(log)] == list(range(200))


async def test_a_redactor_of_ones_own_class_is_asked_for_each() -> None:
    class Own(Redactor):
        def redact_line(self, line: bytes) -> bytes:
            return super().redact_line(line.replace(b"plain", b"PLAIN"))

    log = await opened(MemoryStore(), redactor=Own())
    await together(log, *({"n": n, "text": "plain"} for n in range(20)))
    await log.append_many([{"n": n, "text": "plain"} for n in range(20, 30)])
    assert [each["text"] for each in await found(log)] == ["PLAIN"] * 30


async def test_records_of_the_log_itself_and_batches_are_redacted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only those that wait together are redacted when they are written."""
    pytest.importorskip("re2")
    log, lines = await opened(MemoryStore()), list[bytes]()
    real = Quick.suspects

    def watched(quick: Quick, given: list[bytes]) -> list[int]:
        lines.extend(given)
        return real(quick, given)

    monkeypatch.setattr(Quick, "suspects", watched)
    await asyncio.gather(log.append({"n": 1}), log.append_many([{"n": 2}, {"n": 3}]), log.append({"n": 4}))
    await log._log.append([log._log.own_record("log.heartbeat")])
    assert sorted(codec.decode_fields(line)["n"] for line in lines) == [1, 2, 3, 4]


# --- order, errors, cancelling --------------------------------------------------------------------------------------


async def test_order_is_that_of_the_calls_with_batches_and_longer_ones_between() -> None:
    log = await opened(MemoryStore(), rotation=20_000)
    calls: list[Any] = []
    for n in range(0, 600, 6):
        calls += [log.append({"n": n}), log.append({"n": n + 1, "text": SECRET + " x" * 1500})]
        calls += [log.append_many([{"n": n + 2, "text": SECRET}, {"n": n + 3}]), log.append({"n": n + 4})]
        calls += [log.append({"n": n + 5, "text": SECRET})]
    indexes = [each if isinstance(each, range) else range(each, each + 1) for each in await asyncio.gather(*calls)]
    assert [each["n"] for each in await found(log)] == list(range(600))
    numbers = {each.index: each.fields.get("n") async for each in log.read()}
    assert [numbers[index] for some in indexes for index in some] == list(range(600))
    assert SECRET not in str(numbers) + str(await log.read_all())
    await log.aclose()
    assert (await log.verify()).integrity.outcome is Outcome.HOLDS


async def test_a_large_one_may_come_last() -> None:
    log = await opened(MemoryStore())
    large = {"n": 0, "text": f"{SECRET} " + "x" * 100_000}
    await together(log, large, *({"n": n} for n in range(1, 20)))
    made = await found(log)
    assert sorted(each["n"] for each in made) == list(range(20))
    assert SECRET not in str(made)


async def test_a_wrong_record_fails_its_own_call() -> None:
    log = await opened(MemoryStore())
    wrong: list[Any] = [None, {"kind": "log.x"}, {"kind": "record.erased"}, {"h": 1}, {"text": "x" * 9_000_000}]
    given = [each for n in range(5) for each in ({"n": n, "kind": "record.erased.not"}, wrong[n])]
    results = await asyncio.gather(*map(log.append, given), return_exceptions=True)
    assert [isinstance(each, int) for each in results] == [True, False] * 5
    assert isinstance(results[-1], EventTooLarge)
    assert [each["n"] for each in await found(log)] == list(range(5))


async def test_a_cancelled_call_takes_no_other_with_it() -> None:
    store = Spy()
    log = await opened(store)
    store.close_gate()
    calls = [asyncio.ensure_future(log.append({"n": n})) for n in range(60)]
    await asyncio.sleep(0)
    for call in calls[::3]:
        call.cancel()
    await asyncio.sleep(0)
    store.gate.set()
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [isinstance(each, asyncio.CancelledError) for each in results] == [n % 3 == 0 for n in range(60)]
    assert [each for each in results if isinstance(each, int)] == [n + 2 for n in range(60) if n % 3]
    assert [each["n"] for each in await found(log)] == list(range(60))  # cancelling ends the wait, not the write


async def test_a_full_store_fails_each_and_the_log_goes_on() -> None:
    store = Spy()
    log = await opened(store)
    store.failures["append"] = [StoreFull("no room"), StoreFull("no room")]
    results = await asyncio.gather(*(log.append({"n": n}) for n in range(50)), return_exceptions=True)
    assert {type(each) for each in results} == {StoreFull}
    assert await together(log, {"n": 100}, {"n": 101}) == [2, 3]
    assert [each["n"] for each in await found(log)] == [100, 101]


async def test_a_log_that_failed_fails_each() -> None:
    store = Spy()
    log = await opened(store)
    store.failures["append"] = [OSError("gone")]
    results = await asyncio.gather(*(log.append({"n": n}) for n in range(50)), return_exceptions=True)
    assert {type(each) for each in results} == {OSError}
    with pytest.raises(OSError, match="gone"):
        await log.append({"n": 1})


async def test_closed_between_them_the_log_opens_again() -> None:
    log = await opened(MemoryStore())
    first = [asyncio.ensure_future(log.append({"n": n, "text": SECRET})) for n in range(5)]
    await asyncio.sleep(0)
    closing = asyncio.ensure_future(log.aclose())
    second = [asyncio.ensure_future(log.append({"n": n, "text": SECRET})) for n in range(5, 10)]
    await asyncio.gather(*first, closing, *second)
    made = await found(log)
    assert [each["n"] for each in made] == list(range(10))
    assert SECRET not in str(made)
    assert (await log.verify()).integrity.outcome is Outcome.HOLDS


async def test_a_signed_log_has_the_redacted_ones_in_its_tree() -> None:
    pytest.importorskip("cryptography")
    key = KeySigner.new("example.org/together")
    log = await opened(MemoryStore(), signer=key)
    await together(log, *({"n": n, "text": SECRET if n == 7 else "x"} for n in range(100)))
    await log.aclose()
    checked = await log.verify()
    assert checked.integrity.outcome is Outcome.HOLDS
    assert log._signature.signing is not None
    newest = log._signature.signing.newest
    assert newest is not None
    assert newest.size == 102
    assert SECRET not in str(await log.read_all())


# --- the log below --------------------------------------------------------------------------------------------------


async def one(log: Log, number: int) -> int:
    return await log.append_one(body(number), asyncio.get_running_loop())


async def test_single_records_keep_their_place_among_other_calls() -> None:
    store = Spy()
    log = log_on(store, prepare=lambda bodies: [each.replace(b"now", b"then") for each in bodies])
    calls: list[Any] = []
    for n in range(0, 30, 5):
        calls += [one(log, n), one(log, n + 1), log.append([body(n + 2), body(n + 3)]), log.append(()), one(log, n + 4)]
    results = await asyncio.gather(*calls)
    assert results[5:10] == [5, 6, 7, 9, 9]
    made = [codec.decode_fields(each.body) for each in await records(store)]
    assert [each["n"] for each in made] == list(range(30))
    assert [each["at"] for each in made] == ["then", "then", "now", "now", "then"] * 6
    assert store.count("append", "/log/log") == 1  # while the log was opened, all of them came


def test_what_a_closed_loop_has_left_takes_no_record_of_another() -> None:
    store = Spy()
    log = log_on(store)
    loop = asyncio.new_event_loop()

    async def lost() -> list[asyncio.Future[int]]:
        await log.append((body(0),))
        store.close_gate()
        return [log.append_one(body(n), loop) for n in range(1, 4)]

    left = loop.run_until_complete(lost())
    loop.close()

    async def another() -> None:
        store.gate = anyio.Event()
        store.gate.set()
        with pytest.raises(StoreError, match="the loop ended while /log was being written"):
            await asyncio.wait_for(one(log, 4), 20)

    asyncio.run(another())
    assert not any(each.done() for each in left)


async def test_a_loop_that_ended_leaves_no_group_behind() -> None:
    store = Spy()
    log = log_on(store)
    calls: list[Any] = []
    await log.append((body(0),))

    async def lost() -> None:
        store.close_gate()
        calls.extend(asyncio.ensure_future(one(log, n)) for n in range(1, 4))
        await asyncio.sleep(0)

    def run() -> None:
        asyncio.run(lost())

    await asyncio.to_thread(run)
    store.gate.set()
    with pytest.raises(StoreError, match="the loop ended while /log was being written"):
        await one(log, 4)
