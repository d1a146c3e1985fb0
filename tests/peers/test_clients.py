"""The clients reach an ordinary server, so that a failure elsewhere is ours."""

from __future__ import annotations

import pytest

from peers.clients import aws, curl, nodemailer, swaks
from peers.ground import ROOT
from peers.scripted_mx import ScriptedMX

pytestmark = pytest.mark.slow


def test_swaks_curl_and_nodemailer_send() -> None:
    with ScriptedMX() as mx:
        done = swaks("--server", f"{mx.host}:{mx.port}", "--from", "a@sender.test", "--to", "b@one.test")
        assert done.returncode == 0, done.stdout
        url = f"smtp://{mx.host}:{mx.port}"
        words = (url, "--mail-from", "a@sender.test", "--mail-rcpt", "c@one.test", "--upload-file", "-")
        assert curl(*words, stdin=b"Subject: x\r\n\r\nx\r\n").returncode == 0
        message: dict[str, object] = {"from": "a@sender.test", "to": "d@one.test", "subject": "é", "text": "x"}
        answer = nodemailer({"host": mx.host, "port": mx.port, "secure": False}, message)
        assert answer["response"] == "250 2.0.0 Ok: queued"
        assert [taken.recipients for taken in mx.messages] == [("b@one.test",), ("c@one.test",), ("d@one.test",)]


def test_the_aws_command_line_runs() -> None:
    done = aws("--version", endpoint="http://127.0.0.1:9", credentials=ROOT / "none")
    assert done.returncode == 0
    assert b"aws-cli/1." in done.stdout + done.stderr
