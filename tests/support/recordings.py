"""What others' libraries write, by hand and as small as it can be with everything in it that they can hold."""

from __future__ import annotations

from typing import Any

__all__ = ("CHAT_FORMATS", "FACT_FORMATS", "RECORDINGS")

CHAT_FORMATS = {"openai-chat", "openai-responses", "anthropic", "gemini", "langchain", "sharegpt"}
FACT_FORMATS = {"otlp", "ag2-audit", "ag2-store"}

OPENAI_CHAT = {
    "messages": [
        {"role": "developer", "content": "be kind and brief"},
        {"role": "user", "name": "alice", "content": [{"type": "text", "text": "weather in Oslo?"}]},
        {
            "role": "assistant",
            "content": None,
            "refusal": "none given",
            "timestamp": "2026-01-02T03:04:05.000006Z",
            "tool_calls": [
                {"id": "call-a", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}},
                {"id": "call-b", "type": "custom", "custom": {"name": "shell", "input": "uptime -p"}},
                {"function": {"name": "lookup", "arguments": {"key": "value-1"}}},
            ],
        },
        {"role": "tool", "tool_call_id": "call-a", "content": "rain and wind"},
        {"role": "tool", "tool_call_ids": ["call-b"], "content": {"load": 12345}},
        {"role": "tool", "name": "lookup", "content": "found it", "status": "error"},
        {"role": "assistant", "content": "", "function_call": {"name": "legacy", "arguments": "not json"}},
        {"role": "function", "name": "legacy", "content": "old result"},
    ],
    "model": "gpt-4o-2024",
    "reward": 0.25,
    "task_id": "task-77",
    "info": {"seed": 123456, "tags": ["first", "second"]},
}

RESPONSES = {
    "request": {
        "model": "gpt-5-mini",
        "instructions": "be brief, please",
        "input": "what is new?",
        "tools": [{"type": "web_search"}],
    },
    "response": {
        "id": "resp_1234",
        "object": "response",
        "created_at": 1767000000,
        "status": "completed",
        "output": [
            {"type": "reasoning", "id": "rs_12", "summary": [{"type": "summary_text", "text": "thinking hard"}]},
            {"type": "web_search_call", "id": "ws_12", "status": "completed", "action": {"query": "news today"}},
            {
                "type": "function_call",
                "id": "fc_12",
                "call_id": "call_12",
                "name": "lookup",
                "arguments": '{"k": "value-2"}',
            },
            {"type": "function_call_output", "call_id": "call_12", "output": "the output"},
            {"type": "custom_tool_call", "call_id": "call_13", "name": "grep", "input": "needle"},
            {
                "type": "custom_tool_call_output",
                "call_id": "call_13",
                "output": [{"type": "input_text", "text": "hay"}],
            },
            {
                "type": "mcp_call",
                "id": "mcp_1",
                "name": "remote",
                "server_label": "server-1",
                "arguments": "{}",
                "error": "refused there",
            },
            {
                "type": "message",
                "id": "msg_12",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "output_text", "text": "nothing new", "annotations": []}],
            },
        ],
        "usage": {"input_tokens": 1001, "output_tokens": 2002},
    },
}

ANTHROPIC = {
    "model": "claude-sonnet-4-5",
    "max_tokens": 1024,
    "system": [{"type": "text", "text": "be careful", "cache_control": {"type": "ephemeral"}}],
    "messages": [
        {"role": "user", "content": "list the files"},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "they want files", "signature": "c2lnbmVk"},
                {"type": "text", "text": "I will look."},
                {"type": "tool_use", "id": "toolu_1", "name": "bash", "input": {"command": "ls -la"}},
                {"type": "text", "text": "and once more"},
                {"type": "tool_use", "id": "toolu_2", "name": "bash", "input": {"command": "pwd"}},
                {"type": "server_tool_use", "id": "srv_1", "name": "web_search", "input": {"query": "files"}},
                {
                    "type": "web_search_tool_result",
                    "tool_use_id": "srv_1",
                    "content": {"type": "web_search_tool_result_error", "error_code": "max_uses_exceeded"},
                },
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "a.txt"}]},
                {"type": "tool_result", "tool_use_id": "toolu_2", "content": "no such tool", "is_error": True},
                {"type": "text", "text": "thank you"},
            ],
        },
        {
            "id": "msg_0001",
            "type": "message",
            "role": "assistant",
            "model": "claude-x",
            "content": [{"type": "text", "text": "You have one."}],
            "stop_reason": "end_turn",
            "usage": {"input_tokens": 4711},
        },
    ],
}

