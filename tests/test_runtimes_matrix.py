"""`make test-runtimes`: which versions and tests it takes, what it shows; and the page of versions fits the extras."""

from __future__ import annotations

import importlib.util
import re
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
EXTRAS: dict[str, list[str]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


@pytest.fixture(scope="module")
def runner() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / ".ci"))
        spec = importlib.util.spec_from_file_location("runner_of_runtimes", ROOT / ".ci" / "test_runtimes.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        patch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
        return module


def known(runner: ModuleType) -> list[str]:
    names: list[str] = runner.runtimes(EXTRAS, (file.stem for file in (ROOT / "tests").glob("test_runtime_*.py")))
    return sorted(names, key=len, reverse=True)


@pytest.mark.parametrize(
    ("requirement", "there", "taken"),
    [
        ("x>=1.0,<2", ["2.0.0", "1.10.0", "1.2.0", "1.0.1", "1.0.0", "0.9"], "x==1.0.0"),
        ("x>=4", ["4.2.3", "4.0.1", "3.9"], "x==4.0.1"),
        ("x[y-z]>=1.2", ["1.3.0", "1.2.0", "1.2.0rc1"], "x[y-z]==1.2.0"),
        ("x>=1.1", ["1.0"], "x==1.1"),
        ("x>=1.1", [], "x==1.1"),
        ("x<1", ["0.9"], "x<1"),
    ],
)
def test_the_lowest_is_the_first_that_is_allowed(
    runner: ModuleType, requirement: str, there: list[str], taken: str
) -> None:
    """Of `>=1.0` that is 1.0.0, and not the last of 1.0; where no index can be asked, it is the bound."""
    assert runner.pinned(requirement, there) == taken


def test_versions_compare_as_numbers(runner: ModuleType) -> None:
    assert runner.allowed("x>=1.2, <3", ["1.9", "1.10", "1.2.0", "3.0.0", "2.0.0"]) == ["1.2.0", "1.9", "1.10", "2.0.0"]


def test_each_file_of_a_runtime_is_run(runner: ModuleType) -> None:
    """Also those that go on after its name, and never those of a runtime whose name is longer."""
    names = known(runner)
    files = {file.stem for file in (ROOT / "tests").glob("test_runtime_*.py")}
    owned = {stem: runner.owner(stem, names) for stem in files}
    assert owned["test_runtime_openai_agents_approvals"] == "openai_agents"
    assert owned["test_runtime_langgraph_approvals"] == "langgraph"
    without = {"actors", "opening", "recorder", "recorder_ends", "recorder_facts", "recorder_hostile", "three"}
    assert {stem.removeprefix("test_runtime_") for stem, name in owned.items() if name is None} == without
    assert runner.owner("test_runtime_mcp_client", ["mcp_client", "mcp"]) == "mcp_client"


def test_a_file_that_is_skipped_has_not_passed(runner: ModuleType, tmp_path: Path) -> None:
    """Nor has one in which nothing ran; a test that a version lacks may be skipped."""
    skipped = '<testcase classname="{}" name="tests.test_runtime_x"><skipped/></testcase>'
    passed = '<testcase classname="a" name="one"/>'
    for cases, code, result in [
        (passed, 0, "passed"),
        (passed + skipped.format("a"), 0, "passed"),
        (passed + skipped.format(""), 0, "skipped"),
        (skipped.format(""), 5, "skipped"),
        (skipped.format("a"), 0, "skipped"),
        (passed + '<testcase classname="a" name="two"><failure/></testcase>', 1, "failed"),
        (passed, 2, "failed"),
        ("", 4, "failed"),
    ]:
        report = tmp_path / "report.xml"
        report.write_text(f"<testsuites><testsuite>{cases}</testsuite></testsuites>")
        assert runner.read(report, runner.Result("x", "newest", "1"), code).result == result
    assert runner.read(tmp_path / "none", runner.Result("x", "newest", "1"), 3).result == "failed"


def test_the_table_fits_80_columns_and_says_what_to_run(runner: ModuleType) -> None:
    longest = max(known(runner), key=len)
    good = runner.Result(longest, "newest", "10.110.100", 100, 3, seconds=1000)
    bad = runner.Result(longest, "lowest", "?", 0, 0, "not installed", 1000, ("test_" + "x" * 100,))
    table = runner.table([good, bad], "3.11", 2000)
    assert max(map(len, table.splitlines())) <= 80
    assert f'not installed: make test-runtimes ARGS="{longest} --lowest"' in table
    assert "1 of 2 passed on Python 3.11, in 33.3 min" in table


def test_rows_of_other_runtimes_stay(runner: ModuleType) -> None:
    text = "# T\n\n| extra |\n|---|\n| `agno` | agno | old |\n| `zeta` | z | 1 |\n\nend\n"
    both = [runner.Result("agno", bound, version, 9) for bound, version in (("newest", "3.1"), ("lowest", "3.0"))]
    written = runner.page(text, both, EXTRAS)
    assert written == "# T\n\n| extra |\n|---|\n| `agno` | agno | 3.0 | 9 | 3.1 | 9 |\n| `zeta` | z | 1 |\n\nend\n"
    assert runner.page(written, both, EXTRAS) == written


def test_the_page_of_versions_has_each_lower_bound(runner: ModuleType) -> None:
    """If this fails: make test-runtimes ARGS="--docs NAME"."""
    row = re.compile(r"^\| `(\w+)` \| (\S+) \| (\S+) \| (\d+) \| (\S+) \| (\d+) \|$", re.MULTILINE)
    rows = row.findall(runner.PAGE.read_text())
    assert [row[0] for row in rows] == sorted(known(runner))
    for name, package, lowest, _, newest, _ in rows:
        bound = re.search(r">=([\d.]+)", EXTRAS[name][0])
        assert bound is not None
        assert package == runner.base(EXTRAS[name][0])
        # Where the bound itself was never released, what is tested is the first after it.
        assert runner.numbers(bound[1]) <= runner.numbers(lowest) <= runner.numbers(newest)
        assert lowest.startswith(bound[1])
