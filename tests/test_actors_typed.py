"""Typed content: what is posted as an object of a class comes to the method that handles it as such an object."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from hubwire import BaseActor, Hub, Turn, handles, message
from hubwire.errors import ConfigurationError, ContentRefused
from hubwire.messages import read
from hubwire.stores import MemoryStore
from hubwire.testing import Recorder, history


@attrs.frozen
class Span:
    first: int
    last: int


@message
class Review:
    file: str
    spans: list[Span] = attrs.field(factory=list)
    weight: float = 1.0
    by: str | None = None


@message("review.done")
class Done:
    ok: bool
    about: Review | None = None


class Reviewer(BaseActor):
    def __init__(self) -> None:
        self.seen: list[object] = []

    @handles(Review)
    async def review(self, turn: Turn, review: Review) -> None:
        self.seen.append(review)
        await turn.reply(Done(ok=True, about=review))

    @handles(Done)
    async def done(self, turn: Turn, done: Done) -> None:
        self.seen.append(done)


REVIEW = Review("a.py", [Span(1, 2)], weight=2, by="x")


async def test_content_comes_as_it_was_posted() -> None:
    actor = Reviewer()
    async with Hub() as hub:
        asker = await hub.agents.register("asker")
        handle = await hub.spawn(actor, name="reviewer")
        answer = await hub.ask(asker, handle.agent, REVIEW)
        assert answer.content["type"] == "review.done"
        assert read(Done, answer.content) == Done(ok=True, about=REVIEW)
        assert actor.seen == [REVIEW]


async def test_content_outlives_a_restart(recorder: Recorder) -> None:
    store = MemoryStore()
    async with Hub(store) as hub:
        asker, reviewer = await hub.agents.register("asker"), await hub.agents.register("reviewer")
        channel = await hub.channels.open([asker, reviewer])
        await channel.post(asker, REVIEW, to=[reviewer])
        before = await history(hub)
    actor = Reviewer()
    async with Hub(store, listeners=[recorder]) as again:
        assert (await history(again))[: len(before)] == before
        await again.spawn(actor, name="reviewer")
        await recorder.wait_for("envelope.acked")
    assert actor.seen == [REVIEW]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("text", "not content of no type: 'text'"),
        ({"file": "a.py"}, "not content of no type"),
        ({"type": "unknown"}, "takes content of the types Review, review.done, not 'unknown'"),
        ({"type": 7}, "not content of no type"),
        ({"type": "Review"}, "required field missing @ \\$.file"),
        ({"type": "Review", "file": 7}, "str is wanted @ \\$.file"),
        ({"type": "Review", "file": "a", "extra": 1}, "Extra fields in constructor for Review: extra"),
        ({"type": "Review", "file": "a", "spans": [{"first": 1, "last": 2, "x": 3}]}, "Extra fields in .* Span: x"),
        ({"type": "Review", "file": "a", "weight": "1"}, "float is wanted @ \\$.weight"),
        ({"type": "Review", "file": "a", "weight": True}, "float is wanted"),
        ({"type": "Review", "file": "a", "spans": [{"first": 1, "last": 1.5}]}, r"int is wanted @ \$.spans\[0\].last"),
        ({"type": "review.done", "ok": 1}, "bool is wanted @ \\$.ok"),
        ({"type": "review.done", "ok": True, "about": {"file": "a"}}, "type 'Review' is wanted @ \\$.about"),
    ],
)
async def test_what_does_not_fit_is_a_dead_letter(recorder: Recorder, content: Any, says: str) -> None:
    """At once, and the reason says where; the actor goes on."""
    actor = Reviewer()
    async with Hub(listeners=[recorder]) as hub:
        asker = await hub.agents.register("asker")
        handle = await hub.spawn(actor, name="reviewer")
        channel = await hub.channels.open([asker, handle.agent])
        await channel.post(asker, content)
        await recorder.wait_for("envelope.dead_lettered")
        (letter,) = hub.inboxes.dead_letters()
        with pytest.raises(AssertionError, match=says):
            raise AssertionError(letter.reason)
        assert letter.attempts == 1
        await channel.post(asker, REVIEW)
        await recorder.wait_for("envelope.acked")
    assert actor.seen == [REVIEW]


def test_reading_without_an_actor() -> None:
    with pytest.raises(ContentRefused, match="the type 'Review' is wanted, not 'other'"):
        read(Review, {"type": "other"})
    with pytest.raises(ConfigurationError, match="takes a class that @message has declared"):
        read(Span, {"first": 1})


def test_a_message_is_a_frozen_class() -> None:
    assert REVIEW == Review("a.py", [Span(1, 2)], weight=2, by="x") != Review("b.py")
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        REVIEW.file = "b.py"  # type: ignore[misc]


@pytest.mark.parametrize("name", ["", 7, b"x", "\ud800", None])
def test_wrong_names_are_refused(name: Any) -> None:
    with pytest.raises(ConfigurationError, match="the name of the content"):
        message(name)


def test_what_cannot_work_is_refused_at_once() -> None:
    with pytest.raises(ConfigurationError, match="has a field 'type'"):

        @message
        class Typed:
            type: str

    unmarked: Any = Span
    with pytest.raises(ConfigurationError, match="a class that @message has declared"):
        handles(unmarked)
    with pytest.raises(ConfigurationError, match="must be a coroutine function"):
        wrong: Any = lambda self, turn, review: None  # noqa: E731
        handles(Review)(wrong)
    with pytest.raises(ConfigurationError, match="one and two both handle 'Review'"):

        class Twice(BaseActor):
            @handles(Review)
            async def one(self, turn: Turn, review: Review) -> None: ...

            @handles(Review)
            async def two(self, turn: Turn, review: Review) -> None: ...

    with pytest.raises(ConfigurationError, match="has on_envelope and methods with @handles"):

        class Both(Reviewer):
            async def on_envelope(self, turn: Turn) -> None: ...


async def test_handlers_are_inherited() -> None:
    class Kind(Reviewer):
        @handles(Review)
        async def review(self, turn: Turn, review: Review) -> None:
            await turn.reply("kindly")

    async with Hub() as hub:
        asker = await hub.agents.register("asker")
        handle = await hub.spawn(Kind(), name="reviewer")
        assert (await hub.ask(asker, handle.agent, REVIEW)).content == "kindly"
