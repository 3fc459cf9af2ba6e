"""Agent runtimes: what they do becomes events of a hub, by one line a runtime.

Each adapter is a module of its own, named as the extra that installs what it needs::

    from hubwire.runtimes import openai_agents

    recorder = openai_agents.record(hub)  # from now on; recorder.close() ends it

All of them are thin over :class:`Recorder`, which is for runtimes of your own, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..late_modules import late_modules
from ._actors import AgentActor, Said
from .recorder import Recorder, RecorderStatistics
from .verdict import Verdict

__all__ = ("AgentActor", "Recorder", "RecorderStatistics", "Said", "Verdict")

_MODULES = (
    "a2a",
    "ag2",
    "agent_framework",
    "agno",
    "claude_agent_sdk",
    "crewai",
    "fastmcp",
    "google_adk",
    "langchain",
    "langgraph",
    "litellm",
    "llama_index",
    "mcp",
    "openai_agents",
    "opentelemetry",
    "pydantic_ai",
    "smolagents",
)
"""The adapters, each imported when it is asked for; none of them imports its framework before it is used."""

if not TYPE_CHECKING:  # checkers know no module before it is imported
    __getattr__, __dir__ = late_modules(globals(), _MODULES)
