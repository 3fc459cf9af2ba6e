"""Agents of runtimes as actors of a hub: what ``from_pydantic_ai(agent)`` and its like have in common."""

from __future__ import annotations

import inspect
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeAlias

import attrs

from .._foreign.threads import GuestThread
from ..actors import BaseActor, Turn
from ..errors import ConfigurationError
from ..events import canonical
from ..events._shown import is_a, nearest, shown
from ._capture import captured, is_made_of_fields
from ._place import within
from ._settings import whole_of

__all__ = ("AgentActor", "Answer", "Said", "actor_by", "text_of")


@attrs.frozen
class Said:
    """What was said in the channel before."""

    name: str
    """Who has said it."""
    text: str
    is_own: bool
    """Whether that was the agent itself: for a model, the assistant."""


Answer: TypeAlias = Callable[[str, Sequence[Said], Turn], Awaitable[str] | str]
"""Answers a text, given what was said before. A function that is not async runs in a thread of the actor's own."""

_BACK_MAX = 1000
"""How many posts back an answer is looked for that the agent gave."""
_NOTICES_MAX = 20
_CHARS_MAX = 1024 * 1024
_QUESTION = "hubwire-ask:"
"""What the keys of envelopes begin with whose answers a task waits for."""


class AgentActor(BaseActor):
    """An agent of a runtime that answers envelopes, with the history of the channel as its memory.

    In a channel whose type says who speaks next, as a discussion, it posts to all when it is its turn, and else keeps
    silent: what was said is in the history. In any other channel, and where it is asked directly, it answers the
    sender; what answers an envelope of its own it does not answer, so two of them do not talk for ever. In a channel
    that has ended it does nothing.

    An answer is a text, JSON, or an object made of fields, which becomes JSON. An empty one is no post, but the answer
    of a question; and where all others wait for the agent, the turn has failed, as it has when the runtime raises: the
    envelope comes again or not as its ``retry`` says. Cancelled, the turn is abandoned: a call that blocks in a thread
    is left behind there, and what it answers is not posted.
    """

    def __init__(self, name: str, answer: Answer, *, history_max: int = 50, history_bytes_max: int = 32_768) -> None:
        """``history_max`` and ``history_bytes_max``: how much of what was said before the agent is given."""
        if type(name) is not str or not name:
            raise ConfigurationError(f"an actor's name is a text, not {shown(name)}; give name=...")
        self.name = name
        if not callable(answer):
            raise ConfigurationError(f"an actor answers by calling a function, not {shown(answer)}")
        self._answer = answer
        self._thread = GuestThread(f"agent {name}")
        self._history_max = whole_of("history_max", history_max)
        self._history_bytes_max = whole_of("history_bytes_max", history_bytes_max)

    def __repr__(self) -> str:
        return f"AgentActor(name={shown(self.name)})"

    async def on_envelope(self, turn: Turn, /) -> None:
        """Answer the envelope, or keep silent."""
        in_channel = turn.envelope.channel_id is not None
        expected = turn.channel.expected if in_channel else None
        is_question = (turn.envelope.idempotency_key or "").startswith(_QUESTION)
        if expected is not None:
            if turn.agent.id not in expected or not await _is_newest(turn):
                return
        elif not is_question and await self._is_answer(turn):
            return
        history = await self._history(turn) if in_channel else ()
        answer = await self._call(text_of(turn.content), history, turn)
        if expected is not None and not answer:
            raise ValueError(f"{self.name} has answered nothing, and the others wait for it: it is its turn to speak")
        if expected is not None:
            await turn.post(answer)
        elif answer or is_question:
            await turn.reply(answer)

    async def on_stop(self) -> None:
        """End the thread of an agent that is not async."""
        self._thread.end()

    async def _call(self, said: str, history: Sequence[Said], turn: Turn) -> str:
        with within(turn):
            if inspect.iscoroutinefunction(self._answer):
                answer: Any = await self._answer(said, history, turn)
            else:
                answer = await self._thread.call(self._answer, said, history, turn)
                if inspect.isawaitable(answer):  # as of a lambda, or an object whose __call__ is async
                    answer = await answer
        return text_of(self._plain(answer))

    def _plain(self, answer: Any) -> Any:
        if answer is None or is_a(answer, (str, int, float, Mapping, list, tuple)):
            return answer
        if is_made_of_fields(answer):
            return captured(answer, _CHARS_MAX)
        raise TypeError(f"{self.name} has answered {shown(answer)}, which is no text, no JSON and not made of fields")

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

    async def _is_answer(self, turn: Turn) -> bool:
        """Tell whether the envelope answers one that the agent itself has posted."""
        envelope = turn.envelope
        if envelope.hops == 0 or envelope.causation_id is None:
            return False
        if envelope.channel_id is None:  # only an answer goes to one agent there
            return envelope.topic is None or envelope.audience is not None
        before = await turn.channel.history(agent=turn.agent, limit=_BACK_MAX, before=envelope.seq)
        return any(
            entry.event.id == envelope.causation_id and entry.agent_id == turn.agent.id for entry in reversed(before)
        )


def actor_by(call: str, name: Any, answer: Answer, settings: Mapping[str, Any]) -> AgentActor:
    """Return the actor that a function of an adapter makes; what is wrong with its settings names that function."""
    known = ("name", *(AgentActor.__init__.__kwdefaults__ or ()))
    for each in settings:
        if each not in known:
            meant = nearest(each, known)
            raise ConfigurationError(
                f"{call}() has no setting {shown(each)}; it has {', '.join(known)}{'; ' if meant else ''}{meant}"
            )
    try:
        return AgentActor(name, answer, **settings)
    except ConfigurationError as error:
        raise ConfigurationError(f"{call}(): {error}") from error.__cause__


async def _is_newest(turn: Turn) -> bool:
    """Tell whether nothing was posted after the envelope: where agents take turns, it is the last one that counts.

    A post that is on its way to the disk is in no history yet, but in the state of the channel.
    """
    if turn.channel.state != turn.envelope.channel_state:
        return False
    newest = await turn.channel.history(agent=turn.agent, limit=_NOTICES_MAX)
    said = [entry for entry in newest if not getattr(entry.event, "is_notice", False)]  # a notice is no one's turn
    return not said or said[-1].seq <= turn.envelope.seq


def text_of(content: Any) -> str:
    """Return what a content says: a text, the ``text`` of a mapping, or else its JSON. None says nothing."""
    if content is None:
        return ""
    if isinstance(content, str):
        return str.__str__(content)
    if isinstance(content, Mapping) and isinstance(content.get("text"), str):
        return str(content["text"])
    return json.dumps(canonical(content), ensure_ascii=False)
