"""From the parts of a URL to an ObjectStore: the only module that names the services of obstore."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from obstore.exceptions import BaseError
from obstore.store import AzureStore, GCSStore

from hubwire.errors import ConfigurationError

from .object import ObjectStore
from .s3 import S3Store

__all__ = ("azure", "gcs", "s3")


def s3(bucket: str, prefix: str, *, endpoint: str | None, region: str | None, single_writer: bool) -> ObjectStore:
    with _configuring(f"s3://{bucket}"):
        return S3Store(bucket, prefix, endpoint=endpoint, region=region, single_writer=single_writer)


def gcs(bucket: str, prefix: str, *, single_writer: bool) -> ObjectStore:
    with _configuring(f"gs://{bucket}"):
        return ObjectStore(GCSStore(bucket, retry_config={"max_retries": 0}), prefix, single_writer=single_writer)


def azure(
    container: str, prefix: str, *, account: str | None, endpoint: str | None, single_writer: bool
) -> ObjectStore:
    given = {"account_name": account, "endpoint": endpoint}
    with _configuring(f"az://{container}"):
        service = AzureStore(
            container,
            **{name: value for name, value in given.items() if value is not None},  # type: ignore[arg-type]
            client_options={"allow_http": (endpoint or "").startswith("http://")},
            retry_config={"max_retries": 0},
        )
        return ObjectStore(service, prefix, single_writer=single_writer)


@contextmanager
def _configuring(place: str) -> Iterator[None]:
    try:
        yield
    except BaseError as error:
        reason = str(error).partition("\n")[0]
        raise ConfigurationError(
            f"cannot set up the store {place}: {reason}; mend its URL or the environment"
        ) from error
