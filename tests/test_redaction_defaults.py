"""Where outsiders or disks see contents, they are redacted without being asked for."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from structlog.testing import CapturingLogger

from hubwire import Event, GenericEvent, Hub
from hubwire.errors import ConfigurationError
from hubwire.listeners import AuditLog, LiveTail, StructLog
from hubwire.listeners.audit import verify
from hubwire.listeners.live import TailItem
from hubwire.own_log import OwnLog
from hubwire.redaction import RedactionRule, Redactor
from hubwire.stores import FileStore, MemoryStore

SECRET = "jane@example.com"


def said(text: str = SECRET) -> GenericEvent:
    return GenericEvent(kind="a.said", data={"text": text, "commit": "9fceb02d0ae598e95dc970b74767f19372d61af8"})


async def test_log_tail_and_lines_show_no_secret() -> None:
    store, logger, tail = MemoryStore(), CapturingLogger(), LiveTail()
    async with Hub(store, listeners=[AuditLog(store), tail, StructLog(logger)]) as hub:
        subscriber = tail.subscribe(pattern="a.said")
        emitted = await hub.emit(said())
        (item,) = await subscriber.take()
        await hub.flush()
    assert emitted.data["text"] == SECRET
    assert isinstance(item, TailItem)
    assert isinstance(item.event, GenericEvent)
    assert item.event.data["text"] == "[redacted:email]"
    assert item.event.metadata == {"redacted": "hubwire/1"}
    assert SECRET not in repr(logger.calls)
    records = await AuditLog(store).read_all()
    assert SECRET not in repr(records)
    assert [each["data"]["commit"][:4] for each in records if each["kind"] == "a.said"] == ["9fce"]
    assert (await verify(store)).integrity.outcome.value == "holds"


async def test_without_a_redactor_all_is_shown() -> None:
    store, logger, tail = MemoryStore(), CapturingLogger(), LiveTail(redactor=None)
    listeners = [AuditLog(store, redactor=None), tail, StructLog(logger, redactor=None)]
    async with Hub(store, listeners=listeners) as hub:
        subscriber = tail.subscribe(pattern="a.said")
        emitted = await hub.emit(said())
        (item,) = await subscriber.take()
        await hub.flush()
    assert isinstance(item, TailItem)
    assert item.event is emitted
    assert SECRET in repr(logger.calls)
    assert SECRET in repr(await AuditLog(store).read_all())


async def test_listeners_with_the_same_rules_redact_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """They share the event that was made, and with it what it is encoded as."""
    made: list[int] = []
    walk = Redactor._made_event

    def counted(redactor: Redactor, event: Event) -> Event:
        made.append(event.seq)
        return walk(redactor, event)

    monkeypatch.setattr(Redactor, "_made_event", counted)
    store, tail = MemoryStore(), LiveTail()
    async with Hub(store, listeners=[AuditLog(store), AuditLog(store, path="/two", redactor=Redactor()), tail]) as hub:
        subscriber = tail.subscribe(pattern="a.said")
        emitted = await hub.emit(said())
        await subscriber.take()
    assert made.count(emitted.seq) == 1


class Stop(BaseException):
    pass


def raising(_: str) -> list[tuple[int, int]]:
    raise Stop(SECRET)


def of_another_type(_: str) -> Any:
    return 5


def far_away(_: str) -> Any:
    return [(0, 10**9)]


@pytest.mark.parametrize("find", [raising, of_another_type, far_away])
async def test_a_redactor_that_withholds_is_told_of(
    find: Callable[[str], Any], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In statistics, health and log, by its rule, and without what it was given."""
    monkeypatch.setattr(sys.modules["hubwire.redaction.redactor"]._log, "_lines", {})
    redactor = Redactor(rules=[RedactionRule("odd", find=find)])
    store, tail, logger = MemoryStore(), LiveTail(redactor=redactor), CapturingLogger()
    audit = AuditLog(store, redactor=redactor)
    async with Hub(store, listeners=[audit, tail, StructLog(logger, redactor=redactor)]) as hub:
        subscriber = tail.subscribe(pattern="a.said")
        emitted = await hub.emit(said())
        (item,) = await subscriber.take()
        await hub.flush()
        withheld = {each.name: each.withheld for each in hub.statistics().attachments}
        assert withheld["AuditLog"] >= withheld["LiveTail"] == 1
        assert withheld["StructLog"] >= 1
        assert [f"listener {name!r} has left out" in " ".join(hub.health().problems) for name in withheld] == [True] * 3
    assert isinstance(item, TailItem)
    assert isinstance(item.event, GenericEvent)
    assert (item.event.seq, item.event.kind, list(item.event.data)) == (emitted.seq, "a.said", ["$redacted"])
    lines = [record.getMessage() for record in caplog.records if record.name == "hubwire.redaction"]
    assert 0 < len(lines) <= 5
    assert "rule=odd error_type=" in lines[0]
    assert SECRET not in f"{caplog.text} {logger.calls} {await audit.read_all()}"


async def test_an_odd_count_of_a_listener_is_none() -> None:
    class Odd:
        withheld: Any = "many"

        async def on_events(self, events: Any) -> None: ...

    class Raises(Odd):
        @property
        def withheld(self) -> Any:
            raise Stop

    async with Hub(listeners=[Odd(), Raises()]) as hub:
        assert [each.withheld for each in hub.statistics().attachments] == [0, 0]
        assert hub.health().healthy


