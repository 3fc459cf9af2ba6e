"""``hub.turns``: turns, model calls and tool calls, recorded as they go on; and those that have not ended."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, cast

from .._foreign.arguments import Call
from .._state.turns import OpenTurn, Turns
from ..ports import Clock
from .acting import Acting
from .agents import Agent, actor_of
from .channels import Channel
from .core import Core, new_id
from .group import Group
from .provenances import said_of
from .recorded import ModelCall, RecordedTurn, ToolCall, checked_call
from .tasks import Task

__all__ = ("TurnCommands",)

_TURN = Call("hub.turns.turn()")
_MODEL = Call("hub.turns.model()")
_TOOL = Call("hub.turns.tool()")


class TurnCommands(Group):
    """``hub.turns``: records turns, model calls and tool calls, and knows those whose end has not come.

    They are facts. :meth:`turn`, :meth:`model` and :meth:`tool` write them for a block of code; who knows better when
    they begin and end emits them, ``hub.emit(ToolCalled(...))``. The hub remembers each beginning, and reports it by
    ``turn.abandoned``, ``model.abandoned`` or ``tool.abandoned`` when its end has not come in the time that
    :class:`~hubwire.WatchLimits` gives it, when its agent leaves the hub, and when the hub is restarted. What has a
    ``source_id`` or ``occurred_at`` was recorded elsewhere, and is not watched.
    """

    def __init__(self, core: Core, clock: Clock, turns: Turns) -> None:
        self._core = core
        self._clock = clock
        self._turns = turns

    def turn(
        self,
        agent: Agent | str,
        *,
        prompt: Any = None,
        session: str | None = None,
        channel: Channel | str | None = None,
        task: Task | str | None = None,
        turn_id: str | None = None,
        provenance: Iterable[str] = (),
    ) -> RecordedTurn:
        """Return a turn of an agent, to be entered: ``async with hub.turns.turn(agent, prompt=...) as turn:``.

        The agent need not be registered: what is no agent's name here stands in the events as it was given.
        ``prompt`` is what the turn is to answer, and ``provenance`` where that comes from, as
        :meth:`hubwire.Channel.post` takes it. ``turn_id`` is unique; one is made by default. The end says how many
        tools were called and how long it took.

        Raises :class:`~hubwire.errors.CommandRejected` for an argument that is not of its form.
        """
        place = {
            "agent_id": actor_of(self._core, agent, _TURN),
            "session_id": _TURN.text("session", session, is_optional=True),
            "turn_id": new_id() if turn_id is None else _TURN.id("turn_id", turn_id, wanted="an id, a text"),
            "channel_id": _thing(channel, Channel, "channel"),
            "task_id": _thing(task, Task, "task"),
        }
        self._core.acting.check_channel(place["channel_id"])
        self._core.acting.check_task(place["task_id"])
        named = {name: value for name, value in place.items() if value is not None}
        return RecordedTurn(self._core, self._clock, named, {"prompt": prompt, **said_of(_TURN, provenance)})

    def model(
        self,
        model: str,
        *,
        request: Any = None,
        agent: Agent | str | None = None,
        call_id: str | None = None,
        provenance: Iterable[str] = (),
    ) -> ModelCall:
        """Return a call of a model, to be entered: ``async with hub.turns.model("m") as call: call.done(...)``.

        It belongs to the agent and the turn of the scope that it is entered in. ``request`` is the request, as far as
        it is to be kept, and ``provenance`` where it comes from. ``call_id`` is unique in its turn; one is made by
        default.

        Raises :class:`~hubwire.errors.CommandRejected` for an argument that is not of its form.
        """
        name, call_id = checked_call(_MODEL, "model", model, call_id)
        given = {"request": request, **said_of(_MODEL, provenance)}
        return ModelCall(self._core, self._clock, _of(self._core, agent, _MODEL), name, call_id, given)

    def tool(
        self,
        tool: str,
        arguments: Any = None,
        *,
        agent: Agent | str | None = None,
        call_id: str | None = None,
        provenance: Iterable[str] = (),
    ) -> ToolCall:
        """Return a call of a tool, to be entered: ``async with hub.turns.tool("search", {"q": "x"}) as call:``.

        ``arguments`` are as the model gave them. For the rest see :meth:`model`.
        """
        name, call_id = checked_call(_TOOL, "tool", tool, call_id)
        given = {"arguments": arguments, **said_of(_TOOL, provenance)}
        return ToolCall(self._core, self._clock, _of(self._core, agent, _TOOL), name, call_id, given)

    def _through(self, core: Core) -> TurnCommands:
        """Return the same commands as an agent has them, by its own ``core``."""
        return TurnCommands(core, self._clock, self._turns)

    def open(self) -> tuple[OpenTurn, ...]:
        """Return what has begun and not ended, oldest first."""
        acting = self._core.acting
        return tuple(self._turns) if acting.tenancy is None else tuple(filter(_is_seen_by(acting), self._turns))


def _is_seen_by(acting: Acting) -> Callable[[OpenTurn], bool]:
    return lambda each: acting.sees(each.agent_id)


def _of(core: Core, agent: Agent | str | None, call: Call) -> dict[str, str]:
    agent_id = core.acting.agent_id if agent is None else actor_of(core, agent, call)
    place = {} if agent_id is None else {"agent_id": agent_id}
    return place if core.acting.tenant is None else {**place, "tenant": core.acting.tenant}


def _thing(value: Channel | Task | str | None, kind: type[Channel | Task], argument: str) -> str | None:
    if value is None:
        return None
    if issubclass(type(value), kind):
        return cast(Channel | Task, value).id
    return _TURN.id(argument, value, wanted=f"a {kind.__name__}, or the id of one")
