"""Agents on demand: registered by the command that names them first, because a rule says what makes their actors."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import attrs

from .._state.agents import Agents
from .._values import Value
from ..events import AgentRegistered, EnvelopeRejected, Event

__all__ = ("Coming", "Demand", "DemandRules", "Registration")

T = TypeVar("T")


class _Overtaken(Exception):
    """A signal inside this module: an agent that a command was to register was registered meanwhile, by another id."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Registration(Value):
    """How an agent is registered that is not there yet."""

    event: AgentRegistered
    about: Mapping[str, Any]
    """What the arbiter is told."""


class Coming:
    """The agents that a command names and that are not there yet: it registers them first, if it is carried out."""

    def __init__(self, agents: Agents, registrations: Sequence[Registration]) -> None:
        self.events: Sequence[AgentRegistered] = [each.event for each in registrations]
        self.ids: Mapping[str, str] = {each.name: each.agent_id or "" for each in self.events}
        """By name, the ids that they will have."""
        self._agents = agents
        self._registrations = registrations
        self._is_allowed = False

    async def allow(self, core: Any) -> None:
        """Have the arbiter decide about their registrations, once: for who acts through ``core``."""
        if self._is_allowed:
            return
        for each in self._registrations:
            await core.authorizer.authorize(
                "register", None, core.acting.others, agent_name=each.event.name, content=each.about
            )
        self._is_allowed = True

    def known(self) -> AbstractContextManager[None]:
        """Return a block, without ``await``, in which they are known as if they were there."""
        return self._agents.expecting(self.events)

    def with_them(self, decide: Callable[[], Sequence[Event]]) -> Sequence[Event]:
        """Return what a command decides on with these agents, after their registrations; none if that is none.

        The report of a refusal registers none.
        """
        missing = [each for each in self.events if self._is_missing(each)]
        with self._agents.expecting(missing):
            events = decide()
        is_carried_out = any(type(each) is not EnvelopeRejected for each in events)
        return [*missing, *events] if is_carried_out else events

    def _is_missing(self, registration: AgentRegistered) -> bool:
        known = self._agents.find(registration.name, registration.tenant if registration.of_tenant else None)
        if known is not None and known.agent_id != registration.agent_id:
            raise _Overtaken
        return known is None


class DemandRules:
    """What the rules of :meth:`hubwire.Hub.spawn_on_demand` say, for one hub; before the first rule, nothing."""

    def __init__(self) -> None:
        self.coming: Callable[[Iterable[str], str | None], Coming | None] | None = None
        """Returns those of some names of a tenant, or of none, that rules are met by, and no agent has; None for none.
        None without rules."""
        self.meets: Callable[[str], bool] = lambda _: False
        """Tells whether the actor of an agent is made on demand, given its id."""
        self.holders: Callable[[str], Collection[str]] = lambda _: ()
        """Returns, by its id, the agents whose actors hold all the places in which that of an agent could be made.

        None if there is a place, or if it is not made on demand.
        """


class Demand:
    """Finds agents that are named and are not there, where a rule of :meth:`hubwire.Hub.spawn_on_demand` is met."""

    def __init__(self, rules: DemandRules | None = None, tenant: str | None = None) -> None:
        self.rules: DemandRules = DemandRules() if rules is None else rules
        self._tenant = tenant

    def of(self, tenant: str | None) -> Demand:
        """Return the same for the agents of a tenant."""
        return Demand(self.rules, tenant)

    @property
    def has_rules(self) -> bool:
        """Whether there was a rule, of any tenant."""
        return self.rules.coming is not None

    def meets(self, agent_id: str) -> bool:
        """Tell whether the actor of an agent is made on demand, given its id."""
        return self.rules.meets(agent_id)

    def holders(self, agent_id: str) -> Collection[str]:
        """Return the agents whose actors hold all the places in which that of an agent could be made."""
        return self.rules.holders(agent_id)

    async def run(self, core: Any, agents: Iterable[object], command: Callable[[Any], Awaitable[T]]) -> T:
        """Carry out a command that names these agents; return what it returns.

        It is called with a ``core`` to which they are known before they are there, by the ids that they will have, and
        through which they are registered by the first command that is carried out, in that very command. So one that is
        refused registers none.
        """
        while self.rules.coming is not None:
            coming = self.rules.coming([each for each in agents if type(each) is str], self._tenant)
            if coming is None:
                break
            try:
                return await command(core.expecting(coming))
            except _Overtaken:
                continue
        return await command(core)
