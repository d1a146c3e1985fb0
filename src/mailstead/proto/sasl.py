"""SASL: how a client proves who it is. PLAIN (RFC 4616) and LOGIN, the server's side and what a client sends.

Not done: SCRAM.
"""

from __future__ import annotations

import binascii
from base64 import b64encode
from dataclasses import dataclass, field
from typing import Protocol

from mailstead.proto.errors import RemoteProtocolError


class MalformedResponse(RemoteProtocolError):
    """The client's response is not base64, or not what the mechanism asks for."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a client showed. ``authzid`` is whom it wants to act as; empty: as itself."""

    mechanism: str
    username: str
    password: str = field(repr=False)
    authzid: str = ""


class Exchange(Protocol):
    """One run of a mechanism: challenge, response, and again until there are credentials."""

    def challenge(self) -> str:
        """The next challenge in base64; may be empty."""
        ...

    def respond(self, response: bytes) -> Credentials | None:
        """Take a decoded response; None: ask the next challenge."""
        ...


def decode(line: bytes) -> bytes:
    """A response line from base64 (RFC 4648 §4, strictly).

    Raises:
        MalformedResponse: it is none.
    """
    try:
        return binascii.a2b_base64(line.strip(b" \t"), strict_mode=True)
    except binascii.Error:
        raise MalformedResponse("not base64") from None


def _text(raw: bytes) -> str:
    if b"\0" in raw:  # RFC 4616 §2: in no name and no password
        raise MalformedResponse("a NUL")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise MalformedResponse("not UTF-8") from None


class Plain:
    """PLAIN: ``authzid NUL authcid NUL password`` in one response (RFC 4616 §2)."""

    __slots__ = ()

    def challenge(self) -> str:
        return ""

    def respond(self, response: bytes) -> Credentials | None:
        parts = response.split(b"\0")
        if len(parts) != 3:
            raise MalformedResponse("not authzid, authcid and password")
        authzid, username, password = map(_text, parts)
        return Credentials("PLAIN", username, password, authzid)


class Login:
    """LOGIN: two prompts, user name and password (draft-murchison-sasl-login, what SES and Outlook speak)."""

    __slots__ = ("_username",)

    def __init__(self) -> None:
        self._username: str | None = None

    def challenge(self) -> str:
        return "VXNlcm5hbWU6" if self._username is None else "UGFzc3dvcmQ6"  # "Username:", "Password:"

    def respond(self, response: bytes) -> Credentials | None:
        text = _text(response)
        if self._username is None:
            self._username = text
            return None
        return Credentials("LOGIN", self._username, text)


def exchange(mechanism: str) -> Exchange | None:
    """A new run of the mechanism of that name (upper case), or None if it is unknown."""
    if mechanism == "PLAIN":
        return Plain()
    return Login() if mechanism == "LOGIN" else None


def encode(text: str) -> bytes:
    """A client's response in base64."""
    return b64encode(text.encode())


def plain(username: str, password: str) -> bytes:
    """A client's whole PLAIN response in base64."""
    return encode(f"\0{username}\0{password}")
