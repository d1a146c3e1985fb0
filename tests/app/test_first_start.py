"""First start: an installation begins with one account, one key and a credentials file; a second one adds nothing."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from mailstead.app import first_start
from mailstead.app.credentials_file import read_credentials
from mailstead.app.opening import open_runtime
from mailstead.config import Settings, load
from mailstead.proto.sigv4 import smtp_password
from mailstead.runtime import Runtime
from mailstead.ses import account as accounts
from mailstead.ses import credentials, dkim_keys

T = TypeVar("T")


def during(settings: Settings, body: Callable[[Runtime], Awaitable[T]]) -> T:
    """Open the installation, run the body, close it."""

    async def both() -> T:
        async with open_runtime(settings) as runtime:
            return await body(runtime)

    return asyncio.run(both())


def start(settings: Settings) -> dict[str, list[tuple[object, ...]]]:
    """Start; all rows then."""

    async def body(runtime: Runtime) -> dict[str, list[tuple[object, ...]]]:
        await first_start.prepare(runtime, settings)
        tables = ("accounts", "account_regions", "principals", "access_keys", "dkim_keys")
        return {
            table: await runtime.db.read(lambda tx, table=table: tx.rows(f"SELECT * FROM {table} ORDER BY 1, 2"))
            for table in tables
        }

    return during(settings, body)


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    sets = [f"storage.database={database_url}", "provider.domain=mail.example.org", "regions=us-east-1,eu-west-1"]
    return load(data=tmp_path / "data", sets=sets)


def test_a_first_start_makes_what_is_missing(settings: Settings) -> None:
    rows = start(settings)
    assert [row[0] for row in rows["accounts"]] == ["000000000000"]
    assert [row[:2] for row in rows["account_regions"]] == [
        ("000000000000", "eu-west-1"),
        ("000000000000", "us-east-1"),
    ]
    assert len(rows["access_keys"]) == 1
    assert [row[:3] for row in rows["dkim_keys"]] == [("", "", "mail.example.org")]


def test_the_credentials_open_the_account(settings: Settings) -> None:
    start(settings)
    place = settings.data / "credentials"
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    told = read_credentials(place)
    assert told.region == "us-east-1"

    async def look(runtime: Runtime) -> tuple[str, str]:
        found = await runtime.db.read(lambda tx: credentials.find(tx, told.access_key))
        assert found is not None
        return credentials.caller(found, "us-east-1").arn, credentials.secret(runtime.vault, found)

    assert during(settings, look) == ("arn:aws:iam::000000000000:root", told.secret)
    assert told.others["smtp_username"] == told.access_key
    assert told.others["smtp_password"] == smtp_password(told.secret, "us-east-1")
    assert told.others["capture_user"] == "capture"
    assert len({told.others["capture_password"], told.others["console_password"]}) == 2


def test_a_second_start_changes_nothing(settings: Settings) -> None:
    before = start(settings)
    file = (settings.data / "credentials").read_bytes()
    assert start(settings) == before
    assert (settings.data / "credentials").read_bytes() == file


def test_an_operators_own_account_stays_the_only_one(settings: Settings) -> None:
    async def create(runtime: Runtime) -> None:
        await runtime.db.run(lambda tx: accounts.create(tx, "123456789012"))

    during(settings, create)
    rows = start(settings)
    assert [row[0] for row in rows["accounts"]] == ["123456789012"]
    assert rows["access_keys"] == []
    assert not (settings.data / "credentials").exists()


def test_a_start_that_died_before_its_commit_begins_again(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(first_start, "write_credentials", full)
        with pytest.raises(OSError, match="No space"):
            start(settings)
    rows = start(settings)
    told = read_credentials(settings.data / "credentials")
    assert [row[0] for row in rows["access_keys"]] == [told.access_key]


def test_without_a_provider_nobody_signs_for_it(tmp_path: Path) -> None:
    rows = start(load(data=tmp_path / "data"))
    assert rows["dkim_keys"] == []


def test_the_providers_key_can_be_read(settings: Settings) -> None:
    start(settings)

    async def look(runtime: Runtime) -> str:
        (row,) = await runtime.db.read(lambda tx: dkim_keys.provider_keys(tx, "mail.example.org"))
        return dkim_keys.open_key(runtime.vault, row).domain

    assert during(settings, look) == "mail.example.org"


def test_the_certificate_is_made_once(tmp_path: Path) -> None:
    settings = load(data=tmp_path / "data")

    async def make(runtime: Runtime) -> tuple[str, str]:
        return first_start.certificate(runtime, settings, "mail.example.org")

    paths = during(settings, make)
    before = [Path(path).read_bytes() for path in paths]
    assert stat.S_IMODE(Path(paths[1]).stat().st_mode) == 0o600
    assert during(settings, make) == paths
    assert [Path(path).read_bytes() for path in paths] == before
