"""A hub as one tenant has it: the same commands, for what belongs to that tenant."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import attrs

from ._acting import ActingHub
from ._actors.rules import Restart, RetryPolicy, SpawnSettings
from ._arguments import ACTING_AS
from ._commands import (
    Agent,
    AgentCommands,
    Channel,
    ChannelCommands,
    InboxCommands,
    TaskCommands,
    TimerCommands,
    TopicCommands,
    TurnCommands,
)
from ._commands.agents import actor_of, id_of
from ._delivery.stream import EventStream
from ._face import EMIT, Face
from ._foreign.arguments import Call
from ._parts import Parts
from ._ways import Ways
from .events import EnvelopePosted, Event
from .events._shown import shown
from .position import Position

if TYPE_CHECKING:
    from ._actors.handles import ActorHandle

__all__ = ("TenantHub",)

E = TypeVar("E", bound=Event)

_ASK = Call("hub.ask()")


class TenantHub(Face):
    """A hub as one tenant has it, where several share it: :meth:`hubwire.Hub.for_tenant` returns it.

    The commands are those of :class:`hubwire.Hub`, and take the same arguments. An agent that is registered here is
    this tenant's, and so are the channels that it opens, its tasks, timers and approvals, what it publishes, and every
    event about them: ``event.tenant`` says so, whoever causes the event. Names of agents are unique in their tenant;
    topics are each tenant's own.

    What is another tenant's, or no tenant's, does not exist here: its names and ids are refused by the errors of what
    never was, it is in no list, and a position at its event is an :class:`~hubwire.errors.InvalidCursor`. An actor of
    one of the agents gets this view too, in ``turn.hub``, and so does :meth:`acting_as`.

    It is for the program's own code, which acts as any of the tenant's agents. It keeps honest code apart; it is no
    wall around hostile code in the same process. The numbers of events are the hub's: gaps tell how much others do.
    """

    def __init__(self, parts: Parts, ways: Ways, tenant: str) -> None:
        core = parts.core.as_tenant(tenant)
        super().__init__(parts, core)
        self.tenant: str = tenant
        """The name of the tenant."""
        self.agents: AgentCommands = AgentCommands(core, parts.state)
        """As :attr:`hubwire.Hub.agents`."""
        self.channels: ChannelCommands = ChannelCommands(core, parts.state)
        """As :attr:`hubwire.Hub.channels`."""
        self.inboxes: InboxCommands = parts.groups.inboxes._through(core)  # noqa: SLF001 - it is no command
        """As :attr:`hubwire.Hub.inboxes`; dead letters are those of agents that are registered."""
        self.tasks: TaskCommands = parts.groups.tasks._through(core)  # noqa: SLF001
        """As :attr:`hubwire.Hub.tasks`."""
        self.turns: TurnCommands = parts.groups.turns._through(core)  # noqa: SLF001
        """As :attr:`hubwire.Hub.turns`; an agent has to be registered."""
        self.timers: TimerCommands = TimerCommands(core, parts.state.timers)
        """As :attr:`hubwire.Hub.timers`; a timer is that of an agent."""
        self.topics: TopicCommands = TopicCommands(core, parts.state)
        """As :attr:`hubwire.Hub.topics`."""
        self._ways = ways

    def __repr__(self) -> str:
        return f"<the hub as tenant {shown(self.tenant)} has it>"

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            raise AttributeError(
                f"the hub as one tenant has it has no {name!r}: that is for the program's own code, which holds the hub"
            )

    def acting_as(self, agent: Agent | str) -> ActingHub:
        """Return the hub as one agent of the tenant has it: see :meth:`hubwire.Hub.acting_as`."""
        return ActingHub(self._parts, id_of(self._core, agent, ACTING_AS))

    def events(
        self,
        *,
        after: int | str | Position | None = None,
        pattern: str | Iterable[str] = "*",
        history: bool = True,
        agent: Agent | str | None = None,
        channel: Channel | str | None = None,
    ) -> EventStream:
        """Iterate over the tenant's committed events, as :meth:`hubwire.Hub.events`.

        A position is one after an event of this tenant: :class:`~hubwire.errors.InvalidCursor` refuses others.
        """
        which = {"agent": agent, "channel": channel}
        return self._ways.events(after, pattern, history=history, which=which, core=self._core)

    def _own(self, event: E, call: Call = EMIT) -> E:
        self._parts.pipeline.ingress.check(event)
        tenancy = self._core.acting.tenancy
        assert tenancy is not None
        tenancy.check_headers(event, call)
        own: Any = event
        return attrs.evolve(own, tenant=self.tenant)  # type: ignore[no-any-return]

    async def ask(
        self,
        asker: Agent | str,
        answerer: Agent | str,
        content: Any,
        *,
        timeout: float = 60.0,
        channel: Channel | None = None,
        linked: bool = True,
    ) -> EnvelopePosted:
        """Ask in the name of one of the tenant's agents another one, as :meth:`hubwire.Hub.ask`."""
        asker_id = actor_of(self._core, asker, _ASK, "asker")
        return await self._parts.asks.ask(
            asker_id, answerer, content, timeout=timeout, channel=channel, is_linked=linked, face=self._core
        )

    async def spawn(
        self,
        actor: Any,
        *,
        name: str | None = None,
        workers: int = 1,
        concurrency: int | None = None,
        visibility_seconds: float | None = None,
        restart: Restart = Restart.PERMANENT,
        retry: RetryPolicy | None = None,
        **registration: Any,
    ) -> ActorHandle:
        """Let an actor handle the envelopes of one of the tenant's agents, as :meth:`hubwire.Hub.spawn`."""
        self._parts.lifecycle.check_open()
        settings = SpawnSettings(
            name=name,
            workers=workers,
            concurrency=concurrency,
            visibility_seconds=visibility_seconds,
            restart=restart,
            retry=retry,
            registration=registration,
        )
        handle = await self._parts.actors.made().spawn(actor, settings, agents=self.agents)
        handle.agent = self.agents.get(handle.agent.id)
        return handle
