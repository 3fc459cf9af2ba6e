"""Lesson 10: a team of actors at work together. Kill it at any moment: started again, it goes on where it was.

Envelopes that an actor has not handled are in its inbox, its progress is in its task, and what a turn posts is
committed with the ack of its envelope. So an envelope that is delivered again has led to no post yet, and a turn that
is repeated goes on with what the task and the state of the actor hold.
"""

from __future__ import annotations

import asyncio
import sys

from hubwire import Agent, ApprovalPolicy, BaseActor, Hub, Turn
from hubwire.approvals import Answer, FunctionApprover, Question
from hubwire.stores import FileStore


class Worker(BaseActor):
    async def on_envelope(self, turn: Turn) -> None:
        if turn.channel.is_open and turn.channel.expected == (turn.agent.id,):
            await self.work(turn)

    async def work(self, turn: Turn) -> None:
        """Do the work of this role; the channel expects a post of this agent."""


class Planner(Worker):
    name = "planner"

    async def work(self, turn: Turn) -> None:
        plan = {"parts": turn.content["order"].split()}
        await turn.post(plan, to=[named(turn, "coder")])


class Coder(Worker):
    name = "coder"
    capabilities = ("python",)

    async def work(self, turn: Turn) -> None:
        tasks, title = turn.hub.tasks, f"build for {turn.channel.id}"
        begun = next((entry.task_id for entry in tasks.running() if entry.title == title), None)
        if turn.state is None:
            task = tasks.get(begun, turn.agent) if begun else await tasks.start(turn.agent, title)
            sizes = list(task.read_checkpoint() or ())
            for part in turn.content["parts"][len(sizes) :]:
                sizes.append(len(part))  # the hard work
                await task.checkpoint(sizes)
            turn.state, begun = sizes, task.id
            await turn.commit()  # from here on the work is done, wherever the process is killed
        if begun:
            await tasks.get(begun, turn.agent).complete(turn.state)
        size, turn.state = sum(turn.state), None  # with the post and the ack, in one command
        reviewer = named(turn, "reviewer")
        await turn.post({"size": size, "handoff": reviewer.id}, to=[reviewer])


class Reviewer(Worker):
    name = "reviewer"

    async def work(self, turn: Turn) -> None:
        size = turn.content["size"]
        await turn.hub.approvals.gate(turn.agent, "ship", arguments={"size": size})
        await turn.post({"shipped": size}, to=[named(turn, "customer")])


def named(turn: Turn, name: str) -> Agent:
    agent = turn.hub.agents.find(name)
    assert agent is not None
    return agent


async def approve(question: Question) -> Answer:
    return Answer(question.arguments["size"] < 100, "small enough")


async def main(directory: str) -> None:
    policy = ApprovalPolicy(approvers=[FunctionApprover("alice", approve), FunctionApprover("bob", approve)])
    async with Hub(FileStore(directory), approvals=policy) as hub:
        team = hub.supervise("team")
        agents = [(await team.spawn(actor)).agent for actor in (Planner(), Coder(), Reviewer())]
        planner, coder, reviewer = (agent.id for agent in agents)
        customer = hub.agents.find("customer") or await hub.agents.register("customer")
        graph = [(customer.id, planner), (planner, coder), (reviewer, customer.id)]  # the coder hands over by itself
        knobs = {"transitions": [{"from": sender, "to": to} for sender, to in graph]}
        channel = next(iter(hub.channels.list(agent=customer)), None) or await hub.channels.open(
            [customer, *agents], type="workflow", knobs=knobs
        )
        await channel.post(customer, {"order": "a wheel an axle a cart"}, to=agents[:1], idempotency_key="order")
        async for delivery in customer.inbox():
            is_result = delivery.event.channel_id == channel.id and "shipped" in delivery.content
            if is_result:
                print("shipped:", delivery.content["shipped"], flush=True)
                await channel.close("the customer has it")
            await delivery.ack()
            if is_result:
                break


asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "./hubwire-example"))
