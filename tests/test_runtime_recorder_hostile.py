"""What a recorder of runtimes does with hostile arguments, hubs, threads and times."""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
import threading
import time
import tracemalloc
from typing import Any

import anyio
import pytest

from hubwire import Hub, HubThread
from hubwire.arbiter import Allow, Command, Deny
from hubwire.errors import ConfigurationError, HubClosed
from hubwire.runtimes import Recorder
from hubwire.stores import FileStore, MemoryStore
from hubwire.testing import ManualClock, Recorder as Heard
from hubwire.testing.runtimes import check_pairs, of


class Evil:
    """Raises whatever is done with it."""

    def __getattribute__(self, name: str) -> Any:
        raise SystemExit(name)

    def __str__(self) -> str:
        raise SystemExit

    __repr__ = __hash__ = __eq__ = __bool__ = __len__ = __iter__ = __str__  # type: ignore[assignment]


class EvilText(str):
    __slots__ = ()

    def __str__(self) -> str:
        raise KeyError("text")

    def __len__(self) -> int:
        raise KeyError("length")

    def __hash__(self) -> int:
        raise KeyError("hash")


class EvilError(Exception):
    def __str__(self) -> str:
        raise ValueError("again")


CYCLE: list[Any] = []
CYCLE.append(CYCLE)

HOSTILE: tuple[Any, ...] = (
    None,
    Evil(),
    EvilText("x"),
    EvilError(),
    b"\xff",
    "\ud800\x00\u202e",
    "x" * 1_000_000,
    CYCLE,
    {1: {2: {3: object}}},
    {Evil: 1},
    10**5000,
    float("nan"),
    lambda: None,
    [],
    -1,
    True,
)


def everything(recorder: Recorder, value: Any) -> None:
    """Call each method with this value in each argument."""
    recorder.begin_turn(value, agent="a")
    recorder.begin_turn("t", agent=value, parent=value, prompt=value, session=value, correlation=value, at=value)
    recorder.begin_model("m", value, agent=value, parent=value, request=value, call_id=value, at=value)
    recorder.stream("m", value)
    recorder.stream(value, "piece")
    recorder.usage("m", input_tokens=value, output_tokens=value, cost_usd=value)
    recorder.end(
        "m", value, input_tokens=value, output_tokens=value, cost_usd=value, model=value, extra=value, at=value
    )
    recorder.begin_tool("x", value, agent=value, parent="t", arguments=value, call_id=value, is_held=value, at=value)
    recorder.release("x")
    recorder.release(value)
    recorder.fail("x", value, kind=value, at=value)
    recorder.begin_tool("y", "tool", parent="t", is_held=True)
    recorder.discard("y", value)
    recorder.discard(value)
    recorder.hand_over(value, value, parent=value, reason=value)
    recorder.error(value, parent=value, agent=value, where=value)
    recorder.record_verdict(
        "v", value, arguments=value, is_passed=value, approver=value, reason=value, agent=value, parent=value
    )
    recorder.end(value, value)
    recorder.fail(value, value)
    recorder.end("t", value)


@pytest.mark.parametrize("number", range(len(HOSTILE)))
async def test_no_argument_reaches_the_runtime_as_an_error_or_the_hub_as_a_fault(number: int) -> None:
    store, heard = MemoryStore(), Heard()
    async with Hub(store) as hub:
        hub.attach(heard)
        async with Recorder(hub, source="try") as recorder:
            everything(recorder, HOSTILE[number])
            recorder.begin_turn("after", agent="a")
            recorder.end("after", "well")
        await hub.flush(timeout=30)
        assert hub.health().healthy, hub.health().problems
    check_pairs(heard.events)
    assert of(heard.events, "turn.ended")[-1].content == "well", "what follows is recorded"
    async with Hub(store) as hub:
        assert hub.health().healthy, hub.health().problems


