"""The audit log: what happened, on disk before it is acknowledged, in order, and checkable."""

from __future__ import annotations

from hubwire.log import Head

from ._verdicts import Outcome, Verdict, Verification
from .audit_log import AuditLog, AuditRecord, AuditSubscriber
from .tenants import TenantAuditLogs, TenantHeadCallback
from .verify import examine, verify

__all__ = (
    "AuditLog",
    "AuditRecord",
    "AuditSubscriber",
    "Head",
    "Outcome",
    "TenantAuditLogs",
    "TenantHeadCallback",
    "Verdict",
    "Verification",
    "examine",
    "verify",
)
