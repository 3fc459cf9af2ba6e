"""Sending: one POST, to an address that was looked at, within its time; and what was answered."""

from __future__ import annotations

import importlib.util
import ssl
from collections.abc import AsyncIterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import anyio
import attrs

from hubwire import installed_version
from hubwire.addresses import AddressGuard, Endpoint
from hubwire.errors import AddressForbidden, ConfigurationError
from hubwire.own_log import OwnLog
from hubwire.ports import Clock

from .._said import said
from ._hidden import Hidden
from ._ways import Direct, NotConnected, Proxied, Timeouts

__all__ = ("Answer", "NoAnswer", "Sender", "beginning_of", "check_installed", "retry_after_of")

_ANSWER_BYTES_MAX = 64 * 1024
"""What is read of an answer, so that its connection can be used again; of a longer one the connection is closed."""

_ANSWER_CHUNKS_MAX = 500
"""In how many pieces: thousands of one byte each come without a pause, and would hold up the event loop."""

_ANSWER_SECONDS_MAX = 2.0
"""How long the rest of an answer is waited for, whose status is known."""

_EXCERPT_CHARS_MAX = 200
_RETRY_AFTER_SECONDS_MAX = 86_400.0
_RESOLVED_SECONDS = 30.0
"""How long the addresses of a name are used, if all goes well."""

_ADDRESSES_TRIED_MAX = 4

_log = OwnLog("webhook")


class NoAnswer(Exception):
    """There was no answer; the message says why."""


@attrs.frozen(kw_only=True)
class Answer:
    """What an endpoint has answered."""

    status: int
    retry_after: float | None
    """In seconds."""
    excerpt: str
    """The beginning of the body, on one line."""


def check_installed(call: str) -> None:
    """Refuse to go on without the HTTP client for proxies; it is imported in a thread, because that takes its time."""
    try:
        is_there = importlib.util.find_spec("httpx2") is not None
    except ImportError:
        is_there = False
    if not is_there:
        raise ConfigurationError(f"{call}: a proxy needs the package httpx2; pip install 'hubwire[webhooks]'")


