"""The dashboard in a browser: what a person sees, and what their keys do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hubwire import Hub
from hubwire.approvals import ApprovalPolicy, ChallengeKind, RiskLevel
from support.browser import Alone, Looking, Served, asleep, chromium, failed, gate, numbered, served

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def blockbuster() -> None:
    """The driver of the browser has a loop in this thread, where tests wait for the hub in its own."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path) as found:
        yield found


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Alone]:
    found = Alone(tmp_path)
    found.start()
    yield found
    found.kill()


@pytest.fixture
def person(browser: Any) -> Iterator[Looking]:
    found = Looking(browser)
    yield found
    found.close()
    assert found.trouble == []
    assert found.elsewhere() == []


# --- what comes -------------------------------------------------------------------------------------------------------


def test_events_arrive_by_themselves_the_newest_on_top(live: Served, person: Looking) -> None:
    page = person.open(live)
    before = person.rows()
    [event] = live.emit(*numbered(1, 1))
    person.wait(lambda: person.rows()[:1] == [event.seq])
    assert before[0] in person.rows()
    assert "number=1" in page.get_by_role("grid").inner_text()


def test_records_of_the_log_itself_are_in_the_log_and_open(live: Served, person: Looking) -> None:
    live.emit(*numbered(0, 3))
    page = person.open(live, "log")
    opened = page.get_by_role("grid").locator("[role=row][id^=row-]").filter(has_text="log.opened")
    assert "log.opened" in opened.inner_text()
    opened.click()
    drawer = page.locator("aside.drawer")
    drawer.get_by_text("record 0", exact=True).wait_for()
    drawer.get_by_text("JSON").first.wait_for()
    assert "sel=-1" in page.url or "/log/-1" in page.url, page.url


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


def test_a_press_opens_the_row_that_was_pressed(live: Served, person: Looking) -> None:
    """Also where others come between the press and its end."""
    live.emit(*numbered(0, 40))
    page = person.open(live)
    person.wait(lambda: len(person.rows()) > 20)
    pressed = person.rows()[9]
    place = page.locator(f"#row-{pressed}").bounding_box()
    page.mouse.move(place["x"] + 300, place["y"] + place["height"] / 2)
    page.mouse.down()
    live.emit(*numbered(100, 5))
    page.get_by_role("button", name="5 new").wait_for()
    page.mouse.up()
    page.locator("aside.drawer").get_by_text(f"#{pressed}", exact=True).first.wait_for()
    assert f"sel={pressed}" in page.url


PLACES = """() => {
    const strip = document.querySelector('.strip').getBoundingClientRect().bottom
    const rows = [...document.querySelectorAll('[role=row][id^=row-]')]
        .map(row => [row.id, row.getBoundingClientRect()])
    const cut = rows.filter(([, {top, bottom}]) => top < strip - 0.5 && bottom > strip + 0.5)
    return {strip, cut: cut.map(([id]) => id), tops: Object.fromEntries(rows.map(([id, {top}]) => [id, top]))}
}"""


@pytest.mark.parametrize("width", [1440, 390])
def test_a_pause_moves_no_row_and_covers_none(live: Served, person: Looking, width: int) -> None:
    person.page.set_viewport_size({"width": width, "height": 844})
    live.emit(*numbered(0, 20))
    page = person.open(live)
    person.wait(lambda: len(person.rows()) > 12)
    page.locator(".strip-following").wait_for()
    before = page.evaluate(PLACES)
    page.keyboard.press("Space")
    page.locator(".strip-paused").wait_for()
    assert page.evaluate(PLACES) == before
    assert before["cut"] == []
    page.keyboard.press("Space")
    last = live.emit(*numbered(0, 60))[-1]
    page.locator(".strip-busy").wait_for()
    person.wait(lambda: person.rows()[:1] == [last.seq])
    assert page.evaluate(PLACES)["strip"] == before["strip"]


