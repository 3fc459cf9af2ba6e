"""Lesson 8: an agent needs an approval, an approver answers, and the verdict is on disk before the agent acts.

The arbiter decides about every command; here it lets an intern have one task at a time.
"""

from __future__ import annotations

import asyncio
import sys

from hubwire import ApprovalPolicy, Hub, Rule, RuleArbiter
from hubwire.approvals import Answer, FunctionApprover, Question
from hubwire.errors import CommandRejected, NotApproved
from hubwire.listeners import AuditLog
from hubwire.stores import FileStore


async def review(question: Question) -> Answer:
    """Stand in for a person; a chat message with two buttons would serve as well."""
    return Answer(question.arguments.get("to") != "production", "no deployment to production on a Friday")


async def main(directory: str) -> None:
    store = FileStore(directory)
    policy = ApprovalPolicy(approvers=[FunctionApprover("alice", review), FunctionApprover("bob", review)])
    arbiter = RuleArbiter({"intern": Rule(tasks_max=1)})
    async with Hub(store, listeners=[AuditLog(store)], approvals=policy, arbiter=arbiter) as hub:
        intern = hub.agents.find("intern") or await hub.agents.register("intern")

        @hub.approvals.gated(intern)
        async def deploy(what: str, *, to: str) -> None:
            print(f"{what} is on its way to {to}")

        task = await hub.tasks.start(intern, "bring the site up to date")
        try:
            await hub.tasks.start(intern, "and a second task")
        except CommandRejected as error:
            print("refused:", error)

        await deploy("the site", to="staging")
        try:
            await deploy("the site", to="production")
        except NotApproved as error:
            await task.fail(error)
            print(f"{error.verdict}: {error.reason}")


asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "./hubwire-example"))
