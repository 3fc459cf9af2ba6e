"""Signing in and out, and who is signed in."""

from __future__ import annotations

from typing import Any

import anyio
from starlette.requests import Request
from starlette.responses import Response

from hubwire import installed_version

from ._asked import Asked, Endpoint
from ._http import Problem, Reply, json_body, json_reply, refused
from ._parts import Parts
from ._sessions import address_of
from .access import Person

__all__ = ("endpoints", "sign_in")

_BODY_BYTES_MAX = 4096


async def sign_in(parts: Parts, request: Request) -> Reply:
    """Sign in by a token."""
    if parts.access.authenticate is not None:
        raise Problem(404, "not_found", "the program has a sign-in of its own", "sign in there")
    token = (await json_body(request, _BODY_BYTES_MAX)).get("token")
    if not isinstance(token, str) or not token:
        raise refused("there is no token", 'send {"token": "…"}')
    person = await parts.sessions.by_token(token, address_of(request.scope))
    if person is None:
        parts.counts.sign_ins_failed += 1
        raise Problem(
            401, "not_signed_in", "the token is not one of this dashboard", "see where it was shown at the start"
        )
    parts.counts.sign_ins += 1
    return json_reply(await _session(parts, person), headers={"Set-Cookie": parts.sessions.cookie(request, person)})


async def _session(parts: Parts, person: Person) -> dict[str, Any]:
    await parts.source.open()
    hub_id = parts.source.id
    version = await anyio.to_thread.run_sync(installed_version)  # it reads files, once
    return {
        "person": person.name,
        "role": person.role,
        "contents": parts.shows_contents(person),
        "tenants": None if person.tenants is None else list(person.tenants),
        "source": parts.source.sort,
        "hub": {"id": hub_id, "name": parts.name or hub_id[-8:] or "hub", "version": version},
    }


async def _session_of(asked: Asked) -> Reply:
    return json_reply(await _session(asked.parts, asked.person))


async def _sign_out(asked: Asked) -> Reply:
    return Response(b"", 204, {"Set-Cookie": await asked.parts.sessions.sign_out(asked.request)})


def endpoints() -> tuple[Endpoint, ...]:
    """Return the places of the interface that are about the session."""
    return (
        Endpoint("GET", "/api/session", _session_of, says="who is signed in, and what is shown"),
        Endpoint("DELETE", "/api/session", _sign_out, says="sign out"),
    )
