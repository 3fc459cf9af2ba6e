"""The dashboard in a browser: what a person sees, and what their keys do."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hubwire.events import GenericEvent, ToolCalled, ToolFailed, TurnStarted
from support.browser import TOKENS, Looking, Served, chromium, served

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def blockbuster() -> None:
    """The driver of the browser has a loop in this thread, where tests wait for the hub in its own."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium("--host-resolver-rules=MAP evil.example 127.0.0.1") as opened:
        yield opened


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path) as found:
        yield found


@pytest.fixture
def person(browser: Any) -> Iterator[Looking]:
    found = Looking(browser)
    yield found
    found.close()
    assert found.trouble == []
    assert not [url for url in found.asked if not url.startswith(("http://127.0.0.1:", "blob:"))]


def numbered(first: int, count: int, **fields: Any) -> list[GenericEvent]:
    return [
        GenericEvent(kind="order.placed", data={"number": number}, **fields) for number in range(first, first + count)
    ]


def failed(agent_id: str, message: str) -> list[Any]:
    call = {"agent_id": agent_id, "tool": "book", "call_id": "1"}
    return [ToolCalled(**call), ToolFailed(**call, error_message=message)]


# --- what comes -------------------------------------------------------------------------------------------------------


def test_events_arrive_by_themselves_the_newest_on_top(live: Served, person: Looking) -> None:
    page = person.open(live)
    before = person.rows()
    [event] = live.emit(*numbered(1, 1))
    person.wait(lambda: person.rows()[:1] == [event.seq])
    assert before[0] in person.rows()
    assert "number=1" in page.get_by_role("grid").inner_text()


def test_a_pause_holds_the_rows_and_counts_the_new_ones(live: Served, person: Looking) -> None:
    live.emit(*numbered(0, 50))
    page = person.open(live)
    person.wait(lambda: len(person.rows()) > 20)
    page.keyboard.press("Space")
    held = person.rows()
    live.emit(*numbered(100, 12))
    page.get_by_role("button", name="12 new").wait_for()
    assert person.rows() == held
    page.keyboard.press("Home")
    person.wait(lambda: person.rows()[0] == held[0] + 12)


def test_scrolling_away_pauses_and_keeps_the_place(live: Served, person: Looking) -> None:
    live.emit(*numbered(0, 500))
    page = person.open(live)
    person.wait(lambda: len(person.rows()) > 20)
    page.get_by_role("grid").hover()
    page.mouse.wheel(0, 3000)
    page.wait_for_timeout(300)
    row = (
        page.get_by_role("grid")
        .get_by_text("number=400", exact=False)
        .or_(page.get_by_role("grid").locator("[role=row]").nth(10))
        .first
    )
    text, place = row.inner_text(), row.bounding_box()
    live.emit(*numbered(1000, 300))
    page.get_by_role("button", name=re.compile("300 new")).wait_for()
    assert row.inner_text() == text
    assert row.bounding_box() == place


def test_a_restart_of_the_server_loses_and_doubles_nothing(live: Served, person: Looking) -> None:
    live.emit(*numbered(0, 30))
    page = person.open(live)
    person.wait(lambda: len(person.rows()) > 20)
    page.get_by_role("button", name="Pause").wait_for()
    newest = person.rows()[0]
    live.stop_serving()
    page.get_by_text(re.compile("Reconnecting|Stale|Nothing heard")).first.wait_for()
    live.emit(*numbered(100, 20))
    assert person.rows()[0] == newest
    live.serve()
    person.wait(lambda: person.rows()[0] == newest + 20, 40)
    rows = person.rows()
    assert rows == list(range(rows[0], rows[0] - len(rows), -1))
    person.trouble.clear()  # the browser tells of connections that failed


def test_the_same_hub_after_a_restart_goes_on(tmp_path: Path, person: Looking) -> None:
    with served(tmp_path) as live:
        live.emit(*numbered(0, 30))
        person.open(live)
        person.wait(lambda: len(person.rows()) > 20)
        newest = person.rows()[0]
        live.stop()
        live.start()
        person.wait(lambda: person.rows()[0] > newest, 40)
        rows = person.rows()
        assert rows == list(range(rows[0], rows[0] - len(rows), -1))
        person.trouble.clear()


# --- what is looked for -----------------------------------------------------------------------------------------------


def test_a_link_shows_a_colleague_the_same_view(live: Served, person: Looking, browser: Any) -> None:
    live.emit(*failed("desk", "no seats"), *numbered(0, 10))
    page = person.open(live)
    person.wait(lambda: len(person.rows()) > 10)
    page.get_by_role("button", name=re.compile("^1 failed")).click()
    person.wait(lambda: len(person.rows()) == 1)
    address = page.url
    assert "#token" not in address
    other = Looking(browser)
    other.open(live)
    other.page.goto(address)
    other.wait(lambda: len(other.rows()) == 1)
    assert other.rows() == person.rows()
    assert other.trouble == []
    other.close()


