"""Who may look at a dashboard, and which requests are refused."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import httpx2
import pytest

from hubwire import Hub
from hubwire.errors import ConfigurationError
from hubwire.events import GenericEvent
from hubwire.listeners.dashboard import Access, Dashboard, Person, _limits
from hubwire.listeners.dashboard._limits import Tries
from hubwire.testing import ManualClock
from support.dashboard import Frames, sign_in, signed_in, stranger

TOKEN = "t0-" + "k" * 40
OTHER = "t1-" + "k" * 40
SAME = {"Sec-Fetch-Site": "same-origin"}


def person(**given: Any) -> Person:
    return Person(**{"name": "m.keller", "token": TOKEN, "role": "operate", **given})


def code_of(answer: httpx2.Response) -> str:
    found: str = answer.json()["error"]["code"]
    return found


# --- hosts and origins ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1:80:80", "", "[::1", "LOCALHOST@x"]
)
async def test_another_host_is_refused(host: str) -> None:
    """A page of others may have made its name lead here."""
    async with Hub() as hub, stranger(Dashboard(hub)) as client:
        for path in ("", "api/session", "healthz"):
            answer = await client.get(path, headers={"Host": host})
            assert (answer.status_code, code_of(answer)) == (421, "wrong_host")


async def test_a_host_that_was_named_is_served() -> None:
    async with Hub() as hub, stranger(Dashboard(hub, hosts=["Ops.Example.com"])) as client:
        for host in ("ops.example.com", "OPS.example.com:8443", "localhost:1", "[::1]:8765"):
            assert (await client.get("", headers={"Host": host})).status_code == 200


ELSEWHERE = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "none"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://localhost:1"},
    {"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example"},
]


@pytest.mark.parametrize("headers", ELSEWHERE)
async def test_another_page_changes_nothing(headers: dict[str, str]) -> None:
    async with Hub() as hub, signed_in(Dashboard(hub)) as client:
        del client.headers["Sec-Fetch-Site"]
        answer = await client.request("DELETE", "api/session", headers=headers)
        assert (answer.status_code, code_of(answer)) == (403, "wrong_origin")
        assert (await client.get("api/session")).status_code == 200


async def test_a_browser_has_to_say_which_page_it_was() -> None:
    """A client with a token of its own in a header is no browser that could be led here."""
    async with Hub() as hub:
        dashboard = Dashboard(hub)
        async with signed_in(dashboard) as client:
            del client.headers["Sec-Fetch-Site"]
            assert code_of(await client.request("DELETE", "api/session")) == "wrong_origin"
            client.cookies.clear()
            bearer = {"Authorization": f"Bearer {dashboard.access.made_token}"}
            assert (await client.request("DELETE", "api/session", headers=bearer)).status_code == 204


async def test_every_answer_says_what_a_browser_may_do() -> None:
    async with Hub() as hub, signed_in(Dashboard(hub)) as client:
        answers = [await client.get(path) for path in ("", "api/session", "api/nothing", "nothing")]
        answers.append(await client.get("", headers={"Host": "evil.example"}))
        answers.append(await client.post("api/session", content=b"x" * 100_000))
        for answer in answers:
            assert "default-src 'none'" in answer.headers["content-security-policy"]
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["referrer-policy"] == "no-referrer"
            assert "access-control-allow-origin" not in answer.headers
            assert answer.headers["cache-control"] in ("no-store", "no-cache", "private, no-cache")


# --- signing in -----------------------------------------------------------------------------------------------------


async def test_the_cookie_is_for_the_page_alone() -> None:
    async with Hub() as hub, stranger(Dashboard(hub, access=Access([person()]))) as client:
        answer = await client.post("api/session", json={"token": TOKEN})
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert TOKEN not in cookie
        assert answer.json() == {
            "person": "m.keller",
            "role": "operate",
            "contents": False,
            "tenants": None,
            "source": "hub",
            "hub": {"id": hub.id, "name": hub.id[-8:], "version": answer.json()["hub"]["version"]},
        }


@pytest.mark.parametrize("body", [{}, {"token": ""}, {"token": 1}, {"token": ["x"]}, {"token": None}])
async def test_what_is_no_token_is_refused(body: dict[str, Any]) -> None:
    async with Hub() as hub, stranger(Dashboard(hub)) as client:
        assert code_of(await client.post("api/session", json=body)) == "invalid"


@pytest.mark.parametrize("content", [b"[]", b"{", b"\xff", b"[" * 50_000, b'{"token": 1' + b"0" * 3000 + b"}", b"null"])
async def test_what_is_no_json_is_refused(content: bytes) -> None:
    async with Hub() as hub, stranger(Dashboard(hub)) as client:
        answer = await client.post("api/session", content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code in (400, 413)


async def test_a_form_of_another_page_is_no_sign_in() -> None:
    """A form can send text without asking, but not JSON."""
    async with Hub() as hub, stranger(Dashboard(hub)) as client:
        answer = await client.post("api/session", content=b'{"token": "x"}', headers={"Content-Type": "text/plain"})
        assert answer.status_code == 415


async def test_guessing_tokens_is_stopped() -> None:
    """The right one is refused then, too: that it is right must not be told."""
    async with Hub() as hub, stranger(Dashboard(hub, access=Access([person()]))) as client:
        answers = [await client.post("api/session", json={"token": f"wrong-{n}"}) for n in range(12)]
        assert [answer.status_code for answer in answers] == [401] * 10 + [429] * 2
        assert int(answers[-1].headers["retry-after"]) >= 1
        assert (await client.post("api/session", json={"token": TOKEN})).status_code == 429
        assert (await client.get("api/session", headers={"Authorization": f"Bearer {TOKEN}"})).status_code == 429


async def test_a_session_ends_by_itself() -> None:
    clock = ManualClock()
    async with Hub() as hub:
        dashboard = Dashboard(hub, access=Access([person()], session_seconds=60), clock=clock)
        async with signed_in(dashboard, TOKEN) as client:
            clock.advance(59)
            assert (await client.get("api/session")).status_code == 200
            clock.advance(2)
            assert code_of(await client.get("api/session")) == "not_signed_in"


async def test_who_has_signed_out_is_out() -> None:
    """Also with the cookie of before, which another one may have kept."""
    async with Hub() as hub, signed_in(Dashboard(hub)) as client:
        kept = dict(client.cookies)
        assert (await client.request("DELETE", "api/session")).status_code == 204
        client.cookies.update(kept)
        assert (await client.get("api/session")).status_code == 401


async def test_who_has_signed_out_stays_out_with_another_spelling_of_the_cookie() -> None:
    """Base64 has several texts for the same bytes."""
    async with Hub() as hub, signed_in(Dashboard(hub)) as client:
        [(name, value)] = client.cookies.items()
        assert (await client.request("DELETE", "api/session")).status_code == 204
        client.cookies.clear()
        for spelling in (value, f"{value}.", f"!{value}", f"{value}=", f"{value[:9]}.{value[9:]}", f"{value}===="):
            answer = await client.get("api/session", headers={"Cookie": f"{name}={spelling}"})
            assert answer.status_code == 401, spelling


async def test_many_who_guess_lock_no_one_else_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """From however many addresses: their own answers come later, and no one else's."""
    slept: list[float] = []
    tries = Tries()

    async def noted(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(_limits, "asyncio", SimpleNamespace(sleep=noted))
    for number in range(400):
        tries.check(f"10.0.{number // 200}.{number % 200}")
        await tries.fail(f"10.0.{number // 200}.{number % 200}", f"guess {number}")
    assert slept == [tries.slow_seconds] * 100
    tries.check("10.9.9.9")  # who comes from elsewhere is listened to at once
    async with Hub() as hub:
        dashboard = Dashboard(hub, access=Access([person()]))
        dashboard._parts.sessions._tries = tries
        async with signed_in(dashboard, TOKEN) as client:
            assert (await client.get("api/session")).status_code == 200
            assert (await client.get("api/session", headers={"Authorization": f"Bearer {TOKEN}"})).status_code == 200
            assert len(slept) == 100
            wrong = await client.get("api/session", headers={"Authorization": f"Bearer {OTHER}"})
            assert wrong.status_code == 401
            assert len(slept) == 101


async def restarted(access: Access, cookie: str, token: str = TOKEN) -> int:
    """Return how a dashboard that was started anew answers a cookie of before."""
    async with Hub() as hub, stranger(Dashboard(hub, access=access)) as client:
        number = await cookie_name_of(client, token)
        client.cookies.clear()
        client.cookies.set(number, cookie)
        return (await client.get("api/session")).status_code


async def cookie_of(access: Access) -> str:
    async with Hub() as hub, signed_in(Dashboard(hub, access=access), TOKEN) as client:
        [value] = client.cookies.values()
        return str(value)


async def test_a_restart_ends_all_sessions() -> None:
    """Who has signed out is remembered nowhere: no cookie of before may be good."""
    cookie = await cookie_of(Access([person()]))
    assert await restarted(Access([person()]), cookie) == 401


async def test_a_session_lasts_over_a_restart_with_a_file(tmp_path: Path) -> None:
    """It is known by the token of its person: with another token it ends."""
    file = tmp_path / "sessions"
    cookie = await cookie_of(Access([person()], sessions_file=file))
    assert await restarted(Access([person()], sessions_file=str(file)), cookie) == 200
    assert await restarted(Access([person(token=OTHER)], sessions_file=file), cookie, OTHER) == 401
    assert (await anyio.Path(file).stat()).st_mode & 0o777 == 0o600
    assert TOKEN not in await anyio.Path(file).read_text()


@pytest.mark.slow
async def test_who_has_signed_out_is_out_after_a_restart(tmp_path: Path) -> None:
    """Also after one that came in the middle of writing it."""
    file = tmp_path / "sessions"
    cookies = []
    async with Hub() as hub:
        for _ in range(3):
            async with signed_in(Dashboard(hub, access=Access([person()], sessions_file=file)), TOKEN) as client:
                [cookie] = client.cookies.values()
                cookies.append(cookie)
                if len(cookies) < 3:
                    assert (await client.request("DELETE", "api/session")).status_code == 204
    assert [await restarted(Access([person()], sessions_file=file), cookie) for cookie in cookies] == [401, 401, 200]
    path = anyio.Path(file)
    whole = await path.read_bytes()
    assert whole.count(b"\n") == 3
    first, second, _ = (end + 1 for end, char in enumerate(whole) if char == 10)
    for cut in (second, second + 1, second + 5, second + 20, len(whole) - 1):
        await path.write_bytes(whole[:cut])
        statuses = [await restarted(Access([person()], sessions_file=file), cookie) for cookie in cookies]
        assert statuses == [401, 200, 200]
        assert await path.read_bytes() == whole[:second]
    for cut in (0, 1, first - 1):  # it had just been made
        await path.write_bytes(whole[:cut])
        assert await restarted(Access([person()], sessions_file=file), cookies[2]) == 401


async def test_a_file_of_sessions_that_is_none_is_refused(tmp_path: Path) -> None:
    """When it is served; and where it is mounted, by each request."""
    file = anyio.Path(tmp_path / "sessions")
    await Access([person()], sessions_file=str(file)).ended.open()
    whole = await file.read_bytes()

    async def check(path: anyio.Path, said: str) -> None:
        async with Hub() as hub:
            dashboard = Dashboard(hub, access=Access([person()], sessions_file=str(path)))
            with pytest.raises(ConfigurationError, match=said):
                async with dashboard.serve(port=0):
                    raise AssertionError("it was served")
            transport = httpx2.ASGITransport(dashboard)
            async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
                for answer in (await client.get("api/session"), await client.post("api/session", json={})):
                    assert answer.status_code == 503
                    assert str(path) not in answer.text

    for content in (b"\n", b"\xff\n", b"x" * 65 + b"\n", whole + b"1 2\n", whole + b"x" * 70 + b"\n", whole[2:]):
        await file.write_bytes(content)
        await check(file, "remove it")
    await file.write_bytes(whole)
    await file.chmod(0o644)
    await check(file, "others than its owner")
    await check(anyio.Path(tmp_path / "none" / "sessions"), "cannot be read or made")
    for wrong in (7, b"x", "", [file]):
        with pytest.raises(ConfigurationError, match="sessions_file"):
            Access([person()], sessions_file=wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="authenticate"):
        Access(authenticate=lambda _: None, sessions_file=tmp_path / "other")


async def test_many_sign_outs_leave_a_small_file(tmp_path: Path) -> None:
    """What would have ended by itself is forgotten."""
    file = anyio.Path(tmp_path / "sessions")
    await Access([person()], sessions_file=str(file)).ended.open()
    later = int(time.time()) + 3600
    lines = "".join(f"{later if n % 100 == 0 else 5} {n:064x}\n" for n in range(100_000))
    await file.write_bytes(await file.read_bytes() + lines.encode())
    access = Access([person()], sessions_file=str(file))
    await access.ended.open()
    assert (await file.read_bytes()).count(b"\n") == 1 + 1000
    assert (99_900).to_bytes(32, "big") in access.ended
    assert [each.name async for each in anyio.Path(tmp_path).iterdir()] == ["sessions"]


async def test_a_sign_out_counts_also_where_it_cannot_be_kept(tmp_path: Path) -> None:
    file = tmp_path / "sessions"
    async with Hub() as hub:
        dashboard = Dashboard(hub, access=Access([person()], sessions_file=file))
        async with signed_in(dashboard, TOKEN) as client:
            kept = dict(client.cookies)
            await anyio.Path(file).unlink()
            assert (await client.request("DELETE", "api/session")).status_code == 204
            client.cookies.update(kept)
            assert (await client.get("api/session")).status_code == 401


async def cookie_name_of(client: httpx2.AsyncClient, token: str) -> str:
    await sign_in(client, token)
    [name] = client.cookies
    return str(name)


async def test_a_cookie_that_was_changed_is_none() -> None:
    async with Hub() as hub, signed_in(Dashboard(hub)) as client:
        [(name, value)] = client.cookies.items()
        raw = base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))
        forged = base64.urlsafe_b64encode(bytes([raw[0] ^ 1]) + raw[1:]).decode().rstrip("=")
        longer = base64.urlsafe_b64encode(raw[:32] + b"9" + raw[32:]).decode().rstrip("=")
        for changed in (forged, longer, value[:-3] + "AAA", value[:40], "A" * 80, "é" * 10, "=", "A" * 5000, "." * 40):
            answer = await client.get("api/session", headers={b"Cookie": f"{name}={changed}".encode()})
            assert answer.status_code == 401, changed


