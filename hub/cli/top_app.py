"""``hubwire top`` with keys: live events, agents, approvals and listeners, as on the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import attrs
from rich.text import Text
from textual import events
from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import DataTable, Input, Static

from ..errors import HubError
from .failures import CommandFailed
from .output import escape
from .top_frame import sparkline
from .top_sources import Top, View
from .top_tables import cells, columns_for, key_of, matches, needs_look

__all__ = ("TopApp",)

_REFRESH_SECONDS = 1.0
_VIEW_KEYS: dict[str, View] = {"l": "live", "a": "agents", "p": "approvals", "h": "listeners"}
_ON_PAGE = {"c": "channels", "r": "runs", "v": "the log"}
_EMPTY = {
    "live": "There is no event yet: what comes is shown.",
    "agents": "No agent yet: await hub.agents.register('coder').",
    "approvals": "Nothing waits for a person: await hub.approvals.gate(agent, 'action') would.",
    "listeners": "No listener yet: Hub(listeners=[…]), or @hub.on('tool.*').",
}
KEYS = """\
/       search
space   pause, go on
j k     next, previous
enter   open
esc     close, go back
e       next that needs a look
a d     approve, deny
g l     Live
g a     Agents
g p     Approvals
g h     Listeners
t       light, dark
?       this list
q       quit"""


class _Text(ModalScreen[None]):
    """A text over the rest, until Escape."""

    BINDINGS: ClassVar[list[Any]] = [
        Binding("escape,q,enter,question_mark", "dismiss_text", "close"),
        Binding("j", "scroll(1)", show=False),
        Binding("k", "scroll(-1)", show=False),
    ]

    def __init__(self, title: str, text: str) -> None:
        super().__init__()
        self._title = title
        self._text = text

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="text"):
            yield Static(Text(self._title, "bold"))
            yield Static(Text(self._text))

    def action_dismiss_text(self) -> None:
        self.dismiss()

    def action_scroll(self, lines: int) -> None:
        self.query_one(VerticalScroll).scroll_relative(y=lines, animate=False)


@attrs.define
class _Decision:
    """A decision that is being made."""

    approval_id: str
    verdict: str
    reason: str = ""
    prompts: list[str] = attrs.Factory(list)
    """What has to be replied to before a yes counts."""
    replies: list[str] = attrs.Factory(list)


class TopApp(App[int]):
    """Draws what a source brings, once a second and at each key; returns the exit code."""

    CSS: ClassVar[str] = """
    #head, #views, #note, #hints { height: 1; }
    #hints { color: $text-muted; }
    DataTable { height: 1fr; }
    #ask { display: none; border: none; height: 1; padding: 0; background: $surface; }
    #ask.shown { display: block; }
    _Text { align: center middle; }
    #text { width: 90%; max-width: 110; height: auto; max-height: 90%; padding: 1 2; background: $panel; }
    """
    ENABLE_COMMAND_PALETTE: ClassVar[bool] = False
    BINDINGS: ClassVar[list[Any]] = [
        Binding("ctrl+c", "interrupt", priority=True, show=False),
        Binding("q", "leave"),
        Binding("j", "move(1)"),
        Binding("k", "move(-1)"),
        Binding("e", "next_error"),
        Binding("space", "pause"),
        Binding("slash", "search"),
        Binding("question_mark", "keys"),
        Binding("t", "theme"),
        Binding("g", "go"),
        Binding("home", "newest", priority=False),
        Binding("escape", "back"),
        *(Binding(letter, f"letter('{letter}')") for letter in "lapdhcrv"),
    ]

    def __init__(self, source: Top) -> None:
        super().__init__()
        self.view: View = "agents"
        self.failure: Exception | None = None
        """What has ended the source, which the command ends with."""
        self._source = source
        self._rows: list[Mapping[str, Any]] = []
        self._not_shown = 0
        """The newest event when the view was paused."""
        self.is_paused: bool = False
        self._goes = False
        """Whether the next letter names a view."""
        self._search = ""
        self._asks = ""
        """What the field is for: ``search``, ``approve``, ``deny`` or ``reply``; empty while it is hidden."""
        self._decision: _Decision | None = None

    def compose(self) -> ComposeResult:
        yield Static(id="head")
        yield Static(id="views")
        yield DataTable(cursor_type="row", zebra_stripes=False)
        yield Static(id="note")
        yield Input(id="ask")
        yield Static(Text("? keys   / search   space pause   enter open   g l a p h views   q quit"), id="hints")

    async def on_mount(self) -> None:
        self.query_one(DataTable).focus()
        self.run_worker(self._follow(), exit_on_error=False)
        self.set_interval(_REFRESH_SECONDS, self._redraw)
        await self._redraw()

    async def _follow(self) -> None:
        try:
            await self._source.run()
        except Exception as error:  # noqa: BLE001 - the command says it, when the terminal is given back
            self.failure = error
            self.exit(1)

    # -- drawing --

    async def _redraw(self) -> None:
        await self._draw_head()
        if self.is_paused:
            self._draw_note()
            return
        try:
            self._rows, self._not_shown = await self._source.rows(self.view)
        except (CommandFailed, HubError) as error:
            self._note(Text(escape(str(error)), "yellow"))
            return
        self._draw_table()
        self._draw_note()

    async def _draw_head(self) -> None:
        hub, rate = await self._source.hub(), await self._source.rate()
        is_over = hub.get("state") == "stopped" and self._source.state == "Live"
        state = "stopped" if is_over else self._source.state
        style = {"Live": "green", "stopped": "bold"}.get(state, "yellow")
        head = Text("hubwire top  ", "bold").append(escape(state), style)
        if hub and hub.get("events"):
            head.append(f"  #{hub['seq']:,}  {hub['events_per_second']:,.1f}/s ")
            head.append(sparkline(rate[-min(60, max(self.size.width - 70, 10)) :]), "cyan")
            if hub["missing"]:
                head.append(f"  {hub['missing']:,} missing", "red")
        head.append(f"  {escape(self._source.name)}", "dim")
        head.truncate(self.size.width, overflow="ellipsis")
        self.query_one("#head", Static).update(head)
        views = Text()
        waiting, troubled = hub.get("approvals_waiting", 0), hub.get("listeners_troubled", 0)
        for key, view in _VIEW_KEYS.items():
            views.append(f" {key} ", "dim").append(view.capitalize(), "bold reverse" if view == self.view else "")
            if view == "approvals" and waiting:
                views.append(f" {waiting}", "bold cyan")
            if view == "listeners" and troubled:
                views.append(f" {troubled}", "red")
            views.append("  ")
        self.query_one("#views", Static).update(views)

    def _draw_table(self) -> None:
        table = self.query_one(DataTable)
        selected = self._selected_key()
        at, columns = table.cursor_row, columns_for(self.view, self.size.width)
        rows = self._matching()
        scroll = table.scroll_y
        table.clear(columns=True)
        for column in columns:
            table.add_column(Text(column.head, "dim", justify=column.justify), width=column.cells)
        keys = [key_of(self.view, row) for row in rows]
        for key, row in zip(keys, rows, strict=True):
            if key not in table.rows:
                table.add_row(*cells(columns, row), key=key)
        if selected in keys and not (self.view == "live" and at == 0):
            table.move_cursor(row=keys.index(selected), animate=False, scroll=False)
            table.scroll_to(y=scroll, animate=False, immediate=True)

    def _matching(self) -> list[Mapping[str, Any]]:
        return [row for row in self._rows if matches(row, self._search)]

    def _selected_key(self) -> str:
        table = self.query_one(DataTable)
        if not table.row_count:
            return ""
        return str(table.coordinate_to_cell_key(table.cursor_coordinate).row_key.value)

    def _selected(self) -> Mapping[str, Any] | None:
        key = self._selected_key()
        return next((row for row in self._rows if key_of(self.view, row) == key), None)

    def _draw_note(self) -> None:
        said = Text()
        if self.is_paused:
            said.append("Paused. ", "bold").append("space goes on. ")
        if self._search:
            said.append(f"/{escape(self._search)}", "bold").append(
                f" {len(self._matching()):,} of {len(self._rows):,}. "
            )
        if not self._rows and not self.is_paused:
            said.append(_EMPTY[self.view], "dim")
        elif self._search and not self._matching():
            said.append("Nothing matches; esc drops the search.", "yellow")
        elif self._not_shown:
            said.append(f"and {self._not_shown:,} more", "dim")
        self._note(said)

    def _note(self, said: Text) -> None:
        said.truncate(self.size.width, overflow="ellipsis")
        self.query_one("#note", Static).update(said)

    def on_resize(self, _: events.Resize) -> None:
        """Lay the columns out anew."""
        if self.query(DataTable) and self._rows:
            self._draw_table()

    # -- keys --

    def action_interrupt(self) -> None:
        self.exit(130)

    def action_leave(self) -> None:
        self.exit(0)

    def action_go(self) -> None:
        self._goes = True

    async def action_letter(self, letter: str) -> None:
        """Go to the view of a letter after ``g``; else it is the key of an action."""
        if self._goes:
            self._goes = False
            if letter in _VIEW_KEYS:
                await self.show_view(_VIEW_KEYS[letter])
            elif letter in _ON_PAGE:
                self.notify(f"{_ON_PAGE[letter]}: on the page, which hubwire serve opens")
        elif letter in "ad":
            self._ask_why("approve" if letter == "a" else "deny")

    async def show_view(self, view: View) -> None:
        """Show a view, from its beginning."""
        self.view, self.is_paused, self._rows = view, False, []
        self.query_one(DataTable).clear(columns=True)
        await self._redraw()

    def action_move(self, rows: int) -> None:
        self._goes = False
        table = self.query_one(DataTable)
        table.move_cursor(row=table.cursor_row + rows, animate=False)

    def action_newest(self) -> None:
        self.query_one(DataTable).move_cursor(row=0, animate=False)

    def action_next_error(self) -> None:
        table, rows = self.query_one(DataTable), self._matching()
        for number in (*range(table.cursor_row + 1, len(rows)), *range(min(table.cursor_row + 1, len(rows)))):
            if needs_look(self.view, rows[number]):
                table.move_cursor(row=number, animate=False)
                return
        self.notify("nothing here needs a look")

    async def action_pause(self) -> None:
        self.is_paused = not self.is_paused
        await self._redraw()

    def action_theme(self) -> None:
        self.theme = "textual-light" if self.theme == "textual-dark" else "textual-dark"

    def action_keys(self) -> None:
        self.push_screen(_Text("Keys", KEYS))

    async def action_back(self) -> None:
        """Close the field, or drop the search."""
        if self._asks:
            self._hide_field()
        elif self._search:
            self._search = ""
            await self._redraw()
        self._goes = False

    async def on_data_table_row_selected(self, _: DataTable.RowSelected) -> None:
        """Open a row."""
        row = self._selected()
        if row is None:
            return
        try:
            text = await self._source.details(self.view, row)
        except (CommandFailed, HubError) as error:
            text = escape(str(error))
        self.push_screen(_Text(f"{self.view} {key_of(self.view, row)}", text))

    # -- the field --

    def action_search(self) -> None:
        self._show_field("search", "search, esc goes back", self._search)

    def _ask_why(self, verdict: str) -> None:
        row = self._selected()
        if self.view != "approvals" or row is None or row["state"] != "waiting":
            self.notify("select what waits: g p, then j k")
        elif self._source.why_not:
            self.notify(self._source.why_not)
        else:
            self._decision = _Decision(str(row["approval_id"]), verdict)
            needed = "" if verdict == "approve" else " (needed)"
            self._show_field(verdict, f"why {verdict}{needed}; enter {verdict}s, esc goes back", "")

    def _show_field(self, asks: str, words: str, value: str) -> None:
        self._asks = asks
        field = self.query_one("#ask", Input)
        field.placeholder, field.value = words, value
        field.add_class("shown")
        field.focus()

    def _hide_field(self) -> None:
        self._asks = ""
        self.query_one("#ask", Input).remove_class("shown")
        self.query_one(DataTable).focus()

    async def on_input_submitted(self, message: Input.Submitted) -> None:
        """Search, or decide."""
        asks, said = self._asks, message.value.strip()
        if asks == "search":
            self._search = said
        elif asks == "deny" and not said:
            self.notify("the agent is told why: write a reason")
            return
        self._hide_field()
        if asks != "search" and self._decision is not None:
            await self._go_on(self._decision, asks, said)
        await self._redraw()

    async def _go_on(self, decision: _Decision, asks: str, said: str) -> None:
        """Take in a reason or a reply; ask what has to be replied to before a yes counts, and then decide."""
        try:
            if asks == "reply":
                decision.replies.append(said)
            else:
                decision.reason = said
                decision.prompts = await self._source.prompts(decision.approval_id) if asks == "approve" else []
            if (number := len(decision.replies)) < len(decision.prompts):
                count = f" ({number + 1} of {len(decision.prompts)})" if len(decision.prompts) > 1 else ""
                self._show_field("reply", f"{decision.prompts[number]}{count}; esc goes back", "")
                return
            state = await self._source.decide(decision.approval_id, decision.verdict, decision.reason, decision.replies)
        except (CommandFailed, HubError) as error:
            self.notify(escape(str(error)), severity="warning", markup=False)
        else:
            self.notify("answered; others have to answer, too" if state == "waiting" else state)
