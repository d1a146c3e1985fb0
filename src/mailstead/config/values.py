"""Values of settings: durations, sizes, addresses, lists; from the text of an environment variable or a value of TOML.

Every reader takes a string, a number, a truth value or a list and raises ``ValueError`` for anything else; what it
would have taken stands in ``Kind.allowed``, for the error that people see.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Generic, TypeVar
from urllib.parse import unquote, urlsplit

from mailstead.base.address import ascii_domain, is_domain
from mailstead.base.clock import DAY, HOUR, MINUTE, SECOND
from mailstead.base.errors import Invalid
from mailstead.base.objects import is_bucket
from mailstead.ses.account import NewAccount, new_account

T = TypeVar("T")
Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """How a setting is read, and what it takes in words."""

    read: Callable[[object], T]
    allowed: str


@dataclass(frozen=True, slots=True)
class Listen:
    """One address that a listener binds; port 0 takes a free one."""

    host: str
    port: int
    tls: bool = False
    """HTTP listeners only: ``https://…``."""

    @property
    def loopback(self) -> bool:
        """Is it reached from this machine alone?"""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https://' if self.tls else ''}{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Smarthost:
    """A fixed next hop for everything that goes outside."""

    host: str
    port: int
    implicit_tls: bool = False
    username: str = ""
    password: str = field(default="", repr=False)

    @property
    def private(self) -> bool:
        """Is this a machine of our own ground: a private address, or a name that public DNS cannot have?"""
        try:
            return not ip_address(self.host).is_global
        except ValueError:
            return "." not in self.host or self.host.endswith(_PRIVATE_NAMES)


@dataclass(frozen=True, slots=True)
class HostedDomain:
    """A domain whose mail is received here."""

    domain: str
    account: str = ""
    """Empty: the first account."""


@dataclass(frozen=True, slots=True)
class TrustedNetwork:
    """Clients that submit without AUTH, for one account."""

    network: Network
    account: str

    @property
    def public(self) -> bool:
        """Does it hold addresses that are not of our own ground?"""
        network = self.network
        return not (network.is_private or network.is_loopback or network.is_link_local)


# RFC 6761, RFC 6762, RFC 8375, RFC 9476 and the names that site routers hand out.
_PRIVATE_NAMES = (".localhost", ".local", ".internal", ".lan", ".home.arpa", ".test", ".invalid", ".alt")

# -- text, numbers, truth ----------------------------------------------------------------------------------------------


def _text(value: object) -> str:
    if not isinstance(value, str) or any(ord(char) < 32 for char in value):
        raise ValueError
    return value.strip()


def _integer(least: int, most: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise ValueError
        if isinstance(value, str) and not re.fullmatch(r"-?[0-9]{1,18}", value.strip()):
            raise ValueError
        number = int(value)
        if not least <= number <= most:
            raise ValueError
        return number

    return read


_TRUTH = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def _boolean(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in _TRUTH:
        return _TRUTH[value.strip().lower()]
    raise ValueError


_DURATION = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?) ?(ms|min|m|sec|s|h|d|w)")
_UNITS = {"ms": 1, "s": SECOND, "sec": SECOND, "m": MINUTE, "min": MINUTE, "h": HOUR, "d": DAY, "w": 7 * DAY}
MAX_DURATION = 36500 * DAY


def _duration(value: object) -> int:
    text = _text(value).lower() if isinstance(value, str) else value
    if text in {0, "0"} and text is not False:
        return 0
    if not isinstance(text, str):
        raise ValueError
    total, at = 0.0, 0
    while at < len(text):
        match = _DURATION.match(text, at)
        if not match:
            raise ValueError
        total += float(match[1]) * _UNITS[match[2]]
        at = match.end() + (text[match.end() : match.end() + 1] == " ")
    if not text or total > MAX_DURATION:
        raise ValueError
    return round(total)


_SIZE = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,6})?) ?(b|kb|kib|mb|mib|gb|gib|tb|tib)?", re.IGNORECASE)
_POWERS = {"": 1, "b": 1} | {
    unit + suffix: base ** (power + 1)
    for power, unit in enumerate("kmgt")
    for suffix, base in (("b", 1000), ("ib", 1024))
}