# --- roles, tenants, contents ---------------------------------------------------------------------------------------


async def test_a_person_of_a_tenant_sees_no_other() -> None:
    """In the stream, on boards, and whichever is named."""
    access = Access([person(tenants=("north",), contents=True)])
    async with Hub() as hub:
        for tenant in ("north", "south"):
            await hub.for_tenant(tenant).agents.register(f"{tenant} agent")
            await hub.for_tenant(tenant).emit(GenericEvent(kind="secret.told", data={"of": tenant}))
        async with signed_in(Dashboard(hub, access=access), TOKEN) as client:
            async with Frames.of(client) as frames:
                rows = (await frames.of_event("rows")).data
                assert {row["tenant"] for row in rows} == {"north"}
                assert "south" not in json.dumps(rows)
            agents = (await client.get("api/board/agents")).json()["rows"]
            assert [agent["name"] for agent in agents] == ["north agent"]
            for path in ("api/stream?tenant=south", "api/board/agents?tenant=south", "api/board/listeners"):
                assert code_of(await client.get(path)) == "not_allowed"


async def test_a_person_of_all_may_look_at_one_tenant() -> None:
    async with Hub() as hub:
        for tenant in ("north", "south"):
            await hub.for_tenant(tenant).agents.register(tenant)
        async with signed_in(Dashboard(hub)) as client:
            found = (await client.get("api/board/agents?tenant=south")).json()["rows"]
            assert [agent["name"] for agent in found] == ["south"]
            assert len((await client.get("api/board/agents")).json()["rows"]) == 2


