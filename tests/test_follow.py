"""Streams of others become events, each once: a file that grows, the standard input, a URL."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given, settings, strategies as st

from hubwire import GenericEvent, Hub
from hubwire.cli.following.files import File
from hubwire.cli.following.lines import Line, Splitter, TooLong
from hubwire.cli.following.records import KEY, events_of
from hubwire.cli.following.urls import _Ends, _Event
from hubwire.cli.importing.fields import Wrong
from hubwire.cloudevents import to_cloudevent
from hubwire.errors import CallerError
from hubwire.events import ToolCalled
from hubwire.listeners import AuditLog
from hubwire.listeners.audit import Retention
from hubwire.log import Rotation
from hubwire.stores import FileStore
from support.importing import records_of
from support.recordings import AG2_AUDIT, OTLP

SECONDS_MAX = 40


def command(stream: Path | str, store: Path, *more: str) -> list[str]:
    return [sys.executable, "-P", "-m", "hubwire", "follow", str(stream), "--store", str(store), *more]


def follow(stream: Path | str, store: Path, *more: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command(stream, store, *more), input=stdin, capture_output=True, check=False)


def received(store: Path) -> list[dict[str, Any]]:
    """Return what came by streams, in the order of the log."""
    return [record for record in records_of(store) if KEY in record.get("metadata", {}) or record.get("source")]


def values(store: Path) -> list[Any]:
    return [record["data"].get("n") for record in received(store)]


def lines(*items: Any) -> bytes:
    return b"".join(json.dumps(item).encode() + b"\n" for item in items)


def wait_for(condition: Callable[[], bool]) -> None:
    """Another process makes it true: there is no event to wait for."""
    end = time.monotonic() + SECONDS_MAX
    while not condition():
        assert time.monotonic() < end, "it did not come"
        threading.Event().wait(0.05)


# --- what becomes of a line -----------------------------------------------------------------------------------------


def event_of(value: Any, **line: Any) -> Any:
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    (incoming,) = events_of(Line(content, "line 1", **line), "theirs")
    return incoming.event


def test_an_object_becomes_an_event_of_its_kind() -> None:
    event = event_of({"type": "order.placed", "id": "o-1", "timestamp": "2026-01-02T03:04:05.000000Z", "total": 5})
    assert isinstance(event, GenericEvent)
    assert (event.kind, event.source, event.source_id) == ("order.placed", "theirs", "o-1")
    assert event.occurred_at == "2026-01-02T03:04:05.000000Z"
    assert event.data == {"total": 5}
    assert event_of({"correlation_id": "r-1", "session_id": 5, "tenant": "t"}).correlation_id == "r-1"
    assert event_of({"correlation_id": "r-1", "session_id": 5, "tenant": "t"}).data == {"session_id": 5, "tenant": "t"}


@pytest.mark.parametrize("kind", ["no kind", "channel.opened", "tool.called", "Order.Placed", 5, None])
def test_a_kind_that_is_none_here_is_kept(kind: Any) -> None:
    event = event_of({"kind": kind, "n": 1})
    assert (event.kind, event.data) == ("record.received", {"kind": kind, "n": 1})


@pytest.mark.parametrize("value", [[1, 2], "text", 5, None])
def test_a_value_that_is_no_object_is_kept(value: Any) -> None:
    assert event_of(value).data == {"value": value}


@pytest.mark.parametrize("content", [b"hello", b'{"a": 1, "a": 2}', b"\xff", b"[" * 50_000, b'{"specversion": "1.0"}'])
def test_what_cannot_be_an_event_is_refused_with_words(content: bytes) -> None:
    with pytest.raises(Wrong):
        event_of(content)


def test_a_cloudevent_keeps_its_ids() -> None:
    message = {"specversion": "1.0", "id": "7", "source": "/shop", "type": "order.placed", "data": {"total": 5}}
    event = event_of(message | {"time": "2026-01-02T03:04:05Z"})
    assert (event.kind, event.source, event.source_id, event.data) == ("order.placed", "/shop", "7", {"total": 5})
    foreign = event_of(message | {"type": "com.example.OrderPlaced"})
    assert (foreign.kind, foreign.metadata["cloudevent"]["type"]) == ("record.received", "com.example.OrderPlaced")


async def test_what_another_hub_says_comes_from_there() -> None:
    """As a record of its log, or as a CloudEvent: one that only a hub makes is kept as a record."""
    async with Hub() as hub:
        called = await hub.emit(ToolCalled(tool="t", call_id="c", arguments={"a": 1}))
        (started,) = [event async for event in first(hub, 1)]
    for event, kind in ((called, "tool.called"), (started, "record.received")):
        record = json.loads(json.dumps({**to_record(event)}))
        for message in (record, to_cloudevent(event)):
            made = event_of(message)
            assert (made.kind, made.source, made.source_id) == (kind, event.hub, event.id)
            assert (made.seq, made.id, made.hub) == (-1, "", "")


async def first(hub: Hub, count: int) -> Any:
    async for event in hub.events(after=-1):
        yield event
        count -= 1
        if not count:
            return


def to_record(event: Any) -> dict[str, Any]:
    from hubwire import codec

    return codec.decode_fields(codec.encode(event))


def test_records_of_ag2_and_spans_are_what_an_import_makes_of_them() -> None:
    assert event_of(AG2_AUDIT).kind == "turn.failed"
    kinds = [each.event.kind for each in events_of(Line(json.dumps(OTLP).encode(), "line 1"), "theirs")]
    assert kinds[:2] == ["model.called", "model.completed"]


NAMES = st.sampled_from(
    [
        *("specversion", "id", "source", "type", "data", "data_base64", "time", "subject", "hubid", "sequence"),
        *("hubheader", "seq", "at", "hub", "kind", "metadata", "severity", "agent_id", "tool", "call_id", "arguments"),
    ]
)
INNER = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(st.characters(exclude_categories=()), max_size=4),
        st.sampled_from(["1.0", "tool.called", "order.placed", "agent_registered", "0", "2026-01-02T03:04:05Z"]),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.one_of(NAMES, st.text(max_size=3)), inner)),
    max_leaves=6,
)
RECORD = {"seq": 1, "id": "i", "at": "2026-01-02T03:04:05.000000Z", "hub": "h", "kind": "order.placed"}
CLOUDEVENT = {"specversion": "1.0", "id": "i", "source": "s", "type": "order.placed"}


@pytest.mark.slow
def test_any_line_is_an_event_or_refused_with_words() -> None:
    """What is made of it can be emitted, or is refused by the hub as a caller's error."""
    made: list[Any] = []

    @settings(max_examples=400, deadline=None)
    @given(st.sampled_from([{}, RECORD, CLOUDEVENT]), st.dictionaries(NAMES, INNER, max_size=5))
    def check(base: dict[str, Any], more: dict[str, Any]) -> None:
        content = json.dumps({**base, **more}).encode()
        with contextlib.suppress(Wrong):
            made.extend(each.event for each in events_of(Line(content, "line 1", "x:0:y"), "theirs"))

    check()
    refused: list[CallerError] = []

    async def emit() -> None:
        async with Hub() as hub:
            for event in made:
                try:
                    await hub.emit(event)
                except CallerError as error:
                    refused.append(error)

    anyio.run(emit)
    assert len(refused) < len(made)


