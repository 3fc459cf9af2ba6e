"""The listener that posts each event to a URL."""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Self

import attrs

from hubwire import Attachment, Backoff, Duty, Event, cloudevents, codec
from hubwire.addresses import AddressGuard
from hubwire.errors import ConfigurationError, EventRefused, RetryLater, TargetGone
from hubwire.late_types import late_type
from hubwire.ports import Clock

from .._histogram import Histogram
from ..metrics import BOUNDS_SECONDS, Latency
from ._circuit import Circuit, CircuitState
from ._courier import Courier
from ._given import clock_of, is_a, shown
from ._hidden import Hidden
from ._sending import Answer, NoAnswer, Sender, check_installed
from ._settings import backoff_of, guard_of, header_name, headers_of, number_of, proxy_of, timeouts_of, tls_of
from .signing import Key, Secrets, secrets_of, sha256_key, sha256_of, sign

if TYPE_CHECKING:
    from hubwire.redaction import Redactor
else:
    Redactor = late_type("hubwire.redaction", "Redactor")

__all__ = ("Sha256Header", "Webhook", "WebhookStatistics")

_CALL = "Webhook()"
_KINDS_MAX = 1000

RETRY = Backoff(seconds=0.5, seconds_max=300.0, jitter=0.5)
ATTEMPTS_MAX = 900
"""With the pauses of :data:`RETRY`, more than two days."""

_RETRIED = frozenset({408, 425, 429})
"""Of the answers 4xx, those that may be another one later."""


@attrs.frozen(kw_only=True)
class WebhookStatistics:
    """The deliveries of a webhook. Numbers count since it was made."""

    attempts: int
    """How many requests were made."""
    delivered: int
    """How many events were answered with 2xx."""
    failed: int
    """How many requests had no answer, or one after which they are made again."""
    refused: int
    """How many events were refused for good, and are dead letters."""
    withheld: int
    """How many events went out without their contents, because the redactor or one of its rules failed."""
    circuit: CircuitState
    failures_in_a_row: int
    last_status: int | None
    """What was answered last; None if there was no answer, or no request yet."""
    last_error: str | None
    """Why the last request failed; None if it did not."""
    last_attempt_at: float | None
    """When the last request was made, in seconds since the epoch; and when an event was delivered last."""
    last_delivered_at: float | None
    last_seconds: float | None
    """How long the last request took."""
    latency: Latency
    """How long requests took that were answered."""


class Sha256Header:
    """A signature of another form: a header with ``sha256=`` and the HMAC-SHA256 of the body, in hex.

    ``Sha256Header("the secret")`` is that of Attesta, with ``name="X-Hub-Signature-256"`` that of GitHub. It has no
    time, so who has recorded a message can send it again: where the receiver can, let it check ``webhook-signature``.
    """

    def __init__(self, secret: str | bytes, *, name: str = "X-Attesta-Signature") -> None:
        self.name: str = header_name("Sha256Header()", name)
        self._key = sha256_key("Sha256Header()", secret)

    def of(self, body: bytes) -> str:
        """Return the value of the header for a body."""
        return sha256_of(body, self._key)


@attrs.define
class _Counts:
    attempts: int = 0
    delivered: int = 0
    failed: int = 0
    refused: int = 0
    last_status: int | None = None
    last_error: str | None = None
    last_attempt_at: float | None = None
    last_delivered_at: float | None = None
    last_seconds: float | None = None


