"""Where the contents of a command come from: its ``provenance=``, checked, as it stands in the event's metadata."""

from __future__ import annotations

from typing import Final

from .._foreign.arguments import Call
from .._state.origin import Origin
from ..provenance import PROVENANCES, provenance

__all__ = ("UNSAID", "said_of")

UNSAID: Final[tuple[str, ...]] = ()
"""What ``provenance`` is where it is not given. Compared by identity: what a caller gives may compare as it likes."""


def said_of(call: Call, given: object) -> Origin:
    """Return what an event says of where its contents come from; nothing, if no word is given.

    Raises the error of the call for what is no list of :data:`~hubwire.provenance.PROVENANCES`.
    """
    if given is UNSAID:
        return {}
    words = call.items("provenance", given, of="words", most=len(PROVENANCES))
    named = {call.one_of("each of provenance", word, PROVENANCES) for word in words}
    return {"metadata": provenance(*named)} if named else {}
