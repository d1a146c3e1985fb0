"""Objects in a real S3 server: read in pieces, one edition of them, and what is not there or not reached."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

import pytest

from mailstead.base.errors import NotFound, Unreachable
from mailstead.net.aws import S3Buckets
from peers.ground import free_port
from peers.seaweed import KEY, SECRET, Seaweed

pytestmark = pytest.mark.slow

T = TypeVar("T")


@pytest.fixture(scope="module")
def s3() -> Iterator[Seaweed]:
    with Seaweed() as running:
        running.client().create_bucket(Bucket="lists")
        yield running


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where boto3 looks for credentials by itself."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)


def with_buckets(endpoint: str, use: Callable[[S3Buckets], Awaitable[T]]) -> T:
    async def scenario() -> T:
        buckets = S3Buckets(endpoint, "", "us-east-1")
        try:
            return await use(buckets)
        finally:
            await buckets.close()

    return asyncio.run(scenario())


@pytest.mark.parametrize("key", ["all.csv", "may/all of them.csv", "grüße/+&?=%.csv"])
def test_an_object_is_read_in_pieces(s3: Seaweed, key: str) -> None:
    s3.client().put_object(Bucket="lists", Key=key, Body=b"0123456789")

    async def use(buckets: S3Buckets) -> tuple[int, bytes, bytes]:
        size, tag = await buckets.look("lists", key)
        return size, await buckets.read("lists", key, tag, 0, 4), await buckets.read("lists", key, tag, 8, 4)

    assert with_buckets(s3.url, use) == (10, b"0123", b"89")


def test_another_edition_is_not_read(s3: Seaweed) -> None:
    s3.client().put_object(Bucket="lists", Key="changing", Body=b"0123456789")

    async def use(buckets: S3Buckets) -> None:
        _, tag = await buckets.look("lists", "changing")
        s3.client().put_object(Bucket="lists", Key="changing", Body=b"9876543210")
        with pytest.raises(NotFound):
            await buckets.read("lists", "changing", tag, 0, 4)

    with_buckets(s3.url, use)


@pytest.mark.parametrize(
    ("bucket", "key"),
    [("lists", "none"), ("none", "all.csv"), ("arn:aws:s3:eu-west-1:1:accesspoint", "x"), ("LISTS", "x"), ("", "x")],
)
def test_what_is_not_there(s3: Seaweed, bucket: str, key: str) -> None:
    async def use(buckets: S3Buckets) -> Any:
        return await buckets.look(bucket, key)

    with pytest.raises(NotFound, match=r"does not exist or cannot be read\.$"):
        with_buckets(s3.url, use)


def test_wrong_keys_are_no_object(s3: Seaweed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    s3.client().put_object(Bucket="lists", Key="all.csv", Body=b"x")

    async def use(buckets: S3Buckets) -> Any:
        return await buckets.look("lists", "all.csv")

    with pytest.raises(NotFound):
        with_buckets(s3.url, use)


def test_nobody_there_means_later() -> None:
    async def use(buckets: S3Buckets) -> Any:
        return await buckets.look("lists", "all.csv")

    with pytest.raises(Unreachable, match=r"^S3 cannot be used now: "):
        with_buckets(f"http://127.0.0.1:{free_port()}", use)
