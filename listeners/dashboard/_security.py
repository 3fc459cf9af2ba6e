"""What a browser is told, and which requests are not listened to: for other hosts, and of other pages."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from hubwire.errors import ConfigurationError

from ._http import Problem

__all__ = ("SECURITY_HEADERS", "Hosts", "check_origin")

_CSP = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:;"
    b" base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

SECURITY_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (
        b"content-security-policy",
        _CSP,
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
)
"""On every response."""

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")

_HOST = re.compile(r"\[[0-9a-f:.]{2,45}\]|[a-z0-9_]([a-z0-9_.-]{0,252})")
_PORT = re.compile(r":[0-9]{1,5}")
_SAFE = frozenset(("GET", "HEAD", "OPTIONS"))


class Hosts:
    """The names under which the dashboard may be asked for: with another one, a page of others has led a browser here.

    What a browser sends as ``Host`` is the name that the person sees. A name of an attacker's can be made to lead to
    this machine, and scripts of his page could read then what is here.
    """

    def __init__(self, names: Iterable[str]) -> None:
        wrong = ConfigurationError("Dashboard(): hosts is a list of host names, as ['ops.example.com']")
        if isinstance(names, (str, bytes)):
            raise wrong
        self._names = set(LOOPBACK)
        try:
            given = list(names)
        except TypeError:
            raise wrong from None
        for name in given:
            if type(name) is not str or not _HOST.fullmatch(name.lower()):
                raise ConfigurationError(
                    f"Dashboard(): {name!r:.80} in hosts is no host name without a port, as 'ops.example.com'"
                )
            self._names.add(name.lower())

    def add(self, name: str) -> None:
        """Take another name, that of the address which is served."""
        self._names.add(f"[{name}]" if ":" in name else name.lower())

    def check(self, host: str) -> None:
        """Refuse a request with another ``Host`` than one of these."""
        name = host.lower()
        if match := _PORT.search(name, max(name.rfind("]"), 0)):
            name = name[: match.start()] if match.end() == len(name) else ""
        if name.removesuffix(".") not in self._names:
            raise Problem(
                421,
                "wrong_host",
                f"this dashboard is not served as {host[:80]!r}",
                "if it should be, name the host: Dashboard(hosts=[...]), or hubwire serve --host-name",
            )


def check_origin(method: str, headers: Mapping[str, Any], *, has_cookie: bool) -> None:
    """Refuse a request that changes what there is, if another page than the dashboard's own has made it.

    A browser says which page it was: by ``Sec-Fetch-Site`` and ``Origin``. Who is signed in by a cookie comes from a
    browser, which has to say one of them.
    """
    if method in _SAFE:
        return
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    wrong = Problem(403, "wrong_origin", "another page has made this request", "use the page of the dashboard itself")
    if site is not None and site != "same-origin":
        raise wrong
    if origin is not None:
        scheme, _, place = str(origin).partition("://")
        if scheme not in ("http", "https") or place.lower() != str(headers.get("host", "")).lower():
            raise wrong
    if has_cookie and site is None and origin is None:
        raise wrong
