"""Scopes that are left in another context than the one in which they were entered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from hubwire import scope
from hubwire.context import EMPTY, Context, current
from hubwire.errors import ConfigurationError


async def answer(tenant: str) -> AsyncIterator[str]:
    with scope(tenant=tenant):
        yield "a"
        yield "b"


async def test_a_scope_may_be_left_elsewhere() -> None:
    """As when a web server closes the generator of a response; it counts no more, neither there nor here."""
    stream: Any = answer("acme")
    await anext(stream)

    async def close() -> Context:
        await stream.aclose()
        return current()

    assert await asyncio.create_task(close()) == EMPTY
    assert current() == EMPTY


async def test_scopes_around_one_left_elsewhere_stay() -> None:
    """And scopes can be entered after it."""
    with scope(tenant="outer"):
        first: Any = answer("first")
        await anext(first)
        second: Any = answer("second")
        await anext(second)
        await asyncio.create_task(second.aclose())
        assert current() == Context(tenant="first")
        await asyncio.create_task(first.aclose())
        assert current() == Context(tenant="outer")
        with scope(correlation_id="c"):
            assert current() == Context(tenant="outer", correlation_id="c")
        assert current() == Context(tenant="outer")
    assert current() == EMPTY


async def test_a_task_keeps_the_scope_it_began_in() -> None:
    """Also when that was left meanwhile, where it had been entered."""
    is_left = asyncio.Event()

    async def work() -> Context:
        await is_left.wait()
        return current()

    with scope(tenant="acme"):
        task = asyncio.create_task(work())
    is_left.set()
    assert await task == Context(tenant="acme")


@pytest.mark.parametrize("name", ["correlation_id", "tenant"])
def test_text_that_cannot_be_written_is_escaped(name: str) -> None:
    """Ids come from headers and arguments of programs; what is live is what is read back."""
    settings: dict[str, Any] = {name: "req-\udcff"}
    with scope(**settings) as inner:
        assert getattr(inner, name) == "req-\\udcff"
    assert current() == EMPTY


def test_a_scope_takes_plain_text() -> None:
    """And says what it was given without calling a method of it."""
    settings: dict[str, Any] = {"traceparent": "x" * 10_000}
    with pytest.raises(ConfigurationError) as caught, scope(**settings):
        pytest.fail("entered")
    assert len(str(caught.value)) < 300
