"""The machine of tasks, by random sequences of commands."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any

import attrs
from hypothesis import settings, strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from hubwire.events import (
    ChannelClosed,
    Event,
    TaskExpired,
)
from support.state_work import Bench

owners = st.sampled_from(["a", "b", "c", "stranger"])


@attrs.define
class Job:
    owner: str
    channel: str | None
    until_ns: int | None
    depth: int
    asked: set[str] = attrs.Factory(set)
    checkpoint: Any = None
    ended: str = ""


class TaskCommands(RuleBasedStateMachine):
    """Commands in any order, right and wrong ones; the model is a dictionary of jobs."""

    tasks = Bundle("tasks")

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench()
        self.numbers = count()
        self.jobs: dict[str, Job] = {}
        self.present = {"a", "b", "c"}
        self.channel_open = True

    @initialize(target=tasks)
    def first(self) -> str:
        self.jobs["first"] = Job("a", "ab", None, 0)
        self.bench.do(self.bench.state.tasks.start("a", "t", task_id="first", channel_id="ab"))
        return "first"

    def running(self, owner: str) -> int:
        return sum(job.owner == owner and not job.ended for job in self.jobs.values())

    @rule(
        target=tasks,
        owner=owners,
        channel=st.sampled_from([None, "ab"]),
        ttl=st.sampled_from([None, 5, 50, 0, -1, float("nan"), "long"]),
        parent=st.none() | tasks,
        tasks_max=st.sampled_from([None, 2]),
    )
    def start(self, owner: str, channel: str | None, ttl: Any, parent: str | None, tasks_max: int | None) -> Any:
        task_id = f"task {next(self.numbers)}"
        depth = 0 if parent is None else self.jobs[parent].depth + (self.jobs[parent].owner != owner)

        def decide() -> list[Event]:
            return self.bench.state.tasks.start(
                owner,
                "title",
                task_id=task_id,
                channel_id=channel,
                ttl_seconds=ttl,
                parent_id=parent,
                tasks_max=tasks_max,
                delegation_depth_max=2,
            )

        allowed = (
            owner in self.present
            and ttl in (None, 5, 50)
            and (channel is None or (self.channel_open and owner in "ab"))
            and (parent is None or not self.jobs[parent].ended)
            and depth <= 2
            and (tasks_max is None or self.running(owner) < tasks_max)
        )
        if not allowed:
            self.bench.refused(decide)
            return multiple()
        self.bench.do(decide())
        until = None if ttl is None else self.bench.now_ns + ttl * 1_000_000_000
        self.jobs[task_id] = Job(owner, channel, until, depth)
        return task_id

    @rule(task_id=tasks)
    def an_id_is_used_once(self, task_id: str) -> None:
        self.bench.refused(lambda: self.bench.state.tasks.start("a", "again", task_id=task_id))

    @rule(task_id=tasks, by=owners, how=st.sampled_from(["complete", "fail", "cancel"]))
    def end(self, task_id: str, by: str, how: str) -> None:
        tasks, job = self.bench.state.tasks, self.jobs[task_id]
        arguments: dict[str, tuple[str, ...]] = {"complete": ("ok",), "fail": ("E", "broken"), "cancel": ("enough",)}

        def decide() -> list[Event]:
            decided: list[Event] = getattr(tasks, how)(task_id, by, *arguments[how])
            return decided

        if job.ended or by != job.owner:
            self.bench.refused(decide)
        else:
            self.bench.do(decide())
            job.ended = how

    @rule(task_id=tasks, by=owners, value=st.sampled_from([1, "x", None]))
    def work(self, task_id: str, by: str, value: Any) -> None:
        tasks, job = self.bench.state.tasks, self.jobs[task_id]
        if job.ended or by != job.owner:
            self.bench.refused(lambda: tasks.checkpoint(task_id, by, value))
            self.bench.refused(lambda: tasks.progress(task_id, by, value))
            self.bench.refused(lambda: tasks.read_checkpoint(task_id, by))
        else:
            self.bench.do(tasks.checkpoint(task_id, by, value))
            self.bench.do(tasks.progress(task_id, by, value))
            assert tasks.read_checkpoint(task_id, by) == value

    @rule(task_id=tasks, by=owners)
    def ask(self, task_id: str, by: str) -> None:
        job = self.jobs[task_id]

        def decide() -> list[Event]:
            return self.bench.state.tasks.request_cancel(task_id, by, "please")

        allowed = (
            not job.ended
            and by in self.present
            and by != job.owner
            and by not in job.asked
            and (job.channel is None or by in "ab")
        )
        if not allowed:
            self.bench.refused(decide)
        else:
            self.bench.do(decide())
            job.asked.add(by)

    @rule(agent_id=st.sampled_from(["b", "c"]))
    def unregister(self, agent_id: str) -> None:
        if agent_id in self.present:
            self.present.remove(agent_id)
            self.bench.do(self.bench.state.agents.unregister(agent_id))
            self.expire(lambda job: job.owner == agent_id, "its owner left the hub")

    @rule()
    def close(self) -> None:
        if self.channel_open:
            self.channel_open = False
            self.bench.do([ChannelClosed(channel_id="ab")])
            self.expire(lambda job: job.channel == "ab", "its channel was closed")

    @rule(seconds=st.sampled_from([1, 4, 5, 60]))
    def wait(self, seconds: int) -> None:
        self.bench.now_ns += seconds * 1_000_000_000
        self.expire(lambda job: job.until_ns is not None and job.until_ns <= self.bench.now_ns, "its time was up")

    def expire(self, meets: Callable[[Job], bool], reason: str) -> None:
        """See that these end, each once, and that nothing can be done to them before the hub has said so."""
        ends = {task_id for task_id, job in self.jobs.items() if not job.ended and meets(job)}
        if reason != "its time was up":
            tasks = self.bench.state.tasks
            for task_id in ends:
                self.bench.refused(partial(tasks.complete, task_id, self.jobs[task_id].owner, 1))
        told = self.bench.settle_what_is_due()
        assert all(isinstance(each, TaskExpired) for each in told)
        assert sorted(each.task_id or "" for each in told) == sorted(ends)
        assert {each.reason for each in told if isinstance(each, TaskExpired)} <= {reason}
        for task_id in ends:
            self.jobs[task_id].ended = "expire"

    @invariant()
    def what_runs_is_what_the_model_says(self) -> None:
        found = {entry.task_id: (entry.owner_id, set(entry.cancel_requested_by)) for entry in self.bench.state.tasks}
        assert found == {task_id: (job.owner, job.asked) for task_id, job in self.jobs.items() if not job.ended}

    def teardown(self) -> None:
        self.bench.check()


TestTaskCommands = TaskCommands.TestCase


TestTaskCommands.settings = settings(max_examples=100, stateful_step_count=30)
