from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from hubwire.errors import ConfigurationError
from hubwire.stores import FileStore, MemoryStore, open_store


def root_of(url: str) -> str:
    store = open_store(url)
    assert isinstance(store, FileStore)
    return store.root


@pytest.mark.parametrize("url", ["memory://", "memory:", "memory:///", "MEMORY://"])
def test_memory_urls_open_a_new_memory_store_each(url: str) -> None:
    assert isinstance(open_store(url), MemoryStore)
    assert open_store(url) is not open_store(url)


@pytest.mark.parametrize(
    ("url", "root"),
    [
        ("file:///data", "/data"),
        ("file:/data", "/data"),
        ("file://localhost/data", "/data"),
        ("FILE:///data", "/data"),
        ("file:///", "/"),
        ("file:///a%20b%2525/%C3%A9", "/a b%25/é"),
        ("file:///with%3Fquery%23and=fragment", "/with?query#and=fragment"),
        ("file:///é", "/é"),
        ("/data", "/data"),
        ("./data", "./data"),
        ("data", "data"),
        ("../data", "../data"),
        ("/data%20", "/data%20"),
        ("/da:ta", "/da:ta"),
        ("./da:ta", "./da:ta"),
    ],
)
def test_file_urls_and_plain_paths_open_a_file_store_there(url: str, root: str) -> None:
    assert root_of(url) == root


def test_an_opened_store_writes_where_its_url_says(tmp_path: Path) -> None:
    store = open_store(f"file://{tmp_path}/a%20b")
    asyncio.run(store.append("/c", "x"))
    assert (tmp_path / "a b" / "c").read_text() == "x"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "empty"),
        ("s3://bucket/prefix", r"unknown scheme 's3'; use memory://, file:///absolute/path"),
        ("gs://bucket", "unknown scheme 'gs'"),
        ("az://container", "unknown scheme 'az'"),
        ("https://example.org/", "unknown scheme 'https'"),
        ("c:\\data", "unknown scheme 'c'"),
        ("file://data", r"not absolute; use file:/// and the whole path, or \./data alone"),
        ("file://data/more", r"or \./data/more alone"),
        ("file:data", "not absolute"),
        ("file:", "not absolute"),
        ("file://", "not absolute"),
        ("file:///data?sync=no", "query or a fragment"),
        ("file:///data?", "query or a fragment"),
        ("file:///data#there", "query or a fragment"),
        ("file:///%ff", "does not decode to UTF-8"),
        ("file:///a%00b", "NUL"),
        ("/a\0b", "NUL"),
        ("memory://name", "names a place"),
        ("memory://?size=1", "names a place"),
    ],
)
def test_what_cannot_be_a_store_is_refused_with_what_can(url: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        open_store(url)
