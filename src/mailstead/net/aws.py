"""Amazon's services, or what is compatible with them, as targets: clients of boto3, in threads (extra ``aws``).

Where a request goes is said by the operator alone (``aws.endpoint`` and the like); callers name buckets and keys.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from mailstead.base.errors import Unreachable
from mailstead.base.objects import is_bucket, missing

T = TypeVar("T")

THREADS = 4
CONNECT, READ = 5.0, 30.0
"""Seconds to wait for a connection, and for octets of an answer."""

_LATER = frozenset({408, 429})
"""Statuses below 500 that do not mean: not there, not for us, another edition."""


class S3Buckets:
    """``Buckets`` (see ``store/port.py``) in S3 or what speaks its protocol.

    Args:
        endpoint: ``https://host:port``; empty: Amazon's own.
        profile: of the credentials; empty: what boto3 finds by itself.

    Raises:
        ImportError: boto3 is not installed.
    """

    def __init__(self, endpoint: str, profile: str, region: str) -> None:
        import boto3  # noqa: PLC0415 — an extra, and slow to load
        from botocore.config import Config  # noqa: PLC0415

        self._threads = ThreadPoolExecutor(THREADS, "mailstead-s3")
        config = Config(
            connect_timeout=CONNECT,
            read_timeout=READ,
            retries={"total_max_attempts": 2},
            s3={"addressing_style": "path"} if endpoint else None,
        )
        session = boto3.Session(profile_name=profile or None, region_name=region)
        self._client: Any = session.client("s3", endpoint_url=endpoint or None, config=config)

    async def look(self, bucket: str, key: str) -> tuple[int, str]:
        """See ``Buckets.look``."""
        found = await self._ask(bucket, key, lambda: self._client.head_object(Bucket=bucket, Key=key))
        return int(found["ContentLength"]), str(found["ETag"])

    async def read(self, bucket: str, key: str, tag: str, start: int, size: int) -> bytes:
        """See ``Buckets.read``."""
        wanted = f"bytes={start}-{start + size - 1}"

        def piece() -> bytes:
            found = self._client.get_object(Bucket=bucket, Key=key, IfMatch=tag, Range=wanted)
            content: bytes = found["Body"].read(size)
            return content

        return await self._ask(bucket, key, piece)

    async def close(self) -> None:
        """Let running requests end."""
        await asyncio.get_running_loop().run_in_executor(None, self._threads.shutdown)
        self._client.close()

    async def _ask(self, bucket: str, key: str, call: Callable[[], T]) -> T:
        from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError  # noqa: PLC0415

        if not is_bucket(bucket):
            raise missing(bucket, key)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, call)
        except ParamValidationError:
            raise missing(bucket, key) from None
        except ClientError as error:
            status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500))
            if status < 500 and status not in _LATER:
                raise missing(bucket, key) from None
            raise Unreachable(f"S3 cannot be used now: {error}") from error
        except (BotoCoreError, OSError) as error:
            raise Unreachable(f"S3 cannot be used now: {error}") from error
