"""What the contents of the Agent Development Kit say."""

from __future__ import annotations

from typing import Any

__all__ = ("parts_of", "request_of", "text_of")


def text_of(content: Any) -> str:
    """The text of a content, without the model's thoughts."""
    parts = getattr(content, "parts", None) or ()
    return "".join(part.text for part in parts if part.text and not part.thought)


def parts_of(content: Any) -> Any:
    """The parts of a content that are worth keeping: texts, and calls and responses as mappings."""
    found: list[Any] = []
    for part in getattr(content, "parts", None) or ():
        if part.text:
            if not part.thought:
                found.append(part.text)
        elif part.function_call is not None:
            found.append({"call": part.function_call.name, "arguments": part.function_call.args})
        elif part.function_response is not None:
            found.append({"response_of": part.function_response.name, "response": part.function_response.response})
        else:
            found.append("(media)")
    return found[0] if len(found) == 1 and type(found[0]) is str else found


def request_of(contents: Any, *, is_whole: bool) -> Any:
    """The messages of a request; only the last one is looked at where the recorder leaves the others out."""
    contents = contents or ()
    last = len(contents) - 1
    return [
        {"role": each.role, "parts": parts_of(each)} if is_whole or number == last else ""
        for number, each in enumerate(contents)
    ]
