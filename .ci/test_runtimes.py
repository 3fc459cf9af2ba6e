"""Test the adapters of agent runtimes, each in an environment of its own: `test_runtimes.py [--lowest] [NAME ...]`.

The frameworks are large, and want other versions of the same packages, so none of them is in `.venv`. For each
`tests/test_runtime_NAME.py` whose NAME is an extra, this makes an environment in `.build/runtimes`, installs the wheel
with that extra and what the tests need, and runs that file, all `tests/test_runtime_NAME_*.py`, and the programs of
`docs/runtimes/NAME.md`. With `--lowest`, the oldest versions that the extra allows; with `--bounds`, the newest and the
oldest. With `--python`, on another Python.

An environment stays. It is made anew when its requirements change, and gets a newer version of the framework when there
is one. It ends with a table, and fails if a test has. `--docs` writes what it found into `docs/runtimes/versions.md`.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from xml.etree import ElementTree as ET

import install_wheel

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENTS = ROOT / ".build" / "runtimes"
PAGE = ROOT / "docs" / "runtimes" / "versions.md"
NEEDED = ("pytest", "pytest-anyio", "pytest-timeout", "hypothesis", "blockbuster")
"""Of the test extra: what `tests/conftest.py` imports, and what these tests use."""
BESIDE = {"langgraph": ("langchain",)}
"""Runtimes whose tests need another extra, too: these have agents of LangChain."""
NEWEST, LOWEST = "newest", "lowest"
SECONDS_MAX = 1800
WIDTH = 80


@dataclass(frozen=True)
class Result:
    """A row of the table."""

    runtime: str
    bound: str
    version: str
    passed: int = 0
    skipped: int = 0
    result: str = "passed"
    seconds: float = 0.0
    failures: tuple[str, ...] = ()
    """The names of the tests that have failed, and of the files that have been skipped as a whole."""


def main(arguments: list[str]) -> int:
    extras: dict[str, list[str]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    known = runtimes(extras, (file.stem for file in (ROOT / "tests").glob("test_runtime_*.py")))
    asked = parse(arguments, known)
    if unknown := sorted(set(asked.names) - set(known)):
        print(f"no runtime of these has tests: {', '.join(unknown)}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    began = time.monotonic()
    install_wheel.ensure_venv()  # its pip builds the wheel, and knows which versions there are
    files = install_wheel.wheel_inputs()
    wheel = install_wheel.build(files, install_wheel.BUILD / install_wheel.digest(files)[:16])
    place = Place(asked.python, wheel, extras, sorted(known, key=len, reverse=True))
    results: list[Result] = []
    for name in asked.names or known:
        for bound in asked.bounds:
            results.append(run(name, bound, place, results[-1:]))
    print(table(results, place.python_version, time.monotonic() - began))
    if asked.docs:
        PAGE.write_text(page(PAGE.read_text(), results, extras))
        print(f"\nwritten: {PAGE.relative_to(ROOT)}")
    return 0 if all(each.result == "passed" for each in results) else 1


def parse(arguments: list[str], known: Sequence[str]) -> argparse.Namespace:
    """Return what is asked: `names`, `bounds`, `python`, and whether the page is written."""
    parser = argparse.ArgumentParser(
        prog="test_runtimes.py",
        description="Test the adapters of agent runtimes, each in an environment of its own.",
        epilog=f"runtimes: {', '.join(known)}",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="a runtime; without one, all of them")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--lowest", action="store_const", dest="bounds", const=(LOWEST,), help="the oldest versions")
    which.add_argument(
        "--bounds", action="store_const", dest="bounds", const=(NEWEST, LOWEST), help="the newest and the oldest"
    )
    parser.add_argument("--docs", action="store_true", help="both, and write them into docs/runtimes/versions.md")
    parser.add_argument("--python", default=sys.executable, help="the interpreter of the environments")
    parser.set_defaults(bounds=(NEWEST,))
    asked = parser.parse_args(arguments)
    if asked.docs:
        asked.bounds = (NEWEST, LOWEST)
    return asked


def runtimes(extras: Iterable[str], stems: Iterable[str]) -> list[str]:
    """Return the runtimes that have tests: those of `test_runtime_NAME` whose NAME is an extra."""
    return sorted({stem.removeprefix("test_runtime_") for stem in stems} & set(extras))


class Place:
    """What all environments have in common."""

    def __init__(self, python: str, wheel: Path, extras: dict[str, list[str]], known: Sequence[str]) -> None:
        """With the interpreter that environments are made of, the wheel, and all runtimes, longer names first."""
        self.python = python
        self.python_version = said_by(python, "import sys; print('{}.{}'.format(*sys.version_info))")
        self.wheel = wheel
        self.extras = extras
        self.known = known

    def environment(self, name: str, bound: str) -> Path:
        """Return where the environment of a runtime is."""
        return ENVIRONMENTS / self.python_version / f"{name}{'' if bound == NEWEST else '-lowest'}"

    def requirements(self, name: str, bound: str) -> list[str]:
        """Return what a runtime and its tests need; the framework comes first."""
        wanted = [each for extra in (name, *BESIDE.get(name, ())) for each in self.extras[extra]]
        if bound == LOWEST:
            wanted = [pinned(each, versions(each, self.python_version)) for each in wanted]
        return list(dict.fromkeys([*wanted, *(each for each in self.extras["test"] if base(each) in NEEDED)]))

    def tests(self, name: str) -> list[str]:
        """Return the tests of a runtime: its files, and the programs of its page."""
        files = sorted(file.stem for file in (ROOT / "tests").glob(f"test_runtime_{name}*.py"))
        own = [stem for stem in files if owner(stem, self.known) == name]
        programs = [f"tests/test_docs_blocks.py::test_blocks_of_page[runtimes/{name}.md]"]
        return [f"tests/{stem}.py" for stem in own] + programs * (PAGE.parent / f"{name}.md").exists()


def run(name: str, bound: str, place: Place, before: Sequence[Result] = ()) -> Result:
    """Install one runtime, and run its tests; or say what `before` said, if its newest version is its oldest, too."""
    began = time.monotonic()
    package = base(place.extras[name][0])
    requirements = place.requirements(name, bound)
    for each in before:
        if (each.runtime, each.bound, requirements[0]) == (name, NEWEST, f"{package}=={each.version}"):
            return replace(each, bound=bound, seconds=0.0)
    environment = place.environment(name, bound)
    python = str(environment / "bin" / "python")
    if said := installed(environment, requirements, place, package if bound == NEWEST else ""):
        print(said)
        return Result(name, bound, "?", result="not installed", seconds=time.monotonic() - began)
    version = said_by(python, f"import importlib.metadata as m; print(m.version({package!r}))")
    print(f"testing {name} with {package} {version}", flush=True)
    report = environment / "report.xml"
    report.unlink(missing_ok=True)
    command = [python, "-P", "-m", "pytest", "-q", *place.tests(name), f"--junit-xml={report}"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=SECONDS_MAX)
    except subprocess.TimeoutExpired:
        return Result(name, bound, version, result="out of time", seconds=time.monotonic() - began)
    result = read(report, Result(name, bound, version, seconds=time.monotonic() - began), done.returncode)
    if result.result != "passed":
        print(done.stdout[-20_000:], done.stderr[-2_000:], sep="\n")
    return result


def read(report: Path, result: Result, code: int) -> Result:
    """Add what pytest says: a runtime has passed if none of its tests fails, and no file is skipped as a whole."""
    cases = list(ET.parse(report).iter("testcase")) if report.exists() else []  # noqa: S314 - pytest has written it
    skipped = [each for each in cases if each.find("skipped") is not None]
    absent = [each.get("name", "") for each in skipped if not each.get("classname")]
    failed = [each.get("name", "") for each in cases if any(part.tag in ("failure", "error") for part in each)]
    passed = len(cases) - len(skipped) - len(failed)
    said = "failed" if failed or (code and not absent) else "skipped" if absent or not passed else "passed"
    return replace(result, passed=passed, skipped=len(skipped), result=said, failures=(*failed, *absent))


def installed(environment: Path, requirements: Sequence[str], place: Place, newest: str = "") -> str:
    """Have an environment with the wheel and what it needs; return what pip says if it cannot be had.

    With `newest`, the package of that name is brought to its newest version.
    """
    stamp, wanted = environment / "installed", "\n".join(requirements)
    has = stamp.read_text().split("\n\n") if stamp.exists() and (environment / "bin" / "python").exists() else ["", ""]
    steps: list[list[str]] = []
    if has[0] != wanted:
        print(f"making {environment.relative_to(ROOT)}", flush=True)
        shutil.rmtree(environment, ignore_errors=True)
        done = piped(place.python, "-m", "venv", "--symlinks", str(environment))
        if done.returncode:
            return done.stdout + done.stderr
        steps.append([*requirements, str(place.wheel)])
    else:
        if has[1] != str(place.wheel):
            steps.append(["--no-deps", "--force-reinstall", str(place.wheel)])
        if newest and is_behind(environment, newest, requirements, place):
            steps.append(["--upgrade", *requirements])
    if steps:
        stamp.unlink(missing_ok=True)  # what is interrupted is made anew
    for step in steps:
        command = (str(environment / "bin" / "python"), "-P", "-m", "pip", "install", "--quiet")
        done = piped(*command, "--disable-pip-version-check", *step)
        if done.returncode:
            return done.stdout + done.stderr
    stamp.write_text(f"{wanted}\n\n{place.wheel}")
    return ""


def is_behind(environment: Path, package: str, requirements: Sequence[str], place: Place) -> bool:
    """Tell whether an index has a newer version of a package than an environment; without the network, it has none."""
    has = said_by(str(environment / "bin" / "python"), f"import importlib.metadata as m; print(m.version({package!r}))")
    required = next(each for each in requirements if base(each) == package)
    there = allowed(required, versions(required, place.python_version))
    return bool(there) and numbers(there[-1]) > numbers(has)


def versions(requirement: str, python_version: str) -> list[str]:
    """Return the versions that an index has of what is required, for that Python; none if it cannot be asked."""
    command = (str(install_wheel.VENV_PYTHON), "-P", "-m", "pip", "index", "versions", base(requirement))
    done = piped(*command, "--disable-pip-version-check", "--python-version", python_version)
    found = re.search(r"^Available versions: (.*)$", done.stdout, re.MULTILINE)
    return found[1].split(", ") if found else []


def allowed(requirement: str, there: Iterable[str]) -> list[str]:
    """Return the versions that a requirement of the form `x>=1.2,<2` allows, oldest first; those of numbers alone."""
    low, high = (re.search(rf"{sign}\s*([\d.]+)", requirement) for sign in (">=", "<(?!=)"))
    return sorted(
        (
            each
            for each in there
            if re.fullmatch(r"[\d.]+", each)
            and (low is None or numbers(each) >= numbers(low[1]))
            and (high is None or numbers(each) < numbers(high[1]))
        ),
        key=numbers,
    )


def pinned(requirement: str, there: Sequence[str]) -> str:
    """Return a requirement that only the oldest version meets which this one allows; itself if it has no lower bound.

    Where no index can be asked, the version is that of the bound.
    """
    low = re.search(r">=\s*([\d.]+)", requirement)
    if low is None:
        return requirement
    name = re.split(r"[<>=;\s]", requirement, maxsplit=1)[0]
    return f"{name}=={next(iter(allowed(requirement, there)), low[1])}"


def numbers(version: str) -> tuple[int, ...]:
    """Return a version as numbers that compare: 1.0 is 1, and before 1.0.1."""
    found = [int(each) for each in re.findall(r"\d+", version)]
    while found and not found[-1]:
        found.pop()
    return tuple(found)


def base(requirement: str) -> str:
    """Return the name of a package that is required."""
    return re.split(r"[^\w.-]", requirement)[0].lower()


def owner(stem: str, known: Sequence[str]) -> str | None:
    """Return the runtime whose tests a file has, of runtimes with longer names first."""
    name = stem.removeprefix("test_runtime_")
    return next((each for each in known if name == each or name.startswith(f"{each}_")), None)


def piped(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a command, and keep what it prints."""
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def said_by(python: str, program: str) -> str:
    """Return what a program prints."""
    return subprocess.run([python, "-P", "-c", program], capture_output=True, text=True, check=True).stdout.strip()


