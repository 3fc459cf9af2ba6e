"""The house rules that a machine can check: what reads the house, and a function for each rule."""

from __future__ import annotations

import ast
import graphlib
import re
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import attrs

ROOT = Path(__file__).resolve().parents[2]


IMPORT_NAMES = {"hub": "hubwire", "listeners": "hubwire.listeners", "stores": "hubwire.stores"}


# --- the house ------------------------------------------------------------------------------------------------------


@attrs.frozen
class Import:
    line: int
    relative: bool
    target: str
    """The module of the house that is imported, or the dotted name of what is not ours."""
    name: str | None = None
    """What is taken out of that module."""


@attrs.frozen
class Module:
    file: str
    name: str
    tree: ast.Module

    @property
    def folder(self) -> str:
        return self.file.partition("/")[0]

    @property
    def package(self) -> str:
        """What a relative import of one dot refers to."""
        return self.name if self.file.endswith("__init__.py") else self.name.rpartition(".")[0]

    def within(self, package: str) -> bool:
        return self.name == package or self.name.startswith(f"{package}.")


House = Mapping[str, Module]


Rule = Callable[[House], list[str]]


def read_house(root: Path) -> House:
    """Return the modules of the three folders by import name."""
    house = {}
    for folder, import_name in IMPORT_NAMES.items():
        for path in sorted((root / folder).rglob("*.py")):
            inner = path.relative_to(root / folder).with_suffix("").parts
            if "node_modules" in inner:
                continue
            name = ".".join((import_name, *inner)).removesuffix(".__init__")
            file = path.relative_to(root).as_posix()
            house[name] = Module(file=file, name=name, tree=ast.parse(path.read_text(encoding="utf-8"), file))
    return house


def imports(module: Module, house: House) -> Iterator[Import]:
    """Every import, wherever it stands: in a function and for the type checker, too.

    ``from .events import Event`` imports ``hubwire.events``, ``from . import events`` the same. That Python also runs
    the ``__init__`` of every package on the way is not counted: it is no knowledge of what stands in there.
    """
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(node.lineno, relative=False, target=alias.name)
        elif isinstance(node, ast.ImportFrom):
            origin = node.module or ""
            if node.level:
                package = module.package.split(".")
                origin = ".".join([*package[: len(package) + 1 - node.level], *filter(None, [node.module])])
            for alias in node.names:
                if (submodule := f"{origin}.{alias.name}") in house:
                    yield Import(node.lineno, relative=node.level > 0, target=submodule)
                else:
                    yield Import(node.lineno, relative=node.level > 0, target=origin, name=alias.name)


def inner_imports(house: House) -> Iterator[tuple[Module, Import, Module]]:
    for module in house.values():
        for imported in imports(module, house):
            if target := house.get(imported.target):
                yield module, imported, target


# --- what others have written ----------------------------------------------------------------------------------------


