"""Base64 in one spelling: what is read has to be what its bytes would be written as."""

from __future__ import annotations

from base64 import b64decode, b64encode

__all__ = ("exact_bytes",)


def exact_bytes(text: str) -> bytes:
    """Return the bytes that a text of base64 stands for. Raises :class:`ValueError` for what is none.

    The last character before ``=`` has bits that decoders pass over: with these, one proof, key or signature would have
    several texts, and a changed one would be taken for the other.
    """
    content = b64decode(text, validate=True)  # its error is a ValueError
    if b64encode(content).decode() != text:
        raise ValueError("it is base64 of another spelling than that of its bytes")
    return content
