"""``openapi.json``: the interface in the words of OpenAPI 3.1, made from the places that answer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import msgspec

from hubwire import board, installed_version

from ._asked import Asked, Endpoint
from ._history import FACETS
from ._http import Reply, json_reply
from ._outcomes import OUTCOMES
from ._selecting import FILTERS

__all__ = ("document", "endpoint_for")

_TEXT: Mapping[str, Any] = {"type": "string"}
_NUMBER: Mapping[str, Any] = {"type": "integer", "minimum": 0}
_FLAG: Mapping[str, Any] = {"type": "string", "enum": ["0", "1"]}

_SAID: Mapping[str, tuple[Mapping[str, Any], str]] = {
    **{name: (_TEXT, f"records of this {name}; several with commas") for name in FILTERS},
    "kind": (_TEXT, "patterns over kinds, such as tool.*; several with commas"),
    "outcome": (_TEXT, f"what became of it: {', '.join(OUTCOMES)}; several with commas"),
    "text": (_TEXT, "text in the record, in whatever case"),
    "since": (_TEXT, "the first instant: ISO 8601, -10m, today"),
    "until": (_TEXT, "the first instant that is not wanted any more"),
    "zone": (_TEXT, "the zone of times without one, such as Europe/Berlin"),
    "tenant": (_TEXT, "of this tenant alone"),
    "after": (_TEXT, "the cursor of the page before"),
    "limit": (_NUMBER, "so many at most"),
    "newest_first": (_FLAG, "1: the newest first"),
    "records": (_FLAG, "1: also records that are no events, with their index instead of a number"),
    "bins": (_NUMBER, "into so many stretches of time"),
    "fields": ({"type": "string", "enum": list(FACETS)}, "the fields; several with commas"),
    "format": ({"type": "string", "enum": ["jsonl", "csv", "cloudevents"]}, "the form of the file"),
    "listener": (_TEXT, "of this listener alone"),
    "last": (_NUMBER, "begin with so many of the newest events"),
    "boards": (_FLAG, "1: ticks, too: the hub as a whole, once a second"),
    "raw": (_FLAG, "1: whole events instead of rows"),
    "per": ({"type": "string", "enum": ["second", "minute", "hour"]}, "the stretch of a count"),
    "buckets": (_NUMBER, "so many stretches"),
}
_FILTERS = (*FILTERS, "text", "since", "until", "zone", "tenant")

_PARAMETERS: Mapping[str, tuple[str, ...]] = {
    "/api/events": (*_FILTERS, "after", "limit", "newest_first", "records"),
    "/api/events/{seq}": ("tenant",),
    "/api/records/{index}": ("tenant",),
    "/api/histogram": (*_FILTERS, "bins"),
    "/api/facets": (*_FILTERS, "fields"),
    "/api/export": (*_FILTERS, "format", "after", "limit", "newest_first"),
    "/api/stream": ("since", "last", "tenant", "kind", "agent", "channel", "boards", "raw"),
    "/api/board/{name}": ("tenant", "limit"),
    "/api/board/{name}/{id}": ("tenant",),
    "/api/board/counts": ("tenant", "per", "buckets"),
    "/api/approvals/{id}": ("tenant",),
    "/api/approvals/{id}/decision": ("tenant",),
    "/api/dead-letters": ("tenant", "listener", "limit", "after"),
    "/api/dead-letters/retry": ("tenant",),
    "/api/dead-letters/discard": ("tenant",),
}
_REASON = {"type": "string", "maxLength": 2000}
_IDS = {"type": "array", "items": _TEXT, "minItems": 1, "maxItems": 1000}
_BODIES: Mapping[str, Mapping[str, Any]] = {
    "/api/session": {"token": _TEXT},
    "/api/approvals/{id}/decision": {
        "verdict": {"type": "string", "enum": ["approve", "deny"]},
        "reason": _REASON,
        "replies": {"type": "array", "items": _TEXT, "maxItems": 20},
    },
    "/api/dead-letters/retry": {"ids": _IDS},
    "/api/dead-letters/discard": {"ids": _IDS, "reason": _REASON},
    "/api/listeners/resume": {"listener": _TEXT},
}
_NEEDED = {
    "/api/session": ["token"],
    "/api/approvals/{id}/decision": ["verdict"],
    "/api/listeners/resume": ["listener"],
}
_TYPES = {"/api/stream": "text/event-stream", "/metrics": "text/plain", "/healthz": "text/plain"}
_PUBLIC = ("/healthz", "/readyz")

_ERROR: Mapping[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "suggestion"],
            "properties": {"code": _TEXT, "message": _TEXT, "suggestion": _TEXT},
        },
        "decided": {"type": "object", "description": "of too_late: who has decided, what, when and why"},
    },
}


async def _unused(_: Asked) -> Reply:
    raise AssertionError("who signs in is no person yet: the application answers that itself")


_SIGN_IN = Endpoint("POST", "/api/session", _unused, says="sign in by a token: it is exchanged for a cookie")


def document(places: Iterable[Endpoint]) -> dict[str, Any]:
    """Return the document for these places."""
    paths: dict[str, dict[str, Any]] = {}
    for each in (_SIGN_IN, *places):
        path = each.path.replace(":path}", "}")
        paths.setdefault(path, {})[each.method.lower()] = _operation(each, path)
    return {
        "openapi": "3.1.0",
        "info": {"title": "hubwire dashboard", "version": installed_version()},
        "security": [{"cookie": []}, {"token": []}],
        "paths": paths,
        "components": {
            "schemas": {"Error": _ERROR, **_views()},
            "securitySchemes": {
                "cookie": {"type": "apiKey", "in": "cookie", "name": "hubwire"},
                "token": {"type": "http", "scheme": "bearer"},
            },
        },
    }


def _operation(each: Endpoint, path: str) -> dict[str, Any]:
    words = re.findall(r"[a-z]+", f"{each.method} {path}".lower())
    found: dict[str, Any] = {
        "operationId": "_".join(word for word in words if word != "api"),
        "summary": each.says,
        "description": f"Needs the role {each.role}." if path not in _PUBLIC else "Needs no one to be signed in.",
        "parameters": [*_in_path(path), *map(_in_query, _PARAMETERS.get(path, ()))],
        "responses": {
            "200": {"description": "what was asked for", "content": {_TYPES.get(path, "application/json"): {}}},
            "default": {
                "description": "why not, and what to do",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
            },
        },
    }
    if path in _PUBLIC or each is _SIGN_IN:
        found["security"] = []
    if each.method == "POST" and path in _BODIES:
        schema = {"type": "object", "properties": _BODIES[path], "required": _NEEDED.get(path, ["ids"])}
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return found


def _in_path(path: str) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": _TEXT} for name in re.findall(r"{([a-z_]+)}", path)
    ]


def _in_query(name: str) -> dict[str, Any]:
    schema, says = _SAID[name]
    return {"name": name, "in": "query", "description": says, "schema": schema}


@cache
def _views() -> dict[str, Any]:
    """Return the schemas of what boards show."""
    classes = [getattr(board, name) for name in board.__all__ if name.endswith("View")]
    _, components = msgspec.json.schema_components(
        [*classes, board.Transcript, board.Waterfall], ref_template="#/components/schemas/{name}"
    )
    return dict(components)


def endpoint_for(places: Iterable[Endpoint]) -> Endpoint:
    """Return the place that tells of these places, and of itself."""
    known: list[Endpoint] = list(places)

    async def tell(_: Asked) -> Reply:
        return json_reply(document(known))

    found = Endpoint("GET", "/api/openapi.json", tell, says="this document")
    known.append(found)
    return found
