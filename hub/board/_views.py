"""What a board shows: frozen values, in the words of the dashboard. Times are ISO 8601 in UTC, as in events."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Generic, TypeVar

import attrs
import msgspec

from .._values import Value

__all__ = (
    "Activity",
    "AgentView",
    "ApprovalView",
    "Bucket",
    "ChannelView",
    "CountsView",
    "ExpectationView",
    "GapView",
    "HandOverView",
    "HubView",
    "LineView",
    "LinkView",
    "ListenerView",
    "RiskStepView",
    "Rows",
    "RunView",
    "SpanView",
    "TaskView",
    "Transcript",
    "Waterfall",
)

T_co = TypeVar("T_co", covariant=True)


class View(Value):
    """A frozen value that JSON can hold."""

    __slots__ = ()

    def to_json(self) -> dict[str, Any]:
        """Return the value as a plain dictionary, with the names of its fields as keys: a new one each time."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        return found


@attrs.frozen(eq=False, repr=False)
class Rows(View, Generic[T_co]):
    """The entries of a list, in its order, and how many of them are not there."""

    rows: tuple[T_co, ...]
    not_shown: int = 0
    """How many more there were: they left the board, or are beyond the ``limit`` that was given."""

    def __iter__(self) -> Iterator[T_co]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Activity(View):
    """What an agent does now."""

    family: str
    """``turn``, ``model``, ``tool``, ``approval``, ``ask`` or ``task``."""
    name: str
    """The model, the tool, the action, the agent that is asked, or the title; empty for a turn."""
    since_at: str
    seconds: float
    """For how long."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class AgentView(View):
    """An agent."""

    agent_id: str
    name: str
    tenant: str | None
    capabilities: tuple[str, ...]
    is_registered: bool
    state: str
    """``failing``, ``waits_for_person``, ``waits_for_agent``, ``silent``, ``working``, ``idle`` or ``gone``."""
    group: str
    """``needs_look`` for failing, waits_for_person and silent, ``at_work`` for working and waits_for_agent, else
    ``quiet``."""
    why: str
    """Why it is in this state, in words."""
    doing: Activity | None
    """The innermost of what it has begun and not ended; None if there is nothing."""
    inbox: int | None
    """How many envelopes it has still to ack. None: not known, because its registration was not seen."""
    inbox_cap: int | None
    """Of how many; None if no event has told."""
    in_flight: int
    """How many of its turns have begun and not ended."""
    calls_open: int
    """The same of calls of models and tools."""
    errors: int
    """How many events about it were wrong, in the last 15 minutes."""
    errors_by_minute: tuple[int, ...]
    """The same for each of these minutes, the newest last."""
    input_tokens: int
    output_tokens: int
    cost_usd: float | None
    """What its models have cost: what ``metadata["cost_usd"]`` of model.completed says, else by the prices of its
    passport; None if neither tells."""
    last_seen_at: str
    """When it was last heard of; empty: not yet."""
    silent_seconds: float | None
    """How long ago that was."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class LineView(View):
    """A line of a transcript."""

    seq: int
    at: str
    sort: str
    """``said``, ``rejected`` for what was refused, ``calls`` for calls of tools, or ``violated`` for an expectation."""
    agent_id: str | None
    agent: str
    to: tuple[str, ...]
    """The names of those that it is addressed to, the first ones; of ``violated`` those that did not keep it. Empty:
    all."""
    text: str
    """What was said, at most 200 characters; why it was refused; the last error of calls; the expectation."""
    recipients: int
    """How many agents got it; of ``calls`` how many there were."""
    acked: int
    failed: int
    calls: dict[str, int]
    """Of ``calls``, the tools and how often each was called."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class LinkView(View):
    """How often one agent has written to another."""

    from_id: str
    from_agent: str
    to_id: str
    """``*`` for what went to more than 16 agents at once."""
    to_agent: str
    count: int


@attrs.frozen(kw_only=True, eq=False, repr=False)
class ExpectationView(View):
    """An expectation of a channel."""

    name: str
    on_violation: str
    state: str
    """``kept``, ``violated``, or ``troubled`` if it cannot be evaluated or followed up."""
    violations: int
    last_violated_at: str
    violators: tuple[str, ...]
    """The names of those that did not keep it the last time."""
    trouble: str


@attrs.frozen(kw_only=True, eq=False, repr=False)
class ChannelView(View):
    """A channel."""

    channel_id: str
    topic: str
    type: str
    tenant: str | None
    state: str
    """``pending``, ``open``, ``closing``, ``closed`` or ``expired``."""
    reason: str
    creator_id: str | None
    participants: tuple[str, ...]
    """Agent ids, in the order in which they came."""
    participant_names: tuple[str, ...]
    participants_not_shown: int
    invited: tuple[str, ...]
    parent_id: str | None
    created_at: str
    ended_at: str
    last_at: str
    posts: int
    rejected: int
    failed: int
    """Envelopes that a recipient did not get, or gave up."""
    violations: int
    expectations: tuple[ExpectationView, ...]


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Transcript(View):
    """What was said in a channel, and who talks to whom."""

    channel: ChannelView
    lines: tuple[LineView, ...]
    """The newest, in their order."""
    lines_not_shown: int
    links: tuple[LinkView, ...]
    """The most used first."""
    links_not_shown: int


@attrs.frozen(kw_only=True, eq=False, repr=False)
class SpanView(View):
    """A turn, a call of a model or a tool, or a task: a bar of a waterfall."""

    number: int
    """Names it within the board."""
    parent: int | None
    """The span that it is a part of, where the waterfall has that."""
    level: int
    """How many are above it."""
    family: str
    """``turn``, ``model``, ``tool`` or ``task``."""
    span_id: str
    name: str
    agent_id: str | None
    agent: str
    channel_id: str | None
    task_id: str | None
    turn_id: str | None
    started_at: str
    started_seq: int
    ended_at: str
    """Empty while it is open."""
    seconds: float | None
    """How long it took or is open by now; None if that is not known."""
    outcome: str
    """``open``, ``ok``, ``failed`` or ``abandoned``."""
    detail: str
    """How it has failed, or why it was abandoned."""
    preview: str
    """Of its prompt or arguments, at most 200 characters."""
    is_recorded: bool
    """Whether it was recorded elsewhere: no end of it is waited for."""
    cause: int | None
    """The turn that has handed its work over to this one."""
    input_tokens: int | None
    output_tokens: int | None


@attrs.frozen(kw_only=True, eq=False, repr=False)
class HandOverView(View):
    """The work went from one agent to another."""

    at: str
    from_agent: str
    to_agent: str
    reason: str
    from_span: int | None
    to_span: int | None


@attrs.frozen(kw_only=True, eq=False, repr=False)
class RunView(View):
    """Turns, calls and tasks that belong together."""

    run_id: str
    """What holds them together: ``correlation:…``, ``task:…``, ``session:…``, ``turn:…``, ``channel:…``."""
    title: str
    state: str
    """``open``, ``failed``, ``abandoned`` or ``ended``."""
    agents: tuple[str, ...]
    """Names."""
    started_at: str
    last_at: str
    open: int
    turns: int
    calls: int
    tasks: int
    failed: int
    abandoned: int
    input_tokens: int
    output_tokens: int
    not_shown: int
    """How many of its spans are not shown."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Waterfall(View):
    """A run with its spans."""

    run: RunView
    spans: tuple[SpanView, ...]
    """Each after the one that it is a part of, and by when they began."""
    hand_overs: tuple[HandOverView, ...]


