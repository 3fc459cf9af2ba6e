from __future__ import annotations

import unicodedata

import pytest
from hypothesis import assume, example, given, strategies as st

from hubwire.errors import CallerError, InvalidPath
from hubwire.ports import normalize_path


@pytest.mark.parametrize(
    ("path", "normalized"),
    [
        ("", "/"),
        ("/", "/"),
        ("///", "/"),
        ("a", "/a"),
        ("/a", "/a"),
        ("a/", "/a"),
        ("//a///b//", "/a/b"),
        ("/a b/c\\d/%2F", "/a b/c\\d/%2F"),
        ("/...", "/..."),
        ("/.a/..b/c.", "/.a/..b/c."),
        ("/@a/a@b", "/@a/a@b"),
        ("/A/a", "/A/a"),
        ("/\u2028\u2029", "/\u2028\u2029"),
    ],
)
def test_a_path_has_one_spelling(path: str, normalized: str) -> None:
    assert normalize_path(path) == normalized


@pytest.mark.parametrize("path", ["/.", "/..", ".", "..", "/a/./b", "/a/../b", "a/..", "/./a"])
def test_dots_are_refused(path: str) -> None:
    with pytest.raises(InvalidPath, match="write the path out in full"):
        normalize_path(path)


@pytest.mark.parametrize("path", ["/a@", "/a@/b", "/@", "a/b@/"])
def test_a_trailing_at_sign_is_reserved(path: str) -> None:
    with pytest.raises(InvalidPath, match="reserved"):
        normalize_path(path)


@pytest.mark.parametrize("code", [*range(0x20), *range(0x7F, 0xA0)])
def test_control_characters_are_refused(code: int) -> None:
    for path in (f"/{chr(code)}", f"/a{chr(code)}b/c", f"c/{chr(code)}"):
        with pytest.raises(InvalidPath, match="control character"):
            normalize_path(path)


@pytest.mark.parametrize("path", ["/\ud800", "/a\udfff/b"])
def test_a_lone_surrogate_is_refused(path: str) -> None:
    with pytest.raises(InvalidPath, match="lone surrogate"):
        normalize_path(path)


@pytest.mark.parametrize("letter", ["x", "é", "€", "\U0001f600"])
def test_an_element_holds_255_bytes(letter: str) -> None:
    size = len(letter.encode())
    fits = letter * (255 // size)
    assert normalize_path(fits) == f"/{fits}"
    with pytest.raises(InvalidPath, match="255 is the most"):
        normalize_path(fits + letter)


def test_a_path_holds_900_bytes() -> None:
    fits = "/xx" * 300
    assert normalize_path(fits) == fits
    assert normalize_path(fits + "///") == fits
    with pytest.raises(InvalidPath, match="900 is the most"):
        normalize_path(fits + "x")


def test_a_refused_path_is_a_caller_error() -> None:
    assert issubclass(InvalidPath, CallerError)
    assert issubclass(InvalidPath, ValueError)


texts = st.text(alphabet=st.one_of(st.sampled_from("/.@a"), st.characters()), max_size=30)


@given(texts)
@example("/a/b")
def test_an_accepted_path_keeps_every_rule(path: str) -> None:
    try:
        normalized = normalize_path(path)
    except InvalidPath:
        assume(False)
        return
    assert normalized.startswith("/")
    assert "//" not in normalized
    assert normalized == "/" or not normalized.endswith("/")
    assert len(normalized.encode()) <= 900
    for element in normalized[1:].split("/"):
        assert element not in {".", ".."}
        assert not element.endswith("@")
        assert not any(unicodedata.category(c) in {"Cc", "Cs"} for c in element)
    assert normalize_path(normalized) == normalized


@given(texts)
def test_a_refused_path_breaks_a_rule(path: str) -> None:
    elements = [element for element in path.split("/") if element]
    broken = any(
        element in {".", ".."}
        or element.endswith("@")
        or any(unicodedata.category(c) in {"Cc", "Cs"} for c in element)
        or len(element.encode(errors="replace")) > 255
        for element in elements
    )
    if broken:
        with pytest.raises(InvalidPath):
            normalize_path(path)
    else:
        assert normalize_path(path) == "/" + "/".join(elements)


@given(st.lists(st.text("ab", min_size=1, max_size=3), max_size=5), st.data())
def test_only_the_elements_count(elements: list[str], data: st.DataObject) -> None:
    slashes = st.integers(1, 3).map(lambda n: "/" * n)
    path = "".join(element + data.draw(slashes) for element in elements)
    assert normalize_path(path) == normalize_path(data.draw(slashes) + path) == "/" + "/".join(elements)
