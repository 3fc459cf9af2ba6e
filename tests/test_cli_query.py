"""The verbs ``query`` and ``sql``: what they print, and what they say to who calls them wrongly."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import anyio
import pytest
from rich.cells import cell_len
from test_cli_read import HOSTILE, hubwire, on_terminal, shown

from hubwire import ApprovalPolicy, GenericEvent, Hub
from hubwire.approvals import FunctionApprover
from hubwire.clock import SystemClock
from hubwire.errors import NotApproved
from hubwire.events import ModelCalled, ModelCompleted, ToolCalled, ToolCompleted, ToolFailed
from hubwire.listeners.audit import AuditLog
from hubwire.log import Log, Rotation
from hubwire.stores import FileStore
from support.queries import at, lines_of, record, write_log
from support.terminals import plain, printed

pytestmark = pytest.mark.slow  # each test runs the command


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A store with the audit log of two agents at work, in several segments."""

    async def write() -> None:
        store = FileStore(tmp_path)
        ann = FunctionApprover("ann", lambda question: question.action != "drop_table")
        audit = AuditLog(store, rotation=Rotation(records_max=12))
        async with Hub(store, listeners=[audit], approvals=ApprovalPolicy(approvers=[ann])) as hub:
            planner = await hub.agents.register("planner")
            coder = await hub.agents.register("coder")
            channel = await hub.channels.open([planner, coder], topic="the build")
            await channel.post(planner, {"text": "write to jane@example.com"}, to=[coder])
            about: dict[str, Any] = {"agent_id": coder.id, "channel_id": channel.id}
            for number in range(3):
                called = ToolCalled(tool="pytest", call_id=f"c{number}", arguments={"n": number}, **about)
                await hub.emit(called)
            await hub.emit(ToolCompleted(tool="pytest", call_id="c0", result="ok", **about))
            await hub.emit(ToolFailed(tool="pytest", call_id="c1", error_type="Red", error_message="1 failed", **about))
            await hub.emit(ModelCalled(model="m-1", call_id="m0", **about))
            await hub.emit(ModelCompleted(model="m-1", call_id="m0", input_tokens=10, output_tokens=5, **about))
            await hub.emit(GenericEvent(kind="order.placed", data={"order": 7, "note": HOSTILE}))
            await hub.approvals.gate(coder, "deploy")
            with pytest.raises(NotApproved):
                await hub.approvals.gate(coder, "drop_table")

    anyio.run(write)
    return tmp_path


