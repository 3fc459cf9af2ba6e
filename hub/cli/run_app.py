"""The verbs ``hubwire run`` and ``hubwire completion``, and their arguments."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

from cyclopts import App, Parameter
from cyclopts.validators import Number

from .output import say

__all__ = ("completion_of", "run")


def run(
    target: Annotated[
        str,
        Parameter(
            help="FILE.py:NAME or module:NAME; by default the name is hub. It is a Hub, an async function that returns"
            " one, or an async context manager whose value is one."
        ),
    ],
    /,
    *,
    standby: Annotated[
        bool, Parameter(help="Wait while another program runs this hub; go on when that ends, or dies.")
    ] = False,
    dashboard: Annotated[
        int | None,
        Parameter(validator=Number(gte=0, lte=65_535), help="Serve its dashboard at this port; 0 takes a free one."),
    ] = None,
    host: Annotated[str, Parameter(help="The address that the dashboard listens at.")] = "127.0.0.1",
    show_content: Annotated[
        bool, Parameter(help="Show what agents say on the dashboard; by default names and sizes alone.")
    ] = False,
    host_name: Annotated[
        tuple[str, ...], Parameter(help="A name under which browsers come, as ops.example.com. Can be repeated.")
    ] = (),
    certfile: Annotated[str | None, Parameter(help="The certificate for https, a PEM file.")] = None,
    keyfile: Annotated[str | None, Parameter(help="Its key, a PEM file.")] = None,
    insecure_i_know: Annotated[
        bool, Parameter(help="Listen beyond this machine without https: who is in between can read all, tokens too.")
    ] = False,
) -> int:
    """Run a hub of your own until Ctrl-C or SIGTERM, which close it in order."""
    import anyio

    from .run import Dashboards, run

    settings = Dashboards(
        port=dashboard or 0,
        host=host,
        host_names=host_name,
        show_content=show_content,
        certfile=certfile,
        keyfile=keyfile,
        insecure=insecure_i_know,
    )
    return anyio.run(partial(run, target, dashboard=None if dashboard is None else settings, is_standby=standby))


def completion_of(app: App) -> App:
    """Return the verb that prints how shells complete the words of an application."""
    completion: App = App(
        name="completion",
        help="Print how a shell completes the words of this command.",
        help_format="plaintext",
        default_parameter=Parameter(negative=(), show_default=False),
    )

    @completion.default
    def complete(
        shell: Annotated[Literal["bash", "zsh", "fish"], Parameter(help="The shell that it is for.")], /
    ) -> None:
        """Print how a shell completes the words of this command.

        bash: eval "$(hubwire completion bash)" in ~/.bashrc. zsh: hubwire completion zsh > a file _hubwire in a folder
        of $fpath. fish: hubwire completion fish > ~/.config/fish/completions/hubwire.fish.
        """
        say(app.generate_completion(prog_name="hubwire", shell=shell))

    return completion
