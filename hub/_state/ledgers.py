"""Ledgers: what is remembered of a channel with expectations, and what its evaluators see of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import attrs

from .._values import Value
from ..events import ExpectationViolated
from .channel_types import ChannelTypes, Manifest
from .channels import ChannelEntry
from .evaluators import Moment
from .guests import ask_agents

__all__ = ("ChannelSituation", "Ledger", "Ledgers", "Unanswered", "Unhandled", "WatchEntry")


@attrs.frozen(eq=False, repr=False)
class Unanswered(Value):
    """A post in the inbox of an agent that has not posted to its sender since."""

    agent_id: str
    sender_id: str
    since: Moment


@attrs.frozen(eq=False, repr=False)
class Unhandled(Value):
    """A violation with a consequence that has still to be decided, and the agents that it is for."""

    violated: ExpectationViolated
    agents: tuple[str, ...]


@attrs.frozen(kw_only=True, eq=False, repr=False)
class WatchEntry(Value):
    """What the evaluators of a channel decide by, and which violations were reported."""

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
    """What was reported: place of the expectation, agent, and ``seq`` since which it was owed."""
    failed: tuple[int, ...] = ()
    """Places of expectations that could not be evaluated."""
    violations: int = 0
    unhandled: tuple[Unhandled, ...] = ()


class Ledger:
    """A :class:`WatchEntry` that changes."""

    __slots__ = ("failed", "head", "posts", "reported", "unanswered", "unhandled")

    def __init__(self, entry: WatchEntry) -> None:
        self.head = entry
        """The fields that change as a whole."""
        self.posts = dict(entry.posts)
        self.reported = {(place, agent_id): seq for place, agent_id, seq in entry.told}
        self.failed = dict.fromkeys(entry.failed)
        self.unhandled = {each.violated.number: each for each in entry.unhandled}
        self.unanswered: dict[str, dict[str, Moment]] = {}
        for each in entry.unanswered:
            self.unanswered.setdefault(each.agent_id, {})[each.sender_id] = each.since

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ledger) and self.entry() == other.entry()

    __hash__ = None  # type: ignore[assignment]

    def entry(self) -> WatchEntry:
        return attrs.evolve(
            self.head,
            posts=tuple(self.posts.items()),
            told=tuple((place, agent_id, seq) for (place, agent_id), seq in self.reported.items()),
            failed=tuple(self.failed),
            unhandled=tuple(self.unhandled.values()),
            unanswered=tuple(
                Unanswered(agent_id, sender_id, since)
                for agent_id, senders in self.unanswered.items()
                for sender_id, since in senders.items()
            ),
        )

    def post(
        self,
        sender_id: str,
        recipients: Iterable[str],
        moment: Moment,
        *,
        hidden: Collection[str] = (),
        answered: str | None = None,
    ) -> None:
        """An agent has posted: its recipients have its answer, and owe it one unless they are ``hidden``.

        ``answered`` is an agent that it has answered without a way over its inbox.
        """
        self.posts[sender_id] = moment
        unanswered = self.unanswered.get(sender_id, {})
        unanswered.pop(answered or "", None)
        for agent_id in recipients:
            # An answer needs none.
            if unanswered.pop(agent_id, None) is None and agent_id != sender_id and agent_id not in hidden:
                self.unanswered.setdefault(agent_id, {}).setdefault(sender_id, moment)
        if not unanswered:
            self.unanswered.pop(sender_id, None)

    def release(self, agent_id: str) -> None:
        """An agent owes no answer any more."""
        self.unanswered.pop(agent_id, None)

    def forget(self, agent_id: str) -> None:
        """An agent has left: it owes no answer any more, and none is owed to it."""
        self.posts.pop(agent_id, None)
        self.release(agent_id)
        for debtor, senders in [*self.unanswered.items()]:
            senders.pop(agent_id, None)
            if not senders:
                del self.unanswered[debtor]
        for place in range(len(self.head.seconds)):
            self.reported.pop((place, agent_id), None)


class Ledgers:
    """The ledgers by channel, with indexes of those that have violations to handle, or failed evaluations."""

    def __init__(self) -> None:
        self._by_channel: dict[str, Ledger] = {}
        self._to_handle: dict[str, None] = {}
        self._failed: dict[str, None] = {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ledgers) and self._indexes() == other._indexes()

    __hash__ = None  # type: ignore[assignment]

    def _indexes(self) -> tuple[object, ...]:
        return list(self._by_channel.items()), self._to_handle, self._failed

    def __len__(self) -> int:
        return len(self._by_channel)

    def __getitem__(self, channel_id: str) -> Ledger:
        return self._by_channel[channel_id]

    def find(self, channel_id: str | None) -> Ledger | None:
        """Return the ledger of a channel; None if it has none, because it has no expectations."""
        return self._by_channel.get(channel_id or "")

    def entries(self) -> list[WatchEntry]:
        return [ledger.entry() for ledger in self._by_channel.values()]

    def add(self, entry: WatchEntry) -> None:
        ledger = self._by_channel[entry.channel_id] = Ledger(entry)
        if ledger.unhandled:
            self._to_handle[entry.channel_id] = None
        if ledger.failed:
            self._failed[entry.channel_id] = None

    def remove(self, channel_id: str) -> Ledger | None:
        """Remove the ledger of a channel that has ended; return it, if there is one."""
        ledger = self._by_channel.pop(channel_id, None)
        if ledger is not None:
            self._to_handle.pop(channel_id, None)
            self._failed.pop(channel_id, None)
        return ledger

    # -- violations to handle --

    @property
    def to_handle(self) -> Collection[str]:
        """The channels with violations that have still to be handled."""
        return self._to_handle

    def sort_to_handle(self) -> None:
        """Let what was violated first come first, as it did before a restart."""
        oldest = {each: next(iter(self._by_channel[each].unhandled.values())) for each in self._to_handle}
        self._to_handle = dict.fromkeys(sorted(oldest, key=lambda each: oldest[each].violated.seq))

    def add_unhandled(self, channel_id: str, unhandled: Unhandled) -> None:
        self._by_channel[channel_id].unhandled[unhandled.violated.number] = unhandled
        self._to_handle[channel_id] = None

    def handled(self, channel_id: str, number: int) -> None:
        """The violation with this number has been handled."""
        unhandled = self._by_channel[channel_id].unhandled
        del unhandled[number]
        if not unhandled:
            del self._to_handle[channel_id]

    def handled_for(self, channel_id: str, agent_id: str, handlings: frozenset[str]) -> None:
        """Violations with these consequences have been handled for one agent, or cannot be any more."""
        unhandled = self._by_channel[channel_id].unhandled
        for number, each in [*unhandled.items()]:
            if each.violated.on_violation in handlings and agent_id in each.agents:
                rest = tuple(other for other in each.agents if other != agent_id)
                unhandled[number] = attrs.evolve(each, agents=rest)
                if not rest:
                    self.handled(channel_id, number)

    # -- failed evaluations --

    def add_failed(self, channel_id: str, place: int) -> None:
        self._by_channel[channel_id].failed[place] = None
        self._failed[channel_id] = None

    def clear_failed(self) -> list[str]:
        """Forget which expectations could not be evaluated; return the channels that have such."""
        channel_ids = list(self._failed)
        for channel_id in channel_ids:
            self._by_channel[channel_id].failed.clear()
        self._failed.clear()
        return channel_ids


class ChannelSituation:
    """What an evaluator sees: a :class:`~hubwire._state.evaluators.Situation`."""

    def __init__(
        self, ledger: Ledger, channel: ChannelEntry, expectation: Mapping[str, Any], types: ChannelTypes
    ) -> None:
        self._ledger = ledger
        self._channel = channel
        self._types = types
        self._applies_to = expectation["applies_to"]
        self.params: Mapping[str, Any] = expectation["params"]
        self.created: Moment = ledger.head.created
        self.opened: Moment | None = ledger.head.opened
        self.posted: Moment | None = ledger.head.posted
        self.turn: Moment = ledger.head.turn
        self.channel_state: Any = channel.channel_state
        self.invited: tuple[str, ...] = (*channel.invited, *channel.to_invite)
        self.manifest: Manifest = channel.manifest()

    @property
    def expected(self) -> tuple[str, ...] | None:
        channel_type = self._types.get(self._channel.type, self._channel.version)
        return ask_agents(channel_type.expected, self.manifest, self.channel_state)

    def posted_by(self, agent_id: str) -> Moment | None:
        return self._ledger.posts.get(agent_id)

    def unanswered(self) -> Iterable[tuple[str, Moment]]:
        return [(each, since) for each, senders in self._ledger.unanswered.items() for since in senders.values()]

    def applies_to(self, agent_id: str) -> bool:
        if self._applies_to is None:
            return True
        return agent_id in self._applies_to or self._channel.roles.get(agent_id) in self._applies_to

    @property
    def is_for_all(self) -> bool:
        return self._applies_to is None