class Sender:
    """Posts to one endpoint, from :meth:`open` to :meth:`close`: in one event loop, but for :meth:`look_up`."""

    def __init__(
        self,
        guard: AddressGuard,
        endpoint: Endpoint,
        timeouts: Timeouts,
        clock: Clock,
        *,
        tls: ssl.SSLContext | None,
        proxy: str | None,
        has_agent: bool,
        hidden: Hidden,
    ) -> None:
        """``has_agent``: the headers of each message say which program sends it. ``hidden``: what no answer may say."""
        self._agent: dict[str, str] = {}
        self._guard = guard
        self._endpoint = endpoint
        self._timeouts = timeouts
        self._clock = clock
        self._tls = tls
        self._proxy = proxy
        self._has_agent = has_agent
        self._hidden = hidden
        self._way: Direct | Proxied | None = None
        self._addresses: tuple[str, ...] = ()
        self._resolved_at = 0.0
        self._unresolved: Exception | None = None
        """Why the addresses are not known; the next post fails by it."""
        self._looked_up_seconds = 0.0
        """How much of the time of the next post is gone."""

    @property
    def is_ready(self) -> bool:
        """Whether it is known where to post to, or why not."""
        return bool(self._addresses) or self._unresolved is not None

    @property
    def is_fresh(self) -> bool:
        """Whether that was found out a short time ago."""
        return self.is_ready and 0 <= self._clock.monotonic() - self._resolved_at < _RESOLVED_SECONDS

    def open(self) -> None:
        """Make the connections possible. None is opened yet. It may block: certificates of the system are read."""
        self._way = self._made()

    def _made(self) -> Direct | Proxied:
        if not self._has_agent:
            self._agent = {"User-Agent": f"hubwire/{installed_version()}"}
        tls = self._tls or ssl.create_default_context()
        if self._proxy is not None:
            return Proxied(self._endpoint, self._timeouts, tls, self._proxy)
        return Direct(self._endpoint, self._timeouts, tls)

    async def close(self) -> None:
        """Close the connections."""
        way, self._way = self._way, None
        self._addresses = ()
        if way is not None:
            await way.aclose()

    async def look_up(self) -> None:
        """Find out where to post to, in the hub's event loop: a resolver of the caller's own may belong to that."""
        began = anyio.current_time()
        try:
            with anyio.fail_after(self._timeouts.total):
                self._addresses = await self._guard.resolve(self._endpoint)
            self._unresolved = None
        except Exception as error:  # noqa: BLE001 - of the network or a resolver, which may raise any
            self._addresses, self._unresolved = (), error
        self._resolved_at = self._clock.monotonic()
        self._looked_up_seconds = anyio.current_time() - began

    async def post(self, headers: Mapping[str, str], body: bytes) -> Answer:
        """Post a message. Raises :class:`NoAnswer`."""
        spent, self._looked_up_seconds = self._looked_up_seconds, 0.0
        try:
            with anyio.fail_after(self._timeouts.total - spent) as scope:
                response = await self._post(headers, body)
        except TimeoutError as error:
            self._addresses = ()
            raise NoAnswer(f"no answer after {self._timeouts.total:g} s") from error
        except AddressForbidden as error:
            self._addresses = ()
            raise NoAnswer(str(error)) from error
        except Exception as error:  # of the network, the client, or a resolver, which may raise any
            self._addresses = ()
            raise NoAnswer(self._said(error)) from error
        return await self._answer(response, scope.deadline)

    async def _answer(self, response: Any, deadline: float) -> Answer:
        """Return what was answered. The status is known, so that nothing that follows makes it no answer."""
        try:
            excerpt = await beginning_of(response.stream, deadline, self._hidden)
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(1.0):
                try:
                    await response.aclose()
                except Exception as error:  # noqa: BLE001 - of the network or the client; the connection is gone then
                    _log.problem("a connection to an endpoint could not be closed", error)
        after = retry_after_of(response.headers.get("retry-after"), self._clock)
        return Answer(status=response.status_code, retry_after=after, excerpt=excerpt)

    def _said(self, error: BaseException) -> str:
        text = self._hidden.without(said(error))[:_EXCERPT_CHARS_MAX]
        return f"{type(error).__name__}: {text}" if text else type(error).__name__

    async def _post(self, headers: Mapping[str, str], body: bytes) -> Any:
        way, addresses = self._way, self._addresses[:_ADDRESSES_TRIED_MAX]
        if way is None:
            raise ConnectionError("the webhook is closed")
        unresolved, self._unresolved = self._unresolved, None
        if unresolved is not None:
            raise unresolved
        given = {"Host": self._endpoint.authority, **self._agent, **headers}
        for address in addresses[:-1]:
            try:
                return await way.post(address, given, body)
            except NotConnected:
                self._addresses = tuple(each for each in self._addresses if each != address)
        return await way.post(addresses[-1], given, body)


async def beginning_of(stream: AsyncIterable[bytes], deadline: float, hidden: Hidden) -> str:
    """Read an answer up to its bounds, and return its beginning for people. Its status stands, whatever comes."""
    read = bytearray()
    with anyio.CancelScope(deadline=min(deadline, anyio.current_time() + _ANSWER_SECONDS_MAX)):
        try:
            chunks = 0
            async for chunk in stream:
                chunks += 1
                read += chunk[: _ANSWER_BYTES_MAX - len(read)]
                if len(read) >= _ANSWER_BYTES_MAX or chunks >= _ANSWER_CHUNKS_MAX:
                    break
        except Exception as error:  # noqa: BLE001 - a body that breaks off does not change the status before it
            read += f" ({type(error).__name__})".encode()
    text = hidden.without(read.decode(errors="replace"))[: 4 * _EXCERPT_CHARS_MAX]
    line = "".join(each if each.isprintable() else " " for each in text)
    return " ".join(line.split())[:_EXCERPT_CHARS_MAX]


def retry_after_of(value: str | None, clock: Clock) -> float | None:
    """Return how many seconds the header ``Retry-After`` means, a day at most; None if it is none."""
    if value is None or len(value) > 100:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return min(float(text), _RETRY_AFTER_SECONDS_MAX)
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    at = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    seconds = (at - datetime.fromtimestamp(clock.now_ns() / 1e9, tz=UTC)).total_seconds()
    return min(max(seconds, 0.0), _RETRY_AFTER_SECONDS_MAX)
