"""Workflow: a channel in which work goes from hand to hand along a graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..events._shown import shown
from .channel_types import Conversation, Manifest, Post

__all__ = ("Workflow",)


class Workflow(Conversation):
    """One participant at a time posts; its post decides which one is next.

    The knobs are a graph::

        {
            "start": id,  # the first to post; the creator by default
            "transitions": [  # the first that applies counts
                {"from": id, "content": {"status": "red"}, "context": {"tries": 3}, "to": id},
            ],
            "otherwise": id or None,  # the next if no transition applies; None closes the channel
            "turns_max": 50,  # it is closed after so many posts
            "context": {...},  # values for the conditions of transitions
        }

    A transition applies if all of its conditions do: ``from`` is the sender, and the post and the context have the
    values in ``content`` and ``context``. ``to`` may be None, which closes the channel.

    Some keys of a post direct the workflow: ``{"context": {...}}`` is added to the context before the transitions are
    looked at, ``{"handoff": id}`` names the next participant, and ``{"finish": reason}`` closes the channel. All that
    the graph or a handoff names have to be participants. If the next one leaves, the channel is closed.

    State: ``{"next": id or None, "turns": n, "context": {...}, "finished": reason or None}``.
    """

    name = "workflow"
    knobs: tuple[str, ...] = ("start", "transitions", "otherwise", "turns_max", "context")

    def refuse_manifest(self, manifest: Manifest) -> str | None:
        knobs = manifest.knobs
        transitions = knobs.get("transitions", ())
        if not isinstance(transitions, tuple) or not all(isinstance(each, Mapping) for each in transitions):
            return "the knob transitions is a list of objects"
        for each in transitions:
            if "to" not in each or set(each) - {"from", "content", "context", "to"}:
                return f"a transition has from, content, context, and always to; not as {shown(dict(each))}"
            if not all(isinstance(each.get(name, {}), Mapping) for name in ("content", "context")):
                return f"content and context of a transition are objects, not as in {shown(dict(each))}"
        if not isinstance(knobs.get("context", {}), Mapping):
            return "the knob context is an object"
        turns_max = knobs.get("turns_max", 1)
        if isinstance(turns_max, bool) or not isinstance(turns_max, int) or turns_max < 1:
            return f"the knob turns_max is a whole number from 1 on, not {shown(turns_max)}"
        named = [knobs.get("start"), knobs.get("otherwise")]
        named += [each.get(end) for each in transitions for end in ("from", "to")]
        for agent_id in named:
            if agent_id is not None and agent_id not in manifest.participants:
                return f"the graph names {shown(agent_id)}, which is not a participant"
        return None

    def begin(self, manifest: Manifest) -> Any:
        start = manifest.knobs.get("start") or manifest.creator_id
        return {"next": start, "turns": 0, "context": manifest.knobs.get("context", {}), "finished": None}

    def refuse(self, manifest: Manifest, state: Any, post: Post) -> str | None:
        handoff = post.says("handoff")
        if handoff is not None and handoff not in manifest.participants:
            return f"work cannot be handed to {shown(handoff)}, which is not a participant"
        added = post.says("context")
        if added is not None and not isinstance(added, Mapping):
            return f"the context is an object, not {shown(added)}"
        return super().refuse(manifest, state, post)

    def fold(self, manifest: Manifest, state: Any, post: Post) -> Any:
        context = {**state["context"], **(post.says("context") or {})}
        finish = post.says("finish")
        turns = state["turns"] + 1
        turns_max = manifest.knobs.get("turns_max")
        following, finished = None, None
        if finish is not None:
            finished = finish if isinstance(finish, str) and finish else "finished"
        else:
            following = post.says("handoff") or _following(manifest, context, post)
            if following is None:
                finished = "no participant is next"
            elif turns_max is not None and turns >= turns_max:
                following, finished = None, "the turns are over"
        return {"next": following, "turns": turns, "context": context, "finished": finished}

    def participants_changed(self, manifest: Manifest, state: Any) -> Any:
        if state["next"] in manifest.participants:
            return state
        return {**state, "next": None, "finished": state["finished"] or "the next participant has left"}

    def ending(self, manifest: Manifest, state: Any) -> str | None:
        finished: str | None = state["finished"]
        return finished

    def expected(self, manifest: Manifest, state: Any) -> tuple[str, ...] | None:
        return () if state["next"] is None else (state["next"],)


def _following(manifest: Manifest, context: Mapping[str, Any], post: Post) -> Any:
    """Return the next participant by the graph; None if there is none, or it has left."""
    content = post.content if isinstance(post.content, Mapping) else {}
    following = manifest.knobs.get("otherwise")
    for each in manifest.knobs.get("transitions", ()):
        if (
            each.get("from") in (None, post.sender_id)
            and _holds(content, each.get("content", {}))
            and _holds(context, each.get("context", {}))
        ):
            following = each["to"]
            break
    return following if following in manifest.participants else None


def _holds(values: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return all(key in values and values[key] == value for key, value in wanted.items())
