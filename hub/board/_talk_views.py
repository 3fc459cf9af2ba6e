"""What a board shows of agents and channels."""

from __future__ import annotations

import attrs

from ._view import View

__all__ = ("Activity", "AgentView", "ChannelView", "ExpectationView", "LineView", "LinkView", "Transcript")


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
