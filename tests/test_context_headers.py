"""Headers of HTTP carry the context to another service, and back into a scope."""

from __future__ import annotations

from typing import Any

import pytest

from hubwire import GenericEvent, Hub, scope
from hubwire.context import current, headers, scope_from
from hubwire.errors import ConfigurationError
from hubwire.stores import MemoryStore
from hubwire.testing import history
from support import copy_of
from support.odd import ODD

TRACE = f"00-{'ab' * 16}-{'cd' * 8}-01"


@pytest.mark.parametrize(
    "received",
    [
        {"X-Correlation-ID": "req-1", "traceparent": TRACE},
        {"x-correlation-id": " req-1 ", "TraceParent": TRACE},
        [(b"host", b"\xff"), (b"x-correlation-id", b"req-1"), (b"traceparent", TRACE.encode())],
        iter([("X-Correlation-Id", "req-1"), ("Traceparent", TRACE), ("x-correlation-id", "another")]),
    ],
    ids=["as they are written", "in other case", "as ASGI has them", "given twice"],
)
async def test_a_scope_is_that_of_the_headers(received: Any) -> None:
    async with Hub() as hub:
        with scope_from(received) as entered:
            event = await hub.emit(GenericEvent(kind="user.came"))
            assert headers() == {"X-Correlation-ID": "req-1", "traceparent": TRACE}
    assert (event.correlation_id, event.traceparent) == ("req-1", TRACE)
    assert (entered.correlation_id, entered.traceparent) == ("req-1", TRACE)
    assert headers() == {}


@pytest.mark.parametrize(
    "received",
    [
        {},
        {"X-Correlation-ID": ""},
        {"X-Correlation-ID": "a\r\nSet-Cookie: b"},
        {"X-Correlation-ID": "a\x00"},
        {"X-Correlation-ID": "ä"},
        {"X-Correlation-ID": "\ud800"},
        {"X-Correlation-ID": "a" * 257},
        {"X-Correlation-ID": 7, 8: "b"},
        {"traceparent": "00-00"},
    ],
)
def test_what_is_no_correlation_id_is_replaced(received: Any) -> None:
    with scope_from(received) as one, scope_from(received) as other:
        assert one.correlation_id
        assert other.correlation_id
        assert one.correlation_id != other.correlation_id
        assert current().traceparent is None


def test_a_scope_of_headers_nests() -> None:
    """A tenant that the program knows stays; headers do not name one."""
    with scope(tenant="acme"), scope_from({"X-Correlation-ID": "req-1", "tenant": "other"}):
        assert (current().tenant, current().correlation_id) == ("acme", "req-1")


@pytest.mark.parametrize("text", ["a\r\nb", "ä", "a" * 257, " a", ""])
def test_an_id_that_fits_no_header_is_left_out(text: str) -> None:
    with scope(correlation_id=text, traceparent=TRACE):
        assert headers() == {"traceparent": TRACE}


class Broken(dict[str, str]):
    def items(self) -> Any:
        raise OSError("no headers")


@pytest.mark.parametrize("wrong", [None, 7, "a: b", b"a", ["ab", "c"], [("a", "b", "c")], object(), Broken()])
def test_what_are_no_headers_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^scope_from\(\): headers are"):
        scope_from(wrong)
    assert headers() == {}


async def test_odd_headers_are_refused_or_replay() -> None:
    store = MemoryStore()
    async with Hub(store) as hub:
        for make in ODD:
            for received in (make(), {"X-Correlation-ID": make()}, [("traceparent", make())]):
                try:
                    entered = scope_from(received)
                except ConfigurationError:
                    continue
                with entered:
                    await hub.emit(GenericEvent(kind="user.came"))
        emitted = hub.statistics().applied
    async with Hub(await copy_of(store)) as hub:
        found = [event for event in await history(hub) if event.kind == "user.came"]
        assert 0 < len(found) <= emitted
        assert all(event.correlation_id for event in found)


def test_endless_headers_come_to_an_end() -> None:
    def endless() -> Any:
        while True:
            yield "a", "b"

    with scope_from(endless()):
        assert list(headers()) == ["X-Correlation-ID"]
