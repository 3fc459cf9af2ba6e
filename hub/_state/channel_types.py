"""Types of channels: which posts are allowed, how they change the channel's state, and when the channel is done.

A type is a set of pure functions over the channel's state. The hub calls it while it decides, and the event holds the
state that it returned. A replay calls no type: a type may change, or be missing, and the history stays the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, Protocol

import attrs

from .._values import Shown
from ..errors import CommandRejected, ConfigurationError
from ..events import canonical
from ..events._shown import is_name, nearest, shown

__all__ = (
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


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Manifest(Shown):
    """How a channel is set up, with its present participants."""

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
    """A post that a channel's type decides about."""

    def __init__(self, sender_id: str, content: Any, audience: tuple[str, ...] | None) -> None:
        self.sender_id: str = sender_id
        self.audience: tuple[str, ...] | None = audience
        """The ids of the agents that it is addressed to; None: all participants."""
        self._given = content

    @cached_property
    def content(self) -> Any:
        """The content as its event will hold it: frozen JSON values."""
        return canonical(self._given)

    def says(self, key: str) -> Any:
        """Return the value of a key of the content; None if the content is not an object, or has no such key."""
        return self.content.get(key) if isinstance(self.content, Mapping) else None


class ChannelType(Protocol):
    """A type of channel; register your own with ``hub.channels.register_type()``, before the hub starts.

    Inherit from :class:`Conversation`, which allows all posts, override what you restrict, and name the knobs that you
    read: ``knobs = ("rounds_max",)``. The methods are pure: no clock, no randomness, and no memory but the state. The
    state is a JSON value and is in each envelope's event, so keep it small. A method that raises refuses the command.

    To give the same state a new meaning, raise ``version`` and register both: channels go on with the version that they
    were opened with.
    """

    name: str
    version: int

    @property
    def knobs(self) -> Iterable[str]:
        """The names of the knobs that it has; a channel cannot be opened with others."""

    def refuse_manifest(self, manifest: Manifest) -> str | None:
        """Return why a channel cannot be set up like this; None if it can."""

    def begin(self, manifest: Manifest) -> Any:
        """Return the state of a channel before its first post."""

    def refuse(self, manifest: Manifest, state: Any, post: Post) -> str | None:
        """Return why this may not be posted now; None if it may. The sender is a participant: the hub checks that."""

    def fold(self, manifest: Manifest, state: Any, post: Post) -> Any:
        """Return the state after a post that was not refused."""

    def participants_changed(self, manifest: Manifest, state: Any) -> Any:
        """Return the state after an agent joined, accepted, or left; ``manifest`` has the present participants."""

    def ending(self, manifest: Manifest, state: Any) -> str | None:
        """Return the reason why the channel has to be closed now; None if it goes on."""

    def expected(self, manifest: Manifest, state: Any) -> tuple[str, ...] | None:
        """Return the ids of the participants that may post now; None: all of them."""

    # It may have at_deadline() and result(), too: see Conversation.


class Conversation:
    """All participants may post at any time. Other types inherit from it."""

    name: str = "conversation"
    version: int = 1
    knobs: tuple[str, ...] = ()

    def refuse_manifest(self, manifest: Manifest) -> str | None:
        return None

    def begin(self, manifest: Manifest) -> Any:
        return None

    def refuse(self, manifest: Manifest, state: Any, post: Post) -> str | None:
        expected = self.expected(manifest, state)
        if expected is not None and type(expected) not in (tuple, list):
            raise TypeError(f"expected() answered {shown(expected)}, which is no tuple of agent ids")  # has it an end?
        if expected is None or post.sender_id in expected:
            return None
        return f"agent {post.sender_id} may not post now; {' or '.join(expected) or 'no participant'} may"

    def fold(self, manifest: Manifest, state: Any, post: Post) -> Any:
        return state

    def participants_changed(self, manifest: Manifest, state: Any) -> Any:
        return state

    def ending(self, manifest: Manifest, state: Any) -> str | None:
        return None

    def expected(self, manifest: Manifest, state: Any) -> tuple[str, ...] | None:
        return None

    def at_deadline(self, manifest: Manifest, state: Any) -> str | None:
        """Return the reason with which the channel expires when its time is up; None for the usual one."""
        return None

    def result(self, manifest: Manifest, state: Any) -> Any:
        """Return what the channel has led to when it ends by its type or its time; None without a result.

        The key ``winner`` of an object is the id of the agent that has won it.
        """
        return None


class Discussion(Conversation):
    """Round robin: the participants post one after the other, in their order, the creator first.

    The knob ``rounds_max`` ends it after so many rounds. State: ``{"next": id, "round": n}``.
    """

    name = "discussion"
    knobs: tuple[str, ...] = ("rounds_max",)

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
        # The next participant has left: the round begins anew.
        return {"next": manifest.participants[0], "round": state["round"]}

    def ending(self, manifest: Manifest, state: Any) -> str | None:
        rounds_max = manifest.knobs.get("rounds_max")
        return None if rounds_max is None or state["round"] <= rounds_max else "the rounds are over"

    def expected(self, manifest: Manifest, state: Any) -> tuple[str, ...] | None:
        return (state["next"],)