@pytest.mark.parametrize("raw", ["", "?raw=1"])
async def test_contents_are_hidden_from_who_may_not_see_them(raw: str) -> None:
    """Names and sizes are told; a person who may see them does."""
    access = Access([person(), person(name="other", token=OTHER, contents=True)])
    async with Hub() as hub:
        planner, coder = await hub.agents.register("planner"), await hub.agents.register("coder")
        channel = await hub.channels.open([planner, coder], topic="fix")
        await channel.post(planner, {"text": "the plan is a wrench"}, to=[coder])
        await hub.emit(GenericEvent(kind="wrench.found", data={"where": "wrench drawer"}))
        dashboard = Dashboard(hub, access=access)
        for token, is_shown in ((TOKEN, False), (OTHER, True)):
            async with signed_in(dashboard, token) as client, Frames.of(client, f"api/stream{raw}") as frames:
                text = json.dumps(await frames.rows(6), ensure_ascii=False)
                text += (await client.get(f"api/board/channels/{channel.id}")).text
                assert ("the plan is a wrench" in text) is is_shown
                assert ("drawer" in text) is is_shown
                assert ("20 characters" in text) is not is_shown


async def test_secrets_are_redacted_for_everybody() -> None:
    async with Hub() as hub:
        await hub.emit(GenericEvent(kind="key.made", data={"api_key": "sk-live-4eC39HqLyjWDarjtT1zdp7dc", "n": 1}))
        async with signed_in(Dashboard(hub, show_content=True)) as client:
            for raw in ("", "?raw=1"):
                async with Frames.of(client, f"api/stream{raw}") as frames:
                    assert "4eC39HqLyjWDarjtT1zdp7dc" not in json.dumps(await frames.rows(1))


