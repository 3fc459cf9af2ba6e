"""Posts that wait for room in full inboxes: in what order they go on, and when they would wait for ever."""

from __future__ import annotations

import asyncio
from bisect import insort
from collections.abc import Callable, Sequence, Set as AbstractSet
from itertools import count, pairwise

from ..errors import HubError, InboxFull

__all__ = ("Room", "Ticket")


class Ticket:
    """A post that waits. It keeps its place in each line that it has come to stand in."""

    def __init__(self, number: int, turn: object | None) -> None:
        self.number: int = number
        """The earlier it began to wait, the smaller."""
        self.turn: object | None = turn
        """The turn of an actor in which it waits."""
        self.lines: set[str] = set()
        """The agents in whose lines it stands."""
        self.lacks: tuple[str, ...] = ()
        """The agents for whose inboxes it waits at present."""
        self.wake: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def __lt__(self, other: Ticket) -> bool:
        return self.number < other.number


class Room:
    """The lines before full inboxes whose rule says that senders wait.

    The first of a line goes on when there is room for it in all inboxes that it is for. Because a post that began to
    wait earlier stands before a later one in each line, the earliest of all is first in all of its own: no two posts
    wait for each other.
    """

    def __init__(self) -> None:
        self._lines: dict[str, list[Ticket]] = {}
        self._tickets: dict[Ticket, None] = {}
        self._numbers = count()
        self._turn_of: Callable[[], object | None] = lambda: None
        self._has_time: Callable[[str, AbstractSet[object]], bool] = lambda _agent_id, _stuck: True

    def connect(
        self, turn_of: Callable[[], object | None], has_time: Callable[[str, AbstractSet[object]], bool]
    ) -> None:
        """Learn in which turn code runs, and whether an agent will handle another envelope while some turns wait."""
        self._turn_of = turn_of
        self._has_time = has_time

    def __len__(self) -> int:
        return len(self._tickets)

    def waiting_for(self, agent_id: str) -> int:
        """Return how many posts stand in the line of an inbox."""
        return len(self._lines.get(agent_id, ()))

    def waited_for(self) -> tuple[str, ...]:
        """Return the agents in whose lines posts stand."""
        return tuple(self._lines)

    # -- what a post does --

    def ahead_of(self, ticket: Ticket | None, reached: Callable[[], Sequence[str]]) -> tuple[str, ...]:
        """Return those of the agents reached for whose inboxes a post waits that began to wait before this one."""
        if not self._lines:
            return ()
        return tuple(each for each in reached() if each in self._lines and self._lines[each][0] is not ticket)

    def stand_in_line(self, ticket: Ticket | None, agent_ids: tuple[str, ...], label: Callable[[str], str]) -> Ticket:
        """Wait for these inboxes, in the place that the ticket has; return it, or a new one.

        ``label`` returns how messages name an agent.

        Raises :class:`~hubwire.errors.InboxFull` if there could be room only after the post has gone on, as for an
        actor that posts to itself: it leaves the lines then.
        """
        if ticket is None:
            ticket = Ticket(next(self._numbers), self._turn_of())
            self._tickets[ticket] = None
        elif ticket.wake.done():
            ticket.wake = asyncio.get_running_loop().create_future()
        ticket.lacks = agent_ids
        is_new = False
        for agent_id in agent_ids:
            if agent_id not in ticket.lines:
                is_new = True
                ticket.lines.add(agent_id)
                insort(self._lines.setdefault(agent_id, []), ticket)
        if self._is_deadlock(ticket):
            self.leave(ticket)
            raise InboxFull(
                f"the inbox of {label(agent_ids[0])} is full, and would stay so: all that it handles at present waits,"
                " over others perhaps, for this post; post it when the turn is over, or give the agent a larger inbox"
                " or more workers",
                agent_ids=agent_ids[:1],
            )
        if is_new and all(self._lines[agent_id][0] is ticket for agent_id in agent_ids):
            _wake(ticket)  # it came before others, for which there may be room already: it looks again
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """The post has gone on, was refused or cancelled: the next of its lines may go on."""
        self._tickets.pop(ticket, None)
        for agent_id in ticket.lines:
            line = self._lines[agent_id]
            line.remove(ticket)
            if not line:
                del self._lines[agent_id]
        freed, ticket.lines = ticket.lines, set()
        for agent_id in freed:
            self.freed(agent_id)

    # -- what happens to inboxes --

    def freed(self, agent_id: str | None) -> None:
        """There is room in an inbox, perhaps: let the first of its line look."""
        if self._lines and agent_id in self._lines:
            _wake(self._lines[agent_id][0])

    def look_again(self) -> None:
        """Who takes part where, or a rule, has changed: let all look."""
        for ticket in self._tickets:
            _wake(ticket)

    def end(self, error: Callable[[], HubError]) -> None:
        """The hub has ended: raise this where posts wait."""
        for ticket in self._tickets:
            if not ticket.wake.done():
                ticket.wake.set_exception(error())

    # -- deadlocks --

    def _is_deadlock(self, newest: Ticket) -> bool:
        """Tell whether a post waits for room that can come only after it has gone on.

        No post did before this one came, so that the circle, if there is one, goes through it.
        """
        if newest.turn is None and all(self._lines[agent_id][-1] is newest for agent_id in newest.lines):
            return False  # no other post and no turn waits for this one
        before = {agent_id: dict(pairwise(reversed(line))) for agent_id, line in self._lines.items()}
        stuck = dict.fromkeys(self._tickets)
        while newest in stuck:
            turns = {ticket.turn for ticket in stuck if ticket.turn is not None}
            count_before = len(stuck)
            for ticket in tuple(stuck):
                if all(
                    before[agent_id].get(ticket) not in stuck and self._has_time(agent_id, turns)
                    for agent_id in ticket.lacks
                ):
                    del stuck[ticket]
            if len(stuck) == count_before:
                return True
        return False


def _wake(ticket: Ticket) -> None:
    if not ticket.wake.done():
        ticket.wake.set_result(None)