def files_of(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


# --- query ------------------------------------------------------------------------------------------------------------


def test_query_prints_what_is_selected(log: Path) -> None:
    lines = shown(hubwire("query", log, "--agent", "coder", "--kind", "tool.*", "--kind", "model.called"))
    assert [line.split()[4] for line in lines] == [
        *["tool.called"] * 3,
        "tool.completed",
        "tool.failed",
        "model.called",
    ]
    assert all(" coder " in line and "[the build]" in line for line in lines)
    assert len(shown(hubwire("query", log, "--where", "data.order=7", "--since", "-1h", "--until", "now"))) == 1
    assert len(shown(hubwire("query", log, "--text", "1 FAILED", "--severity", "error"))) == 1


def test_query_only_reads(log: Path) -> None:
    before = files_of(log)
    hubwire("query", log)
    hubwire("query", log, "--count-by", "kind")
    assert files_of(log) == before


def test_query_writes_indexes_when_it_is_told_to(log: Path) -> None:
    """And finds the same by them."""
    before = files_of(log)
    plain = hubwire("query", log, "-o", "jsonl", "--agent", "coder")
    told = hubwire("query", log, "-o", "jsonl", "--agent", "coder", "--index")
    assert told.stdout == plain.stdout
    assert re.fullmatch(r"hubwire: \d of \d sealed segments indexed now\n", told.stderr)
    added = files_of(log).keys() - before.keys()
    assert added
    assert all(re.fullmatch(r"audit/index/\d{20}\.idx", name) for name in added)
    assert {name: files_of(log)[name] for name in before} == before
    assert hubwire("query", log, "--index", "-n", "1").stderr.startswith("hubwire: 0 of")
    assert hubwire("verify", log).returncode == 0
    assert hubwire("doctor", log).returncode == 0


def test_pages_follow_each_other_by_cursors(log: Path) -> None:
    whole = lines_of(hubwire("query", log, "-o", "jsonl").stdout)
    for order in ([], ["--newest-first"]):
        found: list[dict[str, Any]] = []
        after: list[str] = []
        while True:
            page = hubwire("query", log, "-o", "jsonl", "--limit", "7", *order, *after)
            assert page.returncode == 0
            found += lines_of(page.stdout)
            cursor = re.search(r"^cursor: (\S+)$", page.stderr, re.MULTILINE)
            if cursor is None:
                break
            after = ["--after", cursor[1]]
        assert found == (whole[::-1] if order else whole)


def test_each_format_holds_the_same(log: Path) -> None:
    asked = ("query", log, "--kind", "tool.*")
    lines = lines_of(hubwire(*asked, "-o", "jsonl").stdout)
    assert json.loads(hubwire(*asked, "-o", "json").stdout) == lines
    rows = list(csv.DictReader(io.StringIO(hubwire(*asked, "-o", "csv").stdout)))
    assert [(row["at"], row["kind"], row["agent_id"]) for row in rows] == [
        (line["at"], line["kind"], line["agent_id"]) for line in lines
    ]
    assert json.loads(rows[0]["rest"]) == {"arguments": {"n": 0}, "call_id": "c0", "tool": "pytest"}
    chosen = hubwire(*asked, "-o", "csv", "--columns", "kind, arguments.n,nothing")
    assert chosen.stdout.split("\n")[:2] == ["kind,arguments.n,nothing", "tool.called,0,"]
    table = shown(hubwire(*asked, "-o", "table", "--columns", "kind,agent_id"))
    assert table[:2] == ["kind            agent_id", "tool.called     coder"]
    assert json.loads(hubwire("query", log, "--kind", "no.such", "-o", "json").stdout) == []


@pytest.mark.parametrize("output", ["csv", "table"])
def test_a_number_that_no_program_can_hold_ends_no_query(output: str, tmp_path: Path) -> None:
    """The record is there as its text, as in exports, and those behind it are, too."""

    async def write() -> None:
        log = Log(FileStore(tmp_path), "/audit", clock=SystemClock(), chained=True)
        await log.append([b'{"kind":"x.said","n":1e999}', b'{"kind":"x.said","n":2}'])
        await log.aclose()

    anyio.run(write)
    done = hubwire("query", tmp_path, "--kind", "x.said", "-o", output, "--columns", "index,n,rest")
    assert (done.returncode, done.stderr) == (0, "")
    _, first, second = done.stdout.splitlines()
    assert "$damaged" in first
    assert "1e999" in first
    assert re.split("[, ]+", second.strip())[:2] == ["1", "2"]


def test_no_cell_is_a_formula(tmp_path: Path) -> None:
    async def write() -> None:
        async with AuditLog(FileStore(tmp_path)) as audit:
            await audit.append({"kind": "x.said", "text": "=HYPERLINK(1)", "=key": -5})

    anyio.run(write)
    said = hubwire("query", tmp_path, "--kind", "x.said", "-o", "csv", "--columns", "text,=key").stdout
    assert said.splitlines() == ["text,'=key", "'=HYPERLINK(1),-5"]


def test_what_is_personal_is_redacted_unless_raw(log: Path) -> None:
    """In each format, and in a journal, which holds it as it was."""
    for output in ("pretty", "json", "jsonl", "csv", "table"):
        for path in ("/audit", "/journal"):
            assert "jane@example.com" not in hubwire("query", log, "-o", output, "--log", path).stdout
    assert "jane@example.com" in hubwire("query", log, "--raw", "--log", "/journal").stdout


def test_logs_of_strangers_are_redacted_too(tmp_path: Path) -> None:
    """Their lines have no end as ours do."""
    line = b'{"kind": "a.b", "note": "write to jane@example.com", "agent_id": "x"}\n'
    anyio.run(FileStore(tmp_path).write, "/foreign/log/00000000000000000000.jsonl", line)
    for output in ("pretty", "json", "jsonl", "csv", "table"):
        done = hubwire("query", tmp_path, "--log", "/foreign", "-o", output)
        assert "a.b" in done.stdout
        assert "jane@example.com" not in done.stdout
        assert "jane@example.com" in hubwire("query", tmp_path, "--log", "/foreign", "-o", output, "--raw").stdout


def test_a_terminal_gets_no_control_characters(log: Path) -> None:
    for output in ("pretty", "json", "jsonl", "csv", "table"):
        written = on_terminal("query", log, "--kind", "order.placed", "-o", output, NO_COLOR="1")
        assert "order.placed" in written
        assert not set(HOSTILE) & set("\x1b\x07\u202e\u2066\x9b\u200b\x7f") & set(written)


def test_a_filter_that_is_misspelt_is_an_error(log: Path) -> None:
    for arguments, said in (
        (["--agnet", "coder"], "--agent"),
        (["--severity", "eror"], "did you mean error"),
        (["--since", "yesterdy"], "since is a time"),
        (["--where", "order"], "KEY=VALUE"),
        (["--limit", "0"], "limit"),
        (["--approvals", "--where", "verdct=denied"], "did you mean verdict"),
        (["--count-by", "kind", "--approvals"], "one of them"),
        (["--count-by", "kind", "--newest-first"], "leave them out"),
        (["--every", "soon"], "every is a period"),
    ):
        done = hubwire("query", log, *arguments)
        assert (done.returncode, done.stdout) == (2, ""), arguments
        assert said in done.stderr, arguments
        assert done.stderr.count("\n") == 1


def test_no_record_is_told_of(log: Path) -> None:
    done = hubwire("query", log, "--agent", "codre")
    assert (done.returncode, done.stdout) == (0, "")
    assert "no record of /audit is selected; no agent is called 'codre'; did you mean coder?" in done.stderr


@pytest.mark.parametrize("verb", ["query", "tail"])
def test_a_name_that_is_misspelt_gets_a_suggestion(verb: str, log: Path) -> None:
    """Of agents, channels and kinds, also those that the program has declared itself; none where all are known."""
    for option, given, wanted in (
        ("--agent", "codre", "no agent is called 'codre'; did you mean coder?"),
        ("--channel", "the buid", "no channel is called 'the buid'; did you mean the build?"),
        ("--kind", "tool.caled", "no record is of kind 'tool.caled'; did you mean tool.called?"),
        ("--kind", "order.plced", "no record is of kind 'order.plced'; did you mean order.placed?"),
        ("--agent", "zzz", "no agent is called 'zzz';"),
    ):
        assert wanted in hubwire(verb, log, option, given).stderr
    known = hubwire(verb, log, "--agent", "coder", "--kind", "agent.switched").stderr
    assert "no record of /audit is selected; `hubwire stats" in known


def test_a_cursor_of_another_log_is_refused(log: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    anyio.run(write_log, FileStore(other), [record(number) for number in range(5)])
    cursor = hubwire("query", log, "-n", "3").stderr.split()[-1]
    done = hubwire("query", other, "--after", cursor)
    assert (done.returncode, done.stdout) == (1, "")
    assert "another history" in done.stderr


def test_a_journal_is_queried_where_only_that_is(tmp_path: Path) -> None:
    async def write() -> None:
        async with Hub(FileStore(tmp_path)) as hub:
            await hub.agents.register("planner")

    anyio.run(write)
    assert len(shown(hubwire("query", tmp_path, "--agent", "planner"))) == 1
    done = hubwire("query", tmp_path, "--index")
    assert (done.returncode, done.stdout) == (2, "")
    assert "is a journal" in done.stderr


def test_damage_is_named(log: Path) -> None:
    segment = max((log / "audit" / "log").glob("*.jsonl"))
    content = segment.read_bytes().split(b"\n")
    content[1] = content[1][:-9]
    segment.write_bytes(b"\n".join(content))
    done = hubwire("query", log)
    assert done.returncode == 1
    assert f"/audit/log/{segment.name} is damaged at byte {len(content[0]) + 1}" in done.stderr


def test_records_are_counted(log: Path) -> None:
    rows = lines_of(hubwire("query", log, "--kind", "tool.*", "--count-by", "kind", "-o", "jsonl").stdout)
    assert rows == [
        {"kind": "tool.called", "count": 3},
        {"kind": "tool.completed", "count": 1},
        {"kind": "tool.failed", "count": 1},
    ]
    table = shown(hubwire("query", log, "--kind", "tool.*", "--count-by", "agent", "--count-by", "channel"))
    assert table == ["agent_id  channel_id  count", "coder     the build       5"]
    hourly = lines_of(hubwire("query", log, "--every", "1d", "--zone", "Asia/Tokyo", "-o", "jsonl").stdout)
    assert all(row["begins"].endswith("T00:00:00+09:00") for row in hourly)


def test_approvals_are_rows(log: Path) -> None:
    rows = lines_of(hubwire("query", log, "--approvals", "-o", "jsonl").stdout)
    assert [(row["action"], row["verdict"], row["agent"]) for row in rows] == [
        ("deploy", "approved", "coder"),
        ("drop_table", "denied", "coder"),
    ]
    table = shown(hubwire("query", log, "--approvals", "--where", "verdict=denied"))
    assert table[0].split()[:4] == ["asked", "agent", "action", "risk"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d [\d:]{8}  coder  drop_table  \w+ [\d.]+ +denied   ann  \d+\.\ds", table[1])
    assert len(table) == 2
    stamps = lines_of(hubwire("query", log, "--rubber-stamps", "--min-risk", "low", "-o", "jsonl").stdout)
    assert [row["action"] for row in stamps] == ["deploy"]
    none = hubwire("query", log, "--rubber-stamps", "--min-risk", "low", "--max-seconds", "0")
    assert "no approval of /audit is selected" in none.stderr


# --- sql --------------------------------------------------------------------------------------------------------------


def rows_of(log: Path, statement: str, *options: str) -> list[dict[str, Any]]:
    done = hubwire("sql", log, statement, "-o", "jsonl", *options)
    assert (done.returncode, done.stderr) == (0, "")
    return lines_of(done.stdout)


def test_sql_sees_the_records(log: Path) -> None:
    pytest.importorskip("duckdb")
    kinds = "select kind, count(*) as count from events group by kind order by count desc, kind"
    counted = lines_of(hubwire("query", log, "--count-by", "kind", "-o", "jsonl").stdout)
    assert rows_of(log, kinds) == counted
    assert rows_of(log, kinds, "--agent", "coder", "--kind", "tool.*") == [
        {"kind": "tool.called", "count": 3},
        {"kind": "tool.completed", "count": 1},
        {"kind": "tool.failed", "count": 1},
    ]
    found = rows_of(log, "select agent, channel, record->>'result' as result from events where kind = 'tool.completed'")
    assert found == [{"agent": "coder", "channel": "the build", "result": "ok"}]


def test_sql_has_calls_and_approvals_as_tables(log: Path) -> None:
    pytest.importorskip("duckdb")
    calls = rows_of(
        log, "select call_id, tool, state, error_type, seconds >= 0 as ended from tool_calls order by call_id"
    )
    assert calls == [
        {"call_id": "c0", "tool": "pytest", "state": "completed", "error_type": None, "ended": True},
        {"call_id": "c1", "tool": "pytest", "state": "failed", "error_type": "Red", "ended": True},
        {"call_id": "c2", "tool": "pytest", "state": "running", "error_type": None, "ended": None},
    ]
    assert rows_of(log, "select model, input_tokens + output_tokens as tokens from model_calls") == [
        {"model": "m-1", "tokens": 15}
    ]
    assert rows_of(log, "select action, verdict, approvers, agent from approvals order by requested") == [
        {"action": "deploy", "verdict": "approved", "approvers": ["ann"], "agent": "coder"},
        {"action": "drop_table", "verdict": "denied", "approvers": ["ann"], "agent": "coder"},
    ]
    assert rows_of(log, "select count(*) as turns from turns") == [{"turns": 0}]


def test_sql_has_a_row_for_each_call_of_one_id(tmp_path: Path) -> None:
    """Recorded conversations that begin alike have the same ids of calls; a beginning is a row, whatever is missing."""
    pytest.importorskip("duckdb")

    async def made() -> None:
        store = FileStore(tmp_path / "data")
        async with Hub(store, listeners=[AuditLog(store)]) as hub:
            call: dict[str, Any] = {"tool": "search", "call_id": "c1", "agent_id": "coder"}
            for channel in ("one", "two"):
                await hub.emit(ToolCalled(**call, channel_id=channel))
            await hub.emit(ToolCompleted(**call, channel_id="two"))
            await hub.emit(ToolFailed(**call, channel_id="one", error_message="no"))
            await hub.emit(ToolCalled(**call, channel_id="one"))
            again: dict[str, Any] = {**call, "call_id": "c2"}
            await hub.emit(ToolCalled(**again, channel_id="one"))
            await hub.emit(ToolCompleted(**again))  # names no channel
            await hub.emit(ToolCompleted(**{**call, "call_id": "c3"}))  # its beginning is not in the log

    anyio.run(made)
    found = rows_of(tmp_path / "data", "select call_id, state from tool_calls order by call_id, state")
    states = [(row["call_id"], row["state"]) for row in found]
    assert states == [
        ("c1", "completed"),
        ("c1", "failed"),
        ("c1", "running"),
        ("c2", "completed"),
        ("c3", "completed"),
    ]


def test_sql_compares_instants(tmp_path: Path) -> None:
    """Whatever the form in which a record has its time."""
    pytest.importorskip("duckdb")
    times: list[Any] = [at(0), "2027-01-15T09:00:01+01:00", 1_800_000_002, "soon", None]
    anyio.run(write_log, FileStore(tmp_path), [{"at": time, "n": n} for n, time in enumerate(times)])
    found = rows_of(tmp_path, "select record->>'n' as n, epoch(time) as seconds from events order by time, index")
    assert [(row["n"], row["seconds"]) for row in found if row["n"] is not None] == [
        ("0", 1_800_000_000),
        ("1", 1_800_000_001),
        ("2", 1_800_000_002),
        ("3", None),
        ("4", None),
    ]


def test_sql_takes_approvals_of_any_time(tmp_path: Path) -> None:
    """One that is no time is not known; it keeps no statement from what else there is."""
    pytest.importorskip("duckdb")
    times: list[Any] = ["soon", "0001-01-01T00:00:00+05:00", "9999-12-31T23:59:59Z", 8e13, at(0)]
    asked = [{"at": time, "kind": "approval.requested", "approval_id": f"{n}"} for n, time in enumerate(times)]
    anyio.run(write_log, FileStore(tmp_path), asked)
    found = rows_of(tmp_path, "select approval_id, epoch(requested) as seconds from approvals order by approval_id")
    assert [row["seconds"] for row in found] == [None, None, 253_402_300_799, None, 1_800_000_000]


def test_sql_reaches_no_file(log: Path, tmp_path: Path) -> None:
    """It sees its copy alone, writes none, and its copy is redacted."""
    pytest.importorskip("duckdb")
    target = tmp_path / "out.csv"
    for statement in (
        f"copy events to '{target}'",
        f"from read_csv('{log}/lines.csv')",
        "select * from read_text('/etc/passwd')",
        f"attach '{target}'",
        "set enable_external_access = true",
    ):
        done = hubwire("sql", log, statement)
        assert (done.returncode, done.stdout) == (1, ""), statement
        assert done.stderr.count("\n") == 1
    assert not target.exists()
    assert "jane@example.com" not in hubwire("sql", log, "select record from events", "--log", "/journal").stdout


def test_a_wrong_statement_is_told_in_a_line(log: Path) -> None:
    pytest.importorskip("duckdb")
    done = hubwire("sql", log, "select * from evens")
    assert done.returncode == 1
    assert "events, turns, model_calls, tool_calls, approvals" in done.stderr
    done = hubwire("sql", log, "selct 1")
    assert "syntax error" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("statement", ["", " ", ";", "/* none */"])
def test_no_statement_is_refused(log: Path, statement: str) -> None:
    pytest.importorskip("duckdb")
    done = hubwire("sql", log, statement)
    assert done.returncode == 2
    assert "there is no statement" in done.stderr


def test_sql_without_duckdb_says_how_to_get_it(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "duckdb", None)
    done = hubwire("sql", log, "select 1")
    assert done.returncode == 2
    assert "pip install 'hubwire[query]'" in done.stderr


# --- topics -----------------------------------------------------------------------------------------------------------


def test_what_was_published_is_found_by_its_topic(tmp_path: Path) -> None:
    """By query and tail, with patterns; stats counts the topics."""

    async def write() -> None:
        store = FileStore(tmp_path)
        async with Hub(store, listeners=[AuditLog(store)]) as hub:
            boss = await hub.agents.register("boss")
            reader = await hub.agents.register("reader")
            await hub.topics.subscribe(reader, "*")
            for topic in ("build.failed", "build.fixed", "bulk", "build.failed"):
                await hub.topics.publish(topic, topic, sender=boss)

    anyio.run(write)
    for verb in (["query"], ["tail", "-n", "all"]):
        for patterns, count in (["build.failed"], 2), (["build.*"], 3), (["bulk", "build.fixed"], 2), (["b"], 0):
            options = [word for pattern in patterns for word in ("--topic", pattern)]
            output = "jsonl" if verb == ["query"] else "json"
            found = lines_of(hubwire(*verb, tmp_path, *options, "-o", output).stdout)
            assert len(found) == count, (verb, patterns)
            assert all(each["kind"] == "envelope.posted" for each in found)
    assert json.loads(hubwire("stats", tmp_path, "--json").stdout)["topics"] == 3


async def test_a_table_on_a_narrow_terminal_has_a_place_for_each_column(tmp_path: Path) -> None:
    """The widest give way, numbers stay whole, and wide characters take two cells."""
    async with Hub(FileStore(tmp_path)) as hub:
        long, wide = (
            await hub.agents.register("an agent with a long name"),
            await hub.agents.register("調査エージェント"),
        )
        for agent in (long, wide):
            await hub.emit(GenericEvent(kind="own.done.with.a.long.kind", agent_id=agent.id, data={"n": 123_456}))
        await hub.flush()
    words = ("query", tmp_path, "--kind", "own.*", "-o", "table", "--columns", "at,kind,agent_id,data.n")
    for columns in (60, 48):
        lines = plain(await printed(*words, columns=columns)).rstrip("\n").split("\n")
        assert max(map(cell_len, lines)) <= columns
        assert all(line.endswith("123456") for line in lines[1:])
        assert len({cell_len(line) for line in lines[1:]}) == 1
        assert "an agen" in lines[1]
        assert "調" in lines[2]
