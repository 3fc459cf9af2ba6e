"""The form of the files beside a journal: lines, the first of which says what they are, the last vouches for the rest.

The first line is a JSON object with ``version``, the last one ``{"sha256":"…"}``, over all bytes before it. Later
versions keep these two lines as they are here: so a file of a newer version is told from a damaged one.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from ..errors import InvalidRecord, NewerVersion

__all__ = ("digest", "seal", "unseal")

_SUM_KEY = b'{"sha256":"'
_SUM_BYTES = len(_SUM_KEY) + 64 + len('"}\n')


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def seal(header: bytes, body: bytes) -> bytes:
    """Return the file with these lines between its first and its last one; ``body`` is empty or ends in a line feed."""
    content = header + b"\n" + body
    return b'%b%b%b"}\n' % (content, _SUM_KEY, digest(content).encode())


def unseal(content: bytes, *, path: str, version: int) -> tuple[dict[str, Any], bytes]:
    """Return the fields of the first line, and the lines behind it.

    Raises :class:`~hubwire.errors.InvalidRecord` if they are not what was sealed, and
    :class:`~hubwire.errors.NewerVersion` if they are of a version above ``version``.
    """
    end = len(content) - _SUM_BYTES
    if end < 0 or content[end:] != b'%b%b"}\n' % (_SUM_KEY, digest(content[:end]).encode()):
        raise InvalidRecord("its checksum is not that of its content")
    header, _, body = content[:end].partition(b"\n")
    try:
        fields = msgspec.json.decode(header, type=dict)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidRecord(f"its first line is no JSON object ({error})") from error
    found = fields.get("version")
    if type(found) is not int or found < 1:
        raise InvalidRecord("its first line names no version")
    if found > version:
        raise newer(path, f"it has version {found}, and this hubwire reads {version}")
    return fields, body


def newer(path: str, what: str) -> NewerVersion:
    """Return the error for a file that is whole, and that this version does not understand."""
    return NewerVersion(
        f"{path} was written by a newer version of hubwire ({what}); nothing was changed: use that version, or a newer"
        " one",
        path=path,
    )
