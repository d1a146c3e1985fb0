"""Bodies are whole or not there, wherever they live."""

from __future__ import annotations

import asyncio
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailstead.base.errors import Invalid, NotFound, Unreachable
from mailstead.store.files import LEFTOVER_SECONDS, FileBlobs
from peers.database import Ground

SMALL, LARGE = b"s" * 100, b"l" * 101


@pytest.fixture
def blobs(ground: Ground, tmp_path: Path) -> Iterator[FileBlobs]:
    store = FileBlobs(tmp_path / "blobs", ground.db, small=100)
    yield store
    ground.loop.run_until_complete(store.close())


def _store(ground: Ground, blobs: FileBlobs, key: str, content: bytes) -> str:
    ref = blobs.plan(key, content)
    ground.loop.run_until_complete(blobs.put(ref, content))
    ground.run(lambda tx: blobs.put_in(tx, ref, content))
    return ref


def _files(blobs: FileBlobs) -> list[Path]:
    return [path for path in blobs._root.rglob("*") if path.is_file()]


@pytest.mark.parametrize(("content", "ref"), [(SMALL, "db:k-1_a.b"), (LARGE, "file:k-1_a.b"), (b"", "db:k-1_a.b")])
def test_stored_read_and_forgotten(ground: Ground, blobs: FileBlobs, content: bytes, ref: str) -> None:
    for _ in range(2):  # twice is harmless
        assert _store(ground, blobs, "k-1_a.b", content) == ref
    assert ground.loop.run_until_complete(blobs.get(ref)) == content
    assert len(_files(blobs)) == (ref.startswith("file:"))
    for _ in range(2):
        ground.run(lambda tx: blobs.delete_in(tx, ref))
        ground.loop.run_until_complete(blobs.delete(ref))
    with pytest.raises(NotFound):
        ground.loop.run_until_complete(blobs.get(ref))
    assert _files(blobs) == []


def test_a_small_body_is_undone_with_its_transaction(ground: Ground, blobs: FileBlobs) -> None:
    async def body(tx: object) -> None:
        await blobs.put_in(tx, "db:k", SMALL)  # type: ignore[arg-type]
        raise LookupError

    with pytest.raises(LookupError):
        ground.run(body)
    with pytest.raises(NotFound):
        ground.loop.run_until_complete(blobs.get("db:k"))


def test_files_are_ours_alone(ground: Ground, blobs: FileBlobs) -> None:
    _store(ground, blobs, "k", LARGE)
    (path,) = _files(blobs)
    assert path.name == "k"
    assert len(path.relative_to(blobs._root).parts) == 3
    assert path.stat().st_mode & 0o777 == 0o600
    assert {folder.stat().st_mode & 0o777 for folder in path.parents[:3]} == {0o700}


@pytest.mark.parametrize("key", ["", ".", "..", "../x", "a/b", "a\0", "a\n", "é", "x" * 129, ".hidden", "a b"])
def test_a_key_cannot_leave_the_folder(ground: Ground, blobs: FileBlobs, key: str) -> None:
    with pytest.raises(Invalid):
        blobs.plan(key, b"")
    for ref in (f"file:{key}", f"db:{key}"):
        with pytest.raises(Invalid):
            ground.loop.run_until_complete(blobs.get(ref))


@given(st.text(max_size=140))
def test_any_key_is_safe_or_refused(key: str) -> None:
    store = object.__new__(FileBlobs)
    store._small = 0
    try:
        ref = store.plan(key, b"x")
    except Invalid:
        return
    assert ref == f"file:{key}"
    assert key == Path(key).name
    assert len(key.encode()) <= 128


def test_a_full_disk_leaves_no_part_of_a_body(ground: Ground, blobs: FileBlobs) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
    try:
        with pytest.raises(Unreachable, match="too large"):
            ground.loop.run_until_complete(blobs.put("file:k", b"x" * 1_000_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert _files(blobs) == []
    _store(ground, blobs, "k", b"x" * 1_000_000)


def test_leftovers_of_a_crash_are_swept(ground: Ground, blobs: FileBlobs) -> None:
    ref = _store(ground, blobs, "k", LARGE)
    drafts = blobs._root / "tmp"
    for name, age in (("old", LEFTOVER_SECONDS + 60), ("new", 60)):
        (drafts / name).write_bytes(b"part of a bo")
        then = (drafts / name).stat().st_mtime - age
        os.utime(drafts / name, (then, then))
    assert ground.loop.run_until_complete(blobs.sweep()) == 1
    assert [path.name for path in drafts.iterdir()] == ["new"]
    assert ground.loop.run_until_complete(blobs.get(ref)) == LARGE


def test_faults_that_were_asked_for(ground: Ground, blobs: FileBlobs) -> None:
    blobs.fail_next(2)
    with pytest.raises(Unreachable):
        ground.loop.run_until_complete(blobs.put("file:k", LARGE))
    with pytest.raises(Unreachable):
        ground.run(lambda tx: blobs.put_in(tx, "db:k", SMALL))
    assert _store(ground, blobs, "k", SMALL) == "db:k"


def test_many_at_once(ground: Ground, blobs: FileBlobs) -> None:
    async def scene() -> None:
        await asyncio.gather(*(blobs.put(f"file:k{n}", b"%d" % n * 200) for n in range(40)))
        assert [await blobs.get(f"file:k{n}") for n in range(40)] == [b"%d" % n * 200 for n in range(40)]

    ground.loop.run_until_complete(scene())
