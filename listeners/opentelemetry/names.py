"""Names of attributes and spans, pinned in this one place.

Those of ``gen_ai.`` are of the semantic conventions for generative AI, which are still in development: as of the
repository open-telemetry/semantic-conventions-genai in November 2026. What it has no name for yet, as hand-overs,
approvals and channels, is below ``hub.``.
"""

from __future__ import annotations

__all__ = (
    "AGENT_DESCRIPTION",
    "AGENT_ID",
    "AGENT_NAME",
    "AGENT_VERSION",
    "APPROVAL_ID",
    "APPROVAL_VERDICT",
    "BEGIN_UNKNOWN",
    "CHANNEL",
    "CONVERSATION_ID",
    "CORRELATION_ID",
    "END",
    "ERROR_TYPE",
    "GROUP",
    "HAND_OVER",
    "HUB_ID",
    "INPUT_MESSAGES",
    "INPUT_TOKENS",
    "LINK",
    "OPERATION",
    "OPERATION_DURATION",
    "OUTPUT_MESSAGES",
    "OUTPUT_TOKENS",
    "PROVIDER",
    "REASON",
    "REQUEST_MODEL",
    "RISK_LEVEL",
    "SEQ",
    "SESSION_ID",
    "TASK_ID",
    "TENANT",
    "TOKEN_TYPE",
    "TOKEN_USAGE",
    "TOOL_ARGUMENTS",
    "TOOL_CALL_ID",
    "TOOL_NAME",
    "TOOL_RESULT",
    "TOOL_TYPE",
    "TURN_ID",
    "WORKFLOW_NAME",
)

OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
AGENT_ID = "gen_ai.agent.id"
AGENT_NAME = "gen_ai.agent.name"
AGENT_VERSION = "gen_ai.agent.version"
AGENT_DESCRIPTION = "gen_ai.agent.description"
CONVERSATION_ID = "gen_ai.conversation.id"
"""The channel."""
WORKFLOW_NAME = "gen_ai.workflow.name"
"""The title of a task."""
TOOL_NAME = "gen_ai.tool.name"
TOOL_TYPE = "gen_ai.tool.type"
TOOL_CALL_ID = "gen_ai.tool.call.id"
TOOL_ARGUMENTS = "gen_ai.tool.call.arguments"
TOOL_RESULT = "gen_ai.tool.call.result"
REQUEST_MODEL = "gen_ai.request.model"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
INPUT_MESSAGES = "gen_ai.input.messages"
OUTPUT_MESSAGES = "gen_ai.output.messages"
ERROR_TYPE = "error.type"

OPERATION_DURATION = "gen_ai.client.operation.duration"
TOKEN_USAGE = "gen_ai.client.token.usage"  # noqa: S105 - the name of a metric
TOKEN_TYPE = "gen_ai.token.type"  # noqa: S105 - the name of an attribute

HUB_ID = "hub.id"
SEQ = "hub.seq"
"""Of the event that a span began with."""
TENANT = "hub.tenant"
SESSION_ID = "hub.session.id"
TURN_ID = "hub.turn.id"
TASK_ID = "hub.task.id"
CHANNEL = "hub.channel.topic"
CORRELATION_ID = "hub.correlation_id"
GROUP = "hub.actor.group"
APPROVAL_ID = "hub.approval.id"
APPROVAL_VERDICT = "hub.approval.verdict"
RISK_LEVEL = "hub.approval.risk_level"
REASON = "hub.reason"
END = "hub.end"
"""How it ended: the last word of the event, or ``replaced`` and ``forgotten`` where no event came."""
BEGIN_UNKNOWN = "hub.begin_unknown"
"""True where the beginning was not seen: the start is what the end says of it."""
LINK = "hub.link"
"""Of a link: what the other span is, ``channel``, ``hand_over`` or ``cause``."""
HAND_OVER = "hub.hand_over.from"
