"""One frame of ``hubwire top``: a head, the agents, what waits for a person, and what went wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import attrs
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..board import AgentView, ApprovalView, CountsView, HubView, Rows, TroubleView
from .output import escape, plural

__all__ = ("WORDS", "Boards", "Frame", "Size", "duration", "sparkline")

_WIDE = 110
"""Columns from which on a row has room for tokens, cost and turns."""
_NARROW = 60
"""Columns below which a row has room for who it is and what it does, and for no numbers."""

_SPARKS = "▁▂▃▄▅▆▇█"

WORDS: Mapping[str, tuple[str, str, str]] = {
    "failing": ("✗", "failing", "red"),
    "waits_for_person": ("☻", "waits for a person", "yellow"),
    "silent": ("◌", "silent", "yellow"),
    "working": ("◐", "working", "cyan"),
    "waits_for_agent": ("⇄", "waits for an agent", ""),
    "idle": ("○", "idle", "dim"),
    "gone": ("–", "gone", "dim"),
}


class Boards(Protocol):
    """What is drawn: a board that is folded here, or what a hub says of its own."""

    def hub(self, *, now: float | None = None) -> HubView: ...
    def counts(self, per: str = "second", *, buckets: int = 60, now: float | None = None) -> CountsView: ...
    def agents(self, *, now: float | None = None, limit: int | None = None) -> Rows[AgentView]: ...
    def approvals(self, *, now: float | None = None, limit: int | None = None) -> Rows[ApprovalView]: ...
    def troubles(self, *, limit: int | None = None) -> Rows[TroubleView]: ...


@attrs.frozen
class Size:
    """Of a terminal, in cells."""

    columns: int
    rows: int


def duration(seconds: float | None) -> str:
    """Return how long, as ``40 ms``, ``1.8 s``, ``4 min 2 s``, ``3 h 5 min``, ``12 d``; ``–`` if that is not known."""
    if seconds is None:
        return "–"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min" if whole < 86400 else f"{whole // 86400:,} d"


def sparkline(counts: list[int]) -> str:
    """Return a line of bars; what is not zero is at least the lowest of them."""
    most = max(counts, default=0)
    if not most:
        return " " * len(counts)
    return "".join(_SPARKS[-(-each * (len(_SPARKS) - 1) // most)] if each else " " for each in counts)


@attrs.frozen
class Frame:
    """What is drawn, as of ``now``; None: as of the newest event."""

    board: Boards
    now: float | None
    title: str
    size: Size
    state: str = "unknown"
    """Of the hub: running or stopped, as far as is known."""
    trouble: str = ""
    """Why what is drawn is not of now; empty if it is."""

    def made(self, *, is_reading: bool, damaged: int) -> RenderableType:
        """Return the whole frame, which fits the terminal."""
        hub = self.board.hub(now=self.now)
        waiting = [each for each in self.board.approvals(now=self.now) if each.state == "waiting"]
        troubles = self.board.troubles(limit=5)
        head = self._head(hub, is_reading=is_reading, damaged=damaged)
        below = (min(len(waiting), 5) + 2 if waiting else 0) + (len(troubles) + 2 if len(troubles) else 0)
        rows = max(3, self.size.rows - len(head) - below - 4)
        parts: list[RenderableType] = [*head, Text(), *self._agents(hub, rows)]
        if waiting:
            parts += [Text(), self._heading(f"Approvals: {len(waiting):,} waiting"), self._approvals(waiting[:5])]
        if len(troubles):
            wrong = f"{hub.wrong:,} wrong, {hub.attention:,} to look at"
            parts += [Text(), self._heading(f"Trouble: {wrong}"), self._troubles(list(troubles))]
        return Group(*parts)

    # -- the head --

    def _head(self, hub: HubView, *, is_reading: bool, damaged: int) -> list[RenderableType]:
        if not hub.events:
            waits = "Reading the log …" if is_reading else "There is no event yet: what comes is shown."
            return [
                self._cut(Text().append("hubwire top", "bold").append(f"  {escape(self.title)}", "dim")),
                Text(waits),
                *self._trouble(),
            ]
        first = Text().append("hubwire top  ", "bold")
        first.append(*{"running": ("running", "green"), "stopped": ("stopped", "")}.get(self.state, ("", "")))
        first.append(f"  #{hub.seq:,} at {escape(hub.at[11:19])}  hub …{escape(hub.hub[-8:])}", "")
        if is_reading:
            first.append("  reading …", "cyan")
        first.append(f"  {escape(self.title)}", "dim")
        second = Text(f"{hub.events:,} events  {hub.events_per_second:,.1f}/s ")
        seconds = 60 if self.size.columns >= _WIDE else 30 if self.size.columns >= _NARROW else 12
        counts = self.board.counts("second", buckets=seconds, now=self.now)
        second.append(sparkline([each.wrong + each.attention + each.other for each in counts.buckets]), "cyan")
        second.append(f" {len(counts.buckets)} s", "dim")
        if hub.first_seq > 0:
            second.append(f"  from #{hub.first_seq:,} on", "dim")
        for count, words in (
            (hub.missing, f"{plural(hub.missing, 'event')} missing"),
            (damaged, f"{plural(damaged, 'record')} damaged"),
            (hub.listeners_troubled, f"{plural(hub.listeners_troubled, 'listener')} in trouble"),
        ):
            if count:
                second.append(f"  {words}", "red")
        return [self._cut(first), self._cut(second), *self._trouble()]

    def _trouble(self) -> list[RenderableType]:
        return [self._cut(Text(escape(self.trouble), "yellow"))] if self.trouble else []

    def _cut(self, text: Text) -> Text:
        text.truncate(self.size.columns, overflow="ellipsis")
        text.no_wrap = True
        return text

    def _heading(self, words: str) -> Text:
        return self._cut(Text(words, "bold"))

    # -- the agents --

    def _agents(self, hub: HubView, rows: int) -> list[RenderableType]:
        views = self.board.agents(now=self.now, limit=rows)
        counts = ", ".join(
            f"{count:,} {WORDS[state][1].replace('waits', 'waiting')}" for state, count in hub.agents.items() if count
        )
        heading = self._heading(f"Agents: {counts or 'none yet'}")
        if not len(views):
            return [heading]
        is_wide, is_narrow = self.size.columns >= _WIDE, self.size.columns < _NARROW
        table = _table()
        table.add_column("", no_wrap=True, width=20 if is_wide else 15, overflow="ellipsis")
        table.add_column("agent", no_wrap=True, ratio=3, overflow="ellipsis")
        table.add_column("now", no_wrap=True, ratio=5 if is_wide else 4, overflow="ellipsis")
        if not is_narrow:
            table.add_column("inbox", justify="right", no_wrap=True)
        if is_wide:
            table.add_column("turns", justify="right", no_wrap=True)
            table.add_column("tokens", justify="right", no_wrap=True)
            table.add_column("cost", justify="right", no_wrap=True)
        if not is_narrow:
            table.add_column("err", justify="right", no_wrap=True)
            table.add_column("seen", justify="right", no_wrap=True)
        for view in views:
            cells = self._agent(view, is_wide=is_wide)
            table.add_row(*(cells[:3] if is_narrow else cells))
        more = views.not_shown
        return [heading, table, *([Text(f"and {plural(more, 'agent')} more", "dim")] if more else [])]

    def _agent(self, view: AgentView, *, is_wide: bool) -> list[Text]:
        icon, words, style = WORDS[view.state]
        if not is_wide:
            words = words.replace("waits for a person", "waits: person").replace("waits for an agent", "waits: agent")
        name = Text(escape(view.name), "dim" if view.group == "quiet" else "bold")
        inbox = "–" if view.inbox is None else f"{view.inbox:,}"
        is_full = view.inbox is not None and view.inbox_cap is not None and view.inbox >= 0.7 * view.inbox_cap
        wide = [
            _number(view.in_flight),
            _number(view.input_tokens + view.output_tokens),
            Text("–" if view.cost_usd is None else f"${view.cost_usd:,.2f}", "dim" if view.cost_usd is None else ""),
        ]
        return [
            Text(f"{icon} {words}", style),
            name,
            _doing(view),
            Text(inbox, "yellow" if is_full else "" if view.inbox else "dim"),
            *(wide if is_wide else ()),
            _number(view.errors, "red" if view.state == "failing" else ""),
            Text(duration(view.silent_seconds), "yellow" if view.state == "silent" else "dim"),
        ]

    # -- what waits, and what went wrong --

    def _approvals(self, views: list[ApprovalView]) -> Table:
        is_narrow = self.size.columns < _NARROW
        table = _table(show_header=False)
        table.add_column(no_wrap=True, width=self._first_width, overflow="ellipsis")
        table.add_column(no_wrap=True, ratio=3, overflow="ellipsis")
        table.add_column(no_wrap=True, ratio=4 if is_narrow else 7, overflow="ellipsis")
        if not is_narrow:
            table.add_column(justify="right", no_wrap=True)
        for view in views:
            left = "no time limit" if view.seconds_left is None else f"{duration(view.seconds_left)} left"
            left = left if view.seconds_left != 0 else "its time is up"
            is_short = view.seconds_left is not None and view.seconds_left < 120
            risk = view.risk_level + ("" if view.risk_score is None else f" {view.risk_score:.2f}")
            cells = [
                Text(left.removesuffix(" left") if is_narrow else left, "yellow" if is_short else ""),
                Text(escape(view.agent), "bold"),
                Text(escape(f"{view.action} {view.arguments}".strip())),
                Text(escape(risk), "yellow" if view.risk_level in ("high", "critical") else "dim"),
            ]
            table.add_row(*(cells[:3] if is_narrow else cells))
        return table

    @property
    def _first_width(self) -> int:
        return 20 if self.size.columns >= _WIDE else 15 if self.size.columns >= _NARROW else 10

    def _troubles(self, views: list[TroubleView]) -> Table:
        table = _table(show_header=False)
        table.add_column(no_wrap=True, width=self._first_width, overflow="ellipsis")
        table.add_column(no_wrap=True, ratio=3, overflow="ellipsis")
        table.add_column(no_wrap=True, ratio=3, overflow="ellipsis")
        table.add_column(no_wrap=True, ratio=5, overflow="ellipsis")
        for view in views:
            said = view.text if view.name in ("", view.text) else f"{view.name}: {view.text}".removesuffix(": ")
            table.add_row(
                Text(f"{escape(view.at[11:19])} #{view.seq}", "dim"),
                Text(escape(view.agent)),
                Text(escape(view.kind), "red" if view.is_wrong else "yellow"),
                Text(escape(said)),
            )
        return table


def _table(*, show_header: bool = True) -> Table:
    return Table(
        box=None, expand=True, padding=(0, 1, 0, 0), pad_edge=False, show_header=show_header, header_style="dim"
    )


def _number(count: int, style: str = "") -> Text:
    return Text(f"{count:,}", style if count else "dim")


def _doing(view: AgentView) -> Text:
    if view.state == "failing":
        return Text(escape(view.why.partition(": ")[2] or view.why), "red")
    if view.doing is None and view.state == "silent":
        return Text("does not read its inbox")
    if view.doing is None:
        return Text("–", "dim")
    what = view.doing.family if not view.doing.name else f"{view.doing.family} {view.doing.name}"
    return Text(f"{escape(what)} {duration(view.doing.seconds)}")