@pytest.mark.parametrize(
    "wrong",
    [
        {"source": ""},
        {"source": 1},
        {"agent": "x" * 1000},
        {"content": "yes"},
        {"session": 1},
        {"tenant": ""},
        {"queue_max": 0},
        {"queue_max": True},
        {"queue_bytes_max": 1.5},
        {"stream_seconds": 0},
        {"stream_seconds": float("nan")},
        {"redactor": "default"},
    ],
    ids=range(12),
)
def test_a_setting_that_cannot_work_is_refused(wrong: dict[str, Any]) -> None:
    hub = Hub()
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        Recorder(hub, **{"source": "try", **wrong})
    assert hub.feeds == ()


@pytest.mark.parametrize("make", [lambda: None, lambda: "hub", lambda: Hub, object, Evil], ids=range(5))
def test_what_is_no_hub_is_refused(make: Any) -> None:
    hub = make()  # made here, because pytest looks at what it is given
    with pytest.raises(ConfigurationError, match="Hub"):
        Recorder(hub, source="try")


@pytest.mark.parametrize(
    "name",
    ["source", "agent", "content", "session", "tenant", "redactor", "queue_max", "queue_bytes_max", "stream_seconds"],
)
def test_a_setting_that_raises_when_it_is_looked_at_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        settings: Any = {"source": "try", name: Evil()}
        Recorder(Hub(), **settings)


