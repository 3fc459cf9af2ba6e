"""One thing that was done, as one record says it."""

from __future__ import annotations

from typing import Any, Final

import attrs

from .._foreign.arguments import Call
from .._values import Value
from ..errors import ConfigurationError

__all__ = ("WHATS", "Deed")

WHATS: Final = ("message", "call", "result", "approval", "verdict", "turn", "checkpoint")
"""What there is, in the order in which it is shown."""

_DEED: Final = Call("Deed()", ConfigurationError)
_set = object.__setattr__


@attrs.frozen(eq=False, repr=False)
class Deed(Value):
    """One thing that was done, as a record says it.

    ``what`` is one of

    * ``message``: words to an agent or of one; ``name`` is the role, where the record says it, ``content`` the words;
    * ``call``: a tool was called; ``name`` is the tool, ``content`` the arguments;
    * ``result``: a call returned, or failed; ``content`` is what it returned, ``key`` that of the call;
    * ``approval``: an agent asked to be allowed; ``name`` is the action, ``content`` its arguments;
    * ``verdict``: the answer, ``approved``, ``denied`` and so on as its ``name``; ``key`` is that of the approval;
    * ``turn``: an agent began to handle its input, ``content``;
    * ``checkpoint``: a runtime saved its state; ``id`` is the checkpoint's.

    Raises :class:`~hubwire.errors.ConfigurationError` for another ``what``, and for what is no text where text is.
    """

    what: str
    name: str = attrs.field(default="", kw_only=True)
    id: str = attrs.field(default="", kw_only=True)
    """The id that the runtime gave it; empty where it has none."""
    content: Any = attrs.field(default=None, kw_only=True)
    """None: the record does not hold it."""
    place: str = attrs.field(default="", kw_only=True)
    """Where the record says it, for people: ``line 3, message 2``."""
    group: str = attrs.field(default="", kw_only=True)
    """The conversation, thread or run that it is part of, in its record."""
    key: str = attrs.field(default="", kw_only=True)
    """Connects a result with its call, and a verdict with its approval, within one record."""
    by: str = attrs.field(default="", kw_only=True)
    """The kind of the event that says it, where the record is a log."""

    def __attrs_post_init__(self) -> None:
        _set(self, "what", _DEED.one_of("what", self.what, WHATS))
        for name in ("name", "id", "place", "group", "key", "by"):
            _set(self, name, _DEED.text(name, getattr(self, name)))
