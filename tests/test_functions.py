"""Functions that listen: attached by patterns, once, muted, found and detached, also while they are called."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from hubwire import AttachmentState, BaseHubListener, Chain, Duty, Event, GenericEvent, Hub
from hubwire.errors import ConfigurationError, NotFound
from hubwire.events import ListenerFailed, ListenerRestarted
from hubwire.listeners.audit import AuditLog
from hubwire.stores import MemoryStore
from hubwire.testing import GatedRecorder, ManualClock, Recorder, history
from support import advance, numbers, said, until, until_idle
from support.fanout import Tried, attached
from support.functions import DUTIES, FORMS, HOW, emit_together, formed
from support.odd import Hostile

# --- patterns -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [("number.*", "fanout.*"), (["number.*", "fanout.*"],), (("number.said", "*.tried"),), (iter(["*.said", "fan*"]),)],
)
async def test_several_patterns_hear_an_event_once(given: Any) -> None:
    heard: list[str] = []
    async with Hub() as hub:

        @hub.on(*given, in_loop=True)
        def listen(each: Event) -> None:
            heard.append(each.kind)

        await hub.emit(said())
        await hub.emit(Tried())
        await hub.emit(GenericEvent(kind="other.said"))
        await hub.flush()
    assert heard in (["number.said", "fanout.tried"], ["number.said", "fanout.tried", "other.said"])


async def test_an_event_that_matches_several_patterns_comes_once() -> None:
    heard: list[str] = []
    async with Hub() as hub:
        hub.on("number.*", "*.said", "number.said")(lambda each: heard.append(each.kind))
        await hub.emit(said())
        await hub.flush()
    assert heard == ["number.said"]


@pytest.mark.parametrize(
    ("given", "settings", "message"),
    [
        ((3,), {}, "pattern"),
        (("number.*", 3), {}, "each of pattern"),
        (([],), {}, "no pattern is given"),
        (("number.*", print), {}, "a function is given beside patterns"),
        (("number.*",), {"pattern": "x.*"}, "give them once"),
        (("number.*",), {"onec": True}, "did you mean once"),
        (("number.*",), {"once": 1}, "once is True or False"),
        ((Hostile(),), {}, "cannot be attached"),
    ],
)
async def test_wrong_patterns_are_refused(given: Any, settings: dict[str, Any], message: str) -> None:
    hub = Hub()
    with pytest.raises(ConfigurationError, match=message):
        hub.on(*given, **settings)(lambda each: None)
    assert hub.attachments == ()


async def test_a_generator_is_refused() -> None:
    """A call of it would run none of its code."""

    async def stream(each: Event) -> AsyncIterator[int]:
        yield 1

    def generate(each: Event) -> Iterator[int]:
        yield 1

    class Callable_:  # noqa: N801 - the word is taken
        def __call__(self, each: Event) -> Iterator[int]:
            yield 1

    hub = Hub()
    for function in (stream, generate, Callable_(), functools.partial(stream)):
        with pytest.raises(ConfigurationError, match="write it without yield"):
            hub.attach(function)
    assert hub.attachments == ()


async def test_every_callable_form_is_called() -> None:
    """Where a bus has lists for sync and async handlers, one in the wrong list is never called."""
    heard: list[str] = []

    class Sync:
        def __call__(self, each: Event) -> None:
            heard.append("sync object")

        def method(self, each: Event) -> None:
            heard.append("sync method")

    class Async:
        async def __call__(self, each: Event) -> None:
            heard.append("async object")

        async def method(self, each: Event) -> None:
            heard.append("async method")

    async def listen(name: str, each: Event) -> None:
        heard.append(name)

    async with Hub() as hub:
        wrapped = functools.partial(listen, "wrapped")
        for function in (Sync(), Sync().method, Async(), Async().method, functools.partial(listen, "partial")):
            hub.attach(function, pattern="number.*")
        hub.attach(lambda each: wrapped(each), pattern="number.*")  # noqa: PLW0108 - it is sync
        await hub.emit(said())
        await hub.flush()
    assert sorted(heard) == ["async method", "async object", "partial", "sync method", "sync object", "wrapped"]


# --- once -----------------------------------------------------------------------------------------------------------


@DUTIES
@FORMS
async def test_once_is_for_one_event(form: str, how: dict[str, Any]) -> None:
    """Also where events come in a batch, and the journal has more of them."""
    heard: list[Event] = []
    async with Hub(MemoryStore()) as hub:
        function, settings = formed(form, heard.append)
        attachment = await attached(hub, function, pattern="number.*", once=True, **how, **settings)
        await hub.emit(Tried())
        await emit_together(hub, 0, 1, 2)
        await attachment.finished()
        assert (numbers(heard), attachment.state) == ([0], AttachmentState.DETACHED)
        assert hub.attachments == ()
        assert attachment.done == heard[0].seq + 1
        assert attachment.statistics().handled == 1
        assert hub.health().healthy


@FORMS
async def test_once_that_fails_has_had_its_event(form: str) -> None:
    """A BEST_EFFORT function is not called again, and the failure is announced."""
    heard: list[Event] = []

    def fail(each: Event) -> None:
        heard.append(each)
        raise ValueError("no")

    async with Hub() as hub:
        function, settings = formed(form, fail)
        attachment = await attached(hub, function, name="f", pattern="number.*", once=True, **settings)
        await emit_together(hub, 0, 1, 2)
        await attachment.finished()
        await hub.emit(said(3))
        events = await history(hub)
    assert numbers(heard) == [0]
    failed = [each for each in events if isinstance(each, ListenerFailed)]
    assert [(each.listener, each.event_seq) for each in failed] == [("f", heard[0].seq)]
    assert not [each for each in events if isinstance(each, ListenerRestarted)]


async def test_a_durable_once_is_tried_again_with_its_event() -> None:
    """It is suspended with it like any other, and ends when it is resumed and has handled it."""
    clock, heard, trouble = ManualClock(), list[Event](), [True]

    async def fail(each: Event) -> None:
        heard.append(each)
        if trouble:
            raise ValueError("no")

    async with Hub(MemoryStore(), clock=clock) as hub:
        how: dict[str, Any] = {"duty": Duty.DURABLE, "attempts_max": 2}
        attachment = await attached(hub, fail, name="f", pattern="number.*", once=True, **how)
        for n in range(3):
            hub.emit_nowait(said(n))
        await advance(clock, 60)
        assert attachment.state is AttachmentState.SUSPENDED
        trouble.clear()
        attachment.resume()
        await attachment.finished()
        assert numbers(heard) == [0, 0, 0]
        assert attachment.done == heard[0].seq + 1


async def test_a_durable_once_may_skip_its_event() -> None:
    async def fail(each: Event) -> None:
        raise ValueError("no")

    async with Hub(MemoryStore()) as hub:
        how: dict[str, Any] = {"duty": Duty.DURABLE, "attempts_max": 1}
        attachment = await attached(hub, fail, name="f", pattern="number.*", once=True, **how)
        await emit_together(hub, 0, 1)
        assert attachment.state is AttachmentState.SUSPENDED
        attachment.resume(skip_missed=True)
        await attachment.finished()
        assert attachment.statistics().failed == 1


async def test_a_durable_once_gets_the_next_event_after_a_restart() -> None:
    """Once is for each attaching: its place is kept, and it goes on there."""
    store, heard = MemoryStore(), list[Event]()

    async def listen(each: Event) -> None:
        heard.append(each)

    for _ in range(3):
        async with Hub(store) as hub:
            hub.attach(listen, pattern="number.*", once=True, duty=Duty.DURABLE, name="f")
            if not heard:
                await emit_together(hub, 0, 1, 2)
            await until(lambda hub=hub: not hub.attachments)  # type: ignore[misc]
    assert numbers(heard) == [0, 1, 2]


async def test_an_object_cannot_listen_once() -> None:
    hub = Hub()
    for listener in (Recorder(), BaseHubListener()):
        with pytest.raises(ConfigurationError, match="once=True is for functions"):
            hub.attach(listener, once=True)
    assert hub.attachments == ()


# --- muted ----------------------------------------------------------------------------------------------------------


@DUTIES
@FORMS
async def test_events_go_past_a_muted_function(form: str, how: dict[str, Any]) -> None:
    heard: list[Event] = []
    async with Hub(MemoryStore()) as hub:
        function, settings = formed(form, heard.append)
        attachment = await attached(hub, function, pattern="number.*", **how, **settings)
        for n in range(4):
            if n in (1, 3):
                attachment.mute() if n == 1 else attachment.unmute()
            await emit_together(hub, n)
            assert attachment.is_muted is (n in (1, 2))
            assert hub.statistics().attachments[0].is_muted is attachment.is_muted
        assert numbers(heard) == [0, 3]
        numbers_of = attachment.statistics()
        assert (numbers_of.handled, numbers_of.passed, numbers_of.lag) == (2, 2, 0)


@FORMS
async def test_a_function_mutes_itself_within_a_batch(form: str) -> None:
    """The next event of the batch goes past it already."""
    heard: list[Event] = []

    def listen(each: Event) -> None:
        heard.append(each)
        if numbers([each]) == [1]:
            attachment.mute()

    async with Hub() as hub:
        function, settings = formed(form, listen)
        attachment = await attached(hub, function, pattern="number.*", **settings)
        await emit_together(hub, 0, 1, 2, 3)
        assert numbers(heard) == [0, 1]
        assert (attachment.statistics().handled, attachment.statistics().passed) == (2, 2)
        attachment.unmute()
        await emit_together(hub, 4)
        assert numbers(heard) == [0, 1, 4]


async def test_an_object_is_muted_from_its_next_batch_on() -> None:
    async with Hub() as hub:
        recorder = Recorder()
        attachment = await attached(hub, recorder, pattern="number.*")
        attachment.mute()
        await emit_together(hub, 0, 1)
        attachment.unmute()
        await emit_together(hub, 2)
        assert numbers(recorder.events) == [2]
        assert attachment.statistics().passed == 2


async def test_an_audit_log_cannot_be_muted() -> None:
    """It would have a gap of which it knows nothing."""
    async with Hub(listeners=[AuditLog(MemoryStore())]) as hub:
        with pytest.raises(ConfigurationError, match="keeps its own position"):
            hub.attachments[0].mute()
        assert not hub.attachments[0].is_muted


async def test_a_muted_once_waits_for_its_event() -> None:
    heard: list[Event] = []
    async with Hub() as hub:
        attachment = await attached(hub, heard.append, pattern="number.*", once=True, in_loop=True)
        attachment.mute()
        await emit_together(hub, 0)
        assert attachment.state is AttachmentState.RUNNING
        attachment.unmute()
        await emit_together(hub, 1, 2)
        await attachment.finished()
    assert numbers(heard) == [1]


# --- found and detached ---------------------------------------------------------------------------------------------


async def test_attachments_are_listed() -> None:
    hub, recorder = Hub(), Recorder()
    assert list(hub.attachments) == []
    first = hub.attach(recorder, pattern=["number.*", "fanout.*"])
    before = hub.attachments
    second = hub.attach(print, name="printer")
    assert list(before) == [first]
    assert (first.name, first.pattern, first.duty, first.state) == (
        "Recorder",
        ("number.*", "fanout.*"),
        Duty.BEST_EFFORT,
        AttachmentState.STARTING,
    )
    assert (first.listener, second.listener) == (recorder, print)
    assert repr(second) == "Attachment(name='printer', duty=best_effort, state=starting)"
    async with hub:
        assert list(hub.attachments) == [first, second]
    assert list(hub.attachments) == []


@pytest.mark.parametrize("how", ["handle", "name", "function"])
async def test_a_function_is_detached_by(how: str) -> None:
    """When that returns it is not called any more."""
    heard: list[Event] = []

    async def listen(each: Event) -> None:
        await asyncio.sleep(0)
        heard.append(each)

    async with Hub() as hub:
        attachment = hub.attach(listen, pattern="number.*", name="my own")
        await attachment.ready()
        hub.emit_nowait(said(0))
        which: Any = {"handle": attachment, "name": "my own", "function": listen}[how]
        assert await hub.detach(which) == 1
        assert attachment.state is AttachmentState.DETACHED
        count = len(heard)
        await emit_together(hub, 1)
        assert (len(heard), hub.attachments) == (count, ())


async def test_a_function_that_is_attached_twice_is_called_twice() -> None:
    """Detached by itself it is gone; by the name or the handle of one attachment, the other stays."""
    heard: list[Event] = []

    async def listen(each: Event) -> None:
        heard.append(each)

    async with Hub() as hub:
        for _ in range(3):
            hub.on("number.*")(listen)
        await emit_together(hub, 0)
        assert [each.name for each in hub.attachments] == ["listen", "listen-2", "listen-3"]
        assert numbers(heard) == [0, 0, 0]
        assert await hub.detach("listen-2") == 1
        await emit_together(hub, 1)
        assert numbers(heard)[3:] == [1, 1]
        assert await hub.detach(listen) == 2
        await emit_together(hub, 2)
        assert numbers(heard)[5:] == []


async def test_a_method_is_found_though_it_is_another_object() -> None:
    """And no ``==`` of a stranger's is called, so only the same object's method is meant."""

    class Listens:
        def __eq__(self, other: object) -> bool:
            raise RuntimeError("hostile")

        __hash__ = None  # type: ignore[assignment]

        async def listen(self, each: Event) -> None:
            pass

    one, other = Listens(), Listens()
    async with Hub() as hub:
        hub.attach(one.listen)
        hub.attach(other.listen)
        assert await hub.detach(one.listen) == 1
        assert [each.name for each in hub.attachments] == ["listen-2"]


async def test_functions_are_detached_by_pattern() -> None:
    """Those that see nothing but what it matches. An object stays, whatever it sees."""
    hub = Hub(listeners=[Recorder()])
    for pattern in ("tool.*", "tool.called", ["tool.failed", "model.*"], "*.failed", "*"):
        hub.attach(print, pattern=pattern)
    async with hub:
        assert await hub.detach(pattern="tool.*") == 2
        assert [each.pattern for each in hub.attachments] == [
            ("*",),
            ("tool.failed", "model.*"),
            ("*.failed",),
            ("*",),
        ]
        assert await hub.detach(pattern=["tool.*", "model.*"]) == 1
        assert await hub.detach(pattern="user.*") == 0
        assert await hub.detach(pattern="*") == 2
        assert [each.name for each in hub.attachments] == ["Recorder"]


async def test_what_is_not_attached_cannot_be_detached() -> None:
    """A name or a function that is not there is an error, so a typing error is seen; an ended attachment is not."""
    async with Hub() as hub, Hub() as other:
        attachment = await attached(hub, print, name="printer")
        with pytest.raises(
            NotFound, match=r"hub.detach\(\): no listener named 'pinter' is attached; did you mean printer"
        ):
            await hub.detach("pinter")
        with pytest.raises(NotFound, match="is not attached"):
            await hub.detach(len)
        with pytest.raises(NotFound, match="is not attached"):
            await hub.detach(Hostile())
        with pytest.raises(ConfigurationError, match="another hub"):
            await other.detach(attachment)
        wrong: Any
        for wrong in (None, 3, []):
            with pytest.raises(ConfigurationError):
                await hub.detach(pattern=wrong)
        with pytest.raises(ConfigurationError, match="one of them"):
            await hub.detach("printer", pattern="*")
        assert hub.attachments == (attachment,)
        assert await hub.detach(attachment) == 1
        assert await hub.detach(attachment) == 0
    assert await hub.detach(attachment) == 0


async def test_detaching_before_the_start_is_enough() -> None:
    heard: list[Event] = []
    hub = Hub()
    hub.attach(heard.append, name="f")
    assert await hub.detach("f") == 1
    async with hub:
        await hub.emit(said())
    assert heard == []


# --- while they are called ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", HOW[:3], ids=["best effort", "block", "durable"])
@pytest.mark.parametrize("which", ["handle", "function"])
@FORMS
async def test_a_function_that_detaches_itself_gets_no_more(form: str, which: str, how: dict[str, Any]) -> None:
    """The rest of the batch is not handled, and a DURABLE one has it when it is attached again."""
    heard: list[Event] = []
    store = MemoryStore()
    async with Hub(store) as hub:

        async def leave() -> None:
            await hub.detach(attachment if which == "handle" else function)

        def listen(each: Event) -> Any:
            heard.append(each)
            return leave() if numbers([each]) == [1] else None

        if form == "async":

            async def function(each: Event) -> None:
                if (leaving := listen(each)) is not None:
                    await leaving

        else:
            function = listen
        attachment = await attached(hub, function, pattern="number.*", in_loop=form == "in the loop", **how)
        await emit_together(hub, 0, 1, 2, 3)
        await attachment.finished()
        assert numbers(heard) == [0, 1]
        assert attachment.done == heard[1].seq + 1
        assert attachment.statistics().handled == 2
    if "name" in how:
        async with Hub(store) as hub:
            again = Recorder()
            await attached(hub, again, pattern="number.*", **how)
            assert numbers(again.events) == [2, 3]


async def test_a_required_function_that_detaches_itself_keeps_its_promise() -> None:
    """Events journaled until then were promised to it: it gets them, and none that is emitted later."""
    heard: list[Event] = []
    async with Hub() as hub:

        async def listen(each: Event) -> None:
            heard.append(each)
            await attachment.detach()

        attachment = await attached(hub, listen, pattern="number.*", duty=Duty.REQUIRED)
        await emit_together(hub, 0, 1, 2)
        await attachment.finished()
        await emit_together(hub, 3)
    assert numbers(heard) == [0, 1, 2]


async def test_functions_that_detach_each_other_wait_for_neither() -> None:
    async with Hub() as hub:
        heard: list[str] = []

        async def one(each: Event) -> None:
            heard.append("one")
            await hub.detach(other)

        async def other(each: Event) -> None:
            heard.append("other")
            await hub.detach(one)

        for function in (one, other):
            await attached(hub, function, pattern="number.*", timeout=60)
        await hub.emit(said())
        await hub.flush()
        await until_idle()
        assert len(hub.attachments) == 2 - len(heard) < 2


async def test_a_function_attaches_others_while_it_is_called() -> None:
    """They get what is emitted from then on, and not the event that is being handled."""
    heard: list[tuple[str, int]] = []
    async with Hub() as hub:

        def late(each: Event) -> None:
            heard.append(("late", numbers([each])[0]))

        @hub.on("number.*")
        async def listen(each: Event) -> None:
            heard.append(("early", numbers([each])[0]))
            if len(hub.attachments) == 1:
                await hub.attach(late, pattern="number.*", in_loop=True).ready()

        await emit_together(hub, 0)
        await emit_together(hub, 1)
    assert sorted(heard) == [("early", 0), ("early", 1), ("late", 1)]


async def test_a_function_in_a_thread_mutes_itself_there() -> None:
    heard: list[int] = []
    async with Hub() as hub:

        def listen(each: Event) -> None:
            assert threading.current_thread() is not threading.main_thread()
            heard.extend(numbers([each]))
            attachment.mute()

        attachment = await attached(hub, listen, pattern="number.*")
        await emit_together(hub, 0, 1)
    assert heard == [0]


# --- what is left ---------------------------------------------------------------------------------------------------


async def test_two_hubs_share_a_function() -> None:
    """What one of them does with it is nothing to the other."""
    heard: list[str] = []
    async with Hub() as one, Hub() as other:

        async def listen(each: Event) -> None:
            heard.append(each.hub)

        first = await attached(one, listen, pattern="number.*", once=True)
        second = await attached(other, listen, pattern="number.*")
        second.mute()
        await emit_together(one, 0)
        await first.finished()
        await emit_together(other, 1)
        second.unmute()
        await emit_together(other, 2)
        assert heard == [one.id, other.id]
        with pytest.raises(NotFound):
            await one.detach(listen)
        assert await other.detach(listen) == 1


@pytest.mark.slow
async def test_many_attachments_leave_nothing() -> None:
    """10,000 functions come and go; their tasks, statistics and announcements with them."""
    async with Hub() as hub:
        await hub.flush()
        tasks = len(asyncio.all_tasks())
        for _ in range(100):
            for n in range(100):
                hub.attach(lambda each: None, pattern=f"q{n}z.*", in_loop=True, name=f"f{n}")
            assert await hub.detach(pattern="*") == 100
        await until_idle()
        assert (hub.attachments, len(asyncio.all_tasks())) == ((), tasks)
        assert hub.health().healthy


async def test_a_batch_under_way_ends_for_an_object_that_is_detached() -> None:
    async with Hub() as hub:
        recorder = GatedRecorder()
        attachment = await attached(hub, recorder, pattern="number.*")
        recorder.close()
        for n in range(3):
            hub.emit_nowait(said(n))
        await until(lambda: bool(recorder.given))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(hub.detach(recorder))
            await asyncio.sleep(0)
            recorder.open()
        assert numbers(recorder.events) == [0, 1, 2]
        assert attachment.state is AttachmentState.DETACHED


async def test_an_attachment_shows_what_was_said_of_it() -> None:
    """A copy, which cannot be changed there; hubwire makes no use of it."""
    said: dict[str, Any] = {"team": "billing", "page": ["ann"]}
    async with Hub() as hub:
        hub.on("number.*", metadata=said)(print)
        hub.attach(len, metadata=None)
        hub.for_tenant("acme").attach(print, metadata=said)
        said["team"] = "other"
        first, second, third = hub.attachments
        assert first.metadata == third.metadata == {"team": "billing", "page": ["ann"]}
        assert second.metadata == {}
        with pytest.raises(TypeError):
            first.metadata["team"] = "x"  # type: ignore[index]
        for wrong in (5, "x", [("a", 1)]):
            with pytest.raises(ConfigurationError, match=r"^hub\.on\(\): metadata is a mapping"):
                hub.on("number.*", metadata=wrong)(print)
        with pytest.raises(ConfigurationError, match="metadata would be about"):
            hub.on("number.*", priority=1, metadata=said)(print)
        assert len(hub.attachments) == 3


async def test_a_chain_may_be_for_one_event() -> None:
    """All its functions get that one, and then it is detached."""
    heard: list[str] = []
    chain = Chain()
    for name in ("a", "b"):

        def hear(event: Any, name: str = name) -> None:
            heard.append(f"{name} {event.data['number']}")

        chain.add(hear, in_loop=True)
    async with Hub() as hub:
        hub.attach(chain, pattern="number.*", once=True)
        for number in range(3):
            await hub.emit(GenericEvent(kind="number.said", data={"number": number}))
        await hub.flush()
        assert not hub.attachments
    assert heard == ["a 0", "b 0"]
