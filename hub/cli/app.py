"""The verbs of the ``hubwire`` command, their arguments, and the handling of errors."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, CycloptsError, Parameter
from cyclopts.validators import Number

from .._version import installed_version
from .approvals_app import approvals
from .dead_letters_app import dead_letters
from .erase_app import erase
from .export_app import export, report
from .failing import MISUSED, failed, misuse
from .grade_app import grade
from .help import unwrap_help
from .holds_app import hold, holds, release
from .hub_client import is_hub, token_file as given_token_file
from .incoming_app import follow, import_
from .keys_app import keys
from .log_app import log
from .mcp_app import mcp
from .output import complain, log_to_stderr
from .prove_app import prove
from .query_app import Archive, query, sql
from .redact_app import redact
from .run_app import completion_of, run as run_verb
from .serve_app import serve
from .spool_app import hook, spool
from .tail_app import tail
from .tiles_app import tiles
from .webhook_app import webhook
from .witness_app import witness as witness_verb

__all__ = ("run",)

Target = Annotated[str, Parameter(help="A directory, or the URL of a store: file:///data.")]
Place = Annotated[
    str, Parameter(help="A directory, the URL of a store, file:///data, or the address of a hub's dashboard.")
]
LogPath = Annotated[
    str | None, Parameter(name="--log", help="The log within the store; by default /audit, else /journal.")
]
Raw = Annotated[
    bool,
    Parameter(negative="", help="Print what is stored as it is: by default, what is personal or secret is redacted."),
]


app: App = App(
    name="hubwire",
    help="Watch agents at work: import, follow, count and check the events of a hub.",
    help_format="plaintext",
    default_parameter=Parameter(negative=(), show_default=False),
    version=installed_version,
    version_flags=["--version"],
)
app.meta.group_parameters = app.group_parameters


app.command(import_, name="import")
app.command(follow)
app.command(serve)


app.command(tail)


@app.command
def top(
    target: Place,
    /,
    *,
    once: Annotated[bool, Parameter(help="Print one frame of what there is, and exit.")] = False,
    plain: Annotated[bool, Parameter(help="Draw frames without keys, as without the extra tui.")] = False,
    tenant: Annotated[str | None, Parameter(help="Only what is of this tenant.")] = None,
    raw: Raw = False,
    log: LogPath = None,
) -> int:
    """Show which agents need a look, what waits for a person and what went wrong, and go on. Stop it with Ctrl-C.

    With the extra tui it has keys: ? lists them.
    """
    import anyio

    from .top import top

    return anyio.run(partial(top, target, once=once, plain=plain, log=log, tenant=tenant, raw=raw))


@app.command
def show(
    event: Annotated[
        str,
        Parameter(
            allow_leading_hyphen=True,
            help="The event's seq or its id, the place of a record as index:7, or index:-1 for the last one.",
        ),
    ],
    target: Annotated[
        str,
        Parameter(
            allow_leading_hyphen=True,
            help="A directory, the URL of a store, file:///data, or the address of a hub's dashboard. It may also stand"
            " before the event.",
        ),
    ],
    /,
    *,
    raw: Raw = False,
    log: LogPath = None,
    archive: Archive = None,
) -> None:
    """Print one event in full."""
    import anyio

    from .show import show
    from .target import in_order

    anyio.run(partial(show, *in_order(event, target), log=log, raw=raw, archive=archive))


@app.command
def stats(
    target: Place,
    /,
    *,
    json: Annotated[bool, Parameter(help="Print one JSON object.")] = False,
    log: LogPath = None,
) -> None:
    """Count the records, events, kinds, channels, agents and bytes of a log."""
    import anyio

    from .stats import stats

    anyio.run(partial(stats, target, as_json=json, log=log))


@app.command
def verify(
    target: Place,
    /,
    *,
    log: Annotated[str | None, Parameter(help="The log within the store; by default /audit.")] = None,
    expect_head: Annotated[
        str | None, Parameter(help="A head of this log that was kept elsewhere, as stats prints it: 14:kbl9HV54….")
    ] = None,
    expect_records: Annotated[
        int | None, Parameter(validator=Number(gte=0), help="How many records the log has at least.")
    ] = None,
    vkey: Annotated[
        str | None,
        Parameter(help="The verifier key of the log's owner, kept elsewhere, or a file with it: says who has signed."),
    ] = None,
    since_checkpoint: Annotated[
        Path | None, Parameter(help="A file with a checkpoint of this log that was kept elsewhere.")
    ] = None,
    witness: Annotated[
        tuple[str, ...],
        Parameter(help="The verifier key of a witness that you trust, or a file with it. Can be repeated."),
    ] = (),
    witness_quorum: Annotated[
        int | None,
        Parameter(validator=Number(gte=1), help="How many of them have to have seen the log; by default all."),
    ] = None,
    timestamp_cert: Annotated[
        tuple[Path, ...],
        Parameter(help="A file with the root certificate of a timestamping authority, as PEM. Can be repeated."),
    ] = (),
    gap_max: Annotated[
        float | None, Parameter(help="How many seconds may be between two records at most.", validator=Number(gt=0))
    ] = None,
    state: Annotated[
        Path | None,
        Parameter(help="A file of yours, away from the log: what is verified now is not read again the next time."),
    ] = None,
    every_fault: Annotated[
        bool, Parameter(name="--all", help="Go on behind a damaged record, and name every fault.")
    ] = False,
    archive: Archive = None,
    json: Annotated[bool, Parameter(help="Print one JSON object.")] = False,
) -> int:
    """Check an audit log: whether its records are as written, whether all are there, who signed, what is not known.

    Exits with 0 if no verdict fails, with 1 if the log is damaged, not there, or not signed by that key, and with 3 if
    all that is there is right, and records are missing.
    """
    import anyio

    from .verify import Expectations, verify

    if is_hub(target):
        from .remote import only_stores, verify as verify_at

        only_stores(
            "verify",
            {
                "--log": log,
                "--expect-head": expect_head,
                "--expect-records": expect_records,
                "--vkey": vkey,
                "--since-checkpoint": since_checkpoint,
                "--witness": witness or None,
                "--witness-quorum": witness_quorum,
                "--timestamp-cert": timestamp_cert or None,
                "--gap-max": gap_max,
                "--state": state,
                "--all": every_fault or None,
                "--archive": archive,
            },
        )
        return anyio.run(partial(verify_at, target, as_json=json))
    expected = Expectations(
        head=expect_head,
        records=expect_records,
        vkey=vkey,
        since_checkpoint=since_checkpoint,
        witnesses=witness,
        witness_quorum=witness_quorum,
        timestamp_certs=timestamp_cert,
        gap_max=gap_max,
        all_faults=every_fault,
        state=state,
    )
    anyio.run(partial(verify, target, log=log, expected=expected, as_json=json, archive=archive))
    return 0


@app.command
def doctor(
    target: Place,
    /,
    *,
    json: Annotated[bool, Parameter(help="Print one JSON object.")] = False,
) -> int:
    """Look at a store: what is there, what is wrong, what can be done. It only reads; exits with 1 if unwell."""
    import anyio

    from .doctor import doctor

    if is_hub(target):
        from .remote import doctor as doctor_at

        return anyio.run(partial(doctor_at, target, as_json=json))
    anyio.run(partial(doctor, target, as_json=json))
    return 0


@app.command
def repair(
    target: Target,
    action: Annotated[
        Literal["forget", "accept-loss", "rebuild-marker", "cut", "begin", "set-aside"],
        Parameter(
            help="forget: keep the position of a listener no longer. accept-loss: give up what the journal does not"
            " hold. rebuild-marker: write the markers of a log anew. cut: end a log before a record. begin: let"
            " a journal begin behind its damage. set-aside: begin an audit log anew."
        ),
    ],
    name: Annotated[str | None, Parameter(help="The listener that is forgotten.")] = None,
    /,
    *,
    log: Annotated[str | None, Parameter(name="--log", help="The log that it is about.")] = None,
    at: Annotated[
        int | None,
        Parameter(validator=Number(gte=0), help="The first record to cut off; by default the first damaged."),
    ] = None,
    reason: Annotated[str | None, Parameter(help="Why; it becomes a record of the log.")] = None,
    dry_run: Annotated[bool, Parameter(help="Only say what would be done.")] = False,
) -> None:
    """Mend a store on which no hub starts, as doctor advises. What is taken away is kept in /lost of the store."""
    import anyio

    from .repair import repair

    anyio.run(partial(repair, target, action, name, log=log, at=at, reason=reason, dry_run=dry_run))


@app.command
def backup(
    source: Target, target: Annotated[str, Parameter(help="An empty directory or URL for the copy.")], /
) -> None:
    """Copy a store, also while a hub is at work on it, so that a hub can start on the copy."""
    import anyio

    from .backup import backup

    anyio.run(backup, source, target)


@app.command
def restore(
    source: Annotated[str, Parameter(help="The directory or URL of a backup.")],
    target: Annotated[str, Parameter(help="An empty directory or URL for the store.")],
    /,
) -> None:
    """Copy a backup into an empty store, and see that a hub can start on it."""
    import anyio

    from .backup import restore

    anyio.run(restore, source, target)


@app.command
def prune(
    target: Target,
    /,
    *,
    days: Annotated[
        float | None, Parameter(validator=Number(gte=0), help="Remove segments whose newest record is older.")
    ] = None,
    segments: Annotated[
        int | None, Parameter(validator=Number(gte=2), help="Remove the oldest segments beyond so many.")
    ] = None,
    size_bytes: Annotated[
        int | None,
        Parameter(name="--bytes", validator=Number(gte=1), help="Remove the oldest segments beyond so many bytes."),
    ] = None,
    reason: Annotated[str | None, Parameter(help="Why; it becomes part of a record of the log.")] = None,
    archive: Annotated[str | None, Parameter(help="Copy what goes to this store first: a directory, or a URL.")] = None,
    dry_run: Annotated[bool, Parameter(help="Only say what would be removed.")] = False,
    json: Annotated[bool, Parameter(help="Print one JSON object.")] = False,
    log: Annotated[str | None, Parameter(name="--log", help="The log within the store; by default /audit.")] = None,
) -> None:
    """Remove the oldest segments of an audit log; the log says so, and the rest verifies.

    Exits with 1 if a hub holds the log, or if a hold or the floor keeps what is over a limit.
    """
    import anyio

    from .prune import prune

    anyio.run(
        partial(
            prune,
            target,
            log=log,
            days=days,
            segments=segments,
            size_bytes=size_bytes,
            reason=reason,
            archive=archive,
            dry_run=dry_run,
            as_json=json,
        )
    )


app.command(hold)
app.command(release)
app.command(holds)


@app.command
def demo(
    *,
    store: Annotated[
        str | None, Parameter(help="An empty directory for the logs of the hub; by default a temporary one.")
    ] = None,
    tickets: Annotated[
        int, Parameter(validator=Number(gte=2), help="How many tickets the agents work on; by default 6.")
    ] = 6,
    pace: Annotated[
        float, Parameter(validator=Number(gte=0), help="Seconds that each step of an agent takes; by default 0.04.")
    ] = 0.04,
    no_serve: Annotated[
        bool, Parameter(help="End when the log is verified; by default the team goes on beside a dashboard.")
    ] = False,
    port: Annotated[
        int | None,
        Parameter(
            validator=Number(gte=0, lte=65_535), help="The port of the dashboard; by default 8765, or else a free one."
        ),
    ] = None,
) -> None:
    """Watch agents at work: they are killed in the middle, start again, recover and finish; then verify the log.

    On a terminal it ends with the address of a dashboard, beside which they go on working until Ctrl-C.
    """
    import anyio

    from .demo import demo

    anyio.run(partial(demo, store, tickets=tickets, pace=pace, serves=not no_serve, port=port))


app.command(approvals)
app.command(dead_letters)
app.command(erase)
app.command(export)
app.command(grade)
app.command(keys)
app.command(log)
app.command(mcp)
app.command(prove)
app.command(query)
app.command(redact)
app.command(report)
app.command(run_verb, name="run")
app.command(spool)
app.command(hook)
app.command(sql)
app.command(tiles)
app.command(webhook)
app.command(witness_verb, name="witness")
app.command(completion_of(app))
unwrap_help(app)


@app.meta.default
def _launch(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    token_file: Annotated[
        str | None, Parameter(help="For the address of a hub: the file with the token; else HUBWIRE_TOKEN has it.")
    ] = None,
    debug: Annotated[bool, Parameter(help="Show the traceback of an error, and log the retries.")] = False,
) -> int:
    if token_file is not None and tokens[:1] == ("serve",):
        tokens = (*tokens, "--token-file", token_file)  # it makes the file that all others read
    given_token_file.set(token_file)
    command, bound, _ = app.parse_args(tokens, exit_on_error=False, print_error=False)
    log_to_stderr(debug=debug)
    try:
        code = command(*bound.args, **bound.kwargs)
    except Exception as error:  # noqa: BLE001 - the last place where an error can become one line
        if debug:
            traceback.print_exc()
        return failed(error)
    return code if isinstance(code, int) else 0


def run(arguments: Sequence[str]) -> int:
    """Run a verb; return the exit code. Raises ``BrokenPipeError`` and ``KeyboardInterrupt``."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        launch, bound, _ = app.meta.parse_args(arguments, exit_on_error=False, print_error=False)
        return launch(*bound.args, **bound.kwargs) or 0
    except CycloptsError as error:
        complain(misuse(error))
        return MISUSED
    except OSError as error:  # of what is printed without a verb, as the help
        return failed(error)
