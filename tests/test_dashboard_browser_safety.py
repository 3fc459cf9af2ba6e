"""The dashboard in a browser: what agents say is text alone, and who may not is kept out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from hubwire import Hub
from hubwire.events import ToolCalled, ToolFailed, TurnStarted
from support.browser import TOKENS, VIEWS, Looking, Served, chromium, failed, free_port, gate, served

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def blockbuster() -> None:
    """The driver of the browser has a loop in this thread, where tests wait for the hub in its own."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium("--host-resolver-rules=MAP evil.example 127.0.0.1") as opened:
        yield opened


@pytest.fixture
def person(browser: Any) -> Iterator[Looking]:
    found = Looking(browser)
    yield found
    found.close()
    assert found.trouble == []
    assert found.elsewhere() == []


# --- what agents say --------------------------------------------------------------------------------------------------

MARKUP = "<img src=x onerror=alert(1)><script>alert(2)</script><b>bold</b><a href='javascript:alert(3)'>go</a>"
HOSTILE = {
    "link": "javascript:alert(3)",
    "bidi": "\u202egnp.exe\u202c\u2066 \u2069",
    "controls": "\x1b[31mred\x07\x00\u2028line",
    "zalgo": "a" + "\u0301" * 500,
    "percent": "100% of %2F..%2f../&tenant=eu#/log?x=",
    "long": "x" * 1_000_000,
    "keys": {f"key {number}": number for number in range(10_000)},
    "deep": [[[[[[[[[[[[["deep"]]]]]]]]]]]]],
    "proto": {"__proto__": {"polluted": True}, "constructor": {"prototype": 1}},
    "markup": MARKUP,
}


async def _say_all(hub: Hub) -> None:
    bob = await hub.agents.register("bob")
    for name, text in HOSTILE.items():
        title = str(text)[:60]
        agent = await hub.agents.register(title[:40] if name in ("markup", "bidi", "link", "percent") else name)
        channel = await hub.channels.open([agent, bob], topic=title)
        await channel.post(agent, text if name != "long" else "x" * 200_000)
        turn: dict[str, Any] = {
            "agent_id": agent.id,
            "turn_id": name,
            "correlation_id": title,
            "channel_id": channel.id,
        }
        await hub.emit(TurnStarted(**turn))
        await hub.emit(ToolCalled(**turn, tool=title, call_id="1", arguments={"it": text}))
        await hub.emit(ToolFailed(**turn, tool=title, call_id="1", error_message=title, metadata={"it": text}))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("hostile")) as live:
        live.call(_say_all, live.hub)
        gate(live, {MARKUP: MARKUP, "keys": HOSTILE["keys"]})
        yield live


@pytest.mark.parametrize("view", VIEWS)
def test_text_of_agents_is_text(hostile: Served, person: Looking, view: str) -> None:
    page = person.open(hostile, view)
    if view in ("live", "agents", "channels"):
        page.locator("main").get_by_text("<img src=x").first.wait_for()
    for _ in range({"live": 12, "channels": 12, "listeners": 0}.get(view, 1)):
        person.select()
    seen = page.evaluate("document.body.innerHTML")
    assert page.locator("img[src=x], main a[href^=javascript]").count() == 0
    assert page.locator("b, script").filter(has_text=re.compile("^(bold|alert)")).count() == 0
    assert page.evaluate("({}).polluted") is None
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert len(page.evaluate("[...document.querySelectorAll('*')]")) < 10_000
    assert "\u202e" not in seen


def test_the_policy_of_the_page_runs_no_other_script(hostile: Served, person: Looking) -> None:
    page = person.open(hostile)
    page.evaluate("""() => {
        const script = document.createElement('script')
        script.textContent = 'window.ran = true'
        document.body.append(script)
        document.body.insertAdjacentHTML('beforeend', '<img src=x onerror="window.ran = true">')
    }""")
    person.wait(lambda: sum(each.startswith("error CSP") for each in person.trouble) >= 2)
    person.wait(lambda: sum("404" in each for each in person.trouble) >= 2)  # of the picture, which there is not
    assert page.evaluate("window.ran") is None
    person.trouble.clear()


# --- who may ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("live")) as found:
        desk = found.call(found.hub.agents.register, "desk")
        found.emit(*failed(desk.id, "the secret of the failure"))
        yield found


