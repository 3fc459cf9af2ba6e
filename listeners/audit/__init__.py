"""The audit log: what happened, on disk before it is acknowledged, in order, and checkable."""

from __future__ import annotations

from .audit_log import AuditLog, AuditRecord, AuditSubscriber
from .verify import Verification, verify

__all__ = ("AuditLog", "AuditRecord", "AuditSubscriber", "Verification", "verify")
