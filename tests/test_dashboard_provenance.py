"""Where a content comes from is a mark on the page: a field of its row, and not a part of its words."""

from __future__ import annotations

from typing import Any

from hubwire.events import GenericEvent
from hubwire.listeners.dashboard._rows import Rows
from hubwire.provenance import provenance
from hubwire.words import Names

WEB_AND_USER = provenance("web", "user")


def row_of(event: GenericEvent, *, contents: bool = True) -> dict[str, Any]:
    return Rows(Names()).row(event, contents=contents)


def test_a_row_says_it_beside_its_words() -> None:
    said = row_of(GenericEvent(kind="a.b", data={"text": "hello"}, metadata=WEB_AND_USER))
    plain = row_of(GenericEvent(kind="a.b", data={"text": "hello"}))
    assert said == plain | {"provenance": ("user", "web")}
    assert said["words"] == plain["words"] != ""


def test_a_row_has_only_words_that_there_are() -> None:
    """What else stands in the metadata is text, as before."""
    odd = {"provenance": ["\x1b[2J", "wbe", "web"], "trace": 7}
    found = row_of(GenericEvent(kind="a.b", data={"text": "hello"}, metadata=odd))
    assert found["provenance"] == ("web",)
    assert '"trace":7' in found["words"]
    assert "wbe" not in found["words"]
    assert "provenance" not in row_of(GenericEvent(kind="a.b", metadata={"provenance": ["wbe"]}))


def test_who_may_not_see_contents_does_not_see_where_they_come_from() -> None:
    found = row_of(GenericEvent(kind="a.b", data={"text": "hello"}, metadata=WEB_AND_USER), contents=False)
    assert "provenance" not in found
    assert "web" not in str(found)
