"""The guard of addresses: what is not public is refused, however it is written."""

from __future__ import annotations

import asyncio
import ipaddress
import itertools
import socket
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from hypothesis import given, strategies as st

from hubwire.addresses import AddressGuard, Endpoint, is_public
from hubwire.errors import AddressForbidden, ConfigurationError
from support.odd import ODD

INSIDE = [
    *("127.0.0.1", "127.8.8.8", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254"),
    *("0.0.0.0", "0.1.2.3", "100.64.0.1", "192.0.0.8", "192.0.2.1", "192.88.99.1", "198.18.0.1", "198.51.100.7"),  # noqa: S104 - nothing is bound to it
    *("203.0.113.9", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "fe80::1", "fe80::1%eth0", "fec0::1", "fc00::1", "fd12::1", "ff02::1", "100::1"),
    *("2001:db8::1", "2001::1", "2001:10::1", "2001:20::1", "3fff::1", "5f00::1", "4000::1", "64:ff9b:1::1"),
    *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b::a9fe:a9fe"),
    *("2606:4700::1111%eth0", "::ffff:8.8.8.8%lo", "2002:808:808::1%1"),
    *("2002:7f00:1::", "2002:a00:1::1", "2002:a9fe:a9fe::"),
]
OUTSIDE = ["8.8.8.8", "93.184.216.34", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00:1450::1"]
OUTSIDE += ["::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1"]


@pytest.mark.parametrize("address", INSIDE)
def test_an_address_inside_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", OUTSIDE)
def test_an_address_outside_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("text", ["", "x", "1", "2130706433", "0x7f.1", "127.1", "8.8.8.8/32", " 8.8.8.8", "٨.8.8.8"])
def test_what_is_no_address_is_not_public(text: str) -> None:
    assert not is_public(text)


@given(number=st.integers(0, 2**32 - 1))
def test_an_address_in_another_form_is_as_the_address(number: int) -> None:
    plain = ipaddress.IPv4Address(number)
    expected = is_public(str(plain))
    assert expected <= (plain.is_global and not plain.is_multicast)
    assert is_public(f"::ffff:{plain}") == expected
    assert is_public(f"64:ff9b::{plain}") == expected
    assert is_public(str(ipaddress.IPv6Address(0x2002 << 112 | number << 80 | 1))) == expected


@given(number=st.integers(0, 2**128 - 1))
def test_what_is_public_is_so_for_python_too(number: int) -> None:
    address = ipaddress.IPv6Address(number)
    if is_public(str(address)) and address in ipaddress.ip_network("2000::/3"):
        assert address.is_global


# --- URLs -----------------------------------------------------------------------------------------------------------


def test_a_url_is_taken_apart() -> None:
    endpoint = AddressGuard().endpoint("HTTPS://Hooks.Example.com:8443/in/%20x?token=a%26b#part")
    assert (endpoint.scheme, endpoint.host, endpoint.port) == ("https", "hooks.example.com", 8443)
    assert endpoint.target == "/in/%20x?token=a%26b"
    assert endpoint.origin == "https://hooks.example.com:8443"
    assert "token" not in repr(endpoint)
    assert AddressGuard().endpoint("https://[2606:4700::1111]").authority == "[2606:4700::1111]"
    assert AddressGuard().endpoint("https://a.example").target == "/"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://example.com/", "whose contents could be read on the way; use https"),
        ("https://127.0.0.1/", "not a public address; name it in allow="),
        ("https://[::ffff:10.0.0.1]/", "not a public address"),
        ("https://[fe80::1%25eth0]/", "not a public address|is not a URL|no name"),
        ("https://user:secret@example.com/", "has a user or a password in it"),
        ("https://example.com@127.0.0.1/", "has a user"),
        ("ftp://example.com/", "begins with 'ftp'; it must begin with https://"),
        ("file:///etc/passwd", "begins with 'file'"),
        ("example.com/hook", "begins with ''"),
        ("https:///hook", "has no host"),
        ("https://exa mple.com/", "printable ASCII"),
        ("https://exa\tmple.com/", "printable ASCII"),
        ("https://example.com\\@evil.example/", "backslashes"),
        ("https://bücher.example/", "xn--"),
        ("https://example.com:0/", "port 0"),
        ("https://example.com:99999/", "is not a URL"),
        ("https://example.com:x/", "is not a URL"),
        ("https://[::1/", "is not a URL"),
        ("https://a..b/", "no name"),
        ("https://-a/", "no name"),
        ("https://a%2e/", "no name"),
        ("https://" + "a" * 3000, "1 to 2,000"),
        ("", "1 to 2,000"),
        (5, "url is a URL, as 'https://example.com/hook', not 5"),
    ],
)
def test_a_url_that_cannot_be_right_is_refused(url: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as caught:
        AddressGuard().endpoint(url, call="Webhook()")
    assert str(caught.value).startswith("Webhook(): url ")
    assert "secret" not in str(caught.value)


def test_odd_arguments_are_refused() -> None:
    for make in ODD:
        for call in (
            lambda odd: AddressGuard(allow=odd),
            lambda odd: AddressGuard(allow=[odd]),
            lambda odd: AddressGuard(resolver=odd),
            lambda odd: AddressGuard().endpoint(odd),
        ):
            odd: Any = make()
            try:
                call(odd)
            except ConfigurationError:
                continue


@pytest.mark.parametrize("item", ["10.0.0.1/8", "300.1.1.1", "a/b", "::g", "*.x", "", "a b", "https://a"])
def test_what_can_match_no_host_is_refused(item: str) -> None:
    with pytest.raises(ConfigurationError, match="each of allow is"):
        AddressGuard(allow=[item])


# --- names ----------------------------------------------------------------------------------------------------------


def asked(*answers: Iterable[str]) -> tuple[list[tuple[str, int]], Any]:
    """Return a resolver that gives these answers, one after the other, and the questions that it gets."""
    questions, rest = [], list(answers)

    async def resolver(host: str, port: int) -> Iterable[str]:
        questions.append((host, port))
        return rest.pop(0)

    return questions, resolver


def endpoint_of(guard: AddressGuard, url: str = "https://hooks.example.com/in") -> Endpoint:
    return guard.endpoint(url)


async def test_public_addresses_of_a_name_are_returned_once_each() -> None:
    questions, resolver = asked(["93.184.216.34", "2606:4700::1", "93.184.216.34"])
    guard = AddressGuard(resolver=resolver)
    assert await guard.resolve(endpoint_of(guard)) == ("93.184.216.34", "2606:4700::1")
    assert questions == [("hooks.example.com", 443)]


@pytest.mark.parametrize("bad", [*INSIDE, "x", "", "hooks.example.com"])
async def test_one_address_inside_is_enough_to_refuse(bad: str) -> None:
    _, resolver = asked(["93.184.216.34", bad])
    guard = AddressGuard(resolver=resolver)
    with pytest.raises(AddressForbidden, match=r"https://hooks\.example\.com leads to"):
        await guard.resolve(endpoint_of(guard))


async def test_a_name_that_changes_its_mind_is_looked_at_again() -> None:
    """Each answer is looked at, so a name that leads inside later is refused then."""
    _, resolver = asked(["93.184.216.34"], ["127.0.0.1"])
    guard = AddressGuard(resolver=resolver)
    assert await guard.resolve(endpoint_of(guard))
    with pytest.raises(AddressForbidden):
        await guard.resolve(endpoint_of(guard))


async def test_what_is_allowed_is_fine_and_no_more() -> None:
    _, resolver = asked(["10.1.2.3"], ["10.1.3.3"], ["::ffff:10.1.2.3"])
    guard = AddressGuard(allow=["10.1.2.0/24"], resolver=resolver)
    assert await guard.resolve(endpoint_of(guard)) == ("10.1.2.3",)
    with pytest.raises(AddressForbidden, match=r"10\.1\.3\.3"):
        await guard.resolve(endpoint_of(guard))
    assert await guard.resolve(endpoint_of(guard)) == ("::ffff:10.1.2.3",)


async def test_a_name_that_is_allowed_may_be_anywhere() -> None:
    guard = AddressGuard(allow=["Localhost"])
    for url in ("https://localhost/", "http://LOCALHOST:8080/x"):
        assert set(await guard.resolve(endpoint_of(guard, url))) <= {"127.0.0.1", "::1"}
    with pytest.raises(ConfigurationError, match="use https"):
        endpoint_of(guard, "http://example.com/")


async def test_http_is_for_what_is_allowed_alone() -> None:
    """A name whose addresses may be in an allowed network is asked; a public address is not good enough."""
    _, resolver = asked(["10.1.2.3"], ["93.184.216.34"])
    guard = AddressGuard(allow=["10.0.0.0/8"], resolver=resolver)
    endpoint = endpoint_of(guard, "http://inner.example/")
    assert await guard.resolve(endpoint) == ("10.1.2.3",)
    with pytest.raises(AddressForbidden, match="not one that http is allowed to"):
        await guard.resolve(endpoint)


@pytest.mark.parametrize("host", ["2130706433", "0x7f.0.0.1", "0177.0.0.1", "127.1", "localhost"])
async def test_the_system_is_not_fooled_by_another_spelling(host: str) -> None:
    guard = AddressGuard()
    with pytest.raises((AddressForbidden, OSError)) as caught:
        await guard.resolve(endpoint_of(guard, f"https://{host}/"))
    assert isinstance(caught.value, AddressForbidden | socket.gaierror)


async def test_a_name_without_addresses_is_an_error_of_the_system() -> None:
    _, resolver = asked([])
    guard = AddressGuard(resolver=resolver)
    with pytest.raises(OSError, match="has no address"):
        await guard.resolve(endpoint_of(guard))


async def test_answers_that_are_no_texts_are_refused() -> None:
    _, resolver = asked([5, None])  # type: ignore[list-item]
    guard = AddressGuard(resolver=resolver)
    with pytest.raises(AddressForbidden):
        await guard.resolve(endpoint_of(guard))


async def test_a_resolver_may_answer_without_end() -> None:
    async def resolver(_: str, __: int) -> Iterable[str]:
        return itertools.repeat("8.8.8.8")

    guard = AddressGuard(resolver=resolver)
    assert await guard.resolve(guard.endpoint("https://example.com/")) == ("8.8.8.8",)


@pytest.mark.parametrize("raised", [SystemExit, GeneratorExit, asyncio.CancelledError, BaseException])
@pytest.mark.parametrize("is_late", [True, False])
async def test_what_a_resolver_raises_ends_no_program(raised: type[BaseException], is_late: bool) -> None:
    """Only an Exception comes out, also where the addresses raise when they are read."""

    def addresses() -> Iterator[str]:
        yield "8.8.8.8"
        raise raised

    async def resolver(_: str, __: int) -> Iterable[str]:
        if is_late:
            return addresses()
        raise raised

    guard = AddressGuard(resolver=resolver)
    with pytest.raises(RuntimeError, match=f"it raised {raised.__name__}"):
        await guard.resolve(guard.endpoint("https://example.com/"))
