"""Agents of runtimes as actors of a hub: what ``from_pydantic_ai(agent)`` and its like have in common."""

from __future__ import annotations

import inspect
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeAlias

import anyio.to_thread
import attrs

from ..actors import BaseActor, Turn
from ..context import scope
from ..errors import ConfigurationError
from ..events import canonical
from ._capture import captured

__all__ = ("AgentActor", "Answer", "Said", "text_of")


@attrs.frozen
class Said:
    """What was said in the channel before."""

    name: str
    """Who has said it."""
    text: str
    is_own: bool
    """Whether that was the agent itself: for a model, the assistant."""


Answer: TypeAlias = Callable[[str, Sequence[Said], Turn], Awaitable[str] | str]
"""Answers a text, given what was said before. A function that is not async runs in a thread."""


class AgentActor(BaseActor):
    """An agent of a runtime that answers envelopes, with the history of the channel as its memory.

    In a channel whose type says who speaks next, as a discussion, it posts to all when it is its turn, and else keeps
    silent: what was said is in the history. In any other channel, and where it is asked directly, it answers the
    sender; what answers an envelope of its own it does not answer, so two of them do not talk for ever. An empty answer
    is no post. Cancelled, or when the runtime raises, the turn has failed, and the envelope comes again or not as its
    ``retry`` says.
    """

    def __init__(self, name: str, answer: Answer, *, history_max: int = 50, history_bytes_max: int = 32_768) -> None:
        """``history_max`` and ``history_bytes_max``: how much of what was said before the agent is given."""
        if type(name) is not str or not name:
            raise ConfigurationError(f"an actor's name is a text, not {captured(name, 100)!r}; give name=...")
        self.name = name
        self._answer = answer
        self._history_max = _whole("history_max", history_max)
        self._history_bytes_max = _whole("history_bytes_max", history_bytes_max)

    async def on_envelope(self, turn: Turn, /) -> None:
        """Answer the envelope, or keep silent."""
        envelope = turn.envelope
        in_channel = envelope.channel_id is not None
        expected = turn.channel.expected if in_channel else None
        if expected is not None and (turn.agent.id not in expected or not await _is_newest(turn)):
            return
        if in_channel and expected is None and await self._is_answered(turn):
            return
        history = await self._history(turn) if in_channel else ()
        answer = await self._call(text_of(turn.content), history, turn)
        if not answer:
            return
        if expected is not None:
            await turn.post(answer)
        else:
            await turn.reply(answer)

    async def _call(self, said: str, history: Sequence[Said], turn: Turn) -> str:
        with scope(agent=turn.agent, turn=turn, channel=turn.envelope.channel_id, session=turn.envelope.session_id):
            if inspect.iscoroutinefunction(self._answer):
                answer: Any = await self._answer(said, history, turn)
            else:
                answer = await anyio.to_thread.run_sync(self._answer, said, history, turn)
        return text_of(answer)

    async def _history(self, turn: Turn) -> Sequence[Said]:
        messages = await turn.channel.view(
            agent=turn.agent,
            limit=self._history_max,
            bytes_max=self._history_bytes_max,
            before=turn.envelope.seq,
        )
        return [
            Said(str(message["name"]), str(message["content"]), message["role"] == "assistant")
            for message in messages
            if message["role"] in ("assistant", "user")
        ]

    async def _is_answered(self, turn: Turn) -> bool:
        """Tell whether the envelope answers one that the agent itself has posted."""
        cause = turn.envelope.causation_id
        if turn.envelope.hops == 0 or cause is None:
            return False
        before = await turn.channel.history(agent=turn.agent, limit=self._history_max, before=turn.envelope.seq)
        return any(entry.event.id == cause and entry.agent_id == turn.agent.id for entry in before)


async def _is_newest(turn: Turn) -> bool:
    """Tell whether nothing was posted after the envelope: where agents take turns, it is the last one that counts."""
    newest = await turn.channel.history(agent=turn.agent, limit=1)
    return not newest or newest[-1].seq <= turn.envelope.seq


def text_of(content: Any) -> str:
    """Return what a content says: a text, the ``text`` of a mapping, or else its JSON. None says nothing."""
    if content is None:
        return ""
    if isinstance(content, str):
        return str.__str__(content)
    if isinstance(content, Mapping) and isinstance(content.get("text"), str):
        return str(content["text"])
    return json.dumps(canonical(content), ensure_ascii=False)


def _whole(argument: str, value: object) -> int:
    if type(value) is not int or value < 1:
        raise ConfigurationError(f"{argument} is a whole number from 1 on, not {captured(value, 100)!r}")
    return value