@pytest.mark.parametrize("way", ["far", "j", "k"])
def test_what_keys_bring_into_sight_cuts_no_row_at_the_top(live: Served, person: Looking, way: str) -> None:
    last = live.emit(*numbered(0, 400))[-1]
    page = person.open(live)
    person.wait(lambda: person.rows()[:1] == [last.seq])
    page.keyboard.press("j")
    if way == "far":
        person.go("live", f"?sel={last.seq - 201}")
        page.keyboard.press("j")
        page.locator(f"#row-{last.seq - 202}").wait_for()
    else:
        for _ in range(40):
            page.keyboard.press("j")
        for _ in range(40 if way == "k" else 0):
            page.keyboard.press("k")
    person.until_still()
    places = page.evaluate(PLACES)
    assert places["cut"] == []
    chosen = page.locator("[role=row][aria-selected=true]")
    box = chosen.bounding_box()
    assert places["strip"] <= box["y"] <= 900 - box["height"]


def test_scrolling_away_pauses_and_keeps_the_place(live: Served, person: Looking) -> None:
    live.emit(*numbered(0, 500))
    page = person.open(live)
    person.wait(lambda: len(person.rows()) > 20)
    page.get_by_role("grid").hover()
    page.mouse.wheel(0, 3000)
    page.get_by_role("button", name="Go on").wait_for()
    person.until_still()
    row = page.locator(f"#row-{person.rows()[16]}")
    text, place = row.inner_text(), row.bounding_box()
    live.emit(*numbered(1000, 300))
    page.get_by_role("button", name="300 new").wait_for()
    assert row.inner_text() == text
    assert row.bounding_box() == place


def test_a_restart_of_the_server_loses_and_doubles_nothing(live: Served, person: Looking) -> None:
    """The hub goes on meanwhile."""
    live.emit(*numbered(0, 30))
    page = person.open(live)
    person.wait(lambda: len(person.rows()) > 20)
    newest = person.rows()[0]
    live.stop_serving()
    page.get_by_text(re.compile("Reconnecting")).wait_for()
    live.emit(*numbered(100, 20))
    assert person.rows()[0] == newest
    live.serve()
    person.wait(lambda: person.rows()[0] >= newest + 20, 40)
    assert person.is_whole()
    person.trouble.clear()  # the browser tells of connections that failed


def test_a_killed_server_is_found_again_with_all_rows(alone: Alone, person: Looking) -> None:
    last, _ = alone.emit(100)
    page = person.open(alone)
    person.wait(lambda: person.rows()[:1] == [last])
    alone.kill()
    page.get_by_text(re.compile("Reconnecting")).wait_for()
    assert person.rows()[0] == last
    alone.start()
    after, _ = alone.emit(100)
    person.wait(lambda: person.rows()[0] == after, 40)
    assert after > last + 100
    assert person.count() == after + 1
    assert person.is_whole()
    assert page.get_by_text("This is another hub").count() == 0
    person.trouble.clear()


def test_what_is_kept_no_longer_is_a_row_that_says_so(person: Looking) -> None:
    with served(lambda: Hub(ring=64, in_flight_max=16)) as live:
        live.emit(*numbered(0, 10))
        page = person.open(live)
        person.wait(lambda: len(person.rows()) > 10)
        newest = person.rows()[0]
        live.stop_serving()
        page.get_by_text(re.compile("Reconnecting")).wait_for()
        last = [live.emit(*numbered(first, 500))[-1] for first in range(0, 10_000, 500)][-1]
        live.serve()
        person.wait(lambda: person.rows()[0] >= last.seq, 40)
        page.get_by_role("grid").evaluate("grid => { grid.scrollTop = grid.scrollHeight }")
        page.locator(".row-gap").get_by_text(re.compile(rf"Events {newest + 1} to [\d,]+ are gone")).wait_for()
        person.trouble.clear()


def test_a_frozen_tab_wakes_up_with_all_that_came(live: Served, person: Looking) -> None:
    """As browsers freeze the tabs that are not looked at."""
    live.emit(*numbered(0, 20))
    page = person.open(live)
    person.wait(lambda: len(person.rows()) > 20)
    states = person.context.new_cdp_session(page)
    states.send("Page.setWebLifecycleState", {"state": "frozen"})
    last = [live.emit(*numbered(first, 500))[-1] for first in range(0, 10_000, 500)][-1]
    states.send("Page.setWebLifecycleState", {"state": "active"})
    person.wait(lambda: person.rows()[:1] == [last.seq], 40)
    assert person.count() == last.seq + 1


