"""The stream of a dashboard: each event once, from wherever a client was, and no client harms another."""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack
from typing import Any

import httpx2
import pytest

from hubwire import Hub
from hubwire.errors import HubError
from hubwire.events import GenericEvent
from hubwire.listeners.dashboard import Dashboard
from hubwire.stores import FileStore, MemoryStore
from support import until
from support.dashboard import Frames, signed_in


def note(n: int, **more: Any) -> GenericEvent:
    return GenericEvent(kind="note.made", data={"n": n}, **more)


async def notes(hub: Hub, count: int) -> int:
    """Emit so many events; return the number of the last."""
    return (await hub.emit_many([note(n) for n in range(count)]))[-1].seq


def seqs(rows: list[dict[str, Any]]) -> list[int]:
    return [row["seq"] for row in rows]


async def test_history_comes_first_and_then_what_happens() -> None:
    async with Hub(MemoryStore()) as hub, signed_in(Dashboard(hub, show_content=True)) as client:
        last = await notes(hub, 500)
        async with Frames.of(client) as frames:
            assert seqs(await frames.rows(last)) == list(range(last + 1))
            event = await hub.emit(note(1000))
            assert (await frames.rows(event.seq))[-1]["words"] == "n=1000"


async def test_a_frame_has_at_most_64_rows() -> None:
    async with Hub(MemoryStore()) as hub, signed_in(Dashboard(hub)) as client:
        last = await notes(hub, 500)
        async with Frames.of(client) as frames:
            sizes: list[int] = []
            while sum(sizes) < last + 1:
                sizes.append(len((await frames.of_event("rows")).data))
            assert max(sizes) == 64


async def test_a_row_says_what_happened() -> None:
    async with Hub(MemoryStore()) as hub, signed_in(Dashboard(hub, show_content=True)) as client:
        agent = await hub.agents.register("coder")
        with pytest.raises(ValueError, match="boom"):
            async with hub.turns.turn(agent) as turn, turn.tool("read", {"path": "a\x1b[31m"}):
                raise ValueError("boom")
        async with Frames.of(client) as frames:
            rows: dict[str, dict[str, Any]] = {}
            while "turn.failed" not in rows:
                rows |= {row["kind"]: row for row in (await frames.of_event("rows")).data}
        called, failed = rows["tool.called"], rows["tool.failed"]
        assert called["words"] == "read(path=a\\x1b[31m)"
        assert (called["outcome"], called["agent"], called["agent_id"]) == ("open", "coder", agent.id)
        assert (failed["outcome"], failed["meaning"]) == ("failed", "wrong")
        assert failed["took_ms"] >= 0
        assert "meaning" not in called
        assert called["run_id"] == f"turn:{called['turn_id']}"


async def test_a_client_goes_on_where_it_was() -> None:
    """With the last id that it has seen, as browsers send it, or in the address."""
    async with Hub(MemoryStore()) as hub, signed_in(Dashboard(hub)) as client:
        first = await notes(hub, 100)
        async with Frames.of(client) as frames:
            await frames.rows(first)
            cursor = frames.last_id
        last = await notes(hub, 300)
        async with Frames.of(client, after=cursor) as frames:
            assert seqs(await frames.rows(last)) == list(range(first + 1, last + 1))
        async with Frames.of(client, f"api/stream?since={cursor}") as frames:
            assert seqs(await frames.rows(last)) == list(range(first + 1, last + 1))


async def test_a_client_goes_on_after_a_restart(tmp_path: Any) -> None:
    cursor: str | None = None
    seen: list[int] = []
    for _ in range(3):
        async with Hub(FileStore(tmp_path)) as hub, signed_in(Dashboard(hub)) as client:
            last = await notes(hub, 50)
            async with Frames.of(client, after=cursor) as frames:
                seen += seqs(await frames.rows(last))
                cursor = frames.last_id
            await notes(hub, 50)
    assert seen == list(range(len(seen)))


async def test_what_is_kept_no_longer_is_a_gap() -> None:
    """A hub without a journal has what is in memory."""
    async with Hub(ring=64, in_flight_max=16) as hub, signed_in(Dashboard(hub)) as client:
        first = await notes(hub, 4)
        async with Frames.of(client) as frames:
            await frames.rows(first)
            cursor = frames.last_id
        last = [await notes(hub, 500) for _ in range(20)][-1]
        async with Frames.of(client, after=cursor) as frames:
            gap = await frames.of_event("gap", "rows")
            rows = await frames.rows(last)
            assert gap.event == "gap"
            assert gap.data["code"] == "journal"
            assert (gap.data["first_seq"], gap.data["last_seq"]) == (first + 1, rows[0]["seq"] - 1)
            assert gap.id


