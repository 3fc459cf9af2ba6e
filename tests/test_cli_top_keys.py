"""``hubwire top`` with keys, by Textual's pilot: views, search, pause, what is opened, and what is decided."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import DataTable, Input, Static

from hubwire import GenericEvent, Hub
from hubwire.cli.target import open_target
from hubwire.cli.top_app import TopApp
from hubwire.cli.top_sources import LogTop
from hubwire.cli.top_tables import cells, columns_for
from hubwire.events import ToolCalled, TurnFailed
from hubwire.stores import FileStore

EVIL = "evil\x1b[31m\u202e[bold]agent"


class Watched(LogTop):
    """A log on which decisions are noted, as a hub's dashboard would do them."""

    decided: list[tuple[str, ...]]
    asked_first: tuple[str, ...] = ()

    async def prompts(self, approval_id: str) -> list[str]:
        return [*self.asked_first]

    async def decide(self, approval_id: str, verdict: str, reason: str, replies: Sequence[str]) -> str:
        self.decided.append((approval_id, verdict, reason, *replies))
        return "approved"


@asynccontextmanager
async def hub_at_work(root: Path) -> AsyncIterator[Hub]:
    async with Hub(FileStore(root)) as hub:
        planner, evil = await hub.agents.register("planner"), await hub.agents.register(EVIL)
        await hub.emit(ToolCalled(agent_id=planner.id, tool="pytest", call_id="1", arguments={"a": EVIL}))
        await hub.emit(TurnFailed(agent_id=evil.id, turn_id="t", error_message=f"no money {EVIL}"))
        await hub.approvals.request(planner, "drop_table", arguments={"name": "users"})
        await hub.flush()
        yield hub


@asynccontextmanager
async def top(root: Path, columns: int = 100) -> AsyncIterator[tuple[TopApp, Pilot[int], Watched]]:
    source = Watched(open_target(str(root)), "/journal", str(root), tenant=None, raw=False)
    source.decided = []
    app = TopApp(source)
    try:
        async with app.run_test(size=(columns, 24)) as pilot:
            await until(pilot, lambda: source.state == "Live")
            await app._redraw()
            yield app, pilot, source
    finally:
        await source.aclose()


async def until(pilot: Pilot[int], is_so: Any) -> None:
    for _ in range(200):
        if is_so():
            return
        await pilot.pause(0.05)
    raise AssertionError("it never came to be so")


def lines(app: TopApp) -> list[str]:
    table = app.screen_stack[0].query_one(DataTable)
    return [" ".join(str(cell).strip() for cell in table.get_row_at(row)) for row in range(table.row_count)]


def said(app: TopApp, name: str) -> str:
    return str(app.screen_stack[0].query_one(f"#{name}", Static).content)


async def test_keys_go_to_views(tmp_path: Path) -> None:
    async with hub_at_work(tmp_path), top(tmp_path) as (app, pilot, _):
        assert "waits: person" in lines(app)[1]
        for letter, view, wanted in (
            ("l", "live", "approval"),
            ("p", "approvals", "drop_table"),
            ("a", "agents", "pla"),
        ):
            await pilot.press("g", letter)
            assert app.view == view
            assert any(wanted in line for line in lines(app))
        await pilot.press("g", "h")
        assert app.view == "listeners"
        assert "No listener yet" in said(app, "note")
        assert "p Approvals 1" in said(app, "views")


async def test_what_agents_say_is_text(tmp_path: Path) -> None:
    """No sequence and no markup of theirs reaches the terminal."""
    async with hub_at_work(tmp_path), top(tmp_path) as (app, pilot, _):
        await pilot.press("g", "l")
        shown = "\n".join(lines(app))
        assert r"\x1b[31m" in shown
        assert "\x1b" not in shown
        await pilot.press("e", "enter")
        texts = [str(each.content) for each in app.screen.query(Static)]
        assert any("no money" in text and "[bold]" in text for text in texts)
        assert not any("\x1b" in text or "\u202e" in text for text in texts)


@pytest.mark.slow
async def test_a_search_narrows_and_escape_drops_it(tmp_path: Path) -> None:
    async with hub_at_work(tmp_path), top(tmp_path) as (app, pilot, _):
        await pilot.press("g", "l", "slash", *"PYTEST", "enter")
        assert len(lines(app)) == 1
        assert "/PYTEST 1 of" in said(app, "note")
        await pilot.press("slash", *"zzz", "enter")
        assert "Nothing matches" in said(app, "note")
        await pilot.press("escape")
        assert len(lines(app)) > 3


