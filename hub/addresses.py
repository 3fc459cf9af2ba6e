"""Where a program may connect to when another one names the target: not into its own network.

A webhook, or whatever fetches a URL that it was given, can be pointed at a machine that only this program reaches: a
database, a cloud's metadata service, the router. So a guard looks at the addresses that a name leads to, all of them,
and the connection is made to one that was looked at: the name is not asked again, and cannot answer otherwise then::

    guard = AddressGuard(allow=["10.1.2.0/24"])
    endpoint = guard.endpoint("https://hooks.example.com/in")
    addresses = await guard.resolve(endpoint)  # connect to the first of these, as endpoint.host

The server's certificate is checked against ``endpoint.host``, as ever.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import anyio
import attrs

from ._foreign.arguments import Call, is_a, shown
from ._foreign.guards import guarded, guarded_call
from .errors import AddressForbidden, ConfigurationError

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

__all__ = ("AddressGuard", "Endpoint", "Resolver", "is_public")

Resolver = Callable[[str, int], Awaitable[Iterable[str]]]
"""Returns the addresses of a name and a port."""

_URL_CHARS_MAX = 2000
_ALLOW_MAX = 1000
_ADDRESSES_MAX = 100
_URL = re.compile(r"[!-~]+")
_HOST = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")

_NOT_PUBLIC = tuple(
    map(
        ipaddress.ip_network,
        (
            *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
            *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15"),
            *("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
            *("2001::/23", "2001:db8::/32", "3fff::/20"),
        ),
    )
)
"""IANA's registries of special addresses, November 2026; of IPv6 those within what is public at all."""

_PUBLIC_6 = ipaddress.ip_network("2000::/3")
_WITH_4 = tuple(map(ipaddress.ip_network, ("::ffff:0:0/96", "::/96", "64:ff9b::/96")))
"""Where the last 32 bits of an address are one of IPv4: mapped, compatible, and translated (NAT64)."""
_6TO4 = ipaddress.ip_network("2002::/16")


