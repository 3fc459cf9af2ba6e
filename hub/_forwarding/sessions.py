"""Sessions of a hub that follows: by them and by numbers the hub that leads knows a command that comes again."""

from __future__ import annotations

import os
import uuid

import anyio
import attrs

from .._state.followers import IDLE_SECONDS_MAX, RESULTS_MAX

__all__ = ("Session", "Sessions")

_IDLE_SECONDS = IDLE_SECONDS_MAX / 2
"""After so long without an answer a new session begins: well before the old one ends."""


@attrs.define(eq=False, repr=False)
class Session:
    """A session, and its commands whose answers have not come."""

    id: str = attrs.Factory(lambda: uuid.uuid4().hex)
    pid: int = attrs.Factory(os.getpid)
    is_known: bool = False
    """Whether the hub that leads has answered in it: from then on it is not to be made."""
    used: float = attrs.Factory(anyio.current_time)
    """When it has answered last."""
    under_way: set[int] = attrs.Factory(set)
    _next: int = 0

    @property
    def first(self) -> int:
        """The lowest number whose answer has not come."""
        return min(self.under_way, default=self._next)

    @property
    def is_usable(self) -> bool:
        """Whether it takes another command: the results of so many are kept, and one may be asked for for long."""
        is_awake = anyio.current_time() - self.used < _IDLE_SECONDS
        return is_awake and self.pid == os.getpid() and self._next - self.first < RESULTS_MAX

    def take(self) -> int:
        """Return the number of a new command."""
        number, self._next = self._next, self._next + 1
        self.under_way.add(number)
        return number


class Sessions:
    """The present session, and those before it that wait for answers."""

    def __init__(self) -> None:
        self._present: Session | None = None
        self._known: dict[str, Session] = {}

    def present(self) -> Session:
        """Return the session for a new command."""
        if self._present is None or not self._present.is_usable:
            self._present = Session()
        return self._present

    def end(self, session: Session) -> None:
        """No new command is given in it."""
        if self._present is session:
            self._present = None

    def note(self, session: Session) -> None:
        """The hub that leads knows this session."""
        session.is_known, session.used = True, anyio.current_time()
        self._known[session.id] = session

    def done(self, session: Session, number: int) -> Session | None:
        """No task waits for a command any more; return the session if it is over, and is known."""
        session.under_way.discard(number)
        if session.under_way or session is self._present:
            return None
        return self._known.pop(session.id, None)

    def all_known(self) -> list[Session]:
        """Return those to be ended with the hub."""
        known = list(self._known.values())
        self._known.clear()
        return known
