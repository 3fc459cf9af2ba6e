"""Streams of others become events of a hub: a file that grows, the standard input, or a URL.

``files``, ``pipes`` and ``urls`` read the ``lines`` of a stream; ``records`` makes an event of one, and says by what it
is known; ``intake`` leaves out what the store has already, and emits the rest in order.
"""

from __future__ import annotations

__all__ = ()
