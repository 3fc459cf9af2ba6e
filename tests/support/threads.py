"""What the tests of threads share."""

from __future__ import annotations

from hubwire import GenericEvent

PATIENCE_SECONDS = 30.0
"""After this time without an answer, there will be none."""


def said(number: int = 0) -> GenericEvent:
    return GenericEvent(kind="thread.said", data={"number": number})
