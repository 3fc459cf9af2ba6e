"""What hubwire logs by itself: on standard logging, few lines, and no secrets."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
import textwrap
from typing import Any

import pytest
import structlog

from hubwire import Backoff, BaseActor, Duty, GenericEvent, Hub, RetryPolicy
from hubwire._actors import handling, supervision
from hubwire._commit import phase
from hubwire.errors import HubError, ListenerFailed
from hubwire.listeners import AuditLog, StructLog
from hubwire.listeners.audit import _subscribers
from hubwire.own_log import LINES_MAX, MESSAGES_MAX, OwnLog, traceback_of
from hubwire.query import Selection
from hubwire.stores import MemoryStore
from hubwire.testing import Recorder


class Hostile(BaseException):
    def __str__(self) -> str:
        raise SystemExit

    __repr__ = __str__


def lines(caplog: pytest.LogCaptureFixture, name: str) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == name]


@pytest.fixture(autouse=True)
def fresh_periods(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no line be left out because other tests had the same logged just before."""
    for part in (phase, supervision, handling, _subscribers):
        monkeypatch.setattr(part._log, "_lines", {})


async def test_a_failed_turn_is_logged_without_its_locals(caplog: pytest.LogCaptureFixture) -> None:
    class Coder(BaseActor):
        async def on_envelope(self, turn: Any) -> None:
            token = "secret-" + "9" * 9  # noqa: F841 - it must not be seen
            raise ValueError("no route to host")

    recorder = Recorder()
    async with Hub(listeners=[recorder]) as hub:
        actor = await hub.spawn(Coder(), retry=RetryPolicy(backoff=Backoff(1000)))
        boss = await hub.agents.register("boss")
        channel = await hub.channels.open([boss, actor.agent])
        await channel.post(boss, "password: hunter2")
        await recorder.wait_for("envelope.nacked")
    (line,) = lines(caplog, "hubwire.hub")
    assert line.startswith("a turn has failed actor=Coder envelope=")
    assert "ValueError: no route to host" in line
    places = line.partition("Traceback:\n")[2].splitlines()
    assert re.fullmatch(r"  \(called by hubwire, \d+ places\)", places[0])
    assert places[1].startswith(f"  {__file__}:")
    assert places[1].endswith("in on_envelope")
    assert "secret" not in line
    assert "hunter2" not in line


def test_an_error_of_hubwire_itself_shows_all_its_places() -> None:
    """And one that went from a guest back into hubwire shows all behind the guest."""
    with pytest.raises(HubError) as caught:
        Selection.of(since="no time")
    assert not traceback_of(caught.value).startswith("Traceback:\n  (called")
    assert "_selection.py" in traceback_of(caught.value)


async def test_a_failed_hub_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    class Fails:
        async def on_events(self, _: Any) -> None:
            raise ValueError("full")

    hub = Hub()
    hub.attach(Fails(), duty=Duty.REQUIRED, pattern="number.*")
    await hub.start()
    with pytest.raises(ListenerFailed):
        await hub.emit(GenericEvent(kind="number.said"))
    with pytest.raises(ListenerFailed):
        await hub.aclose()
    (line,) = [each for each in lines(caplog, "hubwire.hub") if each.startswith("a hub has failed")]
    assert "from:\n" in line
    assert "ValueError: full" in line


async def test_a_failing_subscriber_is_logged_a_few_times(caplog: pytest.LogCaptureFixture) -> None:
    async def to_chat(record: Any) -> None:
        raise ConnectionError("no route to host")

    audit = AuditLog(MemoryStore())
    audit.subscribe(to_chat)
    for _ in range(10 * LINES_MAX):
        await audit.append({"kind": "user.login", "password": "hunter2"})
    await audit.aclose()
    told = lines(caplog, "hubwire.audit")
    assert len(told) == LINES_MAX
    assert "hunter2" not in "".join(told)


def test_lines_left_out_are_counted(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("hubwire.own_log.time.monotonic", lambda: now)
    log = OwnLog("hub")
    for _ in range(LINES_MAX + 7):
        log.problem("again")
    log.problem("another")
    now = 11.0
    log.problem("again")
    told = lines(caplog, "hubwire.hub")
    assert told == ["again"] * LINES_MAX + ["another", "again (7 more like this were not logged)"]
    for number in range(10 * MESSAGES_MAX):
        log.problem(f"message {number}")
    assert len(log._lines) <= MESSAGES_MAX


def test_hostile_values_are_logged_as_text(caplog: pytest.LogCaptureFixture) -> None:
    """Line breaks, colours, lone surrogates and endless texts are made harmless; nothing is raised."""
    log = OwnLog("hub")
    cycle = ValueError("%s %d")
    cycle.__cause__ = KeyError("x" * 1_000_000)
    cycle.__cause__.__cause__ = cycle
    log.problem("100 % wrong", cycle, value="a\nb\x1b[31m\ud800", other=Hostile())
    log.failure("a group", BaseExceptionGroup("many", [Hostile(), ValueError("part")]))
    first, second = lines(caplog, "hubwire.hub")
    assert "\\x1b[31m" in first
    assert len(first) < 10_000
    first.encode()
    assert "ValueError: part" in second
    assert "(its text raised SystemExit)" in second


async def test_the_default_logger_of_events_is_standard_logging(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where structlog is not configured, it would print to stdout."""
    caplog.set_level(logging.INFO)
    structlog.reset_defaults()
    await StructLog().on_events([GenericEvent(kind="job.done", seq=3)])
    (line,) = lines(caplog, "hubwire.events")
    assert "event='job.done'" in line
    assert "seq=3" in line
    assert capsys.readouterr().out == ""


def test_a_program_gets_nothing_on_stdout() -> None:
    program = textwrap.dedent(
        """
        import asyncio
        from hubwire import Backoff, BaseActor, Duty, GenericEvent, Hub, RetryPolicy
        from hubwire.listeners import AuditLog, LiveTail, StructLog
        from hubwire.stores import MemoryStore

        class Coder(BaseActor):
            async def on_envelope(self, turn):
                token = "tok-" + "9" * 12
                raise ConnectionError("no route to host")

        async def to_chat(record):
            token = "tok-" + "9" * 12
            raise ConnectionError("no route to host")

        async def main():
            log = AuditLog(MemoryStore())
            log.subscribe(to_chat)
            async with Hub(listeners=[log, StructLog(), LiveTail()]) as hub:
                actor = await hub.spawn(Coder(), retry=RetryPolicy(backoff=Backoff(1000)))
                boss = await hub.agents.register("boss")
                channel = await hub.channels.open([boss, actor.agent])
                await channel.post(boss, "hunter2")
                await asyncio.sleep(0.1)
        asyncio.run(main())
        """
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert "audit subscriber raised" in done.stderr
    assert "a turn has failed" in done.stderr
    assert "tok-999999999999" not in done.stderr
