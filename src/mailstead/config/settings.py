"""Settings: every name an operator may set, its default and what it means. ``docs/configuration.md`` is made from this.

Durations are milliseconds, sizes bytes. A setting with ``unused=True`` is taken and checked, but its part of Mailstead
is not built yet; ``mailstead check`` says so when it is set.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from mailstead.config import outgoing
from mailstead.config import values as v
from mailstead.config.outgoing import Source
from mailstead.config.values import HostedDomain, Kind, Listen, Network, Smarthost, TrustedNetwork
from mailstead.ses.account import NewAccount

T = TypeVar("T")

UNSET_PROVIDER = "mailstead.invalid"
ROLES = ("api", "submission", "mx", "delivery", "publish", "mailboxes", "tracking", "console", "dns", "upkeep")


def setting(
    kind: Kind[T],
    default: str | bool | int,
    doc: str,
    *,
    dev: str | bool | int | None = None,
    unused: bool = False,
    secret: bool = False,
) -> T:
    """Declare a setting: how it is read, its default as an operator would write it, the default under ``--dev``."""
    about = {"kind": kind, "default": default, "dev": dev, "doc": doc, "unused": unused, "secret": secret}
    return field(default=kind.read(default), metadata=about, repr=not secret)


def section(holder: type[T]) -> T:
    """Declare a table of settings."""
    return field(default_factory=holder, metadata={"section": holder})


@dataclass(frozen=True, slots=True)
class Server:
    """Who this installation is."""

    hostname: str = setting(
        v.hostname,
        "",
        "The name in greetings, EHLO, Received, Authentication-Results and reports, where SES names hosts of"
        " amazonaws.com. Default: the name of this machine.",
    )


@dataclass(frozen=True, slots=True)
class ListenOn:
    """Where to listen: one address, a list of them, or `"off"`. Port 0 takes a free port (see `DIR/endpoints.json`)."""

    api: tuple[Listen, ...] = setting(
        v.http_listener, "127.0.0.1:4579", "The SES API (v1 and v2), STS. `https://host:port` for TLS."
    )
    console: tuple[Listen, ...] = setting(
        v.http_listener, "127.0.0.1:4580", "Web console and Prometheus metrics.", unused=True
    )
    tracking: tuple[Listen, ...] = setting(
        v.http_listener,
        "127.0.0.1:4581",
        "Open pixel, click redirects, one-click unsubscribe, verification links: the only HTTP that outsiders see.",
    )
    submission: tuple[Listen, ...] = setting(
        v.listener, "127.0.0.1:2587", "SMTP with STARTTLS for senders (587 in production)."
    )
    submissions: tuple[Listen, ...] = setting(
        v.listener, "127.0.0.1:2465", "SMTP in TLS for senders (465 in production)."
    )
    mx: tuple[Listen, ...] = setting(v.listener, "127.0.0.1:2525", "SMTP for mail from outside (25 in production).")
    imap: tuple[Listen, ...] = setting(v.listener, "127.0.0.1:1143", "IMAP with STARTTLS.", unused=True)
    imaps: tuple[Listen, ...] = setting(v.listener, "127.0.0.1:1993", "IMAP in TLS.", unused=True)
    pop3: tuple[Listen, ...] = setting(v.listener, "127.0.0.1:1110", "POP3 with STLS.", unused=True)
    pop3s: tuple[Listen, ...] = setting(v.listener, "127.0.0.1:1995", "POP3 in TLS.", unused=True)
    dns: tuple[Listen, ...] = setting(
        v.listener, "off", "Authoritative answers for the provider's own zone.", unused=True
    )
    proxy_trusted: tuple[Network, ...] = setting(
        v.networks,
        "",
        "Networks whose PROXY protocol header (v1, v2) is believed on the mail listeners.",
        unused=True,
    )


@dataclass(frozen=True, slots=True)
class Workers:
    """How many processes do the work."""

    processes: int = setting(
        v.integer(1, 256), 1, "Processes of `serve`. SQLite allows one; more come with PostgreSQL.", unused=True
    )


@dataclass(frozen=True, slots=True)
class Storage:
    """Where state lives."""

    database: str = setting(
        v.database,
        "sqlite:DIR/mailstead.db",
        "`sqlite:PATH` or `postgresql://user:password@host/name` (several hosts allowed).",
        secret=True,
    )
    blobs: str = setting(v.blobs, "file:DIR/blobs", "Bodies of messages: `file:PATH` or `s3://bucket/prefix`.")
    s3_endpoint: str = setting(v.http_url, "off", "The S3-compatible store behind `s3://`.", unused=True)
    buckets: str = setting(
        v.place, "DIR/buckets", "Where objects of S3 lie without an S3 endpoint: `BUCKET/KEY` below it."
    )
    bucket_accounts: tuple[tuple[str, str], ...] = setting(
        v.buckets,
        "",
        "Whose buckets are whose (`BUCKET=ACCOUNT`): an account reads from its own alone. Those not named are the first"
        " account's (`--dev`: everybody's).",
    )


@dataclass(frozen=True, slots=True)
class Delivery:
    """Mail on its way out."""

    mode: str = setting(
        v.one_of("capture", "direct", "relay"),
        "capture",
        "`capture`: mail for the outside stays here; `direct`: by MX; `relay`: everything to `delivery.smarthost`.",
    )
    smarthost: Smarthost | None = setting(
        v.smarthost,
        "",
        "The next hop of `relay`: `host:port` or `smtp[s]://user:password@host:port`.",
        secret=True,
    )
    port: int = setting(v.integer(1, 65535), 25, "The port of remote MX hosts (tests use another).")
    retry_for: int = setting(v.duration, "14h", "How long a soft bounce is retried (SES: 840 minutes).")
    allow_private_hosts: bool = setting(
        v.boolean,
        False,
        "May mail go to loopback and private addresses? `relay` to a private smarthost always may.",
        dev=True,
    )
    connections: int = setting(v.integer(1, 1000), 20, "Connections to one destination site at a time, at most.")
    connection_messages: int = setting(v.integer(1, 10_000), 100, "Messages through one connection, at most.")
    timeout_connect: int = setting(v.duration, "30s", "How long to wait for a connection to open.")
    timeout_command: int = setting(
        v.duration, "5m", "How long to wait for the reply to a command, the greeting included (RFC 5321 §4.5.3.2)."
    )
    timeout_final: int = setting(
        v.duration, "10m", "How long to wait for the reply to the end of a message (RFC 5321 §4.5.3.2.6)."
    )
    sources: tuple[Source, ...] = setting(
        outgoing.sources,
        "",
        "IP pools: `POOL:ADDRESS=EHLO-NAME` for each address of this machine that an account may have for itself"
        " (`mailstead ip assign`), where mail goes by MX. All other mail leaves from the address that the system"
        " chooses.",
    )


@dataclass(frozen=True, slots=True)
class Deliverability:
    """What others think of our mail."""

    blocklists: tuple[str, ...] = setting(
        v.list_of(v.domain.read, "domain names"),
        "zen.spamhaus.org,bl.spamcop.net",
        "Public lists of bad addresses that GetBlacklistReports asks about an account's own addresses, by DNS. None:"
        " it is not offered. The large ones do not answer public resolvers.",
        dev="",
    )


@dataclass(frozen=True, slots=True)
class Retention:
    """How long what is over can be looked at."""

    messages: int = setting(
        v.duration, "30d", "How long `trace` and `events list` remember a message after its last delivery has ended."
    )


@dataclass(frozen=True, slots=True)
class Dns:
    """Looking names up."""

    resolver: str = setting(v.resolver, "system", "`system` (/etc/resolv.conf) or the address and port of a resolver.")


@dataclass(frozen=True, slots=True)
class Provider:
    """Us, where SES writes amazonses.com."""

    domain: str = setting(
        v.domain,
        UNSET_PROVIDER,
        "Our own domain: return paths, Message-ID, second DKIM signature, CNAME targets. Required for"
        " `delivery.mode = direct` and for `relay` with a public smarthost; the second signature is made only when it"
        " is set.",
    )

    @property
    def is_set(self) -> bool:
        """Did the operator name a domain?"""
        return self.domain != UNSET_PROVIDER


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of anything is taken."""

    message_bytes: int = setting(
        v.size, "10MiB", "Largest message by SMTP and API v1 (`Message is too long.` above it)."
    )
    v2_message_bytes: int = setting(v.size, "40MiB", "Largest message by API v2.")
    receive_bytes: int = setting(v.size, "40MiB", "Largest message that `mx` takes.")
    submission_connections: int = setting(
        v.integer(1, 1_000_000), 500, "SMTP sessions of senders in all (`421 Too many concurrent SMTP connections`)."
    )
    submission_connections_per_account: int = setting(
        v.integer(1, 1_000_000), 50, "SMTP sessions of one account at a time."
    )
    connections_per_address: int = setting(
        v.integer(1, 1_000_000),
        100,
        "SMTP sessions from one client address (IPv6: one /64) at a time, on `submission` and on `mx`. Loopback and"
        " `submission.trusted` are not counted.",
    )
    api_connections: int = setting(v.integer(1, 1_000_000), 1000, "Connections to the API at a time (503 above it).")
    tracking_connections: int = setting(
        v.integer(1, 1_000_000), 1000, "Connections to `tracking` at a time (503 above it)."
    )
    submission_idle: int = setting(
        v.duration, "60s", "How long a sender may be silent (`451 4.4.2 Timeout waiting for data from client.`)."
    )
    mx_connections: int = setting(v.integer(1, 1_000_000), 500, "Sessions on `mx` at a time.")
    mx_idle: int = setting(v.duration, "5m", "How long a session on `mx` may be silent.")
    bare_newline: str = setting(
        v.one_of("normalize", "refuse"),
        "normalize",
        "A bare LF or CR in DATA: `normalize` makes it CRLF (only CRLF.CRLF ends a message), `refuse` answers 554 (550"
        " on `mx`).",
    )
    management_rate: str = setting(
        v.one_of("off", "ses"), "off", "`ses`: the management API's limit of one request a second holds.", unused=True
    )


