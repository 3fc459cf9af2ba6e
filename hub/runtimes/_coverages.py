"""What each adapter captures, and what its framework hides: declared once, for logs and for the documentation."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from typing import Final

import attrs

from ..coverage import Coverage
from ..errors import ConfigurationError
from ..events._shown import is_a
from ._capture import captured

__all__ = ("COVERAGES", "coverage_for", "with_version")

_PROVIDER: Final = "tools that a provider runs"
_RETRIES: Final = "attempts that the client of a model repeats"

_DECLARED: Final = (
    Coverage(
        source="ag2",
        captured=("turns", "models with tokens", "tools", "nested agents", "human input", "events of its own hub"),
        hidden=(
            _PROVIDER,
            "calls of tools that there are not",
            "summarising calls",
            "pieces of streams unless streams=True",
        ),
    ),
    Coverage(
        source="openai-agents",
        captured=("turns", "models and their attempts", "tools", "hand-overs", "verdicts of the program"),
        hidden=(
            "why a tool failed, unless it has a failure_error_function",
            "that an MCP server answered with an error",
            "pieces of streams",
            _PROVIDER,
            "runs with tracing turned off",
        ),
    ),
    Coverage(
        source="langgraph",
        captured=(
            "graphs as turns",
            "models",
            "streams",
            "tools",
            "hand-overs",
            "interrupts",
            "checkpoints of the checkpointers that it is given",
        ),
        hidden=("breakpoints", "which node is an agent", "answers that a process gives in its own dialog"),
    ),
    Coverage(
        source="langchain",
        captured=("agents and outermost chains", "models", "tools"),
        hidden=("calls that a middleware answers", _RETRIES, "inner runnables", "retrievers", "custom events"),
    ),
    Coverage(
        source="pydantic-ai",
        captured=("turns", "models", "tools and their attempts", "nested agents"),
        hidden=("failed attempts of a FallbackModel", "output functions", _PROVIDER),
    ),
    Coverage(
        source="agent-framework-core",
        captured=("turns", "models", "tools", "nested and streamed agents"),
        hidden=(_PROVIDER,),
    ),
    Coverage(
        source="fastmcp",
        captured=("calls of tools, resources and prompts, as turns of clients",),
        hidden=(
            "who the client is beyond its own name",
            "what belongs together without a trace",
            "what a tool does inside",
            "progress",
            "log messages",
            "lists, pings and subscriptions",
        ),
    ),
    Coverage(
        source="mcp",
        captured=("calls of tools, resources and prompts, as turns of clients",),
        hidden=(
            "who the client is beyond its own name",
            "what belongs together without a trace",
            "texts and classes of unexpected errors",
            "what a tool does inside",
            "lists, pings and subscriptions",
        ),
    ),
    Coverage(
        source="a2a-sdk",
        captured=("a turn for each task of an agent", "its artifacts, failures and waits"),
        hidden=("models and tools", "who asks"),
    ),
    Coverage(
        source="google-adk",
        captured=("turns", "models", "tools", "transfers", "nested agents"),
        hidden=(
            "the end of an agent that has transferred",
            "the end of a cancelled run",
            "whether a callback has answered instead of model or tool",
        ),
    ),
    Coverage(
        source="agno",
        captured=("runs", "teams", "models", "tools"),
        hidden=(
            "attempts of Model.retries",
            "the class of a tool's error",
            "answers from a model's cache",
            "workflows",
        ),
    ),
    Coverage(
        source="crewai",
        captured=("crews", "tasks as turns", "models", "tools and their retries"),
        hidden=("classes of errors", "models of your own that emit no events", "what a person types for human_input"),
    ),
    Coverage(
        source="llama-index",
        captured=("runs as turns", "agents", "hand-overs", "models", "tools", "nested agents"),
        hidden=("the program's own answer to a tool that waits", _RETRIES),
    ),
    Coverage(
        source="smolagents",
        captured=("runs", "models", "tools", "managed agents", "errors of steps"),
        hidden=(_RETRIES, "that interrupt() waits for a tool", "tools that two running code agents share"),
    ),
    Coverage(
        source="litellm",
        captured=("calls of models with tokens and cost",),
        hidden=("agents and tools: it has none", "calls that were cancelled", _RETRIES),
    ),
    Coverage(
        source="claude-agent-sdk",
        captured=("turns", "subagents", "tools", "answers", "tokens and cost"),
        hidden=(
            "when a call of a model begins",
            "tokens of each answer",
            "whether an announced call is being made",
            "what a rule refuses",
        ),
    ),
    Coverage(
        source="opentelemetry",
        captured=("turns, models and tools of any framework that emits GenAI spans",),
        hidden=(
            "what is in no span",
            "contents unless the framework puts them there",
            "approvals",
            "cancellation",
        ),
    ),
)

COVERAGES: Final[Mapping[str, Coverage]] = {each.source: each for each in _DECLARED}
"""By the source of an adapter, what it declares, without a version."""

_PACKAGES: Final = {
    "llama-index": "llama-index-core",
    "opentelemetry": "opentelemetry-sdk",
    "pydantic-ai": "pydantic-ai-slim",
}
"""Of sources that are no name of a package."""


def with_version(declared: Coverage) -> Coverage:
    """Return what an adapter declares with the version of its package that is installed. It reads the disk."""
    if declared.version or COVERAGES.get(declared.source) != declared:
        return declared
    try:
        return attrs.evolve(declared, version=metadata.version(_PACKAGES.get(declared.source, declared.source)))
    except metadata.PackageNotFoundError:
        return declared


def coverage_for(given: object, source: str) -> Coverage | None:
    """Return what a recorder was given as its coverage, or else what the adapter of its source declares."""
    if given is None:
        return COVERAGES.get(source)
    if not isinstance(given, Coverage) or not is_a(given, Coverage):
        raise ConfigurationError(
            f"Recorder(): coverage is a hubwire.coverage.Coverage, or None, not {captured(given, 100)!r}"
        )
    return given
