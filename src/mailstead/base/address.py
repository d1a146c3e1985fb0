"""Addresses: mailbox addresses and domains as they stand in an envelope (RFC 5321 §4.1.2, RFC 6531 §3.3)."""

from __future__ import annotations

import re
from dataclasses import dataclass

import idna

from mailstead.base.errors import Invalid

MAX_LOCAL = 64  # RFC 5321 §4.5.3.1.1
MAX_DOMAIN = 255  # RFC 5321 §4.5.3.1.2
MAX_PATH = 254  # RFC 5321 §4.5.3.1.3, without the angle brackets

_DOT_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
_HOST_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
USUAL_ADDRESS = rf"{_DOT_ATOM}@{_HOST_LABEL}(?:\.{_HOST_LABEL})*"
"""What nearly all addresses look like, as a pattern; lengths are another matter."""

_USUAL = re.compile(rf"(?=[^@]{{1,{MAX_LOCAL}}}@){USUAL_ADDRESS}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_ATOM = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.\-\u0080-\ud7ff\ue000-\U0010ffff]+")
_QUOTED = re.compile(r'"(?:[\x20\x21\x23-\x5b\x5d-\x7e\u0080-\ud7ff\ue000-\U0010ffff]|\\[\x20-\x7e])*"')
_LITERAL = re.compile(r"\[(?:\d{1,3}(?:\.\d{1,3}){3}|IPv6:[0-9A-Fa-f:.]+)\]", re.IGNORECASE)


def domain_of(address: str) -> str:
    """The domain of an address in lower case and A-labels (RFC 5890 §2.3.2.1); empty if there is none."""
    return ascii_domain(address.rpartition("@")[2]) if "@" in address else ""


def ascii_domain(domain: str) -> str:
    """A domain in lower case and A-labels.

    Raises:
        Invalid: it cannot be a domain.
    """
    if domain.isascii():
        return domain.lower()
    try:
        return idna.encode(domain, uts46=True).decode("ascii").lower()
    except (idna.IDNAError, UnicodeError):
        raise Invalid("Domain contains illegal character") from None


def unicode_domain(domain: str) -> str:
    """A domain for people: U-labels where they decode."""
    try:
        return idna.decode(domain)
    except (idna.IDNAError, UnicodeError):
        return domain


def is_domain(domain: str) -> bool:
    """Is this a host name of at least one label, or an address literal?"""
    if _LITERAL.fullmatch(domain):
        return True
    if not domain or len(domain) > MAX_DOMAIN:
        return False
    return all(_LABEL.fullmatch(label) for label in domain.split("."))


def _controls(text: str) -> bool:
    return _CONTROL.search(text) is not None


def _check_local(local: str) -> None:
    if _controls(local):
        raise Invalid("Local address contains control or whitespace")
    if _QUOTED.fullmatch(local):
        return
    if " " in local:
        raise Invalid("Local address contains control or whitespace")
    if not _ATOM.fullmatch(local) or local.startswith(".") or local.endswith(".") or ".." in local:
        raise Invalid("Local address contains illegal character")


def _check_domain(domain: str) -> None:
    if _controls(domain) or " " in domain:
        raise Invalid("Domain contains control or whitespace")
    if domain.endswith("."):
        raise Invalid("Domain ends with dot")
    if not is_domain(ascii_domain(domain)):
        raise Invalid("Domain contains illegal character")


def check_address(address: str) -> None:
    """Refuse what is not ``local@domain``, in the words SES uses (SES: wire §9).

    Raises:
        Invalid: with SES's text.
    """
    if len(address) <= MAX_PATH and _USUAL.fullmatch(address):
        return  # in one look, what nearly all addresses are; the steps below would say the same
    local, at, domain = address.rpartition("@")
    if not at:
        raise Invalid("Missing final '@domain'")
    if not local:
        raise Invalid("Missing local name")
    if not domain:
        raise Invalid("Missing domain")
    _check_local(local)
    _check_domain(domain)
    if len(local.encode()) > MAX_LOCAL or len(address.encode()) > MAX_PATH:
        raise Invalid("Illegal address")


def is_address(address: str) -> bool:
    """Is this ``local@domain``?"""
    try:
        check_address(address)
    except Invalid:
        return False
    return True


def bare(address: str) -> str:
    """An address with its domain in lower case and A-labels; the local part as written (it may be case-sensitive)."""
    if address.isascii() and address.islower():
        return address
    local, at, domain = address.rpartition("@")
    return f"{local}{at}{ascii_domain(domain)}"


@dataclass(frozen=True, slots=True)
class Envelope:
    """Who gets the message and who hears of trouble: the outside of a letter, not its From and To fields."""

    sender: str
    """The reverse-path; empty is the null reverse-path."""
    recipients: tuple[str, ...]
    """Forward-paths, each once, in the order they were given."""
