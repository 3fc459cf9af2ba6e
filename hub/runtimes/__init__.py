"""Agent runtimes: what they do becomes events of a hub, by one line a runtime.

Each adapter is a module of its own, named as the extra that installs what it needs::

    from hubwire.runtimes import openai_agents

    recorder = openai_agents.record(hub)  # from now on; recorder.close() ends it

All of them are thin over :class:`Recorder`, which is for runtimes of your own, too.
"""

from __future__ import annotations

from ._actors import AgentActor, Said
from .recorder import Recorder, RecorderStatistics
from .verdict import Verdict

__all__ = ("AgentActor", "Recorder", "RecorderStatistics", "Said", "Verdict")