# --- a sign-in of the program's own ---------------------------------------------------------------------------------


async def test_a_program_says_who_asks() -> None:
    def authenticate(scope: Any) -> Person | None:
        found = dict(scope["headers"]).get(b"x-user")
        return Person(name=found.decode(), role="read") if found else None

    async with Hub() as hub, stranger(Dashboard(hub, access=Access(authenticate=authenticate))) as client:
        nobody = await client.get("api/session")
        assert (nobody.status_code, code_of(nobody)) == (401, "sign_in_elsewhere")
        assert "has its login" in nobody.json()["error"]["suggestion"]
        assert (await client.get("api/session", headers={"X-User": "ann"})).json()["person"] == "ann"
        assert (await client.post("api/session", json={"token": "x"}, headers=SAME)).status_code == 404


def raises(_: object) -> Person:
    raise RuntimeError("no directory")


def exits(_: object) -> Person:
    raise SystemExit(3)


async def hostile(_: object) -> Any:
    return {"name": "admin", "role": "admin"}


@pytest.mark.parametrize("authenticate", [raises, exits, hostile, lambda _: "admin"])
async def test_whom_a_program_cannot_recognise_is_nobody(authenticate: Any) -> None:
    async with Hub() as hub, stranger(Dashboard(hub, access=Access(authenticate=authenticate))) as client:
        assert (await client.get("api/session")).status_code == 401
        assert (await client.get("")).status_code == 200


