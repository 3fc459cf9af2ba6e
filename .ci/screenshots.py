"""Make the pictures of the dashboard: each view and each state, light and dark, wide and as on a phone.

`make screenshots` runs a hub on which the team of the demo works, with recorded conversations beside it where there are
some in ../shared/data, and another one with 2,000 events a second, and writes what a browser shows to
docs/pictures/dashboard. The documentation shows a few of them, and those are in the repository; the others are for
whoever changes the page.
"""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import random
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib import import_module
from pathlib import Path
from textwrap import shorten
from typing import Any

from hubwire import Agent, ApprovalPolicy, Channel, Duty, Event, Hub
from hubwire.approvals import ChallengeKind, RiskLevel
from hubwire.cli import demo_serving
from hubwire.errors import HubError
from hubwire.events import (
    GenericEvent,
    ModelCalled,
    ModelCompleted,
    ToolCalled,
    ToolCompleted,
    ToolFailed,
    TurnEnded,
    TurnStarted,
)
from hubwire.listeners import AuditLog
from hubwire.listeners.dashboard import Access, Dashboard, Person
from hubwire.stores import FileStore, MemoryStore

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "docs" / "pictures" / "dashboard"
CONVERSATIONS = ROOT.parent / "shared" / "data" / "airline.jsonl.gz"
VIEWS = ("live", "agents", "channels", "runs", "approvals", "listeners", "log")
THEMES = ("light", "dark")
SIZES = {"": (1440, 900), "-390": (390, 844)}
# Of hubs that are gone when the program ends.
TOKENS = {name: f"a-token-for-pictures-of-{name}-alone" for name in ("m.keller", "reader", "auditor")}
PEOPLE = (
    Person(name="m.keller", role="operate", token=TOKENS["m.keller"], contents=True),
    Person(name="reader", role="read", token=TOKENS["reader"], contents=True),
    Person(name="auditor", role="read", token=TOKENS["auditor"], contents=False),
)
_STEP_SECONDS = 0.6
_WORK_SECONDS = 30.0
_AT_A_TIME = 3
_BUSY_RATE = 2000
_BUSY_FAILURES = 0.03
# A picture is of what has come to rest.
_REST_MS = 2000
# Longer than it takes until the page says that what it shows is old.
_STALE_MS = 31_000
_POLICY = ApprovalPolicy(timeout_seconds=900, challenges=dict.fromkeys(RiskLevel, ChallengeKind.CONFIRM))


class Billing:
    """A listener that has a bad day."""

    duty = Duty.DURABLE
    pattern = "refund.paid"

    async def on_events(self, events: list[Event]) -> None:
        del events  # it does not come to them
        raise ConnectionError("503 Service Unavailable from https://billing.internal/hook")


