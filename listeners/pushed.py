"""PushedMetrics and CallbackMetrics: the numbers of a hub, handed on every few seconds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from hubwire.errors import ConfigurationError
from hubwire.ports import Clock, KnowledgeStore

from ._pushing import Pushing
from .families import family
from .hub_metrics import HubMetrics, Reading
from .metrics import Latency

__all__ = ("CallbackMetrics", "PushedMetrics")

_CLOSE_SECONDS = 4.0
"""How long leaving takes: less than what a hub waits for it."""
_SECONDS_MAX = 86_400.0


class PushedMetrics(HubMetrics, ABC):
    """:class:`~hubwire.listeners.hub_metrics.HubMetrics` that are handed on: a subclass says how, by :meth:`send`.

    ``seconds``: the time between two pushes; the last one is when the hub ends. The other arguments are those of
    :class:`~hubwire.listeners.hub_metrics.HubMetrics`.
    """

    def __init__(
        self,
        *,
        seconds: float,
        store: KnowledgeStore | None = None,
        path: str = "/metrics/totals.json",
        save_seconds: float = 5.0,
        labels_max: int = 200,
        window_seconds: int = 60,
        open_max: int = 10_000,
        names_max: int = 1000,
        clock: Clock | None = None,
    ) -> None:
        if type(seconds) not in (int, float) or not 0 < seconds <= _SECONDS_MAX:
            raise ConfigurationError(f"{type(self).__name__}(): seconds is a positive number, a day at most")
        kept: dict[str, Any] = {"store": store, "path": path, "save_seconds": save_seconds, "clock": clock}
        bounds: dict[str, Any] = {"labels_max": labels_max, "window_seconds": window_seconds, "open_max": open_max}
        super().__init__(**kept, **bounds, names_max=names_max)
        self._every_seconds = seconds
        self._pushing: Pushing | None = None

    @property
    def failures(self) -> int:
        """How many pushes have failed since the listener was entered."""
        return 0 if self._pushing is None else self._pushing.failures

    @abstractmethod
    def send(self, readings: Sequence[Reading]) -> None:
        """Hand these on. It is called in a thread of its own and may block; what it raises is logged and counted."""

    def finish(self) -> None:
        """Release what :meth:`send` needs: it is called after the last push, in the same thread."""

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self._pushing = Pushing(self.readings, self.send, self.finish, self._every_seconds, type(self).__name__)
        return self

    async def __aexit__(self, *_: object) -> None:
        await super().__aexit__(*_)
        if self._pushing is not None:
            await self._pushing.close(_CLOSE_SECONDS)


class CallbackMetrics(PushedMetrics):
    """Calls ``callback(type, name, value, tags)`` for each number of a hub, every ``seconds``, in a thread of its own.

    ``type`` is ``counter``, ``gauge`` or ``histogram``; ``name`` is one of :mod:`hubwire.listeners.families`; ``value``
    is a number, of a counter the sum until now, and of a histogram a :class:`~hubwire.listeners.metrics.Latency`;
    ``tags`` maps labels to their values. So numbers get to any system that has a client. A callback that raises is
    logged, and called again for the next number.
    """

    def __init__(
        self,
        callback: Callable[[str, str, float | Latency, Mapping[str, str]], object],
        *,
        seconds: float = 10.0,
        **settings: Any,
    ) -> None:
        super().__init__(seconds=seconds, **settings)
        if not callable(callback) or issubclass(type(callback), type):
            raise ConfigurationError("CallbackMetrics(): callback is a function of a type, a name, a value and tags")
        self._callback = callback

    def send(self, readings: Sequence[Reading]) -> None:
        """Call the callback for each number."""
        failure: BaseException | None = None
        for reading in readings:
            try:
                self._callback(family(reading.name).type, reading.name, reading.value, dict(reading.labels))
            except BaseException as error:  # noqa: BLE001 - it is a guest in a thread of its own; the last one is raised
                failure = error
        if failure is not None:
            raise failure