# --- too much -------------------------------------------------------------------------------------------------------


async def test_a_body_that_is_too_large_is_refused() -> None:
    """Also where its length is not told before."""

    async def pieces() -> Any:
        for _ in range(100):
            yield b"x" * 1000

    async with Hub() as hub, stranger(Dashboard(hub)) as client:
        for content in (b"x" * 100_000, pieces()):
            answer = await client.post("api/session", content=content, headers={"Content-Type": "application/json"})
            assert (answer.status_code, code_of(answer)) == (413, "too_large")


async def test_headers_that_are_too_large_are_refused() -> None:
    async with Hub() as hub, stranger(Dashboard(hub)) as client:
        assert (await client.get("", headers={"X-Large": "x" * 40_000})).status_code == 431
        many = {f"X-{n}": "x" for n in range(120)}
        assert (await client.get("", headers=many)).status_code == 431
        assert (await client.get("", headers={"X-Large": "x" * 500_000})).status_code in (400, 431)
        assert (await client.get("")).status_code == 200


async def test_too_many_requests_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hubwire.listeners.dashboard.dashboard._RATE", (0.1, 20))
    async with Hub() as hub, signed_in(Dashboard(hub)) as client:
        answers = [await client.get("api/session") for _ in range(30)]
        refused = [answer for answer in answers if answer.status_code == 429]
        assert refused
        assert refused[0].headers["retry-after"]


