"""Show how far the code is from what a reader takes in at one go: a number, a target and the worst places for each.

Taste, not law: the exit code is always 0. A target is what code bases that people admire stay below. A number that gets
better while the code reads worse is no gain.
"""

from __future__ import annotations

import ast
import graphlib
import io
import re
import statistics
import sys
import textwrap
import tokenize
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

ROOT = Path(__file__).resolve().parent.parent
IMPORT_NAMES = {"hub": "hubwire", "listeners": "hubwire.listeners", "stores": "hubwire.stores"}

METHODS_MIN = 5  # a field is shared if at least so many methods touch it
REBOUND_SHARED_FIELDS_MAX = 2
SHARED_FIELDS_MAX = 5
CHAINS_PER_1000_LINES_MAX = 2.5
PRONOUNS_PER_1000_WORDS_MAX = 4.0
IMPORT_CHAIN_MAX = 27  # it was 28; those of other code bases are 7 to 20
FLOORS_MAX = 13  # it was 17
TEST_NAME_WORDS_MAX = 8
FILE_LINES_MAX = 400
TEST_FILE_LINES_MAX = 700
FUNCTION_LINES_MAX = 50

WORST_SHOWN = 5  # places; `make sizes ARGS=--all` shows all

PRONOUN = re.compile(
    r"\b(?:(?:no|some|any|every)(?:body|thing)|no one|(?:some|any|every)one|whoever|whom|whatever|whichever)\b",
    re.IGNORECASE,
)

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
N = TypeVar("N", bound=ast.AST)


def main(root: Path, *, shows_all: bool) -> None:
    package = [source for folder in IMPORT_NAMES for source in read(root / folder, root)]
    tests = list(read(root / "tests", root))
    print(*table(measures(package, tests), None if shows_all else WORST_SHOWN), sep="\n")


# --- what is read ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Source:
    """One file."""

    file: str
    """Its path below the root of the checkout."""
    text: str

    @property
    def lines(self) -> int:
        return self.text.count("\n")

    @property
    def module(self) -> str:
        """The name under which it is imported."""
        folder, _, inner = self.file.removesuffix(".py").partition("/")
        return ".".join([IMPORT_NAMES[folder], *inner.split("/")]).removesuffix(".__init__")

    @cached_property
    def nodes(self) -> Sequence[ast.AST]:
        """All nodes of its tree: walking it takes most of the time."""
        return list(ast.walk(ast.parse(self.text, self.file)))

    def nodes_of(self, kind: type[N]) -> Iterator[N]:
        return (node for node in self.nodes if isinstance(node, kind))

    @property
    def functions(self) -> Iterator[FunctionNode]:
        return (node for node in self.nodes if isinstance(node, FunctionNode))


def read(folder: Path, root: Path) -> Iterator[Source]:
    for path in sorted(folder.rglob("*.py")):
        yield Source(path.relative_to(root).as_posix(), path.read_text(encoding="utf-8"))


# --- what is shown --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Measure:
    """A line of the table."""

    what: str
    now: float
    target: float
    worst: Sequence[str] = ()
    """The places that account for it, the worst first."""
    shows_worst: bool = False
    """Whether they are shown even if the target is met."""


def measures(package: Sequence[Source], tests: Sequence[Source]) -> Iterator[Measure]:
    yield fields_of_classes(package, "fields rebound after __init__", REBOUND_SHARED_FIELDS_MAX, rebound=True)
    yield fields_of_classes(package, "fields of any sort", SHARED_FIELDS_MAX, rebound=False)
    yield chains_per_1000_lines(package)
    yield pronouns_per_1000_words(package)
    yield longest_import_chain(package)
    yield floors_of_rooms([source for source in package if source.file.startswith("hub/")])
    yield words_in_test_names(tests)
    yield long_files(package, "files", FILE_LINES_MAX)
    yield long_files(tests, "files of tests", TEST_FILE_LINES_MAX)
    yield long_functions(package)


def table(rows: Iterable[Measure], shown: int | None) -> Iterator[str]:
    """The lines of the table, with so many of the worst places of each measure, or all of them."""
    yield f"{'':64} {'now':>5}  {'target':>6}"
    for row in rows:
        met = row.now <= row.target
        yield f"{row.what:64} {row.now:5.3g}  {f'≤ {row.target:g}':>6}  {'ok' if met else 'over'}"
        if not met or row.shows_worst:
            for text in row.worst[:shown]:
                yield textwrap.fill(text, 118, initial_indent="    ", subsequent_indent=" " * 8)
            if shown is not None and len(row.worst) > shown:
                yield f"    … and {len(row.worst) - shown} more: make sizes ARGS=--all"


# --- classes --------------------------------------------------------------------------------------------------------


