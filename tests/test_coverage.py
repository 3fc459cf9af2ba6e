"""What recorders and redactors cannot see stands in the log, and is said where the log is verified."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from hubwire import Hub
from hubwire.cli import main
from hubwire.coverage import Coverage
from hubwire.errors import ConfigurationError
from hubwire.events import RecordingCovered
from hubwire.listeners import AuditLog
from hubwire.listeners.audit import examine, verify
from hubwire.log import segment_path
from hubwire.query import query
from hubwire.redaction import FAMILIES, RedactionRule, Redactor
from hubwire.runtimes import Recorder
from hubwire.runtimes._coverages import COVERAGES
from hubwire.stores import FileStore, MemoryStore

DOCS = Path(__file__).resolve().parents[1] / "docs" / "runtimes" / "index.md"

OWN = Coverage(source="own", version="1.2", captured=("turns",), hidden=("what a tool does inside",))


async def record(store: Any, run: str, *, source: str = "own", coverage: Coverage | None = OWN) -> None:
    async with Hub(store, listeners=[AuditLog(store)]) as hub:
        async with Recorder(hub, source=source, coverage=coverage) as recorder:
            recorder.begin_turn(run, agent="planner", prompt="hello")
            recorder.end(run, "hello")
        await hub.flush()


async def records(store: Any) -> list[dict[str, Any]]:
    return [found.fields async for found in query(store)]


async def test_a_recorder_says_what_it_captures_before_its_first_event() -> None:
    store = MemoryStore()
    await record(store, "run")
    told = [fields for fields in await records(store) if "own" in (fields.get("source"), fields.get("runtime"))]
    assert [fields["kind"] for fields in told] == ["recording.covered", "turn.started", "turn.ended"]
    assert Coverage.from_fields({**told[0], "source": told[0]["runtime"]}) == OWN


async def test_a_recorder_that_records_nothing_says_nothing() -> None:
    store = MemoryStore()
    async with Hub(store, listeners=[AuditLog(store)]) as hub, Recorder(hub, source="own", coverage=OWN):
        pass
    assert not [fields for fields in await records(store) if fields["kind"] == "recording.covered"]


async def test_verify_shows_each_source_once_over_restarts() -> None:
    store = MemoryStore()
    for run in ("a", "b", "c"):
        await record(store, run)
    await record(store, "d", source="openai-agents", coverage=None)
    found = await verify(store)
    assert [each.source for each in found.coverage] == ["redaction", "own", "openai-agents"]
    assert found.coverage[2].hidden == COVERAGES["openai-agents"].hidden


async def test_a_recorder_that_declares_nothing_has_no_coverage() -> None:
    store = MemoryStore()
    await record(store, "run", coverage=None)
    assert [each.source for each in (await verify(store)).coverage] == ["redaction"]


async def test_the_opening_of_a_log_says_what_its_redactor_looks_at() -> None:
    store = MemoryStore()
    redactor = Redactor(without=["ip"], rules=[RedactionRule("badge", pattern=r"B\d+")])
    async with Hub(store, listeners=[AuditLog(store, redactor=redactor)]) as hub:
        await hub.agents.register("a")
    opened = (await records(store))[0]
    assert opened["kind"] == "log.opened"
    [declared] = map(Coverage.from_fields, opened["coverage"])
    assert declared == redactor.coverage
    assert declared is not None
    assert (declared.version, "email" in declared.captured) == (redactor.stamp, True)
    assert "badge, a rule of its own" in declared.captured
    assert ("ip" in declared.captured, "ip, which it is told to leave" in declared.hidden) == (False, True)


async def test_a_log_without_a_redactor_declares_none() -> None:
    store = MemoryStore()
    async with Hub(store, listeners=[AuditLog(store, redactor=None)]) as hub:
        await hub.agents.register("a")
    assert "coverage" not in (await records(store))[0]
    assert (await verify(store)).coverage == ()


async def test_a_declaration_that_was_changed_is_a_fault() -> None:
    """It is a record as all others: the chain holds it."""
    store = MemoryStore()
    await record(store, "run")
    path = segment_path("/audit", 0)
    content = await store.read_bytes(path)
    assert content is not None
    assert b"what a tool does inside" in content
    await store.write(path, content.replace(b"what a tool does inside", b"what a cat does insidee"))
    assert not (await examine(store)).holds


async def test_strange_declarations_are_passed_over() -> None:
    store = MemoryStore()
    async with Hub(store, listeners=[AuditLog(store)]) as hub:
        await hub.emit(RecordingCovered(runtime="", captured=("x",)))
        await hub.emit(RecordingCovered(runtime="x" * 10_000))
    audit = AuditLog(store, path="/own")
    await audit.append({"kind": "recording.covered", "runtime": 1, "captured": "all"})
    await audit.append({"kind": "recording.covered", "runtime": "ok", "captured": ["\u202e"], "hidden": [["x"]]})
    await audit.aclose()
    assert [each.source for each in (await examine(store)).coverage] == ["redaction"]
    assert (await examine(store, "/own")).coverage == ()


async def test_many_sources_are_bounded() -> None:
    store = MemoryStore()
    audit = AuditLog(store)
    for number in range(3):
        declared = [{"kind": "recording.covered", "runtime": f"s{number}-{n}"} for n in range(500)]
        await audit.append_many(declared)
    await audit.aclose()
    found = await examine(store)
    assert (len(found.coverage), found.holds) == (1_000, True)


# --- as a value -----------------------------------------------------------------------------------------------------


def test_a_coverage_comes_back_from_a_record() -> None:
    assert Coverage.from_fields(json.loads(json.dumps(OWN.to_fields()))) == OWN
    assert Coverage.from_fields({"source": "x"}) == Coverage(source="x")
    odd: list[Any] = [None, 1, "x", [], {}, {"source": ""}, {"source": "x", "captured": "abc"}, {"source": "x" * 501}]
    for wrong in odd:
        assert Coverage.from_fields(wrong) is None


@pytest.mark.parametrize("name", ["source", "version", "captured", "hidden"])
def test_what_is_no_text_is_refused(name: str) -> None:
    wrong: list[Any] = [None, 1, b"x", "\ud800", "x" * 501, [1], [None], ["\ud800"], ["x"] * 101, {"a": 1}, object()]
    for value in wrong:
        with pytest.raises(ConfigurationError, match=rf"Coverage\(\): (each of )?{name}"):
            Coverage(**{"source": "x", name: value})
    with pytest.raises(ConfigurationError, match="not empty"):
        Coverage(source="")


async def test_a_recorder_refuses_what_is_no_coverage() -> None:
    async with Hub() as hub:
        for wrong in ({"source": "x"}, "x", 1, Coverage):
            with pytest.raises(ConfigurationError, match="coverage is a"):
                Recorder(hub, source="own", coverage=wrong)  # type: ignore[arg-type]


# --- the documentation ----------------------------------------------------------------------------------------------


def rows() -> dict[str, list[str]]:
    """Return the cells of the table of runtimes, by the name of the page."""
    found = {}
    for line in DOCS.read_text(encoding="utf-8").split("\n"):
        if match := re.match(r"\| \[[^\]]+\]\((\w+)\.md\) \|", line):
            found[match[1]] = [cell.strip().replace("`", "") for cell in line.strip("|").split(" | ")]
    return found


PAGES = {
    "a2a-sdk": "a2a",
    "agent-framework-core": "agent_framework",
    **{source: source.replace("-", "_") for source in COVERAGES if source not in ("a2a-sdk", "agent-framework-core")},
}


def test_every_adapter_declares_what_it_captures_and_what_is_hidden() -> None:
    assert set(PAGES.values()) == set(rows())
    assert all(each.captured and each.hidden for each in COVERAGES.values())


@pytest.mark.parametrize("source", PAGES)
def test_the_table_of_runtimes_says_what_the_code_declares(source: str) -> None:
    declared, cells = COVERAGES[source], rows()[PAGES[source]]
    assert cells[3] == ", ".join(declared.captured)
    assert cells[4] == "; ".join(declared.hidden)


def test_the_redactor_declares_all_of_its_families() -> None:
    assert Redactor().coverage.captured == FAMILIES


# --- the command ----------------------------------------------------------------------------------------------------


async def test_verify_prints_what_is_covered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = FileStore(tmp_path)
    evil = Coverage(source="own\x1b[2J", captured=("a\u202eb",), hidden=("prose",))
    await record(store, "run", coverage=evil)
    await store.aclose()

    def run(*words: str) -> str:
        with pytest.raises(SystemExit) as ended:
            main(["verify", str(tmp_path), *words])
        assert not ended.value.code
        return capsys.readouterr().out

    import anyio.to_thread

    out = await anyio.to_thread.run_sync(run)
    assert "covered" in out
    assert "does not see prose" in out
    assert "\x1b" not in out
    told = json.loads(await anyio.to_thread.run_sync(run, "--json"))
    assert told["coverage"][1]["hidden"] == ["prose"]
