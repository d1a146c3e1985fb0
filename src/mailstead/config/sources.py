"""Sources: reads settings from a file, the environment and ``--set``; later ones win, unknown names are refused."""

from __future__ import annotations

import difflib
import socket
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mailstead.base.address import is_domain
from mailstead.base.errors import Invalid
from mailstead.config.settings import KEYS, SECTIONS, Key, Settings

# Variables that are not settings: places, debugging, and what our test suite reads.
NOT_SETTINGS = frozenset(
    ("MAILSTEAD_DATA", "MAILSTEAD_CONFIG", "MAILSTEAD_DEBUG", "MAILSTEAD_VECTORS", "MAILSTEAD_SEEDS")
)
_VARIABLES = {key.variable: key.name for key in KEYS.values()}


class ConfigError(Invalid):
    """A setting that cannot be; one plain line."""


@dataclass(frozen=True, slots=True)
class Given:
    """A value as somebody wrote it, and where."""

    value: object
    origin: str


def load(
    file: Path | None = None,
    environ: Mapping[str, str] | None = None,
    sets: Sequence[str] = (),
    data: Path | None = None,
    dev: bool | None = None,
    *,
    base: Mapping[str, object] | None = None,
) -> Settings:
    """The settings from all sources, checked.

    Args:
        file: ``--config``; else ``MAILSTEAD_CONFIG`` names it, if it is set.
        environ: the environment; ``MAILSTEAD_*`` is read.
        sets: ``--set`` arguments, ``key=value``.
        data: ``--data``; else ``MAILSTEAD_DATA``, else ``./mailstead-data``.
        dev: ``--dev``; None leaves it to the setting ``dev.enabled``.
        base: what a running server was given (``running.read``): comes before everything else.

    Raises:
        ConfigError: an unknown name (the text names the nearest known one), a bad value, or values that exclude each
            other.
    """
    environ = environ or {}
    file = file or (Path(environ["MAILSTEAD_CONFIG"]) if environ.get("MAILSTEAD_CONFIG") else None)
    folder = data_directory(data, environ)
    given = {key: Given(value, "the running server") for key, value in (base or {}).items() if key in KEYS}
    given |= _from_file(file) if file else {}
    given |= _from_environment(environ)
    given |= _from_sets(sets)
    if dev is not None:
        given["dev.enabled"] = Given(dev, "--dev")
    return _settings(given, folder, file)


def data_directory(data: Path | None, environ: Mapping[str, str]) -> Path:
    """``--data``, else ``MAILSTEAD_DATA``, else ``./mailstead-data``; absolute."""
    return (data or Path(environ.get("MAILSTEAD_DATA") or "mailstead-data")).expanduser().absolute()


def _settings(given: Mapping[str, Given], data: Path, file: Path | None) -> Settings:
    dev = "dev.enabled" in given and bool(_read(KEYS["dev.enabled"], given["dev.enabled"]))
    parts: dict[str, dict[str, Any]] = {name: {} for name in ("", *SECTIONS)}
    for key in KEYS.values():
        parts[key.section][key.attribute] = _placed(_value(key, given.get(key.name), dev=dev), data)
    parts["server"]["hostname"] = parts["server"]["hostname"] or _machine()
    sections = {name: holder(**parts[name]) for name, holder in SECTIONS.items()}
    plain = {name: item.value for name, item in given.items()}
    settings = Settings(**parts[""], **sections, data=data, config=file, given=plain)
    _check(settings)
    return replace(settings, warnings=tuple(_warnings(settings)))


def _machine() -> str:
    """The name of this machine, as it knows itself: nobody is asked."""
    name = socket.gethostname().lower()
    return name if is_domain(name) else "localhost"


def _value(key: Key, item: Given | None, *, dev: bool) -> Any:
    if item is None:
        return key.kind.read(key.dev if dev and key.dev is not None else key.default)
    value = _read(key, item)
    # product: scanners on `auto` are off under --dev, also when written out
    return "off" if dev and key.section == "scan" and value == "auto" else value


def _read(key: Key, item: Given) -> Any:
    try:
        return key.kind.read(item.value)
    except (ValueError, TypeError, Invalid):
        shown = "the value" if key.secret else repr(item.value)
        raise ConfigError(f"{key.name}: {shown} is not allowed; allowed: {key.kind.allowed} ({item.origin})") from None


def _placed(value: Any, data: Path) -> Any:
    """A path or address with ``DIR/`` filled in."""
    if not isinstance(value, str):
        return value
    for scheme in ("", "sqlite:", "file:"):
        if value.startswith(f"{scheme}DIR/"):
            return f"{scheme}{data}/{value[len(scheme) + 4 :]}"
    return value


# -- each source -------------------------------------------------------------------------------------------------------


