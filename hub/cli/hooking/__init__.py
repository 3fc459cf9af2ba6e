"""What the hooks of coding agents say, as events in a spool: ``hubwire hook claude-code``, which their hooks call.

``events`` makes events of the JSON that a hook is given, ``names`` says what of it is no content, ``turns`` in which
turn a session is, ``config`` what goes into the settings of an agent, and ``command`` does the rest. All of this is of
the standard library alone, but for what redacts contents: an agent waits for its hooks.
"""

from __future__ import annotations

from .command import run
from .events import AGENTS

__all__ = ("AGENTS", "run")