async def test_threads_keep_the_order_of_each_run() -> None:
    heard = Heard()
    async with Hub() as hub:
        hub.attach(heard, mailbox=100_000)
        async with Recorder(hub, source="try", queue_max=100_000) as recorder:

            def work(name: str) -> None:
                recorder.begin_turn(name, agent=name)
                for number in range(100):
                    key = f"{name}-{number}"
                    recorder.begin_tool(key, "count", parent=name, arguments={"n": number})
                    recorder.end(key, number)
                recorder.end(name, "done")

            threads = [threading.Thread(target=work, args=(f"agent-{n}",)) for n in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                await asyncio.to_thread(thread.join)
        await hub.flush(timeout=60)
    check_pairs(heard.events)
    for n in range(8):
        results = [event.result for event in of(heard.events, "tool.completed") if event.turn_id == f"agent-{n}"]
        assert results == list(range(100))


async def test_what_is_said_under_a_lock_of_its_own_is_heard() -> None:
    """Objects are destroyed, and signals handled, in the middle of other calls of the recorder."""
    heard = Heard()
    async with Hub() as hub:
        hub.attach(heard)
        async with Recorder(hub, source="try") as recorder:

            class Dying:
                def __del__(self) -> None:
                    recorder.begin_turn("dying", agent="a")
                    recorder.end("dying")

            held: list[Any] = [Dying()]

            def put(entry: Any) -> None:
                held.clear()
                plain(entry)

            plain, recorder._queue._put = recorder._queue._put, put  # type: ignore[method-assign]
            recorder.begin_turn("living", agent="a")
            recorder.end("living")
        await hub.flush(timeout=30)
    check_pairs(heard.events)
    assert {event.turn_id for event in of(heard.events, "turn.ended")} == {"living", "dying"}


async def test_what_never_ends_is_abandoned_with_its_hub() -> None:
    heard = Heard()
    async with Hub() as hub:
        hub.attach(heard)
        recorder = Recorder(hub, source="try")
        recorder.begin_turn("t", agent="a")
        recorder.begin_tool("x", "wait", parent="t")
    kinds = [kind for kind in heard.kinds if kind.partition(".")[0] in ("turn", "tool")]
    assert kinds == ["turn.started", "tool.called", "tool.abandoned", "turn.abandoned"]
    recorder.begin_turn("u", agent="a")
    assert recorder.statistics().dropped == 1
    recorder.close()


@pytest.mark.slow
async def test_the_end_of_a_run_waits_for_its_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = Heard()
    async with Hub() as hub:
        hub.attach(heard)
        async with Recorder(hub, source="try") as recorder:
            recorder.begin_turn("t", agent="a")
            recorder.begin_tool("x", "slow", parent="t")
            recorder.fail("t", asyncio.CancelledError())
            await recorder.flush()
            assert "turn.failed" not in heard.kinds
            recorder.end("x", "late")
            await recorder.flush()
            monkeypatch.setattr("hubwire.runtimes._spans.END_WAITS_SECONDS", 0.0)
            recorder.begin_turn("u", agent="a")
            recorder.begin_tool("y", "never", parent="u")
            recorder.end("u", "done")
            await heard.wait_for("turn.ended")
        await hub.flush(timeout=30)
    kinds = [kind for kind in heard.kinds if kind.partition(".")[0] in ("turn", "tool")]
    assert kinds[:4] == ["turn.started", "tool.called", "tool.completed", "turn.failed"]
    assert kinds[4:] == ["turn.started", "tool.called", "tool.abandoned", "turn.ended"]


async def test_a_key_that_comes_again_is_a_replay() -> None:
    heard = Heard()
    async with Hub() as hub:
        hub.attach(heard)
        async with Recorder(hub, source="try") as recorder:
            for _ in range(3):
                recorder.begin_turn("t", agent="a")
                recorder.begin_turn("t", agent="a")
                recorder.end("t", "done")
            await recorder.flush()
            assert recorder.statistics().replays == 5
        await hub.flush(timeout=30)
    assert heard.kinds.count("turn.started") == heard.kinds.count("turn.ended") == 1


async def test_long_keys_that_differ_at_their_end_are_two() -> None:
    heard = Heard()
    async with Hub() as hub:
        hub.attach(heard)
        async with Recorder(hub, source="try") as recorder:
            for end in "ab":
                recorder.begin_turn("k" * 10_000 + end, agent="a")
            for end in "ab":
                recorder.end("k" * 10_000 + end, end)
        await hub.flush(timeout=30)
    check_pairs(heard.events)
    assert [event.content for event in of(heard.events, "turn.ended")] == ["a", "b"]


async def test_a_secret_at_the_cut_is_not_half_shown() -> None:
    heard, secret = Heard(), "sk-proj-" + "Ab1" * 40
    async with Hub() as hub:
        hub.attach(heard)
        async with Recorder(hub, source="try") as recorder:
            for before in range(150, 200, 7):
                recorder.begin_turn(f"t{before}", agent="a", prompt="x" * before + " " + secret)
                recorder.end(f"t{before}", {"text": "y" * before + " " + secret})
        await hub.flush(timeout=30)
    assert "sk-proj-Ab1" not in json.dumps([str(event) for event in heard.events])


async def test_a_secret_at_the_beginning_of_a_tail_is_not_half_shown() -> None:
    heard, secret = Heard(), "sk-proj-" + "Ab1" * 40
    async with Hub() as hub:
        hub.attach(heard)
        async with Recorder(hub, source="try", stream_seconds=1e-9) as recorder:
            recorder.begin_turn("t", agent="a")
            recorder.begin_model("m", "model", parent="t")
            for piece in (secret, *(" and on" for _ in range(60))):
                recorder.stream("m", piece)
            recorder.end("m", "done")
            recorder.end("t")
        await hub.flush(timeout=30)
    told = of(heard.events, "model.progressed")
    assert len(told) > 50
    assert told[-1].characters == len(secret) + 60 * 7
    assert not [event.text for event in told if "Ab1Ab1" in event.text]


async def test_the_least_important_is_left_out_first_and_told() -> None:
    heard, hub = Heard(), Hub()
    hub.attach(heard)
    recorder = Recorder(hub, source="try", queue_max=100)  # nothing is taken in before the hub is started
    recorder.begin_turn("t", agent="a")
    for number in range(200):
        recorder.begin_tool(f"x{number}", "count", parent="t")
        recorder.end(f"x{number}", number)
    recorder.error("something", parent="t")
    recorder.end("t", "done")
    async with hub:
        await heard.wait_for("recording.dropped")
        told = of(heard.events, "recording.dropped")
        assert told[0].count == recorder.statistics().dropped > 0
        assert set(told[0].steps) == {"tool"}, "turns and errors have room yet"
        assert hub.health().healthy, "the log says it now"
        [numbers] = [each.numbers for each in hub.statistics().feeds]
        assert numbers["dropped"] == told[0].count
        await recorder.aclose()
        recorder.begin_turn("too late", agent="a")
        assert hub.health().healthy, "what is said to a closed recorder is owed by no hub"
    check_pairs(heard.events)
    assert "error.raised" in heard.kinds


async def test_the_queue_is_bounded_in_bytes() -> None:
    hub = Hub()
    recorder = Recorder(hub, source="try", content=True, queue_bytes_max=1_000_000)
    for number in range(200):
        recorder.begin_turn(f"t{number}", agent="a", prompt="x" * 50_000)
    assert recorder.statistics().waiting < 20
    assert recorder.statistics().dropped > 180
    recorder.close()


@pytest.mark.slow
async def test_nothing_is_left_of_a_hundred_thousand_runs() -> None:
    async with Hub() as hub, Recorder(hub, source="try") as recorder:

        async def runs(first: int, count: int) -> None:
            for number in range(first, first + count):
                recorder.begin_turn(f"t{number}", agent="a", prompt="go")
                recorder.begin_model(f"m{number}", "model", parent=f"t{number}")
                recorder.stream(f"m{number}", "piece")
                recorder.end(f"m{number}", "answer")
                recorder.end(f"t{number}", "done")
                if number % 100 == 0:
                    await recorder.flush()
            await recorder.flush()

        await runs(0, 30_000)
        gc.collect()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        await runs(30_000, 20_000)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
        assert recorder.statistics().dropped == 0
    assert grown < 20_000_000, grown  # what is left is the ring of the hub: each run would be 4,000 bytes


async def test_a_hub_by_a_clock_of_its_own_is_fed_at_once() -> None:
    heard = Heard()
    async with Hub(clock=ManualClock()) as hub:
        hub.attach(heard)
        async with Recorder(hub, source="try") as recorder:
            recorder.begin_turn("t", agent="a")
            recorder.end("t")
            await recorder.flush()
        await hub.flush(timeout=30)
    (ended,) = of(heard.events, "turn.ended")
    assert 0 <= ended.duration_ms < 60_000
    assert ended.occurred_at is None


async def test_the_recorder_of_a_tenant_records_for_it_alone() -> None:
    heard = Heard()
    async with Hub() as hub:
        hub.attach(heard)
        async with Recorder(hub, source="try", tenant="acme") as recorder:
            recorder.begin_turn("t", agent="a")
            recorder.end("t")
        await hub.flush(timeout=30)
        assert hub.agents.find("a") is None
        assert hub.for_tenant("acme").agents.find("a") is not None
    assert {event.tenant for event in heard.events if event.kind.startswith("turn.")} == {"acme"}


async def test_what_an_arbiter_denies_is_refused_and_the_rest_recorded() -> None:
    heard = Heard()
    async with Hub(arbiter=_Denying()) as hub:
        hub.attach(heard)
        async with Recorder(hub, source="try") as recorder:
            recorder.begin_turn("t", agent="a")
            recorder.begin_tool("x", "rm", parent="t")
            recorder.end("x")
            recorder.end("t")
        await hub.flush(timeout=30)
        assert recorder.statistics().refused == 2
    assert heard.kinds.count("turn.ended") == 1
    assert heard.kinds.count("tool.called") == 0


class _Denying:
    """Denies calls of tools, when it is awaited."""

    async def authorize(self, command: Command) -> Allow | Deny:
        await asyncio.sleep(0)
        kind = getattr(command.content, "kind", "")
        return Deny("no tools") if str(kind).startswith("tool.") else Allow()


async def test_a_question_has_the_verdict_that_an_approver_gives() -> None:
    async with (
        Hub() as hub,
        Recorder(hub, source="try", agent="coder") as recorder,
        anyio.create_task_group() as tasks,
    ):
        verdicts: list[Any] = []

        async def decide(key: str) -> None:
            verdicts.append(await recorder.decide(key, "deploy", {"target": "live"}))

        async def ask(key: str) -> str:
            tasks.start_soon(decide, key)
            async for event in hub.events(after=-1, pattern="approval.challenge_issued"):
                if any(each.approval_id == event.approval_id for each in hub.approvals.pending()):  # type: ignore[attr-defined]
                    return str(event.approval_id)  # type: ignore[attr-defined]
            raise AssertionError

        approvals = hub.approvals
        await approvals.answer(await ask("1"), "ann", is_passed=True, reason="go")
        await anyio.wait_all_tasks_blocked()
        await approvals.answer(await ask("2"), "ann", is_passed=False, reason="no")
        await anyio.wait_all_tasks_blocked()
        await approvals.answer(await ask("3"), "ann", is_passed=True, arguments={"target": "staging"})
        await anyio.wait_all_tasks_blocked()
        await approvals.send_back(await ask("4"), "ann", "say why")
        await anyio.wait_all_tasks_blocked()
    said = [(each.is_approved, each.is_modified, each.reason) for each in verdicts]
    assert [each[:2] for each in said] == [(True, False), (False, False), (True, True), (False, False)]
    assert said[1][2] == "no"
    assert said[3][2] == "say why"
    assert verdicts[2].arguments == {"target": "staging"}


async def test_a_question_that_is_given_up_stays_and_a_hub_that_ends_approves_nothing() -> None:
    async with Hub() as hub, Recorder(hub, source="try", agent="coder") as recorder:
        with anyio.move_on_after(0.1):
            await recorder.decide("1", "deploy", {})
        assert len(hub.approvals.pending()) == 1
        waiting = asyncio.ensure_future(recorder.decide("1", "deploy", {}))
        await recorder.flush()
        assert len(hub.approvals.pending()) == 1, "it is the same question"
    verdict = await waiting
    assert not verdict.is_approved
    assert "could not be asked" in verdict.reason
    after = await recorder.decide("2", "deploy", {})
    assert not after.is_approved


def test_a_thread_may_wait_for_a_verdict() -> None:
    hub = Hub()
    with HubThread(hub) as thread:
        recorder = Recorder(thread, source="try", agent="coder")
        verdicts: list[Any] = []
        asking = threading.Thread(target=lambda: verdicts.append(recorder.decide_blocking("1", "deploy", {"n": 1})))
        asking.start()

        async def approve() -> None:
            async for event in hub.events(after=-1, pattern="approval.challenge_issued"):
                await hub.approvals.answer(event.approval_id, "ann", is_passed=True)  # type: ignore[attr-defined]
                return

        thread.call(approve)
        asking.join(30)
        assert verdicts[0].is_approved
        recorder.flush_blocking(30)
        recorder.close()


async def test_the_hubs_own_loop_is_not_blocked_by_a_question() -> None:
    async with Hub() as hub, Recorder(hub, source="try") as recorder:
        await recorder.flush()
        verdict = recorder.decide_blocking("1", "deploy", {})
        assert not verdict.is_approved
        assert "decide()" in verdict.reason


async def test_flushing_a_hub_that_does_not_run_says_so() -> None:
    recorder = Recorder(Hub(), source="try")
    with pytest.raises(HubClosed, match="not running"):
        await recorder.flush()
    recorder.close()


def test_a_forked_child_records_nothing() -> None:
    program = """
import os, sys
from hubwire import Hub, HubThread
from hubwire.runtimes import Recorder
hub = Hub()
with HubThread(hub) as thread:
    recorder = Recorder(thread, source="try")
    recorder.begin_turn("parent", agent="a")
    recorder.flush_blocking(30)
    pid = os.fork()
    if pid == 0:
        recorder.begin_turn("child", agent="a")
        recorder.end("parent")
        recorder.flush_blocking()  # there is nothing to wait for
        assert not recorder.decide_blocking("key", "deploy").is_approved
        recorder.close()
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    recorder.end("parent")
    recorder.flush_blocking(30)
    print(recorder.statistics().events, recorder.statistics().dropped)
"""
    done = subprocess.run(
        [sys.executable, "-P", "-W", "ignore", "-c", program], capture_output=True, text=True, timeout=50, check=False
    )
    assert done.stdout.split() == ["2", "0"], done.stderr


def test_an_open_recorder_does_not_keep_a_program() -> None:
    program = """
import asyncio
from hubwire import Hub
from hubwire.runtimes import Recorder
async def main():
    async with Hub() as hub:
        recorder = Recorder(hub, source="try")
        recorder.begin_turn("t", agent="a")
    recorder.end("t")
asyncio.run(main())
recorder = Recorder(Hub(), source="try")
recorder.begin_turn("t", agent="a")
print("done")
"""
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], capture_output=True, text=True, timeout=50, check=False
    )
    assert done.stdout.split() == ["done"], done.stderr
    assert done.stderr.startswith("a hub was never started")
    assert done.stderr.count("\n") == 1