@pytest.mark.parametrize("number", ["1e999", "0.1000000000000000055511151231257827", "NaN", "12345678901234567890123"])
@pytest.mark.parametrize("base", [RECORD, CLOUDEVENT, {}], ids=["record", "CloudEvent", "object"])
def test_odd_numbers_come_through(base: dict[str, Any], number: str) -> None:
    content = json.dumps({**base, "data": "HERE"}).replace('"HERE"', number).encode()
    assert event_of(content).data is not None


# --- a file ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_file_that_is_read_again_brings_only_what_is_new(tmp_path: Path) -> None:
    """Also lines without an id, of which some are equal, and whatever the file is called by then."""
    file, store = tmp_path / "log.jsonl", tmp_path / "s"
    file.write_bytes(lines({"n": 1}, {"n": 1}, {"n": 2}))
    run = follow(file, store, "--once")
    assert run.stdout.splitlines()[0] == b"3 lines, 3 events; 0 were already there, 0 refused"
    with file.open("ab") as more:
        more.write(lines({"n": 1}) + b'{"n": 3}')
    file.rename(tmp_path / "log.jsonl.1")
    run = follow(tmp_path / "log.jsonl.1", store, "--once")
    assert run.stdout.splitlines()[0] == b"5 lines, 2 events; 3 were already there, 0 refused"
    assert values(store) == [1, 1, 2, 1, 3]


