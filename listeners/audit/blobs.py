"""Records that are too long for a line of the log: the line has their short fields, a file beside the log the whole.

A line has at most 65,535 bytes, the most that an entry of a C2SP tlog-tiles log may have. The file is named by its
SHA-256, so writing it again after a failure is harmless. The line names it relative to the log, so that the log can be
moved; no name in a line is ever followed: where the file is, is computed from the digest.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

import attrs

from hubwire import codec
from hubwire.erasable import COMMITTED, Opener
from hubwire.errors import LogDamaged
from hubwire.ports import KnowledgeStore

__all__ = ("BODY_BYTES_MAX", "Blob", "blob_of", "cut", "has_own_keys", "must_be_cut", "opened", "restore")

BODY_BYTES_MAX = 65_535 - 65
"""What ``d`` and ``h`` leave of a line."""

_SHORT = 256
_DIGEST = re.compile(r"[0-9a-f]{64}")


@attrs.frozen
class Blob:
    """The file beside a log that holds a whole record."""

    sha256: str
    size: int

    @property
    def name(self) -> str:
        """Its name, relative to the path of the log."""
        return f"blob/{self.sha256[:3]}/{self.sha256}.json"

    async def read(self, store: KnowledgeStore, path: str) -> bytes:
        """Return the record. Raises :class:`~hubwire.errors.LogDamaged` if it is missing or altered."""
        file = f"{path}/{self.name}"
        whole = await store.read_bytes(file)
        if whole is None:
            state = "is missing"
        elif len(whole) != self.size or hashlib.sha256(whole).hexdigest() != self.sha256:
            state = "was altered"
        else:
            return whole
        raise LogDamaged(f"{file}, the rest of a long record, {state}; restore it from a copy", path=file)


def must_be_cut(body: bytes) -> bool:
    """Tell whether a record is too long for a line, or has a key of its own that a line keeps for the log."""
    return len(body) > BODY_BYTES_MAX or has_own_keys(body)


def has_own_keys(body: bytes) -> bool:
    """Tell whether a record, as its caller has it, has a key that a line keeps for the log.

    Those are ``cut``, and ``$c``, under which the log says which fields are commitments.
    """
    if b'"cut":' not in body and COMMITTED not in body:
        return False
    return not codec.decode_fields(body).keys().isdisjoint(("cut", "$c"))


async def cut(store: KnowledgeStore, path: str, body: bytes, *, has_commitments: bool = False) -> bytes:
    """Write the record to a file of its own, and return the short record that replaces it in the log.

    With ``has_commitments``, the log has put some in it, and the short record says so, too.
    """
    blob = Blob(hashlib.sha256(body).hexdigest(), len(body))
    file = f"{path}/{blob.name}"
    if await store.read_bytes(file) != body:
        await store.write(file, body)
    fields = codec.decode_fields(body)
    kept = {name: value for name, value in fields.items() if _is_short(value) and name != "$c"}
    if has_commitments:
        kept["$c"] = fields["$c"]
    return codec.encode_fields({**kept, "cut": {"blob": blob.name, "bytes": blob.size, "sha256": blob.sha256}})


def blob_of(fields: dict[str, Any]) -> Blob | None:
    """Return the file that holds the whole record; None if the record was not cut.

    Logs of earlier versions name it by its path in the store, where the log was then.
    """
    match fields.get("cut"):
        case {"blob": str(name), "bytes": int(size), "sha256": str(digest), **rest} if not rest:
            blob = Blob(digest, size)
            is_named_so = name == blob.name or (name[:1] == "/" and name.endswith(f"/{blob.name}"))
            if is_named_so and _DIGEST.fullmatch(digest):
                return blob
    return None


async def restore(store: KnowledgeStore, path: str, body: bytes) -> bytes:
    """Return the record that was appended, whether it was cut or not; erasable contents stay commitments.

    Raises :class:`~hubwire.errors.LogDamaged` if the rest is missing or altered.
    """
    if b'"cut":{' not in body:
        return body
    blob = blob_of(codec.decode_fields(body))
    return body if blob is None else await blob.read(store, path)


async def opened(store: KnowledgeStore, path: str, body: bytes, opener: Opener | None = None) -> bytes:
    """Return the record that was appended, whether it was cut or not, with the erasable contents that are there.

    ``opener`` is one that is kept for several records. Raises what :func:`restore` raises.
    """
    if COMMITTED not in body:
        return await restore(store, path, body)
    has_commitments = "$c" in codec.decode_fields(body)  # else what its rest has under that key is its caller's
    whole = await restore(store, path, body)
    return await (opener or Opener(store, path)).body(whole) if has_commitments else whole


def _is_short(value: Any) -> bool:
    return value is None or isinstance(value, (bool, int, float)) or (isinstance(value, str) and len(value) <= _SHORT)
