"""What a function that makes actors of a framework's agents has to refuse, and how it has to say so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hubwire.errors import ConfigurationError

__all__ = ("check_refusals", "fake_agent")


def fake_agent(module: str) -> Any:
    """Return an agent of a framework that is not installed: its class says it is from there."""
    return type("FakeAgent", (), {"__module__": module, "name": "fake", "run": lambda *_, **__: None})()


class _Hostile:
    @property  # type: ignore[misc]  # it is odd on purpose
    def __class__(self) -> Any:
        raise RuntimeError("no class")

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


def check_refusals(function: Callable[..., Any], wanted: str, agent: Any, kind: type, **settings: Any) -> None:
    """``wanted``: what the error says that it needs; ``agent`` is one that it takes, of the class ``kind``."""
    call = function.__name__
    for other in (None, 5, "agent", object(), {}, lambda: None, _Hostile()):
        with pytest.raises(ConfigurationError) as refused:
            function(other, **settings)
        assert f"{call}() needs {wanted}" in str(refused.value), str(refused.value)
    with pytest.raises(ConfigurationError, match="it is a class: make an object of it"):
        function(kind, **settings)
    foreign = "smolagents" if call != "from_smolagents" else "pydantic_ai"
    with pytest.raises(ConfigurationError, match=rf"hubwire\.runtimes\.{foreign}\.from_{foreign}\(agent\)"):
        function(fake_agent(f"{foreign}.agents"), **settings)
    with pytest.raises(ConfigurationError) as unknown:
        function(agent, **{**settings, "histroy_max": 3})
    assert f"{call}() has no setting 'histroy_max'" in str(unknown.value)
    assert str(unknown.value).endswith("did you mean history_max?")
    with pytest.raises(ConfigurationError, match=rf"^{call}\(\): history_max is a whole number"):
        function(agent, **{**settings, "history_max": "many"})
    assert function(agent, **settings).name