def test_the_next_failure_is_one_key_away(live: Served, person: Looking) -> None:
    live.emit(*failed("desk", "no seats on flight 7"), *numbered(0, 40))
    page = person.open(live)
    person.wait(lambda: len(person.rows()) > 20)
    page.keyboard.press("e")
    page.keyboard.press("Enter")
    drawer = page.get_by_role("complementary").last
    drawer.wait_for()
    assert "no seats on flight 7" in drawer.inner_text()
    page.keyboard.press("Escape")
    person.wait(lambda: page.get_by_role("complementary").count() == 0 or not drawer.is_visible())


def test_a_hundred_thousand_rows_scroll_with_few_in_the_page(live: Served, person: Looking) -> None:
    page = person.open(live)
    for first in range(0, 30_000, 1000):
        live.emit(*numbered(first, 1000))
    person.wait(lambda: max(person.rows(), default=0) > 29_990, 40)
    grid = page.get_by_role("grid")
    assert grid.locator("[role=row]").count() < 120
    page.keyboard.press("Space")
    grid.hover()
    for _ in range(20):
        page.mouse.wheel(0, 20_000)
    page.wait_for_timeout(500)
    assert min(person.rows()) < 29_000
    assert grid.locator("[role=row]").count() < 120


# --- approvals --------------------------------------------------------------------------------------------------------


def gate(live: Served, arguments: dict[str, Any]) -> Any:
    async def ask() -> Any:
        agent = await live.hub.agents.register("refunds")
        return live.hub.approvals.gate(agent, "refund", arguments=arguments)

    coroutine = live.call(ask)
    return live.portal.start_task_soon(asyncio.wait_for, coroutine, 60)


def test_an_approval_is_decided_by_keyboard_alone(live: Served, person: Looking) -> None:
    task = gate(live, {"amount": 1203})
    page = person.open(live)
    page.keyboard.press("g")
    page.keyboard.press("p")
    page.get_by_text("refund(amount=1203)").first.wait_for()
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.get_by_role("button", name=re.compile("^Approve")).wait_for()
    page.keyboard.press("a")
    page.keyboard.type("the passenger is ill")
    page.keyboard.press("Enter")
    approval = task.result(20)
    assert (approval.approver, approval.reason) == ("ann", "the passenger is ill")


def test_a_denial_without_a_reason_is_not_sent(live: Served, person: Looking) -> None:
    task = gate(live, {"amount": 1203})
    page = person.open(live, "approvals")
    page.get_by_text("refund(amount=1203)").first.wait_for()
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.get_by_role("button", name=re.compile("^Deny")).wait_for()
    page.keyboard.press("d")
    page.keyboard.press("Enter")
    page.wait_for_timeout(500)
    assert not task.done()
    page.keyboard.type("not today")
    page.keyboard.press("Enter")
    with pytest.raises(Exception, match="not today"):
        task.result(20)


def test_who_may_only_look_is_told_so(live: Served, person: Looking) -> None:
    task = gate(live, {"amount": 1203})
    page = person.open(live, "approvals", "red")
    page.get_by_text("refund(amount=1203)").first.click()
    page.get_by_text("You may look.").first.wait_for()
    page.keyboard.press("a")
    page.wait_for_timeout(300)
    assert not task.done()
    task.cancel()


# --- hostile text -----------------------------------------------------------------------------------------------------

HOSTILE = {
    "markup": "<img src=x onerror=alert(1)><script>alert(2)</script><b>bold</b>",
    "link": "javascript:alert(3)",
    "bidi": "\u202egnp.exe\u202c\u2066 \u2069",
    "controls": "\x1b[31mred\x07\x00",
    "zalgo": "a" + "\u0301" * 500,
    "long": "x" * 1_000_000,
    "keys": {f"key {number}": number for number in range(10_000)},
    "deep": [[[[[[[[[[[[["deep"]]]]]]]]]]]]],
    "proto": {"__proto__": {"polluted": True}, "constructor": {"prototype": 1}},
}


