"""Lesson 9: let a channel know whose turn it is, and an inbox what to do when it is too much."""

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

        # A graph of hand-offs: the channel refuses who is not next, and closes when nobody is.
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
        await channel.post(coder, {"text": "done"}, priority="urgent", idempotency_key="attempt 1")  # posts nothing

        inbox = tester.inbox()
        delivery = await anext(inbox)
        print("tester reads first:", delivery.content["text"])
        print("comes again:", await delivery.nack("no machine is free"))
        again = await anext(inbox)  # still before what is less urgent
        print("attempt", again.attempt)
        await again.ack()

        await channel.post(tester, {"tests": "green"}, caused_by=delivery)
        print("still open:", channel.is_open)


asyncio.run(main())