def _size(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 60:
        return value
    match = _SIZE.fullmatch(_text(value))
    if not match:
        raise ValueError
    size = (float(match[1]) if "." in match[1] else int(match[1])) * _POWERS[(match[2] or "").lower()]
    if size >= 1 << 60 or size != int(size):
        raise ValueError
    return int(size)


def text_of_duration(milliseconds: int) -> str:
    """A duration as it is written in a setting: ``14h``, ``10s``, ``1500ms``."""
    for unit in ("w", "d", "h", "m", "s"):
        if milliseconds and milliseconds % _UNITS[unit] == 0 and (unit != "w" or milliseconds >= 28 * DAY):
            return f"{milliseconds // _UNITS[unit]}{unit}"
    return f"{milliseconds}ms"


def text_of_size(size: int) -> str:
    """A size as it is written in a setting: ``10MiB``."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if size and size % _POWERS[unit.lower()] == 0:
            return f"{size // _POWERS[unit.lower()]}{unit}"
    return str(size)


text = Kind(_text, "text")
boolean = Kind(_boolean, "true or false")
duration = Kind(_duration, "a duration like 14h, 90m, 10s or 500ms")
size = Kind(_size, "a size in bytes like 10MiB, 512KiB or 10 MB")


def integer(least: int = 0, most: int = 1 << 31) -> Kind[int]:
    """A whole number between two bounds, both included."""
    return Kind(_integer(least, most), f"a whole number from {least} to {most}")


def one_of(*words: str) -> Kind[str]:
    """One of a few words."""

    def read(value: object) -> str:
        word = _text(value)
        if word not in words:
            raise ValueError
        return word

    return Kind(read, _either(words))


def _either(words: tuple[str, ...]) -> str:
    return ", ".join(words[:-1]) + f" or {words[-1]}"


# -- lists -------------------------------------------------------------------------------------------------------------


def _items(value: object) -> list[str]:
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple):
        raise ValueError
    return [item for item in map(_text, parts) if item]


def list_of(item: Callable[[str], T], allowed: str) -> Kind[tuple[T, ...]]:
    """An array of TOML, or words with commas between them."""
    return Kind(lambda value: tuple(item(part) for part in _items(value)), f"a list of {allowed}")


def words_of(*known: str) -> Kind[tuple[str, ...]]:
    """A list whose members are known words."""
    return list_of(one_of(*known).read, f"these: {', '.join(known)}")


def _region(word: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9-]{1,40}", word):
        raise ValueError
    return word


def _regions(value: object) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(map(_region, _items(value))))
    if not found:
        raise ValueError
    return found


regions = Kind(_regions, "one region or more, like us-east-1,eu-west-1")


# -- hosts, networks, domains, accounts --------------------------------------------------------------------------------


def host_port(word: str, port: int = -1) -> tuple[str, int]:
    """``host:port``, ``[::1]:25``; without a port ``port``, if that is not negative.

    Raises:
        ValueError: it is not.
    """
    host, colon, number = word.rpartition(":")
    if not colon or (word.startswith("[") and word.endswith("]")):
        host, number = word, str(port)
    if not re.fullmatch(r"[0-9]{1,5}", number) or int(number) > 65535:
        raise ValueError
    if host.startswith("[") and host.endswith("]"):
        return str(ip_address(host[1:-1])), int(number)
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,252}[A-Za-z0-9])?", host):
        raise ValueError
    return host.lower(), int(number)


def _listen(word: str) -> Listen:
    return Listen(*host_port(word))


def _listen_http(word: str) -> Listen:
    tls, rest = word.startswith("https://"), re.sub(r"^https?://", "", word).rstrip("/")
    return Listen(*host_port(rest), tls=tls)


def _listener(item: Callable[[str], Listen]) -> Callable[[object], tuple[Listen, ...]]:
    def read(value: object) -> tuple[Listen, ...]:
        if value is False or _items(value) == ["off"]:
            return ()
        return tuple(map(item, _items(value)))

    return read


listener = Kind(_listener(_listen), 'addresses like 127.0.0.1:2587 or [::1]:25, or "off"')
http_listener = Kind(_listener(_listen_http), 'addresses like 127.0.0.1:4579 or https://[::]:443, or "off"')


def _smarthost(value: object) -> Smarthost | None:
    word = _text(value)
    if not word:
        return None
    if "://" not in word:
        host, port = host_port(word, 25)
        return Smarthost(host, port)
    url = urlsplit(word)
    if url.scheme not in {"smtp", "smtps"} or url.path.strip("/") or url.query or url.fragment:
        raise ValueError
    secure = url.scheme == "smtps"
    host, port = host_port(url.netloc.rpartition("@")[2], 465 if secure else 25)
    return Smarthost(host, port, secure, unquote(url.username or ""), unquote(url.password or ""))


smarthost = Kind(_smarthost, "host:port or smtp[s]://user:password@host:port")


def _resolver(value: object) -> str:
    word = _text(value)
    if word == "system":
        return word
    host, port = host_port(word, 53)
    ip_address(host)
    return str(Listen(host, port))


resolver = Kind(_resolver, "system, or an address like 127.0.0.1:5302")


def _account(word: str) -> str:
    if not re.fullmatch(r"[0-9]{12}", word):
        raise ValueError
    return word


account = Kind(lambda value: _account(_text(value)), "an account id of 12 digits")


def _domain(value: object) -> str:
    try:
        name = ascii_domain(_text(value).rstrip("."))
    except Invalid:
        raise ValueError from None
    if not is_domain(name) or name.startswith("["):
        raise ValueError
    return name


domain = Kind(_domain, "a domain name")
hostname = Kind(lambda value: _domain(value) if value != "" else "", "a host name")


def _hosted(word: str) -> HostedDomain:
    name, equals, owner = word.partition("=")
    return HostedDomain(_domain(name.strip()), _account(owner.strip()) if equals else "")


def _bucket(word: str) -> tuple[str, str]:
    bucket, _, owner = word.partition("=")
    if not is_bucket(bucket.strip()):
        raise ValueError
    return bucket.strip(), _account(owner.strip())


buckets = list_of(_bucket, "buckets with their accounts like lists=000000000000")
hosted = list_of(_hosted, "domains, each example.com or example.com=ACCOUNT")


def _network(word: str) -> Network:
    return ip_network(word.strip(), strict=False)


def _trusted(word: str) -> TrustedNetwork:
    network, _, owner = word.partition("=")
    return TrustedNetwork(_network(network), _account(owner.strip()))


networks = list_of(_network, "networks like 10.0.0.0/8")
trusted = list_of(_trusted, "networks with their accounts like 127.0.0.0/8=000000000000")


def per_domain(*words: str) -> Kind[tuple[tuple[str, str], ...]]:
    """A word for every domain, and other words for some: ``mark, example.com=reject`` (the first has domain ``""``)."""

    def item(part: str) -> tuple[str, str]:
        name, equals, word = part.rpartition("=")
        return (_domain(name) if equals else "", one_of(*words).read(word))

    return list_of(item, f"{_either(words)}, or example.com={words[-1]}")


# -- places, addresses of services, figures ----------------------------------------------------------------------------


def _url(value: object, *schemes: str) -> str:
    word = _text(value)
    if word in {"", "off"}:
        return ""
    parts = urlsplit(word)
    if parts.scheme not in schemes or not parts.netloc:
        raise ValueError
    return word.rstrip("/")


http_url = Kind(lambda value: _url(value, "http", "https"), 'an address like https://host:port, or "off"')


def _place(value: object) -> str:
    word = _text(value)
    if "\0" in word:
        raise ValueError
    return word


place = Kind(_place, "a path (DIR/ at its start is the data directory)")


def _one_form(forms: tuple[str, ...], allowed: str) -> Kind[str]:
    def read(value: object) -> str:
        word = _text(value)
        if not any(word.startswith(form) and len(word) > len(form) for form in forms):
            raise ValueError
        return word

    return Kind(read, allowed)


database = _one_form(("sqlite:", "postgresql://", "postgres://"), "sqlite:PATH or postgresql://user@host/name")
blobs = _one_form(("file:", "s3://"), "file:PATH or s3://bucket/prefix")


def _engine(value: object) -> str:
    word = _text(value)
    if word in {"auto", "off"} or word.startswith(("/", "http://", "https://")):
        return word
    host_port(word)
    return word


engine = Kind(_engine, "auto, off, a socket path or host:port")


def _quota(value: object) -> NewAccount:
    try:
        found = new_account(",".join(_items(value)))
    except Invalid:
        raise ValueError from None
    if not found.max_rate:
        raise ValueError
    return found


quota = Kind(_quota, "sandbox, production, unlimited, or figures like 50000/day,14/s")
