"""Tools that run only when an approval lets them: what runs is what was approved."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any, ParamSpec, Protocol, TypeVar, overload

from .._foreign.arguments import Call, is_a
from .._state.answers import json_of
from ..approvals import Approval
from ..errors import NotApproved
from ..events._shown import shown
from .exact import exact

__all__ = ("Gated", "GatedBlocking", "Tool", "check_is_called")

P = ParamSpec("P")
T = TypeVar("T")


class Gated(Protocol):
    """A decorator: the function that it returns is async, and requests approval before it calls the decorated one."""

    @overload
    def __call__(self, function: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[Any, Any, T]]: ...
    @overload
    def __call__(self, function: Callable[P, T]) -> Callable[P, Coroutine[Any, Any, T]]: ...


class GatedBlocking(Protocol):
    """A decorator: the function that it returns blocks its thread until there is an approval, and is not async."""

    def __call__(self, function: Callable[P, T]) -> Callable[P, T]: ...


def check_is_called(call: Call, agent: object) -> None:
    """Refuse a decorator without parentheses: Python gives it the tool in the place of the agent."""
    if is_a(agent, (FunctionType, MethodType, BuiltinFunctionType)):
        decorator = f"@{call.name[:-2]}"
        raise call.refusal("agent", agent, "the agent that acts", f"write {decorator}(agent) over the tool")


class Tool:
    """A function that an agent may call with approved arguments only."""

    def __init__(self, call: Call, function: Callable[..., Any], action: str | None) -> None:
        if not callable(function):
            raise call.refusal("the decorated tool", function, "a function", f"write @{call.name[:-2]}(agent)")
        name = action or getattr(function, "__name__", None)
        if not name:
            raise call.refusal("action", action, "printable text", "the decorated tool has no name itself")
        self.name: str = name
        self._call = call
        self._function = function
        self._signature = inspect.signature(function)

    def bind(self, args: Any, kwargs: Any) -> tuple[inspect.BoundArguments, Any]:
        """Return the arguments of one call, with those that it left to their defaults, and their canonical form.

        Raises ``TypeError``, as the tool itself would, for arguments that it does not have.
        """
        try:
            bound = self._signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{self.name}(): {error}; no approval was requested") from None
        bound.apply_defaults()
        return bound, exact(self._call, f"the arguments of {self.name}", bound.arguments)

    def run(self, bound: inspect.BoundArguments, requested: Any, approval: Approval) -> Any:
        """Call the tool with what was approved; no code can change it between the check and the call."""
        if approval.was_used:
            raise _refused(approval, "was given before, and the tool may have run then; request it anew", "used")
        if approval.verdict == "modified":
            _put(bound, approval)
            return self._function(*bound.args, **bound.kwargs)
        if json_of(exact(self._call, f"the arguments of {self.name}", bound.arguments)) != json_of(requested):
            raise NotApproved(
                f"the arguments of {shown(approval.action)} were changed between the request and the verdict,"
                " and their new values were not approved; do not change the arguments of a gated call",
                approval_id=approval.approval_id,
                verdict="approved",
                reason="other arguments",
            )
        return self._function(*bound.args, **bound.kwargs)

    def wrap(self, run: Callable[..., Any]) -> Any:
        return functools.wraps(self._function)(run)


def _put(bound: inspect.BoundArguments, approval: Approval) -> None:
    """Put the arguments that an approver gave in the place of those of the call."""
    given = approval.arguments
    if not isinstance(given, Mapping) or given.keys() != bound.arguments.keys():
        raise _refused(approval, "was modified to arguments that the tool does not have; it has not run", "modified")
    for name, value in given.items():
        bound.arguments[name] = _thawed(value)


def _thawed(value: Any) -> Any:
    """Return a value as a tool may expect it: dictionaries and lists, which it may change."""
    if isinstance(value, Mapping):
        return {key: _thawed(each) for key, each in value.items()}
    return [_thawed(each) for each in value] if isinstance(value, tuple) else value


def _refused(approval: Approval, why: str, verdict: str) -> NotApproved:
    return NotApproved(
        f"the approval of {shown(approval.action)} {why}",
        approval_id=approval.approval_id,
        verdict=verdict,
        reason=why,
    )
