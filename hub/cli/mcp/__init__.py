"""``hubwire mcp``: a server of the Model Context Protocol, by which an assistant reads what agents did.

``speaking`` is the protocol, ``stdio`` and ``over_http`` are its transports. ``tools`` are what an assistant may call,
told to it by ``schemas``; ``given`` checks their arguments, ``asking`` and ``deciding`` answer them, ``answers`` are
bounded, escaped and marked as data. ``log_reads`` and ``hub_reads`` are where answers come from.

The protocol is spoken here, and not by its library: importing that takes longer than all the rest of a start.
"""

from __future__ import annotations

__all__ = ()
