"""The traces of the demo's team, as a collector gets them: each run is one tree, also over a kill."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import anyio
import pytest

from hubwire import Hub
from hubwire.cli.scenario import Office
from hubwire.listeners import AuditLog
from hubwire.listeners.opentelemetry import OpenTelemetry
from hubwire.stores import MemoryStore
from support.otlp import Collector, Span, collector, trees

TICKETS = ["#0 team", "#1 the build is red", "#2 login times out", "#3 the cart forgets its items"]


@pytest.fixture
def received() -> Iterator[Collector]:
    with collector() as found:
        yield found


def tickets_of(spans: Sequence[Span]) -> dict[str, list[Span]]:
    """Return the spans of each ticket; fails where they are not one tree."""
    roots = {trace: root for trace, root in trees(spans).items() if root.name.startswith("channel")}
    return {
        str(root.attributes["hub.channel.topic"]): sorted(
            (span for span in spans if span.trace_id == trace), key=lambda span: span.start_ns
        )
        for trace, root in roots.items()
    }


async def test_each_run_of_the_team_is_one_tree(received: Collector) -> None:
    store = MemoryStore()
    otel = OpenTelemetry(received.endpoint, service="team")
    async with Hub(store, listeners=[AuditLog(store), otel]) as hub:
        await Office(hub, tickets=3, pace=0.001, hang_after=0).work()
    assert otel.open == 0
    tickets = tickets_of(received.spans)
    assert sorted(tickets) == TICKETS
    first = tickets["#1 the build is red"]
    assert [span.name for span in first[1:]] == [
        f"execute_tool {tool}" for tool in ("edit", "pytest", "edit", "pytest", "diff")
    ]
    assert [span.status for span in first if span.name == "execute_tool pytest"] == [2, 1]
    assert {span.attributes["gen_ai.agent.name"] for span in first[1:]} == {"coder", "tester", "reviewer"}
    assert {span.service for span in received.spans} == {"team"}
    assert sum(span.name.startswith("create_agent") for span in received.spans) == 4


PROGRAM = """
import os, signal, sys, anyio
from hubwire import Duty, Hub
from hubwire.cli.scenario import Office
from hubwire.listeners import AuditLog
from hubwire.listeners.opentelemetry import OpenTelemetry
from hubwire.stores import FileStore

async def main(directory, endpoint, hang_after):
    store, solved = FileStore(directory), []
    async with Hub(store, listeners=[AuditLog(store)]) as hub:
        hub.attach(OpenTelemetry(endpoint), duty=Duty.DURABLE, name="otel", since="start")

        @hub.on("ticket.solved", "tool.called", in_loop=True)
        def kill(event):
            if event.kind == "ticket.solved":
                solved.append(event)
            elif 0 < hang_after <= len(solved):
                os.kill(os.getpid(), signal.SIGKILL)  # in the middle of a call of a tool

        await Office(hub, 3, 0.001, hang_after).work()

anyio.run(main, sys.argv[1], sys.argv[2], int(sys.argv[3]))
"""


@pytest.mark.slow
async def test_a_killed_run_is_one_tree(received: Collector, tmp_path: Path) -> None:
    """What the process had in its hands is abandoned; what was sent twice is the same span."""
    for hang_after, code in ((2, -signal.SIGKILL), (0, 0)):
        arguments = [str(tmp_path), received.endpoint, str(hang_after)]
        done = await anyio.run_process([sys.executable, "-P", "-c", PROGRAM, *arguments], check=False)
        assert done.returncode == code, done.stderr.decode()
    seen: dict[tuple[str, str], Span] = {}
    for span in received.spans:
        assert seen.setdefault((span.trace_id, span.span_id), span) == span
    tickets = tickets_of(list(seen.values()))
    assert sorted(tickets) == TICKETS
    abandoned = [span for span in seen.values() if span.attributes.get("hub.end") == "abandoned"]
    assert abandoned
    assert {(span.status, span.message) for span in abandoned} == {(2, "the hub was restarted")}


@pytest.mark.slow
def test_the_demo_itself_needs_no_collector(tmp_path: Path) -> None:
    program = "import sys; sys.modules['opentelemetry'] = None; import hubwire.listeners, hubwire.cli.scenario"
    subprocess.run([sys.executable, "-P", "-c", program], check=True, cwd=tmp_path)
