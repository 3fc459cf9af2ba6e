"""Publishing an envelope on a topic: a post that is in no channel, and reaches those who have subscribed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import attrs

from .._foreign.arguments import Call
from .._state import State
from .._state.agents import is_id
from .._state.drafts import Draft
from .._state.keys import KeyedPost
from .._state.origin import Origin
from ..errors import PostRejected
from ..events import EnvelopePosted, Event
from .core import Core
from .posting import PlaceOfPost, Posting

__all__ = ("PUBLISH", "TOPIC_CHARS_MAX", "Publication", "is_dotted", "publication_of", "topic_of")

PUBLISH = Call("hub.topics.publish()", partial(PostRejected, code="malformed"))

TOPIC_CHARS_MAX = 255


@attrs.define(eq=False, repr=False, kw_only=True)
class Publication(Posting):
    """One envelope on its way to those who have subscribed to its topic, or to some of those who talk on it."""

    command: ClassVar[str] = "publish"
    topic: str

    def place(self) -> PlaceOfPost:
        return {"topic": self.topic}

    def _facts(self) -> Mapping[str, Any]:
        return {"topic": self.topic}

    def _present(self) -> Sequence[str]:
        return self.envelopes.subscribers(self.topic, self.sender_id)

    def _find(self) -> KeyedPost | None:
        place = self.envelopes.place_of(self.topic, self.sender_id)
        return self.envelopes.find(place, self.sender_id, self.content, self.audience, self.idempotency_key)

    def _put(self, draft: Draft | None) -> Sequence[Event]:
        return self.envelopes.publish(self.topic, self.sender_id, self.content, self.audience, **self._terms(draft))


def publication_of(
    core: Core,
    state: State,
    topic: str,
    sender_id: str,
    content: Any,
    *,
    audience: list[str] | None = None,
    cause: EnvelopePosted | None,
    priority: str = "normal",
    ttl_seconds: float | None = None,
    idempotency_key: str | None = None,
    hops_max: int | None = None,
    deliver_after: float = 0.0,
    origin: Origin | None = None,
    call: Call = PUBLISH,
) -> Publication:
    """Return a publication to be run. What is malformed in its terms is its ``refusal``; of its topic, it is raised."""
    publication = Publication(
        core=core,
        envelopes=state.envelopes,
        channel_id="",
        topic=topic_of(call, topic),
        sender_id=sender_id,
        content=content,
        audience=audience,
        cause=cause,
        origin={} if origin is None else origin,
    )
    publication.take_terms(call, priority, ttl_seconds, idempotency_key, hops_max, deliver_after)
    return publication


def topic_of(call: Call, topic: object) -> str:
    wanted = f"a topic, words joined by dots, of at most {TOPIC_CHARS_MAX} characters, as 'build.failed'"
    text = call.text("topic", topic, wanted=wanted)
    if "*" in text:
        raise call.refusal("topic", text, wanted, "it is published on one topic; patterns are what agents subscribe by")
    if not is_dotted(text):
        raise call.refusal("topic", text, wanted, "a word has no spaces, and is not empty")
    if is_id(text):
        raise call.refusal("topic", text, wanted, "this is what an id looks like; put a word before it")
    return text


def is_dotted(text: str) -> bool:
    """Tell whether a text is made of words joined by dots: printable, without spaces, and none of them empty."""
    is_short = 0 < len(text) <= TOPIC_CHARS_MAX
    return is_short and text.isprintable() and " " not in text and all(text.split("."))
