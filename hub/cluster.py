"""A cluster: many hubs on many machines, each of which one node leads at a time, and every node reads and commands.

.. code-block:: python

    async with Cluster("nats://n1,nats://n2,nats://n3", store="s3://bucket/hubs") as cluster:
        hub = await cluster.hub("acme")  # the same on every node
        await hub.agents.register("planner")  # carried out by the node that leads it

Each program that enters a cluster is a **node**. A hub that is asked for on several nodes is led by one of them: the
others follow it, and send it their commands. When its node ends or dies, another one leads, in seconds. That two nodes
never both write is the promise of the journal; the cluster only decides who tries.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from functools import partial
from importlib import import_module
from types import TracebackType
from typing import Any, Protocol, Self

import anyio
from anyio.abc import TaskGroup

from ._actors.nodes import new_node
from ._cluster.candidate import Candidate
from ._cluster.duties import check_duties
from ._cluster.placement import too_many
from ._cluster.roster import SAY_SECONDS, ClusterNode, Roster
from ._foreign.arguments import Call, has_method
from ._foreign.guards import class_name
from ._foreign.tasks import called
from ._hub import Hub
from .clock import SystemClock
from .errors import ConfigurationError, HubClosed
from .own_log import OwnLog
from .ports import ClusterSigns, CommandLink, KnowledgeStore, SharedJournal
from .standby import Holding, Lease

__all__ = ("Cluster", "ClusterNode", "ClusterServers")

_log = OwnLog("cluster")

_CLUSTER = Call("Cluster()", ConfigurationError)
_HUB = Call("cluster.hub()", ConfigurationError)
_RANK_SECONDS = 0.2
"""So long a node waits for each of those that are to try before it."""
_LOOK = 0.3
"""In which part of the time after which a lease runs out each node has looked at it, for certain."""
_BALANCE_SECONDS = 60.0
_NAME_MAX = 128
_NODE_MAX = 200


class ClusterServers(Protocol):
    """What the nodes of a cluster share; :class:`hubwire.testing.MemoryServers` is one in a process, for tests."""

    def journal(self, name: str) -> SharedJournal:
        """Return a new object for the journal of the hub of this name."""

    def lease(self, name: str) -> Lease:
        """Return a new object for its lease."""

    def link(self, name: str) -> CommandLink:
        """Return what carries its commands."""

    def signs(self) -> ClusterSigns:
        """Return how the nodes hear of each other."""


class Cluster:
    """A node of a cluster, while its block is entered: ``async with Cluster(...) as cluster:``.

    ``servers``: the addresses of NATS servers with JetStream, separated by commas, or a :class:`ClusterServers` of your
    own. ``store`` keeps the snapshots of all hubs: a store, or a text for :func:`hubwire.stores.open_store`, which
    every node reaches. ``node`` is the name of this node, another one in each program and at each start; by default it
    is made of host, process and random letters. ``seconds``: after so long a silence, and 0.8 s more, the lead of a
    node that has died goes to another one. ``balance``: each minute, a node that leads many more hubs than its part
    hands one over, see :meth:`hand_over`; then ask for your hubs again when they are closed.

    ``single_server``, ``options``, ``monitoring`` and ``assert_sync_always`` are those of
    :class:`hubwire.stores.jetstream.JetStreamJournal`.

    Raises :class:`~hubwire.errors.ConfigurationError` for arguments that cannot be.
    """

    def __init__(
        self,
        servers: str | ClusterServers,
        *,
        store: KnowledgeStore | str | None = None,
        node: str | None = None,
        seconds: float = 2.0,
        balance: bool = False,
        single_server: bool = False,
        monitoring: str | None = None,
        assert_sync_always: bool = False,
        options: dict[str, Any] | None = None,
    ) -> None:
        settings = {"single_server": single_server, "monitoring": monitoring, "assert_sync_always": assert_sync_always}
        if type(seconds) not in (int, float) or not 0 < seconds < math.inf:
            raise _CLUSTER.refusal("seconds", seconds, "a number of seconds above 0")
        if node is not None and (type(node) is not str or not 0 < len(node) <= _NODE_MAX or not node.isprintable()):
            raise _CLUSTER.refusal("node", node, f"printable text of 1 to {_NODE_MAX} characters, or None")
        self._balances = _CLUSTER.flag("balance", balance)
        self._servers = _servers_of(servers, store, {**settings, "options": options})
        self.node: str = node or new_node()
        """The name of this node."""
        self._seconds = float(seconds)
        self._candidates: dict[str, Candidate] = {}
        self._clock = SystemClock()
        self._tasks: TaskGroup | None = None
        self._is_over = False
        self._signs: ClusterSigns | None = None
        self._roster: Roster | None = None
        self._saying = anyio.CancelScope()
        self._beginning: dict[str, tuple[anyio.Event, anyio.CancelScope]] = {}
        """By name, the hubs that begin to follow: what is set when they do, and what ends that."""

    def __repr__(self) -> str:
        return f"<Cluster node {self.node!r}, {len(self._candidates)} hubs>"

    async def __aenter__(self) -> Self:
        if self._tasks is not None or self._is_over:
            raise ConfigurationError("this cluster was entered already; make a new one")
        self._signs = self._servers.signs()
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        self._roster = Roster(self.node, self._signs, self._clock, self._own)
        self._tasks.start_soon(self._say, self._roster)
        return self

    async def _say(self, roster: Roster) -> None:
        with self._saying:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(roster.run)
                if self._balances:
                    tasks.start_soon(self._balance)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._tasks is not None
        with anyio.CancelScope(shield=True):
            await self._end(Candidate.let_go)
        self._tasks.cancel_scope.cancel()
        await self._tasks.__aexit__(None, None, None)  # what the block raises is its own, and in no group

    async def _end(self, how: Callable[[Candidate], Coroutine[Any, Any, None]]) -> None:
        """End all hubs, side by side, and say no more."""
        self._is_over = True
        while self._beginning:
            done, beginning = next(iter(self._beginning.values()))
            beginning.cancel()
            await done.wait()
        async with anyio.create_task_group() as tasks:
            for each in tuple(self._candidates.values()):
                tasks.start_soon(how, each)
        self._saying.cancel()
        if self._signs is not None:
            signs, self._signs = self._signs, None
            try:
                await called(signs.aclose, seconds=1.0, name="signs of nodes")
            except Exception as error:  # noqa: BLE001 - of the transport, which is not needed any more
                _log.detail("the signs of nodes were not closed", reason=class_name(error))

    async def abort(self) -> None:
        """Give up all hubs of this node at once, as its death would: their leases run out. For tests, above all."""
        with anyio.CancelScope(shield=True):
            await self._end(Candidate.abort)

    # -- hubs --

    async def hub(
        self,
        name: str,
        *,
        listeners: Iterable[Any] = (),
        on_lead: Callable[[Hub], Awaitable[object]] | None = None,
        **settings: Any,
    ) -> Hub:
        """Return the hub of this name as this node has it: it follows, and leads when that is for this node to do.

        It is a :class:`~hubwire.Hub`, with the same commands whichever node leads; the ``listeners`` and ``settings``
        are those of one, the same on every node. REQUIRED and DURABLE listeners are called by the node that leads,
        BEST_EFFORT ones here. Asked for again, it is the same object, and settings are refused. A hub that has ended
        (it failed, or was handed over) is made anew. The cluster closes it at its end.

        ``on_lead`` is called with the hub when it has begun to lead here, and is cancelled when it ends: it spawns the
        actors, which run on the node that leads.

        Raises :class:`~hubwire.errors.ConfigurationError` for what cannot be, as a REQUIRED listener whose files are on
        the disk of one machine, :class:`~hubwire.errors.HubClosed` outside of the cluster's block, and what
        :meth:`hubwire.Hub.follow` raises.
        """
        name = _hub_name(name)
        self._check_entered()
        while (beginning := self._beginning.get(name)) is not None:
            await beginning[0].wait()
            self._check_entered()
        listeners = _HUB.items("listeners", listeners, of="listeners") if listeners != () else ()
        present = self._candidates.get(name)
        if present is not None and present.is_there:
            if listeners or settings or on_lead is not None:
                raise ConfigurationError(
                    f"cluster.hub(): this node has hub {name!r} already; ask for it without settings, or"
                    " await cluster.hand_over() before"
                )
            return present.hub
        done, scope = self._beginning[name] = anyio.Event(), anyio.CancelScope()
        try:
            with scope:
                if present is not None:
                    await present.let_go()
                return await self._begin(name, listeners, on_lead, settings)
        finally:
            del self._beginning[name]
            done.set()
        raise HubClosed("the cluster has ended while its hub began to follow")

    async def _begin(
        self,
        name: str,
        listeners: Iterable[Any],
        on_lead: Callable[[Hub], Awaitable[object]] | None,
        settings: Mapping[str, Any],
    ) -> Hub:
        if on_lead is not None and not callable(on_lead):
            raise _HUB.refusal("on_lead", on_lead, "an async function of the hub")
        if taken := {"journal", "store"} & settings.keys():
            raise ConfigurationError(f"cluster.hub(): {min(taken)} is the cluster's own; leave it out")
        check_duties(listeners)
        try:
            hub = Hub(journal=self._servers.journal(name), listeners=listeners, **settings)
        except TypeError as error:
            raise ConfigurationError(f"cluster.hub(): settings are those of Hub(): {error}") from error
        hub.connect(self._servers.link(name))
        assert self._tasks is not None
        assert self._roster is not None
        try:
            await hub.follow()
        except BaseException:
            await hub.abort()
            raise
        since = anyio.current_time()
        holding = Holding(self._servers.lease(name), self.node, self._seconds, 0.8, partial(self._defer, name, since))
        candidate = self._candidates[name] = Candidate(name, hub, holding, on_lead)
        self._tasks.start_soon(candidate.run, self._roster.say_soon)
        self._roster.say_soon()
        return hub

    def _defer(self, name: str, since: float, last: str | None) -> float:
        """Return for how long a lease that is free is left to other nodes."""
        assert self._roster is not None
        if anyio.current_time() - since < SAY_SECONDS:
            return math.inf  # nodes that ask for it at the same time are heard first
        rank = self._roster.rank(name, last if last != self.node else None)
        return self._seconds * _LOOK + rank * _RANK_SECONDS if rank else 0.0

    async def hand_over(self, name: str) -> None:
        """Close the hub of this name on this node, and release its lead: another node that has it leads at once.

        Its handles raise :class:`~hubwire.errors.HubClosed` from then on; :meth:`hub` takes it again. Has no effect for
        a hub that this node has not. Raises :class:`~hubwire.errors.ConfigurationError` for what is no name.
        """
        candidate = self._candidates.get(_hub_name(name))
        if candidate is not None:
            await candidate.let_go()

    @property
    def hubs(self) -> Mapping[str, Hub]:
        """The hubs that this node has now, by name."""
        return {name: each.hub for name, each in self._candidates.items() if each.is_there}

    def nodes(self) -> tuple[ClusterNode, ...]:
        """Return the nodes that were heard in the last five seconds, this one too, and what they have and lead.

        Raises :class:`~hubwire.errors.HubClosed` outside of the cluster's block.
        """
        self._check_entered()
        assert self._roster is not None
        return self._roster.nodes()

    def _own(self) -> Mapping[str, bool]:
        return {name: each.leads for name, each in self._candidates.items() if each.is_there}

    def _check_entered(self) -> None:
        if self._tasks is None or self._is_over:
            raise HubClosed("the cluster is not entered, or has ended; use it inside 'async with Cluster(...):'")

    # -- balance --

    async def _balance(self) -> None:
        while True:
            await self._clock.sleep(_BALANCE_SECONDS)
            if (name := self._surplus()) is not None:
                _log.detail("this node leads many hubs, and hands one over", hub=name)
                await self.hand_over(name)

    def _surplus(self) -> str | None:
        """Return a hub to hand over; None if this node has its part."""
        assert self._roster is not None
        nodes = self._roster.nodes()
        leading = [name for name, leads in self._own().items() if leads]
        others = {hub for each in nodes if each.name != self.node for hub in each.hubs}
        able = [name for name in leading if name in others]
        hubs = {hub for each in nodes for hub in each.hubs}
        return min(able) if able and too_many(len(leading), len(hubs), len(nodes)) else None


def _hub_name(name: object) -> str:
    text = _HUB.text("name", name, wanted="the name of a hub", is_empty_ok=False)
    if len(text) > _NAME_MAX or not all(each.isascii() and (each.isalnum() or each in "_-") for each in text):
        raise _HUB.refusal("name", name, f"letters, digits, _ and -, at most {_NAME_MAX}")
    return text


def _servers_of(servers: object, store: object, settings: dict[str, Any]) -> ClusterServers:
    if all(has_method(servers, each) for each in ("journal", "lease", "link", "signs")):
        return servers  # type: ignore[return-value]
    if type(servers) is not str:
        raise _CLUSTER.refusal("servers", servers, "addresses, as 'nats://n1,nats://n2,nats://n3'")
    # The stores stand beside the hub, and are imported by who needs them: this does, for who names an address.
    if type(store) is str:
        store = import_module(f"{__package__}.stores").open_store(store)
    if store is None:
        raise ConfigurationError(
            "Cluster(): store is where the snapshots of all hubs are, such as 's3://bucket/hubs'; every node reaches it"
        )
    made: ClusterServers = import_module(f"{__package__}.stores.jetstream").JetStreamServers(
        servers, store=store, **settings
    )
    return made
