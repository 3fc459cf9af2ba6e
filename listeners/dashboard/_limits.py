"""Limits on who asks: how often an address may ask, and how often it may try to sign in."""

from __future__ import annotations

import asyncio
import hashlib
import math
import secrets
import time
from collections import OrderedDict, deque

import attrs

from ._http import Problem

__all__ = ("Rate", "Tries")

_ADDRESSES_MAX = 10_000


class Rate:
    """So many requests a second of each address, and more at once after a pause."""

    def __init__(self, per_second: float, burst: int) -> None:
        self._per_second = per_second
        self._burst = float(burst)
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """By address: how many requests it had left, and when."""

    def check(self, address: str) -> None:
        """Count a request. Refuse it if there were too many."""
        now = time.monotonic()
        left, at = self._left.pop(address, (self._burst, now))
        left = min(self._burst, left + (now - at) * self._per_second)
        is_fine = left >= 1
        self._left[address] = (left - 1 if is_fine else left, now)
        if len(self._left) > _ADDRESSES_MAX:
            self._left.popitem(last=False)
        if not is_fine:
            raise _too_many("there are too many requests from this address", 1 / self._per_second)


@attrs.define
class Tries:
    """How often a sign-in may fail in a minute.

    Of one address: after that it is refused, also with the right token, as that it is right must not be told. Of all
    together: after that who guesses waits for the answer, and no one else does; whoever has many addresses must not be
    able to lock all others out.

    The same wrong token again is no further guess: a program with an old one must not lock out all who come from its
    address, or by the same proxy.
    """

    of_address: int = 10
    of_all: int = 300
    slow_seconds: float = 1.0
    _failed: OrderedDict[str, deque[float]] = attrs.field(init=False, factory=OrderedDict)
    _all: deque[float] = attrs.field(init=False, factory=deque)
    _tried: OrderedDict[bytes, float] = attrs.field(init=False, factory=OrderedDict)
    """When a token was tried last that was counted."""
    _salt: bytes = attrs.field(init=False, factory=lambda: secrets.token_bytes(16))

    def check(self, address: str) -> None:
        """Refuse a try, whether its token is right or wrong, after too many of this address that have failed."""
        now = time.monotonic()
        failed = self._failed.get(address)
        _forget(failed, now)
        if failed and len(failed) >= self.of_address:
            raise _too_many("too many sign-ins have failed", failed[0] + 60 - now)

    async def fail(self, address: str, token: str) -> None:
        """Count a try that has failed, if it was not made before; return later where there were too many of all."""
        now = time.monotonic()
        tried = hashlib.sha256(self._salt + f"{address} {token}".encode(errors="surrogatepass")).digest()
        if self._tried.get(tried, now - 60) > now - 60:
            return
        self._tried[tried] = now
        self._tried.move_to_end(tried)
        if len(self._tried) > self.of_all:
            self._tried.popitem(last=False)
        failed = self._failed.pop(address, None) or deque(maxlen=self.of_address)
        failed.append(now)
        self._failed[address] = failed
        if len(self._failed) > _ADDRESSES_MAX:
            self._failed.popitem(last=False)
        _forget(self._all, now)
        if len(self._all) >= self.of_all:
            self._all.popleft()
            self._all.append(now)
            await asyncio.sleep(self.slow_seconds)
        else:
            self._all.append(now)


def _forget(failed: deque[float] | None, now: float) -> None:
    while failed and failed[0] < now - 60:
        failed.popleft()


def _too_many(message: str, seconds: float) -> Problem:
    wait = max(1, math.ceil(seconds))
    return Problem(429, "too_many", message, f"try again in {wait} s", headers={"Retry-After": str(wait)})