class Consulting(Conversation):
    """The creator posts a question, the other answers, and the channel is closed. State: ``{"posts": n}``."""

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
        if state["posts"] == 0:
            return (manifest.creator_id,)
        return tuple([each for each in manifest.participants if each != manifest.creator_id])


class Broadcast(Conversation):
    """Only the creator posts."""

    name = "broadcast"

    def ending(self, manifest: Manifest, state: Any) -> str | None:
        return None if manifest.creator_id in manifest.participants else "its creator has left"

    def expected(self, manifest: Manifest, state: Any) -> tuple[str, ...] | None:
        return (manifest.creator_id,)


class Notification(Broadcast):
    """The creator posts once, or ``posts_max`` times by that knob; then it is closed. State: ``{"posts": n}``."""

    name = "notification"
    knobs: tuple[str, ...] = ("posts_max",)

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


class ChannelTypes:
    """The registered types, by name and version."""

    def __init__(self, types: Iterable[ChannelType]) -> None:
        self._types: dict[str, dict[int, ChannelType]] = {}
        self._knobs: dict[tuple[str, int], tuple[str, ...]] = {}
        for each in types:
            self.add(each)

    def add(self, channel_type: ChannelType) -> None:
        try:
            name, version = getattr(channel_type, "name", None), getattr(channel_type, "version", None)
            missing = [each for each in _METHODS if not callable(getattr(channel_type, each, None))]
            knobs = _names_in(getattr(channel_type, "knobs", ()))
        except Exception as error:
            raise ConfigurationError(f"a channel type raised an exception: {shown(channel_type)}; mend it") from error
        if not is_name(name) or type(version) is not int or version < 1:
            raise ConfigurationError(
                f"a channel type needs a name, and a version from 1 on; {shown(channel_type)} has not"
            )
        if missing:
            raise ConfigurationError(
                f"channel type {shown(name)} has no {', '.join(missing)}; inherit from"
                " hubwire.channel_types.Conversation"
            )
        if knobs is None:
            raise ConfigurationError(
                f'channel type {shown(name)} names its knobs in a tuple of texts: knobs = ("rounds_max",)'
            )
        versions = self._types.setdefault(name, {})
        if version in versions:
            raise ConfigurationError(f"channel type {shown(name)} version {version} is registered already")
        versions[version] = channel_type
        self._knobs[name, version] = knobs

    def get(self, name: str, version: int | None = None) -> ChannelType:
        """Return a type, in its newest version by default."""
        versions = self._types.get(name)
        if versions is not None and version in versions:
            return versions[version]
        name, version = self.identify(name, version)
        return self._types[name][version]

    def identify(self, name: str, version: int | None) -> tuple[str, int]:
        """Return the name and the version under which a type was registered, not what it says of them now."""
        versions = self._types.get(name) if isinstance(name, str) else None
        if not versions:
            raise CommandRejected(
                f"no channel type {shown(name)} is registered; there are {', '.join(sorted(self._types))}, and"
                " hub.channels.register_type() adds one before the hub starts"
            )
        version = max(versions) if version is None else version
        if not isinstance(version, int) or version not in versions:
            raise CommandRejected(
                f"channel type {shown(name)} has no version {shown(version)}; register it before the hub starts"
            )
        return name, version

    def check_knobs(self, name: str, version: int, knobs: Iterable[str]) -> None:
        """Refuse knobs that the type does not have: a name that is misspelled would be a rule that never counts."""
        known = self._knobs[name, version]
        for each in knobs:
            if each not in known:
                has = f"it has {', '.join(known)}" if known else "it has none; a type of your own names those it reads"
                advice = nearest(each, known)
                raise CommandRejected(
                    f"a channel of type {shown(name)} has no knob {shown(each)}; {has}{'; ' if advice else ''}{advice}"
                )


_OPTIONAL = frozenset({"at_deadline", "result"})
"""Methods that a type may lack."""

_METHODS = tuple(
    name
    for name in vars(Conversation)
    if not name.startswith("_") and name not in _OPTIONAL and callable(getattr(Conversation, name))
)


def _names_in(given: object) -> tuple[str, ...] | None:
    """Return the names of a type's knobs; None if that is not what was given. A text is no list of its letters."""
    if not isinstance(given, tuple | list | set | frozenset):
        return None
    names: tuple[Any, ...] = tuple(given)
    return names if all(map(is_name, names)) else None


def _refuse_knobs(manifest: Manifest, *, counts: tuple[str, ...]) -> str | None:
    for name in counts:
        value = manifest.knobs.get(name, 1)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            return f"the knob {name} is a whole number from 1 on, not {shown(value)}"
    return None
