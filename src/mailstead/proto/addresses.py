"""Addresses in header fields: From, To and their kind read into mailboxes, and written (RFC 5322 §3.4, §4.4).

Every address that some reader could take for the sender is found, or the field is refused: what stands in a comment or
in an encoded word is no address; two addresses in one place are an error.

Careful: a text in doubt is refused (``Invalid``) with the words of SES (SES: wire §9).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from mailstead.base.address import MAX_LOCAL, MAX_PATH, USUAL_ADDRESS, ascii_domain, check_address
from mailstead.base.errors import Invalid
from mailstead.proto import encoded_words
from mailstead.proto.charsets import decode_raw
from mailstead.proto.message import unfold

MAX_MAILBOXES = 10_000
MAX_FIELD = 64 * 1024  # characters of a list: some two thousand addresses; a longer one only keeps us busy
MAX_ONE = 4096  # characters of one mailbox with its name
MAX_DEPTH = 20
SHORT = 256  # characters of a field, up to which what was read is kept: senders write much the same again and again


@dataclass(frozen=True, slots=True)
class Mailbox:
    """One address of a field."""

    display: str
    """The name, encoded words read; empty if there is none."""
    address: str
    """``local@domain``; empty for ``<>`` where that may stand."""
    text: str
    """As written, on one line."""


class _Token(NamedTuple):
    kind: str
    text: str
    start: int
    end: int


_TOKEN = re.compile(
    r'(?P<blank>[ \t]+)|(?P<quoted>"(?:[^"\\]|\\.)*+")|(?P<literal>\[[^\[\]\\]*+\])|(?P<special>[<>,;:@.])'
    r'|(?P<atom>[^\x00-\x20\x7f"()<>\[\]:;@\\,.]+)'
)
_COMMENT_EDGE = re.compile(r"[()]|\\.")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_ESCAPE = re.compile(r"\\(.)")
_WORD_INSIDE = re.compile(r"=\?[^?]*\?[BbQq]\?")

_ATOMS = r"[\w!#$%&'*+/=?^`{|}~-]+"
# What nearly all fields hold: one address, with or without a plain name.
_SIMPLE = re.compile(rf'(?:(?:({_ATOMS}(?: {_ATOMS})*)|"([^"\\]*)")? ?<({USUAL_ADDRESS})>|({USUAL_ADDRESS}))')


def parse_list(value: bytes | str, *, null: bool = False) -> list[Mailbox]:
    """The mailboxes of a field's value, those of groups among them.

    Args:
        value: a field's value as it stands in the message (bytes, folded or not), or one line of text.
        null: ``<>`` may stand for nobody (Return-Path, RFC 5321 §4.5.5).

    Raises:
        Invalid: it is no address list; the text is SES's.
    """
    if simple := _short(value) if len(value) <= SHORT else None:
        return [simple]
    if len(value) > MAX_FIELD:
        raise Invalid("Illegal address")
    text = _line(value)
    if _CONTROL.search(text):
        raise Invalid("Local address contains control or whitespace")
    return _Reader(text, null=null).read()


def _line(value: bytes | str) -> str:
    return decode_raw(unfold(value)) if isinstance(value, bytes) else value.strip(" \t")


@lru_cache(maxsize=4096)
def _short(value: bytes | str) -> Mailbox | None:
    """What nearly all fields hold: one mailbox, simply written; None for all else."""
    text = _line(value)
    return None if _CONTROL.search(text) else _simple(text)


def parse_one(text: str) -> Mailbox:
    """The one mailbox of an API's string: ``a@b``, ``Name <a@b>``, ``=?UTF-8?B?…?= <a@b>``.

    Raises:
        Invalid: none, several, a line break, or no address.
    """
    if len(text) > MAX_ONE:
        raise Invalid("Illegal address")
    found = parse_list(text)
    if len(found) != 1:
        raise Invalid("Illegal address" if found else "Missing final '@domain'")
    return found[0]


def _simple(text: str) -> Mailbox | None:
    found = _SIMPLE.fullmatch(text)
    if found is None:
        return None
    atoms, quoted, angle, plain = found.groups()
    address = angle or plain
    long = len(address) > MAX_PATH or address.index("@") > MAX_LOCAL or len(address) - address.index("@") > MAX_PATH
    if long or "=?" in address:
        return None  # the long way tells what is wrong
    return Mailbox(encoded_words.decode(atoms or quoted or ""), address, text)


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    at = 0
    while at < len(text):
        if text[at] == "(":
            end = _comment_end(text, at)
            tokens.append(_Token("comment", text[at + 1 : end - 1], at, end))
        else:
            found = _TOKEN.match(text, at)
            if found is None:
                raise Invalid(_unreadable(text[at]))
            end = found.end()
            tokens.append(_Token(found.lastgroup or "", found[0], at, end))
        at = end
    return tokens


def _unreadable(char: str) -> str:
    return {'"': "Missing '\"'", "[": "Missing ']'", ")": "Missing '('"}.get(char, "Illegal address")


def _comment_end(text: str, start: int) -> int:
    """Offset behind a comment; comments nest (RFC 5322 §3.2.2)."""
    depth = 0
    for edge in _COMMENT_EDGE.finditer(text, start):
        if edge[0] == "(":
            depth += 1
            if depth > MAX_DEPTH:
                break
        elif edge[0] == ")":
            depth -= 1
            if not depth:
                return edge.end()
    raise Invalid("Missing ')'")


class _Reader:
    """Walks the tokens once; an item is what stands between commas."""

    def __init__(self, text: str, *, null: bool) -> None:
        self.text = text
        self.null = null
        self.group = False
        self.found: list[Mailbox] = []
        self.words: list[_Token] = []
        self.angle: list[_Token] | None = None
        self.inside = False

    def read(self) -> list[Mailbox]:
        for token in _tokens(self.text):
            if self.inside:
                self._in_angle(token)
            else:
                self._outside(token)
        if self.inside:
            raise Invalid("Missing '>'")
        self._finish()
        return self.found

    def _in_angle(self, token: _Token) -> None:
        assert self.angle is not None
        if token.kind == "special" and token.text in "<;":
            raise Invalid("Illegal address")
        if token.text == ">" and token.kind == "special":
            self.inside = False
            self.words.append(token)
        else:
            self.angle.append(token)

    def _outside(self, token: _Token) -> None:
        step = self._STEPS.get(token.text) if token.kind == "special" else None
        if step is not None:
            step(self, token)
        elif self.angle is not None and token.kind not in ("blank", "comment"):
            raise Invalid("Illegal address")  # something behind <a@b>
        else:
            self.words.append(token)

    def _open(self, token: _Token) -> None:
        if self.angle is not None:
            raise Invalid("Extra route-addr")
        self.words.append(token)
        self.angle = []
        self.inside = True

    def _close(self, token: _Token) -> None:
        raise Invalid("Missing '<'")

    def _comma(self, token: _Token) -> None:
        self._finish()

    def _colon(self, token: _Token) -> None:
        if self.group:
            raise Invalid("Nested group")
        if self.angle is not None or _solid(self.words) == [] or any(word.text == "@" for word in self.words):
            raise Invalid("Illegal address")
        self.group = True
        self.words = []

    def _semicolon(self, token: _Token) -> None:
        if not self.group:
            raise Invalid("Illegal semicolon, not in group")
        self._finish()
        self.group = False

    _STEPS = {"<": _open, ">": _close, ",": _comma, ":": _colon, ";": _semicolon}  # noqa: RUF012 - a table, never changed

    def _finish(self) -> None:
        words, angle = self.words, self.angle
        self.words, self.angle = [], None
        if not _solid(words):
            return
        if len(self.found) >= MAX_MAILBOXES:
            raise Invalid("Too many addresses")
        text = self.text[words[0].start : words[-1].end].strip(" \t")
        self.found.append(_plain(words, text) if angle is None else self._named(words, angle, text))

    def _named(self, words: list[_Token], angle: list[_Token], text: str) -> Mailbox:
        name = words[: next(index for index, word in enumerate(words) if word.text == "<" and word.kind == "special")]
        if not _solid(angle) and self.null:
            return Mailbox("", "", text)
        address = _address(_without_route(angle))
        _refuse_second_address(name, address)
        return Mailbox(_display(name) or _comment(words), address, text)


def _solid(tokens: list[_Token]) -> list[_Token]:
    return [token for token in tokens if token.kind not in ("blank", "comment")]


def _plain(words: list[_Token], text: str) -> Mailbox:
    return Mailbox(_comment(words), _address(words), text)


def _comment(words: list[_Token]) -> str:
    """The name as old mail has it: ``a@b (Name)``."""
    comments = [_ESCAPE.sub(r"\1", word.text).strip() for word in words if word.kind == "comment"]
    return encoded_words.decode(comments[-1]) if comments else ""


def _refuse_second_address(name: list[_Token], address: str) -> None:
    """``a@b <c@d>``: some readers take the first for the sender (CVE-2023-27043); only the same one may stand there."""
    if any(token.text == "@" and token.kind == "special" for token in name):
        first = "".join(token.text for token in _solid(name))
        if first.lower() != address.lower():
            raise Invalid("Illegal address")


def _without_route(angle: list[_Token]) -> list[_Token]:
    """``<@a,@b:c@d>`` is ``<c@d>`` (RFC 5321 §4.1.2, A-d-l)."""
    solid = _solid(angle)
    if not solid or solid[0].text != "@":
        return angle
    for index, token in enumerate(angle):
        if token.text == ":" and token.kind == "special":
            return angle[index + 1 :]
    raise Invalid("Illegal address")


def _address(tokens: list[_Token]) -> str:
    """An addr-spec; comments and blanks may stand around its dots and its at-sign only (RFC 5322 §4.4)."""
    parts: list[str] = []
    at_seen = False
    gap = False
    for token in tokens:
        if token.kind in ("blank", "comment"):
            gap = gap or token.kind == "blank"
            continue
        if gap and parts and parts[-1] not in ".@" and token.text not in (".", "@"):
            place = "Domain" if at_seen else "Local address"
            raise Invalid(f"{place} contains control or whitespace")
        if token.kind == "special" and token.text in ",:":
            raise Invalid("Illegal address")
        parts.append(token.text)
        at_seen = at_seen or token.text == "@"
        gap = False
    address = "".join(parts)
    check_address(address)
    if _WORD_INSIDE.search(address):  # RFC 2047 §5 (3): none may stand here, and who reads one sees another address
        raise Invalid("Local address contains illegal character")
    return address


def _display(tokens: list[_Token]) -> str:
    words: list[str] = []
    for token in tokens:
        if token.kind == "quoted":
            words.append(_ESCAPE.sub(r"\1", token.text[1:-1]))
        elif token.kind == "blank":
            words.append(" ")
        elif token.kind != "comment":
            words.append(token.text)
    return encoded_words.decode("".join(words).strip())


_PLAIN_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+/^_`{|}~ -]+")  # neither = nor ?: nothing that looks like an encoded word


def format_mailbox(display: str, address: str) -> str:
    """``address`` or ``Name <address>`` on one line of ASCII (RFC 2047 §5 for the name, RFC 5890 for the domain).

    Raises:
        Invalid: no address, one with a local part beyond ASCII, or control characters.
    """
    check_address(address)
    local, _, domain = address.rpartition("@")
    if not local.isascii():
        raise Invalid("Local address contains illegal character")
    if _CONTROL.search(display):
        raise Invalid("Display name contains control characters")
    spec = f"{local}@{ascii_domain(domain)}"
    return f"{_phrase(display)} <{spec}>" if display else spec


def _phrase(display: str) -> str:
    if not display.isascii():
        return " ".join(encoded_words.encode(display, width=60))  # behind "Reply-To: " too
    if _PLAIN_NAME.fullmatch(display) and display.strip() == display:
        return display
    escaped = display.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