@pytest.mark.parametrize("name", list(HOSTILE))
def test_text_of_agents_is_text(live: Served, person: Looking, name: str) -> None:
    text = HOSTILE[name]
    title = str(text)[:60]

    async def live_it() -> None:
        agent = await live.hub.agents.register(title[:40] if name in ("markup", "bidi", "link") else "mallory")
        channel = await live.hub.channels.open([agent, await live.hub.agents.register("bob")], topic=title)
        await channel.post(agent, text if name != "long" else text[:200_000])
        turn = {"agent_id": agent.id, "turn_id": "1", "correlation_id": title}
        await live.hub.emit(TurnStarted(**turn))
        await live.hub.emit(ToolCalled(**turn, tool=title, call_id="1", arguments={"it": text}))
        await live.hub.emit(ToolFailed(**turn, tool=title, call_id="1", error_message=title, metadata={"it": text}))

    live.call(live_it)
    page = person.open(live)
    person.wait(lambda: len(person.rows()) > 3)
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_timeout(500)
    for view in ("agents", "channels", "runs", "approvals", "listeners", "log"):
        person.go(view)
        page.wait_for_timeout(300)
        page.keyboard.press("j")
        page.keyboard.press("Enter")
        page.wait_for_timeout(300)
    assert page.locator("img[src=x], main b, main script").count() == 0
    assert page.evaluate("({}).polluted") is None
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


# --- who may ----------------------------------------------------------------------------------------------------------


def test_a_wrong_token_shows_where_to_sign_in(live: Served, person: Looking) -> None:
    page = person.page
    page.goto(f"{live.url}#token=wrong-{'x' * 30}")
    page.get_by_label(re.compile("token", re.IGNORECASE)).first.wait_for()
    assert "wrong-" not in page.url
    page.get_by_label(re.compile("token", re.IGNORECASE)).first.fill(TOKENS["ann"])
    page.keyboard.press("Enter")
    page.get_by_role("navigation", name="Views").wait_for()
    assert page.evaluate("document.cookie") == ""
    assert "token" not in page.evaluate("JSON.stringify({...localStorage, ...sessionStorage})")
    person.trouble.clear()  # the browser tells of the 401


def test_another_name_that_leads_here_sees_nothing(live: Served, person: Looking) -> None:
    """A page of others has let its name lead to this machine."""
    answer = person.page.goto(f"http://evil.example:{live.port}/")
    assert answer.status == 421
    person.trouble.clear()
    person.asked.clear()


def test_contents_stay_hidden_from_who_may_not_see_them(live: Served, person: Looking) -> None:
    live.emit(*failed("desk", "the secret of the failure"))
    page = person.open(live, person="eve")
    person.wait(lambda: len(person.rows()) > 2)
    for view in ("live", "agents", "runs", "log"):
        person.go(view)
        page.wait_for_timeout(300)
        page.keyboard.press("j")
        page.keyboard.press("Enter")
        page.wait_for_timeout(300)
        assert "the secret of the failure" not in page.content()


# --- what everyone can use --------------------------------------------------------------------------------------------

VIEWS = ("live", "agents", "channels", "runs", "approvals", "listeners", "log")


def lived(live: Served) -> Any:
    """Let a hub have a little of everything; return what waits for a person."""

    async def live_it() -> None:
        async def sick(_: object) -> None:
            raise ConnectionError("503 Service Unavailable")

        live.hub.attach(sick, pattern="tool.failed", name="pager")
        desk, coder = await live.hub.agents.register("desk"), await live.hub.agents.register("coder")
        channel = await live.hub.channels.open([desk, coder], topic="rebook K1NW8N")
        await channel.post(desk, "Yes, please proceed")
        turn = {"agent_id": coder.id, "turn_id": "1", "correlation_id": "case", "channel_id": channel.id}
        await live.hub.emit(TurnStarted(**turn))
        await live.hub.emit(ToolCalled(**turn, tool="book", call_id="1", arguments={"cabin": "economy"}))
        await live.hub.emit(ToolFailed(**turn, tool="book", call_id="1", error_message="no seats"))

    live.call(live_it)
    return gate(live, {"amount": 1203})


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_the_checker_of_accessibility_finds_nothing(tmp_path: Path, browser: Any, theme: str, width: int) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    with served(tmp_path) as live:
        task = lived(live)
        person = Looking(browser, width=width, color_scheme=theme)
        page = person.open(live)
        for view in VIEWS:
            person.go(view)
            page.wait_for_timeout(700)
            for state in ("", "open"):
                if state:
                    page.keyboard.press("j")
                    page.keyboard.press("Enter")
                    page.wait_for_timeout(400)
                found = axe.run(page).response["violations"]
                assert [(each["id"], each["nodes"][0]["html"][:200]) for each in found] == [], f"{view} {state}"
            page.keyboard.press("Escape")
        task.cancel()
        person.close()
        assert person.trouble == []


@pytest.mark.parametrize("width", [1440, 900, 390, 320])
def test_no_view_scrolls_sideways(tmp_path: Path, browser: Any, width: int) -> None:
    with served(tmp_path) as live:
        task = lived(live)
        person = Looking(browser, width=width)
        page = person.open(live)
        for view in VIEWS:
            person.go(view)
            page.wait_for_timeout(400)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), view
        task.cancel()
        person.close()
        assert person.trouble == []


def test_every_view_is_reached_by_its_keys_and_the_list_of_them(live: Served, person: Looking) -> None:
    page = person.open(live)
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