class Webhook:
    """Posts each event to ``url``, at least once, in their order: ``hub.attach(Webhook(url, secret="whsec_..."))``.

    It is DURABLE unless ``attach`` says otherwise, so the hub needs a store: an endpoint that is away gets later what
    it has missed, also after a restart. With ``attach(..., concurrency=8)`` eight events are under way at once, in no
    order, or in that of a ``key``. The name under which its position is kept is made of the host; give ``name=`` where
    there are several webhooks to one host.

    **What is sent.** ``body``: ``"cloudevent"``, a CloudEvent in JSON, whose ``source`` can be given; or ``"plain"``,
    the event as the journal holds it. What is personal or secret is redacted by the rules of the package, by another
    ``redactor``, or with None not at all. ``headers`` are sent besides.

    **Signatures** are those of Standard Webhooks, of the id of the event, the time and the body. ``secret``:
    ``whsec_...`` (:func:`new_secret` makes one), or ``whsk_...`` of :func:`new_key_pair` for Ed25519; several, where
    receivers have still the old one; None for no signature. ``sha256``: a :class:`Sha256Header` besides.

    **Where to.** ``https`` to public addresses alone; ``allow`` names hosts, addresses and networks that are fine
    besides, by ``http`` too, or ``guard`` is an :class:`~hubwire.addresses.AddressGuard`. The name is resolved, its
    addresses are looked at, and the connection is made to one of these. Redirects are not followed. ``proxy`` is the
    URL of a proxy; those of the environment are not used. ``tls`` is a context of one's own, as for another CA.

    **Where it is done.** In a thread of its own: rules of the redactor are called there, and ``clock``; a resolver is
    awaited in the hub's event loop.

    **How long.** ``timeout`` seconds for one delivery, and for its phases ``connect_timeout``, ``write_timeout`` and
    ``read_timeout``. Where ``timeout`` is more than 25, give ``attach`` a greater one.

    **What follows.** 2xx: delivered. 410: the webhook is detached. Other 4xx but 408, 425 and 429: the event is a dead
    letter, and the next one follows. All else, redirects included: the event is sent again after the pauses of
    ``retry``, not before what ``Retry-After`` says; when it has failed ``attempts_max`` times, ``attach`` says what
    follows, by default the webhook is suspended. After ``failures_max`` failures in a row, whatever the events, the
    endpoint is left alone for these pauses, and then tried with one event.

    Raises :class:`~hubwire.errors.ConfigurationError` for arguments that cannot work.
    """

    duty = Duty.DURABLE

    def __init__(
        self,
        url: str,
        *,
        secret: Secrets | None,
        pattern: str | Iterable[str] = "*",
        body: Literal["cloudevent", "plain"] = "cloudevent",
        source: str | None = None,
        headers: Mapping[str, str] | None = None,
        sha256: Sha256Header | None = None,
        redactor: Redactor | Literal["default"] | None = "default",
        allow: Iterable[str] = (),
        guard: AddressGuard | None = None,
        proxy: str | None = None,
        tls: ssl.SSLContext | None = None,
        timeout: float = 15.0,
        connect_timeout: float = 5.0,
        write_timeout: float = 10.0,
        read_timeout: float = 10.0,
        retry: Backoff = RETRY,
        attempts_max: int = ATTEMPTS_MAX,
        failures_max: int = 5,
        clock: Clock | None = None,
    ) -> None:
        guard = guard_of(allow, guard)
        self._endpoint = guard.endpoint(url, call=_CALL)
        self.pattern: str | tuple[str, ...] = _kinds(pattern)
        self.attempts_max: int = number_of("attempts_max", attempts_max)
        self.__name__: str = f"webhook {self._endpoint.host}"
        self._keys = _keys(secret)
        self._clock = clock_of(_CALL, clock)
        self._encode = _Body(body, source, redactor)
        own_headers = headers_of(headers)
        self._headers = {**own_headers, "Content-Type": self._encode.content_type}
        self._sha256 = _sha256(sha256)
        timeouts = timeouts_of(timeout, connect_timeout, write_timeout, read_timeout)
        self._circuit = Circuit(number_of("failures_max", failures_max), backoff_of(retry), self._clock.monotonic)
        if proxy is not None:
            check_installed(_CALL)
        target = self._endpoint.target
        self._sender = Sender(
            guard,
            self._endpoint,
            timeouts,
            self._clock,
            tls=tls_of(tls),
            proxy=proxy_of(proxy),
            has_agent=any(name.lower() == "user-agent" for name in self._headers),
            hidden=Hidden([*own_headers.values(), target, *target.split("?")]),
        )
        self._courier = Courier(self.__name__, self._prepare, self._deliver)
        self._counts = _Counts()
        self._latency = Histogram(BOUNDS_SECONDS)

    def __repr__(self) -> str:
        return f"<Webhook to {self._endpoint.origin}>"  # a path may be a secret

    def use_secret(self, secret: Secrets | None) -> None:
        """Sign with another secret, or several, from the next delivery on.

        To replace one without a gap: use the new one and the old one, give the new one to the receivers, and then use
        it alone. Raises :class:`~hubwire.errors.ConfigurationError` for what is none, and goes on with those it has.
        """
        self._keys = _keys(secret)

    def statistics(self) -> WebhookStatistics:
        """Return the numbers of the deliveries, now."""
        return WebhookStatistics(
            withheld=self.withheld,
            circuit=self._circuit.state,
            failures_in_a_row=self._circuit.failures,
            latency=Latency(**self._latency.numbers()),
            **attrs.asdict(self._counts),
        )

    @property
    def withheld(self) -> int:
        """How many events went out without their contents, because the redactor or one of its rules failed."""
        return self._encode.withheld

    # -- for the hub --

    def bind_attachment(self, attachment: Attachment) -> None:
        """Refuse to hold up commits."""
        if attachment.duty is Duty.REQUIRED:
            raise ConfigurationError(
                "a webhook cannot be REQUIRED: each commit would wait for the endpoint; leave out duty, it is DURABLE"
            )

    async def __aenter__(self) -> Self:
        if self._courier.is_open:
            raise ConfigurationError(f"{self!r} is attached to another hub, or twice; make a Webhook for each")
        await self._courier.open(self._open)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._courier.close(self._sender.close)

    def look_ahead(self, events: Sequence[Event]) -> int:
        """Let these events be delivered one after the other, without a wait for the hub between two of them.

        With none, let none of them begin that has not begun; return how many have.
        """
        return self._courier.expect(events)

    async def __call__(self, event: Event) -> None:
        """Deliver an event. Raises what says to the hub what follows."""
        if not self._courier.is_open:
            raise ConfigurationError(f"{self!r} is not attached: hub.attach(webhook) lets it deliver")
        await self._courier.deliver(event)

    async def _prepare(self) -> None:
        if not self._sender.is_fresh and not self._circuit.is_left_alone:
            await self._sender.look_up()

    # -- in the thread of the courier --

    def _open(self) -> None:
        self._encode.warm_up()
        self._sender.open()

    async def _deliver(self, event: Event) -> bool:
        """Deliver an event; return False, without an attempt, if it is not known where to."""
        if not self._sender.is_ready and not self._circuit.is_left_alone:
            return False
        if wait := self._circuit.begin():
            raise RetryLater(
                f"{self._endpoint.origin} has failed {self._circuit.failures} times in a row"
                f" ({self._counts.last_error}), and is left alone for {wait:.1f} s",
                seconds=wait,
                is_attempt=False,
            )
        try:
            answer = await self._attempt(event)
        except NoAnswer as error:
            self._later(str(error), None, error)
        except BaseException:  # among them a cancellation: another call is to try then
            self._circuit.abandoned()
            raise
        self._heed(answer)
        return True

    async def _attempt(self, event: Event) -> Answer:
        body = self._encode(event)
        now = self._clock.now_ns() / 1e9
        headers = dict(self._headers)
        headers["webhook-id"] = event.id
        headers["webhook-timestamp"] = str(int(now))
        if self._keys:
            headers["webhook-signature"] = sign(self._keys, id=event.id, timestamp=int(now), body=body)
        if self._sha256 is not None:
            headers[self._sha256.name] = self._sha256.of(body)
        counts, began = self._counts, self._clock.monotonic()
        counts.attempts += 1
        counts.last_attempt_at, counts.last_status = now, None
        try:
            answer = await self._sender.post(headers, body)
        finally:
            counts.last_seconds = max(0.0, self._clock.monotonic() - began)
        counts.last_status = answer.status
        self._latency.add([round(counts.last_seconds * 1_000_000)])
        return answer

    def _heed(self, answer: Answer) -> None:
        """Do what an answer says. Raises what says to the hub what follows, unless the event is delivered."""
        status, counts = answer.status, self._counts
        said = f"{self._endpoint.origin} answered {status}{f': {answer.excerpt}' if answer.excerpt else ''}"
        if 200 <= status < 300:
            self._circuit.worked()
            counts.delivered += 1
            counts.last_error = None
            counts.last_delivered_at = self._clock.now_ns() / 1e9
        elif status == 410:
            self._circuit.worked()
            counts.last_error = said
            raise TargetGone(f"{said}; it is gone for good, so the webhook is detached")
        elif 400 <= status < 500 and status not in _RETRIED:
            self._circuit.worked()
            counts.refused += 1
            counts.last_error = said
            raise EventRefused(f"{said}; mend what it complains of, then retry the dead letter")
        else:
            is_redirect = 300 <= status < 400
            self._later(f"{said}{'; redirects are not followed' if is_redirect else ''}", answer.retry_after)

    def _later(self, reason: str, retry_after: float | None, cause: Exception | None = None) -> NoReturn:
        self._counts.failed += 1
        self._counts.last_error = reason
        pause = self._circuit.failed(retry_after)
        where = "" if self._endpoint.origin in reason else f" to {self._endpoint.origin}"
        raise RetryLater(f"the delivery{where} failed: {reason}", seconds=pause) from cause


