"""A planner, two coders, a reviewer and a person do a hundred jobs. Kill it whenever you like, and start it again.

    python examples/team_of_five.py            # decides by itself
    python examples/team_of_five.py --page     # prints the address of a page on which you decide

Each turn fails once in twenty, at random, and comes again. What a turn posts, what its actor keeps and the ack of its
envelope are committed in one command: so each job is shipped once, wherever the program was killed.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import secrets
from contextlib import nullcontext

from approve_on_a_page import ONE_PERSON, Page

from hubwire import ApprovalPolicy, BaseActor, Hub, RetryPolicy, Turn, handles, message
from hubwire.approvals import FunctionApprover
from hubwire.errors import NotApproved
from hubwire.listeners import AuditLog
from hubwire.stores import FileStore


@message
class Job:
    number: int


@message
class Patch:
    number: int
    text: str
    verdict: str = ""  # of the reviewer


class Worker(BaseActor):
    concurrency = 16
    retry = RetryPolicy(attempts_max=1000)  # a turn under way when the program is killed counts, too

    def stumble(self) -> None:
        """Fail as models, networks and code do."""
        if random.random() < 1 / 20:
            raise ConnectionError("the model cannot be reached")


class Planner(Worker):
    concurrency = 1  # it counts, and turns that change the same state at the same time come again

    @handles(Job)
    async def plan(self, turn: Turn, job: Job) -> None:
        await turn.post(job, to=["coder"])
        self.stumble()

    @handles(Patch)
    async def ship(self, turn: Turn, patch: Patch) -> None:
        turn.state = (turn.state or 0) + 1
        await turn.post({"job": patch.number, "total": turn.state}, to=["customer"])
        self.stumble()


class Coder(Worker):
    @handles(Job)
    async def write(self, turn: Turn, job: Job) -> None:
        self.stumble()
        await turn.post(Patch(job.number, f"fix {job.number}"), to=["reviewer"])


class Reviewer(Worker):
    @handles(Patch)
    async def review(self, turn: Turn, patch: Patch) -> None:
        try:  # asked once for each envelope, however often its turn is repeated
            verdict = (await turn.hub.approvals.gate(turn.agent, "ship", arguments={"patch": patch.text})).verdict
        except NotApproved as error:
            verdict = error.verdict
        self.stumble()
        await turn.post(Patch(patch.number, patch.text, verdict), to=["planner"])


async def main(directory: str, jobs: int, *, page: bool) -> None:
    key = secrets.token_urlsafe(24)
    policy = ApprovalPolicy(
        timeout_seconds=86_400,
        challenges=ONE_PERSON,
        approvers=[] if page else [FunctionApprover("ann", lambda _: True, in_loop=True)],
        vouch=lambda claim: "ann@example.org" if claim.proof == key else None,  # on the page
    )
    store = FileStore(directory)
    async with Hub(store, listeners=[AuditLog(store)], approvals=policy) as hub:
        customer = hub.agents.find("customer") or await hub.agents.register("customer")
        team = hub.supervise("team")
        planner = (await team.spawn(Planner, name="planner")).agent
        coders = (await team.spawn(Coder, name="coder", workers=2)).agent
        reviewer = (await team.spawn(Reviewer, name="reviewer")).agent
        channels = hub.channels.list(agent=customer)
        channel = channels[0] if channels else await hub.channels.open([customer, planner, coders, reviewer])
        with Page(hub, "ann", key) if page else nullcontext() as shown:
            if shown is not None:
                print(f"decide at {shown.address}", flush=True)
            for number in range(jobs):
                await channel.post(customer, Job(number), to=[planner], idempotency_key=f"job {number}")
            if planner.state == jobs and not hub.inboxes.get(customer).depth:
                print("all jobs are shipped", flush=True)
                return
            async for delivery in customer.inbox():
                await delivery.ack()
                print(f"job {delivery.content['job']} is shipped, number {delivery.content['total']}", flush=True)
                if delivery.content["total"] == jobs:
                    break


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", nargs="?", default="./hubwire-example")
    parser.add_argument("--jobs", type=int, default=100)
    parser.add_argument("--page", action="store_true")
    asyncio.run(main(**vars(parser.parse_args())))