def test_a_machine_that_slept_has_all_rows_or_a_row_for_the_gap(browser: Any, person: Looking) -> None:
    """All processes of the browser are stopped meanwhile, and the server cannot write on."""
    with served(lambda: Hub(ring=1024)) as live:
        live.emit(*numbered(0, 20))
        page = person.open(live)
        person.wait(lambda: len(person.rows()) > 20)
        with asleep(browser):
            last = [live.emit(*numbered(first, 500))[-1] for first in range(0, 30_000, 500)][-1]
        person.wait(lambda: person.rows()[:1] == [last.seq], 40)
        dropped = page.get_by_role("button", name=re.compile("dropped$")).inner_text()
        assert int(re.sub(r"\D", "", dropped)) >= last.seq + 1 - person.count() > 0
        page.keyboard.press("Space")
        above, end, begin, below = person.newest_gap()
        assert above == end + 1 > begin == below + 1
        page.set_viewport_size({"width": 390, "height": 844})
        person.wait(lambda: bool(page.locator(".row-narrow").count()))
        person.newest_gap()
        words = page.locator(".gap-text").first
        assert re.fullmatch(
            r"Events [\d,]+ to [\d,]+ are gone from this page: this page was too far behind", words.inner_text()
        )
        assert words.evaluate("text => text.scrollHeight <= text.clientHeight && text.clientHeight <= 48")


def test_another_hub_is_told_and_its_numbers_begin_anew(person: Looking) -> None:
    with served(Hub) as live:
        live.emit(*numbered(0, 40))
        page = person.open(live)
        person.wait(lambda: len(person.rows()) > 20)
        live.stop()
        live.start()
        page.get_by_text("This is another hub than before").wait_for(timeout=40_000)
        [event] = live.emit(*numbered(0, 1))
        person.wait(lambda: person.rows()[:1] == [event.seq])
        assert person.count() == event.seq + 1
        person.trouble.clear()


def test_ten_tabs_get_all_of_two_thousand_events_a_second(alone: Alone, person: Looking, record_property: Any) -> None:
    person.open(alone)
    tabs = [person.page, *(person.tab() for _ in range(9))]
    for tab in tabs[1:]:
        tab.goto(f"{alone.url}#/live")
    person.wait(lambda: all(person.rows(tab) for tab in tabs))
    last, share = alone.emit(6000, rate=2000)
    record_property("the share of a core that ten tabs cost", share)
    person.wait(lambda: all(person.rows(tab)[0] == last for tab in tabs), 50)
    assert {person.count(tab) for tab in tabs} == {last + 1}
    assert all(person.is_whole(tab) for tab in tabs)


def test_a_hundred_thousand_rows_scroll_with_few_in_the_page(live: Served, person: Looking) -> None:
    page = person.open(live)
    last = [live.emit(*numbered(first, 1000))[-1] for first in range(0, 100_000, 1000)][-1]
    person.wait(lambda: max(person.rows(), default=0) == last.seq, 50)
    assert person.count() > 99_000
    grid = page.get_by_role("grid")
    for share in (0.5, 1.0, 0.1):
        grid.evaluate("(grid, share) => { grid.scrollTop = grid.scrollHeight * share }", share)
        wanted = last.seq - 100_000 * share
        person.wait(lambda wanted=wanted: min(abs(seq - wanted) for seq in person.rows()) < 100)  # type: ignore[misc]
        assert len(person.rows()) < 120
        assert person.is_whole()


# --- what is looked for -----------------------------------------------------------------------------------------------


def test_a_filter_shows_what_matches_alone(live: Served, person: Looking) -> None:
    live.emit(*failed("desk", "no seats"), *numbered(0, 40))
    page = person.open(live)
    person.wait(lambda: len(person.rows()) > 20)
    page.keyboard.press("/")
    page.keyboard.type("number=17")
    page.keyboard.press("Enter")
    person.wait(lambda: len(person.rows()) == 1)
    assert "number=17" in page.get_by_role("grid").inner_text()
    live.emit(*numbered(17, 1), *numbered(18, 1))
    person.wait(lambda: len(person.rows()) == 2)


