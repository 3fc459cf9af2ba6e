"""`make sizes` counts what it says, on snippets whose numbers are known."""

from __future__ import annotations

import ast
import runpy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

SIZES: dict[str, Any] = runpy.run_path(str(Path(__file__).parents[1] / ".ci" / "sizes.py"))


def sources(files: Mapping[str, str]) -> list[Any]:
    """Sources of files of the hub, named without folder and suffix."""
    return [SIZES["Source"](f"hub/{name}.py", text) for name, text in files.items()]


CLASS = """
class Busy:
    declared: int = 0

    def __init__(self): self.fixed, self.moving, self.set_once, self.a = 1, 2, 3, None
    def a(self): return self.fixed, self.moving, self.declared, self.set_once
    def b(self): return self.fixed, self.moving, self.declared, self.set_once, self.a
    def c(self): return self.fixed, self.moving, self.declared, self.set_once, self.a()
    def d(self): return self.fixed, self.declared, self.a(), self.moving.inner
    def e(me): me.moving = me.declared, me.a(), me.a(), me.a()
    @staticmethod
    def f(self): return self.set_once, self.set_once
    @classmethod
    def g(self): return self.set_once
"""


@pytest.mark.parametrize(("rebound", "fields"), [(False, ["moving", "declared", "fixed"]), (True, ["moving"])])
def test_shared_fields_are_touched_by_five_methods(rebound: bool, fields: list[str]) -> None:
    """A constructor counts as a method; methods are not fields, and static and class methods touch none."""
    (node,) = ast.parse(CLASS).body
    assert SIZES["shared_fields"](node, rebound=rebound) == fields


def test_classes_over_the_target_are_listed() -> None:
    busy = "".join(f"\n        self.f{field} = 1" for field in range(3))
    text = "class Busy:" + "".join(f"\n    def m{method}(self):{busy}" for method in range(5))
    found = SIZES["fields_of_classes"](sources({"busy": text, "idle": "class Idle: ..."}), "fields", 2, rebound=True)
    assert (found.now, found.worst) == (3, [" 3 hub/busy.py:1 Busy: f0, f1, f2"])


@pytest.mark.parametrize(
    ("code", "chains"),
    [
        ("self.a.b.c", ["self.a.b"]),
        ("self.a.b.c.d()", ["self.a.b.c"]),
        ("hub.a.b.c", ["hub.a.b"]),
        ("self.a.b", []),
        ("other.a.b.c", []),
        ("self.a().b.c", []),
        ("self.a.b.c = self.d.e.f", ["self.a.b", "self.d.e"]),
    ],
)
def test_chains_reach_through_two_objects(code: str, chains: list[str]) -> None:
    assert list(SIZES["chains"](list(ast.walk(ast.parse(code))))) == chains


def test_chains_count_per_thousand_lines() -> None:
    found = SIZES["chains_per_1000_lines"](sources({"one": "self.a.b.c\nself.a.b.d\n" + "\n" * 498}))
    assert (found.now, found.worst) == (4.0, ["  2 self.a.b"])


def test_prose_is_docstrings_and_comments() -> None:
    (source,) = sources({"one": '"""Nobody."""\nx = 1  # no one\n"""About x."""\ns = "anything"\n'})
    assert SIZES["prose_of"](source) == "Nobody. About x. no one"


@pytest.mark.parametrize(
    ("prose", "pronouns"),
    [
        ("Nobody asks whom", ["nobody", "whom"]),
        ("no\n   one and no ones", ["no one"]),
        ("everything, something; whoever.", ["everything", "something", "whoever"]),
        ("a nothingness; anyone's; everyone", ["anyone", "everyone"]),
        ("no body, some thing, one, body", []),
    ],
)
def test_indefinite_pronouns_are_whole_words(prose: str, pronouns: list[str]) -> None:
    assert SIZES["indefinite_pronouns"](prose) == pronouns


def test_pronouns_count_per_thousand_words() -> None:
    found = SIZES["pronouns_per_1000_words"](sources({"one": f'"""Nobody {"word " * 239}"""', "two": "# word\n" * 10}))
    assert found.now == 4.0
    assert found.worst == ["nobody 1", "  1 hub/one.py"]


HUB = {
    "__init__": "if TYPE_CHECKING:\n    from ._top import Top",
    "_top": "def f():\n    from .wing import part",
    "wing/__init__": "from . import part",
    "wing/part": "import json\nfrom ..errors import HubError\nfrom .. import errors",
    "errors": "",
    "cli/__init__": "from .. import Top\nfrom hubwire.errors import HubError",
}


def test_the_longest_chain_counts_every_import() -> None:
    """Those in functions and for type checkers count, and a package around the module does not."""
    found = SIZES["longest_import_chain"](sources(HUB))
    assert (found.now, found.worst) == (4, ["hubwire > _top > wing.part > errors"])


def test_floors_count_a_wing_once() -> None:
    found = SIZES["floors_of_rooms"](sources(HUB))
    assert (found.now, found.worst) == (5, ["cli > hubwire > _top > wing > errors"])


def test_a_circle_of_imports_has_no_height() -> None:
    found = SIZES["longest_import_chain"](sources({"a": "from . import b", "b": "from .a import x"}))
    assert found.now == float("inf")
    assert "hubwire.a is imported by hubwire.b" in found.worst[0]


def test_names_count_without_the_word_test() -> None:
    found = SIZES["words_in_test_names"](
        sources({"t": "def test_a_b(): ...\nasync def test_c(): ...\ndef helper_a(): ..."})
    )
    assert (found.now, found.worst) == (1.5, [" 2 hub/t.py:1 test_a_b", " 1 hub/t.py:2 test_c"])


def test_long_files_and_functions_are_listed() -> None:
    long = "def long():\n" + "    x = 1\n" * 50 + "def short():\n" + "    x = 1\n" * 49
    assert SIZES["long_functions"](sources({"one": long})).worst == ["   51 hub/one.py:1 long"]
    files = SIZES["long_files"](sources({"one": "x = 1\n" * 101, "two": "x = 1\n" * 100}), "files", 100)
    assert (files.what, files.now, files.worst) == ("files of more than 100 lines", 1, ["  101 hub/one.py"])


def test_the_table_shows_what_is_over_its_target() -> None:
    measure = SIZES["Measure"]
    rows = [measure("good", 1, 2, ["hidden"]), measure("bad", 3.14159, 2.5, ["a", "b", "c"])]
    _, good, bad, *places = SIZES["table"](rows, 2)
    assert good.split() == ["good", "1", "≤", "2", "ok"]
    assert bad.split() == ["bad", "3.14", "≤", "2.5", "over"]
    assert [place.strip() for place in places] == ["a", "b", "… and 1 more: make sizes ARGS=--all"]
    assert [line.strip() for line in SIZES["table"](rows, None)][-1] == "c"


def test_a_checkout_is_measured_in_ten_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in ("hub/events", "listeners", "tests"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "hub/events/tasks.py").write_text("from ..errors import HubError")
    (tmp_path / "hub/errors.py").write_text("class HubError(Exception): ...")
    (tmp_path / "listeners/live.py").write_text("from hubwire.events.tasks import Task")
    (tmp_path / "tests/test_live.py").write_text("def test_it_is_live(): ...")
    SIZES["main"](tmp_path, shows_all=False)
    printed = capsys.readouterr().out
    assert printed.count(" ok\n") == 10
    assert "listeners.live > events.tasks > errors\n" in printed
    assert "words in the name of a test, in the median                           3 " in printed
