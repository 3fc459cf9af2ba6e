"""What the page of the dashboard is made of, and what the build makes of it."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pytest

import hubwire
from support.house import ROOT

WEB = ROOT / "listeners" / "dashboard" / "web"
PAGE = Path(hubwire.__file__).resolve().parent / "listeners" / "dashboard" / "_page"
if not PAGE.is_dir():  # an editable install, whose folders are those of the checkout
    PAGE = ROOT / "listeners" / "dashboard" / "_page"

SOURCES = sorted(path for path in (WEB / "src").rglob("*") if path.is_file())
built = pytest.mark.skipif(not PAGE.is_dir(), reason="the page is not built here: make page")


def test_no_source_of_the_page_is_too_long() -> None:
    lengths = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    assert {name: length for name, length in lengths.items() if length >= 400} == {}


@pytest.mark.parametrize(
    "pattern",
    [
        r"innerHTML|outerHTML|insertAdjacentHTML|dangerouslySetInnerHTML|document\.write|DOMParser",
        r"\beval\(|new Function|setTimeout\([\"']",
        r"style=\"",
        r"javascript:",
    ],
)
def test_text_of_others_has_no_way_to_become_markup_or_code(pattern: str) -> None:
    found = [path.name for path in SOURCES if re.search(pattern, path.read_text(encoding="utf-8"))]
    assert found == []


def test_every_package_has_one_version_and_its_digest() -> None:
    wanted = json.loads((WEB / "package.json").read_text(encoding="utf-8"))
    locked = json.loads((WEB / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    for name, version in {**wanted["dependencies"], **wanted["devDependencies"]}.items():
        assert locked[f"node_modules/{name}"]["version"] == version
    assert [
        name for name, entry in locked.items() if name and not entry.get("integrity", "").startswith("sha512-")
    ] == []


@built
def test_the_page_is_light() -> None:
    files = [path for path in PAGE.iterdir() if path.suffix in {".js", ".css", ".html", ".svg"}]
    weight = sum(len(gzip.compress(path.read_bytes())) for path in files)
    assert weight < 150_000


@built
def test_the_page_asks_nobody_else() -> None:
    elsewhere = re.compile(rb"https?://(?!www\.w3\.org/)[\w.-]+")
    files = [path for path in PAGE.iterdir() if path.suffix in {".js", ".css", ".html", ".svg"}]
    assert {
        path.name: elsewhere.findall(path.read_bytes()) for path in files if elsewhere.search(path.read_bytes())
    } == {}


@built
def test_the_page_heeds_its_policy() -> None:
    """No script and no style stands in the markup."""
    html = (PAGE / "index.html").read_text(encoding="utf-8")
    assert re.findall(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\bon\w+=", html) == []
    assert set(re.findall(r'(?:src|href)="([^"?]+)', html)) == {"mark.svg", "page.css", "page.js"}
    assert "$VERSION" not in html


@built
def test_the_licences_of_what_is_bundled_are_there() -> None:
    texts = (PAGE / "LICENSES.txt").read_text(encoding="utf-8")
    wanted = json.loads((WEB / "package.json").read_text(encoding="utf-8"))["dependencies"]
    for name, version in wanted.items():
        assert name == "esbuild" or f"{name} {version} (MIT)" in texts
    assert "@preact/signals-core " in texts
