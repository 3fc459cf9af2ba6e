"""``hubwire serve``: the dashboard of a log."""

from __future__ import annotations

import os
import secrets
import signal
import sys
from pathlib import Path

import anyio
import attrs

from hubwire.listeners.dashboard import Access, Dashboard, Person
from hubwire.listeners.dashboard.serving import is_loopback

from ..errors import ConfigurationError
from .caches import cache_in
from .failures import CommandFailed
from .output import say
from .target import AUDIT, JOURNAL, LogMissing, find_log, open_target

__all__ = ("Settings", "check_host", "serve")


@attrs.frozen(kw_only=True)
class Settings:
    """How it is served."""

    port: int
    host: str
    host_names: tuple[str, ...]
    show_content: bool
    token_file: str | None
    certfile: str | None
    keyfile: str | None
    insecure: bool
    name: str
    log: str | None
    keep: str | None


async def serve(target: str, settings: Settings) -> None:
    """Serve the dashboard of a log until Ctrl-C; a log that is not there yet is waited for."""
    check_host("serve", settings.host, settings.certfile, insecure=settings.insecure)
    if await _is_file(target):
        raise CommandFailed(f"{target} is a file, and a store is a directory: name the one that the hub writes to")
    store, keep = open_target(target), cache_in(settings.keep)
    try:
        path: str | None
        try:
            path = await find_log(store, settings.log, target)
        except LogMissing as error:
            if error.is_below:  # those of tenants are there: the one that was meant will not come by itself
                raise
            where = settings.log or f"{AUDIT} or {JOURNAL}"
            say(f"hubwire: waiting for a log in {target} at {where}", sys.stderr)
            path = settings.log
        access, token = _access(settings.token_file)
        dashboard = Dashboard.of_log(
            store,
            path=path,
            access=access,
            show_content=settings.show_content,
            hosts=settings.host_names,
            name=settings.name,
            keep=keep,
        )
        serving = dashboard.serve(
            host=settings.host,
            port=settings.port,
            certfile=settings.certfile,
            keyfile=settings.keyfile,
            insecure=settings.insecure,
        )
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async with serving as url:
                say(f"{url}#token={token}" if token else url)
                if settings.token_file and not token:
                    say(f"hubwire: its token is in {settings.token_file}", sys.stderr)
                async for _ in signals:
                    break
    finally:
        await store.aclose()
        if keep is not None:
            await keep.aclose()


def check_host(verb: str, host: str, certfile: str | None, *, insecure: bool) -> None:
    """Refuse, in the words of the command, to be reached from elsewhere without TLS."""
    if certfile is None and not insecure and not is_loopback(host):
        raise ConfigurationError(
            f"{verb}: beyond this machine, at --host {host}, tokens and events could be read on the way; give"
            " --certfile and --keyfile for https, or --insecure-i-know if a proxy in front of it, or a private network,"
            " sees to that"
        )


async def _is_file(target: str) -> bool:
    try:
        return "://" not in target and await anyio.Path(target).is_file()
    except (OSError, ValueError):  # what is no path
        return False


def _access(token_file: str | None) -> tuple[Access, str | None]:
    """Return who may look, and the token if it has to be shown: it was made now, and is kept."""
    if token_file is None:
        return Access(), None
    path = Path(token_file)
    made = None
    try:
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            if path.stat().st_mode & 0o077:
                raise CommandFailed(
                    f"others than its owner can read {token_file}; write chmod 600 {token_file}, and a new token"
                ) from None
        else:
            made = secrets.token_urlsafe(32)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(f"{made}\n")
        token = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandFailed(f"--token-file {token_file} cannot be read or made: {error}") from error
    try:
        person = Person(name="operator", role="operate", token=token)
    except ConfigurationError as error:
        raise CommandFailed(f"--token-file {token_file} holds no token: {error}") from error
    return Access([person], sessions_file=f"{token_file}.sessions"), made
