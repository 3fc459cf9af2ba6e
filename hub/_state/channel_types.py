"""Types of channels: who may post what, what that leads to, and when the channel has done its work.

A type is a set of pure functions over a value that it remembers, the channel's state. The hub asks it while it decides,
and the event holds the state that it answered with: replaying a history asks no type, so that a type may change, or be
missing, and the history stays what it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, Protocol

import attrs

from ..errors import CommandRejected, ConfigurationError
from ..events import canonical

__all__ = (
    "Auction",
    "Broadcast",
    "ChannelType",
    "ChannelTypes",
    "Consulting",
    "Conversation",
    "Discussion",
    "Manifest",
    "Notification",
    "Post",
)


@attrs.frozen(kw_only=True, eq=False)
class Manifest:
    """How a channel is set up, with those who take part now."""

    type: str
    version: int
    topic: str
    creator_id: str
    participants: tuple[str, ...]
    """In the order in which they were named, then in that in which they joined."""
    roles: Mapping[str, str]
    knobs: Mapping[str, Any]
    expectations: tuple[Any, ...]


class Post:
    """What somebody wants to post."""

    def __init__(self, sender_id: str, content: Any, audience: tuple[str, ...] | None) -> None:
        self.sender_id: str = sender_id
        self.audience: tuple[str, ...] | None = audience
        """The ids it names; None: everybody."""
        self._given = content

    @cached_property
    def content(self) -> Any:
        """The content as its event will hold it: frozen, made of what JSON holds."""
        return canonical(self._given)

    def says(self, key: str) -> Any:
        """Return what stands under a key of the content; None if it is no object, or has no such key."""
        return self.content.get(key) if isinstance(self.content, Mapping) else None


class ChannelType(Protocol):
    """A type of channel; register your own with ``hub.channels.register_type()``, before the hub starts.

    Inherit from :class:`Conversation`, which allows everything, and override what you restrict. The methods are pure:
    no clock, no randomness, nothing remembered but the state, which is made of what JSON holds and stands on every
    envelope's event, so keep it small. One that raises refuses the command.

    When the same state would mean something else from now on, count ``version`` up and register both: channels go on
    with the version they were opened with.
    """

    name: str
    version: int

    def refuse_manifest(self, manifest: Manifest) -> str | None:
        """Return why no channel can be set up like this; None if it can."""

    def begin(self, manifest: Manifest) -> Any:
        """Return the state of a channel in which nothing was posted."""

    def refuse(self, manifest: Manifest, state: Any, post: Post) -> str | None:
        """Return why this may not be posted now; None if it may. That the sender takes part is checked already."""

    def fold(self, manifest: Manifest, state: Any, post: Post) -> Any:
        """Return the state after a post that was not refused."""

    def participants_changed(self, manifest: Manifest, state: Any) -> Any:
        """Return the state after somebody joined, accepted, or left: ``manifest`` has those who take part now."""

    def ending(self, manifest: Manifest, state: Any) -> str | None:
        """Return the reason for which the channel is to be closed now; None if it goes on."""

    def expected(self, manifest: Manifest, state: Any) -> tuple[str, ...] | None:
        """Return who may post now; None: anybody who takes part."""


class Conversation:
    """Everybody may post at any time. What other types are made of."""

    name: str = "conversation"
    version: int = 1

    def refuse_manifest(self, manifest: Manifest) -> str | None:
        return None

    def begin(self, manifest: Manifest) -> Any:
        return None

    def refuse(self, manifest: Manifest, state: Any, post: Post) -> str | None:
        expected = self.expected(manifest, state)
        if expected is None or post.sender_id in expected:
            return None
        return f"it is not the turn of agent {post.sender_id}, but of {' or '.join(expected) or 'nobody'}"

    def fold(self, manifest: Manifest, state: Any, post: Post) -> Any:
        return state

    def participants_changed(self, manifest: Manifest, state: Any) -> Any:
        return state

    def ending(self, manifest: Manifest, state: Any) -> str | None:
        return None

    def expected(self, manifest: Manifest, state: Any) -> tuple[str, ...] | None:
        return None


class Discussion(Conversation):
    """Round robin: everybody in turn, in the order of the participants, the creator first.

    The knob ``rounds_max`` ends it after so many rounds. State: ``{"next": id, "posts": in this round, "round": n}``.
    """

    name = "discussion"

    def refuse_manifest(self, manifest: Manifest) -> str | None:
        if len(manifest.participants) < 2:
            return "a discussion needs at least two participants"
        return _refuse_knobs(manifest, counts=("rounds_max",))

    def begin(self, manifest: Manifest) -> Any:
        return {"next": manifest.participants[0], "round": 1}

    def fold(self, manifest: Manifest, state: Any, post: Post) -> Any:
        place = manifest.participants.index(post.sender_id) + 1
        is_last = place == len(manifest.participants)
        return {"next": manifest.participants[0 if is_last else place], "round": state["round"] + is_last}

    def participants_changed(self, manifest: Manifest, state: Any) -> Any:
        if state["next"] in manifest.participants:
            return state
        # Who was next has left: the round begins anew.
        return {"next": manifest.participants[0], "round": state["round"]}

    def ending(self, manifest: Manifest, state: Any) -> str | None:
        rounds_max = manifest.knobs.get("rounds_max")
        return None if rounds_max is None or state["round"] <= rounds_max else "the rounds are over"

    def expected(self, manifest: Manifest, state: Any) -> tuple[str, ...] | None:
        return (state["next"],)


class Consulting(Conversation):
    """The creator asks, the other answers, and it is closed. State: ``{"posts": n}``."""

    name = "consulting"

    def refuse_manifest(self, manifest: Manifest) -> str | None:
        return None if len(manifest.participants) == 2 else "consulting takes exactly two participants"

    def begin(self, manifest: Manifest) -> Any:
        return {"posts": 0}

    def fold(self, manifest: Manifest, state: Any, post: Post) -> Any:
        return {"posts": state["posts"] + 1}

    def ending(self, manifest: Manifest, state: Any) -> str | None:
        if state["posts"] >= 2:
            return "answered"
        return None if len(manifest.participants) == 2 else "one of the two has left"

    def expected(self, manifest: Manifest, state: Any) -> tuple[str, ...] | None:
        others = tuple(each for each in manifest.participants if each != manifest.creator_id)
        return (manifest.creator_id,) if state["posts"] == 0 else others


class Broadcast(Conversation):
    """The creator alone posts."""

    name = "broadcast"

    def ending(self, manifest: Manifest, state: Any) -> str | None:
        return None if manifest.creator_id in manifest.participants else "who broadcasts has left"

    def expected(self, manifest: Manifest, state: Any) -> tuple[str, ...] | None:
        return (manifest.creator_id,)


class Notification(Broadcast):
    """The creator posts once, or as often as the knob ``posts_max`` says, and it is closed. State: ``{"posts": n}``."""

    name = "notification"

    def refuse_manifest(self, manifest: Manifest) -> str | None:
        return _refuse_knobs(manifest, counts=("posts_max",))

    def begin(self, manifest: Manifest) -> Any:
        return {"posts": 0}

    def fold(self, manifest: Manifest, state: Any, post: Post) -> Any:
        return {"posts": state["posts"] + 1}

    def ending(self, manifest: Manifest, state: Any) -> str | None:
        if state["posts"] >= manifest.knobs.get("posts_max", 1):
            return "notified"
        return super().ending(manifest, state)


class Auction(Conversation):
    """The creator calls, the others bid higher and higher with ``{"bid": number}``, the creator ends it.

    Everything that the creator posts before the first ``{"award": true}`` is a call; that closes the auction, with the
    highest bidder in the reason. The knob ``minimum`` is the lowest bid. State: ``{"bidder": id or None, "bid": n,
    "is_called", "is_awarded"}``. A ``ttl_seconds`` of the channel is the auction's deadline.
    """

    name = "auction"

    def refuse_manifest(self, manifest: Manifest) -> str | None:
        minimum = manifest.knobs.get("minimum", 0)
        return None if _is_number(minimum) else f"the knob minimum is a number, not {minimum!r}"

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
            return f"{state['bid']} is bid already; bid more"
        minimum = manifest.knobs.get("minimum")
        return None if minimum is None or bid >= minimum else f"the lowest bid is {minimum}"

    def fold(self, manifest: Manifest, state: Any, post: Post) -> Any:
        if post.sender_id == manifest.creator_id:
            return {**state, "is_called": True, "is_awarded": state["is_called"] and post.says("award") is True}
        return {**state, "bidder": post.sender_id, "bid": post.says("bid")}

    def participants_changed(self, manifest: Manifest, state: Any) -> Any:
        if state["bidder"] is None or state["bidder"] in manifest.participants:
            return state
        # Who has left can be awarded nothing, and what was bid before is not remembered: bidding begins anew.
        return {**state, "bidder": None, "bid": None}

    def ending(self, manifest: Manifest, state: Any) -> str | None:
        if state["is_awarded"]:
            return f"awarded to {state['bidder']} for {state['bid']}" if state["bidder"] else "nobody has bid"
        return None if manifest.creator_id in manifest.participants else "who called the auction has left"


class ChannelTypes:
    """The types that are registered, by name and version."""

    def __init__(self, types: Iterable[ChannelType]) -> None:
        self._types: dict[str, dict[int, ChannelType]] = {}
        for each in types:
            self.add(each)

    def add(self, channel_type: ChannelType) -> None:
        name, version = getattr(channel_type, "name", None), getattr(channel_type, "version", None)
        if not isinstance(name, str) or not name or not isinstance(version, int) or version < 1:
            raise ConfigurationError(f"a channel type has a name, and a version from 1 on; {channel_type!r} has not")
        if missing := [each for each in _METHODS if not callable(getattr(channel_type, each, None))]:
            raise ConfigurationError(
                f"channel type {name!r} has no {', '.join(missing)}; inherit from hubwire.channel_types.Conversation"
            )
        versions = self._types.setdefault(name, {})
        if version in versions:
            raise ConfigurationError(f"channel type {name!r} version {version} is registered already")
        versions[version] = channel_type

    def get(self, name: str, version: int | None = None) -> ChannelType:
        """Return a type, in its newest version by default."""
        versions = self._types.get(name) if isinstance(name, str) else None
        if not versions:
            raise CommandRejected(
                f"no channel type {name!r} is registered; there are {', '.join(sorted(self._types))}, and"
                " hub.channels.register_type() adds one before the hub starts"
            )
        version = max(versions) if version is None else version
        if not isinstance(version, int) or version not in versions:
            raise CommandRejected(
                f"channel type {name!r} has no version {version!r}; register it before the hub starts"
            )
        return versions[version]


_METHODS = tuple(
    name for name in vars(Conversation) if not name.startswith("_") and callable(getattr(Conversation, name))
)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _refuse_knobs(manifest: Manifest, *, counts: tuple[str, ...]) -> str | None:
    for name in counts:
        value = manifest.knobs.get(name, 1)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            return f"the knob {name} is a whole number from 1 on, not {value!r}"
    return None
