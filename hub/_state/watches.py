"""What evaluators decide by: which events a channel's expectations look at, and what is remembered of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from ..events import ExpectationViolated
from .channel_types import ChannelTypes, Manifest
from .channels import ChannelEntry
from .endings import call_type
from .evaluators import Moment

__all__ = ("Unanswered", "Unhandled", "Watch", "WatchEntry", "WatchedSituation")


@attrs.frozen
class Unanswered:
    """A post that an agent has got, with none from it to the sender since."""

    agent_id: str
    sender_id: str
    since: Moment


@attrs.frozen
class Unhandled:
    """A violation, and to whom something has still to be done for it."""

    violated: ExpectationViolated
    agents: tuple[str, ...]


@attrs.frozen(kw_only=True)
class WatchEntry:
    """What the evaluators of a channel decide by, and which violations were told of."""

    channel_id: str
    seconds: tuple[float, ...]
    """How long each of its expectations may take."""
    created: Moment
    turn: Moment
    opened: Moment | None = None
    posted: Moment | None = None
    posts: tuple[tuple[str, Moment], ...] = ()
    """The newest post of each agent."""
    unanswered: tuple[Unanswered, ...] = ()
    told: tuple[tuple[int, str | None, int], ...] = ()
    """Place of the expectation, agent, and ``seq`` since which what it has not done was expected."""
    failed: tuple[int, ...] = ()
    """Places of expectations that could not be evaluated."""
    violations: int = 0
    unhandled: tuple[Unhandled, ...] = ()


class Watch:
    """A :class:`WatchEntry` that changes."""

    __slots__ = ("failed", "head", "posts", "told", "unanswered", "unhandled")

    def __init__(self, entry: WatchEntry) -> None:
        self.head = entry
        """What of it changes as a whole."""
        self.posts = dict(entry.posts)
        self.told = {(place, agent_id): seq for place, agent_id, seq in entry.told}
        self.failed = dict.fromkeys(entry.failed)
        self.unhandled = {each.violated.number: each for each in entry.unhandled}
        self.unanswered: dict[str, dict[str, Moment]] = {}
        for each in entry.unanswered:
            self.unanswered.setdefault(each.agent_id, {})[each.sender_id] = each.since

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Watch) and self.entry() == other.entry()

    __hash__ = None  # type: ignore[assignment]

    def entry(self) -> WatchEntry:
        return attrs.evolve(
            self.head,
            posts=tuple(self.posts.items()),
            told=tuple((place, agent_id, seq) for (place, agent_id), seq in self.told.items()),
            failed=tuple(self.failed),
            unhandled=tuple(self.unhandled.values()),
            unanswered=tuple(
                Unanswered(agent_id, sender_id, since)
                for agent_id, senders in self.unanswered.items()
                for sender_id, since in senders.items()
            ),
        )

    def post(self, sender_id: str, recipients: Iterable[str], moment: Moment) -> None:
        self.posts[sender_id] = moment
        asked_by = self.unanswered.get(sender_id, {})
        for agent_id in recipients:
            # An answer needs none.
            if asked_by.pop(agent_id, None) is None and agent_id != sender_id:
                self.unanswered.setdefault(agent_id, {}).setdefault(sender_id, moment)
        if not asked_by:
            self.unanswered.pop(sender_id, None)

    def forget(self, agent_id: str) -> None:
        """Somebody has left: nothing is expected of him, and nobody owes him an answer."""
        self.posts.pop(agent_id, None)
        self.unanswered.pop(agent_id, None)
        for debtor, senders in [*self.unanswered.items()]:
            senders.pop(agent_id, None)
            if not senders:
                del self.unanswered[debtor]
        for place in range(len(self.head.seconds)):
            self.told.pop((place, agent_id), None)


class WatchedSituation:
    """What an evaluator sees: a :class:`~hubwire._state.evaluators.Situation`."""

    def __init__(
        self, watch: Watch, channel: ChannelEntry, expectation: Mapping[str, Any], types: ChannelTypes
    ) -> None:
        self._watch = watch
        self._channel = channel
        self._types = types
        self._applies_to = expectation["applies_to"]
        self.params: Mapping[str, Any] = expectation["params"]
        self.created: Moment = watch.head.created
        self.opened: Moment | None = watch.head.opened
        self.posted: Moment | None = watch.head.posted
        self.turn: Moment = watch.head.turn
        self.channel_state: Any = channel.channel_state
        self.invited: tuple[str, ...] = (*channel.invited, *channel.to_invite)
        self.manifest: Manifest = channel.manifest()

    @property
    def expected(self) -> tuple[str, ...] | None:
        channel_type = self._types.get(self._channel.type, self._channel.version)
        return call_type(channel_type, channel_type.expected, self.manifest, self.channel_state)

    def posted_by(self, agent_id: str) -> Moment | None:
        return self._watch.posts.get(agent_id)

    def unanswered(self) -> Iterable[tuple[str, Moment]]:
        return [(each, since) for each, senders in self._watch.unanswered.items() for since in senders.values()]

    def applies_to(self, agent_id: str) -> bool:
        if self._applies_to is None:
            return True
        return agent_id in self._applies_to or self._channel.roles.get(agent_id) in self._applies_to

    @property
    def is_for_all(self) -> bool:
        return self._applies_to is None
