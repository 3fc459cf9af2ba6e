"""Who is there: each node says its name, and which hubs it has and leads, and hears the others say so."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import anyio
import attrs

from .._foreign.arguments import has_method
from .._foreign.guards import guarded
from .._foreign.tasks import called
from .._values import Value
from ..own_log import OwnLog
from ..ports import Clock, ClusterSigns
from .placement import order, placed

__all__ = ("ClusterNode", "Roster")

_log = OwnLog("cluster")

SILENT_SECONDS = 5.0
"""After so long a silence a node is taken for gone."""
SAY_SECONDS = 0.5
_NODES_MAX = 10_000
_HUBS_MAX = 100_000
_NAME_MAX = 200
_END = object()


@attrs.frozen(kw_only=True, eq=False, repr=False)
class ClusterNode(Value):
    """A node of a cluster, as another one has heard of it."""

    name: str
    hubs: tuple[str, ...]
    """The hubs that it has: it leads them, or can."""
    leads: tuple[str, ...]
    """Those of them that it leads."""
    silent_seconds: float
    """How long ago it said so."""


@attrs.define(eq=False, repr=False)
class _Heard:
    hubs: dict[str, bool]
    """By name, whether the node leads it."""
    at: float


class Roster:
    """What one node knows of all nodes."""

    def __init__(self, node: str, signs: ClusterSigns, clock: Clock, own: Callable[[], Mapping[str, bool]]) -> None:
        """``own``: returns the hubs of this node, and whether it leads them."""
        self._node = node
        self._signs = signs
        self._clock = clock
        self._own = own
        self._heard: dict[str, _Heard] = {}
        self._said = anyio.Event()
        self._found: tuple[object, dict[str, str]] = (None, {})

    # -- saying and hearing --

    async def run(self) -> None:
        """Say and hear until it is cancelled. What the signs raise is tried again."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._hear)
            tasks.start_soon(self._say)

    def say_soon(self) -> None:
        """Say at once what has changed."""
        self._said.set()

    async def _say(self) -> None:
        is_told = False
        while True:
            self._said = anyio.Event()
            try:
                await called(self._signs.say, self._body(), seconds=SILENT_SECONDS / 2, name="signs of nodes")
                is_told = False
            except Exception as error:  # noqa: BLE001 - of the transport, which is a guest
                if not is_told:
                    _log.problem("a node cannot say that it is there; it tries again", error, node=self._node)
                is_told = True
                await self._clock.sleep(SAY_SECONDS)
            with anyio.move_on_after(SAY_SECONDS):
                await self._said.wait()

    def _body(self) -> bytes:
        return json.dumps({"node": self._node, "hubs": dict(self._own())}).encode()

    async def _hear(self) -> None:
        while True:
            error: Exception | None = None
            try:
                await self._hear_from(self._signs.heard())
            except Exception as raised:  # noqa: BLE001 - of the transport, which is a guest
                error = raised
            _log.problem("the signs of nodes cannot be heard; listening again", error)
            await self._clock.sleep(SAY_SECONDS)

    async def _hear_from(self, bodies: AsyncIterator[bytes]) -> None:
        try:
            while (body := await guarded(_next_of, bodies)) is not _END:
                self._take(body)
        finally:
            if has_method(bodies, "aclose"):
                with anyio.CancelScope(shield=True), anyio.move_on_after(SAY_SECONDS):
                    await guarded(bodies.aclose)  # type: ignore[attr-defined]

    def _take(self, body: object) -> None:
        found = _read(body)
        if found is None or found[0] == self._node:
            return
        node, hubs = found
        if node not in self._heard:
            if len(self._heard) >= _NODES_MAX:
                self._forget_silent()
            if len(self._heard) >= _NODES_MAX:
                return
            self.say_soon()  # it has just come, and learns of this one
        self._heard[node] = _Heard(hubs, self._clock.monotonic())

    def _forget_silent(self) -> None:
        now = self._clock.monotonic()
        for node in [name for name, heard in self._heard.items() if now - heard.at > SILENT_SECONDS]:
            del self._heard[node]

    # -- what is known --

    def nodes(self) -> tuple[ClusterNode, ...]:
        """Return the nodes that live, this one too, by name."""
        self._forget_silent()
        now = self._clock.monotonic()
        found = {self._node: _Heard(dict(self._own()), now), **self._heard}
        return tuple(
            ClusterNode(
                name=name,
                hubs=tuple(sorted(found[name].hubs)),
                leads=tuple(sorted(hub for hub, leads in found[name].hubs.items() if leads)),
                silent_seconds=now - found[name].at,
            )
            for name in sorted(found)
        )

    def rank(self, hub: str, gone: str | None = None) -> int:
        """Return how many nodes are to try for the lead of a hub before this one; ``gone``: who led it, and is dead."""
        nodes = [each for each in self.nodes() if each.name != gone]
        able = [each.name for each in nodes if hub in each.hubs]
        if self._node not in able or (len(able) > 1 and self._has_its_part(nodes)):
            return len(able)  # what it has heard may be old, but not what it has itself
        first = self._placed(nodes).get(hub)
        if first == self._node:
            return 0
        others = [each for each in order(hub, able) if each != first]
        return others.index(self._node) + 1

    def _has_its_part(self, nodes: list[ClusterNode]) -> bool:
        hubs = {hub for each in nodes for hub in each.hubs}
        leads = next(len(each.leads) for each in nodes if each.name == self._node)
        return leads >= -(-len(hubs) // len(nodes))

    def _placed(self, nodes: list[ClusterNode]) -> dict[str, str]:
        known = tuple((each.name, each.hubs, each.leads) for each in nodes)
        if self._found[0] != known:
            hubs: dict[str, list[str]] = {}
            for each in nodes:
                for hub in each.hubs:
                    hubs.setdefault(hub, []).append(each.name)
            self._found = (known, placed(hubs, {each.name: each.leads for each in nodes}))
        return self._found[1]


async def _next_of(bodies: AsyncIterator[bytes]) -> object:
    return await anext(bodies, _END)


def _read(body: object) -> tuple[str, dict[str, bool]] | None:
    """Return who says what; None for what no node has said."""
    try:
        fields: Any = json.loads(body)  # type: ignore[arg-type]
        node, hubs = fields["node"], fields["hubs"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if type(node) is not str or not 0 < len(node) <= _NAME_MAX or not node.isprintable():
        return None
    if type(hubs) is not dict or len(hubs) > _HUBS_MAX or not all(type(leads) is bool for leads in hubs.values()):
        return None
    return node, hubs