@dataclass(frozen=True, slots=True)
class Quotas:
    """How much accounts may send."""

    new_account: NewAccount = setting(
        v.quota,
        "sandbox",
        "What a new account gets: `sandbox` (200/day, 1/s, verified recipients only), `production` (50,000/day, 14/s),"
        " `unlimited`, or figures: `100000/day,50/s`.",
        dev="unlimited",
    )
    ceiling: NewAccount = setting(
        v.quota, "unlimited", "Up to where a good sender's quota grows by itself.", unused=True
    )


@dataclass(frozen=True, slots=True)
class Suppression:
    """Whom not to mail."""

    global_: str = setting(
        v.one_of("always", "ses"),
        "always",
        "`always`: the installation's list of recent hard bounces stops every account's sends, at most 14 days; `ses`:"
        " an account that keeps its own list overrides it.",
        unused=True,
    )


@dataclass(frozen=True, slots=True)
class Events:
    """Telling senders what happened."""

    allow_private_targets: bool = setting(
        v.boolean,
        False,
        "May webhooks and subscriptions point at loopback and private addresses?",
        dev=True,
        unused=True,
    )


@dataclass(frozen=True, slots=True)
class Scan:
    """Engines for content filtering. `auto`: used if found at its usual socket or port; under `--dev` `auto` is off."""

    clamd: str = setting(v.engine, "auto", "ClamAV's daemon.", dev="off", unused=True)
    rspamd: str = setting(v.engine, "auto", "rspamd.", dev="off", unused=True)


