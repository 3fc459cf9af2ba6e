"""``hubwire query`` at the address of a running hub: what it prints is what it prints of the log of that hub."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from hubwire import GenericEvent, Hub
from hubwire.approvals import ApprovalPolicy, ChallengeKind, RiskLevel
from hubwire.events import ToolCalled, ToolFailed
from hubwire.listeners.audit import AuditLog
from hubwire.listeners.dashboard import Access, Dashboard, Person
from hubwire.stores import FileStore

pytestmark = pytest.mark.slow  # each test runs the command as a program

COMMAND = [sys.executable, "-P", "-m", "hubwire"]
OPERATOR, READER, ACME = "o" * 32, "r" * 32, "a" * 32
ACCESS = Access(
    [
        Person(name="m.keller", role="operate", token=OPERATOR),
        Person(name="guest", token=READER, contents=False),
        Person(name="bob", token=ACME, tenants=("acme",)),
    ]
)
POLICY = ApprovalPolicy(challenges=dict.fromkeys(RiskLevel, ChallengeKind.CONFIRM))
SECRET = "sk-proj-AbCdEf0123456789AbCdEf0123456789"


async def query(*arguments: str | Path, token: str = OPERATOR, code: int = 0) -> tuple[str, str]:
    environment = {**os.environ, "HUBWIRE_TOKEN": token, "COLUMNS": "120"}
    done = await anyio.run_process([*COMMAND, "query", *map(str, arguments)], check=False, env=environment)
    assert done.returncode == code, done
    assert b"Traceback" not in done.stderr
    return done.stdout.decode(), done.stderr.decode()


@pytest.fixture
async def lived(tmp_path: Path) -> AsyncIterator[tuple[Hub, str, Path]]:
    """A hub that has lived, the address of its dashboard, and its store."""
    async with hub_at(tmp_path) as (hub, url):
        coder, tester = await hub.agents.register("coder"), await hub.agents.register("tester")
        channel = await hub.channels.open([coder, tester], topic="fix the build")
        await channel.post(coder, f"the key is {SECRET}")
        for number in range(30):
            agent = coder if number % 3 else tester
            tool, call_id = f"tool-{number % 2}", str(number)
            await hub.emit(ToolCalled(agent_id=agent.id, tool=tool, call_id=call_id, arguments={"number": number}))
            await hub.emit(ToolFailed(agent_id=agent.id, tool=tool, call_id=call_id, error_message="no disk"))
        for number in range(3):
            approval = await hub.approvals.request(coder, "deploy", arguments={"number": number}, policy=POLICY)
            if number:
                await hub.approvals.answer(approval, "ann", is_passed=number == 1, reason="looked at it")
        await hub.emit(GenericEvent(kind="own.done", agent_id=tester.id, outcome="success"))
        await hub.for_tenant("acme").emit(GenericEvent(kind="order.placed", data={"id": 7}))
        await hub.flush()
        yield hub, url, tmp_path


@asynccontextmanager
async def hub_at(root: Path) -> AsyncIterator[tuple[Hub, str]]:
    store = FileStore(root)
    hub = Hub(store, listeners=[AuditLog(store, rotation=8192)])
    async with hub, Dashboard(hub, access=ACCESS, show_content=True).serve(port=0) as url:
        yield hub, url
    await store.aclose()


@pytest.mark.parametrize(
    "asked",
    [
        "--count-by agent --count-by data.id -o jsonl",
        "--every 1h --zone Asia/Kolkata -o csv",
        "--count-by tool --kind tool.* --where call_id=7",
        "--count-by kind --agent tester --outcome success",
        "--approvals -n 1 -o json",
        "--approvals --where verdict=denied -o csv",
        "--rubber-stamps --min-risk low --max-seconds 1000",
        "--kind tool.failed -n 7 --newest-first",
        "--newest-first --text 'no disk'",
        "--where tool=tool-1 -n 4 --newest-first -o json",
        "--tenant acme -o jsonl",
    ],
)
async def test_a_hub_is_asked_what_its_log_is_asked(lived: tuple[Hub, str, Path], asked: str) -> None:
    """And the cursor is the same, so that either goes on where the other has stopped."""
    _, url, root = lived
    words = [each.strip("'") for each in re.findall(r"'[^']*'|\S+", asked)]
    printed: dict[str, tuple[str, str]] = {}

    async def ask(target: str) -> None:
        printed[target] = await query(target, *words)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask, url)
        tasks.start_soon(ask, str(root))
    assert printed[url] == printed[str(root)]
    assert printed[url][0]


@pytest.mark.parametrize("order", [(), ("--newest-first",)])
@pytest.mark.parametrize("filters", ["--kind=tool.*", "--where=tool=tool-1"])
async def test_pages_of_a_hub_follow_each_other(
    lived: tuple[Hub, str, Path], order: tuple[str, ...], filters: str
) -> None:
    _, url, _ = lived
    whole = (await query(url, filters, "-o", "jsonl"))[0].splitlines()
    seen, after = list[str](), list[str]()
    while True:
        out, said = await query(url, filters, "-o", "jsonl", "-n", "25", *order, *after)
        seen += out.splitlines()
        found = re.search(r"cursor: (\S+)", said)
        if found is None:
            break
        after = ["--after", found[1]]
    assert len(whole) in (30, 60)
    assert seen == (whole[::-1] if order else whole)


async def test_records_of_a_hub_have_no_place_in_a_log(lived: tuple[Hub, str, Path]) -> None:
    """They have their number: a column for their place would hold another one."""
    _, url, root = lived
    of_hub = (await query(url, "--kind", "tool.failed", "-n", "1", "-o", "table"))[0]
    of_log = (await query(root, "--kind", "tool.failed", "-n", "1", "-o", "table"))[0]
    assert of_hub.split()[0] == "seq"
    assert of_log.split()[0] == "index"
    assert "no disk" in of_hub


async def test_what_was_meant_is_asked_of_a_hub_too(lived: tuple[Hub, str, Path]) -> None:
    _, url, _ = lived
    for given, meant in (
        ("--agent=codre", "coder"),
        ("--channel=fix the buld", "fix the build"),
        ("--kind=order.plced", "order.placed"),
    ):
        out, said = await query(url, given)
        assert out == ""
        assert f"did you mean {meant}?" in said
        assert "--count-by kind` lists its kinds" in said
    _, said = await query(url, "--after", "q1-forged", code=1)
    assert "is not a cursor" in said


async def test_indexes_are_written_by_the_hub(lived: tuple[Hub, str, Path]) -> None:
    """By one who may act there; then the log has them."""
    _, url, root = lived
    _, said = await query(url, "--index", "-n", "1", token=READER, code=1)
    assert "this needs operate" in said
    _, said = await query(url, "--index", "-n", "1")
    done = re.search(r"(\d+) of \1 sealed segments indexed now", said)
    assert done is not None
    assert int(done[1]) > 1
    assert len([each async for each in anyio.Path(root / "audit" / "index").iterdir()]) >= int(done[1])


async def test_a_reader_sees_in_a_query_what_it_may_see(lived: tuple[Hub, str, Path]) -> None:
    """Where contents are hidden, a filter does not find by them either."""
    _, url, _ = lived
    assert SECRET not in (await query(url, "-o", "jsonl"))[0]
    assert (await query(url, "--where", "error_message=no disk", "-n", "1"))[0]
    assert (await query(url, "--where", "error_message=no disk", token=READER))[0] == ""
    assert "looked at it" not in (await query(url, "--approvals", "-o", "jsonl", token=READER))[0]
    assert set((await query(url, "--count-by", "kind", "-o", "jsonl", token=ACME))[0].splitlines()) == {
        '{"kind":"order.placed","count":1}'
    }


@pytest.mark.parametrize("verb", ["query -n 20", "query", "tail -n all", "tail -f -n all", "export --format jsonl"])
async def test_a_reader_that_leaves_a_hub_early_is_no_failure(lived: tuple[Hub, str, Path], verb: str) -> None:
    """The connection is closed in order, and nothing is said."""
    _, url, _ = lived
    pipe = f'"$0" -P -m hubwire {verb} "$1" | head -1 >&2; exit ${{PIPESTATUS[0]}}'
    environment = {**os.environ, "HUBWIRE_TOKEN": OPERATOR}
    done = await anyio.run_process(["bash", "-c", pipe, sys.executable, url], check=False, env=environment)
    assert done.stderr.count(b"\n") == 1, done.stderr.decode()
    assert done.returncode in (0, 141)
