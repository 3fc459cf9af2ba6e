"""Redaction: what is personal or secret is replaced before a value is written or sent.

``Redactor().redact(value)`` returns a value in which ``[redacted:email]`` stands for an address; a value without
findings is returned as it is. :class:`RedactionRule` adds rules of one's own, and :meth:`Redactor.find` says
what would be replaced, and where.
"""

from __future__ import annotations

from .redactor import FAMILIES, Redactor
from .rules import Finding, RedactionRule

__all__ = ("FAMILIES", "Finding", "RedactionRule", "Redactor")
