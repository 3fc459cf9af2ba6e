"""What importing the package gives, and what it costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import hubwire
from hubwire.events._late import LATE

PUBLIC: tuple[str, ...] = vars(hubwire)["__all__"]  # type checkers do not see it: they read the imports
TREE = ast.parse(Path(hubwire.__file__).read_text())


def test_lazy_names_match_the_typed_imports() -> None:
    """Every public name is imported from where type checkers look for it."""
    block = next(each for each in TREE.body if isinstance(each, ast.If))
    imports = [each for each in block.body if isinstance(each, ast.ImportFrom)]
    checked = {alias.name: each.module for each in imports for alias in each.names if alias.asname == alias.name}
    assert checked == hubwire._MODULES
    assert sorted(checked) == sorted(PUBLIC)
    for name in PUBLIC:
        assert getattr(hubwire, name) is getattr(sys.modules[f"hubwire.{checked[name]}"], name)


def test_every_public_module_is_an_attribute() -> None:
    files = {path.stem for path in Path(hubwire.__file__).parent.iterdir() if not path.stem.startswith("_")}
    elsewhere = {"cli", "py", "testing", "listeners", "stores"}
    assert sorted(files - elsewhere) == sorted(hubwire._SUBMODULES)
    for name in hubwire._SUBMODULES:
        assert getattr(hubwire, name) is sys.modules[f"hubwire.{name}"]


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'hubwire' has no attribute 'Hubb'"):
        hubwire.Hubb  # type: ignore[attr-defined]  # noqa: B018 - looking it up is the point
    assert {"Hub", "errors", "__all__"} <= set(dir(hubwire))


@pytest.mark.parametrize("statement", ["import hubwire", "from hubwire.stores import FileStore", "import hubwire.log"])
def test_importing_a_part_does_not_import_the_hub(statement: str) -> None:
    program = f"import sys; {statement}; print([name for name in sys.modules if name.startswith('hubwire._hub')])"
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


IN_MEMORY = "import asyncio, hubwire\nasync def main():\n    async with hubwire.Hub(): pass\nasyncio.run(main())"
LATER = {
    "hubwire.log",  # and what is above it, with the first journal
    "hubwire._journal.store_journal",
    "hubwire._journal.upkeep",
    "hubwire._journal.archive",
    "hubwire._actors.registry",  # and what is below it, with the first actor
    "hubwire._actors.life",
    "hubwire._actors.turn",
    "hubwire.messages",
    "hubwire._following",  # with the first hub that follows
    *(f"hubwire._feeds.{module}" for module in ("adapted", "failures", "feeding", "feeds", "handle", "states")),
    "hubwire._cluster",
    "hubwire.cluster",
    "hubwire._forwarding",  # with the first hub that is connected to another
    "hubwire._commands.batches",  # and what is below it, with the first batch
    "hubwire._commit.batches",
    *(f"hubwire.events.{module}" for module in LATE),  # with the first event of their kinds
    "hubwire._commands.validating",  # and what is below it, for a hub with rules
    "hubwire.validation",
    "jsonschema_rs",
    "hubwire._commands.approvals",  # and what is below it, with the first command on approvals
    "hubwire._delivery.letter",  # and what is below it, with the first dead letter
    "hubwire._delivery.letter_box",
    "hubwire._delivery.letter_files",
    "hubwire._delivery.letter_lines",
    "hubwire._commands.dead_letters",
    "hubwire._commands.letter_requests",
    "hubwire._commands.retrying",
    "hubwire.approvals",
    "hubwire.risk",
    "hubwire.challenges",
    "hubwire.spool",
    "hubwire.query",  # and what is below it, with the first query
    "hubwire.redaction",  # and RE2, with the first listener or hub that redacts, or the first line of the log
    "re2",
    "hubwire.exports",
    "hubwire.grading",
    "hubwire.coverage",
    "hubwire.outbound",
    "duckdb",
    "hubwire.thread",
    "hubwire._tenant",  # and what is below it, with the first tenant
    "hubwire._commands.tenancy",
    "hubwire._commit.meter",
    "hubwire._state.owners",
    "hubwire.addresses",
    "hubwire.cloudevents",
    "hubwire.board",
    "hubwire.functions",  # with the first chain of functions
    "hubwire._delivery.chained",
    "hubwire._delivery.side_by_side",  # with the first function that handles several events at once
    "hubwire._baggage",
    "hubwire.asgi",
    "hubwire.tracing",
    "opentelemetry",
    "prometheus_client",
    "cattrs",
    "difflib",
}
"""What few programs need: the others would wait for it when they start."""


@pytest.mark.parametrize("program", ["from hubwire import Hub", IN_MEMORY], ids=["imported", "run in memory"])
def test_a_hub_imports_later_what_few_need(program: str) -> None:
    imported = f"import sys\n{program}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-P", "-c", imported], capture_output=True, text=True, check=True)
    assert LATER.intersection(done.stdout.split()) == set()