@pytest.mark.slow
def test_a_long_line_that_is_read_again_brings_nothing(tmp_path: Path) -> None:
    """The audit log keeps a long record in a file of its own, and in its line neither metadata nor data."""
    file, store = tmp_path / "theirs.jsonl", tmp_path / "store"
    long = "x" * 500_000
    file.write_bytes(lines({"n": 1, "text": long}, {"n": 2, "id": "o-2", "text": long}))
    assert b"2 events; 0 were already there" in follow(file, store, "--once").stdout
    assert b"0 events; 2 were already there" in follow(file, store, "--once").stdout


def test_a_bad_line_is_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    file, store = tmp_path / "log.jsonl", tmp_path / "s"
    file.write_bytes(lines({"n": 1}) + b"oops\n" + lines({"n": 2}))
    run = follow(file, store, "--once")
    assert run.returncode == 3
    assert b"hubwire: log.jsonl, line 2: is not JSON" in run.stderr
    assert values(store) == [1, 2]


@pytest.mark.slow
def test_a_file_is_followed_over_rotations(tmp_path: Path) -> None:
    """Renamed and made anew, cut and written anew: no line is lost, and none comes twice."""
    file, store = tmp_path / "log.jsonl", tmp_path / "s"
    process = subprocess.Popen(command(file, store), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        wait_for((store / "audit").exists)
        file.write_bytes(lines({"n": 1}) + b'{"n"')
        wait_for(lambda: values(store) == [1])
        with file.open("ab") as more:
            more.write(b": 2}\n")
        wait_for(lambda: values(store) == [1, 2])
        with file.open("ab") as more:
            file.rename(tmp_path / "log.jsonl.1")
            more.write(lines({"n": 3}))
        file.write_bytes(lines({"n": 4}, {"n": 5}))
        wait_for(lambda: values(store) == [1, 2, 3, 4, 5])
        os.truncate(file, 0)
        file.write_bytes(lines({"n": 6}))
        wait_for(lambda: values(store) == [1, 2, 3, 4, 5, 6])
        process.send_signal(signal.SIGINT)
        assert process.wait(SECONDS_MAX) == 130
    finally:
        process.kill()
        process.communicate()
    assert (store / "audit" / "clean").exists()


@pytest.mark.slow
def test_a_killed_follower_goes_on_where_it_was(tmp_path: Path) -> None:
    file, store = tmp_path / "log.jsonl", tmp_path / "s"
    file.write_bytes(lines(*({"n": n} for n in range(3000))))
    process = subprocess.Popen(command(file, store), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    segment = store / "journal" / "log" / "00000000000000000000.jsonl"
    wait_for(lambda: segment.exists() and segment.stat().st_size > 100_000)
    process.kill()
    process.wait()
    follow(file, store, "--once")
    assert values(store) == list(range(3000))


async def test_a_file_that_is_not_there_is_waited_for(tmp_path: Path) -> None:
    stream = File(str(tmp_path / "later"), once=False)
    found: list[bytes] = []

    async def read() -> None:
        async for batch in stream.batches():
            found.extend(line.content for line in batch)
            return

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        await anyio.lowlevel.checkpoint()
        await anyio.Path(tmp_path / "later").write_bytes(b"1\n")
    assert found == [b"1"]


@pytest.mark.slow
@pytest.mark.parametrize("target", ["gone.jsonl", "."])
def test_what_is_no_file_is_refused(target: str, tmp_path: Path) -> None:
    run = follow(tmp_path / target, tmp_path / "s", "--once")
    assert run.returncode == 1
    assert run.stderr.count(b"\n") == 1


def test_a_line_without_end_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is known by its size when it ends; those before and behind are whole."""
    monkeypatch.setattr("hubwire.cli.following.lines.LINE_BYTES_MAX", 100)
    splitter = Splitter()
    assert splitter.feed(b"a\n" + b"y" * 101) == [b"a\n"]
    for _ in range(1000):
        assert splitter.feed(b"y" * 101) == []
    assert len(splitter._rest) <= 100
    assert splitter.waiting_bytes == 101 * 1001
    long, after = splitter.feed(b"z\nb\nc")
    assert isinstance(long, TooLong)
    assert (long.size, after) == (101 * 1001 + 2, b"b\n")
    assert splitter.end() == [b"c"]
    assert splitter.end() == []
    (exact, over) = splitter.feed(b"x" * 100 + b"\n" + b"x" * 101 + b"\n")
    assert exact == b"x" * 100 + b"\n"
    assert isinstance(over, TooLong)


@settings(max_examples=200, deadline=None)
@given(
    pieces=st.lists(st.binary(max_size=4) | st.sampled_from([b"\n", b"\r", b"aaaaaaaaa", b"aaaaaaaaaaa\n"])),
)
def test_pieces_make_the_same_lines_as_the_whole(pieces: list[bytes]) -> None:
    """However the bytes come, and whichever lines are too long."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hubwire.cli.following.lines.LINE_BYTES_MAX", 10)
        whole, parts = Splitter(), Splitter()
        expected = [*whole.feed(b"".join(pieces)), *whole.end()]
        found = [line for piece in pieces for line in parts.feed(piece)]
        assert parts.waiting_bytes == len(b"".join(pieces).rpartition(b"\n")[2])
        assert [*found, *parts.end()] == expected


def test_an_event_without_end_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hubwire.cli.following.urls.LINE_BYTES_MAX", 100)
    event = _Event(None)
    for _ in range(3):  # what ends is forgotten
        assert event.feed(b"data: " + b"x" * 90) is None
        assert event.feed(b"") == b"x" * 90
    for _ in range(1000):
        assert event.feed(b"data: " + b"x" * 90) is None
    assert not event._data
    assert event.feed(b"") == TooLong(91_000, "")
    assert event.feed(b"data: 1") is None
    assert event.feed(b"") == b"1"


@pytest.mark.slow
@pytest.mark.parametrize("stream", ["file", "stdin"])
def test_a_line_that_is_too_long_is_refused_by_name(stream: str, tmp_path: Path) -> None:
    """And the others are taken; what comes again is known."""
    long = b'{"n": "' + b"x" * (17 << 20) + b'"}\n'
    content = lines({"id": "a", "n": 1}) + long + lines({"id": "b", "n": 2})
    (tmp_path / "f").write_bytes(content)
    target, stdin = (tmp_path / "f", b"") if stream == "file" else ("-", content)
    run = follow(target, tmp_path / "s", "--once", stdin=stdin)
    assert run.returncode == 3
    assert f"line 2: it has {len(long):,} bytes, and at most 16,777,216 are read".encode() in run.stderr
    assert run.stdout.splitlines()[0] == b"3 lines, 2 events; 0 were already there, 1 refused"
    run = follow(target, tmp_path / "s", "--once", stdin=stdin)
    assert run.stdout.splitlines()[0] == b"3 lines, 0 events; 2 were already there, 1 refused"


@pytest.mark.slow
def test_what_was_pruned_is_said_to_be_unknown(tmp_path: Path) -> None:
    """A stream that is read again brings it once more, and no record tells that."""

    async def prune() -> None:
        async with AuditLog(FileStore(tmp_path / "s"), rotation=Rotation(records_max=2)) as audit:
            for number in range(9):
                await audit.append({"n": number})
            await audit.prune(retention=Retention(segments_max=2))

    (tmp_path / "f").write_bytes(lines({"n": 1}))
    assert follow(tmp_path / "f", tmp_path / "s", "--once").stderr == b""
    anyio.run(prune)
    said = follow(tmp_path / "f", tmp_path / "s", "--once").stderr
    assert (
        b"what was before is not kept any more. What the stream has brought by those records is taken for new" in said
    )
    assert said.count(b"\n") == 1


@pytest.mark.slow
def test_a_server_that_never_answers_is_given_up(tmp_path: Path) -> None:
    """It takes the connection, and says not a word."""
    pytest.importorskip("httpx2")
    program = (
        "from hubwire.cli.following import urls; from hubwire.cli import main; urls._ANSWER_SECONDS = 0.05; main()"
    )
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        command = [sys.executable, "-P", "-c", program, "follow", url, "--store", str(tmp_path / "s"), "--once"]
        run = subprocess.run(command, capture_output=True, check=False, timeout=SECONDS_MAX)
    assert run.returncode == 1
    assert b"has not answered within 0.05 s" in run.stderr


# --- the standard input ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_standard_input_is_read_to_its_end(tmp_path: Path) -> None:
    """What has an id comes once, also when it is read again; what has none cannot be known."""
    content = lines({"id": "a", "n": 1}, {"id": "b", "n": 2}, {"id": "a", "n": 1}) + b'{"n": 3}'
    run = follow("-", tmp_path / "s", stdin=content)
    assert run.stdout.splitlines()[0] == b"4 lines, 3 events; 1 were already there, 0 refused"
    run = follow("-", tmp_path / "s", "--kind", "theirs.came", stdin=content)
    assert run.stdout.splitlines() == [b"4 lines, 1 event; 3 were already there, 0 refused", b"theirs.came  1"]
    assert values(tmp_path / "s") == [1, 2, 3, 3]


@pytest.mark.slow
def test_ctrl_c_ends_it_while_nothing_comes(tmp_path: Path) -> None:
    process = subprocess.Popen(command("-", tmp_path / "s"), stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_for((tmp_path / "s" / "audit").exists)
    process.send_signal(signal.SIGINT)
    _, complaints = process.communicate(timeout=SECONDS_MAX)
    assert (process.returncode, complaints) == (130, b"")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tool.called", "channel.opened", "word", ""])
def test_a_kind_of_the_hub_itself_is_refused(kind: str, tmp_path: Path) -> None:
    run = follow("-", tmp_path / "s", "--kind", kind)
    assert run.returncode == 2
    assert b"write two or more lower-case words" in run.stderr


# --- a URL ----------------------------------------------------------------------------------------------------------


class Server(http.server.ThreadingHTTPServer):
    """Answers each request with the next of what it has, and keeps the headers of all."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[tuple[int, str, bytes]] = []
        self.asked: list[dict[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/stream"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Server)
        self.server.asked.append({name.lower(): value for name, value in self.headers.items()})
        code, kind, body = self.server.answers.pop(0) if self.server.answers else (204, "text/plain", b"")
        self.send_response(code)
        self.send_header("Content-Type", kind)
        if 300 <= code < 400:
            self.send_header("Location", "http://me:word@elsewhere.example/x?token=secret#part")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


SSE = "text/event-stream"


@pytest.mark.slow
def test_lines_at_a_url_are_read(server: Server, tmp_path: Path) -> None:
    server.answers = [(200, "application/x-ndjson", lines({"id": "a", "n": 1}, {"id": "b", "n": 2})[:-1])]
    run = follow(f"{server.url}?token=secret", tmp_path / "s", "--header", "Authorization: Bearer x")
    assert run.returncode == 0, run.stderr
    assert values(tmp_path / "s") == [1, 2]
    assert server.asked[0]["authorization"] == "Bearer x"
    # What is after the path may be a secret.
    assert {each["source"] for each in received(tmp_path / "s")} == {server.url}


@pytest.mark.slow
def test_server_sent_events_may_begin_with_a_byte_order_mark(server: Server, tmp_path: Path) -> None:
    server.answers = [(200, SSE, b'\xef\xbb\xbfdata: {"n": 1}\n\n')]
    follow(server.url, tmp_path / "s", "--once")
    assert values(tmp_path / "s") == [1]


@settings(max_examples=200, deadline=None)
@given(end=st.sampled_from([b"\r", b"\n", b"\r\n"]), cuts=st.sets(st.integers(1, 60)))
def test_server_sent_events_may_have_any_ends_of_lines(end: bytes, cuts: set[int]) -> None:
    """CR alone, too, and wherever the pieces that come over the network are cut."""
    text = b"id: 1\ndata: {\ndata: 1}\n\n: silence\n\ndata: 2\n\n".replace(b"\n", end)
    at = sorted({0, *(cut for cut in cuts if cut < len(text)), len(text)})
    splitter, ends, event = Splitter(), _Ends(), _Event(None)
    found = []
    for begin, stop in pairwise(at):
        for line in splitter.feed(ends.of(text[begin:stop])):
            assert isinstance(line, bytes)
            found.append(event.feed(line.rstrip(b"\n")))
    assert [each for each in found if each is not None] == [b"{\n1}", b"2"]


@pytest.mark.slow
def test_server_sent_events_with_bare_returns_are_read(server: Server, tmp_path: Path) -> None:
    server.answers = [(200, SSE, b'id: 1\rdata: {"n": 1}\r\rid: 2\rdata: {"n": 2}\r\r')]
    follow(server.url, tmp_path / "s", "--once")
    assert values(tmp_path / "s") == [1, 2]


@pytest.mark.slow
def test_server_sent_events_go_on_behind_the_last_one(server: Server, tmp_path: Path) -> None:
    """Over a lost connection, a server that is busy, and a new start."""
    first = b': hello\r\nid: 1\r\ndata: {"n": 1}\r\n\r\nid: 2\ndata: {\ndata: "n": 2}\n\nid: 3\ndata: {"n"'
    again = b'id: 2\ndata: {"n": 2}\n\nid: 3\ndata: {"n": 3}\n\n'
    server.answers = [(200, SSE, first), (503, "text/plain", b""), (200, SSE, again)]
    run = follow(server.url, tmp_path / "s")  # the server ends it with 204
    assert b"answers 204" in run.stderr
    assert values(tmp_path / "s") == [1, 2, 3]
    assert [asked.get("last-event-id") for asked in server.asked] == [None, "2", "2", "3"]
    server.answers = [(200, SSE, b'id: 4\ndata: {"n": 4}\n\n')]
    run = follow(server.url, tmp_path / "s", "--once")
    assert run.returncode == 0, run.stderr
    assert server.asked[4]["last-event-id"] == "3"
    assert values(tmp_path / "s") == [1, 2, 3, 4]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (404, b"answers 404"),
        (401, b"answers 401; give what it asks for with --header"),
        (302, b"it has moved to http://elsewhere.example/x; name that"),
    ],
)
def test_an_answer_that_is_no_stream_is_refused(code: int, reason: bytes, server: Server, tmp_path: Path) -> None:
    server.answers = [(code, "text/plain", b"")]
    run = follow(server.url, tmp_path / "s")
    assert run.returncode == 1
    assert reason in run.stderr
    assert b"secret" not in run.stderr
    assert run.stderr.count(b"\n") == 1