def declared() -> set[str]:
    """The import names of what a user installs: the dependencies, and the extras that are not for developing."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    not_theirs = {"docs", "frameworks", "lint", "test"}
    for_users = [extra for name, extra in project["optional-dependencies"].items() if name not in not_theirs]
    requirements = [requirement for some in (project["dependencies"], *for_users) for requirement in some]
    named = {re.split(r"[^A-Za-z0-9_-]", requirement)[0].replace("-", "_") for requirement in requirements}
    # Many packages of one name, and one whose name is not that of its package.
    named = {"opentelemetry" if name.startswith("opentelemetry_") else name for name in named}
    return {name.removesuffix("_py") for name in named}


def undeclared_imports(house: House) -> list[str]:
    known = declared() | sys.stdlib_module_names | {"annotationlib", "hubwire"}  # the former is there from 3.14 on
    return [
        f"{module.file}:{imported.line} imports {top}, which no user is told to install"
        for module in house.values()
        for imported in imports(module, house)
        if (top := imported.target.partition(".")[0]) not in known
    ]


# --- arrows ---------------------------------------------------------------------------------------------------------


OF_THE_COMMAND = ("hubwire.__main__", "hubwire.cli")
PROGRAMS = ("hubwire.cli", "hubwire.testing._runtime_child")
"""Start at the top, and are imported by nothing below."""


def wrong_arrows(house: House) -> list[str]:
    found = []
    for module, imported, target in inner_imports(house):
        if module.folder == "hub":
            right = target.folder == "hub" or any(map(module.within, PROGRAMS))
        else:
            right = target.folder in ("hub", module.folder)
        if not right or (target.within("hubwire.cli") and not any(map(module.within, OF_THE_COMMAND))):
            found.append(f"{module.file}:{imported.line} may not import {target.name}")
    return found


def foreign_privates(house: House) -> list[str]:
    found = []
    for module, imported, target in inner_imports(house):
        path = [*target.name.split("."), imported.name or ""]
        if module.folder != target.folder and any(map(private, path)):
            found.append(f"{module.file}:{imported.line} imports {'.'.join(path).rstrip('.')}, which is private")
    return found


def private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def wrong_spellings(house: House) -> list[str]:
    return [
        f"{module.file}:{imported.line} imports {target.name}: inside a package relative, across packages absolute"
        for module, imported, target in inner_imports(house)
        if imported.relative != (module.folder == target.folder)
    ]


def cycles(house: House) -> list[str]:
    """Return one cycle, if there is any: mending it may mend the others."""
    sorter: graphlib.TopologicalSorter[str] = graphlib.TopologicalSorter()
    for module, _, target in inner_imports(house):
        sorter.add(module.name, target.name)
    try:
        sorter.prepare()
    except graphlib.CycleError as error:
        return [" is imported by ".join(error.args[1])]
    return []


STOREYS: tuple[tuple[str, ...], ...] = (
    ("hubwire.__main__",),
    ("hubwire.cli", "hubwire.testing"),
    ("hubwire.runtimes",),
    ("hubwire",),
    ("hubwire.cluster",),
    ("hubwire._cluster",),
    ("hubwire.thread", "hubwire.actors", "hubwire.challenges", "hubwire.spool", "hubwire.standby"),
    ("hubwire._hub",),
    ("hubwire._tenant", "hubwire._forwarding"),
    ("hubwire._health", "hubwire._life", "hubwire._listening", "hubwire._ways", "hubwire._acting"),
    ("hubwire._starting", "hubwire._stopping"),
    ("hubwire._following",),
    ("hubwire._face", "hubwire._face_shown"),
    ("hubwire._parts", "hubwire._arguments"),
    ("hubwire._actors", "hubwire._feeds"),
    ("hubwire._commands",),
    ("hubwire.functions",),
    ("hubwire._delivery",),
    ("hubwire._journal",),
    ("hubwire._commit",),
    ("hubwire.exports", "hubwire.outbound"),
    ("hubwire.words",),
    (
        "hubwire.addresses",
        "hubwire.approvals",
        "hubwire.arbiter",
        "hubwire.channel_types",
        "hubwire.cloudevents",
        "hubwire.expectations",
        "hubwire.grading",
        "hubwire.guests",
        "hubwire.messages",
        "hubwire.query",
        "hubwire.validation",
    ),
    ("hubwire.risk", "hubwire.board", "hubwire.erasable", "hubwire._gists"),
    ("hubwire._state", "hubwire._foreign", "hubwire.log"),
    ("hubwire.text_store", "hubwire.listener", "hubwire.redaction", "hubwire.asgi"),
    ("hubwire.tracing",),
    ("hubwire.codec", "hubwire.context", "hubwire.coverage", "hubwire.proof", "hubwire.provenance"),
    ("hubwire.clock", "hubwire.limits"),
    (
        "hubwire.ports",
        "hubwire.patterns",
        "hubwire.position",
        "hubwire._gone",
        "hubwire._head",
        "hubwire._late",
        "hubwire._version",
    ),
    ("hubwire.events",),
    (
        "hubwire.errors",
        "hubwire.forks",
        "hubwire._baggage",
        "hubwire.late_modules",
        "hubwire.late_types",
        "hubwire.own_log",
        "hubwire.waking",
        "hubwire._reraise",
        "hubwire._values",
    ),
    ("hubwire._fault",),
)
"""The wings and the public files of the hub, from the roof down. Places side by side do not know each other."""


def upward_arrows(house: House) -> list[str]:
    found = []
    for module, imported, target in inner_imports(house):
        if module.folder != "hub" or target.folder != "hub":
            continue
        (upper, place), (lower, other) = storey_of(module), storey_of(target)
        if place == "":
            found.append(f"{module.file} has no place in STOREYS")
        elif lower < upper or (lower == upper and other != place):
            found.append(
                f"{module.file}:{imported.line} imports {target.name}: {other or target.name} is not below {place}"
            )
    return found


def storey_of(module: Module) -> tuple[int, str]:
    """Return the number of the storey in which a module stands, and the place in it; the root of the package is one."""
    for number, places in enumerate(STOREYS):
        for place in places:
            if module.name == place or (place != "hubwire" and module.within(place)):
                return number, place
    return len(STOREYS), ""


# What has a clock, a die, a thread or a descriptor in it: `_state` gets ids and the time as arguments.
IMPURE = frozenset(
    {"asyncio", "concurrent", "os", "random", "secrets", "select", "socket", "subprocess", "threading", "time", "uuid"}
)


ASYNC = (ast.AsyncFunctionDef, ast.AsyncFor, ast.AsyncWith, ast.Await)


def impurities_of_state(house: House) -> list[str]:
    found = []
    for module in house.values():
        if not module.within("hubwire._state"):
            continue
        for imported in imports(module, house):
            if target := house.get(imported.target):
                pure = any(
                    map(
                        target.within,
                        ("hubwire._state", "hubwire.events", "hubwire.errors", "hubwire.patterns", "hubwire._values"),
                    )
                )
            else:
                top = imported.target.partition(".")[0]
                pure = top in {"attr", "attrs"} or (top in sys.stdlib_module_names and top not in IMPURE)
            if not pure:
                found.append(f"{module.file}:{imported.line} imports {imported.target}: not events, errors or attrs")
        for node in ast.walk(module.tree):
            if isinstance(node, ASYNC):
                found.append(f"{module.file}:{node.lineno} is async: a decision never suspends")
            elif isinstance(node, ast.comprehension) and node.is_async:
                found.append(f"{module.file}:{node.target.lineno} is async: a decision never suspends")
    return found


# --- banned ---------------------------------------------------------------------------------------------------------


@attrs.frozen
class Ban:
    what: frozenset[str]
    """Dotted names as their module calls them; with a dot in front, an attribute of anything."""
    instead: str
    allowed: Mapping[str, str]
    """The files and folders that may, and why."""


BANS = (
    Ban(
        what=frozenset(
            {
                "datetime.date.today",
                "datetime.datetime.now",
                "datetime.datetime.today",
                "datetime.datetime.utcnow",
                "time.time",
                "time.time_ns",
            }
        ),
        instead="ask the Clock, so that a test can move the time",
        allowed={
            "hub/clock.py": "is the Clock",
            "hub/cli/hooking": "a hook is a process of some milliseconds, and does not wait for the import of a Clock",
            "hub/spool/_writing.py": "writes for hooks; Spool gives it the Clock of its program",
        },
    ),
    Ban(
        what=frozenset({"asyncio.create_task", "asyncio.ensure_future", ".create_task", ".ensure_future"}),
        instead="start it in a task group, so that its exception has an owner; where none fits, by start_later",
        allowed={"hub/testing": "a contract suite starts calls side by side, and cancels them"},
    ),
    Ban(
        what=frozenset({"start_later", "hubwire.waking.start_later"}),
        instead="start it in a task group, so that its exception has an owner",
        allowed={
            "hub/_life.py": "a hub outlives the call that starts it; whoever closes it waits for its one task",
            "hub/_commit/threads.py": "what a call from another thread raises belongs to its caller's future",
            "hub/_forwarding/route.py": "who is cancelled does not wait until the hub that leads is told of it",
            "hub/standby.py": "a lease is renewed beside the block that holds it, whose exceptions are the block's own",
            "hub/_feeds/feeds.py": "where sniffio is installed, no group takes a task from a callback of the loop",
            "hub/_foreign/tasks.py": "a task group would wait for a guest that ends never; its failures have a caller",
            "hub/log": "a write under way outlives its cancelled caller, and all who wait for it get its failure",
            "listeners/dashboard": "what it folds outlives the request that begins it; aclose() waits for it",
            "listeners/webhook/_courier.py": "the hub hands over to its thread, and gets what a delivery raises",
            "listeners/audit": "an audit log works without a hub, and calls its subscribers from a task of its own",
            "stores": "a store calls those who watch it from a task of its own, and has no task group to live in",
        },
    ),
    Ban(
        what=frozenset({".splitlines"}),
        instead='split bytes on b"\\n": splitlines() cuts at U+2028 too',
        allowed={},
    ),
    Ban(
        what=frozenset({"print", "builtins.print"}),
        instead="return it, or log it by OwnLog: a library does not write to the user's terminal",
        allowed={"hub/cli": "writes to the user's terminal"},
    ),
)


def banned(house: House) -> list[str]:
    found = []
    for module in house.values():
        origins = origins_of_names(module)
        bans = [
            ban
            for ban in BANS
            if not any(module.file == place or module.file.startswith(f"{place}/") for place in ban.allowed)
        ]
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
                name = dotted(node, origins)
                spellings = {name, f".{name.rpartition('.')[2]}"} if isinstance(node, ast.Attribute) else {name}
                found += [
                    f"{module.file}:{node.lineno} uses {name}: {ban.instead}" for ban in bans if ban.what & spellings
                ]
    return found


def origins_of_names(module: Module) -> dict[str, str]:
    """What the imported names of a module are called at home: ``{"dt": "datetime", "now": "time.time"}``."""
    origins: dict[str, str] = {}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            origins |= {alias.asname: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            origins |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return origins


def dotted(node: ast.expr, origins: Mapping[str, str]) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value, origins)}.{node.attr}"
    if isinstance(node, ast.Name):
        return origins.get(node.id, node.id)
    return "…"


def swallowed_exceptions(house: House) -> list[str]:
    found = []
    for module in house.values():
        origins = origins_of_names(module)
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ExceptHandler):
                silent = all(
                    isinstance(statement, ast.Pass | ast.Continue) or is_text(statement) for statement in node.body
                )
                swallows = silent and (node.type is None or is_broad(node.type))
            elif isinstance(node, ast.Call):
                suppresses = dotted(node.func, origins) == "contextlib.suppress"
                swallows = suppresses and any(map(is_broad, node.args))
            else:
                continue
            if swallows:
                found.append(f"{module.file}:{node.lineno} swallows every exception: name those that may be, or tell")
    return found


def is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def is_broad(exception: ast.expr) -> bool:
    if isinstance(exception, ast.Tuple):
        return any(map(is_broad, exception.elts))
    return isinstance(exception, ast.Name) and exception.id in ("Exception", "BaseException")


# --- public names ---------------------------------------------------------------------------------------------------


def wrong_exports(house: House) -> list[str]:
    found = []
    for module in house.values():
        bound = set(bound_names(module.tree.body))
        if not bound or any(part.startswith("_") for part in module.name.split(".")) or module.name == "hubwire":
            continue  # the names of the package itself are made from a table, which tests/test_import.py holds
        exported = exports(module.tree)
        if exported is None:
            found.append(f"{module.file} is public and has no __all__ that is a tuple of strings")
        else:
            found += [f"{module.file} exports {name}, which it does not have" for name in exported if name not in bound]
    return found


def exports(tree: ast.Module) -> list[str] | None:
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(dotted(target, {}) == "__all__" for target in node.targets):
            elements = node.value.elts if isinstance(node.value, ast.Tuple) else [ast.Constant(None)]
            constants = (element.value for element in elements if isinstance(element, ast.Constant))
            names = [constant for constant in constants if isinstance(constant, str)]
            return names if len(names) == len(elements) else None
    return None


def bound_names(body: Iterable[ast.stmt]) -> Iterator[str]:
    """The names that a module's statements bind, also below ``if``, ``try`` and ``with``."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Import | ast.ImportFrom):
            if getattr(node, "module", None) != "__future__":
                yield from (alias.asname or alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.If | ast.Try | ast.With):
            for block in ("body", "orelse", "finalbody", "handlers"):
                for inner in getattr(node, block, []):
                    yield from bound_names(inner.body if isinstance(inner, ast.ExceptHandler) else [inner])
        else:
            yield from (
                child.id for child in ast.walk(node) if isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store)
            )


# --- the wheel ------------------------------------------------------------------------------------------------------


def wrong_shipment(root: Path, installed: Path) -> list[str]:
    folders = {"hub": installed, "listeners": installed / "listeners", "stores": installed / "stores"}
    expected = {place / file for folder, place in folders.items() for file in files_below(root / folder)}
    shipped = {installed / file for file in files_below(installed)}
    return [f"not in the wheel: {file.relative_to(installed)}" for file in sorted(expected - shipped)] + [
        f"in the wheel alone: {file.relative_to(installed)}" for file in sorted(shipped - expected)
    ]


# The page of the dashboard: the build bundles what is in `web` into `_page`, which git does not know.
PAGE_FOLDERS = {("dashboard", "web"), ("dashboard", "_page")}


def files_below(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        inner = path.relative_to(folder)
        if PAGE_FOLDERS & {inner.parts[:2], inner.parts[1:3]}:
            continue
        if path.is_file() and not any(part == "__pycache__" or part.startswith(".") for part in inner.parts):
            yield inner
