"""AG2: runs of its agents, and what happens on its hub, become events of a hub.

::

    recorder = ag2.record(hub)
    agent = Agent("planner", config=config, middleware=[recorder.middleware])

It captures turns with prompt and answer, calls of models with tokens, tool calls with arguments, results and errors,
questions to people, and agents inside of tools as part of them. Where other middleware retries calls of models, put the
recorder's at both ends of the list, or at the last place: only what stands inside of a retry sees the attempts.

An agent whose tools need approval asks in the hub with ``Agent(..., hitl_hook=recorder.hitl_hook)``. With a hook of its
own, question and answer are recorded. ``hub.register_listener(recorder.listener)`` records what an AG2 hub reports:
agents, channels, envelopes, tasks, and turns that failed.

What AG2 shows to no middleware: calls of tools that there are not, tools that the provider runs, and calls of models
that summarise a history. Pieces of streamed answers are shown with ``record(hub, streams=True)``: AG2 compiles each
subscription, which takes four milliseconds a call of a model. It asks again after a restart only if its program keeps
the stream: a stream and a call are what the hub knows a question by.

Our :class:`~hubwire.listeners.AuditLog`, any :class:`~hubwire.BaseHubListener` and all our stores work on an AG2 hub
as they are.

Tested with ag2 1.2.0 and 1.2.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ... import Hub, HubThread
from ...actors import Turn
from .._actors import AgentActor, Said, actor_by
from .._opening import check_agent, imported, opened
from .._settings import flag
from ..recorder import Recorder
from ._middleware import apart, hook_of, middleware_of
from ._network import NetworkListener

__all__ = ("AG2Recorder", "NetworkListener", "from_ag2", "record")


class AG2Recorder(Recorder):
    """A recorder with what AG2's constructors take. All of it may stay when the recorder is closed, and does nothing
    then; :attr:`hitl_hook` answers nothing.
    """

    middleware: Any
    """For ``Agent(..., middleware=[...])``, any number of agents. Given twice to one agent, it records once."""

    hitl_hook: Any
    """For ``Agent(..., hitl_hook=...)``: asks the hub whether a tool may be called. What is denied is told to the model
    with its reason, and what a person has changed in the arguments is what the tool is called with. A question that is
    none of approval it refuses with AG2's ``HumanInputNotProvidedError``, as an agent does that has no hook. If
    the hub cannot be asked, or ends before it has decided, that is no denial: the turn fails with AG2's
    ``HumanInputFailedError``, whose ``cause`` says why, and may be tried again on the same stream."""

    listener: NetworkListener
    """For ``register_listener`` of an AG2 hub."""


def record(hub: Hub | HubThread, *, streams: bool = False, may_repeat: bool = False, **settings: Any) -> AG2Recorder:
    """Record in a hub what agents do that have the recorder's ``middleware``.

    ``streams``: record how far a streamed answer is. ``may_repeat``: a call that was approved may be made again when a
    trajectory is resumed, as after a crash; else it is denied then. ``settings`` are those of
    :class:`~hubwire.runtimes.Recorder`. Called again for the same hub, it returns the same recorder, and refuses other
    settings.
    """
    imported("ag2.middleware", "ag2")

    def install(recorder: AG2Recorder) -> None:
        recorder.middleware = middleware_of(recorder, is_whole=settings.get("content") is True, streams=streams)
        recorder.hitl_hook = hook_of(recorder, may_repeat=may_repeat)
        recorder.listener = NetworkListener(recorder)

    own = {
        "streams": flag("hubwire.runtimes.ag2.record(): streams", streams),
        "may_repeat": flag("hubwire.runtimes.ag2.record(): may_repeat", may_repeat),
    }
    return opened(hub, "ag2", install, settings, kind=AG2Recorder, own=own)


def from_ag2(agent: Any, *, name: str | None = None, **settings: Any) -> AgentActor:
    """Return an actor that answers with an agent: ``await hub.spawn(from_ag2(agent))``.

    ``name`` is that of the agent by default, and ``settings`` are those of
    :class:`~hubwire.runtimes.AgentActor`.
    """
    events, streams = imported("ag2.events", "ag2"), imported("ag2.stream", "ag2")
    check_agent("from_ag2", agent, "an Agent of ag2", has=("ask",))

    async def answer(said: str, history: Sequence[Said], turn: Turn) -> Any:  # noqa: ARG001 - as all answers
        past: list[Any] = []
        for each in history:
            if each.is_own:
                past.append(events.ModelResponse(events.ModelMessage(each.text)))
            else:
                past.append(events.ModelRequest([events.TextInput(f"{each.name}: {each.text}")]))
        stream = streams.MemoryStream()
        await stream.history.replace(past)
        with apart():
            return (await agent.ask(said, stream=stream)).body

    return actor_by("from_ag2", name or getattr(agent, "name", None) or "agent", answer, settings)