def table(results: Sequence[Result], python_version: str, seconds: float) -> str:
    """Return the results as text in columns, what has failed, and how to run that again, in 80 columns."""
    rows = [("runtime", "bound", "version", "passed", "skipped", "result", "seconds")]
    rows += [
        (
            each.runtime,
            each.bound,
            each.version,
            f"{each.passed}",
            f"{each.skipped}",
            each.result,
            f"{each.seconds:.0f}",
        )
        for each in results
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    is_number = (False, False, False, True, True, False, True)
    lines = [
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, is_number, strict=True)
        ).rstrip()
        for row in rows
    ]
    bad = [each for each in results if each.result != "passed"]
    for each in bad:
        again = f"{each.runtime} --lowest" if each.bound == LOWEST else each.runtime
        lines += ["", f'{each.result}: make test-runtimes ARGS="{again}"']
        lines += [shortened(f"  {failure}") for failure in each.failures[:10]]
        lines += [f"  and {len(each.failures) - 10} more"] * (len(each.failures) > 10)
    total = f"{len(results) - len(bad)} of {len(results)} passed on Python {python_version}, in {seconds / 60:.1f} min"
    return "\n".join(["", *lines, "", total])


def shortened(line: str) -> str:
    """Return a line that fits a terminal."""
    return line if len(line) <= WIDTH else line[: WIDTH - 1] + "…"


def page(text: str, results: Sequence[Result], extras: dict[str, list[str]]) -> str:
    """Return the page with the rows of what was tested; rows of other runtimes stay as they are."""
    rows = {row.split("`")[1]: row for row in text.splitlines() if row.startswith("| `")}
    for name in dict.fromkeys(each.runtime for each in results):
        cells = [f"`{name}`", base(extras[name][0])]
        for bound in (LOWEST, NEWEST):
            (each,) = (each for each in results if (each.runtime, each.bound) == (name, bound))
            cells += [each.version, f"{each.passed}" if each.result == "passed" else each.result]
        rows[name] = f"| {' | '.join(cells)} |"
    lines = [line for line in text.splitlines() if not line.startswith("| `")]
    after = next(number for number, line in enumerate(lines, 1) if line.startswith("|--"))
    return "\n".join([*lines[:after], *(rows[name] for name in sorted(rows)), *lines[after:], ""])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