@attrs.frozen(kw_only=True, eq=False, repr=False)
class TaskView(View):
    """A task."""

    task_id: str
    title: str
    owner_id: str
    owner: str
    tenant: str | None
    state: str
    """``running``, ``completed``, ``failed``, ``cancelled`` or ``expired``."""
    is_cancel_requested: bool
    is_observed: bool
    channel_id: str | None
    parent_id: str | None
    capability: str
    progress: str
    detail: str
    """Of one that has ended, its result or error or why."""
    started_at: str
    last_at: str
    ended_at: str
    seconds: float | None
    """How long it took, or runs by now."""
    seconds_left: float | None
    """Until the hub ends it; None: it does not."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class RiskStepView(View):
    """How one scorer came to the risk."""

    scorer: str
    score: str
    reason: str


@attrs.frozen(kw_only=True, eq=False, repr=False)
class ApprovalView(View):
    """An approval."""

    approval_id: str
    agent_id: str
    agent: str
    tenant: str | None
    action: str
    arguments: str
    """At most 200 characters of them; empty if they are elsewhere."""
    arguments_at: str
    arguments_bytes: int
    requested_at: str
    requested_seq: int
    channel_id: str | None
    task_id: str | None
    turn_id: str | None
    mode: str
    fail_mode: str
    state: str
    """``waiting``, or the verdict: ``approved``, ``denied``, ``escalated``, ``expired``, ``withdrawn``,
    ``returned``."""
    stage: str
    """How far it is: ``requested``, ``scored``, ``trusted``, ``asked`` or ``decided``."""
    risk_score: float | None
    risk_level: str
    risk_steps: tuple[RiskStepView, ...]
    trust: float | None
    quorum: int
    approvers: tuple[str, ...]
    passed: tuple[str, ...]
    failed: tuple[str, ...]
    reminders: int
    waited_seconds: float | None
    """Since the request; of one that is decided, until the verdict."""
    seconds_left: float | None
    """Until it expires; None if it is decided, or that is not known."""
    decided_at: str
    decided_by: tuple[str, ...]
    reason: str
    is_failure: bool
    """Whether the fail mode decided, because no approver could."""
    is_used: bool


@attrs.frozen(kw_only=True, eq=False, repr=False)
class ListenerView(View):
    """A listener."""

    listener: str
    duty: str
    pattern: tuple[str, ...]
    state: str
    """``attached``, ``suspended`` or ``detached``."""
    is_troubled: bool
    """Whether it is suspended, or has failed or dropped events."""
    reason: str
    since_at: str
    failed: int
    dropped: int
    restarts: int
    dead_letters: int
    last_error: str
    last_error_at: str


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Bucket(View):
    """How many events there were in a stretch of time."""

    start: float
    """When it begins, in seconds since 1970."""
    wrong: int
    attention: int
    other: int


@attrs.frozen(kw_only=True, eq=False, repr=False)
class CountsView(View):
    """How many events there were over time, by when the hub took them."""

    per: str
    """``second``, ``minute`` or ``hour``."""
    width_seconds: int
    buckets: tuple[Bucket, ...]
    """The oldest first; the last one is that of now, and not over."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class GapView(View):
    """Events that the board was not given."""

    first_seq: int
    last_seq: int
    """Included."""
    reason: str
    at: str
    """When the next event was."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class HubView(View):
    """The hub as a whole."""

    hub: str
    """Its id; empty before the first event."""
    tenant: str | None
    """Whose events the board folds; None: all."""
    state: str
    """``running`` or ``stopped``; ``unknown`` if neither was seen."""
    version: str
    started_at: str
    seq: int
    """Of the last event, -1 before the first."""
    first_seq: int
    """Of the first event that the board was given: what was before it, it does not know."""
    at: str
    events: int
    wrong: int
    attention: int
    kinds: dict[str, int]
    kinds_not_shown: int
    """How many events were of further kinds."""
    missing: int
    """How many events the board was not given: see ``gaps``."""
    misfits: int
    """How many events had fields of another type than their kind says: they count, and show no more."""
    agents: dict[str, int]
    """How many agents are in each state."""
    approvals_waiting: int
    listeners_troubled: int
    events_per_second: float
    """On average over the last 10 whole seconds."""
