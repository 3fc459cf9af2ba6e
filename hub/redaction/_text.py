"""What the rules of the package find in a text."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

from . import _assignments, _numbers, _personal, _tokens
from ._pseudonyms import merged
from ._tokens import Span

__all__ = ("LENGTH_MIN", "SCANNERS", "findings", "unescaped")

LENGTH_MIN = 6
"""The shortest finding is an address, ``a@b.de``."""

SCANNERS: Mapping[str, Callable[[str], Iterator[Span]]] = {
    "userinfo": _assignments.userinfo,
    "schemes": _assignments.schemes,
    "signatures": _assignments.signatures,
    "ip_addresses": _personal.ip_addresses,
    "numbers": _numbers.numbers,
    "lettered": _numbers.lettered,
    "labelled": _numbers.labelled,
    "separated": _tokens.separated,
    "plain": _tokens.plain,
    "private_keys": _tokens.private_keys,
}
"""All that need the text alone; besides there are emails, assignments and told."""


def unescaped(text: str) -> str:
    """Return the text, of the same length, with spaces for escaped ends of lines: what follows them begins a word."""
    return text.replace("\\n", "  ").replace("\\r", "  ").replace("\\t", "  ") if "\\" in text else text


def findings(text: str, family_of: Callable[[str], str | None], wanted: Collection[str] | None = None) -> list[Span]:
    """Return what the scanners find in a text, in order and without overlaps; with ``wanted``, only these scan it."""
    spans: list[Span] = []
    plain = unescaped(text)
    for name, scan in SCANNERS.items():
        if wanted is None or name in wanted:
            spans += scan(plain)
    if wanted is None or "emails" in wanted:
        # The sign before a host is that of the address, not of an e-mail to the last part of a password.
        spans += _personal.emails(plain, {end for _, end, family in spans if family == "url"})
    if wanted is None or "assignments" in wanted:
        spans += _assignments.assignments(text, family_of)
    if wanted is None or "told" in wanted:
        spans += _assignments.told(text, family_of)
    return merged(spans) if len(spans) > 1 else spans
