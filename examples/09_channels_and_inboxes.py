"""Lesson 9: a channel that knows which agent posts next, and an inbox with a rule for too many envelopes."""

from __future__ import annotations

import asyncio

from hubwire import Hub, InboxOverflow, InboxRule
from hubwire.errors import PostRejected


async def main() -> None:
    async with Hub() as hub:
        planner = await hub.agents.register("planner")
        coder = await hub.agents.register("coder", capabilities=["python"])
        tester = await hub.agents.register(
            "tester", rule={"inbox": InboxRule(capacity=2, overflow=InboxOverflow.DROP_OLDEST, deliveries_max=2)}
        )

        # A graph of hand-offs: the channel refuses a post by another agent than the next, and closes at the end.
        graph = {
            "transitions": [
                {"from": planner.id, "to": coder.id},
                {"from": coder.id, "to": tester.id},
                {"from": tester.id, "content": {"tests": "red"}, "to": coder.id},
            ]
        }
        channel = await hub.channels.open(
            [planner, coder, tester], type="workflow", knobs=graph, invite=True, invite_timeout_seconds=60
        )
        for agent in (coder, tester):
            await channel.accept(agent)
        await channel.ready()

        await channel.post(planner, {"text": "fix the build"})
        try:
            await channel.post(planner, {"text": "faster, please"})
        except PostRejected as refusal:
            print("refused:", refusal.code)
        await channel.post(coder, {"text": "done"}, priority="urgent", idempotency_key="attempt 1")
        await channel.post(coder, {"text": "done"}, priority="urgent", idempotency_key="attempt 1")  # a repeat

        inbox = tester.inbox()
        delivery = await anext(inbox)
        print("tester reads first:", delivery.content["text"])
        print("comes again:", await delivery.nack("no machine is free"))
        again = await anext(inbox)  # still before less urgent envelopes
        print("attempt", again.attempt)
        await again.ack()

        await channel.post(tester, {"tests": "green"}, caused_by=delivery)
        print("still open:", channel.is_open)


asyncio.run(main())
