"""Dead letters: how often each was tried and of whom it is, and what redelivering one says about its inbox."""

from __future__ import annotations

from hubwire import Agent, Channel, Hub, InboxRule, Rule
from hubwire.events import InboxPressured
from hubwire.testing import Recorder


async def dead_letter(hub: Hub, channel: Channel, sender: Agent, receiver: Agent, content: str) -> None:
    await channel.post(sender, content, to=[receiver])
    inbox = receiver.inbox()
    while await (await anext(inbox)).nack("no"):
        pass


async def test_dead_letters_tell_their_attempts_and_agents() -> None:
    async with Hub() as hub:
        sender = await hub.agents.register("sender")
        patient, hasty = [
            await hub.agents.register(name, rule=Rule(inbox=InboxRule(deliveries_max=most)))
            for name, most in (("patient", 3), ("hasty", 1))
        ]
        channel = await hub.channels.open([sender, patient, hasty])
        await dead_letter(hub, channel, sender, patient, "first")
        await dead_letter(hub, channel, sender, hasty, "second")
        found = {agent.name: hub.inboxes.dead_letters(agent) for agent in (patient, hasty, sender)}
        told = {name: [(each.envelope.content, each.attempts) for each in letters] for name, letters in found.items()}
        assert told == {"patient": [("first", 3)], "hasty": [("second", 1)], "sender": []}
        assert [each.agent_id for each in hub.inboxes.dead_letters()] == [patient.id, hasty.id]


async def test_a_redelivered_letter_presses_as_a_post_does() -> None:
    """The inbox comes to the number of envelopes that its rule has reported."""
    recorder = Recorder()
    async with Hub(listeners=[recorder]) as hub:
        sender = await hub.agents.register("sender")
        rule = Rule(inbox=InboxRule(capacity=10, high_water=2, deliveries_max=1))
        receiver = await hub.agents.register("receiver", rule=rule)
        channel = await hub.channels.open([sender, receiver])
        for content in "ab":
            await dead_letter(hub, channel, sender, receiver, content)
        for letter in hub.inboxes.dead_letters():
            await hub.inboxes.redeliver(letter)
            await hub.flush()
            pressed = [(each.agent_id, each.pending, each.cap) for each in recorder.of(InboxPressured)]
            assert pressed == ([(receiver.id, 2, 10)] if letter.envelope.content == "b" else [])