async def test_who_begins_anew_misses_nothing() -> None:
    """What was before the newest events is no gap for a client that has seen nothing."""
    async with Hub(ring=64, in_flight_max=16) as hub, signed_in(Dashboard(hub)) as client:
        for _ in range(20):
            await notes(hub, 500)
        async with Frames.of(client) as frames:
            assert (await frames.of_event("gap", "rows")).event == "rows"


async def test_a_cursor_of_another_hub_is_stale() -> None:
    async with Hub() as hub, signed_in(Dashboard(hub)) as client, Frames.of(client) as frames:
        await frames.of_event("rows")
        cursor, was = frames.last_id, hub.id
    async with Hub() as hub, signed_in(Dashboard(hub)) as client, Frames.of(client, after=cursor) as frames:
        stale = await frames.of_event("stale", "rows")
        assert stale.data["code"] == "other_hub"
        assert (stale.data["was"], stale.data["is"]) == (was, hub.id)
        assert seqs((await frames.of_event("rows")).data)[0] == 0


@pytest.mark.parametrize("cursor", ["nonsense", "=", "A" * 3000, "AAAA", "%00"])
async def test_what_is_no_cursor_is_stale(cursor: str) -> None:
    async with Hub() as hub, signed_in(Dashboard(hub)) as client:
        answer_to = Frames.of(client, f"api/stream?since={cursor}") if len(cursor) < 2000 else None
        if answer_to is None:
            assert (await client.get("api/stream", params={"since": cursor})).status_code == 400
            return
        async with answer_to as frames:
            assert (await frames.of_event("stale", "rows")).data["code"] == "cursor"
            assert seqs((await frames.of_event("rows")).data)[0] == 0


async def test_ticks_tell_of_the_hub() -> None:
    async with Hub(MemoryStore()) as hub, signed_in(Dashboard(hub)) as client:
        await hub.agents.register("coder")
        async with Frames.of(client, "api/stream?boards=1") as frames:
            tick = (await frames.of_event("tick")).data
            assert tick["hub"]["agents"]["idle"] == 1
            assert len(tick["rate"]) == 60
            assert tick["problem"] is None
            assert tick["dropped"] == {"by": [], "listeners": 0}
            assert tick["lag_ms"] >= 0


async def test_filters_select_what_is_sent() -> None:
    async with Hub(MemoryStore()) as hub, signed_in(Dashboard(hub)) as client:
        agent = await hub.agents.register("coder")
        await hub.emit(note(1, agent_id=agent.id))
        await hub.emit(note(2))
        last = (await hub.emit(GenericEvent(kind="build.failed", data={}))).seq
        for query, found in (
            ("kind=note.*", ["note.made", "note.made"]),
            ("kind=note.made,build.*", ["note.made", "note.made", "build.failed"]),
            ("agent=coder&kind=note.*", ["note.made"]),
            ("outcome=failed", ["build.failed"]),
            ("last=1", ["build.failed"]),
        ):
            async with Frames.of(client, f"api/stream?{query}") as frames:
                rows = (await frames.of_event("rows")).data
                assert [row["kind"] for row in rows] == found, query
        assert last
        for query in ("outcome=good", "last=x", "last=-1", "raw=2", "kind=*.*.!", f"agent={'a' * 3000}"):
            answer = await client.get(f"api/stream?{query}")
            assert answer.status_code == 400, query
            assert answer.json()["error"]["code"] == "invalid"


async def test_whole_events_are_sent_on_request() -> None:
    async with Hub(MemoryStore()) as hub, signed_in(Dashboard(hub, show_content=True)) as client:
        event = await hub.emit(note(7))
        async with Frames.of(client, "api/stream?raw=1&last=1") as frames:
            frame = await frames.of_event("events")
            assert frame.data[0]["data"] == {"n": 7}
            assert (frame.data[0]["seq"], frame.data[0]["id"]) == (event.seq, event.id)


@pytest.mark.slow
async def test_a_hundred_clients_get_each_event_once() -> None:
    async with AsyncExitStack() as stack:
        hub = await stack.enter_async_context(Hub(MemoryStore()))
        dashboard = Dashboard(hub)
        client = await stack.enter_async_context(signed_in(dashboard))
        await notes(hub, 5)
        limits = httpx2.Limits(max_connections=None)
        many = await stack.enter_async_context(
            httpx2.AsyncClient(base_url=client.base_url, limits=limits, timeout=30, verify=False, trust_env=False)
        )
        many.cookies = client.cookies
        streams = [await stack.enter_async_context(Frames.of(many)) for _ in range(100)]
        last = [await notes(hub, 50) for _ in range(20)][-1]
        found = await asyncio.gather(*(each.rows(last) for each in streams))
        assert all(seqs(rows) == list(range(last + 1)) for rows in found)
        assert dashboard.statistics().streams == 100


