"""From the parts of a URL to an ObjectStore: the only module that names the services of obstore."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import attrs
from obstore.exceptions import BaseError
from obstore.store import AzureStore, GCSStore

from hubwire.errors import ConfigurationError

from .object import ObjectStore
from .s3 import S3Store

__all__ = ("How", "azure", "gcs", "s3")


@attrs.frozen(kw_only=True)
class How:
    """What all of these stores are made with."""

    single_writer: bool
    deadline_seconds: float


def s3(bucket: str, prefix: str, how: How, *, endpoint: str | None, region: str | None) -> ObjectStore:
    with _configuring(f"s3://{bucket}"):
        return S3Store(bucket, prefix, endpoint=endpoint, region=region, **attrs.asdict(how))


def gcs(bucket: str, prefix: str, how: How) -> ObjectStore:
    with _configuring(f"gs://{bucket}"):
        return ObjectStore(GCSStore(bucket, retry_config={"max_retries": 0}), prefix, **attrs.asdict(how))


def azure(container: str, prefix: str, how: How, *, account: str | None, endpoint: str | None) -> ObjectStore:
    given = {"account_name": account, "endpoint": endpoint}
    with _configuring(f"az://{container}"):
        service = AzureStore(
            container,
            **{name: value for name, value in given.items() if value is not None},  # type: ignore[arg-type]
            client_options={"allow_http": (endpoint or "").startswith("http://")},
            retry_config={"max_retries": 0},
        )
        return ObjectStore(service, prefix, **attrs.asdict(how))


@contextmanager
def _configuring(place: str) -> Iterator[None]:
    try:
        yield
    except BaseError as error:
        reason = str(error).partition("\n")[0]
        raise ConfigurationError(
            f"cannot set up the store {place}: {reason}; mend its URL or the environment"
        ) from error
