"""The arguments of a webhook, checked where they come in."""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from hubwire import Backoff
from hubwire.addresses import AddressGuard
from hubwire.errors import ConfigurationError

from ._given import is_a, shown
from ._ways import Timeouts

__all__ = ("backoff_of", "guard_of", "header_name", "headers_of", "number_of", "proxy_of", "timeouts_of", "tls_of")

_CALL = "Webhook()"
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
_VALUE = re.compile(r"[!-~](?:[ -~\t]{0,7998}[!-~])?")
_HEADERS_MAX = 50
_OURS = frozenset(
    {"host", "content-type", "content-length", "transfer-encoding", "connection", "expect", "te", "trailer", "upgrade"}
    | {"webhook-id", "webhook-timestamp", "webhook-signature"}
)
_SECONDS_MAX = 3600.0
_ATTEMPTS_MAX = 1_000_000


def headers_of(given: Any) -> dict[str, str]:
    """Return headers of the caller's own, which may hold a secret: no value is in an error."""
    if given is None:
        return {}
    headers: dict[str, str] = {}
    for name, value in _pairs_of(given):
        if type(name) is not str or not _TOKEN.fullmatch(name):
            raise ConfigurationError(f"{_CALL}: headers has a name that no header can have: {shown(name)}")
        if name.lower() in _OURS:
            raise ConfigurationError(f"{_CALL}: headers has {name}, which the webhook writes itself; leave it out")
        if name.lower() in map(str.lower, headers):
            raise ConfigurationError(f"{_CALL}: headers has {name} twice, in different letters; leave one out")
        if type(value) is not str or not _VALUE.fullmatch(value):
            raise ConfigurationError(
                f"{_CALL}: the value of {name} in headers is not printable ASCII of one line, or has spaces at its ends"
            )
        headers[name] = value
    return headers


def _pairs_of(given: Any) -> list[tuple[Any, Any]]:
    try:
        pairs = list(dict(given).items()) if is_a(given, Mapping) else None
    except Exception:  # noqa: BLE001 - the mapping is the caller's own, and may do what it likes
        pairs = None
    if pairs is None or len(pairs) > _HEADERS_MAX:
        raise ConfigurationError(f"{_CALL}: headers is a mapping of at most {_HEADERS_MAX} names and values")
    return pairs


def header_name(call: str, name: Any) -> str:
    """Return the name of a header."""
    if type(name) is not str or not _TOKEN.fullmatch(name) or name.lower() in _OURS:
        raise ConfigurationError(f"{call}: name is the name of a header, as 'X-Hub-Signature-256', not {shown(name)}")
    return name


def timeouts_of(total: Any, connect: Any, write: Any, read: Any) -> Timeouts:
    """Return the times of one delivery."""
    given = {"timeout": total, "connect_timeout": connect, "write_timeout": write, "read_timeout": read}
    for name, value in given.items():
        if type(value) not in (int, float) or not 0 < value <= _SECONDS_MAX:
            raise ConfigurationError(
                f"{_CALL}: {name} is a number of seconds, more than 0 and at most {_SECONDS_MAX:g}, not {shown(value)}"
            )
    return Timeouts(total=float(total), connect=float(connect), write=float(write), read=float(read))


def number_of(name: str, value: Any) -> int:
    """Return a whole number, of how often a thing is done."""
    if type(value) is not int or not 1 <= value <= _ATTEMPTS_MAX:
        raise ConfigurationError(f"{_CALL}: {name} is a whole number from 1 to {_ATTEMPTS_MAX:,}, not {shown(value)}")
    return value


def backoff_of(value: Any) -> Backoff:
    """Return the pauses after failures."""
    if not is_a(value, Backoff):
        raise ConfigurationError(f"{_CALL}: retry is a hubwire.Backoff, not {shown(value)}")
    backoff: Backoff = value
    return backoff


def guard_of(allow: Any, guard: Any) -> AddressGuard:
    """Return what says where to the webhook may connect."""
    if guard is None:
        return AddressGuard(allow=allow)
    if not is_a(guard, AddressGuard):
        raise ConfigurationError(f"{_CALL}: guard is a hubwire.addresses.AddressGuard, not {shown(guard)}")
    if type(allow) is not tuple or allow:
        raise ConfigurationError(f"{_CALL}: allow and guard are both given; write AddressGuard(allow=...)")
    return guard


def tls_of(value: Any) -> ssl.SSLContext | None:
    """Return the context of TLS, if it is one of the caller's own."""
    if value is not None and not is_a(value, ssl.SSLContext):
        raise ConfigurationError(f"{_CALL}: tls is an ssl.SSLContext, not {shown(value)}")
    return value


def proxy_of(value: Any) -> str | None:
    """Return the URL of a proxy, which may have a password in it: it is in no error."""
    if value is None:
        return None
    try:
        is_url = type(value) is str and urlsplit(value).scheme in ("http", "https") and bool(urlsplit(value).hostname)
    except ValueError:
        is_url = False
    if not is_url:
        raise ConfigurationError(f"{_CALL}: proxy is the URL of a proxy, as 'http://proxy.example:3128', or None")
    return str(value)