def test_a_wrong_token_shows_where_to_sign_in(live: Served, person: Looking) -> None:
    page = person.page
    page.goto(f"{live.url}#token=wrong-{'x' * 30}")
    page.get_by_text("the token is not one of this dashboard").wait_for()
    assert "wrong-" not in page.url
    person.trouble.clear()  # the browser tells of the 401
    assert person.violations() == []
    page.get_by_label("Token").fill(TOKENS["ann"])
    page.keyboard.press("Enter")
    page.get_by_role("navigation", name="Views").wait_for()
    assert page.evaluate("document.cookie") == ""
    assert "token" not in page.evaluate("JSON.stringify({...localStorage, ...sessionStorage})")
    assert not [url for url in person.asked if "token=" in url.partition("#")[0]]


def test_who_is_not_signed_in_any_more_signs_in_and_goes_on(live: Served, person: Looking) -> None:
    page = person.open(live)
    person.wait(lambda: len(person.rows()) > 3)
    rows = person.rows()
    live.stop_serving()
    person.context.clear_cookies()
    live.serve()
    page.get_by_label("Token").fill(TOKENS["ann"], timeout=40_000)
    page.keyboard.press("Enter")
    person.wait(lambda: set(rows) <= set(person.rows()))
    person.trouble.clear()


def test_another_name_that_leads_here_sees_nothing(live: Served, person: Looking) -> None:
    """A page of others has let its name lead to this machine."""
    answer = person.page.goto(f"http://evil.example:{live.port}/")
    assert answer.status == 421
    answers = person.page.evaluate("""async paths => {
        const answers = []
        for (const path of paths) answers.push((await fetch(path)).status)
        return answers
    }""", ["api/session", "api/stream", "api/events", "metrics", "api/openapi.json"])  # fmt: skip
    assert set(answers) == {421}
    person.trouble.clear()
    person.asked.clear()


ATTACK = """async url => {
    const done = {}
    const body = JSON.stringify({verdict: 'approve', reason: 'because'})
    const tries = {
        simple: {method: 'POST', mode: 'no-cors', credentials: 'include', body},
        json: {method: 'POST', credentials: 'include', headers: {'Content-Type': 'application/json'}, body},
        read: {credentials: 'include'},
    }
    for (const [name, settings] of Object.entries(tries)) {
        const path = name === 'read' ? 'api/events' : `api/approvals/${window.approval}/decision`
        try {
            const answer = await fetch(url + path, settings)
            done[name] = answer.type === 'opaque' ? 'opaque' : await answer.text()
        } catch { done[name] = 'refused' }
    }
    done.stream = await new Promise(resolve => {
        const source = new EventSource(url + 'api/stream', {withCredentials: true})
        source.onerror = () => { source.close(); resolve('refused') }
        source.addEventListener('rows', () => resolve('read'))
    })
    const frame = document.createElement('iframe')
    frame.src = url
    document.body.append(frame)
    await new Promise(resolve => { frame.onload = resolve; setTimeout(resolve, 3000) })
    try { done.frame = frame.contentDocument ? 'open' : 'refused' } catch { done.frame = 'refused' }
    return done
}"""


@pytest.mark.parametrize("place", ["http://evil.example", "http://127.0.0.1:{}"])
def test_pages_of_others_neither_read_nor_decide(browser: Any, tmp_path: Any, place: str) -> None:
    """The second is of the same site, so that the cookie is sent: another server of this machine."""
    with served(tmp_path) as live:
        task = gate(live, {"amount": 1})
        person = Looking(browser)
        person.open(live, "approvals")
        person.select()
        page = person.tab()
        address = place.format(free_port())
        page.route(f"{address}/**", lambda route: route.fulfill(content_type="text/html", body="<body>evil"))
        page.goto(f"{address}/")
        page.evaluate("id => { window.approval = id }", re.split(r"[/?]", person.page.url.partition("#/")[2])[1])
        done = page.evaluate(ATTACK, live.url)
        assert done == dict.fromkeys(("simple", "json", "read", "stream", "frame"), "refused")
        assert [frame.url for frame in page.frames if frame != page.main_frame and "hubwire" in frame.content()] == []
        assert not task.done()
        sent = [url for url in person.asked if url.endswith("/decision")]
        assert len(sent) >= 2
        task.cancel()
        person.close()


def test_contents_stay_hidden_from_who_may_not_see_them(live: Served, person: Looking) -> None:
    page = person.open(live, person="eve")
    person.wait(lambda: len(person.rows()) > 2)
    for view in VIEWS:
        person.go(view)
        if page.locator("main").locator("[data-row], [data-stop], tbody tr, [role=row][id]").count():
            person.select()
        assert "the secret of the failure" not in page.content()
