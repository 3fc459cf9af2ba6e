"""Verdict: what a hub has decided about an action that a runtime has suspended."""

from __future__ import annotations

from typing import Any

import attrs

__all__ = ("Verdict",)


@attrs.frozen(kw_only=True)
class Verdict:
    """Whether a suspended action may be done.

    It may not unless ``is_approved``: denied, expired, sent back, or there is no hub that could be asked.
    """

    is_approved: bool
    reason: str = ""
    """Why, as the approver or the hub says; the runtime may give it to the model."""
    approvers: tuple[str, ...] = ()
    arguments: Any = None
    """What is approved instead of the requested arguments, where ``is_modified``: plain dicts and lists."""
    is_modified: bool = False
    approval_id: str = ""
    """That of the approval in the hub. Empty where no approver was asked: such a verdict is no denial by a person."""
    was_used: bool = False
    """Whether an earlier call with the same key has had it: before a crash, the action may have been done."""
