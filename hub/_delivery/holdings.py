"""Holdings: what a listener that keeps its own position says it holds, and what is owed to it after that."""

from __future__ import annotations

from .._journal.history import Mark
from .._journal.positions import Handled
from .adapted import Adapted
from .place import Place
from .reports import Reports

__all__ = ("Holdings",)


class Holdings:
    """The events whose effects one listener holds."""

    def __init__(self, listener: Adapted, place: Place, reports: Reports) -> None:
        self._listener = listener
        self._place = place
        self._reports = reports
        self._held: int = 0
        """Events below this ``seq`` are held by the listener, as it has said last."""
        self.handled: Handled | None = None
        """How far it had come when it said last which event it holds; None if it keeps no position."""

    @property
    def mark(self) -> Mark | None:
        """The last event that the listener says it holds, so that the journal has to; None if it does not say."""
        entry = self._place.entry
        if entry is None or entry.last_seq is None or entry.last_id is None:
            return None
        return Mark(entry.last_seq, entry.last_id, f"listener {self._reports.name!r} handled it")

    def begin(self, start: int) -> None:
        """The listener has its place."""
        self._held = start

    def owed(self, *, has_ended: bool) -> int:
        """Return the ``seq`` below which events need not be kept: it has handled them, and holds their effects.

        ``has_ended``: the listener must not be asked any more.
        """
        if not self._listener.keeps_position:
            return self._place.done
        if has_ended:
            return self._held
        try:
            last_seq = self._listener.last_seq()
            self._held = self._place.held(last_seq)
            self.handled = Handled(self._held, -1 if last_seq is None else last_seq)
        except Exception as error:  # noqa: BLE001 - a wrong answer is the listener's own failure
            self._reports.failed_to_answer(error, self._place.done)
        return self._held