@dataclass(frozen=True, slots=True)
class Inbound:
    """Mail from outside. Both take words for single domains: `mark, example.com=reject`."""

    spf_fail: tuple[tuple[str, str], ...] = setting(
        v.per_domain("mark", "reject"),
        "mark",
        "SPF fail: `mark` (as SES) or `reject` (550 5.7.23); softfail only marks.",
        unused=True,
    )
    dmarc: tuple[tuple[str, str], ...] = setting(
        v.per_domain("mark", "honour"),
        "",
        "`honour`: p=reject is refused in the session, p=quarantine goes to Junk; `mark`: verdicts only (as SES)."
        " Default: `honour` for mailboxes, `mark` for receipt rules.",
        unused=True,
    )


@dataclass(frozen=True, slots=True)
class Hosted:
    """Domains that are ours to receive for."""

    domains: tuple[HostedDomain, ...] = setting(
        v.hosted,
        "",
        "Domains whose mail is received here: `example.com`, or `example.com=ACCOUNT` (default: the first account's).",
    )


@dataclass(frozen=True, slots=True)
class Submission:
    """Senders that speak SMTP."""

    trusted: tuple[TrustedNetwork, ...] = setting(
        v.trusted,
        "",
        "Networks that submit without TLS and AUTH, each for one account: `127.0.0.0/8=000000000000`. Every other check"
        " holds.",
    )
    sigv2_passwords: bool = setting(v.boolean, False, "Let the SMTP passwords in that AWS made before January 2019.")


