"""Commands: what an SMTP client asks, one line each, as values (RFC 5321 §4.1.1 and the extensions we know).

Generous where real clients are sloppy: a blank after the colon, an address without angle brackets, a source route.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mailstead.base.address import MAX_PATH, USUAL_ADDRESS, ascii_domain, is_domain
from mailstead.base.errors import Invalid
from mailstead.proto.errors import RemoteProtocolError

MAX_LINE = 4096  # RFC 5321 §4.5.3.1.4 says 512, extensions add to it
MAX_AUTH_LINE = 12288  # RFC 4954 §4

# What nearly every client sends: a plain address in brackets and nothing behind it.
_ORDINARY = rf"[ \t]*<({USUAL_ADDRESS})>[ \t]*"
_ORDINARY_FROM = re.compile("FROM:" + _ORDINARY, re.IGNORECASE | re.ASCII)  # ASCII: else a "ſ" is an "s"
_ORDINARY_TO = re.compile("TO:" + _ORDINARY, re.IGNORECASE | re.ASCII)

_FROM = re.compile(r"FROM[ \t]*:[ \t]*", re.IGNORECASE)
_TO = re.compile(r"TO[ \t]*:[ \t]*", re.IGNORECASE)
_BRACKETS = re.compile(r'<((?:[^<>"]|"(?:[^"\\]|\\.)*+")*+)>')
_BARE = re.compile(r"[^\s<>]++")
_ROUTE = re.compile(r"@[^:,@]++(?:,@[^:,@]++)*+:")  # RFC 5321 §4.1.1.3, appendix C: accepted and ignored
_ATEXT = r"A-Za-z0-9!#$%&'*+/=?^_`{|}~\-"
_DOT_ATOM = re.compile(rf"[{_ATEXT}\u00a0-\U0010ffff]++(?:\.[{_ATEXT}\u00a0-\U0010ffff]++)*+")
_QUOTED = re.compile(r'"(?:[\x20\x21\x23-\x5b\x5d-\x7e\u00a0-\U0010ffff]|\\[\x20-\x7e])*+"')
_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*+)(?:=([^\x00-\x20\x7f]++))?")
_NAME = re.compile(r"[^\x00-\x20\x7f]{1,255}")
_CHUNK = re.compile(r"([0-9]{1,20})(?:[ \t]+(LAST))?[ \t]*", re.IGNORECASE)


class CommandError(RemoteProtocolError):
    """A command that breaks its grammar. ``verb`` says which; ``address`` is the text at fault if it was an address."""

    def __init__(self, verb: str, address: str | None = None) -> None:
        super().__init__(f"syntax error in {verb}")
        self.verb = verb
        self.address = address


@dataclass(frozen=True, slots=True)
class Ehlo:
    name: str


@dataclass(frozen=True, slots=True)
class Helo:
    name: str


@dataclass(frozen=True, slots=True)
class StartTls:
    pass


@dataclass(frozen=True, slots=True)
class Auth:
    """``initial`` is the initial response as written (base64, ``=`` for an empty one), None if there is none."""

    mechanism: str
    initial: bytes | None


@dataclass(frozen=True, slots=True)
class Mail:
    """``address`` without angle brackets; empty is the null reverse-path. ``params``: upper-case name to value."""

    address: str
    params: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Rcpt:
    """``address`` without angle brackets and source route; only ``postmaster`` may lack a domain."""

    address: str
    params: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Data:
    pass


@dataclass(frozen=True, slots=True)
class Bdat:
    """A chunk of ``size`` octets follows (RFC 3030 §2)."""

    size: int
    last: bool


@dataclass(frozen=True, slots=True)
class Rset:
    pass


@dataclass(frozen=True, slots=True)
class Noop:
    pass


@dataclass(frozen=True, slots=True)
class Quit:
    pass


@dataclass(frozen=True, slots=True)
class Vrfy:
    text: str


@dataclass(frozen=True, slots=True)
class Expn:
    text: str


@dataclass(frozen=True, slots=True)
class Help:
    text: str


@dataclass(frozen=True, slots=True)
class Unknown:
    verb: str


Command = Ehlo | Helo | StartTls | Auth | Mail | Rcpt | Data | Bdat | Rset | Noop | Quit | Vrfy | Expn | Help | Unknown


def parse(line: bytes) -> Command:
    """A command line without its line end.

    Raises:
        CommandError: a known verb with a wrong argument, or bytes that are not UTF-8.
    """
    ready = _READY.get(line)
    if ready is not None:
        return ready
    try:
        text = line.decode()
    except UnicodeDecodeError:
        return _undecodable(line)
    verb, _, rest = text.partition(" ")
    form = _FORMS.get(verb) or _FORMS.get(verb.upper().strip())
    return Unknown(verb[:32]) if form is None else form(rest)


def is_mailbox(address: str) -> bool:
    """Is this a Mailbox of RFC 5321 §4.1.2 or RFC 6531 §3.3?

    The local part may be longer than 64 octets: return paths that carry an address in themselves are, and are real.
    """
    local, at, domain = address.rpartition("@")
    if not at or len(address) > MAX_PATH or not (_DOT_ATOM.fullmatch(local) or _QUOTED.fullmatch(local)):
        return False
    try:
        return is_domain(ascii_domain(domain))
    except Invalid:
        return False


def _undecodable(line: bytes) -> Command:
    text = line.decode("utf-8", "replace")
    verb, _, rest = text.partition(" ")
    verb = verb.upper()
    if verb not in _FORMS:
        return Unknown(verb[:32])
    raise CommandError(verb, rest.partition(":")[2].strip(" \t<>") if verb in ("MAIL", "RCPT") else None)


def _mail(rest: str) -> Command:
    match = _ORDINARY_FROM.fullmatch(rest)
    if match and len(rest) <= MAX_PATH:
        return Mail(match[1], {})
    address, more = _path("MAIL", rest, _FROM)
    if address and not is_mailbox(address):
        raise CommandError("MAIL", address)
    return Mail(address, _parameters("MAIL", more))


def _rcpt(rest: str) -> Command:
    match = _ORDINARY_TO.fullmatch(rest)
    if match and len(rest) <= MAX_PATH:
        return Rcpt(match[1], {})
    address, more = _path("RCPT", rest, _TO)
    if not is_mailbox(address) and address.lower() != "postmaster":  # RFC 5321 §4.5.1
        raise CommandError("RCPT", address)
    return Rcpt(address, _parameters("RCPT", more))


def _path(verb: str, rest: str, begin: re.Pattern[str]) -> tuple[str, str]:
    """The address, and what stands behind it."""
    start = begin.match(rest)
    if start is None:
        raise CommandError(verb)
    match = _BRACKETS.match(rest, start.end())
    if match:
        path = match[1].strip(" \t")
        route = _ROUTE.match(path)
        path = path[route.end() :] if route else path
    else:
        match = _BARE.match(rest, start.end())
        path = match[0] if match else ""
    if match is None or (rest[match.end() :] and rest[match.end()] not in " \t"):
        raise CommandError(verb, rest[start.end() :].strip(" \t<>"))
    return path, rest[match.end() :]


def _parameters(verb: str, text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for word in text.split():
        match = _PARAMETER.fullmatch(word)
        if match is None or match[1].upper() in found:
            raise CommandError(verb)
        found[match[1].upper()] = match[2] or ""
    if not found.get("SIZE", "0").isdecimal() or len(found.get("SIZE", "")) > 20:  # RFC 1870 §4
        raise CommandError(verb)
    return found


def _ehlo(rest: str) -> Command:
    return Ehlo(_greeting_name("EHLO", rest))


def _helo(rest: str) -> Command:
    return Helo(_greeting_name("HELO", rest))


def _greeting_name(verb: str, rest: str) -> str:
    name = rest.strip(" \t")
    if not _NAME.fullmatch(name):
        raise CommandError(verb)
    return name


def _auth(rest: str) -> Command:
    words = rest.split()
    if not 1 <= len(words) <= 2:
        raise CommandError("AUTH")
    return Auth(words[0].upper()[:32], words[1].encode() if len(words) == 2 else None)


def _bdat(rest: str) -> Command:
    match = _CHUNK.fullmatch(rest.lstrip(" \t"))
    if match is None:
        raise CommandError("BDAT")
    return Bdat(int(match[1]), match[2] is not None)


def _alone(verb: str, command: Command) -> Callable[[str], Command]:
    def form(rest: str) -> Command:
        if rest.strip(" \t"):
            raise CommandError(verb)
        return command

    return form


# What nearly every client sends of the commands that stand alone.
_READY: dict[bytes, Command] = {b"DATA": Data(), b"QUIT": Quit(), b"RSET": Rset(), b"STARTTLS": StartTls()}

_FORMS: dict[str, Callable[[str], Command]] = {
    "MAIL": _mail,
    "RCPT": _rcpt,
    "DATA": _alone("DATA", Data()),
    "EHLO": _ehlo,
    "HELO": _helo,
    "STARTTLS": _alone("STARTTLS", StartTls()),
    "AUTH": _auth,
    "BDAT": _bdat,
    "RSET": _alone("RSET", Rset()),
    "NOOP": lambda _: Noop(),
    "QUIT": _alone("QUIT", Quit()),
    "VRFY": lambda rest: Vrfy(rest.strip(" \t")),
    "EXPN": lambda rest: Expn(rest.strip(" \t")),
    "HELP": lambda rest: Help(rest.strip(" \t")),
}
