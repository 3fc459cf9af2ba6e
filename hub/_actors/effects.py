"""What a turn does when it is committed: its posts, its state and the end of its envelope, in one command."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import anyio
import attrs

from .. import context
from .._commands.core import Core
from .._commands.inboxes import Delivery
from .._commands.posting import Posting
from .._state import State
from .._state.commits import written
from .._state.drafts import Draft
from ..errors import CommandRejected, EventTooLarge, HubError, PostRejected
from ..events import ActorStateSet, EnvelopePosted, Event, TurnCommitted, canonical
from ..events._making import maker
from .states import StateKind, TurnState

__all__ = ("HELD_MAX", "Commit", "Effects", "HeldPost")

HELD_MAX = 256
"""How many posts a turn may hold."""


@attrs.define(eq=False, repr=False)
class HeldPost:
    """What a turn has posted, and holds until it is committed."""

    content: Any
    """What was posted, as the envelope holds it."""
    event: EnvelopePosted | None = None
    """The event of the post; None until it is committed, and if it is not."""


@attrs.define(eq=False, repr=False)
class Commit:
    """What is committed at once: the posts and the state that a turn has held so far."""

    core: Core
    state: State
    delivery: Delivery
    turn_id: str
    held: Sequence[tuple[HeldPost, Posting]]
    kept: TurnState
    refused: Posting | None = None
    """The post that was refused."""
    is_put: bool = False
    """Whether it was done: who is cancelled later than that has done it all the same."""
    _is_early: bool = False
    """Whether agents have joined about which the arbiter has to decide first."""

    @property
    def is_empty(self) -> bool:
        return not self.held and not self.kept.change()[0]

    async def run(self, tail: Callable[[Draft], Sequence[Event]], stale: Callable[[], Sequence[Event]]) -> list[Event]:
        """Commit all of it, and then ``tail``, in one command; return its events. None of it, if one post is refused.

        ``stale`` decides instead if this delivery of the envelope is not to be settled any more. Raises what a post
        was refused with; see ``refused``.
        """
        try:
            if self.core.authorizer.has_arbiter:
                await self._authorize()
            while True:
                # An actor that is stopped now has handled its envelope.
                events = await self.core.execute_shielded(partial(self._decide, tail, stale))
                self._learn_posts(events)
                for held, posting in self.held:
                    if posting.earlier is not None:
                        with anyio.CancelScope(shield=True):
                            held.event = await posting.posted_before(posting.earlier)
                if not self._is_early:
                    break
                await self._authorize_others()
        except EventTooLarge:
            self.is_put = False
            if len(self.held) == 1:
                self.refused = self.held[0][1]
            raise
        return events

    def rejection(self, error: Exception) -> list[Event]:
        """Return the event that records the refusal of a post."""
        if self.refused is None or not isinstance(error, HubError):
            return []
        content = None if isinstance(error, EventTooLarge) else self.refused.content
        return [self.refused.rejected(error, content=content)]

    async def _authorize(self) -> None:
        for _, posting in self.held:
            await posting.authorize()

    async def _authorize_others(self) -> None:
        for _, posting in self.held:
            await posting.authorize_others()

    def _decide(
        self, tail: Callable[[Draft], Sequence[Event]], stale: Callable[[], Sequence[Event]]
    ) -> Sequence[Event]:
        self._is_early = False
        delivery = self.delivery
        if not _is_current(self.state, delivery):
            return stale()
        draft = Draft(self.state.inboxes)
        effects: list[Event] = []
        for _, posting in self.held:
            try:
                events = posting.decide(draft)
            except CommandRejected:
                self.refused = posting
                raise
            if not events and posting.earlier is None:
                self._is_early = True
                return ()
            draft.add(events)
            effects += events
        is_changed, value = self.kept.change()
        if is_changed:
            envelope_id = delivery.event.envelope_id
            effects += self.state.actor_states.set(delivery.agent_id, envelope_id, value, self.kept.seen_seq)
        events = self._whole(effects, tail(draft))
        self.is_put = True
        if is_changed:  # now, and not when it has committed: another commit of the turn may come before
            place = next(number for number, event in enumerate(events) if isinstance(event, ActorStateSet))
            self.kept.put(value, self.core.next_seq + place)
        return events

    def _whole(self, effects: Sequence[Event], tail: Sequence[Event]) -> Sequence[Event]:
        """Return the events of the command; before them, if a crash could tear them apart, one that names them all."""
        events = [*effects, *tail]
        if not effects or len(events) == 1 or not self.core.has_journal:
            return events
        around = context.current()
        inherited = {
            name: value
            for name in ("tenant", "correlation_id", "causation_id", "traceparent")
            if (value := getattr(around, name)) is not None
        }
        envelope = self.delivery.event
        committed = TurnCommitted(
            agent_id=self.delivery.agent_id,
            channel_id=envelope.channel_id,
            turn_id=self.turn_id,
            causation_id=envelope.id or None,
            envelope_id=envelope.envelope_id,
            events=written(events, inherited),
        )
        return [committed, *events]

    def _learn_posts(self, events: Sequence[Event]) -> None:
        held = {posting.envelope_id: held for held, posting in self.held if posting.earlier is None}
        for event in events:
            if isinstance(event, EnvelopePosted) and event.envelope_id in held:
                held[event.envelope_id].event = event


_commit = maker(Commit, "core", "state", "delivery", "turn_id", "held", "kept")


class Effects:
    """What one turn holds."""

    def __init__(self, core: Core, state: State, delivery: Delivery, turn_id: str, kind: StateKind) -> None:
        self._core = core
        self._state = state
        self._delivery = delivery
        self._turn_id = turn_id
        self._held: list[tuple[HeldPost, Posting]] = []
        self._is_over = False
        self.kept: TurnState = TurnState(kind, partial(state.actor_states.find, delivery.agent_id))

    async def post(self, posting: Posting, *, at_once: bool) -> HeldPost | EnvelopePosted:
        """Hold a post until the turn is committed, or post at once."""
        if posting.refusal is not None or at_once:
            return await posting.run()
        self.check_open()
        if len(self._held) >= HELD_MAX:
            raise CommandRejected(
                f"a turn holds at most {HELD_MAX} posts; commit those with 'await turn.commit()', or post with"
                " at_once=True"
            )
        posting.content = canonical(posting.content)  # as it is now: the object may change
        if (same := self._of_key(posting)) is not None:
            return same
        held = HeldPost(posting.content)
        self._held.append((held, posting))
        return held

    def _of_key(self, posting: Posting) -> HeldPost | None:
        """Return the post that is held already with the same key."""
        if posting.idempotency_key is None:
            return None
        for held, other in self._held:
            if (other.idempotency_key, other.place()) != (posting.idempotency_key, posting.place()):
                continue
            if (other.content, other.audience) == (posting.content, posting.audience):
                return held
            raise PostRejected(
                f"idempotency_key {posting.idempotency_key!r} was used in this turn for another envelope; use each key"
                " for one envelope",
                code="key_reused",
            )
        return None

    def check_open(self) -> None:
        """Raise if the turn has ended."""
        if self._is_over:
            raise CommandRejected(
                f"turn {self._turn_id} has ended, and posts nothing any more; a task that outlives a turn posts with"
                " channel.post()"
            )

    def check_current(self) -> None:
        """Raise if the turn has ended, or its envelope is not its any more."""
        self.check_open()
        if not _is_current(self._state, self._delivery):
            self._stale()

    def take(self) -> Commit:
        """Return what is held so far, which is held no more."""
        held, self._held = self._held, []
        return _commit(self._core, self._state, self._delivery, self._turn_id, held, self.kept)

    def end(self) -> Commit:
        """Hold no posts from now on; return what was held."""
        self._is_over = True
        return self.take()

    async def commit(self) -> None:
        """See :meth:`Turn.commit`."""
        self.check_open()
        commit = self.take()
        if commit.is_empty:
            return
        try:
            await commit.run(lambda _: (), self._stale)
        except HubError as error:
            self.kept.forget()
            if rejection := commit.rejection(error):
                await self._core.execute(lambda: rejection)
            raise
        except BaseException:
            if not commit.is_put:  # it was cancelled before it was put
                self._held[:0] = commit.held
            raise

    def _stale(self) -> Sequence[Event]:
        raise CommandRejected(
            f"envelope {self._delivery.event.envelope_id} is not to be handled by this turn any more: it has expired,"
            " was dropped, nacked, or given to another reader; nothing that the turn holds is posted"
        )


def _is_current(state: State, delivery: Delivery) -> bool:
    """Tell whether a delivery is still to be settled, or was acked by the turn itself."""
    held = state.inboxes.held(delivery.agent_id, delivery.event.envelope_id, delivery.attempt)
    return held is not None or delivery.is_acked
