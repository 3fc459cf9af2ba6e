"""S3Store: a bucket of Amazon S3, or of a service with the same interface."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from obstore.store import S3Store as S3Service

from hubwire.ports import Clock

from .object import ObjectStore

__all__ = ("S3Store",)


class S3Store(ObjectStore):
    """An :class:`ObjectStore` in a bucket of S3.

    ``endpoint`` is for services other than Amazon's, such as ``http://127.0.0.1:9000``. Arguments that are not given,
    above all credentials, come from the environment (``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY``, ``AWS_REGION``,
    the role of the machine, …). ``request_seconds`` is how long an answer may make no progress before the request is
    repeated.
    """

    def __init__(
        self,
        bucket: str,
        prefix: str = "",
        *,
        endpoint: str | None = None,
        region: str | None = None,
        access_key_id: str | None = None,
        secret_access_key: str | None = None,
        request_seconds: float = 15.0,
        single_writer: bool = False,
        deadline_seconds: float = 60.0,
        grace_seconds: float = 3600.0,
        poll_seconds: float = 2.0,
        clock: Clock | None = None,
    ) -> None:
        given: dict[str, Any] = {
            "endpoint": endpoint,
            "region": region,
            "access_key_id": access_key_id,
            "secret_access_key": secret_access_key,
        }
        service = S3Service(
            bucket,
            **{name: value for name, value in given.items() if value is not None},
            client_options={
                "allow_http": (endpoint or "").startswith("http://"),
                "read_timeout": timedelta(seconds=request_seconds),
                # For the whole request, and a large object takes long.
                "timeout": timedelta(hours=1),
            },
            # A retry within a create would turn a lost answer into a conflict with itself.
            retry_config={"max_retries": 0},
        )
        super().__init__(
            service,
            prefix,
            single_writer=single_writer,
            deadline_seconds=deadline_seconds,
            grace_seconds=grace_seconds,
            poll_seconds=poll_seconds,
            clock=clock,
        )
        self.bucket = bucket

    def __repr__(self) -> str:
        return f"S3Store({self.bucket!r}, {self.prefix!r})"