@pytest.mark.parametrize("make", [AuditLog, LiveTail, StructLog])
@pytest.mark.parametrize("redactor", ["none", 1, object()], ids=range(3))
def test_what_is_no_redactor_is_refused(make: Any, redactor: Any) -> None:
    arguments = (MemoryStore(),) if make is AuditLog else ()
    with pytest.raises(ConfigurationError, match=f"{make.__name__}: redactor is"):
        make(*arguments, redactor=redactor)


def test_one_redactor_serves_many_threads() -> None:
    redactor, wrong = Redactor(), list[Any]()
    events = [GenericEvent(kind="a.said", data={"text": f"{n}: {SECRET}"}, seq=n) for n in range(200)]

    def work() -> None:
        for _ in range(5):
            made = redactor.redact_events(events)
            wrong.extend(
                each
                for each in made
                if not isinstance(each, GenericEvent) or each.data["text"] != f"{each.seq}: [redacted:email]"
            )

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert wrong == []
    assert redactor.failures == 0


def test_lines_of_the_library_are_redacted(caplog: pytest.LogCaptureFixture) -> None:
    log = OwnLog("part of a test")
    log.problem("a guest has failed", ValueError(f"no route to {SECRET}"), url="https://svc:hunter2@example.org", n=1)
    assert f"no route to {SECRET}" not in caplog.text
    assert "no route to [redacted:email]" in caplog.text
    assert "a guest has failed url=https://[redacted:url]@example.org n=1" in caplog.text


def test_a_line_that_cannot_be_redacted_is_cut(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "hubwire.redaction", None)
    with caplog.at_level(logging.ERROR):
        OwnLog("part of a test").failure("a guest has failed badly", about=SECRET)
    assert "a guest has failed badly (the rest of this line could not be redacted" in caplog.text
    assert SECRET not in caplog.text


def test_a_plain_hub_imports_no_rules() -> None:
    program = (
        "import asyncio, sys, hubwire\nasync def main():\n    async with hubwire.Hub(): pass\nasyncio.run(main())\n"
        "from hubwire.listeners import AuditLog\nfrom hubwire.stores import MemoryStore\n"
        "AuditLog(MemoryStore(), redactor=None)\n"
        "print([name for name in sys.modules if name == 're2' or name.startswith('hubwire.redaction')])"
    )
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# --- the command line -----------------------------------------------------------------------------------------------


async def _stored(path: Path) -> None:
    store = FileStore(path)
    async with Hub(store, listeners=[AuditLog(store, path="/plain", redactor=None)]) as hub:
        a = await hub.agents.register(SECRET)
        b = await hub.agents.register("b")
        channel = await hub.channels.open([a, b], topic=f"with {SECRET}")
        await channel.post(a, f"mail {SECRET}")
        await hub.emit(GenericEvent(kind="a.said", data={"text": SECRET}, session_id="s1"))
        await hub.emit(GenericEvent(kind="a.said", data={"text": SECRET + " x" * 40_000}))
        await hub.emit(GenericEvent(kind="a.said", data={"text": "clean"}))


@pytest.mark.slow
@pytest.mark.parametrize("log", ["/journal", "/plain"])
@pytest.mark.parametrize("output", ["json", "pretty"])
def test_a_tail_is_redacted_unless_raw(tmp_path: Path, log: str, output: str) -> None:
    anyio.run(_stored, tmp_path)
    arguments = ["tail", str(tmp_path), "--log", log, "-n", "all", "-o", output]
    shown = _output(arguments)
    assert SECRET not in shown
    assert "[redacted:email]" in shown
    raw = _output([*arguments, "--raw"])
    assert SECRET in raw
    assert len(raw.splitlines()) == len(shown.splitlines())
    if output == "json":
        for old, new in zip(map(json.loads, raw.splitlines()), map(json.loads, shown.splitlines()), strict=True):
            assert (old["kind"], old["d"], old.get("h"), old.get("seq")) == (
                *(new["kind"], new["d"], new.get("h")),
                new.get("seq"),
            )


@pytest.mark.slow
@pytest.mark.parametrize("log", ["/journal", "/plain"])
def test_one_event_is_redacted_unless_raw(tmp_path: Path, log: str) -> None:
    anyio.run(_stored, tmp_path)
    lines = _output(["tail", str(tmp_path), "--log", log, "-n", "all", "-o", "json", "--raw"]).splitlines()
    seqs = [each["seq"] for each in map(json.loads, lines) if each["kind"] == "a.said"]
    for seq, is_personal in zip(seqs, (True, True, False), strict=True):
        shown = _output(["show", str(seq), str(tmp_path), "--log", log])
        assert SECRET not in shown
        raw = _output(["show", str(seq), str(tmp_path), "--log", log, "--raw"])
        assert (SECRET in raw) is is_personal
        assert json.loads(shown)["seq"] == seq
        if not is_personal:
            assert shown == raw


def _output(arguments: list[str]) -> str:
    command = [sys.executable, "-P", "-m", "hubwire", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
