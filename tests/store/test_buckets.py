"""Buckets in folders: objects are inside, whatever a key says; a bucket is its account's."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from mailstead.base.errors import NotFound
from mailstead.base.objects import Owners
from mailstead.store.buckets import FolderBuckets


def look(root: Path, bucket: str, key: str) -> tuple[int, str]:
    return asyncio.run(FolderBuckets(root).look(bucket, key))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "buckets" / "lists" / "may").mkdir(parents=True)
    (tmp_path / "buckets" / "lists" / "may" / "all.csv").write_bytes(b"0123456789")
    (tmp_path / "buckets" / "secret").write_text("secret")
    return tmp_path / "buckets"


def test_an_object_is_read_in_pieces(root: Path) -> None:
    async def scenario() -> None:
        buckets = FolderBuckets(root)
        size, tag = await buckets.look("lists", "may/all.csv")
        assert size == 10
        assert await buckets.read("lists", "may/all.csv", tag, 0, 4) == b"0123"
        assert await buckets.read("lists", "may/all.csv", tag, 8, 4) == b"89"
        assert await buckets.read("lists", "may/all.csv", tag, 10, 4) == b""

    asyncio.run(scenario())


@pytest.mark.parametrize("replaced", [True, False])
def test_another_edition_is_not_read(root: Path, replaced: bool) -> None:
    async def scenario() -> None:
        buckets, place = FolderBuckets(root), root / "lists" / "may" / "all.csv"
        _, tag = await buckets.look("lists", "may/all.csv")
        if replaced:
            place.with_name("new").write_bytes(b"9876543210")
            place.with_name("new").rename(place)
        else:
            place.unlink()
        with pytest.raises(NotFound):
            await buckets.read("lists", "may/all.csv", tag, 0, 4)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("bucket", "key"),
    [
        ("lists", "no.csv"),
        ("none", "may/all.csv"),
        ("lists", "may"),
        ("lists", "may/"),
        ("lists", "../secret"),
        ("lists", "may/../../secret"),
        ("lists", "/secret"),
        ("lists", "may//all.csv"),
        ("lists", "./may/all.csv"),
        ("lists", "may/all.csv\0"),
        ("lists", ""),
        ("lists", "x" * 300),
        ("lists", "x/" * 600 + "x"),
        ("lists", "\udcff"),
        ("..", "secret"),
        (".", "secret"),
        ("a..b", "secret"),
        ("LISTS", "may/all.csv"),
        ("", "lists/may/all.csv"),
        ("lists/may", "all.csv"),
    ],
)
def test_what_is_not_there_or_not_inside(root: Path, bucket: str, key: str) -> None:
    with pytest.raises(NotFound, match=r"^The object s3://.* does not exist or cannot be read\.$"):
        look(root, bucket, key)


def test_a_link_out_leads_nowhere(root: Path) -> None:
    (root / "lists" / "way.csv").symlink_to(root.parent / "secret")
    (root / "lists" / "out").symlink_to(root.parent)
    (root / "lists" / "round").symlink_to("round")
    for key in ("way.csv", "out/secret", "round"):
        with pytest.raises(NotFound):
            look(root, "lists", key)
    (root / "lists" / "in.csv").symlink_to("may/all.csv")
    assert look(root, "lists", "in.csv")[0] == 10


def test_a_pipe_keeps_nobody_waiting(root: Path) -> None:
    os.mkfifo(root / "lists" / "pipe")
    with pytest.raises(NotFound):
        look(root, "lists", "pipe")


def test_a_bucket_is_its_accounts() -> None:
    owners = Owners({"theirs": "222222222222"}, "111111111111")
    assert owners.may("222222222222", "theirs")
    assert not owners.may("111111111111", "theirs")
    assert owners.may("111111111111", "any")
    assert not owners.may("222222222222", "any")
    everybody = Owners({"theirs": "222222222222"}, "")
    assert everybody.may("333333333333", "any")
    assert not everybody.may("333333333333", "theirs")
