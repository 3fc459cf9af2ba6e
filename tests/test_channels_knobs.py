"""Knobs of channels: only those that the type has, so that a misspelled one is no rule that never counts."""

from __future__ import annotations

from typing import Any

import pytest

from hubwire import Hub
from hubwire.channel_types import Conversation, Manifest
from hubwire.errors import CommandRejected, ConfigurationError
from hubwire.stores import MemoryStore

SHIPPED = ("conversation", "discussion", "consulting", "broadcast", "notification", "auction", "workflow")


@pytest.mark.parametrize("name", SHIPPED)
async def test_an_unknown_knob_is_refused(name: str) -> None:
    """By each type that ships, with nothing changed; the error says which knobs there are."""
    async with Hub() as hub:
        agents = [await hub.agents.register(each) for each in ("a", "b")]
        before = hub.statistics().applied
        with pytest.raises(CommandRejected, match=f"a channel of type '{name}' has no knob 'colour'; it has "):
            await hub.channels.open(agents, type=name, knobs={"colour": "red"})
        assert hub.statistics().applied == before


@pytest.mark.parametrize(
    ("name", "wrong", "meant"),
    [
        ("discussion", "round_max", "rounds_max"),
        ("notification", "post_max", "posts_max"),
        ("auction", "minimun", "minimum"),
        ("workflow", "turn_max", "turns_max"),
    ],
)
async def test_a_misspelled_knob_names_the_nearest(name: str, wrong: str, meant: str) -> None:
    async with Hub() as hub:
        agents = [await hub.agents.register(each) for each in ("a", "b")]
        with pytest.raises(CommandRejected, match=rf"did you mean {meant}\?"):
            await hub.channels.open(agents, type=name, knobs={wrong: 3})


async def test_a_type_says_its_own_knobs() -> None:
    """And a channel that was opened with one goes on after a restart with a version that has lost it."""

    class Sealed(Conversation):
        name = "sealed"
        knobs: tuple[str, ...] = ("seals",)

        def refuse_manifest(self, manifest: Manifest) -> str | None:
            return None if manifest.knobs.get("seals") == 2 else "two seals"

    class Bare(Sealed):
        knobs = ()

    store = MemoryStore()
    hub = Hub(store)
    hub.channels.register_type(Sealed())
    async with hub:
        a, b, c = [await hub.agents.register(each) for each in ("a", "b", "c")]
        channel = await hub.channels.open([a, b], type="sealed", knobs={"seals": 2})
        with pytest.raises(CommandRejected, match=r"did you mean seals\?"):
            await hub.channels.open([a, b], type="sealed", knobs={"seal": 2})
    again = Hub(store)
    again.channels.register_type(Bare())
    async with again:
        await again.channels.get(channel.id).join(c)
        with pytest.raises(CommandRejected, match="a type of your own names those it reads"):
            await again.channels.open([a.id], type="sealed", knobs={"seals": 2})


@pytest.mark.parametrize("wrong", ["seals", ("",), [1], {"seals": 1}, ("\ud800",), None, 7])
async def test_knobs_are_named_in_a_tuple(wrong: Any) -> None:
    """A text is no list of its letters; a type that says its knobs in another way is refused when it is registered."""
    kind = type("Odd", (Conversation,), {"name": "odd", "knobs": wrong})
    with pytest.raises(ConfigurationError, match="names its knobs in a tuple of texts"):
        Hub().channels.register_type(kind())


async def test_what_a_type_says_later_is_not_asked() -> None:
    """Its name, version and knobs are those of its registration: what it raises or answers later harms no command."""

    class Late(Conversation):
        is_asked_again = False

        @property
        def name(self) -> str:  # type: ignore[override]
            if self.is_asked_again:
                raise SystemExit("gone")
            return "late"

        @property
        def knobs(self) -> Any:  # type: ignore[override]
            if self.is_asked_again:
                raise KeyboardInterrupt
            return ["speed"]

        def begin(self, manifest: Manifest) -> Any:
            raise GeneratorExit

    late = Late()
    hub = Hub()
    hub.channels.register_type(late)  # type: ignore[arg-type]
    late.is_asked_again = True
    async with hub:
        agent = await hub.agents.register("a")
        with pytest.raises(CommandRejected, match="channel type 'late' version 1 failed in begin"):
            await hub.channels.open([agent], type="late", knobs={"speed": 1})
        with pytest.raises(CommandRejected, match=r"did you mean speed\?"):
            await hub.channels.open([agent], type="late", knobs={"sped": 1})
