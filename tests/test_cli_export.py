"""``hubwire export`` and ``hubwire report``, as a person or a script calls them."""

from __future__ import annotations

import asyncio
import base64
import csv
import gzip
import io
import json
import os
import pty
import re
import subprocess
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from test_cli_read import COMMAND, hubwire, hubwire_process

from hubwire import Hub, codec
from hubwire.exports.csv import plain
from hubwire.listeners.audit import AuditLog
from hubwire.listeners.audit.retention import Retention
from hubwire.log import Record, Rotation, chain_value
from hubwire.stores import FileStore
from support.exports import make_log

pytestmark = pytest.mark.slow

SECRET = "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCD"
SEGMENT = "audit/log/00000000000000000000.jsonl"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store")

    async def make() -> None:
        await (await make_log(path)).aclose()

    asyncio.run(make())
    return path


def lines_of(store: Path) -> list[bytes]:
    return (store / SEGMENT).read_bytes().removesuffix(b"\n").split(b"\n")


# --- where it goes --------------------------------------------------------------------------------------------------


def test_the_standard_output_gets_the_log_itself(store: Path) -> None:
    run = subprocess.run([*COMMAND, "export", str(store), "--format", "jsonl"], capture_output=True, check=True)
    assert run.stdout == (store / SEGMENT).read_bytes()
    assert run.stderr == b""