@dataclass(frozen=True, slots=True)
class Tracking:
    """Links that outsiders follow."""

    public_url: str = setting(
        v.http_url, "off", "Base of links, pixels, verification and unsubscribe pages. Off: the listener."
    )


@dataclass(frozen=True, slots=True)
class Tls:
    """Certificates."""

    certificate: str = setting(
        v.place, "DIR/tls/cert.pem", "Certificate chain (PEM); made self-signed if none is there."
    )
    key: str = setting(v.place, "DIR/tls/key.pem", "Its private key (PEM).")
    ca_file: str = setting(v.place, "", "More authorities to trust for outgoing connections (PEM).")


@dataclass(frozen=True, slots=True)
class Secrets:
    """What seals stored secrets."""

    master_key: str = setting(
        v.text, "", "The master key (32 bytes in base64). Empty: `DIR/master.key`, made at first start.", secret=True
    )


@dataclass(frozen=True, slots=True)
class Aws:
    """Real AWS, or what is compatible with it, as a target. Off: our own topics, local buckets, local functions."""

    endpoint: str = setting(v.http_url, "off", "Endpoint of every service (so far: of S3).")
    s3_endpoint: str = setting(v.http_url, "off", "Endpoint of S3, where import jobs read.")
    sns_endpoint: str = setting(v.http_url, "off", "Endpoint of SNS.", unused=True)
    sqs_endpoint: str = setting(v.http_url, "off", "Endpoint of SQS.", unused=True)
    lambda_endpoint: str = setting(v.http_url, "off", "Endpoint of Lambda.", unused=True)
    firehose_endpoint: str = setting(v.http_url, "off", "Endpoint of Firehose.", unused=True)
    eventbridge_endpoint: str = setting(v.http_url, "off", "Endpoint of EventBridge.", unused=True)
    cloudwatch_endpoint: str = setting(v.http_url, "off", "Endpoint of CloudWatch.", unused=True)
    kms_endpoint: str = setting(v.http_url, "off", "Endpoint of KMS.", unused=True)
    profile: str = setting(v.text, "", "Profile of the AWS credentials to use; alone, it means Amazon's own endpoints.")
    sns_cert_url: str = setting(
        v.http_url, "off", "SigningCertURL where verifiers demand a name of their own.", unused=True
    )


