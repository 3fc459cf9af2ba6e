"""Lines before full inboxes, of posts that are for several of them: none is left standing where there is room."""

from __future__ import annotations

import asyncio

import anyio

from hubwire import Hub, InboxOverflow, InboxRule, Rule
from support import until, until_idle

WAITING = Rule(inbox=InboxRule(capacity=1, overflow=InboxOverflow.BLOCK))


async def test_a_post_that_comes_before_others_looks_again() -> None:
    """Room came in two inboxes at once, and woke first who waited in one line only, then had to stand in the other."""
    async with Hub() as hub:
        sender = await hub.agents.register("sender")
        first, second = [await hub.agents.register(name, rule=WAITING) for name in ("first", "second")]
        channel = await hub.channels.open([sender, first, second])
        await channel.post(sender, "fills first", to=[first])
        async with anyio.create_task_group() as tasks:

            async def post(content: str, *to: str) -> None:
                await channel.post(sender, content, to=to)

            tasks.start_soon(post, "to both", "first", "second")
            await until(lambda: hub.inboxes.get(first).posts_waiting == 1)
            await channel.post(sender, "fills second", to=[second])
            tasks.start_soon(post, "to second", "second")
            await until(lambda: hub.inboxes.get(second).posts_waiting == 1)
            taken = [await anext(each.inbox()) for each in (first, second)]
            await asyncio.gather(*(each.ack() for each in taken))
            await until_idle()
            assert [each.envelope.content for each in hub.inboxes.peek(first)] == ["to both"]
            assert [each.envelope.content for each in hub.inboxes.peek(second)] == ["to both"]
            await (await anext(second.inbox())).ack()
        assert [each.envelope.content for each in hub.inboxes.peek(second)] == ["to second"]


async def test_an_empty_inbox_with_a_line_is_listed() -> None:
    """Posts wait for it, because they wait for another one, too."""
    async with Hub() as hub:
        sender = await hub.agents.register("sender")
        first, second = [await hub.agents.register(name, rule=WAITING) for name in ("first", "second")]
        channel = await hub.channels.open([sender, first, second])
        for each in (first, second):
            await channel.post(sender, "fills it", to=[each])
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(channel.post, sender, "to both")
            await until(lambda: hub.inboxes.get(second).posts_waiting == 1)
            await (await anext(second.inbox())).ack()
            await until_idle()
            listed = {each.agent_name: (each.depth, each.posts_waiting) for each in hub.inboxes.list()}
            assert listed == {"first": (1, 1), "second": (0, 1)}
            await (await anext(first.inbox())).ack()
