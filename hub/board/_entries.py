"""What a board remembers: plain values, which a snapshot writes as they are."""

from __future__ import annotations

from typing import Annotated

import attrs
import msgspec

from ._reading import time_of

__all__ = (
    "AgentEntry",
    "ApprovalEntry",
    "AskEntry",
    "CallEntry",
    "ChannelEntry",
    "ExpectationEntry",
    "GapEntry",
    "HandOverEntry",
    "LineEntry",
    "ListenerEntry",
    "RestartEntry",
    "RunEntry",
    "SpanEntry",
    "TaskEntry",
)


@attrs.define(eq=False)
class GapEntry:
    first_seq: int
    last_seq: int
    reason: str
    at: str


@attrs.define(eq=False)
class AgentEntry:
    agent_id: str
    name: str
    tenant: str | None = None
    capabilities: list[str] = attrs.Factory(list)
    life: str = "seen"
    """``seen``, ``registered`` or ``gone``."""
    since_at: str = ""
    last_at: str = ""
    """When it was last heard of."""
    inbox: int = 0
    inbox_cap: int | None = None
    actor: str = ""
    """``running``, ``crashed``, ``stopped``, or empty: it has no actor."""
    actor_reason: str = ""
    failed: str = ""
    """How its last turn has failed, until one ends well."""
    failed_at: str = ""
    failures: int = 0
    """How many of its calls have failed since one went well."""
    errors: list[Annotated[list[int], msgspec.Meta(min_length=2, max_length=2)]] = attrs.Factory(list)
    """Minutes since 1970 and how many errors each had, the newest last."""
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = None
    prices: list[float] = attrs.Factory(list)
    """What a million tokens of input and of output cost, where its passport says so."""


@attrs.define(eq=False)
class AskEntry:
    """A question that was sent to an agent and is not answered yet."""

    event_id: str
    envelope_id: str
    asker_id: str
    answerer_id: str
    at: str


@attrs.define(eq=False)
class SpanEntry:
    """A turn, a call of a model or a tool, or a task."""

    number: int
    """Counts all spans of the board."""
    family: str
    span_id: str
    name: str
    agent_id: str | None
    turn_id: str | None
    channel_id: str | None
    task_id: str | None
    run_id: str
    parent: int | None
    started_at: str
    started_seq: int
    is_recorded: bool
    """Whether it was recorded elsewhere: no end of it is waited for."""
    preview: str = ""
    in_run: bool = True
    """Whether its run shows it."""
    cause: int | None = None
    """The turn that has handed the work over to this one."""
    outcome: str = "open"
    detail: str = ""
    ended_at: str = ""
    duration_ms: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None


@attrs.define(eq=False)
class HandOverEntry:
    at: str
    from_agent: str
    to_agent: str
    reason: str
    from_span: int | None
    to_span: int | None


@attrs.define(eq=False)
class RestartEntry:
    """The hub was away between two moments."""

    down_at: str
    up_at: str
    was_stopped: bool
    """Whether it was stopped in good order, and not killed."""


@attrs.define(eq=False)
class RunEntry:
    run_id: str
    title: str
    started_at: str
    last_at: str
    spans: list[int] = attrs.Factory(list)
    open: int = 0
    turns: int = 0
    calls: int = 0
    tasks: int = 0
    failed: int = 0
    abandoned: int = 0
    not_shown: int = 0
    agents: list[str] = attrs.Factory(list)
    hand_overs: list[HandOverEntry] = attrs.Factory(list)
    input_tokens: int = 0
    output_tokens: int = 0

    def reach(self, own_at: str, at: str) -> None:
        """Begin and last as a part says of itself; most happen when the hub takes them (``at``), in this order."""
        if own_at == at:
            self.last_at = at
        elif (own := time_of(own_at)) is not None:
            if own > (time_of(self.last_at) or 0.0):
                self.last_at = own_at
            if own < (time_of(self.started_at) or own):
                self.started_at = own_at


@attrs.define(eq=False)
class CallEntry:
    """A call of a tool, in a line of a transcript."""

    call_id: str
    seq: int
    tool: str
    arguments: str
    outcome: str = "open"
    detail: str = ""
    took_ms: float | None = None


