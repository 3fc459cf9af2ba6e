"""Approvals of a runtime, asked of a hub in its own loop."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

from .. import Hub
from ..errors import CommandRejected, NotApproved
from ._queue import Entry
from ._tidy import Tidy
from .verdict import Verdict

__all__ = ("ask", "verdict_of")


async def ask(face: Any, entry: Entry, agent: str, source: str, tidy: Tidy) -> None:
    """Ask for an approval, or record one that was given elsewhere. Raises what the hub refuses it with."""
    fields = entry.fields
    key = f"{source}:{entry.key}"[:500]
    if entry.step == "verdict":
        await face.approvals.record(
            agent,
            fields["action"],
            arguments=fields.get("arguments"),
            approver=fields["approver"],
            is_passed=fields["is_passed"],
            reason=tidy.text(fields.get("reason", "")),
            idempotency_key=key,
        )
        return
    approval_id = await face.approvals.request(
        agent, fields["action"], arguments=fields.get("arguments"), idempotency_key=key
    )
    future: Future[str] | None = fields.get("future")
    if future is not None and not future.done():
        future.set_result(approval_id)


async def verdict_of(hub: Hub, tenant: str | None, approval_id: str) -> Verdict:
    """Wait for the verdict of an approval, and use it."""
    face: Any = hub if tenant is None else hub.for_tenant(tenant)
    try:
        approval = await face.approvals.wait(approval_id)
    except NotApproved as error:
        return Verdict(is_approved=False, reason=error.reason or f"it was {error.verdict}", approval_id=approval_id)
    was_used = approval.was_used
    if not was_used:
        try:
            await face.approvals.use(approval)
        except CommandRejected:  # another call of the same key has just used it
            was_used = True
    return Verdict(
        is_approved=True,
        reason=approval.reason,
        approvers=approval.approvers,
        arguments=_thawed(approval.arguments),
        is_modified=approval.verdict == "modified",
        approval_id=approval_id,
        was_used=was_used,
    )


def _thawed(value: Any) -> Any:
    """Return the values of an event as a runtime takes them: a tool that wants a list is not called with a tuple."""
    if isinstance(value, Mapping):
        return {key: _thawed(item) for key, item in value.items()}
    return [_thawed(item) for item in value] if isinstance(value, tuple | list) else value
