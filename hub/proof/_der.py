"""As much of DER as it takes to put the certificates of a timestamp into their order.

DER has the members of a set in the order of their bytes. Authorities that run openssl send them in the order of the
chain, and a strict reader refuses that. No signature is over that order.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs

__all__ = ("with_sorted_certificates",)

_CERTIFICATES = 0xA0
_DEPTH = (1, 1, 0)
"""From a response to its signed data: the second part of the response, the second of that, and the only one of that."""


@attrs.frozen
class _Part:
    tag: int
    begin: int
    body: int
    end: int


def with_sorted_certificates(response: bytes) -> bytes:
    """Return a response with its certificates in order; as it is, if it cannot be read that far."""
    try:
        part = next(_parts(response, 0, len(response)))
        for number in _DEPTH:
            part = list(_parts(response, part.body, part.end))[number]
        certificates = next(each for each in _parts(response, part.body, part.end) if each.tag == _CERTIFICATES)
        members = [response[each.begin : each.end] for each in _parts(response, certificates.body, certificates.end)]
    except (IndexError, StopIteration, ValueError):
        return response
    return response[: certificates.body] + b"".join(sorted(members)) + response[certificates.end :]


def _parts(content: bytes, begin: int, end: int) -> Iterator[_Part]:
    while begin < end:
        size, body = content[begin + 1], begin + 2
        if size & 0x80:
            count = size & 0x7F
            if not 0 < count <= 4:
                raise ValueError("a length that is none of DER")
            size, body = int.from_bytes(content[body : body + count], "big"), body + count
        if body + size > end:
            raise ValueError("a part that is longer than what it is in")
        yield _Part(content[begin], begin, body, body + size)
        begin = body + size
