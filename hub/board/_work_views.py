"""What a board shows of runs, tasks and approvals."""

from __future__ import annotations

import attrs

from ._view import View

__all__ = (
    "ApprovalView",
    "BarView",
    "HandOverView",
    "RestartView",
    "RiskStepView",
    "RunView",
    "SpanView",
    "TaskView",
    "Waterfall",
)


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
class RestartView(View):
    """The hub was away."""

    down_at: str
    """When the last event before was."""
    up_at: str
    was_stopped: bool
    """Whether it was stopped in good order; otherwise its process has ended, or was killed."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class BarView(View):
    """A part of a run in small: a turn, or where there is none, a call or a task."""

    start: float
    """In seconds since the run began."""
    seconds: float | None
    """How long it took; None: it is open."""
    outcome: str


@attrs.frozen(kw_only=True, eq=False, repr=False)
class RunView(View):
    """Turns, calls and tasks that belong together."""

    run_id: str
    """What holds them together: ``correlation:…``, ``task:…``, ``session:…``, ``turn:…``, ``channel:…``."""
    title: str
    state: str
    """``open``; or, if no part of it is under way, ``waiting`` for the answer of a person, ``failed``, ``abandoned`` or
    ``ended``."""
    agents: tuple[str, ...]
    """Names."""
    started_at: str
    """When its first part began, as that says of itself; of what was recorded elsewhere, not when the hub took it."""
    last_at: str
    """When its newest part began or ended, likewise."""
    seconds: float | None
    """From its beginning to the end of its last part, or by now if it is open; None if that is not known."""
    bars: tuple[BarView, ...]
    """Its turns in small, at most 60, the newest; what holds no other comes first."""
    failures: tuple[float, ...]
    """When a part of it has failed, in seconds since it began, at most 60."""
    open: int
    waiting: int
    """How many approvals that it has asked for are not decided."""
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
    restarts: tuple[RestartView, ...]
    """When the hub was away while the run went on."""


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
