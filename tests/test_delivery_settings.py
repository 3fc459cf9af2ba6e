"""Attaching: every setting and every attribute of a listener is checked where it comes in."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from hubwire import BaseHubListener, Duty, Event, Hub, Overflow
from hubwire.errors import ConfigurationError
from hubwire.stores import MemoryStore
from hubwire.testing import Recorder
from support import numbers, said, until


class Hostile:
    """Raises at whatever is done with it."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")

    __str__ = __repr__

    def __index__(self) -> int:
        raise RuntimeError("no number")

    __float__ = __index__

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no comparison")

    __hash__ = None  # type: ignore[assignment]


WRONG: dict[str, list[Any]] = {
    "timeout": ["5", 0, -1, math.nan, math.inf, None, True, b"5", [5], Hostile(), Decimal("NaN")],
    "mailbox": ["5", 0, -1, 1.5, None, True, 10**30, math.nan, Hostile()],
    "attempts_max": ["5", 0, -1, 1.5, False, Hostile()],
    "batch_max": ["5", 0, -1, 1.5, True, 257, Hostile()],
    "batch_seconds": ["5", -1, math.nan, math.inf, None, True, Hostile()],
    "since": ["begin", "START", "", -1, 1.5, True, [1], b"now", 10**30, Hostile()],
    "overflow": ["drop_oldest", None, 3, Hostile()],
    "duty": ["durable", 3, Hostile()],
    "pattern": ["", [], 3, ["a.b", 3], "[", "\ud800", Hostile()],
    "name": [3, "", "x" * 5000, "\ud800", b"x", Hostile()],
}


@pytest.mark.parametrize("setting", WRONG)
@pytest.mark.parametrize("duty", [Duty.BEST_EFFORT, Duty.DURABLE])
async def test_a_wrong_setting_is_refused(setting: str, duty: Duty) -> None:
    """The error names the setting; nothing is attached, and the hub starts again."""
    store = MemoryStore()
    async with Hub(store) as hub:
        for value in WRONG[setting]:
            with pytest.raises(ConfigurationError, match=setting):
                hub.attach(Recorder(), **{"duty": duty, "name": "wrong", setting: value})
        assert hub.statistics().attachments == ()
        await hub.emit(said())
    async with Hub(store):
        pass


@pytest.mark.parametrize("name", ["pattern", "duty", "since", "attempts_max"])
async def test_a_wrong_attribute_is_refused(name: str) -> None:
    """What a listener declares is checked as what its caller gives."""
    for value in (3.5, "Wrong Word", Hostile()):
        listener = Recorder()
        setattr(listener, name, value)
        with pytest.raises(ConfigurationError, match=name):
            Hub(listeners=[listener])


@pytest.mark.parametrize("name", ["pattern", "duty", "since", "bind", "on_events", "last_seq"])
@pytest.mark.parametrize("error", [RuntimeError, SystemExit])
async def test_a_property_that_raises_is_refused(name: str, error: type[BaseException]) -> None:
    """Reading an attribute is the listener's code too."""

    def fails(_: object) -> None:
        raise error("no")

    listener = type("Fails", (Recorder,), {name: property(fails)})()
    with pytest.raises(ConfigurationError, match=name):
        Hub(listeners=[listener])


async def test_numbers_of_other_libraries_are_numbers() -> None:
    """A setting may be what behaves as a number."""

    class Index:
        def __index__(self) -> int:
            return 7

    hub = Hub()
    attachment = hub.attach(Recorder(), mailbox=Index(), timeout=Decimal("1.5"), since=Index())  # type: ignore[arg-type]
    assert attachment.mailbox == 7


# --- what can listen ------------------------------------------------------------------------------------------------


async def test_on_needs_no_parentheses() -> None:
    """``@hub.on`` attaches the function to all events."""
    seen: list[Event] = []
    async with Hub() as hub:

        @hub.on
        async def listen(event: Event) -> None:
            seen.append(event)

        await until(lambda: all(each.lag == 0 for each in hub.statistics().attachments))
        await hub.emit(said(3))
        await hub.flush()
        assert numbers(seen) == [3]
        assert listen.__name__ == "listen"


class Typo(BaseHubListener):
    async def on_chanel_event(self, channel_id: str, kind: str, payload: Any) -> None: ...


class TypoAlone:
    async def on_task_event(self, task_id: str, kind: str, payload: Any) -> None: ...

    async def on_envelope_post(self, envelope: Any, metadata: Any) -> None: ...


class OnlyTypo:
    async def on_tasks_event(self, task_id: str, kind: str, payload: Any) -> None: ...


@pytest.mark.parametrize(
    ("listener", "nearest"),
    [(Typo(), "on_channel_event"), (TypoAlone(), "on_envelope_posted"), (OnlyTypo(), "on_task_event")],
)
def test_a_hook_that_does_not_exist_is_refused(listener: object, nearest: str) -> None:
    """The error names the nearest one that does."""
    with pytest.raises(ConfigurationError, match=rf"did you mean {nearest}\?"):
        Hub().attach(listener)


class OneTooFew(BaseHubListener):
    async def on_task_event(self, task_id: str, kind: str) -> None: ...  # type: ignore[override]


class OneTooMany:
    async def on_envelope_posted(self, envelope: Any, metadata: Any, more: Any) -> None: ...


class NoEvents:
    async def on_events(self) -> None: ...


class NamedOnly(BaseHubListener):
    async def on_event(self, *, event: Any) -> None: ...  # type: ignore[override]


class Callable2:
    def __call__(self, event: Any, hub: Any) -> None: ...


