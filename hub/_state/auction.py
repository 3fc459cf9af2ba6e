"""Auction: a channel in which each bids more than the one before, and the creator awards."""

from __future__ import annotations

from typing import Any

from ..events._shown import shown
from .channel_types import Conversation, Manifest, Post

__all__ = ("Auction",)


class Auction(Conversation):
    """The creator calls, the others bid higher and higher with ``{"bid": number}``, the creator ends it.

    All posts of the creator before the first ``{"award": true}`` are calls; the award closes the auction, with the
    highest bidder in the reason. The knob ``minimum`` is the lowest bid. State: ``{"bidder": id or None, "bid": n,
    "is_called", "is_awarded"}``. A ``ttl_seconds`` of the channel is the auction's deadline: the highest bidder of that
    moment has won. Result: ``{"winner": id or None, "bid": n or None}``.
    """

    name = "auction"
    knobs: tuple[str, ...] = ("minimum",)

    def refuse_manifest(self, manifest: Manifest) -> str | None:
        minimum = manifest.knobs.get("minimum", 0)
        return None if _is_number(minimum) else f"the knob minimum is a number, not {shown(minimum)}"

    def begin(self, manifest: Manifest) -> Any:
        return {"bidder": None, "bid": None, "is_called": False, "is_awarded": False}

    def refuse(self, manifest: Manifest, state: Any, post: Post) -> str | None:
        if post.sender_id == manifest.creator_id:
            return None
        if not state["is_called"]:
            return "the auction was not called yet"
        bid = post.says("bid")
        if not _is_number(bid):
            return 'a bid is {"bid": number}'
        if state["bid"] is not None and bid <= state["bid"]:
            return f"there is a bid of {state['bid']} already; bid more"
        minimum = manifest.knobs.get("minimum")
        return None if minimum is None or bid >= minimum else f"the lowest bid is {minimum}"

    def fold(self, manifest: Manifest, state: Any, post: Post) -> Any:
        if post.sender_id == manifest.creator_id:
            return {**state, "is_called": True, "is_awarded": state["is_called"] and post.says("award") is True}
        return {**state, "bidder": post.sender_id, "bid": post.says("bid")}

    def participants_changed(self, manifest: Manifest, state: Any) -> Any:
        if state["bidder"] is None or state["bidder"] in manifest.participants:
            return state
        # The highest bidder has left, and lower bids are not remembered: bidding begins anew.
        return {**state, "bidder": None, "bid": None}

    def ending(self, manifest: Manifest, state: Any) -> str | None:
        if state["is_awarded"]:
            return self.at_deadline(manifest, state)
        return None if manifest.creator_id in manifest.participants else "its creator has left"

    def at_deadline(self, manifest: Manifest, state: Any) -> str | None:
        return f"awarded to {state['bidder']} for {state['bid']}" if state["bidder"] else "there was no bid"

    def result(self, manifest: Manifest, state: Any) -> Any:
        has_ended = manifest.creator_id in manifest.participants
        return {"winner": state["bidder"], "bid": state["bid"]} if has_ended else None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
