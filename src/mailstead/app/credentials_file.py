"""The credentials file: ``DIR/credentials``, an AWS shared-credentials file that any SDK reads.

Profile ``default`` is the first account's key; section ``[mailstead]`` holds what else was made at first start.
"""

from __future__ import annotations

import configparser
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mailstead.base.errors import NotFound

NAME = "credentials"
OURS = "mailstead"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the file holds."""

    access_key: str
    secret: str = field(repr=False)
    region: str
    others: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Section ``[mailstead]``: smtp_username, smtp_password, capture_user, capture_password, console_user, …"""


def write_credentials(path: Path, *, access_key: str, secret: str, region: str, others: Mapping[str, str]) -> None:
    """Write the file, mode 0600, whole or not at all, on the disk when this returns.

    Raises:
        OSError: it cannot be written.
    """
    lines = [
        "# Made by mailstead at its first start.  AWS_SHARED_CREDENTIALS_FILE=this file",
        "[default]",
        f"aws_access_key_id = {access_key}",
        f"aws_secret_access_key = {secret}",
        f"region = {region}",
        "",
        f"[{OURS}]",
        *(f"{name} = {value}" for name, value in others.items()),
    ]
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    try:
        os.write(handle, ("\n".join(lines) + "\n").encode())
        os.fsync(handle)
    finally:
        os.close(handle)
    draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_credentials(path: Path) -> Credentials:
    """The file's content.

    Raises:
        NotFound: there is none, it cannot be read, or it is not ours.
    """
    parser = configparser.ConfigParser(interpolation=None)  # a secret may hold a percent sign
    try:
        parser.read_string(path.read_text(encoding="utf-8"))
        main = parser["default"]
        others = dict(parser[OURS]) if parser.has_section(OURS) else {}
        return Credentials(
            main["aws_access_key_id"], main["aws_secret_access_key"], main.get("region", "us-east-1"), others
        )
    except OSError as error:
        raise NotFound(f"cannot read {path}: {error.strerror}") from None
    except (configparser.Error, KeyError, UnicodeDecodeError):
        raise NotFound(f"{path} holds no access key") from None
