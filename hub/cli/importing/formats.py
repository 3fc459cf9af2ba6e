"""All formats that can be imported, and which of them an input has."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import attrs

from ..failures import CommandFailed
from .ag2_audit import AG2Audit
from .ag2_store import AG2Store
from .anthropic import Anthropic
from .conversation import BadItem, Conversation
from .decoding import NotJson, parse_json
from .fields import Wrong
from .format import Chat, Facts, Options, chat_of
from .gemini import Gemini
from .langchain import LangChain
from .openai_chat import OpenAIChat
from .openai_responses import OpenAIResponses
from .otlp import OTLP
from .reading import Item, Source
from .sharegpt import ShareGPT

__all__ = ("FORMATS", "Format", "NotRecognised", "parse", "recognise")

_LOOKED_AT = 20
"""How many items tell the format of an input."""

Format = Chat | Facts

_ALL: tuple[Format, ...] = (
    OTLP(),
    AG2Audit(),
    AG2Store(),
    ShareGPT(),
    Gemini(),
    LangChain(),
    Anthropic(),
    OpenAIResponses(),
    OpenAIChat(),
)

FORMATS: dict[str, Format] = {each.name: each for each in _ALL}
"""In the order in which they are tried: one that takes what another one has stands behind it."""


class NotRecognised(CommandFailed):
    """The input has none of the formats."""


@attrs.frozen
class Recognised:
    format: Format
    items: int
    looked_at: int

    def __str__(self) -> str:
        share = "" if self.items == self.looked_at else f" in {self.items} of the first {self.looked_at} items"
        return f"{self.format.name}: {self.format.sign}{share}"


def recognise(source: Source, options: Options) -> Recognised | None:
    """Return the format that most of the first items have; None if there are no items.

    Raises :class:`NotRecognised`.
    """
    found: Counter[str] = Counter()
    looked_at, reason = 0, ""
    for item in islice(source.items(), _LOOKED_AT):
        looked_at += 1
        try:
            value = parse_json(item.raw)
        except NotJson as error:
            reason = f"{item.place} {error}"
            continue
        else:
            reason = f"{item.place} has no sign of any"
        for name, each in FORMATS.items():
            if each.recognises(value, options):
                found[name] += 1
                break
    if not looked_at:
        return None
    if not found:
        raise NotRecognised(
            f"{source.name} has none of the formats that are known ({reason}); name one with --format:"
            f" {', '.join(FORMATS)}. The key of the messages can be named with --messages-key"
        )
    # Of two with as many items, the one that stands first.
    name = max(FORMATS, key=lambda each: found[each])
    return Recognised(FORMATS[name], found[name], looked_at)


def parse(format_: Format, item: Item, options: Options | None = None) -> list[Conversation]:
    """Return what an item holds. Raises :class:`BadItem` with the reason why it is refused."""
    options = options or Options()
    try:
        value = parse_json(item.raw)
        if hasattr(format_, "facts"):
            return list(format_.facts(value))
        return [chat_of(format_, value, options, item.place)]
    except (Wrong, NotJson) as error:
        raise BadItem(item.place, str(error)) from None
    except RecursionError:
        raise BadItem(item.place, "is nested too deep") from None
