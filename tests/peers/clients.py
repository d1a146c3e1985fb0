"""Clients: the programs that users send with: swaks, curl, nodemailer, aws cli, each run as its users run it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from peers.ground import NODE_PATH, lacking, program

_NODEMAILER = """
const job = JSON.parse(require('fs').readFileSync(0, 'utf8'));
require('nodemailer').createTransport(job.transport).sendMail(job.message).then(
  info => console.log(JSON.stringify({response: info.response, messageId: info.messageId})),
  error => { console.log(JSON.stringify({error: error.message, code: error.responseCode})); process.exitCode = 1 })
"""


def _run(
    words: Sequence[str | Path], *, stdin: bytes = b"", env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        words, input=stdin, capture_output=True, timeout=60, check=False, env={**os.environ, **(env or {})}
    )


def swaks(*words: str) -> subprocess.CompletedProcess[bytes]:
    """``swaks`` with these words; its dialogue is on stdout."""
    return _run([program("swaks"), "--timeout", "20", *words])


def curl(*words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """``curl`` with these words (``--upload-file -`` reads the message from ``stdin``)."""
    return _run([program("curl"), "--silent", "--show-error", "--max-time", "20", *words], stdin=stdin)


def nodemailer(transport: dict[str, object], message: dict[str, object]) -> dict[str, object]:
    """nodemailer's SMTP transport: ``{"response", "messageId"}`` or ``{"error", "code"}``."""
    job = json.dumps({"transport": transport, "message": message}).encode()
    done = _run([program("node"), "-e", _NODEMAILER], stdin=job, env={"NODE_PATH": NODE_PATH})
    if b"Cannot find module 'nodemailer'" in done.stderr:
        lacking("nodemailer is not installed (make test as root installs it)")
    assert done.stdout, done.stderr.decode()
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


def aws(*words: str, endpoint: str, credentials: Path, region: str = "us-east-1") -> subprocess.CompletedProcess[bytes]:
    """aws cli v1 with the credentials file of a server."""
    env = {"AWS_SHARED_CREDENTIALS_FILE": str(credentials), "AWS_CONFIG_FILE": os.devnull, "AWS_DEFAULT_REGION": region}
    env |= {"AWS_MAX_ATTEMPTS": "1", "AWS_PAGER": "", "PYTHONWARNINGS": "ignore"}
    words = ("--endpoint-url", endpoint, "--output", "json", *words)
    return _run([sys.executable, "-m", "awscli", *words], env=env)
