"""What others' records say was done, for ``hubwire grade``: transcripts, checkpoints, sessions, and logs of a hub.

``told`` opens a record, whatever it is. ``conversations`` makes deeds of all that ``hubwire import`` reads,
``claude_code`` of the sessions of Claude Code, ``langgraph`` of checkpoints, and ``logs`` of the logs of a hub.
"""

from __future__ import annotations

__all__ = ()