async def test_a_connection_without_a_request_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hubwire.listeners.dashboard.serving._REQUEST_SECONDS", 0.05)
    async with Hub() as hub, stranger(Dashboard(hub)) as client:
        reader, writer = await asyncio.open_connection("127.0.0.1", client.base_url.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: local")
        async with asyncio.timeout(10):
            with pytest.raises(ConnectionResetError):
                raise ConnectionResetError if await reader.read() == b"" else AssertionError
        writer.close()


async def test_a_second_request_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hubwire.listeners.dashboard.serving._REQUEST_SECONDS", 0.2)
    async with Hub() as hub, stranger(Dashboard(hub)) as client:
        reader, writer = await asyncio.open_connection("127.0.0.1", client.base_url.port)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        async with asyncio.timeout(10):
            assert b"200 OK" in await reader.readuntil(b"ok\n")
            writer.write(b"GET / HTTP/1.1\r\nHost: local")
            with pytest.raises(ConnectionResetError):
                raise ConnectionResetError if await reader.read() == b"" else AssertionError
        writer.close()


@pytest.mark.parametrize(
    "request_",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x00\xff\xfe\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /api/board/agents/%00%ff HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST /api/session HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"POST /api/session HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        b"GET /api/stream HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    ],
)
async def test_what_is_no_request_harms_nothing(request_: bytes) -> None:
    async with Hub() as hub, stranger(Dashboard(hub)) as client:
        reader, writer = await asyncio.open_connection("127.0.0.1", client.base_url.port)
        writer.write(request_)
        await writer.drain()
        async with asyncio.timeout(20):
            line = await reader.readline()
        assert line == b"" or line.split()[1][:1] == b"4"
        writer.close()
        assert (await client.get("")).status_code == 200


# --- settings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [
        {"name": ""},
        {"name": "a\nb"},
        {"name": 1},
        {"role": "root"},
        {"role": None},
        {"token": "short"},
        {"token": "ü" * 30},
        {"token": 5},
        {"tenants": ()},
        {"tenants": "north"},
        {"tenants": (1,)},
        {"contents": 1},
    ],
)
async def test_what_is_no_person_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"Person\(\)"):
        person(**given)


async def test_two_people_have_two_tokens_and_names() -> None:
    for other in (person(name="other"), person(token=OTHER)):
        with pytest.raises(ConfigurationError, match="another person"):
            Access([person(), other])
    with pytest.raises(ConfigurationError, match="has no token"):
        Access([Person(name="ann")])
    with pytest.raises(ConfigurationError, match="not both"):
        Access([person()], authenticate=lambda _: None)


async def test_a_token_is_not_shown_by_accident() -> None:
    assert TOKEN not in repr(person())


async def test_a_stream_ends_with_its_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hubwire.listeners.dashboard._stream._HEARTBEAT_SECONDS", 0.05)
    async with Hub() as hub, signed_in(Dashboard(hub)) as client, Frames.of(client) as frames:
        await frames.of_event("rows")
        assert (await client.request("DELETE", "api/session")).status_code == 204
        assert (await frames.of_event("stale")).data["code"] == "ended"


async def test_the_head_of_a_stream_is_no_stream() -> None:
    async with Hub() as hub:
        dashboard = Dashboard(hub)
        async with signed_in(dashboard) as client:
            assert (await client.head("api/stream")).status_code == 200
            assert dashboard.statistics().streams == 0


async def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hubwire.listeners.dashboard._http._BODY_SECONDS", 0.05)
    async with Hub() as hub, stranger(Dashboard(hub)) as client:
        reader, writer = await asyncio.open_connection("127.0.0.1", client.base_url.port)
        kind = b"Content-Type: application/json"
        head = b"POST /api/session HTTP/1.1\r\nHost: localhost\r\n" + kind + b"\r\nContent-Length: 9\r\n\r\n{"
        writer.write(head)
        async with asyncio.timeout(20):
            assert (await reader.readline()).split()[1] == b"408"
        writer.close()


async def test_more_connections_than_may_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, so that they take none of the files that the process may open."""
    monkeypatch.setattr("hubwire.listeners.dashboard.serving._CONNECTIONS_MAX", 3)
    async with Hub() as hub, stranger(Dashboard(hub)) as client:
        port = client.base_url.port
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(8)]
        ended = 0
        async with asyncio.timeout(20):
            while ended < 5:
                ended = 0
                for reader, _ in held:
                    try:
                        async with asyncio.timeout(0.01):
                            ended += await reader.read(1) == b""
                    except ConnectionResetError:
                        ended += 1
                    except TimeoutError:
                        pass
        for _, writer in held:
            writer.close()
