"""The audit log: what happened, on disk before it is acknowledged, in order, and checkable."""

from __future__ import annotations

from hubwire.log import Head, Rotation

from ._forking import Fork, fork
from ._proving import prove
from ._signing import newest_checkpoint
from ._state import VerifierState
from ._tiling import tiles
from ._verdicts import Outcome, Verdict, Verification
from .audit_log import AuditLog, AuditRecord, AuditSubscriber
from .retention import Hold, Pruned, Pruning, Retention
from .tenants import TenantAuditLogs, TenantHeadCallback
from .verify import examine, verify

__all__ = (
    "AuditLog",
    "AuditRecord",
    "AuditSubscriber",
    "Fork",
    "Head",
    "Hold",
    "Outcome",
    "Pruned",
    "Pruning",
    "Retention",
    "Rotation",
    "TenantAuditLogs",
    "TenantHeadCallback",
    "Verdict",
    "Verification",
    "VerifierState",
    "examine",
    "fork",
    "newest_checkpoint",
    "prove",
    "tiles",
    "verify",
)