@attrs.frozen(kw_only=True)
class Endpoint:
    """A URL, in the parts that a connection needs."""

    scheme: str
    host: str
    """A name, or an address without brackets."""
    port: int
    target: str = attrs.field(repr=False)
    """Path and query, as a request has them. They may hold a secret, and are not shown."""

    @property
    def origin(self) -> str:
        """Scheme, host and port, for people: ``https://example.com``."""
        return f"{self.scheme}://{self.authority}"

    @property
    def authority(self) -> str:
        """Host and port as the header ``Host`` has them, without the port that the scheme implies."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


_PORTS = {"https": 443, "http": 80}


def is_public(address: str) -> bool:
    """Tell whether an address is one of the public internet; False for what is no address.

    An address that stands for one of IPv4 is as that one is: ``::ffff:10.0.0.1`` is not public.
    """
    try:
        given = ipaddress.ip_address(address)
    except ValueError:
        return False
    return _is_public(_unmapped(given))


def _unmapped(given: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    if given.version == 4 or given.scope_id is not None:
        return given
    number = int(given)
    if given in _6TO4:
        return ipaddress.IPv4Address(number >> 80 & 0xFFFFFFFF)
    if any(given in network for network in _WITH_4):
        return ipaddress.IPv4Address(number & 0xFFFFFFFF)
    return given


def _is_public(given: IPv4Address | IPv6Address) -> bool:
    if given.version == 6 and (given not in _PUBLIC_6 or given.scope_id is not None):
        return False  # who names one of this machine's interfaces, as by %eth0, does not mean the internet
    return not given.is_private and not any(given in network for network in _NOT_PUBLIC)


class AddressGuard:
    """Says which URLs a program may connect to, and finds the addresses to connect to.

    By default: ``https`` to public addresses. ``allow`` names what is fine besides: addresses and networks, as
    ``"10.1.2.0/24"``, and host names, as ``"localhost"``, whatever address they have; to these ``http``, too.
    ``resolver`` is asked for the addresses of a name, instead of the system.

    Raises :class:`~hubwire.errors.ConfigurationError` for an item of ``allow`` that is none of these.
    """

    def __init__(self, *, allow: Iterable[str] = (), resolver: Resolver | None = None) -> None:
        call = Call("AddressGuard()", ConfigurationError)
        self._networks: list[IPv4Network | IPv6Network] = []
        self._names: set[str] = set()
        for each in call.items("allow", allow, of="networks, addresses and host names", most=_ALLOW_MAX):
            text = call.text("each of allow", each, wanted="a network, an address or a host name", is_empty_ok=False)
            self._add(call, text)
        if resolver is not None and not callable(resolver):
            raise call.refusal("resolver", resolver, "an async function of a name and a port, or None")
        self._resolver = resolver

    def _add(self, call: Call, text: str) -> None:
        try:
            self._networks.append(ipaddress.ip_network(text))
        except ValueError as error:
            if "/" in text or ":" in text or not _HOST.fullmatch(text) or text.replace(".", "").isdigit():
                wanted = "a network as '10.1.2.0/24', an address or a host name"
                raise call.refusal("each of allow", text, wanted, str(error)[:200]) from error
            self._names.add(_name(text))

    # -- URLs --

    def endpoint(self, url: str, *, call: str = "endpoint()") -> Endpoint:
        """Return the parts of a URL. No name is looked up.

        Raises :class:`~hubwire.errors.ConfigurationError`, in the name of ``call``, if it is no URL, has a user or a
        password in it, or cannot be allowed whatever its name leads to. The error shows neither path nor query.
        """
        made = Call(call, ConfigurationError)
        endpoint = _parsed(made, url)
        address = _address(endpoint.host)
        if endpoint.scheme == "http" and not self._may_be_allowed(endpoint.host, address):
            raise made.error(
                f"{made.name}: url is {endpoint.origin}, whose contents could be read on the way; use https, or name"
                " the host in allow=[...] if it is within your own network"
            )
        if address is not None and not self._is_fine(endpoint, address):
            raise made.error(
                f"{made.name}: url is {endpoint.origin}, which is not a public address; name it in allow=[...] if it"
                " is meant"
            )
        return endpoint

    def _may_be_allowed(self, host: str, address: IPv4Address | IPv6Address | None) -> bool:
        if _name(host) in self._names:
            return True
        return bool(self._networks) if address is None else self._is_listed(address)

    # -- addresses --

    async def resolve(self, endpoint: Endpoint) -> tuple[str, ...]:
        """Return the addresses of an endpoint, each of which may be connected to: never empty.

        Raises :class:`~hubwire.errors.AddressForbidden` if one of them may not, ``OSError`` if the name is not known,
        and what the resolver raises.
        """
        address = _address(endpoint.host)
        found = [str(address)] if address is not None else await self._look_up(endpoint)
        for each in found:
            parsed = _address(each)
            if parsed is None or not self._is_fine(endpoint, parsed):
                what = "public" if endpoint.scheme == "https" else "one that http is allowed to"
                raise AddressForbidden(
                    f"{endpoint.origin} leads to {shown(each)}, which is not {what}; if it is meant, name it in the"
                    " guard's allow=[...]"
                )
        if not found:
            raise OSError(f"{endpoint.host} has no address")
        return tuple(found)

    async def _look_up(self, endpoint: Endpoint) -> Sequence[str]:
        if self._resolver is not None:
            given = await guarded(self._resolver, endpoint.host, endpoint.port)
            found = [each if type(each) is str else "" for each in guarded_call(_first, given)]
        else:
            answers = await anyio.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
            found = [str(answer[4][0]) for answer in answers]
        return list(dict.fromkeys(found))

    def _is_fine(self, endpoint: Endpoint, address: IPv4Address | IPv6Address) -> bool:
        if _name(endpoint.host) in self._names or self._is_listed(address):
            return True
        return endpoint.scheme == "https" and _is_public(_unmapped(address))

    def _is_listed(self, address: IPv4Address | IPv6Address) -> bool:
        return any(each in network for network in self._networks for each in (address, _unmapped(address)))


def _first(given: Iterable[str]) -> list[str]:
    return list(islice(given, _ADDRESSES_MAX))


def _parsed(call: Call, url: Any) -> Endpoint:
    if not is_a(url, str):
        raise call.refusal("url", url, "a URL, as 'https://example.com/hook'")
    text = str.__str__(url)
    if len(text) > _URL_CHARS_MAX or not _URL.fullmatch(text) or "\\" in text:
        raise call.error(
            f"{call.name}: url is not a URL of 1 to {_URL_CHARS_MAX:,} printable ASCII characters without spaces and"
            " backslashes; write others as %20, and a host as xn--…"
        )
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise call.error(f"{call.name}: url is not a URL ({str(error)[:100]})") from error
    scheme, host = parts.scheme, parts.hostname or ""
    if scheme not in _PORTS:
        raise call.error(f"{call.name}: url begins with {shown(scheme)}; it must begin with https://")
    if "@" in parts.netloc:
        raise call.error(f"{call.name}: url has a user or a password in it; give them in headers={{...}}")
    if _address(host) is None and not _HOST.fullmatch(host):
        raise call.error(f"{call.name}: url has no host, or one that is no name: {shown(host)}")
    if port == 0:
        raise call.error(f"{call.name}: url has port 0, to which nothing connects; leave it out, or give another")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Endpoint(scheme=scheme, host=host, port=port or _PORTS[scheme], target=target)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _name(host: str) -> str:
    return host.lower().removesuffix(".")
