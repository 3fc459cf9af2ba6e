"""Where contents come from: said of envelopes and tool results by who knows it, and carried on by who uses them.

It stands in the ``metadata`` of an event, so that an event without it costs nothing. The hub never adds or guesses one:
what is not said is not known, and is no proof of anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from .errors import ConfigurationError
from .events import Event
from .events._shown import is_a, nearest, shown

__all__ = ("PROVENANCES", "carried", "provenance", "provenance_of")

PROVENANCES: Final = ("user", "web", "tool", "agent", "memory")
"""The words there are: a person, the web, a tool, another agent, a memory that was written before."""

_KEY: Final = "provenance"
_WORDS_MAX: Final = 100


def provenance(*words: str) -> dict[str, tuple[str, ...]]:
    """Return the ``metadata`` of an event whose contents come from there: ``ToolCompleted(..., metadata=…)``.

    Raises :class:`~hubwire.errors.ConfigurationError` for a word that is none of :data:`PROVENANCES`, and for none.
    """
    if not words:
        raise ConfigurationError(
            f"provenance() needs one of {', '.join(PROVENANCES)}; where none is known, leave it out"
        )
    for word in words:
        text = str.__str__(word) if is_a(word, str) else ""
        if text not in PROVENANCES:
            advice = nearest(text, PROVENANCES) if text else ""
            raise ConfigurationError(
                f"provenance() takes {', '.join(PROVENANCES)}, not {shown(word)}{'; ' if advice else ''}{advice}"
            )
    given = {str.__str__(word) for word in words}
    return {_KEY: tuple(word for word in PROVENANCES if word in given)}


def provenance_of(event: Event | Mapping[str, Any]) -> tuple[str, ...]:
    """Return where the contents of an event come from, as it says; none where it does not say it.

    ``event`` is an event, or the fields of its record. Other words than :data:`PROVENANCES` are passed over: any
    program may write them. Raises :class:`~hubwire.errors.ConfigurationError` for what is neither.
    """
    if is_a(event, Event):
        metadata = event.metadata  # type: ignore[union-attr]
    elif is_a(event, Mapping):
        metadata = event.get("metadata")  # type: ignore[union-attr]
    else:
        raise ConfigurationError(f"provenance_of() takes an event, or the fields of a record, not {shown(event)}")
    said = metadata.get(_KEY) if isinstance(metadata, Mapping) else None
    if not isinstance(said, tuple | list):
        return ()
    words = [word for word in said[:_WORDS_MAX] if isinstance(word, str)]
    return tuple(word for word in PROVENANCES if word in words)


def carried(*events: Event | Mapping[str, Any]) -> tuple[str, ...]:
    """Return where all that these events hold comes from: what an answer made of them carries on.

    Give it what the agent has read: ``channel.post(agent, answer, provenance=carried(delivery.event, result))``.
    """
    found = {word for event in events for word in provenance_of(event)}
    return tuple(word for word in PROVENANCES if word in found)
