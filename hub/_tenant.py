"""A hub as one tenant has it: the same commands, for what belongs to that tenant."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

import attrs

from ._acting import ActingHub
from ._actors.rules import SPAWN_ON_DEMAND, Restart, RetryPolicy, SpawnSettings
from ._arguments import ACTING_AS, LISTENER_TIMEOUT_SECONDS, MAILBOX, name_to_forget
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
from ._commands.agents import id_of
from ._delivery.attachment import Attachment
from ._delivery.duty import Duty, Overflow
from ._delivery.settings import Since
from ._delivery.stream import EventStream
from ._face import EMIT, Face
from ._foreign.arguments import Call
from ._health import TenantStatistics, statistics_of_tenant
from ._listening import Listening
from ._parts import Parts
from ._ways import Ways
from .events import Event
from .events._shown import shown
from .late_types import late_type
from .position import Position

if TYPE_CHECKING:
    from ._actors.on_demand import OnDemand
    from ._commands.dead_letters import DeadLetterCommands
else:
    OnDemand = late_type("hubwire._actors.on_demand", "OnDemand")
    DeadLetterCommands = late_type("hubwire._commands.dead_letters", "DeadLetterCommands")

__all__ = ("TenantHub",)

E = TypeVar("E", bound=Event)
F = TypeVar("F", bound=Callable[..., Any])


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

    def __init__(self, parts: Parts, ways: Ways, listening: Listening, tenant: str) -> None:
        core = parts.core.as_tenant(tenant)
        if (on_tenant := parts.state.agents.on_tenant) is not None:
            on_tenant()  # its events are counted from now on
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
        self._listening = listening.through(core, self, tenant)

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

    # -- listeners --

    def attach(
        self,
        listener: Any,
        *,
        pattern: str | Iterable[str] | None = None,
        duty: Duty | None = None,
        since: Since | None = None,
        timeout: float = LISTENER_TIMEOUT_SECONDS,
        mailbox: int = MAILBOX,
        attempts_max: int | None = None,
        when_exhausted: Literal["suspend", "dead_letter"] = "suspend",
        batch_max: int | None = None,
        batch_seconds: float = 0.0,
        in_loop: bool = False,
        once: bool = False,
        concurrency: int = 1,
        key: str | Callable[[Event], str | int | None] | None = None,
        agent: Agent | str | None = None,
        channel: Channel | str | None = None,
        metadata: Mapping[Any, Any] | None = None,
        name: str | None = None,
    ) -> Attachment:
        """Attach a listener to the tenant's events, as :meth:`hubwire.Hub.attach`.

        It is DURABLE or BEST_EFFORT: for a REQUIRED one, or one with ``Overflow.BLOCK``, the commands of all tenants
        would wait; the program attaches those, ``hub.attach(listener, tenant=...)``. Its name begins with the tenant's
        and ``/``, ``"acme/greet"``, so that it is unique in its tenant, and so do its position and its dead letters.
        If it has ``bind``, that gets this view of the hub.

        Raises :class:`~hubwire.errors.ConfigurationError` as :meth:`hubwire.Hub.attach` does, and for these duties, and
        :class:`~hubwire.errors.NotFound` for an agent or a channel that is not the tenant's.
        """
        calls: dict[str, Any] = {"in_loop": in_loop, "once": once, "concurrency": concurrency, "key": key}
        batches: dict[str, Any] = {"mailbox": mailbox, "batch_max": batch_max, "batch_seconds": batch_seconds}
        bounds: dict[str, Any] = {"timeout": timeout, "attempts_max": attempts_max, "overflow": Overflow.DROP_OLDEST}
        which: dict[str, Any] = {"pattern": pattern, "duty": duty, "since": since, "name": name}
        given_up: dict[str, Any] = {"when_exhausted": when_exhausted, "metadata": metadata}
        about: dict[str, Any] = {"agent": agent, "channel": channel}
        return self._listening.attach(listener, about, **which, **calls, **batches, **bounds, **given_up)

    @overload
    def on(self, function: F, /) -> F: ...

    @overload
    def on(self, *patterns: str | Iterable[str], **settings: Any) -> Callable[[F], F]: ...

    def on(self, *patterns: Any, **settings: Any) -> Any:
        """Attach the decorated function to the tenant's events, as :meth:`hubwire.Hub.on`.

        ``settings`` are those of :meth:`attach`, and ``priority``: the tenant's functions that have one are one
        listener, and no other tenant's are among them.
        """
        return self._listening.on(patterns, settings)

    @property
    def attachments(self) -> tuple[Attachment, ...]:
        """The listeners that were attached through this view of the hub, in the order in which they were."""
        return self._listening.attachments

    async def detach(
        self,
        which: Attachment | str | Callable[..., Any] | object = None,
        /,
        *,
        pattern: str | Iterable[str] | None = None,
    ) -> int:
        """Detach listeners that the tenant has attached, as :meth:`hubwire.Hub.detach`; no others are found.

        A name may be given with the tenant's before it, and without.
        """
        return await self._listening.detach(which, pattern)

    async def forget(self, name: str) -> None:
        """Keep the position of one of the tenant's DURABLE listeners no longer, as :meth:`hubwire.Hub.forget`."""
        await self._ways.forget(self._listening.name_of(name_to_forget(name)))

    @property
    def dead_letters(self) -> DeadLetterCommands:
        """As :attr:`hubwire.Hub.dead_letters`: of the tenant's own listeners, and of its agents' inboxes."""
        return self._parts.dead_letters.made()._through(self._core)  # noqa: SLF001 - it is no command

    def statistics(self) -> TenantStatistics:
        """Return the numbers of the tenant: what it did since the start, and what it has now."""
        return statistics_of_tenant(self._parts, self.tenant)

    # -- actors --

    def spawn_on_demand(
        self,
        pattern: str,
        factory: Callable[[str], Any],
        *,
        idle_seconds: float = 600.0,
        active_max: int = 1000,
        concurrency: int | None = None,
        visibility_seconds: float | None = None,
        retry: RetryPolicy | None = None,
        **registration: Any,
    ) -> OnDemand:
        """Let actors of the tenant's agents be made when envelopes come, as :meth:`hubwire.Hub.spawn_on_demand`.

        The rule is for agents of this tenant, whose names it alone is asked about. Another tenant may have one of the
        same pattern.
        """
        self._parts.lifecycle.check_open()
        settings = SpawnSettings(
            concurrency=concurrency,
            visibility_seconds=visibility_seconds,
            restart=Restart.TRANSIENT,
            retry=retry,
            registration=registration,
            call=SPAWN_ON_DEMAND,
        )
        actors = self._parts.actors.made()
        return actors.spawn_on_demand(pattern, factory, idle_seconds, active_max, settings, self.tenant)

    def _may_spawn(self, actor: Any, settings: SpawnSettings) -> SpawnSettings:
        self._parts.lifecycle.check_open()
        return super()._may_spawn(actor, settings)

    # -- the way out --

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
