"""The rules by which actors are made on demand: which of them an agent meets, and when its actor is wanted."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from .._commands.core import Core, new_id
from .._commands.demand import Coming, Registration
from .._foreign.arguments import ID_LENGTH_MAX
from .._state import State
from .._state.agents import is_id
from ..errors import CommandRejected
from ..events import AgentRegistered, EnvelopeNacked, EnvelopePosted, EnvelopeRedelivered, EnvelopeReturned, Event
from ..events._shown import shown
from .on_demand import OnDemand, Rule, Surroundings

__all__ = ("Demands",)


class Demands:
    """The rules of one hub, in the order in which they were given: the first that a name matches counts."""

    def __init__(self, core: Core, state: State, around: Surroundings) -> None:
        self._core = core
        self._state = state
        self._around = around
        self._rules: dict[tuple[str | None, str], OnDemand] = {}
        """By the tenant whose agents they are for, and their patterns."""
        self._is_watching = False

    def add(self, rule: Rule) -> OnDemand:
        """Go by a rule from now on; make the actors of agents that envelopes wait for."""
        if (rule.tenant, rule.pattern) in self._rules:
            raise CommandRejected(
                f"actors of {shown(rule.pattern)} are made on demand already; stop that, or give another pattern"
            )
        on_demand = self._rules[rule.tenant, rule.pattern] = OnDemand(rule, self._core, self._state, self._around)
        self._watch()
        self._want_all()
        return on_demand

    def remove(self, on_demand: OnDemand) -> None:
        """Go by a rule no more: another one may be met by agents that envelopes wait for."""
        key = on_demand.rule.tenant, on_demand.pattern
        if self._rules.get(key) is on_demand:
            del self._rules[key]
            if self._core.is_open:
                self._want_all()

    def look_at(self, agent_id: str) -> None:
        """Make the actor of an agent, if envelopes wait for it, and it has none: perhaps no more."""
        if self._rules and self._state.inboxes.has_ready(agent_id):
            self._want(agent_id)

    def _watch(self) -> None:
        """Look at what is posted: from the first rule on, so that a hub without rules has no such work."""
        if self._is_watching:
            return
        self._is_watching = True
        core = self._core
        rules = core.demand.rules
        rules.coming, rules.meets, rules.holders = self._coming, self._meets, self._holders
        core.on_applied(EnvelopePosted, self._posted)
        for kind in (EnvelopeNacked, EnvelopeReturned, EnvelopeRedelivered):
            core.on_applied(kind, self._comes_again)

    def _posted(self, event: EnvelopePosted) -> None:
        if not event.delay_seconds and self._rules:
            for agent_id in event.recipients:
                self._want(agent_id)

    def _comes_again(self, event: Event) -> None:
        self.look_at(event.agent_id or "")

    def _want_all(self) -> None:
        for agent_id in self._state.inboxes.not_empty() if self._rules else ():
            self.look_at(agent_id)

    def _want(self, agent_id: str) -> None:
        if self._around.has_actor(agent_id):
            return
        if (on_demand := self._rule_of(agent_id)) is not None:
            on_demand.want(agent_id)

    def _meets(self, agent_id: str) -> bool:
        return self._rule_of(agent_id) is not None

    def _holders(self, agent_id: str) -> Collection[str]:
        on_demand = self._rule_of(agent_id)
        return () if on_demand is None else on_demand.holders(agent_id)

    def _rule_of(self, agent_id: str) -> OnDemand | None:
        """Return the rule for an agent that is registered: one of its tenant."""
        entry = self._state.agents.known(agent_id)
        return None if entry is None else self._met_by(entry.name, entry.tenant)

    def _met_by(self, name: str, tenant: str | None) -> OnDemand | None:
        rules = self._rules.values()
        return next((each for each in rules if each.rule.tenant == tenant and each.rule.matches(name)), None)

    def _coming(self, names: Iterable[str], tenant: str | None) -> Coming | None:
        """Return those that are not there and that meet a rule; None for none."""
        found = [each for name in dict.fromkeys(names) if (each := self._registration(name, tenant)) is not None]
        return Coming(self._state.agents, found) if found else None

    def _registration(self, name: str, tenant: str | None) -> Registration | None:
        agents = self._state.agents
        if is_id(name) or len(name) > ID_LENGTH_MAX:
            return None  # it names none that could be registered: the command that it was given to says what it is
        if agents.find(name, tenant) is not None or (on_demand := self._met_by(name, tenant)) is None:
            return None
        given: dict[str, Any] = {"capabilities": (), **on_demand.rule.settings.registration}
        (event,) = agents.register(name, agent_id=new_id(), tenant=tenant, **given)
        assert isinstance(event, AgentRegistered)
        about = {each: given.get(each) for each in ("rule", "resume", "skill", "passport")}
        return Registration(event=event, about=about)
