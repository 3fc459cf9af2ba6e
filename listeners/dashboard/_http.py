"""Requests and responses of the dashboard: what may come in, and how refusals look."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from typing import Any

import attrs
import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

__all__ = (
    "Problem",
    "Reply",
    "encoded",
    "json_body",
    "json_reply",
    "problem_reply",
    "refused",
    "tagged_reply",
)

Reply = Response
"""What answers a request; a ``StreamingResponse`` is one, too."""

BODY_BYTES_MAX = 64 * 1024
_BODY_SECONDS = 10.0


@attrs.define
class Problem(Exception):
    """A refusal, as a client is told it."""

    status: int
    code: str
    message: str
    suggestion: str = ""
    more: Mapping[str, Any] = attrs.field(factory=dict)
    """Further fields beside ``error``."""
    headers: Mapping[str, str] = attrs.field(factory=dict)


def refused(message: str, suggestion: str = "") -> Problem:
    """Return the refusal of a request that cannot be understood."""
    return Problem(400, "invalid", message, suggestion)


def encoded(value: Any) -> bytes:
    """Return a value as JSON. What JSON has no place for is text."""
    return msgspec.json.encode(value, enc_hook=str)


def json_reply(value: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """Return the reply that holds a value as JSON."""
    return Response(encoded(value), status, dict(headers or {}), "application/json")


def tagged_reply(request: Request, body: bytes) -> Reply:
    """Return the reply that holds JSON with its tag; an empty one, if the client has this very body already."""
    tag = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    if tag in request.headers.get("if-none-match", ""):
        return Response(b"", 304, headers)
    return Response(body, 200, headers, "application/json")


def problem_reply(problem: Problem) -> Reply:
    error = {"code": problem.code, "message": problem.message, "suggestion": problem.suggestion}
    return json_reply({"error": error, **problem.more}, status=problem.status, headers=problem.headers)


async def json_body(request: Request, bytes_max: int = BODY_BYTES_MAX) -> dict[str, Any]:
    """Return the JSON object that a request holds; an empty one, if it holds nothing."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    content = await read_body(request, bytes_max)
    if not content:
        return {}
    if kind != "application/json":
        raise Problem(415, "invalid", f"the body is of type {kind[:80]!r}", "send application/json")
    try:
        found = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise refused(f"the body is no JSON: {str(error)[:200]}", "send a JSON object") from error
    if not isinstance(found, dict):
        raise refused("the body is no JSON object", 'send an object, as {"reason": "…"}')
    return found


async def read_body(request: Request, bytes_max: int) -> bytes:
    """Return the body of a request, if it is not too large and does not take too long."""
    too_large = Problem(413, "too_large", f"the body has more than {bytes_max:,} bytes", "send less")
    stated = request.headers.get("content-length", "0")
    if not stated.isdigit() or int(stated[:20]) > bytes_max:
        raise too_large
    found = bytearray()
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            async for chunk in request.stream():
                found += chunk
                if len(found) > bytes_max:
                    raise too_large
    except TimeoutError as error:
        raise Problem(408, "too_slow", "the body did not come within 10 seconds", "send it again") from error
    except ClientDisconnect as error:
        raise Problem(400, "invalid", "the client has gone") from error
    return bytes(found)
