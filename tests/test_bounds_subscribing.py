"""Subscribing is cheap: a server that comes back to a thousand viewers subscribes them all in one turn of the loop."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from hubwire import Hub
from hubwire.errors import InvalidCursor
from hubwire.listeners import LiveTail
from hubwire.listeners.live import Subscriber
from hubwire.stores import MemoryStore
from support import said

CALLS_MAX = 105
"""Function calls, of Python's and of C's, in one subscription: 90 take 11 µs on the machine where 128 took 21 µs."""


def calls_in(subscribe: Callable[[], Subscriber], kept: list[Subscriber]) -> list[str]:
    """Return the functions that are called."""
    called: list[str] = []

    def note(frame: Any, what: str, argument: Any) -> None:
        if what == "call":
            called.append(frame.f_code.co_name)
        elif what == "c_call":
            called.append(getattr(argument, "__qualname__", ""))

    before = sys.getprofile()
    gc.disable()  # what it calls is of others
    sys.setprofile(note)
    try:
        kept.append(subscribe())
    finally:
        sys.setprofile(before)
        gc.enable()
    return called


@pytest.mark.parametrize("pattern", ["*", "number.said"])
@pytest.mark.parametrize("is_resumed", [True, False])
async def test_a_subscription_makes_few_calls(pattern: str, *, is_resumed: bool) -> None:
    """A thousand of them in one turn take less than 20 ms then; the signature is the dear part, and made once."""
    tail = LiveTail()
    async with Hub(MemoryStore(), listeners=[tail]) as hub:
        for n in range(20):
            await hub.emit(said(n))
        reader = tail.subscribe(tail.cursor_after(0))
        cursors = [(await anext(reader)).cursor for _ in range(20)]
        kept = [tail.subscribe(cursors[0], pattern=pattern), tail.subscribe(pattern=pattern)]
        for cursor in cursors[1:]:
            subscribe = partial(tail.subscribe, cursor if is_resumed else None, pattern=pattern)
            called = calls_in(subscribe, kept)
            assert len(called) <= CALLS_MAX, called
            assert called.count("hmac_digest") == (1 if is_resumed else 0)
        assert tail.statistics().subscribers == len(kept) + 1


@pytest.mark.parametrize("junk", [" ", "\n", "=", "+", "/", ".", "%", "==A", "A=A="])
async def test_junk_in_a_cursor_is_refused(junk: str) -> None:
    """Decoders of base64 pass over much; a cursor is the text that was handed out, and no other."""
    tail = LiveTail()
    async with Hub(listeners=[tail]) as hub:
        await hub.emit(said(1))
        cursor = tail.cursor_after(0)
        tail.subscribe(cursor)
        forged = {cursor[:at] + junk + cursor[at:] for at in range(0, len(cursor) + 1, 7)} | {cursor + junk}
        for each in forged - {cursor}:
            with pytest.raises(InvalidCursor, match="is not a cursor"):
                tail.subscribe(each)


async def test_equal_patterns_are_matched_by_one_object() -> None:
    """Text, a list of it, and the same again: what subscribers of one pattern get is made once for all of them."""
    tail = LiveTail()
    async with Hub(listeners=[tail]) as hub:
        feed = tail._feed
        assert feed is not None
        one = feed.matcher("number.*", {})
        assert feed.matcher("number.*", {}) is one
        assert feed.matcher(["number.*"], {}) is one
        assert feed.matcher(["number.*", "other.*"], {}) is not one
        await hub.flush()
