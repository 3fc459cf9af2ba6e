"""How approvals are answered through an assistant: only at a running hub, and only what was looked at."""

from __future__ import annotations

from ..approvals import one_of
from .answers import Answer, bounded, slim
from .given import Given
from .reading import Reads, Verdict
from .schemas import LIMIT_MAX

__all__ = ("approve", "deny")

_REASON_CHARS_MAX = 1900
_THROUGH = "decided through an assistant, by hubwire mcp"


async def approve(reads: Reads, given: Given) -> str:
    """Let an agent act."""
    return await _decided(reads, given, "approve")


async def deny(reads: Reads, given: Given) -> str:
    """Keep an agent from acting."""
    if not given.text("reason").strip():
        raise given.refusal("the agent is told why; give a reason")
    return await _decided(reads, given, "deny")


async def _decided(reads: Reads, given: Given, verdict: Verdict) -> str:
    wanted, action, reason = given.text("approval"), given.text("action"), given.text("reason").strip()
    if len(reason) > _REASON_CHARS_MAX:
        raise given.refusal(f"reason has {len(reason):,} characters, and at most {_REASON_CHARS_MAX:,} are kept")
    approval = one_of((await reads.board("approvals", None, LIMIT_MAX)).rows, wanted, reads.name)
    if approval["action"] != action:
        raise given.refusal(
            f"approval {wanted[:80]!r} is about {str(approval['action'])[:80]!r}, and not {action[:80]!r}: nothing is"
            " decided; look at it by approvals, and ask your user about that action"
        )
    # The audit log has the person; that a person did not do it by hand, the reason says.
    said = f"{reason} ({_THROUGH})" if reason else _THROUGH
    decided = await reads.decide(str(approval["approval_id"]), verdict, said)
    answer = Answer(of=bounded(reads.name))
    answer.add(slim(decided))
    waits = decided["state"] == "waiting"
    notes = ["answered; others have to answer, too"] if waits else []
    return answer.text(state=decided["state"], notes=notes)
