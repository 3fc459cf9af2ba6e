"""Where contents come from is said by who knows it, carried on by who uses them, shown, and never invented."""

from __future__ import annotations

from typing import Any

import pytest

from hubwire import GenericEvent, Hub
from hubwire.actors import Actor
from hubwire.errors import ConfigurationError, PostRejected
from hubwire.events import ToolCompleted
from hubwire.listeners import AuditLog
from hubwire.provenance import PROVENANCES, carried, provenance, provenance_of
from hubwire.query import query
from hubwire.runtimes import Recorder
from hubwire.stores import MemoryStore
from hubwire.testing import Recorder as Heard
from hubwire.words import Names, gist_of


async def test_a_post_says_where_its_content_comes_from() -> None:
    store = MemoryStore()
    async with Hub(store, listeners=[AuditLog(store)]) as hub:
        a, b = await hub.agents.register("a"), await hub.agents.register("b")
        channel = await hub.channels.open([a, b])
        posted = await channel.post(a, "a page", provenance=["tool", "web"])
        plain = await channel.post(a, "words")
        delivery = await anext(b.inbox())
        assert provenance_of(delivery.event) == ("web", "tool")
    assert (provenance_of(posted), provenance_of(plain), plain.metadata) == (("web", "tool"), (), None)
    told = [found.fields async for found in query(store) if found.fields["kind"] == "envelope.posted"]
    assert [provenance_of(fields) for fields in told] == [("web", "tool"), ()]


async def test_a_publication_says_it_too_and_its_source_stays() -> None:
    async with Hub() as hub:
        a, b = await hub.agents.register("a"), await hub.agents.register("b")
        await hub.topics.subscribe(b, "news.*")
        posted = await hub.topics.publish("news.today", "x", sender=a, provenance=("web",), source="feed")
    assert (provenance_of(posted), posted.source) == (("web",), "feed")


async def test_an_answer_carries_on_what_it_is_told_to() -> None:
    """What a turn posts comes from where its envelope comes from only if the actor says so."""

    class Echo(Actor):
        async def on_envelope(self, turn: Any) -> None:
            words = carried(turn.envelope) if turn.envelope.content == "carry" else ()
            await turn.post("echo", provenance=words)

    async with Hub() as hub:
        heard = Heard()
        hub.attach(heard)
        a = await hub.agents.register("a")
        echo = await hub.spawn(Echo(), name="echo")
        channel = await hub.channels.open([a, echo.agent])
        await channel.post(a, "carry", provenance=["web"])
        await channel.post(a, "drop", provenance=["web"])
        await heard.wait_for("turn.ended", count=2)
        await hub.flush()
    said = [provenance_of(event) for event in heard.of("envelope.posted") if event.content == "echo"]
    assert said == [("web",), ()]


async def test_it_outlives_a_restart() -> None:
    store = MemoryStore()
    async with Hub(store) as hub:
        a, b = await hub.agents.register("a"), await hub.agents.register("b")
        channel = await hub.channels.open([a, b])
        await channel.post(a, "a page", provenance=["web"])
    async with Hub(store) as hub:
        again = hub.agents.find("b")
        assert again is not None
        assert provenance_of((await anext(again.inbox())).event) == ("web",)


async def test_a_word_that_is_none_is_refused_and_recorded() -> None:
    async with Hub() as hub:
        heard = Heard()
        hub.attach(heard)
        a, b = await hub.agents.register("a"), await hub.agents.register("b")
        channel = await hub.channels.open([a, b])
        odd: list[Any] = ["web", ["wbe"], [None], [["web"]], 3, {"web": 1}, b"web", ["web"] * 6, object()]
        for words in odd:
            with pytest.raises(PostRejected, match="provenance"):
                await channel.post(a, "x", provenance=words)
        await hub.flush()
    assert len(heard.of("envelope.rejected")) == len(odd)
    assert heard.of("envelope.posted") == []


async def test_a_recorder_takes_it_with_results_and_prompts() -> None:
    heard = Heard()
    async with Hub() as hub:
        hub.attach(heard)
        async with Recorder(hub, source="own") as recorder:
            recorder.begin_turn("run", agent="planner", prompt="find it", provenance=["user"])
            recorder.begin_tool("f", "fetch", parent="run", arguments={})
            recorder.end("f", "a page", provenance=["web"])
            recorder.begin_tool("g", "grep", parent="run", arguments={})
            recorder.end("g", "a line", provenance=["nonsense"])
            recorder.end("run", "found")
        statistics = recorder.statistics()
        await hub.flush()
    assert [provenance_of(event) for event in heard.events if event.source == "own"] == [
        ("user",),
        (),
        ("web",),
        (),
        (),
        (),
    ]
    assert (statistics.failures, [event.result for event in heard.of("tool.completed")]) == (1, ["a page", "a line"])


async def test_a_program_gives_it_with_its_own_events() -> None:
    async with Hub() as hub:
        event = await hub.emit(ToolCompleted(tool="t", call_id="c", result="x", metadata=provenance("memory", "agent")))
    assert provenance_of(event) == ("agent", "memory")


# --- words ----------------------------------------------------------------------------------------------------------


def test_words_are_those_there_are() -> None:
    assert provenance(*reversed(PROVENANCES)) == {"provenance": PROVENANCES}
    odd: list[Any] = ["wbe", "", None, 1, ["web"], "\ud800", object()]
    for word in odd:
        with pytest.raises(ConfigurationError, match=r"provenance\(\)"):
            provenance(word)
    with pytest.raises(ConfigurationError, match="leave it out"):
        provenance()


def test_what_strangers_write_is_passed_over() -> None:
    for said in (None, "web", 1, {"web": 1}, [1, None, "wbe", ["web"]], ["x"] * 1000):
        assert provenance_of({"metadata": {"provenance": said}}) == ()
        assert provenance_of({"metadata": said}) == ()
    assert provenance_of({"metadata": {"provenance": ["wbe", "web", "web"]}}) == ("web",)
    odd: list[Any] = [None, 1, "web", ["web"], object(), ToolCompleted]
    for wrong in odd:
        with pytest.raises(ConfigurationError, match=r"provenance_of\(\)"):
            provenance_of(wrong)


def test_what_is_carried_is_all_there_was() -> None:
    one, two = ({"metadata": provenance("tool")}, {"metadata": provenance("user", "tool")})
    assert (carried(one, two, GenericEvent(kind="a.b")), carried()) == (("user", "tool"), ())


def test_a_line_shows_it() -> None:
    fields = {"kind": "envelope.posted", "content": {"text": "hello"}, "metadata": provenance("web", "user")}
    assert gist_of(fields, Names()) == "⟨from user, web⟩ hello"
    assert gist_of({**fields, "metadata": {"provenance": ["\x1b[2J"]}}, Names()) == "hello"
