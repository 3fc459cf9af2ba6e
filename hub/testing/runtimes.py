"""What hubwire expects of every adapter of an agent runtime, as tests: prove your own by subclassing.

A subclass runs one small job in its runtime, on that runtime's offline double of a model, with and without a recorder.
The job: the agent ``planner`` calls the tool ``search(query="build log")``, which returns ``"2 errors"``, and hands
over to ``coder``. That one calls ``lint(path="app.py")``, which raises ``ValueError("no such file: app.py")``, and then
``deploy(target="staging")``, which a person has to approve and which returns ``"deployed to staging"``. It ends with
``"The build is green."``. What a runtime does not have is left out of the job, and named in
:attr:`RuntimeContract.lacks`.
"""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import anyio

from .. import Event, Hub, HubThread
from ..runtimes import Recorder as RuntimeRecorder
from ._runtime_checks import approve_all, check_pairs, check_together, of, steps, tasks_now
from ._runtime_lasting import SECONDS_MAX, Lasting
from .recorder import Recorder

__all__ = ("ANSWER", "RuntimeContract", "approve_all", "check_pairs", "of")

ANSWER = "The build is green."

MODEL_CALLS = 3
"""How many the job has in a runtime without tools."""


class RuntimeContract(Lasting):
    """Tests of an adapter in :mod:`hubwire.runtimes`, or one of your own."""

    lacks: ClassVar[frozenset[str] | Mapping[str, str]] = frozenset()
    """What the runtime has no notion of, or shows to nobody: ``approval``, ``hand_over``, ``usage``, ``cancelling``,
    ``error_text`` (it withholds why a tool failed), ``model`` (its calls of models), ``failing`` (a run cannot fail),
    ``loops`` (its runs are bound to one event loop), ``turns`` (it knows no agents: the job is three calls of a model,
    in the context of ``planner``), ``tools`` (it calls none itself). As a mapping, with why that is so: tests of what
    is lacking are skipped, and say it."""

    # -- what a subclass does --

    def record(self, hub: Hub | HubThread, **settings: Any) -> RuntimeRecorder:
        """Call the adapter's ``record``."""
        raise NotImplementedError

    async def run_job(self, recorder: RuntimeRecorder | None, *, asks: bool = True) -> str:
        """Run the job, and return its answer. ``recorder`` is what :meth:`record` has returned; None: there is none.

        The hub is asked for the approval; without a recorder, or without ``asks``, the job approves it itself, in the
        runtime's own way.
        """
        raise NotImplementedError

    async def run_failing(self, recorder: RuntimeRecorder | None) -> type[BaseException]:
        """Run an agent ``planner`` whose model raises; return the class of what the runtime raises to its caller."""
        raise NotImplementedError

    async def run_hanging(self, recorder: RuntimeRecorder | None, started: anyio.Event) -> None:
        """Run an agent ``planner`` whose tool ``wait`` sets ``started`` and then waits for ever."""
        raise NotImplementedError

    async def run_job_for_both(self, recorder: RuntimeRecorder, second: RuntimeRecorder) -> str:
        """Run the job, which approves the action itself, so that both recorders hear it.

        To be overridden where a recorder hears only the agents that it was given to.
        """
        assert not second.is_closed
        return await self.run_job(recorder, asks=False)

    def tool_of(self, name: str) -> str:
        """Return what a tool is called in the job, of the name that the runtime gives it, as ``mcp__job__search``."""
        return name

    # -- what is recorded --

    async def test_the_whole_job_is_recorded(self) -> None:
        events = await self._job_events()
        check_pairs(events)
        self._check_tools(events)
        if "turns" not in self.lacks:
            ended = of(events, "turn.ended")
            assert ended, "no turn has ended"
            assert any(event.content_preview for event in ended), "no turn has its content"
        if "model" not in self.lacks:
            models = of(events, "model.completed")
            assert len(models) >= 3, "calls of the model are missing"
            if "usage" not in self.lacks:
                assert any(model.input_tokens for model in models), "no call has tokens"

    async def test_the_agents_are_named(self) -> None:
        events = await self._job_events()
        names = {event.agent_id: event.name for event in of(events, "agent.registered")}
        assert "planner" in names.values(), names
        if "tools" in self.lacks:
            assert {names.get(event.agent_id) for event in of(events, "model.called")} == {"planner"}
            return
        who = {self.tool_of(event.tool): names.get(event.agent_id) for event in of(events, "tool.called")}
        assert who["search"] == "planner", who
        if "hand_over" not in self.lacks:
            assert who["lint"] == "coder", who
            switched = of(events, "agent.switched")
            assert [(event.from_agent, event.to_agent) for event in switched] == [("planner", "coder")], switched

    async def test_an_approval_stands_before_its_call(self) -> None:
        self._needs("approval")
        events = await self._job_events()
        requested = of(events, "approval.requested")
        actions = [self.tool_of(event.action) for event in requested]
        assert actions == ["deploy"], "one approval, of the action that needs it"
        assert requested[0].arguments == {"target": "staging"}, "a person has to see what is decided"
        verdict, called = of(events, "approval.approved"), self._calls(events, "deploy")
        assert requested[0].seq < verdict[0].seq < called[0].seq

    async def test_it_all_belongs_together(self) -> None:
        check_together(await self._job_events(), has_turns="turns" not in self.lacks)

    async def test_contents_are_cut_unless_they_are_wanted(self) -> None:
        self._needs("tools")
        whole = await self._job_events(content=True)
        lint = self._calls(whole, "lint")
        assert lint[0].arguments == {"path": "app.py"}

    async def test_a_run_that_fails_has_failed(self) -> None:
        self._needs("failing")
        async with Hub() as hub:
            heard = Recorder()
            hub.attach(heard)
            async with self.record(hub) as recorder:
                await self.run_failing(recorder)
            await hub.flush(timeout=SECONDS_MAX)
        check_pairs(heard.events)
        family, end = ("model", "completed") if "turns" in self.lacks else ("turn", "ended")
        assert f"{family}.failed" in heard.kinds, heard.kinds
        assert f"{family}.{end}" not in heard.kinds, heard.kinds

    async def test_a_run_that_is_cancelled_has_not_ended_well(self) -> None:
        self._needs("cancelling")
        async with Hub() as hub:
            heard = Recorder()
            hub.attach(heard)
            async with self.record(hub) as recorder:
                await self._cancel(recorder)
            await hub.flush(timeout=SECONDS_MAX)
        check_pairs(heard.events)
        family = "model" if "tools" in self.lacks else "tool"
        told = [event for event in heard.events if event.kind.startswith(f"{family}.")]
        kinds = [event.kind for event in told if family == "model" or self.tool_of(event.tool) == "wait"]  # type: ignore[attr-defined]
        assert kinds[0] == f"{family}.called", kinds
        assert kinds[1] in (f"{family}.failed", f"{family}.abandoned"), kinds
        assert "turn.ended" not in heard.kinds, heard.kinds

    # -- what the runtime notices --

    async def test_the_answer_is_the_same_with_and_without(self) -> None:
        without = await self._bounded(self.run_job(None))
        async with Hub() as hub:
            with self.record(hub) as recorder:
                recorded = await self._bounded(self._job(hub, recorder))
        assert (without, recorded) == (ANSWER, ANSWER)

    async def test_an_error_is_the_same_with_and_without(self) -> None:
        self._needs("failing")
        without = await self._bounded(self.run_failing(None))
        async with Hub() as hub:
            with self.record(hub) as recorder:
                recorded = await self._bounded(self.run_failing(recorder))
        assert recorded is without

    async def test_a_hub_that_was_closed_or_has_failed_is_not_noticed(self) -> None:
        async with Hub() as hub:
            recorder = self.record(hub)
        assert await self._bounded(self._unapproved(recorder)) == ANSWER
        recorder.close()
        hub = Hub()
        await hub.start()
        recorder = self.record(hub)
        await hub.abort()
        assert await self._bounded(self._unapproved(recorder)) == ANSWER
        recorder.close()

    async def test_a_hub_that_is_not_started_is_not_noticed(self) -> None:
        recorder = self.record(Hub())
        assert await self._bounded(self._unapproved(recorder)) == ANSWER
        recorder.close()

    async def test_a_full_queue_is_not_noticed_and_is_told(self) -> None:
        async with Hub() as hub:
            heard = Recorder()
            hub.attach(heard)
            async with self.record(hub, queue_max=1) as recorder:
                assert await self._bounded(self._unapproved(recorder)) == ANSWER
                dropped = recorder.statistics().dropped
                assert dropped > 0
            await hub.flush(timeout=SECONDS_MAX)
            assert hub.health().healthy, "the log says what was left out"
        check_pairs(heard.events)
        assert sum(event.count for event in of(heard.events, "recording.dropped")) >= dropped

    async def test_recording_twice_records_once(self) -> None:
        async with Hub() as hub:
            heard = Recorder()
            hub.attach(heard)
            with self.record(hub) as recorder:
                assert self.record(hub) is recorder
                await self._bounded(self._job(hub, recorder))
                await recorder.flush()
            await hub.flush(timeout=SECONDS_MAX)
        assert self._count(heard.events) == 1

    async def test_two_hubs_hear_both(self) -> None:
        async with Hub() as one, Hub() as other:
            heard = [Recorder(), Recorder()]
            one.attach(heard[0])
            other.attach(heard[1])
            with self.record(one) as recorder, self.record(other) as second:
                await self._bounded(self.run_job_for_both(recorder, second))
                await recorder.flush()
                await second.flush()
            await one.flush(timeout=SECONDS_MAX)
            await other.flush(timeout=SECONDS_MAX)
        for each in heard:
            check_pairs(each.events)
            assert self._count(each.events) == 1
            check_together(each.events, has_turns="turns" not in self.lacks)
        assert steps(heard[0].events) == steps(heard[1].events)

    async def test_nothing_is_left_when_it_is_closed(self) -> None:
        await self._bounded(self.run_job(None))  # what the runtime itself makes once is there from now on
        async with Hub() as hub:
            tasks, threads = tasks_now(), threading.active_count()
            recorder = self.record(hub)
            await self._bounded(self._job(hub, recorder))
            await recorder.aclose()
            heard = Recorder()
            attachment = hub.attach(heard, pattern=["turn.*", "tool.*", "model.*"])
            await attachment.ready()
            await self._bounded(self.run_job(None))
            await hub.flush(timeout=SECONDS_MAX)
            await attachment.detach()
            assert heard.kinds == [], "a closed recorder records"
            gc.collect()
            assert len(tasks_now() - tasks) <= 1, tasks_now() - tasks
            assert threading.active_count() <= threads + 1

    async def test_a_run_in_another_thread_and_loop_is_recorded(self) -> None:
        self._needs("loops")
        async with Hub() as hub:
            heard = Recorder()
            hub.attach(heard)
            async with self.record(hub) as recorder:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(approve_all, hub)
                    answer = await anyio.to_thread.run_sync(lambda: asyncio.run(self.run_job(recorder)))
                    tasks.cancel_scope.cancel()
                assert answer == ANSWER
            await hub.flush(timeout=SECONDS_MAX)
        check_pairs(heard.events)
        self._check_tools(heard.events)

    async def test_the_hub_may_live_in_a_thread_of_its_own(self) -> None:
        hub, heard = Hub(), Recorder()
        hub.attach(heard)
        thread = HubThread(hub)
        await asyncio.to_thread(thread.start)
        approving = asyncio.ensure_future(asyncio.to_thread(thread.call, approve_all, hub))
        try:
            recorder = self.record(thread)
            assert await self._bounded(self.run_job(recorder)) == ANSWER
            await recorder.aclose()
        finally:
            await asyncio.to_thread(thread.close)
            await asyncio.wait([approving], timeout=SECONDS_MAX)
        check_pairs(heard.events)
        self._check_tools(heard.events)

    # -- parts of these --

    def _calls(self, events: Sequence[Event], tool: str) -> list[Any]:
        return [event for event in of(events, "tool.called") if self.tool_of(event.tool) == tool]

    def _count(self, events: Sequence[Event]) -> float:
        """Return how often the job is recorded."""
        if "tools" in self.lacks:
            return len(of(events, "model.called")) / MODEL_CALLS
        return len(self._calls(events, "search"))

    async def _job_events(self, **settings: Any) -> Sequence[Event]:
        async with Hub() as hub:
            heard = Recorder()
            hub.attach(heard)
            async with self.record(hub, **settings) as recorder:
                await self._bounded(self._job(hub, recorder))
                statistics = recorder.statistics()
            await hub.flush(timeout=SECONDS_MAX)
        assert statistics.failures == 0, "the adapter has failed inside"
        assert statistics.dropped == 0
        return heard.events

    async def _job(self, hub: Hub, recorder: RuntimeRecorder, *others: Hub) -> str:
        async with anyio.create_task_group() as tasks:
            for each in (hub, *others):
                tasks.start_soon(approve_all, each)
            answer = await self.run_job(recorder)
            tasks.cancel_scope.cancel()
        return answer

    async def _cancel(self, recorder: RuntimeRecorder | None) -> None:
        started = anyio.Event()
        task = asyncio.ensure_future(self.run_hanging(recorder, started))
        with anyio.fail_after(SECONDS_MAX):
            await started.wait()
        task.cancel()
        await asyncio.wait([task], timeout=SECONDS_MAX)
        assert task.done()
        if not task.cancelled():
            task.exception()

    def _check_tools(self, events: Sequence[Event]) -> None:
        if "tools" in self.lacks:
            assert len(of(events, "model.completed")) == MODEL_CALLS
            return
        called = {self.tool_of(event.tool): event for event in of(events, "tool.called")}
        assert {"search", "lint", "deploy"} <= set(called), list(called)
        assert called["search"].arguments == {"query": "build log"}, called["search"].arguments
        assert called["lint"].arguments == {"path": "app.py"}, called["lint"].arguments
        done = {self.tool_of(event.tool): event for event in of(events, "tool.completed")}
        assert "2 errors" in str(done["search"].result), done["search"].result
        assert "deployed" in str(done["deploy"].result), done["deploy"].result
        assert "lint" not in done, "a tool that has failed is recorded as done"
        failed = {self.tool_of(event.tool): event for event in of(events, "tool.failed")}
        assert list(failed) == ["lint"], list(failed)
        if "error_text" not in self.lacks:
            assert "no such file" in failed["lint"].error_message, failed["lint"].error_message
        assert len(self._calls(events, "deploy")) == 1