class _Body:
    """Makes the body of a message."""

    def __init__(self, form: Any, source: Any, redactor: Any) -> None:
        if type(form) is not str or form not in ("cloudevent", "plain"):
            raise ConfigurationError(f"{_CALL}: body is 'cloudevent' or 'plain', not {shown(form)}")
        self._is_plain = form == "plain"
        self.content_type: str = "application/json" if self._is_plain else cloudevents.CONTENT_TYPE
        if source is not None:
            cloudevents.to_cloudevent({}, source=source)
        self._source = source
        self._redacting: Any = None
        if redactor is not None:
            from hubwire.redaction.choice import redacting  # noqa: PLC0415 - a webhook without rules needs none of it

            self._redacting = redacting(_CALL, redactor)

    @property
    def withheld(self) -> int:
        return 0 if self._redacting is None else int(self._redacting.withheld)

    def warm_up(self) -> None:
        """Compile the rules, which holds the interpreter for some 20 ms: now, and not beside the first event."""
        if self._redacting is not None:
            self._redacting.line(b"{}")

    def __call__(self, event: Event) -> bytes:
        if self._redacting is not None:
            (event,) = self._redacting.events((event,))
        return codec.encode(event) if self._is_plain else cloudevents.encode(event, source=self._source)


def _keys(secret: Any) -> tuple[Key, ...]:
    return () if secret is None else secrets_of(_CALL, secret, to_sign=True)


def _sha256(given: Any) -> Sha256Header | None:
    if given is not None and not is_a(given, Sha256Header):
        raise ConfigurationError(f"{_CALL}: sha256 is a Sha256Header(secret), not {shown(given)}")
    return given


def _kinds(pattern: Any) -> str | tuple[str, ...]:
    if type(pattern) is str:
        return pattern
    try:
        return tuple(islice(pattern, _KINDS_MAX))
    except Exception as error:
        raise ConfigurationError(
            f"{_CALL}: pattern is a kind, as 'order.*', or several, not {shown(pattern)}"
        ) from error
