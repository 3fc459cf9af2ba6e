"""What a board shows of the hub as a whole: its listeners, counts and troubles."""

from __future__ import annotations

import attrs

from ._view import View

__all__ = ("Bucket", "CountsView", "GapView", "HubView", "ListenerView", "TroubleView")


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
class TroubleView(View):
    """An event that was wrong, or needs attention."""

    seq: int
    at: str
    kind: str
    is_wrong: bool
    """Otherwise it needs attention: it was refused, denied, abandoned, or came to no end in time."""
    agent_id: str | None
    agent: str
    channel_id: str | None
    name: str
    """The tool, model, action, listener or expectation that it is about."""
    text: str
    """The error, or the reason, at most 200 characters."""


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