def test_a_link_shows_a_colleague_the_same_view(live: Served, person: Looking, browser: Any) -> None:
    live.emit(*failed("desk", "no seats"), *numbered(0, 10))
    page = person.open(live)
    person.wait(lambda: len(person.rows()) > 10)
    page.get_by_role("button", name=re.compile("^1 failed")).click()
    person.wait(lambda: len(person.rows()) == 1)
    page.locator("[role=row][id]").click()
    page.locator("aside.drawer").wait_for()
    address = page.url
    assert "token" not in address
    other = Looking(browser)
    other.open(live)
    other.page.goto(address)
    other.wait(lambda: other.rows() == person.rows())
    other.page.locator("aside.drawer").get_by_text("no seats").first.wait_for()
    assert other.trouble == []
    other.close()


def test_the_next_failure_is_one_key_away(live: Served, person: Looking) -> None:
    live.emit(*failed("desk", "no seats on flight 7"), *numbered(0, 15))  # above 30 rows a second, `e` would filter
    page = person.open(live)
    person.wait(lambda: len(person.rows()) > 16)
    page.keyboard.press("e")
    page.keyboard.press("Enter")
    drawer = page.locator("aside.drawer")
    drawer.get_by_text("no seats on flight 7").first.wait_for()

    def is_closed() -> bool:
        page.keyboard.press("Escape")  # heeded once the drawer is painted
        return bool(drawer.count() == 0)

    person.wait(is_closed)


# --- approvals --------------------------------------------------------------------------------------------------------


def test_an_approval_is_decided_by_keyboard_alone(live: Served, person: Looking) -> None:
    task = gate(live, {"amount": 1203})
    page = person.open(live)
    page.keyboard.press("g")
    page.keyboard.press("p")
    page.get_by_text("refund(amount=1203)").first.wait_for()
    person.select()
    page.get_by_role("button", name=re.compile("^Approve")).wait_for()
    page.keyboard.press("a")
    page.keyboard.type("the passenger is ill")
    page.keyboard.press("Enter")
    approval = task.result(20)
    assert (approval.approvers, approval.reason) == (("ann",), "the passenger is ill")
    page.locator(".view").get_by_text("the passenger is ill").first.wait_for()


def test_a_quiz_is_asked_before_a_yes_is_sent(live: Served, person: Looking) -> None:
    """By keyboard alone: what has no reply is gone to, and a wrong reply decides nothing."""
    policy = ApprovalPolicy(challenges=dict.fromkeys(RiskLevel, ChallengeKind.QUIZ))
    task = gate(live, {"amount": 1203, "to": "Zürich"}, policy)
    page = person.open(live, "approvals")
    person.select()
    page.get_by_role("button", name=re.compile("^Approve")).wait_for()
    page.keyboard.press("a")
    page.get_by_label("Type the value of amount").wait_for()
    page.keyboard.press("Enter")
    page.keyboard.type("1204")
    page.keyboard.press("Enter")
    assert not [url for url in person.asked if url.endswith("/decision")]
    page.keyboard.type("Zürich")
    page.keyboard.press("Enter")
    page.get_by_text("the quiz was not passed").wait_for()
    page.get_by_label("Type the value of amount").fill("1203")
    page.keyboard.press("Enter")
    assert task.result(20).approvers == ("ann",)
    assert all("409" in each for each in person.trouble)
    person.trouble.clear()


def test_a_denial_without_a_reason_is_not_sent(live: Served, person: Looking) -> None:
    task = gate(live, {"amount": 1203})
    page = person.open(live, "approvals")
    person.select()
    page.get_by_role("button", name=re.compile("^Deny")).wait_for()
    page.keyboard.press("d")
    page.keyboard.press("Enter")
    page.get_by_text("a denial needs a reason").wait_for()
    assert not [url for url in person.asked if url.endswith("/decision")]
    page.keyboard.type("not today")
    page.keyboard.press("Enter")
    with pytest.raises(Exception, match="not today"):
        task.result(20)


def test_who_may_only_look_is_told_so(live: Served, person: Looking) -> None:
    task = gate(live, {"amount": 1203})
    page = person.open(live, "approvals", "red")
    person.select()
    page.get_by_text("You may look.").first.wait_for()
    page.keyboard.press("a")
    page.keyboard.type("x")
    page.keyboard.press("Enter")
    page.keyboard.press("g")
    page.keyboard.press("l")
    page.locator("section.live").wait_for()
    assert not [url for url in person.asked if url.endswith("/decision")]
    task.cancel()
