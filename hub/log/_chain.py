"""The chain value ``h`` of a record, which follows from the one before it."""

from __future__ import annotations

import hashlib
from binascii import b2a_base64

__all__ = ("chain_value",)

_URL_SAFE = bytes.maketrans(b"+/", b"-_")


def chain_value(previous: bytes, line: bytes) -> bytes:
    """Return the ``h`` that follows ``previous`` for a line that is sealed without it."""
    digest = hashlib.sha256(previous + line).digest()
    return b2a_base64(digest[:16])[:22].translate(_URL_SAFE)
