"""The tools of the server: which there are, and what becomes of a call of one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from ..._foreign.arguments import nearest
from ...errors import HubError
from ...own_log import OwnLog
from ..failures import CommandFailed
from ..output import escape
from . import asking, deciding
from .given import Given
from .reading import Reads
from .schemas import INSTRUCTIONS, arguments_of, described, required_of
from .speaking import Answered, Params

__all__ = ("Tools",)

_ERROR_CHARS_MAX = 2000

_log = OwnLog("mcp")

_Answering = Callable[[Reads, Given], Awaitable[str]]

_READING: Mapping[str, _Answering] = {
    "board": asking.board,
    "tail": asking.tail,
    "query": asking.query,
    "trail": asking.trail,
    "show": asking.show,
    "approvals": asking.approvals,
}
_DECIDING: Mapping[str, _Answering] = {"approve": deciding.approve, "deny": deciding.deny}


class Tools:
    """The tools over one place where agents are at work."""

    instructions = INSTRUCTIONS

    def __init__(self, reads: Reads, *, may_decide: bool) -> None:
        self._reads = reads
        self._tools = {**_READING, **_DECIDING} if may_decide else _READING

    def described(self) -> Sequence[Mapping[str, Any]]:
        """Return what clients are told of each."""
        return [described(name, acts=name in _DECIDING) for name in self._tools]

    async def call(self, name: str, arguments: Params) -> Answered:
        """Call a tool; what is wrong is said in words that a model can act by."""
        answering = self._tools.get(name)
        if answering is None:
            return _failed(self._no_such(name))
        try:
            given = Given(name, arguments, arguments_of(name))
            given.require(required_of(name))
            return Answered(await answering(self._reads, given))
        except (HubError, CommandFailed, OSError) as error:
            return _failed(str(error) or type(error).__name__)
        except Exception as error:  # noqa: BLE001 - one call fails, and the others go on
            _log.problem("a tool has failed", error, tool=name)
            return _failed(f"{name} has failed: {type(error).__name__}; the standard error of hubwire mcp says more")

    def _no_such(self, name: str) -> str:
        if name in _DECIDING:
            return (
                f"{name} is not offered: this server only reads; a person may start it with --allow-decide, at the"
                " address of a running hub, or decide by hubwire approvals"
            )
        advice = nearest(name, self._tools)
        return f"there is no tool {name[:80]!r}; there are {', '.join(self._tools)}{f'; {advice}' if advice else ''}"


def _failed(message: str) -> Answered:
    # An error may name what agents have named.
    said = escape(message[:_ERROR_CHARS_MAX])
    return Answered(f"error: {said[:_ERROR_CHARS_MAX]}", is_error=True)
