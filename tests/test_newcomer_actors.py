"""What those who write their first actor get wrong: it is refused when the actor is spawned, and not lost later."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import attrs
import pytest

from hubwire import BaseActor, Hub, HubThread, Turn, handles, message
from hubwire.errors import ConfigurationError, ContentRefused
from hubwire.messages import read
from hubwire.stores import MemoryStore


@message
class Job:
    name: str


class Idle(BaseActor):
    """Handles no envelope."""


class Misspelt(BaseActor):
    async def on_enveloppe(self, turn: Turn) -> None: ...


class Heir(Misspelt):
    async def on_envelope(self, turn: Turn) -> None: ...


class Late(BaseActor):
    async def on_envelope(self, turn: Turn) -> None: ...

    async def on_strat(self, hub: object, agent: object) -> None: ...


class Greedy(BaseActor):
    async def on_envelope(self, turn: Turn, content: object) -> None: ...  # type: ignore[override]


class Eager(BaseActor):
    async def on_start(self) -> None: ...  # type: ignore[override]

    async def on_envelope(self, turn: Turn) -> None: ...


async def two(turn: Turn, content: object) -> None: ...


async def none() -> None: ...


@pytest.mark.parametrize(
    ("actor", "message"),
    [
        (Idle(), r"class Idle cannot be an actor: it would lose each envelope; give it async def on_envelope\(self, t"),
        (Misspelt(), r"class Misspelt has on_enveloppe, which the hub does not call; did you mean on_envelope\?"),
        (Heir(), r"class Heir has on_enveloppe"),
        (Late(), r"class Late has on_strat, .*; did you mean on_start\?"),
        (
            Greedy(),
            r"class Greedy cannot be an actor: on_envelope is called as on_envelope\(turn\) \(missing .*content",
        ),
        (Eager(), r"class Eager cannot be an actor: on_start is called as on_start\(hub, agent\)"),
        (
            two,
            r"function two cannot be an actor: two is called as two\(turn\) \(missing a required argument: 'content'",
        ),
        (none, r"function none cannot be an actor: none is called as none\(turn\) \(too many"),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
async def test_what_would_handle_no_envelope_is_refused(actor: Any, message: str) -> None:
    """Spawned, it would ack each envelope unread, or fail at each until it is a dead letter."""
    async with Hub() as hub:
        with pytest.raises(ConfigurationError, match=message):
            await hub.spawn(actor, name="coder")
        assert hub.agents.find("coder") is None


async def test_what_is_no_mistake_is_spawned() -> None:
    """Methods of listeners, names that are not near, defaults, and an actor of notices alone."""

    class Both(BaseActor):
        async def on_envelope(self, turn: Turn, retries: int = 3) -> None: ...

        async def on_envelope_posted(self, envelope: object, metadata: object) -> None: ...

        async def on_money(self) -> None: ...

    class Notices(BaseActor):
        async def on_notice(self, turn: Turn) -> None: ...

    async with Hub() as hub:
        for actor in (Both(), Notices()):
            assert (await hub.spawn(actor)).is_running


async def test_a_factory_that_makes_nothing_is_named() -> None:
    def make() -> None:
        return None

    async with Hub() as hub:
        with pytest.raises(ConfigurationError, match=r"the function make made None, which is no actor"):
            await hub.spawn(make)


def declared_with(method: Callable[..., Any]) -> None:
    handles(Job)(method)


async def one(self: object, turn: Turn) -> None: ...


def test_a_handler_takes_turn_and_content() -> None:
    with pytest.raises(ConfigurationError, match=r"function one is called with the turn and the content .*; write as"):
        declared_with(one)


def test_a_bare_handles_is_told_its_form() -> None:
    with pytest.raises(ConfigurationError, match=r"not the function one; write @handles\(Review\)"):
        handles(cast(Any, one))


def test_content_without_a_type_is_shown() -> None:
    """Also as it is in an event, where it is frozen."""
    with pytest.raises(ContentRefused, match=r"not content of no type: \{'name': 'build'\}"):
        read(Job, {"name": "build"})


async def test_an_event_is_not_its_content() -> None:
    async with Hub() as hub:
        boss, clerk = [await hub.agents.register(name) for name in ("boss", "clerk")]
        channel = await hub.channels.open([boss, clerk])
        event = await channel.post(boss, Job("build"))
        assert read(Job, event.content) == Job("build")
        with pytest.raises(ContentRefused, match=r"; read its \.content$"):
            read(Job, event)
        plain = await channel.post(boss, {"name": "build"})
        with pytest.raises(ContentRefused, match=r"content of no type: \{'name': 'build'\}"):
            read(Job, plain.content)


@attrs.define
class Till:
    sales: int = 0


async def test_a_state_is_a_class() -> None:
    """An object of it would be taken for no declaration, and the state would be None."""

    class Cashier(BaseActor):
        state = Till()

        async def on_envelope(self, turn: Turn) -> None: ...

    class Plain(BaseActor):
        state = dict

        async def on_envelope(self, turn: Turn) -> None: ...

    async with Hub() as hub:
        with pytest.raises(ConfigurationError, match=r"not an object of class Till; name the class alone"):
            await hub.spawn(Cashier())
        with pytest.raises(ConfigurationError, match=r"not the class dict; decorate it .*, or leave it out"):
            await hub.spawn(Plain())


def test_a_store_is_no_hub() -> None:
    with pytest.raises(ConfigurationError, match=r"hub is a Hub, not .* MemoryStore; write HubThread\(Hub\(store\)\)"):
        HubThread(cast(Any, MemoryStore()))
