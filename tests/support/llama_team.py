"""Agents of LlamaIndex on its own double of a model, which gives the answers that it is told."""

from __future__ import annotations

import itertools
from typing import Any

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage, TextBlock, ToolCallBlock
from llama_index.core.llms.callbacks import llm_chat_callback
from llama_index.core.llms.mock import MockFunctionCallingLLM

__all__ = ("agent", "call", "scripted", "text")

_numbers = itertools.count(1)


class Counting(MockFunctionCallingLLM):
    """The double, with tokens as the models of LlamaIndex tell them."""

    @llm_chat_callback()  # type: ignore[untyped-decorator, unused-ignore]
    async def achat(self, messages: Any, **kwargs: Any) -> Any:
        response = await super().achat(messages, **kwargs)
        response.additional_kwargs = {"prompt_tokens": 11, "completion_tokens": 3}
        return response


def scripted(*answers: Any) -> Counting:
    """A model that gives these answers, one after the other."""
    rest = list(answers)

    def answer(messages: Any, **_: Any) -> ChatMessage:
        given = rest.pop(0)
        if callable(given):
            given = given(messages)
        if isinstance(given, Exception):
            raise given
        return ChatMessage(role="assistant", blocks=given)

    return Counting(response_generator=answer)


def call(tool: str, **arguments: Any) -> list[Any]:
    return [ToolCallBlock(tool_call_id=f"call-{next(_numbers)}", tool_name=tool, tool_kwargs=arguments)]


def text(said: str) -> list[Any]:
    return [TextBlock(text=said)]


def agent(name: str, model: Any, *tools: Any, streaming: bool = False) -> FunctionAgent:
    return FunctionAgent(name=name, description=name, tools=list(tools), llm=model, streaming=streaming)
