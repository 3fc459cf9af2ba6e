"""Idempotency keys: a digest and a ``seq`` for each post that had one, for a bounded number of posts and time."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, ClassVar

import attrs

from .._values import Value
from ..events import EnvelopePosted, canonical
from .packing import Packing

USED_ONCE = "hubwire-ask:"
"""What the keys of questions begin with: each names one post of the hub itself, which is never made again."""

__all__ = ("KEYS_MAX", "KEY_SECONDS_MAX", "KeyedPost", "KeyedPosts", "Keys")

KEYS_MAX = 100_000
"""How many keys a hub remembers: those of the newest posts in channels that have not ended."""

KEY_SECONDS_MAX = 86_400
"""How long: a day after the post."""

_DIGEST_BYTES = 16
_CHECK_BYTES = 4
_UUID7 = re.compile(r"[0-9a-f]{12}7[0-9a-f]{19}")
_MILLISECONDS_DIGITS = 12
"""Of a UUIDv7 in hex: it begins with its time."""


@attrs.frozen(eq=False, repr=False)
class KeyedPost(Value):
    """What is remembered of a post with a key."""

    seq: int
    seconds: int
    """When it was posted, since the epoch."""
    envelope_id: str
    check: bytes
    """A digest of sender, content and audience: the same key for another post is a mistake."""


@attrs.frozen(eq=False, repr=False)
class KeyedPosts(Value):
    """The posts with keys of one channel, packed: see :func:`_packed`."""

    channel_id: str
    packed: str


class Keys:
    """The posts with keys in channels that have not ended, and on topics, by the digests of their keys.

    A topic stands in the place of the id of a channel, which no topic looks like. For what an agent has posted directly
    its own id does, and a key means one envelope for each cause: each question may be answered with the same key.
    """

    def __init__(self) -> None:
        self._by_channel: dict[str, OrderedDict[bytes, KeyedPost]] = {}
        self._count = 0
        self._order: deque[str] = deque()
        """The channel of each post, the oldest first; also those of channels that have ended since."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Keys) and self._by_channel == other._by_channel

    __hash__: ClassVar[None] = None  # type: ignore[assignment]

    def __len__(self) -> int:
        return self._count

    def entries(self) -> Sequence[KeyedPosts]:
        """Return an entry for each channel. They are packed when they are read, in a thread: that may take a while."""
        copied = [(channel_id, [*posts.items()]) for channel_id, posts in self._by_channel.items()]
        return Packing(copied, lambda each: KeyedPosts(each[0], _packed(each[1])))

    def restore(self, entries: Iterable[KeyedPosts]) -> None:
        for entry in entries:
            self._by_channel[entry.channel_id] = _unpacked(entry.packed)
        order = [(post.seq, channel_id) for channel_id, posts in self._by_channel.items() for post in posts.values()]
        self._order = deque(channel_id for _, channel_id in sorted(order))
        self._count = len(self._order)

    def find(self, channel_id: str, key: str, cause_id: str | None = None) -> KeyedPost | None:
        """Return the post with a key; ``cause_id``: of a direct one, the event because of which it was posted."""
        posts = self._by_channel.get(channel_id)
        return None if posts is None else posts.get(_digest(key, cause_id))

    def add(self, event: EnvelopePosted, topic_place: str | None = None) -> None:
        """Remember a post with a key; forget the oldest, where they are too many or too old.

        ``topic_place`` is what stands for its topic, by default the topic itself.
        """
        assert event.idempotency_key is not None
        place, cause_id = event.channel_id or topic_place or event.topic, None
        if place is None:
            place, cause_id = event.agent_id or "", event.causation_id
        seconds = int(datetime.fromisoformat(event.at).timestamp())
        check = check_of(event.agent_id, event.audience, event.content)
        posts = self._by_channel.setdefault(place, OrderedDict())
        posts[_digest(event.idempotency_key, cause_id)] = KeyedPost(event.seq, seconds, event.envelope_id, check)
        self._order.append(place)
        self._count += 1
        while self._count > KEYS_MAX or self._oldest_seconds() < seconds - KEY_SECONDS_MAX:
            self._forget_oldest()

    def end(self, channel_id: str) -> None:
        """A channel has ended, and its keys with it."""
        posts = self._by_channel.pop(channel_id, None)
        if posts is not None:
            self._count -= len(posts)
            if len(self._order) > 2 * self._count + 64:
                self._order = deque(each for each in self._order if each in self._by_channel)

    def _oldest_seconds(self) -> int:
        while self._order[0] not in self._by_channel:
            self._order.popleft()
        return next(iter(self._by_channel[self._order[0]].values())).seconds

    def _forget_oldest(self) -> None:
        channel_id = self._order.popleft()
        posts = self._by_channel.get(channel_id)
        if posts is None:
            return
        posts.popitem(last=False)
        self._count -= 1
        if not posts:
            del self._by_channel[channel_id]