def fields_of_classes(sources: Sequence[Source], what: str, target: int, *, rebound: bool) -> Measure:
    """The number of such fields in the class that has the most; the worst are the classes over the target."""
    found: list[tuple[int, str]] = []
    for source in sources:
        for node in source.nodes_of(ast.ClassDef):
            fields = shared_fields(node, rebound=rebound)
            found.append((len(fields), f"{len(fields):2} {place(source, node)}: {', '.join(fields)}"))
    most = max((count for count, _ in found), default=0)
    return Measure(f"{what} that {METHODS_MIN} methods touch, in one class", most, target, over(found, target))


def shared_fields(node: ast.ClassDef, *, rebound: bool) -> list[str]:
    """The fields that enough methods touch, the most touched first; with ``rebound`` those that change after __init__.

    A field is what a method assigns to; among fields of any sort also what the class declares with an annotation.
    """
    touched: Counter[str] = Counter()
    fields: set[str] = set() if rebound else set(annotated_names(node))
    methods = list(instance_methods(node))
    for method in methods:
        attributes = list(attributes_of_self(method))
        touched.update({each.attr for each in attributes})
        if not rebound or method.name not in ("__init__", "__new__"):
            fields |= {each.attr for each in attributes if isinstance(each.ctx, ast.Store)}
    fields -= {each.name for each in node.body if isinstance(each, FunctionNode)}
    shared = [field for field in fields if touched[field] >= METHODS_MIN]
    return sorted(shared, key=lambda field: (-touched[field], field))


def annotated_names(node: ast.ClassDef) -> Iterator[str]:
    for each in node.body:
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name):
            yield each.target.id


def instance_methods(node: ast.ClassDef) -> Iterator[FunctionNode]:
    for each in node.body:
        if isinstance(each, FunctionNode) and (each.args.posonlyargs or each.args.args):
            decorators = {name.id for name in each.decorator_list if isinstance(name, ast.Name)}
            if not decorators & {"staticmethod", "classmethod"}:
                yield each


def attributes_of_self(method: FunctionNode) -> Iterator[ast.Attribute]:
    me = (method.args.posonlyargs + method.args.args)[0].arg
    for each in ast.walk(method):
        if isinstance(each, ast.Attribute) and isinstance(each.value, ast.Name) and each.value.id == me:
            yield each


# --- reaching through -----------------------------------------------------------------------------------------------


def chains_per_1000_lines(sources: Sequence[Source]) -> Measure:
    found = Counter(chain for source in sources for chain in chains(source.nodes))
    worst = [f"{count:3} {chain}" for chain, count in found.most_common()]
    per_1000 = 1000 * found.total() / max(1, sum(source.lines for source in sources))
    return Measure("chains like self.a.b.c in 1,000 lines", per_1000, CHAINS_PER_1000_LINES_MAX, worst)


def chains(nodes: Sequence[ast.AST]) -> Iterator[str]:
    """Attributes of an attribute of an attribute of ``self`` or ``hub``, each up to its last but one name."""
    attributes = [each for each in nodes if isinstance(each, ast.Attribute)]
    inner = {id(each.value) for each in attributes}
    for each in attributes:
        if id(each) not in inner:
            names: list[str] = []
            node: ast.expr = each
            while isinstance(node, ast.Attribute):
                names.append(node.attr)
                node = node.value
            if isinstance(node, ast.Name) and node.id in ("self", "hub") and len(names) >= 3:
                yield ".".join([node.id, *reversed(names[1:])])


# --- prose ----------------------------------------------------------------------------------------------------------


def pronouns_per_1000_words(sources: Sequence[Source]) -> Measure:
    words, found, by_file = 0, Counter[str](), Counter[str]()
    for source in sources:
        prose = prose_of(source)
        words += len(prose.split())
        pronouns = indefinite_pronouns(prose)
        found += Counter(pronouns)
        by_file[source.file] = len(pronouns)
    worst = [", ".join(f"{word} {count}" for word, count in found.most_common())]
    worst += [f"{count:3} {file}" for file, count in by_file.most_common() if count]
    per_1000 = 1000 * found.total() / max(1, words)
    return Measure("indefinite pronouns in 1,000 words of prose", per_1000, PRONOUNS_PER_1000_WORDS_MAX, worst)


def prose_of(source: Source) -> str:
    """Its docstrings, those of attributes included, and its comments."""
    texts = [
        node.value.value
        for node in source.nodes_of(ast.Expr)
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    ]
    tokens = tokenize.generate_tokens(io.StringIO(source.text).readline)
    texts += [token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT]
    return " ".join(texts)


def indefinite_pronouns(prose: str) -> list[str]:
    return [match.group().lower() for match in PRONOUN.finditer(re.sub(r"\s+", " ", prose))]


