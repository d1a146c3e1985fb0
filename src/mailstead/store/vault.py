"""The vault: secrets at rest (secret keys, signing keys) sealed under the installation's master key.

AES-256-GCM. A sealed value is a version byte, a nonce of 12 bytes, the ciphertext and its tag of 16. The context (what
the secret belongs to) is authenticated with it: a sealed value copied to another row does not open there.
"""

from __future__ import annotations

import base64
import binascii
import os
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mailstead.base.errors import Invalid

KEY_BYTES = 32
_VERSION = b"\x01"
_NONCE = 12
_TAG = 16


class Vault:
    """Seals and opens under one master key of 32 bytes.

    Raises:
        Invalid: the key has another length.
    """

    __slots__ = ("_cipher",)

    def __init__(self, master_key: bytes) -> None:
        if len(master_key) != KEY_BYTES:
            raise Invalid(f"The master key must be {KEY_BYTES} bytes, not {len(master_key)}")
        self._cipher = AESGCM(master_key)

    def seal(self, plain: bytes, context: str) -> bytes:
        """``plain`` as only ``open`` with the same key and context can read it; 29 bytes longer."""
        nonce = os.urandom(_NONCE)
        return _VERSION + nonce + self._cipher.encrypt(nonce, plain, _VERSION + context.encode())

    def open(self, sealed: bytes, context: str) -> bytes:
        """What was sealed.

        Raises:
            Invalid: another key, another context, or changed bytes.
        """
        if sealed[:1] != _VERSION or len(sealed) < 1 + _NONCE + _TAG:
            raise Invalid("The sealed value has an unknown form")
        try:
            return self._cipher.decrypt(
                bytes(sealed[1 : 1 + _NONCE]), bytes(sealed[1 + _NONCE :]), _VERSION + context.encode()
            )
        except InvalidTag:
            raise Invalid("The sealed value does not open: another master key, another owner, or damage") from None

    @classmethod
    def from_text(cls, text: str) -> Vault:
        """A vault from a master key in base64 (``secrets.master_key``).

        Raises:
            Invalid: it is not 32 bytes in base64.
        """
        try:
            key = base64.b64decode(text.strip(), validate=True)
        except (binascii.Error, ValueError):
            raise Invalid("The master key is not base64") from None
        return cls(key)

    @classmethod
    def load_or_create(cls, path: str | os.PathLike[str]) -> Vault:
        """The vault whose master key stands in a file; a new random one (mode 0600, on the disk) if there is none.

        Raises:
            Invalid: the file does not hold a master key.
            OSError: it can be neither read nor made.
        """
        file = Path(path)
        if not file.exists():
            _create(file)
        try:
            return cls.from_text(file.read_bytes().decode("ascii"))
        except UnicodeDecodeError:
            raise Invalid(f"{file} does not hold a master key: it is not base64") from None
        except Invalid as error:
            raise Invalid(f"{file} does not hold a master key: {error.message}") from None


def _create(file: Path) -> None:
    """Written under another name and linked: the file is whole or not there, and of two makers one wins."""
    draft = file.with_name(f".{file.name}.{os.getpid()}.{os.urandom(4).hex()}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        try:
            os.write(handle, base64.b64encode(os.urandom(KEY_BYTES)) + b"\n")
            os.fsync(handle)
        finally:
            os.close(handle)
        try:
            os.link(draft, file)
        except FileExistsError:
            return
    finally:
        draft.unlink()
    folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
