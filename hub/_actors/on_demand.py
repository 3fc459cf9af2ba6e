"""Actors on demand: made when an envelope for their agent comes, and let go when they were idle for a while.

An agent is there before its actor, and after it: what is on demand is what is in memory beside the agent. In the words
of Orleans, that is the activation of a grain.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextvars import Context
from functools import partial
from inspect import isawaitable, iscoroutinefunction, signature
from typing import Any, Protocol

import anyio
import attrs

from .._commands.agents import Agent
from .._commands.core import Core
from .._foreign.arguments import Call, has_method
from .._foreign.guards import guarded_call, text_of
from .._state import State
from .._values import Value
from ..errors import CallerError, ConfigurationError, HubClosed, HubFailed
from ..events import Event
from ..events._shown import shown
from ..patterns import Patterns
from ..ports import Clock
from .actor import maker_of
from .draining import Drained
from .members import Crew
from .rules import SPAWN_ON_DEMAND, Handling, SpawnSettings

__all__ = ("OnDemand", "Rule", "Surroundings", "rule_of")

_STOP = Call("on_demand.stop()", ConfigurationError)
_DRAIN = Call("on_demand.drain()", ConfigurationError)

_NACKED_AT_ONCE = 256


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Rule(Value):
    """Which agents get their actors on demand, and how: see :meth:`hubwire.Hub.spawn_on_demand`."""

    pattern: str
    matches: Callable[[str], bool]
    factory: Callable[[str], Any]
    handling: Handling
    settings: SpawnSettings
    idle_seconds: float
    active_max: int
    tenant: str | None = None
    """Whose agents it is for; None: those that are no tenant's."""


def rule_of(
    pattern: object,
    factory: Any,
    idle_seconds: object,
    active_max: object,
    settings: SpawnSettings,
    tenant: str | None = None,
) -> Rule:
    """Return a rule, checked."""
    text = SPAWN_ON_DEMAND.text(
        "pattern", pattern, wanted="a pattern of agents' names, as 'reviewer/*'", is_empty_ok=False
    )
    wanted = "a function of an agent's name that returns its actor, or a class"
    if not callable(factory) or has_method(factory, "on_envelope"):
        raise SPAWN_ON_DEMAND.refusal("factory", factory, wanted)
    try:
        guarded_call(_check_factory, factory, wanted)
        handling: Handling = guarded_call(settings.handling_of, factory)
    except CallerError:
        raise
    except Exception as error:
        raise SPAWN_ON_DEMAND.refusal("factory", factory, wanted, "reading it raised an exception") from error
    return Rule(
        pattern=text,
        matches=Patterns(text, any_text=True).matches,
        factory=factory,
        handling=handling,
        settings=settings,
        idle_seconds=SPAWN_ON_DEMAND.seconds("idle_seconds", idle_seconds),
        active_max=SPAWN_ON_DEMAND.whole("active_max", active_max, least=1),
        tenant=tenant,
    )


def _check_factory(factory: Any, wanted: str) -> None:
    """Refuse what cannot be called with a name, and a function of a turn, which would be given a name for its turn."""
    try:
        called = signature(factory)
        called.bind("name")
    except TypeError as error:
        advice = f"it is called with the name alone ({error}); let it take one argument, or write lambda name: ..."
        raise SPAWN_ON_DEMAND.refusal("factory", factory, wanted, advice) from error
    except Exception:  # noqa: BLE001 - Python does not know the signature, as of what is written in C: the call shows
        return
    if iscoroutinefunction(factory) and [*called.parameters] == ["turn"]:
        advice = "it is a function of a turn; pass one that returns it: lambda name: ..."
        raise SPAWN_ON_DEMAND.refusal("factory", factory, wanted, advice)


class Surroundings(Protocol):
    """What actors on demand need of the actors of their hub."""

    clock: Clock

    def start_soon(self, function: Callable[..., Any], *args: object) -> None:
        """Run this in a task of the hub's."""

    def new_context(self) -> Context:
        """Return a copy of the present context for actors that outlive what runs in it."""

    def has_actor(self, agent_id: str) -> bool: ...

    async def start_crew(
        self, agent: Agent, make: Callable[[], Any], handling: Handling, settings: SpawnSettings, on_wait: Any
    ) -> Crew | None:
        """Start the actor of an agent; raise what it crashes with before it reads its inbox.

        Returns None if another node has the agent's seat.
        """

    def reopen(self, agent_id: str) -> None:
        """Let the agent be asked again, although its last actor was stopped with its group."""

    def ended(self, rule: OnDemand) -> None:
        """A rule makes no actors any more."""

    def check_may_drain(self, crews: Iterable[Crew]) -> None:
        """Raise where draining these actors would wait for itself, and where the hub is closed."""

    async def drain(self, crews: Callable[[], Iterable[Crew]], stop: Callable[[], Any], seconds: float) -> Drained:
        """Let actors handle what is in their inboxes, and stop them."""