async def test_a_restart_abandons_what_a_killed_program_had_begun(tmp_path: Any) -> None:
    program = f"""
import asyncio, os
from hubwire import Hub
from hubwire.stores import FileStore
from hubwire.runtimes import Recorder
async def main():
    async with Hub(FileStore({str(tmp_path)!r})) as hub:
        recorder = Recorder(hub, source="try")
        recorder.begin_turn("t", agent="a")
        recorder.begin_tool("x", "wait", parent="t")
        await recorder.flush()
        os._exit(9)
asyncio.run(main())
"""
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-P", "-c", program], capture_output=True, timeout=50, check=False
    )
    assert done.returncode == 9, done.stderr
    heard = Heard()
    async with Hub(FileStore(tmp_path)) as hub:
        hub.attach(heard, since="start")
        await heard.wait_for("turn.abandoned")
        await heard.wait_for("tool.abandoned")


async def test_two_recorders_of_one_runtime_do_not_mix() -> None:
    heard = [Heard(), Heard()]
    async with Hub() as one, Hub() as other:
        one.attach(heard[0])
        other.attach(heard[1])
        async with Recorder(one, source="try") as first, Recorder(other, source="try") as second:
            first.begin_turn("t", agent="a")
            second.begin_turn("t", agent="b")
            first.end("t", "first")
            second.end("t", "second")
        await one.flush(timeout=30)
        await other.flush(timeout=30)
    assert [of(each.events, "turn.ended")[0].content for each in heard] == ["first", "second"]


