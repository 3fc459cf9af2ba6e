"""``hubwire dead-letters``: what is listed and shown without a hub, and what the hub is asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from hubwire import DeadLetterEntry, DeadLetterPolicy, Duty, Event, GenericEvent, Hub, InboxRule
from hubwire.cli.app import run
from hubwire.redaction import Redactor
from hubwire.stores import FileStore
from hubwire.testing import ManualClock, Recorder
from support import advance, numbers, said, until
from support.durable import Failing

HOSTILE = "\x1b[2J\u202e\n\u2028 bad"


async def cli(*arguments: str) -> int:
    """Run the command in a thread, as it has a loop of its own."""
    return await anyio.to_thread.run_sync(run, list(arguments))


def durable(hub: Hub, listener: Any, **settings: Any) -> Any:
    given = {"duty": Duty.DURABLE, "name": "picky", "pattern": "number.said", "attempts_max": 1}
    return hub.attach(listener, **{**given, "when_exhausted": "dead_letter", **settings})


async def leave(root: Path, *bad: int, **settings: Any) -> list[DeadLetterEntry]:
    """Let a hub live that has dead letters of a listener, and of an inbox."""
    store = FileStore(root)
    async with Hub(store, **settings) as hub:
        durable(hub, Failing(*bad))
        for n in range(5):
            await hub.emit(said(n))
        await hub.flush()
        a = await hub.agents.register("a")
        b = await hub.agents.register("b", rule={"inbox": InboxRule(deliveries_max=1)})
        await (await hub.channels.open([a, b])).post(a, "hello")
        await (await anext(b.inbox())).nack("no")
        letters = await hub.dead_letters.list()
    await store.aclose()
    return list(letters)


async def test_letters_are_listed_and_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """For people in lines, for programs as objects; both without a hub."""
    letters = await leave(tmp_path, 1, 3)
    assert await cli("dead-letters", "list", str(tmp_path)) == 0
    lines = capsys.readouterr().out.split("\n")[:-1]
    assert [line.split()[0] for line in lines] == [each.id for each in letters]
    assert "picky" in lines[0]
    assert "number.said" in lines[0]
    assert "handler_error, 1 attempt  ValueError: bad number" in lines[0]
    assert "inbox of" in lines[2]
    assert await cli("dead-letters", "list", str(tmp_path), "-o", "json", "--attachment", "picky") == 0
    found = [json.loads(line) for line in capsys.readouterr().out.split("\n")[:-1]]
    assert [each["event"]["data"]["n"] for each in found] == [1, 3]
    assert await cli("dead-letters", "show", letters[0].id, str(tmp_path)) == 0
    other_way = capsys.readouterr().out
    assert await cli("dead-letters", "show", str(tmp_path), letters[0].id) == 0
    shown = json.loads(capsys.readouterr().out)
    assert json.loads(other_way) == shown == found[0]
    assert (shown["reason"], shown["duty"], shown["origin"]) == ("handler_error", "durable", "listener")
    assert "on_events" in shown["traceback"]


async def test_letters_are_chosen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    letters = await leave(tmp_path, 1, 3)
    for arguments, expected in (
        (["--kind", "envelope.*"], letters[2:]),
        (["--reason", "timeout"], []),
        (["--after", letters[0].id], letters[1:]),
        (["-n", "1"], letters[:1]),
    ):
        assert await cli("dead-letters", "list", str(tmp_path), "-o", "json", *arguments) == 0
        lines = capsys.readouterr().out.split("\n")[:-1]
        assert [json.loads(line)["id"] for line in lines] == [each.id for each in expected]


async def test_wrong_words_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    await leave(tmp_path, 1)
    root = str(tmp_path)
    for code, arguments, text in (
        (1, ["show", root, "nothing"], "has no dead letter 'nothing'"),
        (1, ["retry", root, "nothing"], "has no dead letter 'nothing'"),
        (2, ["retry", root], "name the letters to retry"),
        (2, ["discard", root, "x", "--all"], "name the letters to discard"),
        (1, ["list", str(tmp_path / "other")], "there is no journal"),
        (1, ["show", "1-2-3", root], "has no dead letter '1-2-3'"),
        (1, ["retry", "1-2-3", root], "The store is named first, then the letter"),
        (1, ["list", root, "--log", "/elsewhere"], "there is no journal"),
        (2, ["list", root, "--reason", "boredom"], "boredom"),
        (2, ["list", root, "--kind", "No Kind"], "No Kind"),
    ):
        assert await cli("dead-letters", *arguments) == code, arguments
        assert text in capsys.readouterr().err


async def test_requests_are_taken_up_by_the_next_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One is retried when its listener is there, one discarded; of the inbox, one is redelivered."""
    first, second, third = await leave(tmp_path, 1, 3)
    root = str(tmp_path)
    assert await cli("dead-letters", "discard", root, first.id, "--reason", "a test") == 0
    assert "asked the hub to discard 1 dead letter; it does at its next start" in capsys.readouterr().out
    assert await cli("dead-letters", "retry", root, second.id, third.id) == 0
    assert "asked the hub to retry 2 dead letters" in capsys.readouterr().out
    assert await cli("dead-letters", "list", root) == 0
    assert f"waits for the hub: retry {second.id}" in capsys.readouterr().out
    store, clock, mended = FileStore(tmp_path), ManualClock(start_ns=1_800_000_000_000_000_000), Recorder()
    async with Hub(store, clock=clock, dead_letters=DeadLetterPolicy(age_seconds_max=None)) as hub:
        await until(lambda: not hub.inboxes.dead_letters())
        await until(lambda: clock.sleepers > 0 and hub.dead_letters.statistics().kept == 1)
        assert [each.id for each in await hub.dead_letters.list()] == [second.id], "its listener is not attached"
        durable(hub, mended)
        while hub.dead_letters.statistics().kept:
            await advance(clock, 1)
            await anyio.sleep(0.001)  # the store works in threads
        assert numbers(mended.events) == [3]
        while await store.list("/journal/dead-letters"):  # noqa: ASYNC110 - the hub tells no one
            await anyio.sleep(0.001)
    await store.aclose()


