"""The page itself: the files that its build has made, held in memory, and no other file."""

from __future__ import annotations

import hashlib
import mimetypes
from pathlib import Path

import anyio
import attrs
from starlette.requests import Request
from starlette.responses import Response

from ._http import Problem, Reply

__all__ = ("Pages",)

FOLDER = Path(__file__).parent / "_page"

_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".map": "application/json",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
    ".webmanifest": "application/manifest+json",
}

_NOT_BUILT = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>hubwire</title>
<h1>The page was not built</h1>
<p>The interface below <code>api/</code> works; the page itself is not in this installation of hubwire. A wheel has it.
In a checkout, build it with <code>make page</code>, and start the program again.</p>
</html>
"""


@attrs.frozen
class _File:
    content: bytes
    type: str
    tag: str


class Pages:
    """Serves the files of the page. What is not among them is not there: no path of a request reaches the disk."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = FOLDER if folder is None else folder
        self._files: dict[str, _File] | None = None

    async def reply(self, request: Request, path: str) -> Reply:
        """Return the file of a path, which has no slash at its beginning; of an empty one the page."""
        if self._files is None:
            self._files = await anyio.to_thread.run_sync(self._read)
        file = self._files.get(path or "index.html")
        if file is None:
            if path:
                raise Problem(404, "not_found", f"there is nothing at {path[:80]!r}", "the interface is below api/")
            return Response(_NOT_BUILT, 200, {"Cache-Control": "no-store"}, "text/html; charset=utf-8")
        headers = {"ETag": file.tag, "Cache-Control": "no-cache"}
        if file.tag in request.headers.get("if-none-match", ""):
            return Response(b"", 304, headers)
        return Response(file.content, 200, headers, file.type)

    def _read(self) -> dict[str, _File]:
        found = {}
        for path in sorted(self._folder.rglob("*")) if self._folder.is_dir() else ():
            if path.is_file() and not path.is_symlink():
                content = path.read_bytes()
                kind = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
                kind += "; charset=utf-8" if kind.startswith("text/") else ""
                tag = f'"{hashlib.blake2b(content, digest_size=12).hexdigest()}"'
                found[path.relative_to(self._folder).as_posix()] = _File(content, kind, tag)
        return found
