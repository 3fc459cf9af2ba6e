"""Agents of frameworks, known by the modules of their classes: no framework is imported for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from .guards import guarded_call

__all__ = ("actor_advice", "runtime_of")

_RUNTIMES: Final[Mapping[str, str]] = {
    "a2a": "a2a",
    "ag2": "ag2",
    "agent_framework": "agent_framework",
    "agents.agent": "openai_agents",  # a program may well have modules named "agents" of its own
    "agno": "agno",
    "claude_agent_sdk": "claude_agent_sdk",
    "crewai": "crewai",
    "google.adk": "google_adk",
    "langchain": "langchain",
    "langchain_core": "langchain",
    "langgraph": "langgraph",
    "llama_index": "llama_index",
    "pydantic_ai": "pydantic_ai",
    "smolagents": "smolagents",
    "workflows": "llama_index",
}
"""By the module of a framework: the module of ours that makes actors of its agents."""

_GIVEN: Final = {"a2a": 'client, name="..."', "langchain": 'runnable, name="..."', "langgraph": "graph"} | {
    "claude_agent_sdk": "options"
}


def runtime_of(value: object) -> str | None:
    """Return which module of :mod:`hubwire.runtimes` is for an object, or for a class; None for what is of none."""
    try:
        return guarded_call(_runtime_of, value if isinstance(value, type) else type(value))
    except Exception:  # noqa: BLE001 - the class may be any program's own
        return None


def _runtime_of(kind: type) -> str | None:
    for each in kind.__mro__:
        module = each.__module__
        if not isinstance(module, str):
            continue
        parts = module.split(".")
        for length in (1, 2):
            if (runtime := _RUNTIMES.get(".".join(parts[:length]))) is not None:
                return runtime
    return None


def actor_advice(value: object) -> str:
    """Return how an agent of a framework becomes an actor; empty for what is of none."""
    runtime = runtime_of(value)
    if runtime is None:
        return ""
    called = f"from_{runtime}({_GIVEN.get(runtime, 'agent')})"
    return f"to make an actor of it, write hubwire.runtimes.{runtime}.{called}"
