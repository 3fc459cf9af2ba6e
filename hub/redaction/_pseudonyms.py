"""What stands in the place of a finding: its family alone, or a pseudonym by which equal values stay equal."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Iterable

__all__ = (
    "KEY_BYTES_MIN",
    "has_placeholder",
    "is_placeholder",
    "merged",
    "placeholder",
    "placeholders_in",
    "pseudonyms",
)

KEY_BYTES_MIN = 16

_LETTERS = bytes.maketrans(b"0123456789abcdef", b"abcdefghijklmnop")
"""A pseudonym has no digits, so that no rule takes it for a number."""

_PLACEHOLDER = re.compile(r"\[(?:redacted:[a-z][a-z0-9_]{0,63}|[a-z][a-z0-9_]{0,63}:[a-p]{16})\]")

_NUMBERS = frozenset({"phone", "card", "id", "account"})
_LOWER = frozenset({"email", "ip"})


def placeholder(family: str, _: str) -> str:
    return f"[redacted:{family}]"


def pseudonyms(key: bytes) -> Callable[[str, str], str]:
    """Return what makes pseudonyms: 64 bits of an HMAC-SHA256 of the family and the value, in letters."""

    def pseudonym(family: str, value: str) -> str:
        plain = value.strip()
        if family in _NUMBERS:
            plain = re.sub(r"[ .\-/()]", "", plain)
        elif family in _LOWER:
            plain = plain.lower()
        elif family == "iban":
            plain = plain.replace(" ", "").replace("-", "")
        text = f"{family}\0{plain}".encode(errors="surrogatepass")
        digest = hmac.new(key, text, hashlib.sha256).hexdigest()[:16]
        return f"[{family}:{digest.encode().translate(_LETTERS).decode()}]"

    return pseudonym


def is_placeholder(text: str) -> bool:
    """Tell whether a text is what stands in the place of a finding."""
    return len(text) < 100 and _PLACEHOLDER.fullmatch(text) is not None


def placeholders_in(text: str) -> list[tuple[int, int]]:
    """Return where a text was redacted already."""
    return [found.span() for found in _PLACEHOLDER.finditer(text)] if "[" in text else []


def has_placeholder(text: str) -> bool:
    return bool(placeholders_in(text))


def merged(spans: Iterable[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """Return findings in order, without overlaps: of two that overlap one that covers both, named by the longer."""
    given = list(spans)
    in_order, last = sorted(given), 0
    for start, end, _ in in_order:
        if start < last or end <= start:
            break
        last = end
    else:  # none overlaps, as nearly always
        return in_order
    result: list[tuple[int, int, str]] = []
    for start, end, family in sorted(given, key=lambda span: (span[0], -span[1])):
        if result and start < result[-1][1]:
            first, last, other = result[-1]
            if end > last:
                result[-1] = (first, end, other if last - first >= end - start else family)
        elif end > start:
            result.append((start, end, family))
    return result