class Conversations:
    """Recorded conversations of a desk with travellers, once more."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._told: list[Any] = []
        if CONVERSATIONS.exists():
            with gzip.open(CONVERSATIONS, "rt", encoding="utf-8") as lines:
                self._told = [json.loads(line)["traj"] for line in lines][:40]

    async def go_on(self) -> None:
        if not self._told:
            return
        desk = await self._hub.agents.register("desk")
        lines = (self._one_after_the_other(desk, number) for number in range(_AT_A_TIME))
        await asyncio.gather(self._read(desk), *lines)

    @staticmethod
    async def _read(agent: Agent) -> None:
        async for delivery in agent.inbox():
            await asyncio.sleep(_STEP_SECONDS)
            await delivery.ack()

    async def _one_after_the_other(self, desk: Agent, number: int) -> None:
        traveller = await self._hub.agents.register(f"traveller-{number + 1}")
        reading = asyncio.create_task(self._read(traveller))
        for case, told in enumerate(self._told[number::_AT_A_TIME]):
            said = next(each["content"] for each in told if each["role"] == "user")
            channel = await self._hub.channels.open(
                [desk, traveller], topic=shorten(str(said).split(".")[0], 40, placeholder="…")
            )
            await self._tell(told, desk, traveller, channel, f"case-{number}-{case}")
            await channel.close("the traveller has what was asked for")
        reading.cancel()

    async def _tell(self, told: list[Any], desk: Agent, traveller: Agent, channel: Channel, case: str) -> None:
        emit = self._hub.emit
        about: dict[str, Any] = {"agent_id": desk.id, "channel_id": channel.id, "correlation_id": case}
        asked = ""
        for number, line in enumerate(told):
            await asyncio.sleep(_STEP_SECONDS)
            if line["role"] == "user":
                asked = str(line["content"])
                await channel.post(traveller, asked, to=[desk])
            elif line["role"] == "assistant":
                turn = {**about, "turn_id": f"{case}-{number}"}
                call = {**turn, "model": "gpt-4o", "call_id": f"{case}-{number}"}
                await emit(TurnStarted(prompt=asked, **turn))
                await emit(ModelCalled(request={"messages": number}, **call))
                await asyncio.sleep(_STEP_SECONDS)
                tools = [tool["function"]["name"] for tool in line.get("tool_calls") or []]
                said = line["content"] or f"I call {', '.join(tools)}."
                tokens: dict[str, Any] = {"input_tokens": 900 + 60 * number, "output_tokens": 80, "duration_ms": 400.0}
                await emit(ModelCompleted(response={"text": said}, **tokens, **call))
                for tool in line.get("tool_calls") or []:
                    await self._call(tool, told[number + 1 :], turn)
                await emit(TurnEnded(content=said, **turn))
                if line["content"]:
                    await channel.post(desk, str(line["content"]), to=[traveller])

    async def _call(self, tool: Any, after: list[Any], turn: dict[str, Any]) -> None:
        used: dict[str, Any] = {"tool": tool["function"]["name"], "call_id": tool["id"], **turn}
        await self._hub.emit(ToolCalled(arguments=json.loads(tool["function"]["arguments"]), **used))
        await asyncio.sleep(_STEP_SECONDS / 2)
        result = next((each["content"] for each in after if each.get("tool_call_id") == tool["id"]), "")
        if str(result).startswith("Error"):
            await self._hub.emit(ToolFailed(error_type="ToolError", error_message=str(result)[:300], **used))
        else:
            await self._hub.emit(ToolCompleted(result=str(result)[:2000], **used))


async def ask(hub: Hub) -> None:
    """Let an agent ask for what persons approve, and for some of it wait."""
    refunds = await hub.agents.register("refunds")
    wants: tuple[tuple[str, dict[str, Any]], ...] = (
        ("refund", {"reservation": "K1NW8N", "amount": 1203, "currency": "USD", "to": "credit_card_4421486"}),
        ("cancel_booking", {"reservation": "EHGLP3", "because": "the traveller is ill"}),
        ("refund", {"reservation": "M61CQM", "amount": 90, "currency": "USD"}),
        ("upgrade", {"reservation": "JG7FMM", "cabin": "business"}),
        ("refund", {"reservation": "VAAOXJ", "amount": 2400, "currency": "USD"}),
    )

    async def one(action: str, arguments: dict[str, Any]) -> None:
        try:
            await hub.approvals.gate(refunds, action, arguments=arguments, policy=_POLICY)
        except HubError:
            return  # it was denied

    async with asyncio.TaskGroup() as tasks:
        for action, arguments in wants:
            tasks.create_task(one(action, arguments))
            await asyncio.sleep(1)
        for count, view in enumerate(hub.approvals.pending()[:2]):
            await hub.approvals.answer(
                view.approval_id, "m.keller", is_passed=not count, reason=("the fare allows it", "no proof")[count]
            )


async def live() -> None:
    """Live as the hub of the pictures, until the process is ended."""
    with tempfile.TemporaryDirectory() as folder:
        store = FileStore(folder)
        access = Access(PEOPLE)
        async with Hub(store, listeners=[AuditLog(store)], approvals=_POLICY) as hub:
            hub.attach(Billing(), name="billing-webhook", attempts_max=2, when_exhausted="dead_letter")
            dashboard = Dashboard(hub, access=access, name="airline")
            team = demo_serving._Team(hub, _STEP_SECONDS)  # noqa: SLF001 - the same team
            async with dashboard.serve(port=0) as url, asyncio.TaskGroup() as tasks:
                for work in (team.work(), Conversations(hub).go_on(), ask(hub)):
                    tasks.create_task(work)
                for number in range(6):
                    await hub.emit(GenericEvent(kind="refund.paid", data={"amount": 90 + number}))
                print(url.partition("#")[0], flush=True)
                await asyncio.sleep(3600)


async def busy() -> None:
    """Live with 2,000 events a second, until the process is ended."""
    draw = random.Random(7)  # noqa: S311 - a picture is no secret
    async with Hub(MemoryStore()) as hub:
        desks = [await hub.agents.register(name) for name in ("desk-1", "desk-2", "desk-3", "planner", "refunds")]
        channels = [
            await hub.channels.open(draw.sample(desks, 2), topic=f"rebook K{number}NW8N") for number in range(9)
        ]
        async with Dashboard(hub, access=Access(PEOPLE), name="airline").serve(port=0) as url:
            print(url.partition("#")[0], flush=True)
            begun, count = time.monotonic(), 0
            while True:
                events = _a_moment(draw, desks, channels, count)
                count += len(await hub.emit_many(events))
                await asyncio.sleep(max(0.0, begun + count / _BUSY_RATE - time.monotonic()))


def _a_moment(draw: random.Random, desks: list[Agent], channels: list[Channel], count: int) -> list[Event]:
    """Return what happens within a twentieth of a second."""
    events: list[Event] = []
    while len(events) < _BUSY_RATE / 20:
        name = f"{count + len(events)}"
        about: dict[str, Any] = {"agent_id": draw.choice(desks).id, "channel_id": draw.choice(channels).id}
        about |= {"turn_id": name, "correlation_id": f"case-{(count + len(events)) // _BUSY_RATE}"}
        used: dict[str, Any] = {"tool": draw.choice(("book_reservation", "search_direct_flight")), "call_id": name}
        took = round(draw.uniform(5, 3000), 1)
        tokens: dict[str, Any] = {"input_tokens": draw.randrange(900, 9000), "output_tokens": draw.randrange(20, 300)}
        events += [
            TurnStarted(**about),
            ModelCalled(model="gpt-4o", call_id=name, **about),
            ModelCompleted(model="gpt-4o", call_id=name, duration_ms=took, **tokens, **about),
            ToolCalled(arguments={"cabin": "economy", "date": "2024-05-28"}, **used, **about),
            ToolFailed(error_message="not enough seats on flight HAT021", duration_ms=took / 9, **used, **about)
            if draw.random() < _BUSY_FAILURES
            else ToolCompleted(result="saved", duration_ms=took / 9, **used, **about),
            TurnEnded(**about),
        ]
    return events


@contextmanager
def looking() -> Iterator[Callable[..., Any]]:
    """Open a browser; what is yielded opens a page in it, signed in."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - where nothing is looked at, it is not needed

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])

        def sign_in(url: str, theme: str, size: tuple[int, int], person: str = "m.keller") -> Any:
            viewport: Any = dict(zip(("width", "height"), size, strict=True))
            scheme: Any = theme
            page = browser.new_context(viewport=viewport, color_scheme=scheme, reduced_motion="reduce").new_page()
            page.goto(f"{url}#token={TOKENS[person]}")
            page.get_by_role("navigation", name="Views").wait_for()
            return page

        yield sign_in
        browser.close()


