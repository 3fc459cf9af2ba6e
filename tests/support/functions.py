"""What the tests of functions share: functions of each form, in each duty."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hubwire import Duty, Event, Hub, Overflow

from . import said

HOW: tuple[dict[str, Any], ...] = (
    {"duty": Duty.BEST_EFFORT},
    {"overflow": Overflow.BLOCK},
    {"duty": Duty.DURABLE, "name": "f"},
    {"duty": Duty.REQUIRED},
)
DUTIES = pytest.mark.parametrize("how", HOW, ids=["best effort", "block", "durable", "required"])
FORMS = pytest.mark.parametrize("form", ["async", "in a thread", "in the loop"])


def formed(form: str, handle: Callable[[Event], Any]) -> tuple[Callable[[Event], Any], dict[str, Any]]:
    """Return the function as one of a form, and the settings for that."""
    if form == "async":

        async def function(each: Event) -> Any:
            return handle(each)

        return function, {}
    return handle, {"in_loop": form == "in the loop"}


async def emit_together(hub: Hub, *ns: int) -> None:
    """Emit events that come in one batch."""
    for n in ns:
        hub.emit_nowait(said(n))
    await hub.flush()
