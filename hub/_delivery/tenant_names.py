"""The names of what tenants attach: each begins with its tenant's, so that no two tenants have one name."""

from __future__ import annotations

import hashlib

__all__ = ("prefix_of",)

_BYTES_MAX = 80
"""A position and a letter are kept under the name, which has to fit into an element of a path."""
_BEGINNING = 40


def prefix_of(tenant: str) -> str:
    """Return how the names of a tenant's listeners begin: ``"acme/"``. No name of one tenant is one of another's."""
    written = tenant.replace("%", "%25").replace("/", "%2f").replace("~", "%7e")
    if len(written.encode()) > _BYTES_MAX:
        beginning = written.encode()[:_BEGINNING].decode(errors="ignore")
        written = f"{beginning}~{hashlib.sha256(tenant.encode()).hexdigest()[:32]}"
    return f"{written}/"
