"""Test the adapters of agent runtimes, each in an environment of its own: `test_runtimes.py [--lowest] [NAME ...]`.

The frameworks are large, and want other versions of the same packages, so none of them is in `.venv`. For each
`tests/test_runtime_NAME.py` whose NAME is an extra, this makes `.build/runtimes/NAME`, installs the wheel with that
extra and what the tests need, and runs that file and all `test_runtime_NAME_*.py`. With `--lowest`, the oldest versions
that the extra allows. An environment stays, and is made anew when its requirements change. It ends with a table, and
fails if a test has.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
import tomllib
import venv
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

import install_wheel

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENTS = ROOT / ".build" / "runtimes"
NEEDED = ("pytest", "pytest-anyio", "pytest-timeout", "hypothesis", "blockbuster")
"""Of the test extra: what `tests/conftest.py` imports, and what these tests use."""
SECONDS_MAX = 1800


@dataclass
class Result:
    """A row of the table."""

    runtime: str
    version: str
    tests: str
    result: str
    seconds: float


def main(arguments: list[str]) -> int:
    is_lowest = "--lowest" in arguments
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    known = sorted(
        name
        for file in (ROOT / "tests").glob("test_runtime_*.py")
        if (name := file.stem.removeprefix("test_runtime_")) in extras
    )
    wanted = [each for each in arguments if each != "--lowest"] or known
    if unknown := sorted(set(wanted) - set(known)):
        print(f"no runtime of these has tests: {', '.join(unknown)}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    install_wheel.ensure_venv()  # its pip builds the wheel
    files = install_wheel.wheel_inputs()
    wheel = install_wheel.build(files, install_wheel.BUILD / install_wheel.digest(files)[:16])
    results = [run(name, extras[name], extras["test"], wheel, is_lowest=is_lowest) for name in wanted]
    print(table(results))
    return 0 if all(each.result == "passed" for each in results) else 1


def run(name: str, extra: list[str], needed: list[str], wheel: Path, *, is_lowest: bool) -> Result:
    """Install one runtime, and run its tests."""
    began = time.monotonic()
    python = ENVIRONMENTS / f"{name}{'-lowest' if is_lowest else ''}" / "bin" / "python"
    requirements = [lowest(each) for each in extra] if is_lowest else extra
    package = re.split(r"[^\w.-]", extra[0])[0]
    if said := installed(python, [*requirements, *(each for each in needed if base(each) in NEEDED)], wheel):
        print(said)
        return Result(name, "?", "-", "not installed", time.monotonic() - began)
    version = subprocess.run(
        [str(python), "-c", f"from importlib.metadata import version; print(version({package!r}))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    print(f"testing {name} with {package} {version}", flush=True)
    report = python.parents[1] / "report.xml"
    report.unlink(missing_ok=True)
    files = [str(each.relative_to(ROOT)) for each in test_files(name)]
    command = [str(python), "-P", "-m", "pytest", "-q", *files, f"--junit-xml={report}"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=SECONDS_MAX)
    except subprocess.TimeoutExpired:
        return Result(name, version, "-", f"took more than {SECONDS_MAX} s", time.monotonic() - began)
    tests, skipped = counts(report)
    if done.returncode:
        print(done.stdout[-20_000:], done.stderr[-2_000:], sep="\n")
    result = "failed" if done.returncode else "passed" if tests > skipped else "skipped"
    return Result(name, version, f"{tests - skipped}", result, time.monotonic() - began)


def test_files(name: str) -> list[Path]:
    """Return the tests of an adapter: `test_runtime_NAME.py` and `test_runtime_NAME_*.py`."""
    tests = ROOT / "tests"
    return [tests / f"test_runtime_{name}.py", *sorted(tests.glob(f"test_runtime_{name}_*.py"))]


def installed(python: Path, requirements: list[str], wheel: Path) -> str:
    """Have an environment with the wheel and what it needs; return what pip says if it cannot be had."""
    environment = python.parents[1]
    stamp, wanted = environment / "installed", "\n".join(requirements)
    has = stamp.read_text().split("\n\n") if stamp.exists() else ["", ""]
    steps = []
    if has[0] != wanted:
        print(f"making {environment.relative_to(ROOT)}", flush=True)
        shutil.rmtree(environment, ignore_errors=True)
        venv.create(environment, with_pip=True, symlinks=True)
        steps.append([*requirements, str(wheel)])
    elif has[1] != str(wheel):
        steps.append(["--no-deps", "--force-reinstall", str(wheel)])
    for step in steps:
        command = [str(python), "-P", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *step]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            return done.stdout + done.stderr
    stamp.write_text(f"{wanted}\n\n{wheel}")
    return ""


def base(requirement: str) -> str:
    """Return the name of a package that is required."""
    return re.split(r"[^\w.-]", requirement)[0].lower()


def lowest(requirement: str) -> str:
    """Return a requirement that only the oldest version meets which this one allows: of `x>=1.2`, any 1.2."""
    found = re.match(r"([\w.\[\],-]+?)\s*>=\s*([\d.]+)", requirement)
    if found is None:
        return requirement
    name, version = found.groups()
    return f"{name}=={version}.*" if version.count(".") < 2 else f"{name}=={version}"


def counts(report: Path) -> tuple[int, int]:
    """Return how many tests there were, and how many of them were skipped."""
    if not report.exists():
        return 0, 0
    suites = list(ET.parse(report).iter("testsuite"))  # noqa: S314 - pytest has written it
    return sum(int(each.get("tests", 0)) for each in suites), sum(int(each.get("skipped", 0)) for each in suites)


def table(results: list[Result]) -> str:
    """Return the results as text in columns."""
    rows = [("runtime", "version", "tests", "result", "seconds")]
    rows += [(each.runtime, each.version, each.tests, each.result, f"{each.seconds:.0f}") for each in results]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    is_number = (False, False, True, False, True)
    lines = [
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, is_number, strict=True)
        ).rstrip()
        for row in rows
    ]
    return "\n".join(["", *lines])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
