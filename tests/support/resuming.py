"""Wrong values in every argument of a call that asks the hub for what a run waits for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from hubwire.errors import ConfigurationError
from support.odd import Hostile, Stranger

__all__ = ("refuses",)


class Trap:
    """Raises what no caller expects, however it is looked at."""

    def __getattribute__(self, name: str) -> Any:
        raise BaseException(name)


_TEXT = "text \ud800"

WRONG: tuple[Any, ...] = (3, 0.5, _TEXT, b"bytes", [1], {"a": 1}, Stranger(), Hostile(), Trap(), ConfigurationError)


async def refuses(call: Callable[..., Awaitable[Any]], good: dict[str, Any], *, texts: tuple[str, ...] = ()) -> None:
    """Assert that a call refuses whatever is wrong in each of these arguments, by its own name.

    ``texts`` are those that a text is right for, whatever it says.
    """
    for name, right in good.items():
        for number, wrong in enumerate(WRONG):
            if (name in texts and wrong is _TEXT) or (callable(right) and callable(wrong)):
                continue
            with pytest.raises(ConfigurationError) as caught:
                await call(**{**good, name: wrong})
            assert str(caught.value).startswith(f"{call.__name__}()"), f"{name}, {number}: {caught.value}"