@pytest.mark.parametrize(
    ("listener", "call"),
    [
        (OneTooFew(), "on_task_event(task_id, kind, payload)"),
        (OneTooMany(), "on_envelope_posted(envelope, metadata)"),
        (NoEvents(), "on_events(events)"),
        (NamedOnly(), "on_event(event)"),
        (Callable2(), "Callable2(event)"),
        (lambda: None, "<lambda>(event)"),
    ],
    ids=["too few", "too many", "no events", "by name only", "callable", "function"],
)
def test_what_cannot_be_called_is_refused(listener: Any, call: str) -> None:
    """When it is attached, and not at each event; the error says what the hub calls it with."""
    hub = Hub()
    with pytest.raises(ConfigurationError, match=rf"is called as {re.escape(call)} \(.*argument"):
        hub.attach(listener)
    assert hub.statistics().attachments == ()


def test_more_arguments_with_defaults_are_fine() -> None:
    """As are names of one's own, and functions of which Python does not know how they are called."""

    class Fits(BaseHubListener):
        async def on_task_event(self, task: str, word: str, payload: Any, more: int = 0) -> None: ...

        async def on_envelope_posted(self, *args: Any) -> None: ...

    class Strange:
        @property
        def __signature__(self) -> Any:
            raise SystemExit("no")

        def __call__(self, event: Any) -> None: ...

    hub = Hub()
    for listener in (Fits(), Strange(), list[Any]().append, print, partial(max, 3)):
        hub.attach(listener)


def test_a_pattern_of_own_kinds_has_to_match_one() -> None:
    """The hub's own kinds are all known. A kind of a program may be declared later."""
    hub = Hub()
    for pattern, advice in (
        ("hub.strated", r"did you mean hub\.started"),
        (["tool.*", "mailbox.zzzzzzzz"], r"write mailbox\.\* for all of them"),
    ):
        with pytest.raises(ConfigurationError, match=rf"matches no kind of the hub's own events of .*{advice}"):
            hub.attach(print, pattern=pattern)
    for fits in ("hub.*", "hub.st*", "h*", "*.started", "log*", "never.happens"):
        hub.attach(print, pattern=fits)


@pytest.mark.parametrize(("pattern", "nearest"), [("envelop.posted", "envelope.posted"), ("chanel.*", "channel.*")])
def test_a_pattern_that_is_nearly_a_kind_is_logged(
    pattern: str, nearest: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Not refused: a generic event may have it. What is near to no kind is not logged."""
    Hub().attach(print, pattern=[pattern, "billing.charged", "*"])
    (line,) = caplog.messages
    assert f"pattern={pattern} nearest={nearest}" in line


def test_other_methods_are_no_typos() -> None:
    """A listener may have methods of its own, and be an actor too."""

    class Both(BaseHubListener):
        async def on_envelope(self, turn: Any) -> None: ...

        async def on_start(self) -> None: ...

        async def on_click(self) -> None: ...

    Hub().attach(Both())


def test_what_cannot_listen_is_refused() -> None:
    """The error says what it would need."""
    for listener in ("a.b", 3, None, [Recorder()], object(), Recorder, Hostile()):
        with pytest.raises(ConfigurationError, match=r"cannot listen|is a class"):
            Hub().attach(listener)


@pytest.mark.parametrize("error", [RuntimeError, SystemExit])
def test_a_bind_that_fails_is_refused(error: type[BaseException]) -> None:
    """The listener is not attached."""

    class Unbound(Recorder):
        def bind(self, hub: Hub) -> None:
            raise error("no")

    hub = Hub()
    with pytest.raises(ConfigurationError, match=r"'Unbound' cannot be attached: its bind\(hub\) failed"):
        hub.attach(Unbound())
    assert hub.statistics().attachments == ()


def test_an_async_bind_is_refused() -> None:
    """It would never run."""

    class Async(Recorder):
        async def bind(self, hub: Hub) -> None: ...

    with pytest.raises(ConfigurationError, match="must not be async"):
        Hub().attach(Async())


@pytest.mark.parametrize("listener", [Recorder(), Typo().on_event], ids=["object", "async"])
def test_in_loop_is_for_sync_functions(listener: Any) -> None:
    """Where it has no meaning it is refused."""
    with pytest.raises(ConfigurationError, match="in_loop"):
        Hub().attach(listener, in_loop=True)


@pytest.mark.parametrize(
    ("settings", "advice"),
    [
        ({"duty": Duty.REQUIRED, "batch_seconds": 1}, "attach it as DURABLE"),
        ({"overflow": Overflow.BLOCK, "batch_seconds": 1}, "use Overflow.DROP_OLDEST"),
        ({"batch_max": 2000, "batch_seconds": 1, "mailbox": 1000}, "give a larger mailbox"),
        ({"batch_max": 300}, "give batch_seconds too"),
    ],
)
def test_batches_that_cannot_be_are_refused(settings: dict[str, Any], advice: str) -> None:
    """Gathering must delay neither commits nor emitters, nor exceed what is held."""
    with pytest.raises(ConfigurationError, match=advice):
        Hub().attach(Recorder(), **settings)


def test_names_are_made_from_hostile_classes() -> None:
    """A listener that was given no name gets a printable one."""

    async def listen(events: Sequence[Event]) -> None: ...

    listen.__name__ = "a\nb\ud800" + "x" * 1000
    (name,) = (each.name for each in [Hub().attach(listen)])
    assert name.startswith("a?b")
    assert name.isprintable()
    assert len(name) < 300
