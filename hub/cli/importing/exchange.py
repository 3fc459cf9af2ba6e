"""What formats have in common of which a record is a request, its response, or both."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .conversation import Draft, Speaker, said
from .fields import Fields

__all__ = ("exchange_of", "put_all", "system_first")

Rest = Callable[[Fields], Fields]


def exchange_of(value: Mapping[str, Any]) -> tuple[Fields, Any, Rest]:
    """Return the request and the response of a record, and what makes its fields of what is left of the request.

    A record may be the request itself, or an object with ``request`` and ``response``.
    """
    outer = Fields(dict(value))
    request = outer.peek("request")
    if not isinstance(request, dict):
        return outer, None, lambda left: left
    outer.take("request")
    response = outer.take("response") if isinstance(outer.peek("response"), dict) else None

    def rest(left: Fields) -> Fields:
        return Fields({**({"request": left.left} if left.left else {}), **outer.left})

    return Fields(request), response, rest


def system_first(instructions: Any) -> list[dict[str, Any]]:
    """Return what a request says to the model beside its messages, as the first message."""
    return [] if instructions is None else [{"role": "system", "content": instructions}]


def put_all(
    draft: Draft,
    number: int,
    speaker: Speaker,
    blocks: Iterable[Any],
    more: Mapping[str, Any],
    is_apart: Callable[[Any], bool],
    put: Callable[[Draft, str, Speaker, Any, dict[str, Any], str | None], None],
    at: str | None,
) -> None:
    """Add a message of blocks: what is said as one envelope, and each call and result by itself.

    The assistant says before it calls, and a user returns before he says. Where the record has another order, calls and
    results say by ``block`` where they stood.
    """
    apart = [(index, block) for index, block in enumerate(blocks) if is_apart(block)]
    taken = {index for index, _ in apart}
    parts = [(index, block) for index, block in enumerate(blocks) if index not in taken]
    says_first = speaker.role == "assistant"
    before, behind = (parts, apart) if says_first else (apart, parts)
    is_in_order = not before or not behind or before[-1][0] < behind[0][0]

    def say() -> None:
        if parts or more or not apart:
            draft.say(number, speaker, said([block for _, block in parts]), more, at=at)

    if says_first:
        say()
    for index, block in apart:
        put(draft, f"{number}/block-{index}", speaker, block, {} if is_in_order else {"block": index}, at)
    if not says_first:
        say()
