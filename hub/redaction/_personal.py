"""Addresses of persons: e-mail and IP. :mod:`._numbers` has the rest of what is about them."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator

from ._tokens import Span
from ._windows import each, is_in

__all__ = ("emails", "ip_addresses")

# --- e-mail ---------------------------------------------------------------------------------------------------------

_AT = re.compile(
    r"(?<=[\w%+'-])(?:@|%40)(?=((?:[^\W_](?:[\w-]{0,62}+)\.){1,8}+(?:[^\W\d_]{2,24}|xn--[a-z0-9-]{2,59}))(?![\w@]))"
)
"""The sign and the domain: what is before it is read backwards."""

_LOCAL_LENGTH_MAX = 64

_NO_DOMAINS = frozenset(
    "png jpg jpeg gif svg webp ico css js mjs ts tsx jsx py pyc pyi rb go rs java c h cc cpp hpp cs php sh "
    "bash yaml yml json toml lock txt md rst html xml csv log conf cfg ini service socket target mount timer "
    "slice device path so dll exe zip tar gz tgz zst xz bz2 whl jar deb rpm pdf jsonl ndjson parquet tsv sql db sqlite "
    "sqlite3 ipynb doc docx xls xlsx ppt pptx mp3 mp4 wav bin dat bak tmp lua kt wasm proto "
    "append extend fixture mark parametrize property setter getter".split()
)
"""Last parts that are endings of files, or names in programs: ``icon@2x.png``, ``getty@tty1.service``."""


def emails(text: str, taken: Container[int] = ()) -> Iterator[Span]:
    """Yield e-mail addresses, but for those whose sign is at one of the places that are taken."""
    for found in each(_AT, text):
        if found.start() in taken:
            continue
        domain = found[1]
        if domain.rpartition(".")[2].lower() in _NO_DOMAINS:
            continue
        start = at = found.start()
        least = max(0, at - _LOCAL_LENGTH_MAX)
        while start > least and (text[start - 1].isalnum() or text[start - 1] in "._%+-'"):
            start -= 1
        while start < at and text[start] in ".'-%":
            start += 1
        end = found.end() + len(domain)
        is_of_git = text[start:at] == "git" and text[end : end + 1] in (":", "/")
        if start < at and not is_of_git:
            yield start, end, "email"


# --- IP addresses ---------------------------------------------------------------------------------------------------

_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"

_QUAD = re.compile(
    rf"(?<![\w.])(?<![A-Za-z]/)(?<![=~<>!]= )(?<![=~<>!^]=){_OCTET}(?:\.{_OCTET}){{3}}"
    r"(?!\.[0-9])(?![0-9A-Za-z_+])(?!-[0-9]{1,8}\.)",
    re.ASCII,
)

_DOTS = re.compile(r"\.[0-9]{1,3}\.[0-9]", re.ASCII)

_VERSION_BEFORE = re.compile(
    r"(?:version|versions|ver|release|section|sections|chapter|build|firmware|oid|clause|§)[\"']?[\s:=]{0,3}[\"']?$",
    re.IGNORECASE,
)

_NOT_PERSONAL = re.compile(r"127\.|0\.|255\.|22[4-9]\.|23[0-9]\.|169\.254\.169\.254$|[0-9](?:\.[0-9]){3}$")
"""Loopback, none, masks, multicast, the metadata service of clouds; and four single digits, which versions have."""

_MANY_COLONS = re.compile(r":(?:(?<=[0-9a-fA-F]{4}:)|:|[0-9a-fA-F]{1,4}:[0-9a-fA-F]{1,4}:)")

_COLONS = re.compile(
    r"(?<![\w:.])(?:[23][0-9a-f]{3}|f[cde][0-9a-f]{2}|64:ff9b)(?:::?[0-9a-f]{1,4}){1,7}+(?:::(?![\w:]))?(?!\w)(?!:\w)"
    r"|(?<![\w:.-])[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){7}+(?!\w)(?!:\w)"
    r"|(?<![\w:.])::ffff:[0-9.]{7,15}+(?![\w:])",
    re.IGNORECASE | re.ASCII,
)


def ip_addresses(text: str) -> Iterator[Span]:
    if is_in(_DOTS, text):
        for found in each(_QUAD, text):
            start = found.start()
            if not _NOT_PERSONAL.match(found[0]) and not _VERSION_BEFORE.search(text, max(0, start - 16), start):
                yield start, found.end(), "ip"
    if is_in(_MANY_COLONS, text):
        for found in each(_COLONS, text):
            if _is_ipv6(found[0]):
                yield found.start(), found.end(), "ip"


def _is_ipv6(text: str) -> bool:
    if text.startswith("::"):
        return True
    groups = text.split(":")
    if "::" in text:
        return text.count("::") == 1 and ":::" not in text and len(groups) <= 8 and max(map(len, groups)) <= 4
    return len(groups) == 8 and "" not in groups and len({len(group) for group in groups} | {2}) > 1
