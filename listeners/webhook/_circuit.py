"""A circuit: whether an endpoint is tried at all, as its last answers suggest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum

from hubwire import Backoff

__all__ = ("MOVES", "Circuit", "CircuitState")


class CircuitState(Enum):
    """Whether an endpoint is tried."""

    CLOSED = "closed"
    """It is."""
    OPEN = "open"
    """It has failed often, or wants a pause, and is left alone for a time."""
    HALF_OPEN = "half_open"
    """That time is over, and one delivery tries it. If it works the circuit is closed, else it is open again."""


MOVES: Mapping[CircuitState, frozenset[CircuitState]] = {
    CircuitState.CLOSED: frozenset({CircuitState.OPEN}),
    CircuitState.OPEN: frozenset({CircuitState.HALF_OPEN}),
    CircuitState.HALF_OPEN: frozenset({CircuitState.OPEN, CircuitState.CLOSED}),
}
"""The states that can follow each state."""

_PROBE_SECONDS = 0.5
"""How long the others wait before they ask again what has come of the one that tries."""


class Circuit:
    """The circuit of one endpoint."""

    def __init__(self, failures_max: int, backoff: Backoff, monotonic: Callable[[], float]) -> None:
        """``backoff``: the pauses, by how often in a row the endpoint has failed."""
        self.state: CircuitState = CircuitState.CLOSED
        self.failures: int = 0
        """How often in a row it has failed."""
        self._failures_max = failures_max
        self._backoff = backoff
        self._monotonic = monotonic
        self._until = 0.0

    @property
    def is_left_alone(self) -> bool:
        """Whether the endpoint may not be tried now."""
        return self.state is CircuitState.HALF_OPEN or (
            self.state is CircuitState.OPEN and self._until > self._monotonic()
        )

    def begin(self) -> float:
        """Return 0 if the endpoint may be tried now, else after how many seconds to ask again.

        Who gets 0 says afterwards what has come of it.
        """
        if self.state is CircuitState.CLOSED:
            return 0.0
        if self.state is CircuitState.HALF_OPEN:
            return _PROBE_SECONDS
        if (wait := self._until - self._monotonic()) > 0:
            return wait
        self._move(CircuitState.HALF_OPEN)
        return 0.0

    def worked(self) -> None:
        """The endpoint has answered as it should. An answer to a delivery of before closes no circuit that is open."""
        self.failures = 0
        if self.state is CircuitState.HALF_OPEN:
            self._move(CircuitState.CLOSED)

    def failed(self, seconds_min: float | None) -> float:
        """The endpoint has failed; return after how many seconds to try again.

        ``seconds_min``: the pause that it wants. Then it is left alone for so long, also if it has not failed often.
        """
        self.failures += 1
        pause = max(self._backoff.pause_seconds(self.failures), seconds_min or 0.0)
        is_probe = self.state is CircuitState.HALF_OPEN
        if is_probe or seconds_min is not None or self.failures >= self._failures_max:
            self._until = max(self._until, self._monotonic() + pause)
            self._move(CircuitState.OPEN)
        return pause

    def abandoned(self) -> None:
        """It is not known what has come of it."""
        if self.state is CircuitState.HALF_OPEN:
            self._move(CircuitState.OPEN)

    def _move(self, state: CircuitState) -> None:
        if state is self.state:
            return
        assert state in MOVES[self.state], f"a circuit does not go from {self.state} to {state}"
        self.state = state
