"""Administration: what operators did, and who asked for more than it may have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ._declare import event
from ._event import Event
from ._severity import Severity

__all__ = ("AdminActed", "QuotaBreached")


@event("admin.acted")
class AdminActed(Event):
    """An operator, ``actor``, did what is for operators alone. ``action`` says what, ``target`` to what.

    ``oidc_sub`` is the subject of the identity provider, ``attested_key_id`` the key that has signed it.
    """

    action: str
    target: str = ""
    oidc_sub: str | None = None
    attested_key_id: str | None = None
    detail: Mapping[str, Any] | None = None


@event("quota.breached", severity=Severity.WARNING)
class QuotaBreached(Event):
    """``actor`` asked for more than its quota of ``dimension`` and was refused; it may ask again in some seconds.

    ``method`` and ``path`` are those of its request.
    """

    dimension: str
    path: str = ""
    method: str = ""
    retry_after_seconds: float | None = None
    oidc_sub: str | None = None
    attested_key_id: str | None = None
    detail: Mapping[str, Any] | None = None
