"""Where a content comes from, and what waits for a person, as a browser shows it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from hubwire import Hub, scope
from hubwire.approvals import ApprovalPolicy
from hubwire.events import TurnStarted
from hubwire.listeners import AuditLog
from hubwire.stores import FileStore
from support.browser import Looking, Served, chromium, served

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def blockbuster() -> None:
    """The driver of the browser has a loop in this thread, where tests wait for the hub in its own."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


async def _talk(hub: Hub) -> None:
    planner, coder = await hub.agents.register("planner"), await hub.agents.register("coder")
    channel = await hub.channels.open([planner, coder], topic="#1 news")
    await channel.post(planner, "the page says so", provenance=["web", "tool"])
    with scope(correlation_id="deploy it"):
        turn = hub.turns.turn(coder, prompt="deploy it", provenance=["user"])
        async with turn, hub.turns.tool("read", {"path": "a"}) as call:
            call.done("x", provenance=["web"])
        await hub.approvals.request(coder, "deploy", arguments={"to": "live"}, provenance=["web"])
    with scope(correlation_id="it goes on"):
        await hub.emit(TurnStarted(agent_id=planner.id, turn_id="1", prompt="it goes on"))
        await hub.approvals.request(planner, "deploy", arguments={"to": "live"})


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    path = tmp_path_factory.mktemp("team")

    def hub() -> Hub:
        store = FileStore(path)
        return Hub(store, listeners=[AuditLog(store)], approvals=ApprovalPolicy(timeout_seconds=3600))

    with served(hub) as found:
        found.call(_talk, found.hub)
        yield found


@pytest.mark.parametrize("width", [1440, 390])
def test_a_mark_stands_before_the_words(team: Served, browser: Any, width: int) -> None:
    """Its title says what it means; the drawer has it, too."""
    person = Looking(browser, width=width)
    page = person.open(team)
    row = page.locator("[role=row]", has_text="the page says so")
    mark = row.locator(".from")
    assert mark.text_content().endswith("web, tool")
    assert mark.get_attribute("title") == "Comes from the web and a tool, as who sent it says"
    assert "⟨" not in row.inner_text()
    assert person.violations() == []
    row.click()
    page.locator("aside.drawer").get_by_text("the web and a tool, as who sent it says").wait_for()
    person.close()
    assert person.trouble == []


def test_who_decides_sees_where_the_arguments_come_from(team: Served, browser: Any) -> None:
    person = Looking(browser)
    page = person.open(team, "approvals")
    person.select()
    mark = page.locator("aside.drawer section.arguments .from")
    assert mark.text_content().endswith("web")
    person.close()
    assert person.trouble == []


@pytest.mark.parametrize("title", ["deploy it", "it goes on"])
def test_a_run_that_waits_for_a_person_says_so(team: Served, browser: Any, title: str) -> None:
    """Whether its turn has ended, or is open meanwhile; and it leads to what a person has to decide."""
    person = Looking(browser)
    page = person.open(team, "runs")
    run = page.locator("li.run", has_text=title)
    run.get_by_role("img", name="Waits for a person").wait_for()
    run.get_by_role("button").first.click()
    run.get_by_role("link", name="waits for a person", exact=True).wait_for()
    assert person.violations() == []
    run.get_by_role("link", name="waits for a person", exact=True).click()
    page.locator("section.view[aria-label=Approvals]").wait_for()
    person.close()
    assert person.trouble == []
