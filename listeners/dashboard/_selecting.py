"""From the parameters of a request to the records that it asks for."""

from __future__ import annotations

from functools import partial
from typing import Any

import attrs
from anyio import to_thread

from hubwire.errors import ConfigurationError
from hubwire.query import Selection

from ._asked import Asked
from ._http import refused
from ._outcomes import Outcomes

__all__ = ("FILTERS", "PAGING", "Chosen", "selection_of")

FILTERS = (
    *("kind", "agent", "channel", "task", "turn", "session", "correlation", "actor", "source", "topic"),
    *("outcome", "severity", "tool", "error"),
)
"""Each can be given more than once, or with commas."""
_KEYS = {"tool": "tool", "error": "error_type"}
"""Of those that are no filters of queries, the key of records that each looks at: it holds names, and no contents."""
_ONE = ("text", "since", "until", "zone")
PAGING = ("after", "limit", "newest_first")
_OWN = ("cls", "clock", "call", "where", "shown")
"""What a selection is made with besides filters: it is not the client's to give."""


@attrs.frozen
class Chosen:
    """Which records are asked for."""

    selection: Selection
    outcomes: Outcomes


async def selection_of(asked: Asked, *, also: tuple[str, ...] = ()) -> Chosen:
    """Return which records a request asks for; ``also`` are its other parameters.

    Those of a person who may see some tenants alone are of the tenant that was asked for. Raises
    :class:`~._http.Problem` for a filter that there is not, or that cannot be; it names the nearest.
    """
    known = {*FILTERS, *_ONE, *also, "tenant"}
    given: dict[str, Any] = {name: texts for name in FILTERS if (texts := asked.texts(name))}
    given |= {name: text for name in _ONE if (text := asked.text(name)) is not None}
    for name in asked.request.query_params:
        if name in _OWN:
            raise refused(f"there is no filter {name!r}", f"there are {', '.join((*FILTERS, *_ONE))}")
        if name not in known:
            given[name] = asked.text(name)
    outcomes = Outcomes.of(given.pop("outcome", ()))
    if where := {key: given.pop(name) for name, key in _KEYS.items() if name in given}:
        given["where"] = where
    if asked.tenant is not None:
        given["tenant"] = asked.tenant
    if not asked.contents and "text" in given:
        raise refused("text looks through what is hidden from you", "ask by kind, agent, channel or time instead")
    if "text" in given:
        given["shown"] = asked.parts.logs.as_searched
    make = partial(Selection.of, **given, clock=asked.parts.clock, call=asked.request.url.path)
    try:
        selection = await to_thread.run_sync(make) if "zone" in given else make()  # zones are files
    except ConfigurationError as error:
        raise refused(str(error)) from error
    return Chosen(selection, outcomes)
