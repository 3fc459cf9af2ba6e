"""``hubwire serve``: its arguments."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

__all__ = ("serve",)


def serve(
    target: Annotated[str, Parameter(help="A directory, or the URL of a store: file:///data.")],
    /,
    *,
    port: Annotated[
        int, Parameter(validator=Number(gte=0, lte=65_535), help="By default 8765; 0 takes a free one.")
    ] = 8765,
    host: Annotated[
        str, Parameter(help="The address to listen at; by default this machine's own, 127.0.0.1.")
    ] = "127.0.0.1",
    host_name: Annotated[
        tuple[str, ...], Parameter(help="A name under which browsers come, as ops.example.com. Can be repeated.")
    ] = (),
    show_content: Annotated[
        bool, Parameter(help="Show what agents say and the arguments of tools; by default names and sizes alone.")
    ] = False,
    token_file: Annotated[
        str | None, Parameter(help="Keep the token in this file, so that it stays the same: made if it is not there.")
    ] = None,
    certfile: Annotated[str | None, Parameter(help="The certificate for https, a PEM file.")] = None,
    keyfile: Annotated[str | None, Parameter(help="Its key, a PEM file.")] = None,
    insecure_i_know: Annotated[
        bool, Parameter(help="Listen beyond this machine without https: who is in between can read all, tokens too.")
    ] = False,
    name: Annotated[str, Parameter(help="What the page calls the hub.")] = "",
    log: Annotated[
        str | None, Parameter(name="--log", help="The log within the store; by default /audit, else /journal.")
    ] = None,
    keep: Annotated[
        str | None,
        Parameter(
            help="The directory that keeps what was read, so that it opens at once the next time; by default one for"
            " hubwire among your caches. It holds what agents say, redacted. 'none' keeps nothing."
        ),
    ] = None,
) -> None:
    """Serve the dashboard of a log, beside the hub that writes it or without one. Stop it with Ctrl-C."""
    import anyio

    from .serve import Settings, serve

    settings = Settings(
        port=port,
        host=host,
        host_names=host_name,
        show_content=show_content,
        token_file=token_file,
        certfile=certfile,
        keyfile=keyfile,
        insecure=insecure_i_know,
        name=name,
        log=log,
        keep=keep,
    )
    anyio.run(partial(serve, target, settings))
