"""The command at the address of a running hub: a real dashboard on loopback, asked by the command as a program."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream

from hubwire import GenericEvent, Hub
from hubwire.approvals import ApprovalPolicy, ChallengeKind, RiskLevel
from hubwire.events import ToolCalled, ToolFailed
from hubwire.listeners.audit import AuditLog
from hubwire.listeners.dashboard import Access, Dashboard, Person
from hubwire.stores import FileStore
from support.terminals import terminal

pytestmark = pytest.mark.slow  # each test runs the command as a program

COMMAND = [sys.executable, "-P", "-m", "hubwire"]
OPERATOR, READER = "o" * 32, "r" * 32
ACCESS = Access([Person(name="m.keller", role="operate", token=OPERATOR), Person(name="guest", token=READER)])
POLICY = ApprovalPolicy(challenges=dict.fromkeys(RiskLevel, ChallengeKind.CONFIRM))
EVIL = "evil\x1b[31m\u202eagent"


async def hubwire(*arguments: str | Path, token: str = OPERATOR, code: int = 0) -> tuple[str, str]:
    environment = {**os.environ, "HUBWIRE_TOKEN": token}
    done = await anyio.run_process([*COMMAND, *map(str, arguments)], check=False, env=environment)
    assert done.returncode == code, done
    assert b"Traceback" not in done.stderr
    return done.stdout.decode(), done.stderr.decode()


@asynccontextmanager
async def hub_at(root: Path, port: int = 0) -> AsyncIterator[tuple[Hub, str]]:
    store = FileStore(root)
    hub = Hub(store, listeners=[AuditLog(store)])
    async with hub, Dashboard(hub, access=ACCESS, show_content=True).serve(port=port) as url:
        yield hub, url
    await store.aclose()


async def work(hub: Hub) -> None:
    coder = hub.agents.find("coder") or await hub.agents.register("coder")
    await hub.emit(ToolCalled(agent_id=coder.id, tool="pytest", call_id="1", arguments={"path": EVIL}))
    await hub.emit(ToolFailed(agent_id=coder.id, tool="pytest", call_id="1", error_message="1 failed"))
    await hub.flush()


# --- what is printed ------------------------------------------------------------------------------------------------


async def test_a_tail_of_a_hub_prints_what_one_of_its_log_prints(tmp_path: Path) -> None:
    async with hub_at(tmp_path) as (hub, url):
        await work(hub)
        of_hub = (await hubwire("tail", "-n", "2", url))[0]
        of_log = (await hubwire("tail", "-n", "2", "--kind", "tool.*", tmp_path))[0]
        assert of_hub == of_log
        assert "pytest ✗ 1 failed" in of_hub
        assert r"\x1b[31m" in of_hub
        assert "\x1b" not in of_hub
        for filters in (["--agent", "coder", "--kind", "tool.called"], ["--grep", "evil"], ["--outcome", "open"]):
            lines = (await hubwire("tail", *filters, "-o", "json", url))[0].split("\n")[:-1]
            assert [json.loads(line)["kind"] for line in lines] == ["tool.called"]
        assert (await hubwire("tail", "-n", "0", url))[0] == ""


@pytest.mark.parametrize(
    ("words", "printed"),
    [
        pytest.param(["query", "--kind", "tool.failed"], r"pytest ✗ 1 failed", id="query"),
        pytest.param(["show", "-1"], r'"seq": ', id="show the last"),
        pytest.param(["show", "2"], r'"seq": 2\b', id="show"),
        pytest.param(["stats"], r"agents +1\n", id="stats"),
        pytest.param(["doctor"], r"keeps all its promises", id="doctor"),
        pytest.param(["verify"], r"verified to #\d+", id="verify"),
        pytest.param(["dead-letters", "list"], r"no dead letters", id="dead letters"),
        pytest.param(["export", "--format", "csv", "--kind", "tool.*"], r"tool\.failed", id="export"),
    ],
)
async def test_the_verbs_of_a_store_are_there_for_a_hub(words: list[str], printed: str, tmp_path: Path) -> None:
    async with hub_at(tmp_path) as (hub, url):
        await work(hub)
        assert re.search(printed, (await hubwire(*words, url))[0])


async def test_what_only_a_store_can_answer_is_said(tmp_path: Path) -> None:
    _, said = await hubwire("query", "--raw", "http://127.0.0.1:1", code=2)
    assert "is for a store" in said
    _, said = await hubwire("export", "--format", "parquet", "http://127.0.0.1:1", code=2)
    assert "name its store" in said


async def test_an_approval_is_decided_at_the_address(tmp_path: Path) -> None:
    async with hub_at(tmp_path) as (hub, url):
        coder = await hub.agents.register("coder")
        asked = [await hub.approvals.request(coder, "deploy", arguments={"n": n}, policy=POLICY) for n in (1, 2)]
        listed = (await hubwire("approvals", "list", url))[0]
        array = json.loads((await hubwire("approvals", "list", url, "-o", "json"))[0])
        assert [each["approval_id"] for each in array] == asked
        assert listed.count("deploy") == 2
        shown = (await hubwire("approvals", "show", url, asked[0][-8:]))[0]
        assert "coder wants deploy(n=1)" in shown
        assert "approved" in (await hubwire("approvals", "approve", url, asked[0], "--reason", "fine"))[0]
        assert (await hub.approvals.wait(asked[0])).approvers == ("m.keller",)
        _, said = await hubwire("approvals", "deny", url, asked[1], code=2)
        assert "give --reason" in said
        _, said = await hubwire("approvals", "deny", url, asked[1], "--reason", "no", token=READER, code=1)
        assert "has the role read" in said
        await hubwire("approvals", "deny", url, asked[1], "--reason", "no")
        _, said = await hubwire("approvals", "approve", url, asked[1], code=1)
        assert "m.keller" in said or "no approval" in said


QUIZ = ApprovalPolicy(challenges=dict.fromkeys(RiskLevel, ChallengeKind.QUIZ))


async def test_a_quiz_is_replied_to_by_options(tmp_path: Path) -> None:
    """What it asks is said; a wrong reply decides nothing."""
    async with hub_at(tmp_path) as (hub, url):
        coder = await hub.agents.register("coder")
        asked = await hub.approvals.request(coder, "drop_table", arguments={"name": "users", "rows": 3}, policy=QUIZ)
        assert (
            "asks first   Type the value of name; Type the value of rows"
            in ((await hubwire("approvals", "show", url, asked))[0])
        )
        _, said = await hubwire("approvals", "approve", url, asked, code=2)
        assert "Type the value of name; Type the value of rows. Give --reply, once for each" in said
        _, said = await hubwire("approvals", "approve", url, asked, "--reply", "users", "--reply", "4", code=1)
        assert "the quiz was not passed" in said
        assert "nothing was decided" in said
        assert hub.approvals.pending()
        done, _ = await hubwire("approvals", "approve", url, asked, "--reply", "users", "--reply", "3")
        assert "drop_table of coder: approved" in done


async def test_a_quiz_is_asked_on_a_terminal(tmp_path: Path) -> None:
    """After who wants what, how risky that is, and with which arguments; Ctrl-C decides nothing."""
    async with hub_at(tmp_path) as (hub, url):
        coder = await hub.agents.register("coder")
        asked = await hub.approvals.request(coder, "drop_table", arguments={"name": "users", "rows": 3}, policy=QUIZ)
        words = ("approvals", "approve", url, asked)
        async with terminal(*words, HUBWIRE_TOKEN=OPERATOR, NO_COLOR="1") as screen:
            await screen.until(b"Type the value of name: ")
            assert b"coder wants drop_table(name=users, rows=3)" in screen.drawn
            screen.process.send_signal(signal.SIGINT)
            await screen.rest()
            assert await anyio.to_thread.run_sync(screen.process.wait) == 130
        assert hub.approvals.pending()
        async with terminal(*words, HUBWIRE_TOKEN=OPERATOR, NO_COLOR="1") as screen:
            await screen.until(b"Type the value of name: ")
            await screen.type("users\n")
            await screen.until(b"Type the value of rows: ")
            await screen.type("3\n")
            await screen.until(b"drop_table of coder: approved")


async def test_a_store_has_its_approvals_to_look_at(tmp_path: Path) -> None:
    async with hub_at(tmp_path) as (hub, _):
        coder = await hub.agents.register("coder")
        approval = await hub.approvals.request(coder, "deploy", arguments={"n": EVIL}, policy=POLICY)
        await hub.flush()
        assert json.loads((await hubwire("approvals", "list", tmp_path, "-o", "json"))[0])[0]["approval_id"] == approval
        assert "deploy" in (await hubwire("approvals", "list", tmp_path))[0]
        shown = (await hubwire("approvals", "show", tmp_path, approval))[0]
        assert "coder wants deploy" in shown
        assert "\x1b" not in shown
        _, said = await hubwire("approvals", "approve", tmp_path, approval, code=2)
        assert "Name the address of its dashboard" in said
        _, said = await hubwire("approvals", "show", tmp_path, "nothing", code=1)
        assert "--all` prints those that are remembered" in said


# --- what goes wrong ------------------------------------------------------------------------------------------------


async def test_what_is_wrong_with_an_address_is_said(tmp_path: Path) -> None:
    async with hub_at(tmp_path) as (_, url):
        for token, words in ((("x" * 32), "not one of its tokens"), ("", "HUBWIRE_TOKEN")):
            _, said = await hubwire("tail", url, token=token, code=1)
            assert words in said
        _, said = await hubwire("tail", f"{url}elsewhere", code=1)
        assert "name the address" in said or "there is nothing at" in said
    _, said = await hubwire("tail", url, code=1)
    assert "cannot be reached" in said
    for address in ("http://", "http://127.0.0.1:99999", "http://[::1"):
        _, said = await hubwire("stats", address, code=2)
        assert "address" in said or "names no host" in said


async def test_a_token_may_come_from_a_file_or_the_address(tmp_path: Path) -> None:
    file = anyio.Path(tmp_path / "token")
    await file.write_text(f"{OPERATOR}\n", encoding="ascii")
    async with hub_at(tmp_path / "store") as (_, url):
        await hubwire("approvals", "list", url, "--token-file", str(file), token="")
        await hubwire("approvals", "list", f"{url}#token={OPERATOR}", token="")
        _, said = await hubwire("tail", url, "--token-file", "no/such", code=2)
        assert "--token-file no/such cannot be read" in said


async def test_a_tail_goes_on_behind_the_last_event(tmp_path: Path) -> None:
    """After the program with the hub was ended and started again, nothing is printed twice, and nothing is left out."""
    seen: list[int] = []
    async with hub_at(tmp_path) as (hub, url):
        port = int(url.rstrip("/").rpartition(":")[2])
        arguments = ["tail", "-f", "-n", "0", "--kind", "own.*", "-o", "json", url]
        process = await anyio.open_process(
            [*COMMAND, *arguments], stderr=subprocess.PIPE, env={**os.environ, "HUBWIRE_TOKEN": OPERATOR}
        )
        assert process.stdout is not None
        assert process.stderr is not None
        lines, complaints = BufferedByteReceiveStream(process.stdout), BufferedByteReceiveStream(process.stderr)
        number = 0
        while not seen:  # from when on it listens is not told
            await hub.emit(GenericEvent(kind="own.done", data={"n": number}))
            number += 1
            with anyio.move_on_after(0.2):
                seen.append(json.loads(await lines.receive_until(b"\n", 1 << 16))["data"]["n"])
        for _ in range(3):
            await hub.emit(GenericEvent(kind="own.done", data={"n": number}))
            number += 1
        await hub.flush()
    while b"retrying http://127.0.0.1" not in await complaints.receive_until(b"\n", 1 << 16):
        pass
    async with hub_at(tmp_path, port) as (hub, _):
        for _ in range(3):
            await hub.emit(GenericEvent(kind="own.done", data={"n": number}))
            number += 1
        await hub.flush()
        while seen[-1] != number - 1:
            seen.append(json.loads(await lines.receive_until(b"\n", 1 << 16))["data"]["n"])
    process.kill()
    with anyio.CancelScope(shield=True):
        await process.aclose()
    assert seen == list(range(seen[0], number))


# --- top ------------------------------------------------------------------------------------------------------------


def without_textual(*arguments: str) -> list[str]:
    """Return the command as it is where the extra tui was not installed."""
    program = "import sys; sys.modules['textual'] = None; from hubwire.cli import main; main(sys.argv[1:])"
    return [sys.executable, "-P", "-c", program, *arguments]


@pytest.mark.parametrize("has_textual", [True, False])
async def test_a_frame_of_a_hub_is_as_one_of_its_log(tmp_path: Path, has_textual: bool) -> None:
    """With the extra tui and without it: printing one frame takes none."""
    async with hub_at(tmp_path) as (hub, url):
        await work(hub)
        coder = hub.agents.find("coder")
        assert coder is not None
        await hub.approvals.request(coder, "deploy", arguments={"path": EVIL}, policy=POLICY)
        await hub.flush()
        environment = {**os.environ, "HUBWIRE_TOKEN": OPERATOR, "COLUMNS": "100"}
        drawn = []
        for target in (url, str(tmp_path)):
            words = ["top", "--once", target]
            command = [*COMMAND, *words] if has_textual else without_textual(*words)
            done = await anyio.run_process(command, env=environment)
            drawn.append(re.sub(r"[\d.]+ (?:ms|s)\b|[▁▂▃▄▅▆▇█]|[\d.]+/s| +", " ", done.stdout.decode()).split("\n"))
    assert [line.split() for line in drawn[0][2:]] == [line.split() for line in drawn[1][2:]]
    assert any("Approvals: 1 waiting" in line for line in drawn[0])
    assert "running" in drawn[0][0]
    assert not any("\x1b" in line for line in drawn[0])


async def test_a_hub_is_drawn_anew_without_keys(tmp_path: Path) -> None:
    """A hub that is away for a while is said, and it goes on when that is there again."""
    async with AsyncExitStack() as stack:
        async with hub_at(tmp_path) as (hub, url):
            await work(hub)
            port = int(url.rstrip("/").rpartition(":")[2])
            screen = await stack.enter_async_context(
                terminal("top", "--plain", url, columns=120, HUBWIRE_TOKEN=OPERATOR)
            )
            await screen.until(b"coder")
            await hub.agents.register("tester")
            await screen.until(b"tester")
        await screen.until(b"cannot be reached")
        async with hub_at(tmp_path, port) as (hub, _):
            await hub.agents.register("third")
            await screen.until(b"third")


async def test_what_is_wrong_with_the_hub_of_a_frame_is_said(tmp_path: Path) -> None:
    _, said = await hubwire("top", "--once", "http://127.0.0.1:1", code=1)
    assert "cannot be reached" in said
    _, said = await hubwire("top", "--once", "--raw", "http://127.0.0.1:1", code=2)
    assert "--raw is for a store" in said
    _, said = await hubwire("top", "http://127.0.0.1:1", code=2)
    assert "write --once to print one frame" in said
    async with hub_at(tmp_path) as (_, url):
        _, said = await hubwire("top", "--once", url, token="x" * 32, code=1)
        assert "not one of its tokens" in said
