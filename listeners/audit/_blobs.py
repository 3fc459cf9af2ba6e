"""Records that are too long for a line of the log: the line has their short fields, a file beside the log the whole.

A line has at most 65,535 bytes, the most that an entry of a C2SP tlog-tiles log may have. The file is named by its
SHA-256, so writing it again after a failure is harmless.
"""

from __future__ import annotations

import hashlib
from typing import Any

from hubwire import codec
from hubwire.errors import LogDamaged
from hubwire.ports import KnowledgeStore

__all__ = ("BODY_BYTES_MAX", "cut", "restore")

BODY_BYTES_MAX = 65_535 - 65
"""What ``d`` and ``h`` leave of a line."""

_SHORT = 256


async def cut(store: KnowledgeStore, path: str, body: bytes) -> bytes:
    """Write the record to a file of its own, and return the short record that replaces it in the log."""
    digest = hashlib.sha256(body).hexdigest()
    blob = f"{path}/blob/{digest[:3]}/{digest}.json"
    if await store.size(blob) != len(body):
        await store.write(blob, body)
    kept = {name: value for name, value in codec.decode_fields(body).items() if _is_short(value)}
    return codec.encode_fields({**kept, "cut": {"blob": blob, "bytes": len(body), "sha256": digest}})


async def restore(store: KnowledgeStore, body: bytes) -> bytes:
    """Return the record that was appended, whether it was cut or not.

    Raises :class:`~hubwire.errors.LogDamaged` if the rest is missing or altered.
    """
    if b'"cut":{"blob":' not in body:
        return body
    what = codec.decode_fields(body).get("cut")
    if not isinstance(what, dict) or what.keys() != {"blob", "bytes", "sha256"}:
        return body
    whole = await store.read_bytes(what["blob"])
    if whole is None or hashlib.sha256(whole).hexdigest() != what["sha256"]:
        state = "is missing" if whole is None else "was altered"
        raise LogDamaged(
            f"{what['blob']}, the rest of a long record, {state}; restore it from a copy", path=what["blob"]
        )
    return whole


def _is_short(value: Any) -> bool:
    return value is None or isinstance(value, (bool, int, float)) or (isinstance(value, str) and len(value) <= _SHORT)
