"""How a hub shows itself to the people who print it, and what it says to those who enter it as what it is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ._foreign.guards import guarded_call
from .errors import ConfigurationError

if TYPE_CHECKING:
    from ._parts import Parts

__all__ = ("EnteredAsync", "shown_hub")

_CHARS_MAX: Final = 120


class EnteredAsync:
    """What is entered by ``async with``, and says so where a program writes ``with``."""

    if not TYPE_CHECKING:  # checkers know that it has no such methods

        def __enter__(self) -> Any:
            raise ConfigurationError(
                "a Hub is entered in an event loop: write 'async with hub:' in an async function, or 'with"
                " HubThread(hub):' in a program without one"
            )

        def __exit__(self, *_: object) -> None:
            """It is never entered, and Python looks for this before."""


def shown_hub(parts: Parts, hub_id: str) -> str:
    """Return one line: which hub, in which phase, where its journal is, and how much there is in it."""
    what = f"agents={len(parts.state.agents)}, channels={len(parts.state.channels)}"
    listeners = len(parts.fanout.attachments)
    name = f" {hub_id}" if hub_id else ""
    return f"<Hub{name} {parts.lifecycle.phase.value}, {_kept(parts.journal)}: {what}, listeners={listeners}>"


def _kept(journal: object) -> str:
    """Return where the journal is. What a class of others shows of itself may be a secret, or raise."""
    if journal is None:
        return "in memory alone"
    store = getattr(journal, "store", None) if _is_ours(journal) else None
    if store is None:
        return f"with a journal of class {type(journal).__name__}"
    if not _is_ours(store):
        return f"on a {type(store).__name__}"
    try:
        return f"on {guarded_call(repr, store):.{_CHARS_MAX}}"
    except Exception:  # noqa: BLE001 - as of a store of others in one of ours
        return f"on a {type(store).__name__}"


def _is_ours(value: object) -> bool:
    return f"{type(value).__module__}.".startswith("hubwire.")
