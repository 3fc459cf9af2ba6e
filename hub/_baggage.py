"""Baggage, as W3C Baggage has it: keys and values that go with a request from service to service."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from urllib.parse import quote, unquote_to_bytes

__all__ = ("is_baggage", "read_baggage", "written_baggage")

_BYTES_MAX = 8192
_MEMBERS_MAX = 180
"""Both are what W3C Baggage has every system carry."""
_KEY = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")
_VALUE = re.compile(r"[!#-+\--:<-\[\]-~]*")
_SAFE = "!#$&'()*+-./:<=>?@[]^_`{|}~"
"""What needs no escape in a value, beside letters and digits."""


def read_baggage(header: str, allowed: Collection[str]) -> dict[str, str]:
    """Return the members of a header whose keys are allowed, the first of each key; what is malformed is left out."""
    found: dict[str, str] = {}
    for member in header[:_BYTES_MAX].split(",")[:_MEMBERS_MAX]:
        key, separator, value = member.partition(";")[0].partition("=")
        key, value = key.strip(" \t"), value.strip(" \t")
        if separator and key in allowed and key not in found and _KEY.fullmatch(key) and _VALUE.fullmatch(value):
            found[key] = unquote_to_bytes(value).decode(errors="replace")
    return found


def written_baggage(members: Mapping[str, str]) -> str:
    """Return a header of these members, as many as it holds."""
    header = ""
    for key, value in [*members.items()][:_MEMBERS_MAX]:
        longer = f"{header},{key}={quote(value, safe=_SAFE)}" if header else f"{key}={quote(value, safe=_SAFE)}"
        if len(longer) > _BYTES_MAX:
            break
        header = longer
    return header


def is_baggage(key: object, value: object) -> bool:
    """Tell whether this may be a member."""
    return type(key) is str and type(value) is str and _KEY.fullmatch(key) is not None