GEMINI = {
    "request": {
        "systemInstruction": {"parts": [{"text": "answer shortly"}]},
        "contents": [
            {
                "role": "user",
                "parts": [{"text": "turn it on"}, {"inlineData": {"mimeType": "image/png", "data": "aW1n"}}],
            },
            {
                "role": "model",
                "parts": [
                    {
                        "functionCall": {"name": "light", "id": "fc-1", "args": {"room": "kitchen"}},
                        "thoughtSignature": "dGhvdWdodA==",
                    }
                ],
            },
            {
                "role": "user",
                "parts": [{"functionResponse": {"name": "light", "id": "fc-1", "response": {"error": "no power"}}}],
            },
        ],
        "generationConfig": {"temperature": 0.125},
    },
    "response": {
        "candidates": [
            {
                "content": {"role": "model", "parts": [{"text": "It failed."}]},
                "finishReason": "STOP",
                "avgLogprobs": -0.12345,
            }
        ],
        "usageMetadata": {"promptTokenCount": 1234},
        "modelVersion": "gemini-2.5-flash",
    },
}


def lc(name: str, /, **kwargs: Any) -> dict[str, Any]:
    return {"lc": 1, "type": "constructor", "id": ["langchain", "schema", "messages", name], "kwargs": kwargs}


LANGCHAIN_DUMPS = [
    lc("SystemMessage", content="be useful", type="system"),
    lc("HumanMessage", content="hello there", type="human", name="alice"),
    lc(
        "AIMessage",
        content="let me see",
        type="ai",
        response_metadata={"model_name": "model-x"},
        tool_calls=[{"name": "search", "args": {"query": "cats"}, "id": "call-1", "type": "tool_call"}],
        invalid_tool_calls=[
            {"name": "broken", "args": "{half", "id": "call-2", "error": "bad JSON", "type": "invalid_tool_call"}
        ],
        usage_metadata={"input_tokens": 1111, "output_tokens": 2222, "total_tokens": 3333},
    ),
    lc(
        "ToolMessage",
        content="no cats",
        type="tool",
        name="search",
        tool_call_id="call-1",
        status="error",
        artifact={"raw": "bytes"},
    ),
    lc("FunctionMessage", content="legacy result", type="function", name="older"),
    lc("ChatMessage", content="I disagree", type="chat", role="critic"),
    lc("RemoveMessage", content="", type="remove", id="message-9"),
]

LANGCHAIN_DICTS = {
    "thread_id": "thread-12",
    "messages": [
        {"type": "human", "data": {"content": "hello again", "type": "human", "additional_kwargs": {}, "name": None}},
        {
            "type": "ai",
            "data": {
                "content": "",
                "type": "ai",
                "additional_kwargs": {"function_call": {"name": "older", "arguments": '{"a": "argument"}'}},
                "tool_calls": [],
            },
        },
        {"type": "AIMessageChunk", "data": {"content": "streamed", "type": "AIMessageChunk"}},
    ],
}

SHAREGPT = {
    "id": "identity_0",
    "system": "you are a guide",
    "tools": '[{"name": "maps"}]',
    "conversations": [
        {"from": "human", "value": "where is it?"},
        {"from": "function_call", "value": '{"name": "maps", "arguments": {"place": "Bergen"}}'},
        {"from": "observation", "value": '{"lat": 60.39}'},
        {"from": "gpt", "value": "up there", "weight": 0.75},
        {"from": "chatgpt", "value": "indeed"},
        {"from": "function_call", "value": "call it somehow"},
    ],
}


def attribute(key: str, **value: Any) -> dict[str, Any]:
    return {"key": key, "value": value}


