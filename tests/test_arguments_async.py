"""Async functions that callers pass: what cannot be asked whether it is one is refused with words."""

from __future__ import annotations

import pytest

from hubwire import Hub, handles, message
from hubwire.errors import CallerError, CommandRejected, ConfigurationError
from support.odd import Hostile


async def test_a_hostile_method_is_refused() -> None:
    async with Hub() as hub:
        for method in (Hostile(), 7, None, hub.approvals.pending):
            with pytest.raises(CommandRejected, match=r"method is an async method of hub\.approvals, not"):
                hub.approvals.from_thread(method)  # type: ignore[arg-type]


@pytest.mark.parametrize("method", [Hostile(), 7, None, print], ids=["hostile", "number", "none", "sync"])
def test_a_hostile_handler_is_refused(method: object) -> None:
    @message
    class Review:
        file: str

    with pytest.raises(CallerError) as refused:
        handles(Review)(method)  # type: ignore[arg-type]
    assert type(refused.value) is ConfigurationError
    assert "must be a coroutine function" in str(refused.value)
