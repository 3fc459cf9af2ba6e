"""What a board shows of agents and channels."""

from __future__ import annotations

import attrs

from ._view import View

__all__ = (
    "Activity",
    "AgentView",
    "CallView",
    "ChannelView",
    "DoingView",
    "ExpectationView",
    "LineView",
    "LinkView",
    "Transcript",
)


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Activity(View):
    """What an agent does now."""

    family: str
    """``turn``, ``model``, ``tool``, ``approval``, ``ask`` or ``task``."""
    id: str
    """Of the turn, the call, the approval, the question or the task."""
    name: str
    """The model, the tool, the action, the agent that is asked, or the title; empty for a turn."""
    preview: str
    """Of its prompt or arguments, at most 200 characters; of a task its progress."""
    channel_id: str | None
    since_at: str
    seconds: float
    """For how long."""
    seconds_left: float | None
    """Of an approval, until it expires; None: it does not, or there is none."""


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
    since_at: str
    """Since when; empty: not known."""
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
class CallView(View):
    """A call of a tool, in a line of a transcript."""

    seq: int
    tool: str
    arguments: str
    """At most 100 characters of them."""
    outcome: str
    """``open``, ``ok``, ``failed`` or ``abandoned``."""
    detail: str
    """How it has failed, or why it was abandoned."""
    seconds: float | None
    """How long it took; None if that is not known."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class LineView(View):
    """A line of a transcript."""

    seq: int
    at: str
    sort: str
    """``said``, ``rejected`` for what was refused, ``calls`` for calls of tools, ``violated`` for an expectation,
    ``joined`` or ``left`` for participants."""
    agent_id: str | None
    agent: str
    to: tuple[str, ...]
    """The names of those that it is addressed to, the first ones; of ``violated`` those that did not keep it; of
    ``joined`` and ``left`` those that did. Empty: all."""
    text: str
    """What was said, at most 200 characters; why it was refused; the last error of calls; the expectation."""
    recipients: int
    """How many agents got it; of ``calls``, ``joined`` and ``left`` how many there were."""
    acked: int
    acked_seconds: float | None
    """How long it took until the last of those that have acked it; None: nobody has."""
    failed: int
    calls: dict[str, int]
    """Of ``calls``, the tools and how often each was called."""
    items: tuple[CallView, ...]
    """Of ``calls``, the calls one by one, the first 12."""


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
    acked: int
    """How often a recipient has handled one of its envelopes."""
    rejected: int
    failed: int
    """Envelopes that a recipient did not get, or gave up."""
    violations: int
    calls: int
    """Of tools."""
    calls_failed: int
    input_tokens: int
    output_tokens: int
    approvals_waiting: int
    last: LineView | None
    """The newest line of its transcript."""
    last_trouble: LineView | None
    """The newest line that is about what was refused, has failed or was not kept, among those that are kept."""
    expectations: tuple[ExpectationView, ...]


@attrs.frozen(kw_only=True, eq=False, repr=False)
class DoingView(View):
    """What an agent does now in a channel."""

    agent_id: str
    agent: str
    doing: Activity


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Transcript(View):
    """What was said in a channel, and who talks to whom."""

    channel: ChannelView
    lines: tuple[LineView, ...]
    """The newest, in their order."""
    lines_not_shown: int
    doing: tuple[DoingView, ...]
    """What is going on in it now."""
    links: tuple[LinkView, ...]
    """The most used first."""
    links_not_shown: int