async def test_pause_holds_and_goes_on(tmp_path: Path) -> None:
    async with hub_at_work(tmp_path) as hub, top(tmp_path) as (app, pilot, source):
        await pilot.press("g", "l", "space")
        before = lines(app)
        await hub.emit(GenericEvent(kind="own.done", data={"n": 1}))
        await hub.flush()
        await until(pilot, lambda: any(b"own.done" in body for body in source._newest))
        await app._redraw()
        assert lines(app) == before
        assert "Paused" in said(app, "note")
        await pilot.press("space")
        assert "own.done" in lines(app)[0]


async def test_the_cursor_stays_on_its_row(tmp_path: Path) -> None:
    async with hub_at_work(tmp_path) as hub, top(tmp_path) as (app, pilot, source):
        await pilot.press("g", "l", "j", "j")
        key = app._selected_key()
        await hub.emit(GenericEvent(kind="own.done", data={"n": 1}))
        await hub.flush()
        await until(pilot, lambda: any(b"own.done" in body for body in source._newest))
        await app._redraw()
        assert app._selected_key() == key
        await pilot.press("e")
        assert "turn.failed" in lines(app)[app.query_one(DataTable).cursor_row]


@pytest.mark.slow
async def test_what_a_yes_needs_is_asked_one_after_the_other(tmp_path: Path) -> None:
    """A denial needs no more than its reason, and esc leaves all of it undone."""
    async with hub_at_work(tmp_path) as hub, top(tmp_path) as (app, pilot, source):
        pending = hub.approvals.pending()[0].approval_id
        source.why_not, source.asked_first = "", ("Type the value of name", "Type the value of rows")
        field = app.query_one("#ask", Input)
        await pilot.press("g", "p", "a", "o", "k", "enter")
        assert field.placeholder == "Type the value of name (1 of 2); esc goes back"
        await pilot.press("u", "enter")
        assert field.placeholder == "Type the value of rows (2 of 2); esc goes back"
        await pilot.press("escape")
        assert source.decided == []
        await pilot.press("a", "enter", "u", "enter", "3", "enter")
        assert source.decided == [(pending, "approve", "", "u", "3")]
        await pilot.press("d", "n", "o", "enter")
        assert source.decided[1:] == [(pending, "deny", "no")]


@pytest.mark.slow
async def test_an_approval_is_decided_by_keys(tmp_path: Path) -> None:
    """A log is only looked at; denying needs a reason."""
    async with hub_at_work(tmp_path) as hub, top(tmp_path) as (app, pilot, source):
        (pending,) = hub.approvals.pending()
        await pilot.press("g", "p", "a")
        assert not app.query_one(Input).has_class("shown")
        source.why_not = ""
        await pilot.press("d")
        assert app.query_one(Input).has_class("shown")
        await pilot.press("enter")
        assert source.decided == []
        await pilot.press(*"no", "enter")
        assert source.decided == [(pending.approval_id, "deny", "no")]
        await pilot.press("a", "escape")
        assert not app.query_one(Input).has_class("shown")
        await pilot.press("a", "enter")
        assert source.decided[1:] == [(pending.approval_id, "approve", "")]


@pytest.mark.slow
async def test_keys_theme_and_leaving(tmp_path: Path) -> None:
    async with hub_at_work(tmp_path), top(tmp_path) as (app, pilot, _):
        theme = app.theme
        await pilot.press("t")
        assert app.theme != theme
        await pilot.press("question_mark")
        assert any("approve, deny" in str(each.content) for each in app.screen.query(Static))
        await pilot.press("escape", "q")
        assert app.return_value == 0


async def test_ctrl_c_ends_as_in_any_program(tmp_path: Path) -> None:
    async with hub_at_work(tmp_path), top(tmp_path) as (app, pilot, _):
        await pilot.press("ctrl+c")
        assert app.return_value == 130


@pytest.mark.parametrize("columns", [120, 80, 60, 40])
async def test_columns_fit_every_width(tmp_path: Path, columns: int) -> None:
    async with hub_at_work(tmp_path), top(tmp_path, columns) as (app, pilot, source):
        for letter in "lap":
            await pilot.press("g", letter)
            found = columns_for(app.view, columns)
            assert sum(each.cells + 2 for each in found) <= columns
            rows, _ = await source.rows(app.view)
            for row in rows:
                assert all(text.cell_len <= each.cells for text, each in zip(cells(found, row), found, strict=True))