def test_a_file_is_there_when_all_is_written(store: Path, tmp_path: Path) -> None:
    file = tmp_path / "events.csv"
    run = hubwire("export", store, "--format", "csv", "-o", file)
    assert (run.returncode, run.stderr) == (0, "")
    number = len(lines_of(store))
    assert re.fullmatch(rf"{number} records of /audit, redacted: {re.escape(str(file))}, [\d.]+ kB\n", run.stdout)
    assert len(list(csv.reader(io.StringIO(file.read_bytes().decode(), newline="")))) == number + 1
    assert [each.name for each in tmp_path.iterdir()] == ["events.csv"]
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_file_that_is_there_stays_unless_forced(store: Path, tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text("mine")
    for verb in (["export", "--format", "jsonl"], ["report"]):
        run = hubwire(*verb, store, "-o", file)
        assert (run.returncode, file.read_text()) == (1, "mine")
        assert "is there already; name another file, or pass --force to replace it" in run.stderr
    assert hubwire("export", store, "--format", "jsonl", "-o", file, "--force").returncode == 0
    assert file.read_bytes() == (store / SEGMENT).read_bytes()


def test_what_cannot_be_written_says_so(store: Path, tmp_path: Path) -> None:
    for output, words in ((tmp_path, "is a directory; name a file in it"), (tmp_path / "no/x", "No such file")):
        run = hubwire("export", store, "--format", "jsonl", "-o", output)
        assert run.returncode == 1
        assert words in run.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_log_leaves_no_half_file(store: Path, tmp_path: Path) -> None:
    copy = tmp_path / "store"
    (copy / SEGMENT).parent.mkdir(parents=True)
    (copy / SEGMENT).write_bytes((store / SEGMENT).read_bytes())
    later = (copy / SEGMENT).with_name(f"{len(lines_of(store)) + 5:020d}.jsonl")
    later.write_bytes(lines_of(store)[0] + b"\n")
    run = hubwire("export", copy, "--format", "jsonl", "-o", tmp_path / "out.jsonl")
    assert run.returncode == 1
    assert "restore it from a copy" in run.stderr
    assert [each.name for each in tmp_path.iterdir()] == ["store"]


def test_a_reader_that_goes_away_ends_it_quietly(store: Path) -> None:
    words = " ".join([*COMMAND, "export", str(store), "--format", "ocsf"])
    run = subprocess.run(f"{words} | head -c 10", shell=True, capture_output=True, check=False)  # noqa: S602 - a pipe
    assert run.stderr == b""


def test_progress_is_on_the_terminal_alone(store: Path, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    words = [*COMMAND, "export", str(store), "--format", "jsonl", "-o", str(tmp_path / "x.jsonl")]
    run = subprocess.run(words, stderr=theirs, stdout=subprocess.PIPE, check=True)
    os.close(theirs)
    shown = os.read(ours, 100_000).decode()
    os.close(ours)
    assert "exporting" in shown
    assert b"exporting" not in run.stdout


def on_terminal(*arguments: str | Path) -> tuple[int, str]:
    """Run the command with a terminal for its output; return its exit code, and what the terminal got."""
    ours, theirs = pty.openpty()
    got: list[bytes] = []

    def drain() -> None:
        with suppress(OSError):  # the other end was closed
            while piece := os.read(ours, 65536):
                got.append(piece)

    reader = threading.Thread(target=drain)
    reader.start()
    done = subprocess.run([*COMMAND, *map(str, arguments)], stdout=theirs, stderr=theirs, check=False)
    os.close(theirs)
    reader.join()
    os.close(ours)
    return done.returncode, b"".join(got).decode(errors="replace").replace("\r\n", "\n")


def test_a_terminal_gets_no_control_characters(store: Path) -> None:
    for name in ("csv", "jsonl", "ecs"):
        code, shown = on_terminal("export", store, "--format", name, "--kind", "envelope.posted")
        assert code == 0
        assert "exporting" not in shown
        for char in ("\x9b", "\u202e", "\u2028", "\x00"):
            assert char not in shown
        assert "\\u202e" in shown


def test_what_is_no_text_is_not_for_a_terminal(store: Path) -> None:
    for words in (("export", store, "--format", "parquet"), ("report", store, "-o", "-")):
        code, shown = on_terminal(*words)
        assert (code, "name a file: --output FILE" in shown) == (2, True)


# --- what goes in ---------------------------------------------------------------------------------------------------


def test_columns_are_named_with_commas(store: Path) -> None:
    run = hubwire_process("export", store, "--format", "csv", "--columns", "seq, kind,content.text")
    rows = list(csv.reader(io.StringIO(run.stdout, newline="")))
    assert rows[0] == ["seq", "kind", "content.text"]
    assert [seq for seq, _, _ in rows[2:]] == [str(number) for number in range(len(rows) - 2)]
    assert "=1+1" in {plain(text) for *_, text in rows}
    for words, part in (
        (["--format", "jsonl", "--columns", "a"], "--columns is for --format csv"),
        (["--format", "csv", "--columns", "a,,b"], "columns is a name of a field, not empty"),
    ):
        run = hubwire("export", store, *words)
        assert run.returncode == 2
        assert part in run.stderr


def test_records_are_selected_as_by_tail(store: Path) -> None:
    run = hubwire_process("export", store, "--format", "jsonl", "--kind", "tool.*", "--agent", "coder")
    kinds = [json.loads(line)["kind"] for line in run.stdout.splitlines()]
    assert kinds == ["tool.called", "tool.failed", "tool.called", "tool.completed"]
    run = hubwire_process("export", store, "--format", "jsonl", "--channel", "fix the build", "--kind", "channel.*")
    assert len(run.stdout.splitlines()) == 3


def test_secrets_are_redacted_unless_raw(tmp_path: Path) -> None:
    async def make() -> None:
        log = AuditLog(FileStore(tmp_path), redactor=None)
        await log.append({"kind": "own.made", "note": SECRET})
        await log.append({"kind": "own.made", "note": SECRET, "long": "x" * 100_000})
        await log.aclose()

    asyncio.run(make())
    for name in ("jsonl", "csv", "cloudevents", "ocsf", "ecs", "otlp", "parquet"):
        for raw in (False, True):
            file = tmp_path / f"{name}{raw}"
            assert hubwire("export", tmp_path, "--format", name, "-o", file, *["--raw"] * raw).returncode == 0
            if name != "parquet":
                content = file.read_bytes()
                assert content.count(SECRET.encode()) >= 2 if raw else SECRET.encode() not in content
                assert content.count(b"x" * 100_000) >= 1


def test_a_running_hub_is_exported_up_to_now(tmp_path: Path) -> None:
    async def work() -> int:
        store = FileStore(tmp_path / "store")
        async with Hub(store, listeners=[AuditLog(store)]) as hub:
            await hub.agents.register("planner")
            words = [*COMMAND, "export", str(tmp_path / "store"), "--format", "jsonl"]
            process = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)
            out, _ = await process.communicate()
            assert process.returncode == 0
            return out.count(b"\n")

    assert asyncio.run(work()) >= 3


def test_a_pruned_log_says_where_it_begins(tmp_path: Path) -> None:
    async def make() -> None:
        log = AuditLog(FileStore(tmp_path), rotation=Rotation(records_max=10), retention=Retention(segments_max=2))
        for number in range(50):
            await log.append({"kind": "own.made", "number": number})
        await log.prune()
        await log.aclose()

    asyncio.run(make())
    run = hubwire("export", tmp_path, "--format", "jsonl", "-o", tmp_path / "x.jsonl")
    assert run.returncode == 0
    assert "/audit begins with record" in run.stderr
    first = json.loads((tmp_path / "x.jsonl").read_bytes().split(b"\n")[0])
    assert first.get("number") != 0


def test_all_of_the_recorded_conversations_are_exported(tmp_path: Path) -> None:
    recorded = Path(__file__).parents[2] / "shared" / "data" / "airline.jsonl.gz"
    if not recorded.exists():
        pytest.skip(f"there are no recorded conversations at {recorded}")
    with gzip.open(recorded) as file:
        (tmp_path / "some.jsonl").write_bytes(b"".join(next(file) for _ in range(10)))
    target = tmp_path / "store"
    words = ("--format", "openai-chat", "--store", target)
    assert hubwire("import", tmp_path / "some.jsonl", *words).returncode == 0
    assert hubwire("export", target, "--format", "jsonl", "-o", tmp_path / "x.jsonl").returncode == 0
    assert (tmp_path / "x.jsonl").read_bytes() == (target / SEGMENT).read_bytes()


# --- reports --------------------------------------------------------------------------------------------------------


def about_of(file: Path) -> dict[str, Any]:
    found = re.search(rb'id="about">(.*)</script>', file.read_bytes())
    assert found is not None
    return codec.decode_fields(found[1])


def test_a_report_tells_its_head_and_not_its_place(store: Path, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    run = hubwire("report", store, "-o", file)
    assert (run.returncode, run.stderr) == (0, "")
    first, second = run.stdout.removesuffix("\n").split("\n")
    assert first.startswith(f"{len(lines_of(store))} records of /audit, redacted: ")
    head = hubwire("stats", store).stdout.split("head")[1].split()[0]
    assert second == f"its head is {head}: keep it elsewhere, and compare it with that of the report"
    assert about_of(file)["head"] == head
    assert str(store).encode() not in file.read_bytes()


def test_a_report_of_a_channel_says_what_was_selected(store: Path, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    run = hubwire("report", store, "-o", file, "--channel", "fix the build", "--kind", "tool.*")
    assert run.returncode == 0
    about = about_of(file)
    assert (about["records"], about["selection"]) == (4, "kind tool.*, channel fix the build")
    assert {"coder", "fix the build"} <= set(about["names"].values())
    assert about["head"].startswith(f"{len(lines_of(store))}:")
    assert b"<title>Audit log: kind tool.*, channel fix the build</title>" in file.read_bytes()


def test_an_output_that_cannot_be_kept_is_named(store: Path) -> None:
    with Path("/dev/full").open("w") as full:
        command = [*COMMAND, "export", str(store), "--format", "jsonl", "-o", "-"]
        run = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False)
    assert run.returncode == 1
    assert b"the standard output cannot be written (No space left" in run.stderr
    named = hubwire("export", store, "--format", "jsonl", "-o", "x" * 300)
    assert "cannot be written" in named.stderr
    assert named.returncode == 1


@pytest.mark.parametrize("options", [(), ("--force",)])
def test_what_is_no_file_is_not_replaced(store: Path, tmp_path: Path, options: tuple[str, ...]) -> None:
    """A pipe that has a name, or a device: others use it."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    run = hubwire("export", store, "--format", "jsonl", "-o", pipe, *options)
    assert run.returncode == 1
    assert "is a device or a pipe" in run.stderr
    assert pipe.is_fifo()


def test_a_secret_that_is_searched_for_is_not_shown(store: Path, tmp_path: Path) -> None:
    """Neither in the title nor in the words for the selection; with ``--raw`` it is."""
    secrets = ("AKIAIOSFODNN7EXAMPLE", "hunter2hunter2", "ann@example.com")
    filters = ("--text", secrets[0], "--where", f"data.password={secrets[1]}", "--agent", secrets[2])
    for number, (raw, is_there) in enumerate((((), False), (("--raw",), True))):
        file = tmp_path / f"{number}.html"
        assert hubwire("report", store, "-o", file, *filters, *raw).returncode == 0
        content = file.read_text()
        assert [secret in content for secret in secrets] == [is_there] * 3


def test_a_selection_has_the_chain_values_before(store: Path, tmp_path: Path) -> None:
    """With them the reader's browser can hold each record against its own value."""
    file = tmp_path / "report.html"
    assert (
        hubwire("report", store, "-o", file, "--agent", "coder", "--kind", "tool.*", "--kind", "agent.*").returncode
        == 0
    )
    blocks = re.findall(rb'hubwire-records">([^<]*)<', file.read_bytes())
    rows = [row for block in blocks for row in gzip.decompress(base64.b64decode(block)).split(b"\n")[:-1]]
    lines = lines_of(store)
    assert len(rows) == 5
    for row in rows:
        index, flags, previous, line = row.split(b"\t")
        assert (flags, line) == (b"", lines[int(index)])
        assert previous == Record(0, lines[int(index) - 1]).chain
        assert chain_value(previous, codec.unchained(line)) == Record(0, line).chain


def test_a_time_selects_too(store: Path, tmp_path: Path) -> None:
    assert hubwire("export", store, "--format", "jsonl", "--since", "-1h").stdout.count("\n") == len(lines_of(store))
    assert hubwire("export", store, "--format", "jsonl", "--until", "-1h").stdout == ""
    assert hubwire("report", store, "-o", tmp_path / "x.html", "--until", "2020-01-01").returncode == 0
    assert about_of(tmp_path / "x.html")["selection"] == "until 2020-01-01T00:00:00+00:00"


def test_a_report_can_be_titled_and_go_to_a_pipe(store: Path) -> None:
    run = hubwire_process("report", store, "-o", "-", "--title", "For <Alice>", "--log", "/journal")
    assert run.returncode == 0
    assert "<title>For &lt;Alice&gt;</title>" in run.stdout
    assert "records of /journal" in run.stderr


@pytest.mark.parametrize("verb", [["export", "--format", "jsonl"], ["report", "-o", "-"]], ids=["export", "report"])
def test_a_store_without_a_log_says_so(verb: list[str], tmp_path: Path) -> None:
    run = hubwire(verb[0], tmp_path, *verb[1:])
    assert run.returncode == 1
    assert "there is no log in" in run.stderr