def check_of(sender_id: str | None, audience: tuple[str, ...] | None, content: Any) -> bytes:
    """Return the digest by which two posts with the same key are compared."""
    said = json.dumps([sender_id, audience, canonical(content)], sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(said.encode(), digest_size=_CHECK_BYTES).digest()


def _digest(key: str, cause_id: str | None) -> bytes:
    text = key if cause_id is None else f"{cause_id} {key}"
    return hashlib.blake2b(text.encode(), digest_size=_DIGEST_BYTES).digest()


# --- packing: about 43 characters a key, of which a snapshot may have a hundred thousand ------------------------------


def _packed(posts: Iterable[tuple[bytes, KeyedPost]]) -> str:
    """Return digest, check, and differences to the post before, of ``seq``, time and id; in base 85."""
    packed = bytearray()
    seq = seconds = milliseconds = 0
    for digest, post in posts:
        packed += digest
        packed += post.check
        _put_number(packed, post.seq - seq)
        _put_number(packed, post.seconds - seconds)
        seq, seconds = post.seq, post.seconds
        if _UUID7.fullmatch(post.envelope_id):
            now = int(post.envelope_id[:_MILLISECONDS_DIGITS], 16)
            _put_number(packed, 0)
            _put_number(packed, now - milliseconds)
            packed += bytes.fromhex(post.envelope_id[_MILLISECONDS_DIGITS:])
            milliseconds = now
        else:
            text = post.envelope_id.encode()
            _put_number(packed, 1 + len(text))
            packed += text
    return base64.b85encode(packed).decode()


def _unpacked(text: str) -> OrderedDict[bytes, KeyedPost]:
    reader = _Reader(base64.b85decode(text))
    posts: OrderedDict[bytes, KeyedPost] = OrderedDict()
    seq = seconds = milliseconds = 0
    while not reader.is_at_end:
        digest, check = reader.take(_DIGEST_BYTES), reader.take(_CHECK_BYTES)
        seq += reader.number()
        seconds += reader.number()
        length = reader.number()
        if length:
            envelope_id = reader.take(length - 1).decode()
        else:
            milliseconds += reader.number()
            envelope_id = f"{milliseconds:0{_MILLISECONDS_DIGITS}x}{reader.take(10).hex()}"
        posts[digest] = KeyedPost(seq, seconds, envelope_id, check)
    return posts


def _put_number(packed: bytearray, number: int) -> None:
    """Append a number, which may be negative, in groups of seven bits, the lowest first: small ones take one byte."""
    rest = 2 * number if number >= 0 else -2 * number - 1
    while rest > 0x7F:
        packed.append(rest & 0x7F | 0x80)
        rest >>= 7
    packed.append(rest)


class _Reader:
    def __init__(self, packed: bytes) -> None:
        self._packed = packed
        self._place = 0

    @property
    def is_at_end(self) -> bool:
        return self._place >= len(self._packed)

    def take(self, count: int) -> bytes:
        taken = self._packed[self._place : self._place + count]
        if len(taken) < count:
            raise ValueError("packed keys end within a key")
        self._place += count
        return taken

    def number(self) -> int:
        rest = shift = 0
        while True:
            (byte,) = self.take(1)
            rest |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return rest // 2 if rest % 2 == 0 else -(rest + 1) // 2