async def test_what_is_asked_for_twice_waits_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Done twice, the second would be refused, for a letter that is gone."""
    await leave(tmp_path, 1)
    for _ in range(2):
        assert await cli("dead-letters", "retry", str(tmp_path), "--attachment", "picky") == 0
        assert "asked the hub to retry 1 dead letter" in capsys.readouterr().out
    assert await cli("dead-letters", "list", str(tmp_path)) == 0
    assert capsys.readouterr().out.count("waits for the hub: retry") == 1


async def test_a_hub_at_work_takes_requests_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It looks every ten seconds, while it has dead letters."""
    store, clock, failing = FileStore(tmp_path), ManualClock(), Failing(1, 2)
    async with Hub(store, clock=clock) as hub:
        durable(hub, failing)
        for n in range(3):
            await hub.emit(said(n))
        await hub.flush()
        assert len(await hub.dead_letters.list()) == 2
        failing.bad.clear()
        assert await cli("dead-letters", "retry", str(tmp_path), "--all") == 0
        assert "a hub is at work (" in capsys.readouterr().out
        while hub.dead_letters.statistics().kept:
            await advance(clock, 1)
            await anyio.sleep(0.001)
        assert sorted(numbers(failing.events)) == [0, 1, 2]
    await store.aclose()


async def test_what_is_no_request_is_left(tmp_path: Path) -> None:
    await leave(tmp_path, 1)
    store = FileStore(tmp_path)
    await store.write("/journal/dead-letters/requests/x.json", b"nonsense")
    async with Hub(store) as hub:
        await until(lambda: hub.statistics().listener_letters is not None)
        assert len(await hub.dead_letters.list()) == 2
    assert await store.exists("/journal/dead-letters/requests/x.json")
    await store.aclose()


async def test_hostile_letters_are_printed_safely(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = FileStore(tmp_path)

    async def fail(_: Event) -> None:
        raise ValueError(HOSTILE)

    async with Hub(store) as hub:
        durable(hub, fail, name="x\u202ey", pattern="text.said")
        await hub.emit(GenericEvent(kind="text.said", data={"text": HOSTILE}))
        await hub.flush()
    await store.aclose()
    for arguments in (["list", str(tmp_path)], ["list", str(tmp_path), "-o", "json"]):
        assert await cli("dead-letters", *arguments) == 0
        printed = capsys.readouterr().out
        assert printed.count("\n") == 1
        assert printed[:-1].isprintable()


async def test_damage_is_told_beside_the_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    letters = await leave(tmp_path, 1, 3)
    (path,) = await anyio.to_thread.run_sync(lambda: list(tmp_path.glob("journal/dead-letters/*.jsonl")))
    content = await anyio.to_thread.run_sync(path.read_bytes)
    await anyio.to_thread.run_sync(path.write_bytes, content.replace(b"bad number", b"bed number", 1))
    assert await cli("dead-letters", "list", str(tmp_path)) == 0
    printed = capsys.readouterr()
    assert [line.split()[0] for line in printed.out.split("\n")[:-1]] == [each.id for each in letters[1:]]
    assert "is damaged" in printed.err


async def test_a_redacted_letter_is_printed_redacted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = FileStore(tmp_path)

    async def fail(event: Event) -> None:
        raise ValueError(f"cannot write to {event.data}")  # type: ignore[attr-defined]

    async with Hub(store, dead_letters=DeadLetterPolicy(redactor=Redactor())) as hub:
        durable(hub, fail, pattern="user.*")
        await hub.emit(GenericEvent(kind="user.seen", data={"email": "alice@example.org"}))
        await hub.flush()
    await store.aclose()
    assert await cli("dead-letters", "list", str(tmp_path), "-o", "json") == 0
    printed = capsys.readouterr().out
    assert "alice@example.org" not in printed
    assert "[redacted:email]" in printed


async def test_doctor_knows_of_letters(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """That there are some is a note; that one is damaged is a problem, with which a hub starts all the same."""
    await leave(tmp_path, 1, 3)
    assert await cli("doctor", str(tmp_path)) == 0
    assert "2 dead letters are kept: hubwire dead-letters list" in " ".join(capsys.readouterr().out.split())
    (path,) = await anyio.to_thread.run_sync(lambda: list(tmp_path.glob("journal/dead-letters/*.jsonl")))
    content = await anyio.to_thread.run_sync(path.read_bytes)
    await anyio.to_thread.run_sync(path.write_bytes, content.replace(b"bad number", b"bed number", 1))
    assert await cli("doctor", str(tmp_path)) == 1
    printed = " ".join(capsys.readouterr().out.split())
    assert "is damaged" in printed
    assert "all the same: a hub starts here" in printed


async def test_letters_are_in_a_backup(tmp_path: Path) -> None:
    letters = await leave(tmp_path / "data", 1, 3)
    assert await cli("backup", str(tmp_path / "data"), str(tmp_path / "copy")) == 0
    assert await cli("restore", str(tmp_path / "copy"), str(tmp_path / "again")) == 0
    store = FileStore(tmp_path / "again")
    async with Hub(store) as hub:
        assert await hub.dead_letters.list() == letters
    await store.aclose()
