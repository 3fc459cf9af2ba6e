"""What functions return to a hub that has no use for it."""

from __future__ import annotations

from typing import Any

from hubwire import Event, Hub
from hubwire.events import ListenerAnswered
from hubwire.stores import MemoryStore
from hubwire.testing import ManualClock, Recorder, history
from support import advance, said, until, until_idle
from support.fanout import attached
from support.functions import DUTIES, FORMS, emit_together, formed


def answers(events: list[Event]) -> list[ListenerAnswered]:
    return [each for each in events if isinstance(each, ListenerAnswered)]


@DUTIES
@FORMS
async def test_a_returned_value_is_announced(form: str, how: dict[str, Any]) -> None:
    """The hub has no use for it; it was meant for a reader who would never get it."""
    async with Hub(MemoryStore()) as hub:
        function, settings = formed(form, lambda each: {"n": each.seq})
        attachment = await attached(hub, function, pattern="number.*", **{**how, **settings, "name": "f"})
        seq = (await hub.emit(said())).seq
        await hub.flush()
        await until_idle()
        events = answers(await history(hub))
        assert attachment.statistics().answered == 1
        assert hub.health().healthy
    assert [(each.listener, each.event_seq, each.answer_type, each.count) for each in events] == [("f", seq, "dict", 1)]
    assert (events[0].preview, events[0].severity) == (f"{{'n': {seq}}}", "warning")


@FORMS
async def test_returned_values_are_announced_once_a_second(form: str) -> None:
    clock = ManualClock()
    async with Hub(clock=clock) as hub:
        function, settings = formed(form, lambda each: "x" * 1_000_000)
        attachment = await attached(hub, function, pattern="number.*", name="f", **settings)
        recorder = Recorder()
        await attached(hub, recorder)
        await emit_together(hub, *range(10))
        await emit_together(hub, *range(5))
        await advance(clock, 1.0)
        await hub.flush()
        found = answers(recorder.events)
        assert sum(each.count for each in found) == 15 == attachment.statistics().answered
        assert len(found) == 2
        assert all(len(each.preview) <= 200 for each in found)


class Nameless:
    """Raises wherever it is looked at."""

    def _raise(self, *_: object) -> Any:
        raise RuntimeError("hostile")

    __class__ = property(_raise)
    __repr__ = __str__ = __bool__ = __eq__ = __hash__ = __len__ = __iter__ = _raise

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("hostile")


@FORMS
async def test_hostile_answers_are_told_all_the_same(form: str) -> None:
    """No code of theirs is run."""
    async with Hub() as hub:
        function, settings = formed(form, lambda each: Nameless())
        await attached(hub, function, pattern="number.*", name="f", **settings)
        recorder = Recorder()
        await attached(hub, recorder)
        await hub.emit(said())
        await hub.flush()
        await until(lambda: bool(recorder.events[-1].kind == "listener.answered"))
        assert answers(recorder.events)[0].answer_type == "Nameless"


async def test_answers_to_the_hubs_own_events_are_counted_only() -> None:
    """Two functions that return a value at each event would announce each other's for ever."""
    async with Hub() as hub:
        for name in ("one", "other"):
            await attached(hub, lambda each: 1, name=name, in_loop=True)
        await hub.flush()
        await hub.emit(said())
        await hub.flush()
        await until_idle()
        events = await history(hub)
        assert sorted(each.listener for each in answers(events)) == ["one", "other"]
        await until_idle()
        assert answers(await history(hub)) == answers(events)


async def test_what_is_awaited_of_a_sync_function_may_be_an_answer() -> None:
    async def later(each: Event) -> int:
        return 7

    async with Hub() as hub:
        recorder = Recorder()
        await attached(hub, recorder)

        def sooner(each: Event) -> Any:
            return later(each)

        await attached(hub, sooner, pattern="number.*", name="in a thread")
        await attached(hub, sooner, pattern="number.*", name="in the loop", in_loop=True)
        await hub.emit(said())
        await hub.flush()
        await until(lambda: len(answers(recorder.events)) == 2)
        assert {(each.listener, each.preview) for each in answers(recorder.events)} == {
            ("in a thread", "7"),
            ("in the loop", "7"),
        }
