"""The dashboard in a browser: everyone can use it, with what they have."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from hubwire import Hub
from hubwire.events import ToolCalled, ToolFailed, TurnStarted
from support.browser import VIEWS, Looking, Served, chromium, gate, served

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def blockbuster() -> None:
    """The driver of the browser has a loop in this thread, where tests wait for the hub in its own."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


async def _live(hub: Hub) -> None:
    async def sick(_: object) -> None:
        raise ConnectionError("503 Service Unavailable")

    hub.attach(sick, pattern="tool.failed", name="pager")
    desk, coder = await hub.agents.register("desk"), await hub.agents.register("coder")
    channel = await hub.channels.open([desk, coder], topic="rebook K1NW8N")
    await channel.post(desk, "Yes, please proceed")
    turn: dict[str, Any] = {"agent_id": coder.id, "turn_id": "1", "correlation_id": "case", "channel_id": channel.id}
    await hub.emit(TurnStarted(**turn))
    await hub.emit(ToolCalled(**turn, tool="book", call_id="1", arguments={"cabin": "economy"}))
    await hub.emit(ToolFailed(**turn, tool="book", call_id="1", error_message="no seats"))


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A hub that has had a little of everything, where an approval waits."""
    with served(tmp_path_factory.mktemp("lived")) as live:
        live.call(_live, live.hub)
        gate(live, {"amount": 1203})
        yield live


@pytest.fixture
def person(browser: Any) -> Iterator[Looking]:
    found = Looking(browser)
    yield found
    found.close()
    assert found.trouble == []


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_the_checker_of_accessibility_finds_nothing(lived: Served, person: Looking, theme: str, width: int) -> None:
    page = person.page
    page.emulate_media(color_scheme=theme, reduced_motion="reduce")
    page.set_viewport_size({"width": width, "height": 900})
    person.open(lived)
    found: list[tuple[str, ...]] = []
    for view in VIEWS:
        person.go(view)
        # Where there is room, a drawer stands beside its view: both are checked at once.
        if width < 900:
            found += [(view, each) for each in person.violations()]
        person.select()
        if view not in ("runs", "channels"):
            page.locator("aside.drawer").wait_for()
        page.locator("h1").first.wait_for(state="attached")  # what is opened comes a moment later
        found += [(view, "open", each) for each in person.violations()]
    page.keyboard.press("?")
    page.get_by_role("dialog").wait_for()
    found += [("keys", each) for each in person.violations()]
    assert found == []


def test_no_view_scrolls_sideways(lived: Served, person: Looking) -> None:
    page = person.open(lived)
    in_vain = pytest.importorskip("playwright.sync_api").TimeoutError
    wide = []
    for view in VIEWS:
        for state in ("", "open"):
            person.go(view) if not state else person.select()
            for width in (1440, 900, 390, 320):
                page.set_viewport_size({"width": width, "height": 900})
                try:  # what is drawn follows a window that changes, a moment later
                    page.wait_for_function("() => document.documentElement.scrollWidth <= innerWidth", timeout=3000)
                except in_vain:
                    wide.append((view, state, width))
            page.set_viewport_size({"width": 1440, "height": 900})
    assert wide == []


# From the middle of a control, how far to each side a finger hits it: its label is touched for it.
SMALL = """() => {
    const small = []
    for (const each of document.querySelectorAll('button, a[href], input, select, summary')) {
        if (each.disabled || !each.checkVisibility({visibilityProperty: true}) || each.matches('.skip')) continue
        each.scrollIntoView({block: 'center'})
        const {left, top, width, height} = each.getBoundingClientRect()
        const [x, y] = [left + Math.min(width, 120) / 2, top + height / 2]
        const label = each.closest('label, .search, .query-line') ?? each
        const isHit = (across, down) => label.contains(document.elementFromPoint(x + across, y + down))
        const reach = (across, down) => {
            let far = 0
            while (far < 60 && isHit(across * (far + 1), down * (far + 1))) far += 1
            return far
        }
        const [wide, high] = [reach(1, 0) + reach(-1, 0) + 1, reach(0, 1) + reach(0, -1) + 1]
        if (wide < 43 || high < 43) small.push(`${wide} x ${high}: ${each.outerHTML.slice(0, 120)}`)
    }
    return small
}"""


def test_a_finger_meets_every_control_of_a_phone(lived: Served, person: Looking) -> None:
    """44 pixels, as the width of a finger; half a pixel at each side may be rounded away."""
    person.page.set_viewport_size({"width": 390, "height": 844})
    page = person.open(lived)
    found: list[tuple[str, ...]] = []
    for view in VIEWS:
        person.go(view)
        found += [(view, each) for each in page.evaluate(SMALL)]
        person.select()
        page.locator("h1").first.wait_for(state="attached")
        found += [(view, "open", each) for each in page.evaluate(SMALL)]
    assert found == []


def test_every_view_is_reached_by_its_keys_and_the_list_of_them(lived: Served, person: Looking) -> None:
    page = person.open(lived)
    for key, view in zip(
        "acrphvl", ("agents", "channels", "runs", "approvals", "listeners", "log", "live"), strict=True
    ):
        page.keyboard.press("g")
        page.keyboard.press(key)
        page.wait_for_url(re.compile(f"#/{view}"))
    page.keyboard.press("?")
    keys = page.get_by_role("dialog")
    keys.wait_for()
    assert "next error" in keys.inner_text()
    page.keyboard.press("Escape")
    keys.wait_for(state="hidden")
    page.keyboard.press("t")
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") in ("dark", "light")


# Rows of a list are one stop, and j and k go from one to the next.
CONTROLS = """() => [...document.querySelectorAll('button, a[href], input, select, [tabindex="0"]')].filter(each =>
    each.tabIndex >= 0 && !each.disabled && !each.matches('[data-stop], [data-row]') &&
    each.checkVisibility({visibilityProperty: true}) &&
    !each.closest('[inert]')).map(each => each.dataset.tried = each.outerHTML.slice(0, 150))"""
FOCUSED = """() => {
    const at = document.activeElement
    const rings = []
    for (let each = at, up = 0; each && up < 5; each = each.parentElement, up += 1) {
        for (const part of [null, '::after', '::before']) {
            const {outlineStyle, outlineWidth} = getComputedStyle(each, part)
            rings.push(outlineStyle !== 'none' && parseFloat(outlineWidth) >= 2)
        }
    }
    const name = at.dataset.tried ?? at.outerHTML.slice(0, 150)
    delete at.dataset.tried
    return [name, rings.some(Boolean)]
}"""


@pytest.mark.parametrize("view", VIEWS)
def test_the_keyboard_alone_reaches_every_control_and_shows_where_it_is(
    lived: Served, person: Looking, view: str
) -> None:
    page = person.open(lived, view)
    person.select()
    page.keyboard.press("Escape")
    page.evaluate("document.activeElement.blur()")
    controls = page.evaluate(CONTROLS)
    assert len(controls) > 8
    unseen = []
    for _ in range(len(controls) * 2):
        page.keyboard.press("Tab")
        name, is_seen = page.evaluate(FOCUSED)
        if not is_seen and not name.startswith("<body"):
            unseen.append(name)
    assert unseen == []
    assert page.evaluate("[...document.querySelectorAll('[data-tried]')].map(each => each.dataset.tried)") == []


MOVING = """() => [...document.querySelectorAll('*')].filter(each => {
    const {animationName, animationDuration, transitionDuration} = getComputedStyle(each)
    return (animationName !== 'none' && parseFloat(animationDuration) > 0.001) || parseFloat(transitionDuration) > 0.001
}).map(each => each.outerHTML.slice(0, 100))"""


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_nothing_moves_for_who_wants_it_so(lived: Served, person: Looking, motion: str) -> None:
    person.page.emulate_media(reduced_motion=motion)
    page = person.open(lived)
    moving = []
    for view in VIEWS:
        person.go(view)
        person.select()
        moving += page.evaluate(MOVING)
    assert (moving == []) is (motion == "reduce")


def test_colours_of_the_system_keep_what_can_be_told(lived: Served, person: Looking) -> None:
    """Forced colours: whatever has a frame has one that is drawn."""
    person.page.emulate_media(forced_colors="active")
    page = person.open(lived)
    page.get_by_role("button", name=re.compile("^Pause")).focus()
    assert page.evaluate("parseFloat(getComputedStyle(document.activeElement).borderTopWidth)") >= 1