def _go(page: Any, place: str) -> None:
    page.evaluate("hash => { location.hash = hash }", f"#/{place}")


def take_views(url: str, folder: Path) -> None:
    """Take the pictures of each view, and of what it opens."""
    with looking() as sign_in:
        for theme in THEMES:
            for suffix, size in SIZES.items():
                page = sign_in(url, theme, size)
                for view in VIEWS:
                    _go(page, view)
                    _open(page, view, is_wide=not suffix)
                    save(page.screenshot(), folder / f"{view}-{theme}{suffix}.webp")
                page.context.close()


def take_states(url: str, folder: Path) -> None:
    """Take the pictures of what a hub that works may come to show."""
    with looking() as sign_in:
        for theme in THEMES:
            page = sign_in(url, theme, SIZES[""])

            def shot(name: str, page: Any = page, theme: str = theme) -> None:
                page.wait_for_timeout(_REST_MS)
                save(page.screenshot(), folder / f"state-{name}-{theme}.webp")

            page.keyboard.press("?")
            shot("keys")
            page.keyboard.press("Escape")
            _go(page, "live?text=nothing+has+this")
            shot("nothing-found")
            _go(page, "log")
            page.get_by_role("button", name="Verify").click()
            shot("verified")
            page.context.close()
            for person, view in (("reader", "approvals"), ("auditor", "live")):
                page = sign_in(url, theme, SIZES[""], person)
                _go(page, view)
                page.locator("main [role=row][id], main [data-row]").first.click()
                shot(f"as-{person}", page)
                page.context.close()