@pytest.mark.slow
async def test_a_client_that_does_not_read_is_dropped(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The others and the hub do not notice, and the log of the program is not filled with it."""
    monkeypatch.setattr("hubwire.listeners.dashboard._stream._SLOW_SECONDS", 0.2)
    async with Hub(MemoryStore()) as hub:
        dashboard = Dashboard(hub)
        async with signed_in(dashboard) as client, Frames.of(client) as frames:
            stuck = socket.socket()
            stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            stuck.setblocking(False)
            await asyncio.get_running_loop().sock_connect(stuck, ("127.0.0.1", client.base_url.port))
            cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
            request = f"GET /api/stream HTTP/1.1\r\nHost: localhost\r\nCookie: {cookie}\r\n\r\n"
            await asyncio.get_running_loop().sock_sendall(stuck, request.encode())
            await until(lambda: dashboard.statistics().streams == 2)
            while not dashboard.statistics().slow_dropped:
                last = await notes(hub, 500)
                assert seqs(await frames.rows(last))[-1] == last
            await until(lambda: dashboard.statistics().streams == 1)
            stuck.close()
    assert "without completing" not in caplog.text


async def test_more_clients_than_may_are_told_to_wait() -> None:
    async with AsyncExitStack() as stack:
        hub = await stack.enter_async_context(Hub())
        dashboard = Dashboard(hub, streams_max=1)
        client = await stack.enter_async_context(signed_in(dashboard))
        async with Frames.of(client) as frames:
            await frames.of_event("rows")
            answer = await client.get("api/stream")
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "overloaded")
            assert answer.headers["retry-after"]
        await until(lambda: not dashboard.statistics().streams)
        async with Frames.of(client) as frames:
            await frames.of_event("rows")


async def test_a_client_that_has_gone_is_forgotten() -> None:
    async with Hub() as hub:
        dashboard = Dashboard(hub)
        async with signed_in(dashboard) as client:
            async with Frames.of(client) as frames:
                await frames.of_event("rows")
                assert dashboard.statistics().streams == 1
            await until(lambda: not dashboard.statistics().streams)


async def test_the_failure_of_the_hub_ends_the_streams() -> None:
    """The last thing that is told is that there is no more."""

    class Full(MemoryStore):
        is_full = False

        async def append(self, path: str, content: str | bytes, *, expect: int | None = None) -> int:
            if self.is_full:
                raise RuntimeError("the disk is gone")
            return await super().append(path, content, expect=expect)

    store = Full()
    with pytest.raises(HubError):
        async with Hub(store) as hub, signed_in(Dashboard(hub)) as client, Frames.of(client) as frames:
            await frames.of_event("rows")
            store.is_full = True
            with pytest.raises(HubError):
                await hub.emit(note(1))
            assert (await frames.of_event("stale")).data["code"] == "ended"


async def test_hostile_payloads_are_shown_as_text() -> None:
    hostile = [
        "\u2028\u2029\x85",
        "\x1b]0;x\x07",
        "\u202egnp.exe",
        "</script><img src=x>",
        "\ud800",
        "a\r\n\r\ndata: x",
        "x" * 5000,
    ]
    async with Hub(MemoryStore()) as hub, signed_in(Dashboard(hub, show_content=True)) as client:
        for text in hostile:
            await hub.emit(GenericEvent(kind="note.made", data={"text": text}))
        last = await notes(hub, 1)
        async with Frames.of(client) as frames:
            rows = await frames.rows(last)
            assert len(rows) == last + 1
            assert all(row["words"].isprintable() and len(row["words"]) <= 200 for row in rows)


async def test_a_large_event_holds_nobody_up() -> None:
    async with Hub(MemoryStore()) as hub, signed_in(Dashboard(hub, show_content=True)) as client:
        event = await hub.emit(GenericEvent(kind="note.made", data={"text": "x" * 2_000_000}))
        async with Frames.of(client) as frames:
            row = (await frames.rows(event.seq))[-1]
            assert row["words"].endswith("KiB: open the event to read it")


async def test_names_are_known_whose_beginning_is_not() -> None:
    """An agent that was registered before all that is kept has its name, redacted as all that is shown."""
    async with Hub(ring=64, in_flight_max=16) as hub:
        agent = await hub.agents.register("coder")
        for _ in range(20):
            await notes(hub, 500)
        async with signed_in(Dashboard(hub)) as client, Frames.of(client, "api/stream?last=0") as frames:
            last = (await hub.emit(note(1, agent_id=agent.id))).seq
            assert (await frames.rows(last))[-1]["agent"] == "coder"
