"""What is wrong with an event: an error holds all of it."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ("Fault",)


class Fault(NamedTuple):
    """One thing that is wrong with an event; as text, a sentence of one line."""

    path: str
    """Which field: its name, and in a payload the keys down to the value, ``data.items.0.price``. Empty for what is
    wrong with the event as a whole."""
    wanted: str
    """What it has to be, in words: it goes on after "has to be"."""
    given: str
    """What it is, bounded, and without calling code of the value; ``not given`` where it is missing."""
    rule: str = ""
    """The pattern of the rule that says so; empty for the type that a class declares."""
    mode: str = "strict"
    """``strict`` if it refuses the event, ``warn`` if it would have been let pass."""
    place: int = 0
    """Which event of a batch, from 0."""

    def __str__(self) -> str:
        return f"{self.path or 'the event'} has to be {self.wanted}, and is {self.given}"