@dataclass(frozen=True, slots=True)
class Dev:
    """The test double."""

    enabled: bool = setting(v.boolean, False, "As the option `--dev` of `serve`.")
    account: str = setting(v.account, "000000000000", "The account that unknown access keys get under `--dev`.")


@dataclass(frozen=True, slots=True)
class Log:
    """What is logged, on stderr."""

    level: str = setting(v.one_of("debug", "info", "warning", "error"), "info", "The least important that is shown.")
    format: str = setting(v.one_of("text", "json"), "text", "`text` for people, `json` for programs: one line each.")


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings without a table."""

    regions: tuple[str, ...] = setting(
        v.regions, "us-east-1", "The regions served; the first one is for everything that names none."
    )
    verification: str = setting(
        v.one_of("dns", "auto"), "dns", "`auto`: identities verify at once, without DNS or mail.", dev="auto"
    )
    shutdown_grace: int = setting(v.duration, "10s", "How long SIGTERM lets work in hand go on.")
    roles: tuple[str, ...] = setting(
        v.words_of(*ROLES), ",".join(ROLES), "Which parts run here (as the option `--roles`)."
    )

    server: Server = section(Server)
    listen: ListenOn = section(ListenOn)
    workers: Workers = section(Workers)
    storage: Storage = section(Storage)
    delivery: Delivery = section(Delivery)
    deliverability: Deliverability = section(Deliverability)
    retention: Retention = section(Retention)
    dns: Dns = section(Dns)
    provider: Provider = section(Provider)
    limits: Limits = section(Limits)
    quota: Quotas = section(Quotas)
    suppression: Suppression = section(Suppression)
    events: Events = section(Events)
    scan: Scan = section(Scan)
    inbound: Inbound = section(Inbound)
    hosted: Hosted = section(Hosted)
    submission: Submission = section(Submission)
    tracking: Tracking = section(Tracking)
    tls: Tls = section(Tls)
    secrets: Secrets = section(Secrets)
    aws: Aws = section(Aws)
    dev: Dev = section(Dev)
    log: Log = section(Log)

    data: Path = field(default=Path("mailstead-data"))
    """The data directory, absolute once loaded."""
    config: Path | None = None
    """The configuration file that was read."""
    given: Mapping[str, object] = field(default_factory=dict, repr=False)
    """What was set by hand, by key, as it was written. May hold secrets."""
    warnings: tuple[str, ...] = ()
    """Sentences for whoever starts this."""

    @property
    def unused(self) -> tuple[str, ...]:
        """Keys that were set though their part is not built yet."""
        return tuple(key for key in sorted(self.given) if KEYS[key].unused)

    def serves(self, region: str) -> bool:
        """Is this region ours? ``--dev`` serves any."""
        return self.dev.enabled or region in self.regions


@dataclass(frozen=True, slots=True)
class Key:
    """One setting as the loader and the reference page see it."""

    name: str
    """``delivery.mode``, ``regions``."""
    section: str
    """Empty for settings without a table."""
    attribute: str
    kind: Kind[Any]
    default: str | bool | int
    dev: str | bool | int | None
    doc: str
    unused: bool
    secret: bool

    @property
    def variable(self) -> str:
        """Its environment variable."""
        return "MAILSTEAD_" + self.name.upper().replace(".", "_")


def _keys(holder: type[Any], prefix: str) -> Iterator[Key]:
    for member in fields(holder):
        about = dict(member.metadata)
        name = member.name.rstrip("_")  # `global` is a word of Python's
        if "section" in about:
            yield from _keys(about["section"], name)
        elif about:
            yield Key(f"{prefix}.{name}" if prefix else name, prefix, member.name, **about)


KEYS: dict[str, Key] = {key.name: key for key in _keys(Settings, "")}
SECTIONS: dict[str, type[Any]] = {
    member.name: member.metadata["section"] for member in fields(Settings) if "section" in member.metadata
}
