"""Where a content comes from is a mark on the page: a field of its row, and not a part of its words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from hubwire import Hub, scope
from hubwire.approvals import ApprovalPolicy
from hubwire.events import GenericEvent
from hubwire.listeners.dashboard._rows import Rows
from hubwire.provenance import provenance
from hubwire.stores import MemoryStore
from hubwire.words import Names
from support.browser import Looking, Served, chromium, served

WEB_AND_USER = provenance("web", "user")


def row_of(event: GenericEvent, *, contents: bool = True) -> dict[str, Any]:
    return Rows(Names()).row(event, contents=contents)


def test_a_row_says_it_beside_its_words() -> None:
    said = row_of(GenericEvent(kind="a.b", data={"text": "hello"}, metadata=WEB_AND_USER))
    plain = row_of(GenericEvent(kind="a.b", data={"text": "hello"}))
    assert said == plain | {"provenance": ("user", "web")}
    assert said["words"] == plain["words"] != ""


def test_a_row_has_only_words_that_there_are() -> None:
    """What else stands in the metadata is text, as before."""
    odd = {"provenance": ["\x1b[2J", "wbe", "web"], "trace": 7}
    found = row_of(GenericEvent(kind="a.b", data={"text": "hello"}, metadata=odd))
    assert found["provenance"] == ("web",)
    assert '"trace":7' in found["words"]
    assert "wbe" not in found["words"]
    assert "provenance" not in row_of(GenericEvent(kind="a.b", metadata={"provenance": ["wbe"]}))


def test_who_may_not_see_contents_does_not_see_where_they_come_from() -> None:
    found = row_of(GenericEvent(kind="a.b", data={"text": "hello"}, metadata=WEB_AND_USER), contents=False)
    assert "provenance" not in found
    assert "web" not in str(found)


# --- in a browser ---------------------------------------------------------------------------------------------------


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


@pytest.mark.slow
class TestInABrowser:
    @pytest.fixture(autouse=True)
    def blockbuster(self) -> None:
        """The driver of the browser has a loop in this thread, where tests wait for the hub in its own."""

    @pytest.fixture(scope="class")
    def team(self) -> Iterator[Served]:
        with served(lambda: Hub(MemoryStore(), approvals=ApprovalPolicy(timeout_seconds=3600))) as found:
            found.call(_talk, found.hub)
            yield found

    @pytest.mark.parametrize("width", [1440, 390])
    def test_a_mark_stands_before_the_words(self, team: Served, browser: Any, width: int) -> None:
        """And its title says what it means; the drawer has it, too."""
        person = Looking(browser, width=width)
        page = person.open(team)
        row = page.locator("[role=row]", has_text="the page says so")
        mark = row.locator(".from")
        assert mark.inner_text().strip() == "web, tool"
        assert mark.get_attribute("title") == "Comes from the web and a tool, as who sent it says"
        assert "⟨" not in row.inner_text()
        assert person.violations() == []
        row.click()
        page.locator("aside.drawer").get_by_text("the web and a tool, as who sent it says").wait_for()
        person.close()
        assert person.trouble == []

    def test_who_decides_sees_where_the_arguments_come_from(self, team: Served, browser: Any) -> None:
        person = Looking(browser)
        page = person.open(team, "approvals")
        person.select()
        part = page.locator("aside.drawer section.arguments")
        assert part.locator(".from").inner_text().strip() == "web"
        person.close()
        assert person.trouble == []

    def test_a_run_that_waits_for_a_person_says_so(self, team: Served, browser: Any) -> None:
        person = Looking(browser)
        page = person.open(team, "runs")
        run = page.locator("li.run", has_text="deploy it")
        run.get_by_role("img", name="Waits for a person").wait_for()
        run.get_by_role("button").first.click()
        run.get_by_text("waits for a person").wait_for()
        assert person.violations() == []
        person.close()
        assert person.trouble == []
