"""``hub.channels``: opens channels, and finds them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, Unpack

import attrs

from .._foreign.arguments import Call, is_a, shown
from .._state import State
from .._state.channel_types import ChannelType
from .._state.channels import ChannelEntry
from .._state.evaluators import Evaluator, Expectation, ViolationHandler
from .._state.membership import HISTORIES
from .._state.origin import Origin
from ..errors import ConfigurationError, NotFound
from ..events import ExpectationViolated
from .agents import Agent, id_of, ids_of, items_of, roles_of
from .channel import Channel, channel_id_of
from .core import Core, new_id
from .group import Group
from .origins import origin_of
from .rules import seconds_or_rule
from .violations import HANDLER_ATTEMPTS, HANDLER_SECONDS

__all__ = ("Channel", "ChannelCommands", "channel_id_of")

_OPEN = Call("hub.channels.open()")
_REGISTER_HANDLER = Call("hub.channels.register_violation_handler()", ConfigurationError)
_GET = Call("hub.channels.get()")
_RECALL = Call("hub.channels.recall()")
_LIST = Call("hub.channels.list()")


class ChannelCommands(Group):
    """``hub.channels``: opens the channels in which agents talk, and finds them."""

    def __init__(self, core: Core, state: State) -> None:
        self._core = core
        self._state = state
        self._channels = state.channels
        self._types = state.channel_types
        self._evaluators = state.evaluators

    def register_type(self, channel_type: ChannelType) -> None:
        """Add a type of channel of your own, for :meth:`open`; see :class:`hubwire.channel_types.ChannelType`.

        Channels go on with the version of their type that they were opened with: register that one, too. Raises
        :class:`~hubwire.errors.ConfigurationError` if the hub was started, or the type lacks a part.
        """
        if self._core.was_started:
            raise ConfigurationError(
                "the hub was started already: register channel types before, so that it recovers by them"
            )
        self._types.add(channel_type)

    def register_evaluator(self, evaluator: Evaluator) -> None:
        """Add an evaluator of expectations of your own; see :class:`hubwire.expectations.Evaluator`.

        Channels go on with the version of it that they were opened with: register that one, too. Raises
        :class:`~hubwire.errors.ConfigurationError` if the hub was started, or the evaluator lacks a part.
        """
        if self._core.was_started:
            raise ConfigurationError("the hub was started already: register evaluators before")
        self._evaluators.add(evaluator)

    def register_violation_handler(
        self,
        name: str,
        handler: Callable[[Any, ExpectationViolated], object],
        *,
        timeout: float = HANDLER_SECONDS,
        attempts_max: int = HANDLER_ATTEMPTS,
    ) -> None:
        """Add a handler of violations of your own, for ``Expectation(on_violation=name)``.

        ``handler(hub, violated)``, sync or async, is called when ``expectation.violated`` has committed, with the hub
        and that event, also when the channel has ended meanwhile; what it does, it does by commands on the hub. A sync
        one may block: it has a thread of its own. ``expectation.handled`` follows when it returns. Eight violations
        are followed up by one handler at a time, in no order.

        It is called at least once, after a crash too, so it should be able to meet a repeat. One that raises, or takes
        longer than ``timeout`` seconds of the loop's time, has failed: ``expectation.handler_failed`` says so, and it
        is called again after a pause that grows, from a second to five minutes, by the hub's clock; ``attempts_max``
        times in all. A call that ends the process counts, too. Then the violation is given up, and
        :meth:`hubwire.Hub.health` says so.

        Register it at each start: what waits for a handler that is not registered is given up after five starts.
        Raises :class:`~hubwire.errors.ConfigurationError` if the hub was started, an argument is not of its form, or
        the name is taken.
        """
        if self._core.was_started:
            raise ConfigurationError("the hub was started already: register violation handlers before")
        if not callable(handler) or is_a(handler, type):
            raise _REGISTER_HANDLER.refusal("handler", handler, "a function of the hub and a violation")
        self._evaluators.add_handler(
            ViolationHandler(
                name=_REGISTER_HANDLER.text("name", name, is_empty_ok=False),
                function=handler,
                timeout=_REGISTER_HANDLER.seconds("timeout", timeout),
                attempts_max=_REGISTER_HANDLER.whole("attempts_max", attempts_max, least=1),
            )
        )

    async def open(
        self,
        participants: Sequence[Agent | str],
        *,
        topic: str = "",
        type: str = "conversation",  # noqa: A002 - that is what a channel has
        version: int | None = None,
        roles: Mapping[str, str] | None = None,
        knobs: Mapping[str, Any] | None = None,
        expectations: Iterable[Expectation | Mapping[str, Any]] | None = None,
        labels: Mapping[str, str] | None = None,
        parent: Channel | str | None = None,
        ttl_seconds: float | Literal["rule"] | None = "rule",
        invite: bool = False,
        required_acks: int | None = None,
        invite_timeout_seconds: float = 30.0,
        history: str = "whole",
        **origin: Unpack[Origin],
    ) -> Channel:
        """Open a channel between registered agents, the first of which is its creator; return it.

        ``type``: who may post what, and when the channel has done its work: ``conversation`` (each at any time),
        ``discussion``, ``consulting``, ``broadcast``, ``notification``, ``auction``, ``workflow``, or one of your own,
        in its newest ``version`` by default; ``knobs`` are its settings: see :mod:`hubwire.channel_types`. ``roles``
        map ids to roles. ``parent``: the channel that takes this one with it when it ends. ``ttl_seconds``: how long
        the channel lives at most; None: without an end. ``expectations``: what has to happen in time, and what follows
        if it does not: see :class:`hubwire.expectations.Expectation`, or the same as an object. Where these two are not
        given, they are what the creator's rule says, if an arbiter applies it. ``labels`` are kept with it.
        ``history``: what a participant that comes later may read of it, ``whole`` or ``since_joined``.

        With ``invite`` the others are invited, and the channel is open when ``required_acks`` of them, by default all,
        have accepted: ``await channel.ready()``. It is closed when so many cannot accept any more, or
        have not within ``invite_timeout_seconds``.

        Raises :class:`~hubwire.errors.CommandRejected` if an agent is named twice, none is named, or the type refuses,
        :class:`~hubwire.errors.NotFound` if an agent is not registered, and :class:`~hubwire.errors.AccessDenied` if
        the arbiter denies it.
        """
        terms: dict[str, Any] = {"topic": topic, "type": type, "version": version, "roles": roles, "knobs": knobs}
        terms |= {"labels": labels, "expectations": expectations, "parent_id": parent, "ttl_seconds": ttl_seconds}
        terms |= {"required_acks": required_acks, "invite_timeout_seconds": invite_timeout_seconds, "invite": invite}
        terms |= {"history": history}
        checked = origin_of(_OPEN, origin, self.open)
        named = items_of(participants, _OPEN, "participants")

        async def command(core: Core) -> str:
            return await ChannelCommands(core, self._state)._open(named, terms, checked)  # noqa: SLF001 - its own class

        return Channel(self._core, self._state, await self._core.demand.run(self._core, named, command))

    async def _open(self, participants: Sequence[Agent | str], given: dict[str, Any], origin: Origin) -> str:
        core = self._core
        terms = _checked(core, given)
        ids = ids_of(core, participants, _OPEN, "participants")
        creator = ids[0] if ids else None
        if creator is not None:
            core.acting.check(creator, _OPEN, "the first of participants, its creator,")
        channel_id = new_id()
        membership, quotas = self._state.membership, self._state.quotas
        allow = await core.authorizer.authorize("open", creator, ids[1:], channel_type=terms["type"], facts=terms)
        if terms["ttl_seconds"] == "rule":
            terms["ttl_seconds"] = allow.channel_ttl_seconds
        if terms["expectations"] is None:
            terms["expectations"] = _binding(core, allow.expectations, terms.get("roles"))
        await core.execute(
            lambda: quotas.checked(
                membership.open(ids, channel_id=channel_id, **terms, **origin),
                allow.channels_max,
                core.acting.label,
            )
        )
        return channel_id

    def get(self, channel_id: str) -> Channel:
        """Return the channel with this id. Raises :class:`~hubwire.errors.NotFound` if it has ended, or never was."""
        channel_id = _GET.id("channel_id", channel_id, wanted="the id of a channel")
        self._check_is_no_topic(channel_id)
        self._core.acting.check_channel(channel_id)
        self._channels.get(channel_id)
        return Channel(self._core, self._state, channel_id)

    def recall(self, channel_id: str) -> Channel:
        """Return a channel that may have ended: what it was, how it ended and what was said in it can be read.

        Of each type, the last 1,000 that ended are remembered, and those of which envelopes are in inboxes. Raises
        :class:`~hubwire.errors.NotFound` for others.
        """
        channel_id = _RECALL.id("channel_id", channel_id, wanted="the id of a channel")
        tenancy = self._core.acting.tenancy
        is_known = channel_id in self._channels or self._state.memories.ended(channel_id) is not None
        if not is_known or (tenancy is not None and not tenancy.has_channel(channel_id)):
            self._check_is_no_topic(channel_id)
            raise NotFound(f"no channel {channel_id!r} is remembered: it ended long ago, or never existed")
        return Channel(self._core, self._state, channel_id)

    def _check_is_no_topic(self, given: str) -> None:
        """Refuse the topic of an open channel: other channels may have it, too."""
        if given and given not in self._channels:
            for each in self._entries:
                if each.topic == given:
                    raise NotFound(
                        f"no channel has the id {shown(given)}; that is the topic of channel {each.channel_id}:"
                        " hub.channels.list() has the channels, each with its topic"
                    )

    def list(self, *, agent: Agent | str | None = None) -> Sequence[Channel]:
        """Return the channels that have not ended, or those of them in which an agent takes part, or is invited to."""
        entries = self._entries if agent is None else self._channels.of(id_of(self._core, agent, _LIST))
        return [Channel(self._core, self._state, entry.channel_id) for entry in entries]

    @property
    def _entries(self) -> Iterable[ChannelEntry]:
        """The channels that there are for the caller."""
        tenancy = self._core.acting.tenancy
        return self._channels if tenancy is None else [each for each in self._channels if each.tenant == tenancy.tenant]


def _checked(core: Core, given: dict[str, Any]) -> dict[str, Any]:
    """Return the terms of a channel as the state machine takes them, and as the arbiter sees them."""
    knobs, labels, expectations = given["knobs"], given["labels"], given["expectations"]
    freeze = core.authorizer.freeze
    roles = roles_of(core, given["roles"], _OPEN, "roles")
    return {
        "topic": _OPEN.text("topic", given["topic"]),
        "type": _OPEN.text("type", given["type"], wanted="the name of a channel type"),
        "version": _OPEN.whole("version", given["version"], least=1, is_optional=True),
        "roles": roles,
        "knobs": None if knobs is None else freeze(_OPEN.mapping("knobs", knobs)),
        "expectations": None if expectations is None else freeze(_expectations(core, expectations, roles)),
        "labels": None if labels is None else _OPEN.mapping("labels", labels),
        "parent_id": channel_id_of(core, given["parent_id"], _OPEN, "parent"),
        "ttl_seconds": seconds_or_rule(_OPEN, given["ttl_seconds"]),
        "invite": _OPEN.flag("invite", given["invite"]),
        "required_acks": _OPEN.whole("required_acks", given["required_acks"], is_optional=True),
        "invite_timeout_seconds": _OPEN.seconds("invite_timeout_seconds", given["invite_timeout_seconds"]),
        "history": _OPEN.one_of("history", given["history"], HISTORIES),
    }


def _expectations(core: Core, given: Any, roles: Mapping[str, str] | None) -> tuple[Any, ...]:
    """Return expectations; those that bind agents name them by their ids."""
    return _binding(core, _OPEN.items("expectations", given, of="expectations", most=10_000), roles)


def _binding(core: Core, expectations: Iterable[Any], roles: Mapping[str, str] | None) -> tuple[Any, ...]:
    taken = frozenset((roles or {}).values())
    return tuple(_bound(core, each, taken) for each in expectations)


def _bound(core: Core, given: Any, roles: frozenset[str]) -> Any:
    is_whole = type(given) is Expectation
    bound = given.applies_to if is_whole else given.get("applies_to") if type(given) is dict else None
    if not isinstance(bound, list | tuple):
        return given  # for all, or refused by the state machine
    ids = tuple(core.acting.id_of(each) if type(each) is str and each not in roles else each for each in bound)
    return attrs.evolve(given, applies_to=ids) if is_whole else {**given, "applies_to": ids}