class OnDemand:
    """The actors of one rule: those that are in memory, and those that wait for a place."""

    def __init__(self, rule: Rule, core: Core, state: State, around: Surroundings) -> None:
        self.rule: Rule = rule
        self._core = core
        self._agents = state.agents
        self._inboxes = state.inboxes
        self._state = state
        self._around = around
        self._context = around.new_context()
        """In which the rule was given: an actor is not made in the context of the turn that happened to post to it."""
        self._active: dict[str, Crew | None] = {}
        """By agent; None while an actor is being made."""
        self._line: dict[str, None] = {}
        """The agents that wait for a place, the first one first."""
        self._idle: dict[str, float] = {}
        """Since when actors wait for envelopes, the longest time first."""
        self._leaving: set[str] = set()
        """Those that are let go for another one."""
        self._is_tended = False
        self._is_stopped = False

    def __repr__(self) -> str:
        return f"OnDemand(pattern={self.pattern!r}, active={len(self._active)}, waiting={len(self._line)})"

    @property
    def pattern(self) -> str:
        """The pattern that the names of its agents match."""
        return self.rule.pattern

    @property
    def is_stopped(self) -> bool:
        """Whether it makes no actors any more."""
        return self._is_stopped

    @property
    def active(self) -> Sequence[str]:
        """The names of the agents whose actors are in memory now, or are being made."""
        return [*self._names(self._active)]

    @property
    def waiting(self) -> Sequence[str]:
        """The names of the agents that have envelopes, and wait because ``active_max`` others are active."""
        return [*self._names(self._line)]

    def _names(self, agent_ids: Iterable[str]) -> Iterator[str]:
        return (entry.name for each in [*agent_ids] if (entry := self._agents.known(each)) is not None)

    async def stop(self, *, grace_seconds: float = 0.0) -> None:
        """Make no actors any more, and stop those that are there, as :meth:`ActorHandle.stop` does.

        The agents stay registered, and their inboxes keep what is in them. The pattern is free for another rule.
        """
        grace_seconds = _STOP.seconds("grace_seconds", grace_seconds, is_zero_ok=True)
        self._end()
        if not self._active:
            return
        done = anyio.Event()
        self._around.start_soon(self._stop_and_tell, grace_seconds, done)
        await done.wait()

    async def drain(self, *, timeout: float = 60.0) -> Drained:
        """Make no actors any more; let those that are there handle what is in their inboxes, and stop them then.

        See :meth:`Group.drain`. Agents that have no actor now are not drained.
        """
        timeout = _DRAIN.seconds("timeout", timeout, is_zero_ok=True)
        crews = [crew for crew in self._active.values() if crew is not None]
        self._around.check_may_drain(crews)
        self._end()
        return await self._around.drain(lambda: crews, partial(self._stop_all, 0.0), timeout)

    def _end(self) -> None:
        self._is_stopped = True
        self._line.clear()
        self._around.ended(self)

    async def _stop_and_tell(self, grace_seconds: float, done: anyio.Event) -> None:
        try:
            await self._stop_all(grace_seconds)
        finally:
            done.set()

    async def _stop_all(self, grace_seconds: float) -> None:
        async with anyio.create_task_group() as tasks:
            for crew in [*self._active.values()]:
                if crew is not None:
                    tasks.start_soon(crew.stop, self._around.clock, grace_seconds)

    def holders(self, agent_id: str) -> Collection[str]:
        """Return the agents that hold all places, none of which is for this one; none where there is one."""
        return () if agent_id in self._active or len(self._active) < self.rule.active_max else self._active

    # -- making --

    def want(self, agent_id: str) -> None:
        """An envelope waits for an agent: make its actor, if it has none, and there is a place."""
        if self._is_stopped or agent_id in self._active:
            return
        if len(self._active) >= self.rule.active_max:
            self._line[agent_id] = None
            self._make_room()
            return
        self._active[agent_id] = None
        self._start(self._serve, agent_id)

    def _start(self, function: Callable[..., Any], *args: object) -> None:
        self._context.copy().run(self._around.start_soon, function, *args)

    async def _serve(self, agent_id: str) -> None:
        """Make the actor of an agent, again and again while envelopes wait for it."""
        try:
            while self._is_wanted(agent_id):
                await self._core.until_all_is_committed()  # no actor is made for what a crash can undo
                if self._is_wanted(agent_id):  # meanwhile it may have left, or have got an actor of the program's
                    await self._live(Agent(self._core, self._state, agent_id, self._agents.get(agent_id).name))
        except (HubClosed, HubFailed):
            return
        finally:
            self._active.pop(agent_id, None)
            self._idle.pop(agent_id, None)
            self._leaving.discard(agent_id)
            self._next_in_line()

    def _is_wanted(self, agent_id: str) -> bool:
        if self._is_stopped or not self._core.is_open or self._around.has_actor(agent_id):
            return False
        return agent_id in self._agents and self._inboxes.has_ready(agent_id)

    async def _live(self, agent: Agent) -> None:
        """Make an actor, and wait until it has gone; if it cannot be made, that was an attempt of what waits."""
        rule = self.rule
        on_wait = partial(self._rests, agent.id)
        try:
            crew = await self._around.start_crew(
                agent, partial(_made, rule.factory, agent.name), rule.handling, rule.settings, on_wait
            )
        except (HubClosed, HubFailed):
            raise
        except Exception as error:  # noqa: BLE001 - of the factory, of what it made, or of on_start
            if not self._is_stopped:
                await self._give_back(agent.id, error)
            return
        if crew is None:
            return  # another node has its seat now
        self._active[agent.id] = crew
        if self._is_stopped:  # it was stopped while the actor was being made
            self._around.start_soon(crew.stop, self._around.clock)
        elif self._line:
            self._make_room()
        await crew.wait()
        self._around.reopen(agent.id)

    async def _give_back(self, agent_id: str, error: Exception) -> None:
        """Nack what waits, or dead-letter it: that its actor could not be made was one attempt of each."""
        reason, retry = f"its actor could not be made: {text_of(error)}", self.rule.handling.retry
        # Those that come again at once wait for the next attempt, and are not nacked twice for this one.
        ready = deque((each.envelope.envelope_id, each.attempts + 1) for each in self._inboxes.ready(agent_id))

        def decide() -> Sequence[Event]:
            events: list[Event] = []
            for _ in range(min(_NACKED_AT_ONCE, len(ready))):
                envelope_id, attempt = ready.popleft()
                if not self._inboxes.is_held(agent_id, envelope_id, attempt):
                    continue  # it has gone meanwhile
                if retry.is_hopeless(error):
                    events += self._inboxes.dead_letter(agent_id, envelope_id, reason, attempt)
                else:
                    pause = retry.backoff.pause_seconds(attempt)
                    events += self._inboxes.nack(agent_id, envelope_id, pause, reason, retry.attempts_max)
            return events

        while ready:
            await self._core.execute(decide)

    # -- letting go --

    def _rests(self, agent_id: str) -> None:
        """An actor waits for its next envelope."""
        self._idle.pop(agent_id, None)
        self._idle[agent_id] = self._around.clock.monotonic()
        if self._line:
            self._make_room()
        if not self._is_tended:
            self._is_tended = True
            self._start(self._tend)

    async def _tend(self) -> None:
        """Let actors go that have been idle for long enough; return when none is idle."""
        clock, seconds = self._around.clock, self.rule.idle_seconds
        try:
            while self._idle:
                agent_id, since = next(iter(self._idle.items()))
                if (left := since + seconds - clock.monotonic()) > 0:
                    await clock.sleep(left)
                else:
                    self._let_go(agent_id)
        finally:
            self._is_tended = False

    def _let_go(self, agent_id: str) -> bool:
        """Stop an actor, unless it is at work: then it is idle later."""
        del self._idle[agent_id]
        crew = self._active.get(agent_id)
        if crew is not None and not crew.is_idle:
            return False  # it says when it waits again
        if crew is None or self._inboxes.has_ready(agent_id):
            # What is there for it may be gone before it sees that: then it goes on waiting, and does not say so.
            self._idle[agent_id] = self._around.clock.monotonic()
            return False
        self._around.start_soon(crew.stop, self._around.clock)
        return True

    def _make_room(self) -> None:
        """Let go as many idle ones as wait for a place, those that have been idle for the longest time."""
        for agent_id in [*self._idle]:
            if len(self._leaving) >= len(self._line):
                return
            if self._let_go(agent_id):
                self._leaving.add(agent_id)

    def _next_in_line(self) -> None:
        while self._line and len(self._active) < self.rule.active_max:
            agent_id = next(iter(self._line))
            del self._line[agent_id]
            if self._is_wanted(agent_id):
                self.want(agent_id)


async def _made(factory: Callable[[str], Any], name: str) -> Any:
    """Return the actor that a factory makes for an agent of this name."""
    made = factory(name)
    if isawaitable(made) and not hasattr(made, "on_envelope"):
        made = await made
    if isinstance(made, type) or not (hasattr(made, "on_envelope") or iscoroutinefunction(made)):
        raise ConfigurationError(
            f"{shown(factory)} made {shown(made)} for agent {shown(name)}, which is no actor: return an object with"
            " on_envelope, or an async function of a turn"
        )
    return maker_of(made)()
