"""Whether the servers of a cluster write each message through to their disks: asked of their monitoring port."""

from __future__ import annotations

import json
import time
import urllib.request
from http.client import HTTPException
from urllib.error import HTTPError
from urllib.parse import urlsplit

import anyio

from hubwire.errors import ConfigurationError, InvalidRecord, StoreUnavailable

from ..durability import Durability

__all__ = ("synced_durability",)

_ANSWER_BYTES = 4_000_000
_SECONDS = 5.0


async def synced_durability(url: str, asserted: Durability) -> Durability:
    """Return what an acknowledged message survives, as the server at a monitoring URL says.

    Raises :class:`~hubwire.errors.StoreUnavailable` if it does not answer, and
    :class:`~hubwire.errors.ConfigurationError` if it says otherwise than was asserted.
    """
    if not _is_url(url):
        raise ConfigurationError(f"monitoring is the address of a monitoring port, http://n1:8222, not {url!r:.120}")
    try:
        with anyio.fail_after(2 * _SECONDS):  # one that answers a byte now and then is not waited for
            config = await anyio.to_thread.run_sync(_asked, f"{url.rstrip('/')}/jsz", abandon_on_cancel=True)
    except (OSError, ValueError, HTTPException, RecursionError) as error:
        if isinstance(error, HTTPError):
            error.close()
        raise StoreUnavailable(
            f"the monitoring port {url} does not say whether messages are synced"
            f" ({type(error).__name__}: {error!s:.200}); see that it is one of nats-server, or say"
            " assert_sync_always=True"
        ) from error
    if config.get("sync_always") is True:
        return Durability.FSYNC
    if asserted is Durability.FSYNC:
        raise ConfigurationError(
            f"assert_sync_always=True, and the server at {url} says that it does not sync always; set sync_interval:"
            " always in its jetstream block"
        )
    return Durability.FLUSH


def _is_url(url: str) -> bool:
    try:
        found = urlsplit(url)
        return found.scheme in ("http", "https") and bool(found.hostname) and found.port != 0 and url.isprintable()
    except ValueError:
        return False


def _asked(url: str) -> dict[str, object]:
    # Only of http and https: it was looked at above.
    with urllib.request.urlopen(url, timeout=_SECONDS) as answer:  # noqa: S310
        content, end = b"", time.monotonic() + _SECONDS
        while len(content) < _ANSWER_BYTES and (piece := answer.read1(65_536)):
            content += piece
            if time.monotonic() > end:
                raise TimeoutError(f"it has not ended its answer within {_SECONDS:g} seconds")
    found = json.loads(content)
    config = found.get("config") if isinstance(found, dict) else None
    if not isinstance(config, dict):
        raise InvalidRecord("it has no part that tells of JetStream")
    return config
