"""Views of channels: tool calls are counted as they were made."""

from __future__ import annotations

from hubwire import Hub


async def test_calls_of_several_turns_are_several() -> None:
    """Their ids are unique in their turns only."""
    async with Hub() as hub:
        coder, boss = await hub.agents.register("coder"), await hub.agents.register("boss")
        channel = await hub.channels.open([coder, boss])
        for number in range(2):
            async with (
                hub.turns.turn(coder, channel=channel) as turn,
                turn.tool(f"tool-{number}", call_id="1") as call,
            ):
                call.done(number)
        (message,) = await channel.view()
        assert message["content"] == "[2 tool calls: tool-0, tool-1]"
