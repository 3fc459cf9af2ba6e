"""The verbs of ``hubwire webhook``, and their arguments."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

from cyclopts import App, Parameter
from cyclopts.validators import Number

__all__ = ("webhook",)

webhook: App = App(
    name="webhook",
    help="Try webhooks: print what arrives, make a secret.",
    help_format="plaintext",
    default_parameter=Parameter(negative=(), show_default=False),
)


@webhook.command
def listen(
    *,
    port: Annotated[
        int, Parameter(validator=Number(gte=0, lte=65535), help="The port; by default 8400, and 0 is any that is free.")
    ] = 8400,
    host: Annotated[
        str, Parameter(help="The address to listen on; by default 127.0.0.1, which only this machine reaches.")
    ] = "127.0.0.1",
    secret: Annotated[
        tuple[str, ...],
        Parameter(
            env_var="HUBWIRE_WEBHOOK_SECRET",
            help="Verify signatures with it: whsec_..., or the public key whpk_.... Can be repeated. Rather give it in"
            " the variable HUBWIRE_WEBHOOK_SECRET: other users of the machine see the arguments of a command.",
        ),
    ] = (),
    status: Annotated[
        int,
        Parameter(
            validator=Number(gte=200, lte=599),
            help="What to answer; by default 200. With a secret, what is not signed right is answered with 401.",
        ),
    ] = 200,
    lines: Annotated[
        int | None,
        Parameter(name=["-n", "--lines"], validator=Number(gte=1), help="End after so many messages."),
    ] = None,
    output: Annotated[
        Literal["pretty", "json"],
        Parameter(name=["-o", "--output"], help="pretty: lines for people; json: an object a line."),
    ] = "pretty",
) -> None:
    """Print the messages that a webhook posts here, and whether they are signed right. Stop it with Ctrl-C."""
    import anyio

    from .webhook import Listening, listen

    listening = Listening(secrets=secret, status=status, count_max=lines, as_json=output == "json")
    anyio.run(partial(listen, listening, host, port))


@webhook.command(name="secret")
def secret_(
    *,
    ed25519: Annotated[
        bool,
        Parameter(name="--ed25519", help="A pair of keys instead: a private one to sign, a public one to verify."),
    ] = False,
) -> None:
    """Print a new secret, for a Webhook and its receivers."""
    from .webhook import print_secret

    print_secret(is_pair=ed25519)
