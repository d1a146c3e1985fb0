"""Secrets open with their key and their owner, and never otherwise."""

from __future__ import annotations

import base64
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from mailstead.base.errors import Invalid
from mailstead.store.vault import Vault

KEY = bytes(range(32))


@given(st.binary(max_size=200), st.text(max_size=40))
def test_what_was_sealed_opens(plain: bytes, context: str) -> None:
    sealed = Vault(KEY).seal(plain, context)
    assert Vault(KEY).open(sealed, context) == plain
    assert len(sealed) == len(plain) + 29


def test_the_form_is_the_one_we_documented() -> None:
    sealed = Vault(KEY).seal(b"secret", "access_keys:AKIA1")
    assert sealed[0] == 1
    assert AESGCM(KEY).decrypt(sealed[1:13], sealed[13:], b"\x01access_keys:AKIA1") == b"secret"


@given(st.integers(0, 34), st.integers(1, 255))
def test_a_changed_byte_does_not_open(place: int, change: int) -> None:
    sealed = bytearray(Vault(KEY).seal(b"secret", "c"))
    sealed[place] ^= change
    with pytest.raises(Invalid):
        Vault(KEY).open(bytes(sealed), "c")


def test_another_key_or_owner_does_not_open() -> None:
    sealed = Vault(KEY).seal(b"secret", "c")
    for vault, context in ((Vault(bytes(32)), "c"), (Vault(KEY), "d")):
        with pytest.raises(Invalid, match="does not open"):
            vault.open(sealed, context)
    for cut in range(len(sealed)):
        with pytest.raises(Invalid):
            Vault(KEY).open(sealed[:cut], "c")


def test_two_sealings_differ() -> None:
    assert len({Vault(KEY).seal(b"secret", "c") for _ in range(100)}) == 100


def test_no_secret_in_what_is_printed() -> None:
    text = repr(Vault(KEY)) + str(Vault(KEY))
    assert KEY.hex() not in text
    assert repr(KEY)[2:-1] not in text


def test_a_key_file_is_made_once(tmp_path: Path) -> None:
    file = tmp_path / "master.key"
    sealed = Vault.load_or_create(file).seal(b"secret", "c")
    assert file.stat().st_mode & 0o777 == 0o600
    assert Vault.load_or_create(file).open(sealed, "c") == b"secret"
    assert Vault.from_text(file.read_text()).open(sealed, "c") == b"secret"
    assert [path.name for path in tmp_path.iterdir()] == ["master.key"]


def test_of_many_makers_one_wins(tmp_path: Path) -> None:
    file = tmp_path / "master.key"
    with ThreadPoolExecutor(8) as threads:
        vaults = list(threads.map(Vault.load_or_create, [file] * 8))
    sealed = vaults[0].seal(b"secret", "c")
    assert {vault.open(sealed, "c") for vault in vaults} == {b"secret"}


@pytest.mark.parametrize(
    "content", [b"", b"short", base64.b64encode(b"x" * 31), base64.b64encode(b"x" * 33), b"\xff" * 32, b"!" * 44]
)
def test_a_wrong_key_file_is_said_plainly_and_kept(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "master.key"
    file.write_bytes(content)
    with pytest.raises(Invalid, match=r"master\.key does not hold a master key"):
        Vault.load_or_create(file)
    assert file.read_bytes() == content


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="missing"):
        Vault.load_or_create(tmp_path / "missing" / "master.key")