@attrs.define(eq=False)
class LineEntry:
    """A line of a transcript."""

    seq: int
    at: str
    sort: str
    """``said``, ``rejected``, ``calls``, ``violated``, ``joined`` or ``left``."""
    agent_id: str | None
    text: str
    to: list[str] = attrs.Factory(list)
    recipients: int = 0
    envelope_id: str = ""
    acked: int = 0
    failed: int = 0
    """Of an envelope, how many recipients did not get or not handle it; of calls, how many failed."""
    calls: dict[str, int] = attrs.Factory(dict)
    """The tools that were called, and how often."""
    items: list[CallEntry] = attrs.Factory(list)
    """The calls one by one, the first ones."""
    acked_at: str = ""
    """When the last recipient has handled it."""


@attrs.define(eq=False)
class ExpectationEntry:
    name: str
    on_violation: str
    violations: int = 0
    last_at: str = ""
    violators: list[str] = attrs.Factory(list)
    trouble: str = ""
    """Why it cannot be evaluated, or followed up."""


@attrs.define(eq=False)
class ChannelEntry:
    channel_id: str
    topic: str
    type: str
    state: str
    created_at: str
    tenant: str | None = None
    creator_id: str | None = None
    participants: dict[str, str] = attrs.Factory(dict)
    """By agent id, its role."""
    participants_more: int = 0
    invited: list[str] = attrs.Factory(list)
    parent_id: str | None = None
    ended_at: str = ""
    reason: str = ""
    last_at: str = ""
    posts: int = 0
    rejected: int = 0
    failed: int = 0
    """Envelopes that did not reach a recipient, or were given up by one."""
    violations: int = 0
    lines: list[LineEntry] = attrs.Factory(list)
    lines_more: int = 0
    links: dict[str, int] = attrs.Factory(dict)
    """By sender and recipient, as two lines of one text, how many envelopes."""
    links_more: int = 0
    acked: int = 0
    calls: int = 0
    calls_failed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    expectations: list[ExpectationEntry] = attrs.Factory(list)


@attrs.define(eq=False)
class TaskEntry:
    task_id: str
    owner_id: str
    title: str
    started_at: str
    tenant: str | None = None
    channel_id: str | None = None
    parent_id: str | None = None
    capability: str = ""
    is_observed: bool = False
    deadline: float | None = None
    """In seconds since 1970."""
    state: str = "running"
    progress: str = ""
    last_at: str = ""
    cancel_requested: bool = False
    ended_at: str = ""
    detail: str = ""


@attrs.define(eq=False)
class ApprovalEntry:
    approval_id: str
    agent_id: str
    action: str
    requested_at: str
    requested_seq: int
    tenant: str | None = None
    channel_id: str | None = None
    task_id: str | None = None
    turn_id: str | None = None
    arguments: str = ""
    arguments_at: str = ""
    arguments_bytes: int = 0
    mode: str = ""
    fail_mode: str = ""
    timeout_seconds: float | None = None
    stage: str = "requested"
    risk_score: float | None = None
    risk_level: str = ""
    risk_steps: list[list[str]] = attrs.Factory(list)
    """Of each step: who has scored, the score, and why."""
    trust: float | None = None
    quorum: int = 0
    approvers: list[str] = attrs.Factory(list)
    passed: list[str] = attrs.Factory(list)
    failed: list[str] = attrs.Factory(list)
    reminders: int = 0
    verdict: str = ""
    decided_at: str = ""
    decided_by: list[str] = attrs.Factory(list)
    reason: str = ""
    is_failure: bool = False
    is_used: bool = False
    run_id: str = ""
    """The run in which it was asked."""


@attrs.define(eq=False)
class ListenerEntry:
    listener: str
    duty: str = ""
    pattern: list[str] = attrs.Factory(list)
    state: str = "attached"
    """``attached``, ``suspended`` or ``detached``."""
    since_at: str = ""
    last_at: str = ""
    failed: int = 0
    dropped: int = 0
    restarts: int = 0
    letters: int = 0
    """Its dead letters, as far as events tell."""
    last_error: str = ""
    last_error_at: str = ""
    reason: str = ""
