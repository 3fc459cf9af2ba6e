"""What the hooks of coding agents say, as events: ``hubwire hook claude-code``, which their hooks call.

:func:`events_of` makes events of the JSON that a hook is given; :func:`run` is the command, which leaves them in a
spool. All of this is of the standard library alone, but for what redacts contents: an agent waits for its hooks.
"""

from __future__ import annotations

from ._command import run
from ._events import AGENTS, Asked, NoHook, events_of

__all__ = ("AGENTS", "Asked", "NoHook", "events_of", "run")
