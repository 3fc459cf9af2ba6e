"""Serving a dashboard beside a hub, and mounting it in an application of the program's own."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from hubwire import Hub
from hubwire.errors import ConfigurationError
from hubwire.events import GenericEvent
from hubwire.listeners.dashboard import Access, Dashboard, Person, serve
from hubwire.stores import MemoryStore
from support.dashboard import Frames, sign_in, signed_in, stranger

HERE = "127.0.0.1"


async def test_a_page_that_was_not_built_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("hubwire.listeners.dashboard._pages.FOLDER", tmp_path / "nothing")
    async with Hub() as hub, stranger(Dashboard(hub)) as client:
        answer = await client.get("")
        assert answer.status_code == 200
        assert "make page" in answer.text


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A page, and a secret beside it."""
    page = tmp_path / "page"
    (page / "assets").mkdir(parents=True)
    (tmp_path / "secret.txt").write_text("secret")
    (page / "index.html").write_text("<!doctype html><title>it</title>")
    (page / "assets" / "app.js").write_text("1")
    (page / "link.txt").symlink_to(tmp_path / "secret.txt")
    monkeypatch.setattr("hubwire.listeners.dashboard._pages.FOLDER", page)
    return page


@pytest.mark.usefixtures("page")
async def test_the_files_of_the_page_are_served() -> None:
    """And no others: not what is beside them, nor what a link leads to."""
    async with Hub() as hub, stranger(Dashboard(hub)) as client:
        answer = await client.get("")
        assert (answer.text, answer.headers["content-type"]) == (
            "<!doctype html><title>it</title>",
            "text/html; charset=utf-8",
        )
        script = await client.get("assets/app.js")
        assert script.headers["content-type"] == "text/javascript; charset=utf-8"
        again = await client.get("assets/app.js", headers={"If-None-Match": script.headers["etag"]})
        assert again.status_code == 304
        for path in ("../secret.txt", "..%2fsecret.txt", "assets/../../secret.txt", "/etc/passwd", "link.txt", "%00"):
            status = await raw_status(client.base_url.port or 0, f"/{path}")
            assert status == 404, path


