"""Make `.venv` hold the wheel of this checkout: `install_wheel.py [EXTRA ...]`.

Tests and type checkers see what users get, the wheel. It is built from a copy of what git knows, committed or not: a
`build/lib` that an earlier build left behind would ship modules that have been deleted since.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / ".build" / "wheel"
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"
VENV_LIBRARY = VENV / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
# The digest of the pyproject.toml whose dependencies are installed, then the extras.
STAMP = VENV / "installed-dependencies"

# What npm has installed for the page of the dashboard, kept between builds: one without it needs the network.
MODULES = Path("listeners", "dashboard", "web", "node_modules")
KEPT_MODULES = ROOT / ".build" / "node_modules"

WHEEL_INPUTS = (".ci/hubwire_build.py", "pyproject.toml", "README.md", "LICENSE", "hub", "listeners", "stores")
NOT_INPUTS = {"__pycache__", "node_modules", "_page"}


def main(extras: list[str]) -> None:
    ensure_venv()
    files = wheel_inputs()
    wheel = build(files, BUILD / digest(files)[:16])
    pyproject = digest([Path("pyproject.toml")])
    stamp = STAMP.read_text().split() if STAMP.exists() else []
    if stamp[:1] != [pyproject] or not set(extras) <= set(stamp[1:]):
        wanted = sorted({*extras, *stamp[1:]})
        brackets = f"[{','.join(wanted)}]" if wanted else ""
        print(f"installing the dependencies of hubwire{brackets}", flush=True)
        pip("install", f"{wheel}{brackets}")
        STAMP.write_text(" ".join([pyproject, *wanted]))
    if installed_from() != wheel.as_uri():
        print(f"installing {wheel.relative_to(ROOT)}", flush=True)
        pip("install", "--no-deps", "--force-reinstall", str(wheel))


def ensure_venv() -> None:
    """Make `.venv`, or make it anew if it belongs to another version of Python or to one that is gone."""
    if (VENV_LIBRARY / "pip").is_dir() and VENV_PYTHON.exists():
        return
    print("making .venv", flush=True)
    try:
        venv.create(VENV, clear=True, with_pip=True, symlinks=True)
    except subprocess.CalledProcessError:
        shutil.rmtree(VENV)
        sys.exit(f"{sys.executable} has no ensurepip to make .venv with (Debian and Ubuntu: apt install python3-venv)")


def wheel_inputs() -> list[Path]:
    """What the wheel is made of, relative to the root: as git lists it, or, without git, all that is there."""
    if (ROOT / ".git").exists() and shutil.which("git"):
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *WHEEL_INPUTS]
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if listed.returncode == 0:
            return sorted(path for name in listed.stdout.split("\0") if (ROOT / (path := Path(name))).is_file())
    found = [path for name in WHEEL_INPUTS for path in (ROOT / name, *(ROOT / name).rglob("*")) if path.is_file()]
    return sorted(path.relative_to(ROOT) for path in found if not NOT_INPUTS & set(path.parts))


def digest(files: list[Path]) -> str:
    sha = hashlib.sha256()
    for file in files:
        content = (ROOT / file).read_bytes()
        sha.update(f"{file}\0{len(content)}\0".encode() + content)
    return sha.hexdigest()


def build(files: list[Path], target: Path) -> Path:
    """Build the wheel into `target`, unless it is there. The digest in the name of `target` is the stamp."""
    if not list(target.glob("*.whl")):
        print("building the wheel", flush=True)
        shutil.rmtree(BUILD, ignore_errors=True)
        source = BUILD / "source"
        for file in files:
            (source / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / file, source / file)
        if KEPT_MODULES.exists():
            KEPT_MODULES.rename(source / MODULES)
        pip("wheel", "--no-deps", "--wheel-dir", str(BUILD / "fresh"), str(source))
        (source / MODULES).rename(KEPT_MODULES)
        (BUILD / "fresh").rename(target)
    (wheel,) = target.glob("*.whl")
    return wheel


def installed_from() -> str | None:
    """Return the URL of what `hubwire` in `.venv` was installed from; pip has noted it."""
    for distribution in importlib.metadata.distributions(name="hubwire", path=[str(VENV_LIBRARY)]):
        if noted := distribution.read_text("direct_url.json"):
            return str(json.loads(noted)["url"])
    return None


def pip(*arguments: str) -> None:
    command = [str(VENV_PYTHON), "-P", "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    if code := subprocess.run(command, cwd=ROOT, check=False).returncode:
        sys.exit(code)


if __name__ == "__main__":
    main(sys.argv[1:])
