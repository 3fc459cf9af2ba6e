"""Runs: turns, calls of models and tools, and tasks, as what belongs together; and the hand-overs between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import attrs

from ._agents import Agents
from ._entries import HandOverEntry, RunEntry, SpanEntry
from ._kept import Kept
from ._limits import BoardLimits
from ._reading import NAME_MAX, TEXT_MAX, gist, identifier, number, place_of, short, text_or, words
from ._trail import Trail, TrailKept

__all__ = ("Runs", "RunsKept")

_LATE_MAX = 1_000
"""How many spans that were abandoned are looked at when an end comes late."""
_AGENTS_MAX = 50
_HAND_OVERS_MAX = 100

_ENDINGS = {
    "completed": "ok",
    "ended": "ok",
    "failed": "failed",
    "abandoned": "abandoned",
    "cancelled": "abandoned",
    "expired": "abandoned",
}


@attrs.define(eq=False)
class RunsKept:
    """What a snapshot has of them."""

    going: list[RunEntry]
    ended: list[RunEntry]
    not_shown: int
    spans: list[SpanEntry]
    held: list[int]
    late: list[int]
    trail: TrailKept
    next_number: int


class Runs:
    """What agents were at, as far as turns, calls and tasks tell of it."""

    def __init__(self, limits: BoardLimits, agents: Agents) -> None:
        self._limits = limits
        self._agents = agents
        self.kept: Kept[RunEntry] = Kept(limits.runs, limits.runs)
        self.spans: dict[int, SpanEntry] = {}
        """All that runs show, or whose end has not come."""
        self._held: dict[int, SpanEntry] = {}
        """Those whose end has not come, those that were abandoned included."""
        self._by_id: dict[tuple[str, str], list[SpanEntry]] = {}
        """The same by family and id."""
        self._late: dict[int, SpanEntry] = {}
        """Those of them that were abandoned, in this order."""
        self._trail = Trail()
        self._next = 0

    def handlers(self) -> Mapping[str, Callable[[Any], None]]:
        found: dict[str, Callable[[Any], None]] = {
            "turn.started": self._turn_started,
            "model.called": partial(self._called, "model"),
            "tool.called": partial(self._called, "tool"),
            "agent.switched": self._switched,
        }
        for family, done in (("turn", "ended"), ("model", "completed"), ("tool", "completed")):
            for ending in (done, "failed", "abandoned"):
                found[f"{family}.{ending}"] = partial(self._ended, family, _ENDINGS[ending])
        return found

    # -- beginnings --

    def _turn_started(self, event: Any) -> None:
        turn_id = identifier(event.turn_id)
        said, before = self._trail.of(event.envelope_id)
        cause = self.spans.get(before)
        if cause is not None and cause.agent_id == event.agent_id:
            cause = None
        task = self._find("task", event.task_id, event)
        run_id = (
            _run_of(event.correlation_id, "correlation")
            or (task.run_id if task else None)
            or (cause.run_id if cause else None)
            or _run_of(event.task_id, "task")
            or _run_of(event.session_id, "session")
            or f"turn:{turn_id}"
        )
        span = self._begin(event, "turn", turn_id, "", run_id, task, gist(event.prompt) if event.prompt else said)
        self._trail.handles(event, span.number)
        if cause is not None:
            span.cause = cause.number
            self._hand_over(span.started_at, span, cause)

    def _called(self, family: str, event: Any) -> None:
        call_id, name = identifier(event.call_id), words(event.model if family == "model" else event.tool)
        turn = self._find("turn", event.turn_id, event)
        said = gist(event.arguments) if family == "tool" and event.arguments else ""
        self._begin(event, family, call_id, name, self._run_of(event, turn), turn, said)

    def task_started(self, event: Any, task_id: str, title: str) -> None:
        """A task is a part of the turn in which it was started, or of its parent."""
        above = self._find("task", event.parent_id, event) or self._find("turn", event.turn_id, event)
        run_id = (above.run_id if above else None) or _run_of(event.correlation_id, "correlation") or f"task:{task_id}"
        self._begin(event, "task", task_id, title, run_id, above, "")

    def task_ended(self, event: Any, ending: str, detail: str) -> None:
        span = self._find("task", event.task_id, event)
        if span is not None:
            self._end(span, _ENDINGS[ending], event, detail)

    def run_of(self, event: Any) -> str:
        """Return the run that an event belongs to by what it says of itself, or by the turn that it is about."""
        return self._run_of(event, self._find("turn", event.turn_id, event))

    @staticmethod
    def _run_of(event: Any, turn: SpanEntry | None) -> str:
        if turn is not None:
            return turn.run_id
        return (
            _run_of(event.correlation_id, "correlation")
            or _run_of(event.session_id, "session")
            or _run_of(event.task_id, "task")
            or _run_of(event.turn_id, "turn")
            or _run_of(event.channel_id, "channel")
            or _run_of(event.agent_id, "agent")
            or "other"
        )

    def _begin(
        self, event: Any, family: str, span_id: str, name: str, run_id: str, parent: SpanEntry | None, said: str
    ) -> SpanEntry:
        key = (family, span_id)
        agent_id, turn_id, channel_id, task_id = place_of(event)
        if key in self._by_id:
            self._begun_again(self._by_id[key], agent_id, turn_id, event)
        occurred_at = event.occurred_at
        span = SpanEntry(
            self._next,
            family,
            span_id,
            name,
            agent_id,
            turn_id,
            channel_id,
            task_id,
            run_id,
            None if parent is None else parent.number,
            event.at if occurred_at is None else occurred_at,
            event.seq,
            occurred_at is not None or event.source_id is not None,
            said,
        )
        self._next += 1
        self.spans[span.number] = self._held[span.number] = span
        if key in self._by_id:
            self._by_id[key].append(span)
        else:
            self._by_id[key] = [span]
        if len(self._held) > self._limits.spans_open:
            self._give_up(next(iter(self._held.values())))
        self._into_run(span, event.at)
        if not span.is_recorded and family != "task":
            self._agents.began(span)
        return span

    def _begun_again(self, same: list[SpanEntry], agent_id: str | None, turn_id: str | None, event: Any) -> None:
        """A beginning with the same ids replaces the one before."""
        for earlier in same:
            if earlier.agent_id == agent_id and earlier.turn_id == turn_id:
                self._end(earlier, "abandoned", event, "it was begun again")
                self._let_go(earlier)
                return

    def _into_run(self, span: SpanEntry, at: str) -> None:
        run = self.kept.going.get(span.run_id) or self.kept.ended.get(span.run_id)
        if run is None:
            run = RunEntry(span.run_id, "", span.started_at, span.started_at)
        if not run.open:
            self._leave(self.kept.add(run.run_id, run))
        run.open += 1
        run.reach(span.started_at, at)
        if span.family == "turn":
            run.turns += 1
        elif span.family == "task":
            run.tasks += 1
        else:
            run.calls += 1
        run.title = run.title or (short(span.preview, 80) if span.family == "turn" else span.name)
        if span.agent_id is not None and span.agent_id not in run.agents and len(run.agents) < _AGENTS_MAX:
            run.agents.append(span.agent_id)
        run.spans.append(span.number)
        if len(run.spans) > self._limits.spans:
            self._make_room(run)

    def _make_room(self, run: RunEntry) -> None:
        """Show one span of a run less: the oldest that has ended, if one has."""
        place = next((at for at, each in enumerate(run.spans) if each not in self._held), 0)
        span = self.spans[run.spans.pop(place)]
        span.in_run = False
        run.not_shown += 1
        run.open -= span.outcome == "open"
        self._forget(span)

    def _forget(self, span: SpanEntry) -> None:
        """Forget a span if no run shows it, and its end is not waited for."""
        if not span.in_run and span.number not in self._held:
            self.spans.pop(span.number, None)

    # -- ends --

    def _ended(self, family: str, outcome: str, event: Any) -> None:
        span_id = event.turn_id if family == "turn" else event.call_id
        span = self._find(family, span_id, event)
        tokens: tuple[int | None, int | None] = (None, None)
        if family == "model" and outcome == "ok":
            tokens = (_whole(event.input_tokens), _whole(event.output_tokens))
            self._agents.spent(event.agent_id, tokens, event.metadata)
        detail = _why(event, outcome)
        if event.occurred_at is None and event.source_id is None:  # of now, and not recorded elsewhere
            self._agents.turned_out(event, family, outcome, detail)
        if span is None:
            return
        if tokens != (None, None):
            span.input_tokens, span.output_tokens = tokens
            if (run := self.kept.find(span.run_id)) is not None:
                run.input_tokens += tokens[0] or 0
                run.output_tokens += tokens[1] or 0
        self._end(span, outcome, event, detail)

    def _end(self, span: SpanEntry, outcome: str, event: Any, detail: str) -> None:
        is_first = span.outcome == "open"
        run = self.kept.find(span.run_id) if span.in_run else None
        if run is not None and not is_first:
            run.abandoned -= 1
        span.outcome, span.detail = outcome, detail
        span.ended_at = event.occurred_at or event.at
        span.duration_ms = None if outcome == "abandoned" else number(getattr(event, "duration_ms", None))
        if outcome == "abandoned":
            self._late[span.number] = span
            if len(self._late) > _LATE_MAX:
                self._let_go(next(iter(self._late.values())))
        else:
            self._late.pop(span.number, None)
            del self._held[span.number]
            self._unname(span)
        self._agents.ended(span)
        self._forget(span)
        if run is not None:
            run.reach(span.ended_at, event.at)
            run.failed += outcome == "failed"
            run.abandoned += outcome == "abandoned"
            if is_first:
                self._one_less(run)

    def _one_less(self, run: RunEntry) -> None:
        run.open -= 1
        if not run.open:
            self._leave(self.kept.end(run.run_id, run))

    def _let_go(self, span: SpanEntry) -> None:
        """Wait no longer for the end of a span that was abandoned."""
        if self._held.pop(span.number, None) is not None:
            self._late.pop(span.number, None)
            self._unname(span)
            self._forget(span)

    def _give_up(self, span: SpanEntry) -> None:
        """Show a span no longer, because too many have begun and not ended."""
        run = self.kept.find(span.run_id) if span.in_run else None
        was_open, span.in_run = span.outcome == "open", False
        del self._held[span.number]
        self._unname(span)
        self._forget(span)
        self._late.pop(span.number, None)
        span.outcome = "abandoned"
        self._agents.ended(span)
        if run is not None:
            run.not_shown += 1
            run.spans.remove(span.number)
            if was_open:
                self._one_less(run)

    def _unname(self, span: SpanEntry) -> None:
        key = (span.family, span.span_id)
        same = self._by_id.get(key)
        if same is not None:
            if len(same) == 1:
                del self._by_id[key]
            else:
                same.remove(span)

    def _leave(self, run: RunEntry | None) -> None:
        """Forget the spans of a run that leaves the board, but those whose end is waited for."""
        for each in () if run is None else run.spans:
            span = self.spans[each]
            span.in_run = False
            self._forget(span)

    def lose(self, event: Any) -> None:
        """No end will come any more: there is another hub."""
        for span in list(self._held.values()):
            if span.outcome == "open":
                self._end(span, "abandoned", event, "the hub was replaced by another one")
        for span in list(self._held.values()):
            self._let_go(span)
        self._trail.clear()

    # -- hand-overs --

    def posted(self, event: Any, envelope_id: str, said: str) -> None:
        """Remember what an envelope says, and in which turn it was posted."""
        turn = None if event.turn_id is None else self._find("turn", event.turn_id, event)
        self._trail.posts(event, envelope_id, said, -1 if turn is None else turn.number)

    def _hand_over(self, at: str, span: SpanEntry, cause: SpanEntry) -> None:
        run = self.kept.find(span.run_id)
        if run is not None and len(run.hand_overs) < _HAND_OVERS_MAX:
            from_agent, to_agent = cause.agent_id or "", span.agent_id or ""
            run.hand_overs.append(HandOverEntry(at, from_agent, to_agent, "", cause.number, span.number))

    def _switched(self, event: Any) -> None:
        from_agent, to_agent = words(event.from_agent, NAME_MAX), words(event.to_agent, NAME_MAX)
        turn = self._find("turn", event.turn_id, event)
        run = self.kept.find(self._run_of(event, turn))
        if run is not None and len(run.hand_overs) < _HAND_OVERS_MAX:
            at, place = event.occurred_at or event.at, None if turn is None else turn.number
            run.hand_overs.append(HandOverEntry(at, from_agent, to_agent, words(event.reason, TEXT_MAX), place, None))

    # -- finding --

    def _find(self, family: str, span_id: object, event: Any) -> SpanEntry | None:
        """Return the span that an event is about: ids are unique within a turn, or where that is not said."""
        same = self._by_id.get((family, span_id)) if type(span_id) is str else None
        if same is None:
            return None
        without: SpanEntry | None = None
        for span in same:
            if family == "task":
                return span
            is_of_turn = span.turn_id == event.turn_id
            if not (is_of_turn or span.turn_id is None or event.turn_id is None):
                continue
            if span.agent_id == event.agent_id and is_of_turn:
                return span
            if span.agent_id == event.agent_id or span.agent_id is None or event.agent_id is None or family == "turn":
                without = without or span
        return without

    # -- snapshots --

    def snapshot(self) -> RunsKept:
        return RunsKept(
            list(self.kept.going.values()),
            list(self.kept.ended.values()),
            self.kept.not_shown,
            list(self.spans.values()),
            list(self._held),
            list(self._late),
            self._trail.snapshot(),
            self._next,
        )

    def restore(self, kept: RunsKept) -> None:
        self.kept.going = {run.run_id: run for run in kept.going}
        self.kept.ended = {run.run_id: run for run in kept.ended}
        self.kept.not_shown, self._next = kept.not_shown, kept.next_number
        self.spans = {span.number: span for span in kept.spans}
        if any(each not in self.spans for run in self.kept for each in run.spans):
            raise KeyError("spans")
        self._trail.restore(kept.trail)
        self._late = {number_: self.spans[number_] for number_ in kept.late}
        for number_ in kept.held:
            span = self._held[number_] = self.spans[number_]
            self._by_id.setdefault((span.family, span.span_id), []).append(span)
            if span.outcome == "open" and not span.is_recorded and span.family != "task":
                self._agents.began(span)


def _run_of(value: object, sort: str) -> str | None:
    return f"{sort}:{value[:NAME_MAX]}" if type(value) is str and value else None


def _whole(value: object) -> int | None:
    return value if type(value) is int and 0 <= value < 2**53 else None


def _why(event: Any, outcome: str) -> str:
    """Say how a span has failed, or why it was abandoned."""
    if outcome == "failed":
        return text_or(event.error_message, text_or(event.error_type), TEXT_MAX)
    return text_or(event.reason, "", TEXT_MAX) if outcome == "abandoned" else ""