# --- imports --------------------------------------------------------------------------------------------------------

Graph = Mapping[str, set[str]]


def longest_import_chain(sources: Sequence[Source]) -> Measure:
    """The number of modules on the longest way along imports, those in functions and for type checkers included."""
    return height("modules on the longest chain of imports", import_graph(sources), IMPORT_CHAIN_MAX)


def floors_of_rooms(sources: Sequence[Source]) -> Measure:
    """The number of floors of the hub if each room stands above those that it imports. A wing is one room.

    A file outside of the wings is a room, too. What imports from the root of the package stands above it.
    """
    rooms: dict[str, set[str]] = defaultdict(set)
    for module, imported in import_graph(sources, from_above=True).items():
        rooms[room_of(module)] |= {room_of(each) for each in imported} - {room_of(module)}
    return height("floors of the hub: its wings, and the files beside them", rooms, FLOORS_MAX)


def room_of(module: str) -> str:
    return ".".join(module.split(".")[:2])


def height(what: str, graph: Graph, target: int) -> Measure:
    try:
        chain = longest_chain(graph)
    except graphlib.CycleError as error:
        return Measure(what, float("inf"), target, [" is imported by ".join(error.args[1])])
    return Measure(what, len(chain), target, [" > ".join(each.removeprefix("hubwire.") for each in chain)], True)


def longest_chain(graph: Graph) -> list[str]:
    """One of the longest ways along the graph. Raises ``CycleError`` if it goes in a circle."""
    chains: dict[str, list[str]] = {}
    for node in graphlib.TopologicalSorter(graph).static_order():
        below = max((chains[each] for each in sorted(graph.get(node, ()))), key=len, default=[])
        chains[node] = [node, *below]
    return max((chains[node] for node in sorted(chains)), key=len, default=[])


def import_graph(sources: Sequence[Source], *, from_above: bool = False) -> dict[str, set[str]]:
    """Which module imports which; what a module imports from a package that it is in counts only if ``from_above``."""
    modules = {source.module for source in sources}
    graph: dict[str, set[str]] = {}
    for source in sources:
        found = {nearest(name, modules) for name in imported_names(source)} - {"", source.module}
        graph[source.module] = {each for each in found if from_above or not source.module.startswith(f"{each}.")}
    return graph


def imported_names(source: Source) -> Iterator[str]:
    package = source.module.split(".")
    if not source.file.endswith("__init__.py"):
        package.pop()
    for plain in source.nodes_of(ast.Import):
        yield from (alias.name for alias in plain.names)
    for node in source.nodes_of(ast.ImportFrom):
        above = package[: len(package) + 1 - node.level] if node.level else []
        origin = ".".join([*above, *filter(None, [node.module])])
        yield from (f"{origin}.{alias.name}" for alias in node.names)


def nearest(name: str, modules: set[str]) -> str:
    """The module that a dotted name leads into; empty if it is not ours."""
    while name and name not in modules:
        name = name.rpartition(".")[0]
    return name


# --- tests, files, functions ----------------------------------------------------------------------------------------


def words_in_test_names(tests: Sequence[Source]) -> Measure:
    names = [
        (words_in(node.name), place(source, node))
        for source in tests
        for node in source.functions
        if node.name.startswith("test")
    ]
    median = statistics.median([words for words, _ in names] or [0])
    worst = [f"{words:2} {where}" for words, where in sorted(names, reverse=True)]
    return Measure("words in the name of a test, in the median", median, TEST_NAME_WORDS_MAX, worst)


def words_in(name: str) -> int:
    """The words of a name without ``test``."""
    return len(name.split("_")) - 1


def long_files(sources: Sequence[Source], what: str, target: int) -> Measure:
    found = [(source.lines, f"{source.lines:5} {source.file}") for source in sources]
    worst = over(found, target)
    return Measure(f"{what} of more than {target} lines", len(worst), 0, worst)


def long_functions(sources: Sequence[Source]) -> Measure:
    found: list[tuple[int, str]] = []
    for source in sources:
        for node in source.functions:
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            found.append((lines, f"{lines:5} {place(source, node)}"))
    worst = over(found, FUNCTION_LINES_MAX)
    return Measure(f"functions of more than {FUNCTION_LINES_MAX} lines", len(worst), 0, worst)


def place(source: Source, node: FunctionNode | ast.ClassDef) -> str:
    return f"{source.file}:{node.lineno} {node.name}"


def over(found: Iterable[tuple[int, str]], target: int) -> list[str]:
    """What is over the target, the worst first."""
    return [text for size, text in sorted(found, key=lambda each: (-each[0], each[1])) if size > target]


if __name__ == "__main__":
    main(ROOT, shows_all="--all" in sys.argv)
