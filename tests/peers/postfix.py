"""Postfix: a real destination MX in a temporary folder; what it takes can be read back from Maildirs.

It takes mail for the given mailboxes and answers 550 5.1.1 for others. It rewrites nothing: the only headers it adds
stand on top (Return-Path, X-Original-To, Delivered-To, one Received), and :func:`as_sent` takes them off again.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from peers.ground import free_port, listens, need_root, program, stop, tail, tied, wait_for, workdir

_MAIN = """
compatibility_level = 3.6
queue_directory = {dir}/queue
data_directory = {dir}/data
maillog_file = {dir}/maillog
maillog_file_prefixes = {dir}
inet_interfaces = loopback-only
inet_protocols = ipv4
myhostname = {hostname}
mydestination =
mynetworks =
alias_maps =
alias_database =
smtp_dns_support_level = disabled
smtpd_peername_lookup = no
smtpd_relay_restrictions = reject_unauth_destination
smtpd_client_connection_count_limit = 0
smtpd_hard_error_limit = 1000
virtual_mailbox_domains = {domains}
virtual_mailbox_maps = texthash:{dir}/mailboxes
virtual_mailbox_base = {dir}/mail
virtual_mailbox_limit = 0
message_size_limit = {size}
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
virtual_minimum_uid = 100
local_header_rewrite_clients =
message_drop_headers =
in_flow_delay = 0s
biff = no
"""
_MASTER = """
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
tlsmgr unix - - n 1000? 1 tlsmgr
postlog unix-dgram n - n - 1 postlogd
"""
_MASTER_PROGRAM = "/usr/lib/postfix/sbin/master"
_OWN = re.compile(
    rb"Return-Path: (?P<reverse><[^\n]*>)\n(?:X-Original-To: [^\n]*\n)?(?:Delivered-To: [^\n]*\n)?"
    rb"Received: [^\n]*\n(?:[ \t][^\n]*\n)*"
)


def as_sent(stored: bytes) -> bytes:
    """A stored message as it came over the wire: without Postfix's own headers, lines ended by CRLF."""
    own = _OWN.match(stored)
    assert own, stored[:300]
    return stored[own.end() :].replace(b"\n", b"\r\n")


def reverse_path(stored: bytes) -> str:
    """The MAIL FROM that a stored message came with, without its angle brackets."""
    own = _OWN.match(stored)
    assert own, stored[:300]
    return own["reverse"].decode()[1:-1]


class Postfix:
    """``with Postfix(["ann@one.test", "bob@two.test"], hosts=["127.0.0.2", "127.0.0.3"]) as mx: …``."""

    def __init__(
        self,
        mailboxes: Sequence[str],
        *,
        hosts: Sequence[str] = ("127.0.0.1",),
        port: int = 0,
        hostname: str = "mx.standin.test",
        cert: Path | None = None,
        key: Path | None = None,
        message_size: int = 50_000_000,
        settings: dict[str, str] | None = None,
    ) -> None:
        """Listen on all ``hosts`` at one ``port`` (0: a free one); ``cert`` and ``key`` (PEM) switch STARTTLS on."""
        self.mailboxes = tuple(mailboxes)
        self.hosts = tuple(hosts)
        self.port = port or free_port(*hosts)
        self._hostname = hostname
        self._tls = (cert, key) if cert and key else None
        self._size = message_size
        self._settings = settings or {}

    def __enter__(self) -> Postfix:
        need_root("a Postfix of our own")
        postfix = program("postfix")
        self._folder = workdir("postfix")
        self.path = self._folder.__enter__()
        self.log = self.path / "maillog"
        self._write()
        # "check" makes the queue's folders; "start-fg" would leave the master behind when only its shell is ended.
        subprocess.run([postfix, "-c", self.path / "conf", "check"], check=True, timeout=30, capture_output=True)
        with (self.path / "start.log").open("ab") as log:
            self._process = subprocess.Popen(
                tied(_MASTER_PROGRAM, "-c", self.path / "conf", "-s"), stdout=log, stderr=log
            )
        try:
            for host in self.hosts:
                wait_for(lambda host=host: listens(host, self.port), f"Postfix at {host}:{self.port}")  # type: ignore[misc]
        except TimeoutError:
            self.__exit__()
            raise AssertionError(f"Postfix did not start:\n{tail(self.path / 'start.log')}\n{tail(self.log)}") from None
        return self

    def __exit__(self, *raised: object) -> None:
        stop(self._process)
        self._folder.__exit__(None, None, None)

    def messages(self, mailbox: str) -> list[bytes]:
        """The messages of a mailbox as Postfix stored them (its headers on top, lines ended by LF), oldest first."""
        folder = self._maildir(mailbox) / "new"
        if not folder.is_dir():
            return []
        files = sorted(folder.iterdir(), key=lambda file: (file.stat().st_mtime_ns, file.name))
        return [file.read_bytes() for file in files]

    def wait_messages(self, mailbox: str, count: int = 1, *, timeout: float = 20.0) -> list[bytes]:
        """Wait until a mailbox holds so many messages; all of them."""
        try:
            wait_for(lambda: len(self.messages(mailbox)) >= count, f"{count} messages for {mailbox}", timeout=timeout)
        except TimeoutError:
            have = len(self.messages(mailbox))
            raise AssertionError(f"{mailbox} has {have} of {count} messages; Postfix says:\n{tail(self.log)}") from None
        return self.messages(mailbox)

    def clear(self) -> None:
        """Empty every mailbox."""
        for mailbox in self.mailboxes:
            shutil.rmtree(self._maildir(mailbox), ignore_errors=True)

    def _maildir(self, mailbox: str) -> Path:
        local, _, domain = mailbox.rpartition("@")
        return self.path / "mail" / domain / local

    def _write(self) -> None:
        for name in ("conf", "queue", "data", "mail"):
            (self.path / name).mkdir(exist_ok=True)
        shutil.chown(self.path / "data", "postfix")
        shutil.chown(self.path / "mail", 65534, 65534)
        domains = sorted({mailbox.rpartition("@")[2] for mailbox in self.mailboxes})
        main = _MAIN.format(dir=self.path, hostname=self._hostname, domains=", ".join(domains), size=self._size)
        if self._tls:
            main += f"smtpd_tls_security_level = may\nsmtpd_tls_cert_file = {self._tls[0]}\n"
            main += f"smtpd_tls_key_file = {self._tls[1]}\nsmtpd_tls_loglevel = 1\nsmtpd_tls_received_header = yes\n"
        main += "".join(f"{key} = {value}\n" for key, value in self._settings.items())
        (self.path / "conf/main.cf").write_text(main)
        doors = "".join(f"{host}:{self.port} inet n - n - 100 smtpd\n" for host in self.hosts)
        (self.path / "conf/master.cf").write_text(doors + _MASTER)
        lines = "".join(f"{box} {self._maildir(box).relative_to(self.path / 'mail')}/\n" for box in self.mailboxes)
        (self.path / "mailboxes").write_text(lines)