def _from_file(file: Path) -> dict[str, Given]:
    try:
        content = tomllib.loads(file.read_bytes().decode())
    except OSError as error:
        raise ConfigError(f"cannot read the configuration {file}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is not TOML: {error}") from None
    return {_known(name, str(file)): Given(value, str(file)) for name, value in _flat(content, str(file))}


def _flat(content: Mapping[str, object], origin: str) -> Iterator[tuple[str, object]]:
    for name, value in content.items():
        if not isinstance(value, dict):
            yield name, value
        elif name in SECTIONS:
            yield from ((f"{name}.{member}", inner) for member, inner in value.items())
        else:
            raise ConfigError(f"unknown section [{name}] in {origin}{_nearest(name, list(SECTIONS))}")


def _from_environment(environ: Mapping[str, str]) -> dict[str, Given]:
    found = {}
    for variable, value in environ.items():
        if not variable.startswith("MAILSTEAD_") or variable in NOT_SETTINGS:
            continue
        if variable not in _VARIABLES:
            known = [*_VARIABLES, "MAILSTEAD_DATA", "MAILSTEAD_CONFIG"]
            raise ConfigError(f"unknown setting {variable} in the environment{_nearest(variable, known)}")
        found[_VARIABLES[variable]] = Given(value, variable)
    return found


def _from_sets(sets: Sequence[str]) -> dict[str, Given]:
    found = {}
    for argument in sets:
        name, equals, value = argument.partition("=")
        if not equals:
            raise ConfigError(f"--set {argument}: write it as key=value")
        found[_known(name.strip(), "--set")] = Given(value.strip(), f"--set {name.strip()}")
    return found


def _known(name: str, origin: str) -> str:
    if name not in KEYS:
        raise ConfigError(f"unknown setting {name} in {origin}{_nearest(name, list(KEYS))}")
    return name


def _nearest(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, 1, cutoff=0.5)
    if not close and "." in name:  # the right table, a strange name in it
        close = [key for key in known if key.startswith(name.partition(".")[0] + ".")][:1]
    return f"; did you mean {close[0]}?" if close else ""


# -- what must agree with what -----------------------------------------------------------------------------------------


def _open_to_others(settings: Settings) -> list[str]:
    """Where strangers' machines reach a door that ``--dev`` leaves open, as ``listen.api = 0.0.0.0:4579``."""
    listen = settings.listen
    doors = (("api", "api"), ("submission", "submission"), ("submissions", "submission"))
    return [
        f"listen.{name} = {address}"
        for name, role in doors
        for address in getattr(listen, name)
        if role in settings.roles and not address.loopback
    ]


def _warnings(settings: Settings) -> Iterator[str]:
    mode = settings.delivery.mode
    if settings.dev.enabled and mode != "capture":
        yield f"--dev with delivery.mode = {mode}: mail really leaves this machine"
    if settings.dev.enabled and (doors := _open_to_others(settings)):
        yield f"--dev lets everybody in, and other machines reach {', '.join(doors)}"
    for trusted in settings.submission.trusted:
        if trusted.public:
            yield f"submission.trusted: {trusted.network} is a public network: all in it send without a password"


def _check(settings: Settings) -> None:
    delivery = settings.delivery
    if delivery.mode == "relay" and delivery.smarthost is None:
        raise ConfigError("delivery.mode = relay needs delivery.smarthost (host:port)")
    public = delivery.mode == "relay" and delivery.smarthost is not None and not delivery.smarthost.private
    if (delivery.mode == "direct" or public) and not settings.provider.is_set:
        why = "direct" if delivery.mode == "direct" else "relay to a public smarthost"
        raise ConfigError(
            f"delivery.mode = {why} needs provider.domain: your own domain for return paths and Message-ID"
        )
    if settings.workers.processes > 1 and settings.storage.database.startswith("sqlite:"):
        raise ConfigError(
            "workers.processes: SQLite allows one process; use storage.database = postgresql://… for more"
        )
    if ("tls.certificate" in settings.given) != ("tls.key" in settings.given):
        raise ConfigError("tls.certificate and tls.key are set together or not at all")
    _check_who_comes_in(settings)


def _check_who_comes_in(settings: Settings) -> None:
    """Doors that would stand open to everybody, by a slip."""
    if settings.dev.enabled and settings.delivery.mode != "capture" and (doors := _open_to_others(settings)):
        raise ConfigError(
            f"--dev with delivery.mode = {settings.delivery.mode} and {doors[0]} is an open relay: anybody's mail would"
            " leave; listen on 127.0.0.1, or leave --dev out"
        )
    for trusted in settings.submission.trusted:
        if trusted.network.prefixlen == 0:
            raise ConfigError(f"submission.trusted: {trusted.network} is everybody; name the networks of your senders")
    if settings.listen.proxy_trusted:
        raise ConfigError("listen.proxy_trusted: the PROXY protocol is not built yet; leave it out")
