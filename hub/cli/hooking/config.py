"""What to write into the settings of a coding agent, so that it calls the command."""

from __future__ import annotations

import json

__all__ = ("config_of",)

_CLAUDE = (
    *("SessionStart", "UserPromptSubmit", "PreToolUse", "PostToolUse", "PostToolUseFailure", "PermissionRequest"),
    *("PermissionDenied", "Notification", "Stop", "StopFailure", "SubagentStart", "SubagentStop", "PreCompact"),
    "SessionEnd",
)
_CODEX = (
    *("SessionStart", "UserPromptSubmit", "PreToolUse", "PostToolUse", "PermissionRequest", "Stop"),
    *("SubagentStart", "SubagentStop", "PreCompact"),
)
_GEMINI = (
    *("SessionStart", "BeforeAgent", "BeforeTool", "AfterTool", "AfterAgent", "Notification", "PreCompress"),
    "SessionEnd",
)
_SECONDS = 5


def config_of(agent: str, command: str) -> str:
    """Return the lines for the settings of an agent: a JSON object whose ``hooks`` go beside those that there are."""
    hooks = {"claude-code": _CLAUDE, "codex": _CODEX, "gemini-cli": _GEMINI}[agent]
    timeout = _SECONDS * 1000 if agent == "gemini-cli" else _SECONDS
    call = {"type": "command", "command": command, "timeout": timeout}
    return json.dumps({"hooks": {hook: [{"hooks": [call]}] for hook in hooks}}, indent=2)