async def raw_status(port: int, target: str) -> int:
    """Ask for a path as it is: clients tidy it up."""
    reader, writer = await asyncio.open_connection(HERE, port)
    writer.write(f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    return int(answer.split(b" ", 2)[1])


async def test_what_strangers_send_is_counted_and_not_complained_of(caplog: pytest.LogCaptureFixture) -> None:
    """A line for each would fill the log of a program with what anyone likes."""
    async with Hub() as hub:
        dashboard = Dashboard(hub)
        async with stranger(dashboard) as client:
            for content in (
                b"\x16\x03\x01\x02\x00\x01",
                b"GET /\r\n\r\n",
                b"GET / HTTP/1.1\r\nHo st: x\r\n\r\n",
                UPGRADE,
            ):
                reader, writer = await asyncio.open_connection(HERE, client.base_url.port or 0)
                writer.write(content + b"\r\n\r\n")
                await reader.readline()
                writer.close()
            assert (await client.get("healthz")).status_code == 200
        assert dashboard.statistics().requests_malformed == 4
    assert not [record for record in caplog.records if record.levelname != "DEBUG" and "uvicorn" in record.name]


UPGRADE = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: websocket"


async def test_serving_ends_at_once_with_streams_open() -> None:
    async with Hub(MemoryStore()) as hub:
        dashboard = Dashboard(hub)
        serving = dashboard.serve(port=0)
        url = await serving.__aenter__()
        base, _, token = url.partition("#token=")
        async with httpx2.AsyncClient(base_url=base, timeout=20, trust_env=False, verify=False) as client:
            await sign_in(client, token)
            async with Frames.of(client) as frames:
                await frames.of_event("rows")
                begun = time.monotonic()
                await serving.__aexit__(None, None, None)
                assert (await frames.of_event("stale")).data["code"] == "ended"
                assert await frames.next() is None
                assert time.monotonic() - begun < 5
        assert dashboard.statistics().streams == 0


async def test_the_streams_end_with_the_hub() -> None:
    """What there was can be read on: it ends likewise."""
    hub = Hub(MemoryStore())
    await hub.__aenter__()
    async with signed_in(Dashboard(hub)) as client, Frames.of(client) as frames:
        await frames.of_event("rows")
        await hub.__aexit__(None, None, None)
        assert (await frames.of_event("stale")).data["code"] == "ended"
        async with Frames.of(client) as later:
            assert (await later.of_event("rows")).data[-1]["kind"] == "hub.stopped"
            assert (await later.of_event("stale")).data["code"] == "ended"


async def test_a_dashboard_can_be_served_again() -> None:
    async with Hub() as hub:
        dashboard = Dashboard(hub)
        for _ in range(2):
            async with signed_in(dashboard) as client, Frames.of(client) as frames:
                await frames.of_event("rows")


async def test_two_dashboards_are_served_in_one_process() -> None:
    async with Hub() as one, Hub() as two, signed_in(Dashboard(one)) as first, signed_in(Dashboard(two)) as second:
        ids = [(await client.get("api/session")).json()["hub"]["id"] for client in (first, second)]
        assert ids == [one.id, two.id]


async def test_two_dashboards_watch_one_hub() -> None:
    async with Hub() as hub, signed_in(Dashboard(hub)) as first, signed_in(Dashboard(hub)) as second:
        await hub.emit(GenericEvent(kind="a.done", data={}))
        for client in (first, second):
            async with Frames.of(client) as frames:
                assert [row["kind"] for row in await frames.rows(3)][-1] == "a.done"


async def test_a_dashboard_is_mounted_below_a_path() -> None:
    async with Hub() as hub:
        dashboard = Dashboard(hub, hosts=["testserver"])
        app = Starlette(routes=[Mount("/ops/hubwire", dashboard)])
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://testserver") as client:
            found = await client.get("/ops/hubwire", follow_redirects=True)
            assert found.url.path == "/ops/hubwire/"
            assert found.status_code == 200
            client.base_url = httpx2.URL("http://testserver/ops/hubwire/")
            await sign_in(client, dashboard.access.made_token or "")
            assert (await client.get("api/board/agents")).status_code == 200
        await dashboard.aclose()


async def test_a_hub_may_live_in_the_life_of_the_application() -> None:
    """The dashboard is made when the hub is there, and answers for it."""
    async with Hub() as hub:
        dashboard = Dashboard(hub)
        messages = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
        sent: list[str] = []

        async def receive() -> dict[str, str]:
            return messages.pop(0)

        async def send(message: dict[str, Any]) -> None:
            sent.append(message["type"])

        await dashboard({"type": "lifespan"}, receive, send)
        assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server((HERE, 0)) as taken:
        port = taken.getsockname()[1]
        async with Hub() as hub:
            with pytest.raises(
                ConfigurationError, match=f"{HERE} port {port} cannot be listened at: Address already in use; take"
            ):
                async with Dashboard(hub).serve(port=port):
                    pass


async def test_beyond_the_machine_it_needs_tls() -> None:
    async with Hub() as hub:
        dashboard = Dashboard(hub)
        for host in ("0.0.0.0", "192.168.1.5", "::", "example.com"):  # noqa: S104 - it is refused
            with pytest.raises(ConfigurationError, match="certfile and keyfile"):
                dashboard.serve(host=host)
        async with dashboard.serve(host="0.0.0.0", port=0, insecure=True) as url:  # noqa: S104 - it was asked for
            assert url.startswith("http://0.0.0.0:")


async def test_with_a_certificate_it_is_served_by_https(certificate: tuple[Path, Path]) -> None:
    certfile, keyfile = certificate
    async with Hub() as hub:
        dashboard = Dashboard(hub)
        async with dashboard.serve(port=0, certfile=certfile, keyfile=keyfile) as url:
            base, _, token = url.partition("#token=")
            trusted = await anyio.to_thread.run_sync(lambda: ssl.create_default_context(cafile=str(certfile)))
            async with httpx2.AsyncClient(base_url=base, verify=trusted, trust_env=False) as client:
                answer = await client.post("api/session", json={"token": token})
                cookie = answer.headers["set-cookie"]
                assert cookie.startswith("__Host-hubwire-")
                assert cookie.endswith("; Secure")
                assert (await client.get("api/session")).status_code == 200


async def test_a_certificate_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    async with Hub() as hub:
        serving = Dashboard(hub).serve(port=0, certfile=tmp_path / "no.pem", keyfile=tmp_path / "no.pem")
        with pytest.raises(ConfigurationError, match=r"no\.pem cannot be used"):
            await serving.__aenter__()


async def test_serve_runs_until_it_is_cancelled() -> None:
    async with Hub() as hub:
        with anyio.move_on_after(0.3) as scope:
            await serve(Dashboard(hub), port=0)
        assert scope.cancelled_caught


async def test_the_address_holds_no_token_of_people_with_their_own() -> None:
    async with Hub() as hub:
        access = Access([Person(name="m.keller", token="a" * 30, role="admin")])
        async with Dashboard(hub, access=access).serve(port=0) as url:
            assert url.endswith("/")


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate of this machine's own address, and its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    begins = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + dt.timedelta(days=36_500))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HERE))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certfile, keyfile = tmp_path / "cert.pem", tmp_path / "key.pem"
    certfile.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    keyfile.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certfile, keyfile


WRONG: list[dict[str, Any]] = [
    {"access": [Person(name="ann", token="a" * 30)]},
    {"access": "token"},
    {"show_content": 1},
    {"hosts": "ops.example.com"},
    {"hosts": [1]},
    {"hosts": ["https://ops.example.com"]},
    {"hosts": ["ops.example.com:80"]},
    {"hosts": 5},
    {"name": 5},
    {"name": "a\x1b"},
    {"name": "x" * 200},
    {"streams_max": 0},
    {"streams_max": True},
    {"clock": 5},
    {"redactor": "none"},
    {"redactor": None},
    {"redactor": lambda event: event},
]


@pytest.mark.parametrize("given", WRONG, ids=range(len(WRONG)))
async def test_a_setting_that_cannot_work_is_refused(given: dict[str, Any]) -> None:
    """And nothing is attached to the hub."""
    async with Hub() as hub:
        with pytest.raises(ConfigurationError):
            Dashboard(hub, **given)
        assert not hub.attachments


PLACES = ({"host": ""}, {"host": 5}, {"port": -1}, {"port": "80"}, {"certfile": "x"}, {"insecure": 1})


@pytest.mark.parametrize("given", PLACES, ids=repr)
async def test_a_place_that_cannot_be_served_at_is_refused(given: dict[str, Any]) -> None:
    async with Hub() as hub:
        with pytest.raises(ConfigurationError, match=r"dashboard\.serve\(\)"):
            Dashboard(hub).serve(**given)


async def test_what_is_no_hub_or_store_is_refused() -> None:
    for wrong in (None, "hub", Hub, object()):
        with pytest.raises(ConfigurationError, match="hub is a Hub"):
            Dashboard(wrong)  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError, match="store is a store"):
            Dashboard.of_log(wrong)  # type: ignore[arg-type]


def test_without_the_extra_it_says_what_to_install() -> None:
    """And importing it needs nothing of it."""
    program = """
import sys
sys.modules["starlette"] = sys.modules["uvicorn"] = None
from hubwire import Hub
from hubwire.errors import ConfigurationError
from hubwire.listeners.dashboard import Dashboard
try:
    Dashboard(Hub())
except ConfigurationError as error:
    print(error)
"""
    found = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, timeout=50, check=True)
    assert b"pip install 'hubwire[web]'" in found.stdout