def take_busy(url: str, folder: Path, end: Callable[[], object]) -> None:
    """Take the pictures of 2,000 events a second, and of a hub that is gone then."""
    with looking() as sign_in:
        pages = {(theme, suffix): sign_in(url, theme, SIZES[suffix]) for theme in THEMES for suffix in SIZES}

        def shots(name: str) -> None:
            for (theme, suffix), page in pages.items():
                page.bring_to_front()
                page.wait_for_timeout(_REST_MS)
                save(page.screenshot(), folder / f"{name}-{theme}{suffix}.webp")

        shots("live-busy")
        end()
        shots("state-reconnecting")
        next(iter(pages.values())).wait_for_timeout(_STALE_MS)
        shots("state-stale")


def _open(page: Any, view: str, *, is_wide: bool) -> None:
    """Wait until a view has what it shows; where there is room, open what stands beside it."""
    shown = "main [role=row][id], main [data-row], main [data-stop]"
    page.locator(shown).first.wait_for()
    if view == "live" and is_wide:
        page.keyboard.press("Space")
        page.keyboard.press("e")
        page.keyboard.press("Enter")
    elif view in ("channels", "approvals") and is_wide:
        page.locator(shown).first.click()
    elif view == "runs":
        page.locator(".run-head").first.click()
    page.wait_for_timeout(_REST_MS)


def save(picture: bytes, place: Path) -> None:
    """Write a picture as small as it can be with every colour as it is: colours have meanings here."""
    image: Any = import_module("PIL.Image")  # the type checkers run where it is not installed

    place.parent.mkdir(parents=True, exist_ok=True)
    image.open(io.BytesIO(picture)).convert("RGB").save(place, lossless=True, method=6)
    print(f"{place.stat().st_size / 1000:6.0f} kB  {place.name}")


@asynccontextmanager
async def running(which: str) -> AsyncIterator[tuple[str, Callable[[], None]]]:
    """Have a hub live in a process of its own; yield its address, and what ends it."""
    command = [sys.executable, "-P", __file__, which]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)

    def end() -> None:
        if process.returncode is None:
            process.terminate()

    try:
        assert process.stdout
        yield (await process.stdout.readline()).decode().strip(), end
    finally:
        end()
        await process.wait()


async def main() -> None:
    folder = Path(sys.argv[1]) if sys.argv[1:] else PICTURES
    async with running("--live") as (url, _):
        await asyncio.sleep(_WORK_SECONDS)
        await asyncio.to_thread(take_views, url, folder)
        await asyncio.to_thread(take_states, url, folder)
    async with running("--busy") as (url, end):
        await asyncio.sleep(_WORK_SECONDS)
        loop = asyncio.get_running_loop()
        await asyncio.to_thread(take_busy, url, folder, lambda: loop.call_soon_threadsafe(end))


if __name__ == "__main__":
    asyncio.run({"--live": live, "--busy": busy}.get(sys.argv[-1], main)())
