"""The board: a pure, bounded projection of events for people. Dashboard, ``hubwire top`` and views of your own use it.

``board.fold(event)`` for each event, then ``board.agents(now=…)``, ``board.approvals(now=…)`` and the others.
"""

from __future__ import annotations

from ._board import Board
from ._hub_views import Bucket, CountsView, GapView, HubView, ListenerView, TroubleView
from ._limits import BoardLimits
from ._talk_views import (
    Activity,
    AgentView,
    CallView,
    ChannelView,
    DoingView,
    ExpectationView,
    LineView,
    LinkView,
    Transcript,
)
from ._view import Rows
from ._work_views import (
    ApprovalView,
    BarView,
    HandOverView,
    RestartView,
    RiskStepView,
    RunView,
    SpanView,
    TaskView,
    Waterfall,
)

__all__ = (
    "Activity",
    "AgentView",
    "ApprovalView",
    "BarView",
    "Board",
    "BoardLimits",
    "Bucket",
    "CallView",
    "ChannelView",
    "CountsView",
    "DoingView",
    "ExpectationView",
    "GapView",
    "HandOverView",
    "HubView",
    "LineView",
    "LinkView",
    "ListenerView",
    "RestartView",
    "RiskStepView",
    "Rows",
    "RunView",
    "SpanView",
    "TaskView",
    "Transcript",
    "TroubleView",
    "Waterfall",
)