OTLP = {
    "resourceSpans": [
        {
            "resource": {"attributes": [attribute("service.name", stringValue="travel-desk")]},
            "scopeSpans": [
                {
                    "scope": {"name": "genai-instrumentation", "version": "1.2.3"},
                    "spans": [
                        {
                            "traceId": "5b8efff798038103d269b633813fc60c",
                            "spanId": "eee19b7ec3c1b174",
                            "parentSpanId": "eee19b7ec3c1b173",
                            "name": "chat gpt-4o",
                            "kind": 3,
                            "startTimeUnixNano": "1767000000123456789",
                            "endTimeUnixNano": "1767000001123456789",
                            "attributes": [
                                attribute("gen_ai.operation.name", stringValue="chat"),
                                attribute("gen_ai.request.model", stringValue="gpt-4o"),
                                attribute("gen_ai.conversation.id", stringValue="conversation-5"),
                                attribute("gen_ai.agent.name", stringValue="planner"),
                                attribute("gen_ai.usage.input_tokens", intValue="1234"),
                                attribute("gen_ai.usage.output_tokens", intValue="5678"),
                                attribute(
                                    "gen_ai.input.messages", stringValue='[{"role": "user", "parts": ["hello"]}]'
                                ),
                                attribute(
                                    "gen_ai.output.messages", stringValue='[{"role": "assistant", "parts": ["world"]}]'
                                ),
                                attribute(
                                    "gen_ai.response.finish_reasons", arrayValue={"values": [{"stringValue": "stop"}]}
                                ),
                            ],
                            "events": [{"timeUnixNano": "1767000000223456789", "name": "first token"}],
                            "status": {},
                        },
                        {
                            "traceId": "5b8efff798038103d269b633813fc60c",
                            "spanId": "eee19b7ec3c1b175",
                            "name": "execute_tool search",
                            "startTimeUnixNano": "1767000002000000000",
                            "endTimeUnixNano": "1767000002500000000",
                            "attributes": [
                                attribute("gen_ai.operation.name", stringValue="execute_tool"),
                                attribute("gen_ai.tool.name", stringValue="search"),
                                attribute("gen_ai.tool.call.id", stringValue="call-99"),
                                attribute("gen_ai.tool.call.arguments", stringValue='{"query": "trains"}'),
                                attribute("error.type", stringValue="TimeoutError"),
                            ],
                            "status": {"code": 2, "message": "took too long"},
                        },
                        {
                            "traceId": "5b8efff798038103d269b633813fc60c",
                            "spanId": "eee19b7ec3c1b176",
                            "name": "invoke_agent planner",
                            "startTimeUnixNano": "1767000000000000000",
                            "endTimeUnixNano": "1767000003000000000",
                            "attributes": [attribute("gen_ai.operation.name", stringValue="invoke_agent")],
                        },
                        {
                            "traceId": "5b8efff798038103d269b633813fc60c",
                            "spanId": "eee19b7ec3c1b177",
                            "name": "GET /health",
                            "startTimeUnixNano": "1767000000000000000",
                            "endTimeUnixNano": "1767000000001000000",
                        },
                    ],
                }
            ],
        }
    ]
}

AG2_AUDIT = {
    "at": "2026-11-21T00:00:00+00:00",
    "kind": "turn_failed",
    "agent_id": "0000017d6a",
    "channel_id": "0000017d6b",
    "envelope_id": "0000017d6c",
    "exc_type": "ValueError",
    "exc_message": "no such model",
}

AG2_STORE = {
    "channel": "0000017d6b",
    "metadata": {"state": "closed", "close_reason": "explicit_close", "labels": {"intent": "plan it"}},
    "names": {"0000017d6a": "planner"},
    "wal": [
        {
            "channel_id": "0000017d6b",
            "sender_id": "0000017d6a",
            "audience": None,
            "event_type": "ag2.msg.text",
            "event_data": {"text": "a plan", "style": "short"},
            "envelope_id": "e0001",
            "created_at": "2026-11-21T00:00:01+00:00",
        },
        {
            "channel_id": "0000017d6b",
            "sender_id": "unregistered",
            "audience": ["0000017d6a"],
            "event_type": "ag2.packet",
            "event_data": {"handoff": "coder"},
            "envelope_id": "e0002",
            "priority": "urgent",
        },
    ],
}

RECORDINGS: dict[str, tuple[str, Any]] = {
    "openai-chat": ("openai-chat", OPENAI_CHAT),
    "openai-chat, a list": ("openai-chat", OPENAI_CHAT["messages"]),
    "openai-responses": ("openai-responses", RESPONSES),
    "openai-responses, a response": ("openai-responses", RESPONSES["response"]),
    "openai-responses, items": ("openai-responses", RESPONSES["response"]["output"]),  # type: ignore[index]
    "anthropic": ("anthropic", ANTHROPIC),
    "anthropic, a response": ("anthropic", ANTHROPIC["messages"][-1]),  # type: ignore[index]
    "gemini": ("gemini", GEMINI),
    "gemini, a request": ("gemini", GEMINI["request"]),
    "gemini, a response": ("gemini", GEMINI["response"]),
    "langchain, dumps": ("langchain", LANGCHAIN_DUMPS),
    "langchain, dicts": ("langchain", LANGCHAIN_DICTS),
    "sharegpt": ("sharegpt", SHAREGPT),
    "otlp": ("otlp", OTLP),
    "ag2-audit": ("ag2-audit", AG2_AUDIT),
    "ag2-store": ("ag2-store", AG2_STORE),
    "ag2-store, a file": ("ag2-store", {"path": "/agents/0000017d6a/rule.json", "content": {"version": 1234}}),
    "ag2-store, a record": ("ag2-store", {"record": AG2_AUDIT}),
}
"""By name, the format that has it, and an item as it is in a file."""