def test_times_that_a_runtime_tells_are_kept() -> None:
    async def main() -> list[Any]:
        heard = Heard()
        async with Hub() as hub:
            hub.attach(heard)
            async with Recorder(hub, source="try") as recorder:
                then = time.time() - 100
                recorder.begin_tool("x", "slow", at=then)
                recorder.end("x", "done", at=then + 2.5)
            await hub.flush(timeout=30)
        return [event for event in heard.events if event.kind.startswith("tool.")]

    called, completed = asyncio.run(main())
    assert completed.duration_ms == pytest.approx(2500, abs=5)
    assert called.occurred_at < completed.occurred_at < called.at


async def test_strangers_that_name_themselves_do_not_fill_the_hub_with_agents(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hubwire.runtimes._bringing._AGENTS_MAX", 3)
    heard = Heard()
    async with Hub() as hub:
        hub.attach(heard)
        async with Recorder(hub, source="try", agent="client") as recorder:
            for number in range(100):
                recorder.begin_turn(f"t{number}", agent=f"stranger {number}")
                recorder.end(f"t{number}", "done")
            recorder.record_verdict("q", "deploy", is_passed=True, agent="another stranger")
        await hub.flush(timeout=30)
    check_pairs(heard.events)
    names = [event.name for event in of(heard.events, "agent.registered")]
    assert names == ["stranger 0", "stranger 1", "stranger 2", "client"]
    assert len(of(heard.events, "turn.ended")) == 100
    assert len(of(heard.events, "approval.approved")) == 1
