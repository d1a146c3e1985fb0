"""Server: the product itself as its users run it: ``python -m mailstead serve`` in a process of its own."""

from __future__ import annotations

import configparser
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from peers.ground import ROOT, stop, tail, tied, wait_for

LISTENERS = (
    "api", "console", "tracking", "submission", "submissions", "mx", "imap", "imaps", "pop3", "pop3s",
)  # fmt: skip
READY_WITHIN = 30.0


class Server:
    """``with Server(tmp_path / "data", {"delivery.mode": "direct"}) as server: server.sesv2().send_email(…)``.

    Every listener takes a free loopback port. ``kill`` and ``start`` may be called in between; the data stays.
    """

    def __init__(
        self, data: Path, settings: Mapping[str, Any] | None = None, *, dev: bool = False, config: Path | None = None
    ) -> None:
        """``settings`` become ``--set key=value``; lists are joined with commas."""
        self.data = data
        self.dev = dev
        self.config = config
        self.settings = dict(settings or {})
        self.endpoints: dict[str, Any] = {}
        self.log = data.with_name(data.name + ".log")
        """What it wrote to stderr, over all starts."""
        self._out = data.with_name(data.name + ".out")
        self._process: subprocess.Popen[bytes] | None = None
        self._clients: list[Any] = []
        self._session: Any = None

    # -- life ---------------------------------------------------------------------------------------------------------

    def __enter__(self) -> Server:
        return self.start()

    def __exit__(self, *raised: object) -> None:
        for client in self._clients:
            client.close()
        if self._process:
            stop(self._process, timeout=20)

    def start(self) -> Server:
        """Start, or start again on the same data, and wait until it says ``ready``."""
        assert self._process is None or self._process.poll() is not None, "it runs already"
        self.data.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log, self._out.open("wb") as out:
            self._process = subprocess.Popen(
                tied(*self.command()), stdout=out, stderr=log, cwd=self.data.parent, env=self.env()
            )
        try:
            wait_for(self._is_ready, "ready", timeout=READY_WITHIN)
        except TimeoutError:
            stop(self._process, by=signal.SIGKILL)
            raise AssertionError(f"no `ready` within {READY_WITHIN:g} s:\n{self.tail()}") from None
        self.endpoints = json.loads((self.data / "endpoints.json").read_text())
        return self

    def stop(self) -> int:
        """SIGTERM, and wait: the exit status (0 when all is well)."""
        assert self._process
        return stop(self._process, timeout=30)

    def kill(self) -> None:
        """SIGKILL: what a power cut looks like from inside."""
        assert self._process
        stop(self._process, by=signal.SIGKILL)

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process
        return self._process.pid

    def command(self) -> list[str]:
        """The command line it is started with."""
        words = [sys.executable, "-m", "mailstead", "serve", "--data", str(self.data)]
        words += ["--dev"] if self.dev else []
        words += ["--config", str(self.config)] if self.config else []
        for key, value in {**self._ports(), **self.settings}.items():
            words += ["--set", f"{key}={_text(value)}"]
        return words

    @staticmethod
    def env() -> dict[str, str]:
        """The environment of the product: ours without any MAILSTEAD_ variable."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith("MAILSTEAD_")}
        return {**kept, "PYTHONPATH": str(ROOT / "src"), "PYTHONUNBUFFERED": "1"}

    def tail(self, lines: int = 60) -> str:
        """The end of its log."""
        return tail(self.log, lines)

    def _ports(self) -> dict[str, str]:
        return {f"listen.{name}": "127.0.0.1:0" for name in LISTENERS}

    def _is_ready(self) -> bool:
        assert self._process
        if self._process.poll() is not None:
            raise AssertionError(f"it ended with status {self._process.returncode}:\n{tail(self._out)}\n{self.tail()}")
        return any(line.startswith(b"ready") for line in self._out.read_bytes().splitlines())

    # -- its doors ----------------------------------------------------------------------------------------------------

    def address(self, listener: str) -> tuple[str, int]:
        """Host and port of a listener (the first, where it has several)."""
        value = self.endpoints[listener]
        text: str = value[0] if isinstance(value, list) else value
        host, _, port = text.rpartition("://")[2].rstrip("/").rpartition(":")
        return host.strip("[]"), int(port)

    @property
    def credentials(self) -> configparser.ConfigParser:
        """``DIR/credentials``: profile ``default`` and section ``mailstead``."""
        parser = configparser.ConfigParser(interpolation=None)
        parser.read(self.data / "credentials")
        return parser

    @property
    def smtp_login(self) -> tuple[str, str]:
        """User name and password of the first account on the submission doors."""
        section = self.credentials["mailstead"]
        return section["smtp_username"], section["smtp_password"]

    @property
    def ca_file(self) -> Path:
        """The certificate it made for itself: trust it to verify its TLS."""
        return self.data / "tls" / "cert.pem"

    def client(self, service: str, *, region: str = "us-east-1", key: str = "", secret: str = "", **config: Any) -> Any:
        """A boto3 client that tries once and checks nothing on its own side that the server should check."""
        import boto3
        from botocore.config import Config

        profile = self.credentials["default"]
        self._session = self._session or boto3.session.Session()  # a new one would read every model again
        made = self._session.client(
            service,
            region_name=region,
            endpoint_url=self.endpoints["api"],
            aws_access_key_id=key or profile["aws_access_key_id"],
            aws_secret_access_key=secret or profile["aws_secret_access_key"],
            config=Config(**{"retries": {"total_max_attempts": 1}, "connect_timeout": 5, "read_timeout": 60, **config}),
        )
        self._clients.append(made)
        return made

    def ses(self, **options: Any) -> Any:
        """A boto3 client of SES v1."""
        return self.client("ses", **options)

    def sesv2(self, **options: Any) -> Any:
        """A boto3 client of SES v2."""
        return self.client("sesv2", **options)

    def http(self, method: str, path: str, body: Any = None, *, listener: str = "api") -> tuple[int, bytes]:
        """An unsigned request (``/_mailstead/…``, ``/_aws/ses``); a body is sent as JSON. Status and answer."""
        host, port = self.address(listener)
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://{host}:{port}{path}", data=data, method=method)
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    # -- its commands -------------------------------------------------------------------------------------------------

    def cli(self, *words: str, check: bool = True, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """``mailstead WORDS --data DIR``, beside the running server; ``check``: it must succeed."""
        done = subprocess.run(
            [sys.executable, "-m", "mailstead", *words, "--data", str(self.data)],
            capture_output=True, text=True, timeout=60, input=stdin, env=self.env(), cwd=self.data.parent, check=False,
        )  # fmt: skip
        assert not check or done.returncode == 0, f"mailstead {' '.join(words)}: {done.stderr}{done.stdout}"
        return done

    def cli_json(self, *words: str) -> Any:
        """The same with ``--json``: what it printed, read."""
        return json.loads(self.cli(*words, "--json").stdout)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ",".join(str(item) for item in value)
    return str(value)
