from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from hubwire.errors import ConfigurationError
from hubwire.stores import FileStore, MemoryStore, open_store
from hubwire.stores.object import ObjectStore


def root_of(url: str) -> str:
    store = open_store(url)
    assert isinstance(store, FileStore)
    return store.root


@pytest.mark.parametrize("url", ["memory://", "memory:", "memory:///", "MEMORY://"])
def test_each_memory_url_opens_a_new_store(url: str) -> None:
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
def test_file_urls_and_paths_open_file_stores(url: str, root: str) -> None:
    assert root_of(url) == root


@pytest.mark.parametrize(
    ("url", "prefix"),
    [
        ("s3://bucket", ""),
        ("S3://bucket/", ""),
        ("s3://bucket/a%20b/c/?endpoint=http://127.0.0.1:9000&region=eu-central-1", "/a b/c"),
        ("s3://bucket/a?single_writer=true", "/a"),
        ("gs://bucket/a/b", "/a/b"),
        ("az://container/a?account=somebody", "/a"),
        ("az://container/a?account=somebody&endpoint=http://127.0.0.1:10000/somebody", "/a"),
    ],
)
def test_object_urls_open_object_stores(url: str, prefix: str) -> None:
    store = open_store(url)
    assert isinstance(store, ObjectStore)
    assert store.prefix == prefix


def test_an_opened_store_writes_where_its_url_says(tmp_path: Path) -> None:
    store = open_store(f"file://{tmp_path}/a%20b")
    asyncio.run(store.append("/c", "x"))
    assert (tmp_path / "a b" / "c").read_text() == "x"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "empty"),
        ("https://example.org/", r"unknown scheme 'https'; use memory://, file:///absolute/path, s3://bucket/prefix"),
        ("s3:bucket", "is not s3://bucket/prefix"),
        ("s3:///prefix", "is not s3://bucket/prefix"),
        ("s3://key:secret@bucket", "secrets are not part of it"),
        ("s3://bucket#there", "is not s3://bucket/prefix"),
        ("s3://bucket?size=1", r"unknown or twice: \['size'\]; there are endpoint, region, single_writer"),
        ("s3://bucket?region=a&region=b", "unknown or twice"),
        ("s3://bucket?single_writer=1", "it is true or false"),
        ("gs://bucket?region=a", "unknown or twice"),
        ("az://container", "cannot set up the store az://container: .*Account must be specified"),
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
def test_an_impossible_url_is_refused(url: str, message: str) -> None:
    """The message names those that are possible."""
    with pytest.raises(ConfigurationError, match=message):
        open_store(url)


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), "5", True, [5]])
def test_a_deadline_that_is_none_is_refused(seconds: Any) -> None:
    for url in ("memory://", "./data", "s3://bucket/prefix?region=x"):
        with pytest.raises(ConfigurationError, match="deadline_seconds is a number of seconds"):
            open_store(url, deadline_seconds=seconds)
    assert isinstance(open_store("memory://", deadline_seconds=5), MemoryStore)
