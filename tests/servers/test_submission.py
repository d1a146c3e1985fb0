"""Submission: the dialogue and the replies of SES, to real clients and to raw sockets (SES: smtp §2, §4)."""

from __future__ import annotations

import base64
import re
import smtplib
import ssl
import time
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest

from mailstead.base import errors
from mailstead.ses import account as accounts
from mailstead.ses import configuration_sets, credentials, identities
from mailstead.store import spool
from peers import clients
from peers.doors import ACCOUNT, HOST, KEY, OTHER, Doors, Raw

MESSAGE = b"From: sender@example.com\r\nTo: r@example.net\r\nSubject: hello\r\n\r\nbody\r\n"
OK = re.compile(r"250 Ok (01[0-9a-f]{14}-[0-9a-f-]{36}-000000)")
RCPT = "RCPT TO:<r@example.net>"


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def secured(doors: Doors) -> Raw:
    """A client behind STARTTLS and EHLO."""
    raw = doors.raw()
    raw.reply()
    raw.ask("EHLO client.example.com")
    raw.ask("STARTTLS")
    raw.start_tls(doors.trusting())
    raw.ask("EHLO client.example.com")
    return raw


def log_in(doors: Doors, raw: Raw, password: str | None = None, user: str = KEY) -> str:
    return raw.ask("AUTH PLAIN " + b64(f"\0{user}\0{doors.password() if password is None else password}"))


def send(raw: Raw, content: bytes = MESSAGE, *, sender: str = "sender@example.com", to: str = "r@example.net") -> str:
    """One transaction; the reply behind the dot."""
    assert raw.ask(f"MAIL FROM:<{sender}>") == "250 Ok"
    assert raw.ask(f"RCPT TO:<{to}>") == "250 Ok"
    assert raw.ask("DATA") == "354 End data with <CR><LF>.<CR><LF>"
    return raw.ask(content + b".\r\n")


@pytest.fixture
def client(doors: Doors) -> Iterator[Raw]:
    """Logged in."""
    with secured(doors) as raw:
        assert log_in(doors, raw) == "235 Authentication successful."
        yield raw


@pytest.fixture
def trusted(trusting: Doors) -> Iterator[Raw]:
    """In a trusted network, behind EHLO."""
    with trusting.raw() as raw:
        raw.reply()
        raw.ask("EHLO client.example.com")
        yield raw


def stored(doors: Doors, reply: str) -> tuple[spool.Message, bytes]:
    match = OK.fullmatch(reply)
    assert match, reply
    message = doors.run(lambda tx: spool.read(tx, match[1]))
    assert message is not None
    return message, doors.await_(doors.runtime.blobs.get(message.blob))


# --- the dialogue


def test_the_whole_dialogue_line_by_line(doors: Doors) -> None:
    with doors.raw() as raw:
        assert re.fullmatch(rf"220 {HOST} ESMTP SimpleEmailService-d-[A-Z0-9]{{9}} [A-Za-z0-9]{{20}}", raw.reply())
        assert raw.ask("EHLO client.example.com") == (
            f"250-{HOST}\n250-8BITMIME\n250-STARTTLS\n250-AUTH PLAIN LOGIN\n250 Ok"
        )
        assert raw.ask("STARTTLS") == "220 Ready to start TLS"
        raw.start_tls(doors.trusting())
        assert raw.ask("EHLO client.example.com") == f"250-{HOST}\n250-8BITMIME\n250-AUTH PLAIN LOGIN\n250 Ok"
        assert raw.ask("AUTH LOGIN") == "334 VXNlcm5hbWU6"
        assert raw.ask(b64(KEY)) == "334 UGFzc3dvcmQ6"
        assert raw.ask(b64(doors.password())) == "235 Authentication successful."
        assert raw.ask("MAIL FROM:<sender@example.com>") == "250 Ok"
        assert raw.ask("RCPT TO:<recipient@example.com>") == "250 Ok"
        assert raw.ask("DATA") == "354 End data with <CR><LF>.<CR><LF>"
        message, content = stored(doors, raw.ask(MESSAGE + b".\r\n"))
        assert raw.ask("QUIT") == "221 Bye"
        assert raw.rest() == b""
    assert (message.account, message.region, message.sender) == (ACCOUNT, "us-east-1", "sender@example.com")
    assert content.endswith(b"\r\n\r\nbody\r\n")


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("initial", [True, False])
@pytest.mark.parametrize("name", ["submission", "submissions"])
def test_smtplib_logs_in_and_sends(doors: Doors, name: str, mechanism: str, initial: bool) -> None:
    with doors.smtp(name) as smtp:
        if name == "submission":
            smtp.starttls(context=doors.trusting())
        smtp.ehlo()
        smtp.user, smtp.password = KEY, doors.password()
        method = smtp.auth_plain if mechanism == "PLAIN" else smtp.auth_login
        assert smtp.auth(mechanism, method, initial_response_ok=initial)[0] == 235
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = "sender@example.com", "r@example.net", "hello"
        message.set_content("body")
        assert smtp.send_message(message) == {}
        assert smtp.send_message(message) == {}  # several on one connection
    assert doors.run(lambda tx: tx.value("SELECT count(*) FROM messages")) == 2


def test_the_region_of_a_session_is_that_of_its_password(doors: Doors) -> None:
    doors.run(lambda tx: identities.create(tx, ACCOUNT, "eu-west-1", "eu@example.com", verified=True))
    with secured(doors) as raw:
        assert log_in(doors, raw, doors.password("eu-west-1")).startswith("235")
        message, _ = stored(doors, send(raw, MESSAGE.replace(b"sender@", b"eu@"), sender="eu@example.com"))
        assert message.region == "eu-west-1"
        assert send(raw) == (
            "554 Message rejected: Email address is not verified. The following identities failed the check in region"
            " EU-WEST-1: sender@example.com"
        )


def test_events_tell_how_the_message_came(doors: Doors, client: Raw) -> None:
    message, content = stored(doors, send(client))
    assert re.search(
        rf'"value":"from client\.example\.com \(\[127\.0\.0\.1\]\) by {HOST} with SMTP'
        r" \(SimpleEmailService-d-[A-Z0-9]{9}\) id [A-Za-z0-9]{20} for r@example\.net;"
        r' \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d \+0000 \(UTC\)"',
        message.mail_json,
    )
    assert '"ses:source-tls-version":["TLSv1.3"]' in message.mail_json
    assert '"ses:source-ip":["127.0.0.1"]' in message.mail_json
    assert b"Received:" not in content


# --- who it is


def test_nothing_goes_in_the_clear(doors: Doors) -> None:
    with doors.raw() as raw:
        raw.reply()
        raw.ask("EHLO a.example")
        for command in ("AUTH PLAIN " + b64("\0a\0b"), "AUTH LOGIN", "MAIL FROM:<sender@example.com>"):
            assert raw.ask(command) == "530 Must issue a STARTTLS command first"


def test_nothing_goes_without_auth(doors: Doors) -> None:
    with secured(doors) as raw:
        for command in ("MAIL FROM:<sender@example.com>", RCPT, "DATA"):
            assert raw.ask(command) == "530 Authentication required"


def test_wrong_credentials(doors: Doors) -> None:
    wrong = "535 Authentication Credentials Invalid"
    with secured(doors) as raw:
        assert log_in(doors, raw, "nonsense") == wrong
        assert log_in(doors, raw, user="AKIAUNKNOWN") == wrong
    doors.run(lambda tx: credentials.activate(tx, KEY, active=False))
    with secured(doors) as raw:
        assert log_in(doors, raw, doors.password("ap-south-1")) == wrong
        assert log_in(doors, raw) == wrong
        assert raw.ask("MAIL FROM:<sender@example.com>") == "530 Authentication required"


def test_acting_as_somebody_else_is_refused(doors: Doors) -> None:
    with secured(doors) as raw:
        assert raw.ask("AUTH PLAIN " + b64(f"other\0{KEY}\0{doors.password()}")).startswith("535")
        assert raw.ask("AUTH PLAIN " + b64(f"{KEY}\0{KEY}\0{doors.password()}")).startswith("235")


def test_an_account_that_is_not_subscribed(doors: Doors) -> None:
    doors.run(lambda tx: accounts.subscribe(tx, ACCOUNT, subscribed=False))
    with secured(doors) as raw:
        assert log_in(doors, raw) == "535 Account not subscribed to SES"


def test_the_credentials_cannot_be_checked_now(doors: Doors) -> None:
    doors.faults["auth"] = 1
    with secured(doors) as raw:
        assert log_in(doors, raw) == "454 Temporary authentication failure"
        assert log_in(doors, raw) == "235 Authentication successful."


def test_starttls_forgets_who_it_was(doors: Doors) -> None:
    with secured(doors) as raw:
        log_in(doors, raw)
        assert raw.ask("STARTTLS") == "503 Bad sequence of commands"


def test_what_is_said_behind_starttls_in_the_clear_is_thrown_away(doors: Doors) -> None:
    with doors.raw() as raw:
        raw.reply()
        raw.ask("EHLO a.example")
        assert raw.ask(b"STARTTLS\r\nNOOP\r\nMAIL FROM:<evil@example.com>\r\n") == "220 Ready to start TLS"
        raw.start_tls(doors.trusting())
        assert raw.ask("NOOP") == "250 Ok"  # the first and only answer
        assert raw.ask("QUIT") == "221 Bye"
        assert raw.rest() == b""


def test_a_trusted_network_needs_neither_tls_nor_auth(trusting: Doors, trusted: Raw) -> None:
    message, _ = stored(trusting, send(trusted))
    assert (message.account, message.region) == (ACCOUNT, "us-east-1")
    assert '"ses:caller-identity":["root"]' in message.mail_json
    assert send(trusted, MESSAGE.replace(b"sender@", b"other@")).startswith("554 Message rejected: Email address")


def test_a_trusted_client_may_still_use_tls_and_auth(trusting: Doors) -> None:
    with secured(trusting) as raw:
        assert '"ses:source-tls-version":["TLSv1.3"]' in stored(trusting, send(raw))[0].mail_json
        assert log_in(trusting, raw).startswith("235")
        stored(trusting, send(raw))


def test_the_open_door_of_a_test_double(tmp_path: Path) -> None:
    with Doors(tmp_path, submission={"open_door": ACCOUNT}) as doors:
        with secured(doors) as raw:
            assert log_in(doors, raw, "whatever", "anykey").startswith("235")
            assert stored(doors, send(raw))[0].account == ACCOUNT
        with secured(doors) as raw:
            assert log_in(doors, raw, "whatever", OTHER).startswith("235")
            doors.run(lambda tx: identities.create(tx, OTHER, "us-east-1", "sender@example.com", verified=True))
            assert stored(doors, send(raw))[0].account == OTHER
        with secured(doors) as raw:
            assert log_in(doors, raw, "wrong for a known key").startswith("535")


# --- the transaction


def test_senders_that_ses_does_not_take(trusted: Raw) -> None:
    assert trusted.ask("MAIL FROM:<>") == "501 Invalid MAIL FROM address provided"
    assert trusted.ask("MAIL FROM:<nobody>") == "501 Invalid MAIL FROM address provided"
    assert trusted.ask("MAIL FROM:<a@b..c>") == "553 <a@b..c> Invalid email address"


def test_recipients_that_ses_does_not_take(trusted: Raw) -> None:
    assert trusted.ask("MAIL FROM: sender@example.com") == "250 Ok"
    assert trusted.ask("RCPT TO:<a@b..c>") == "553 <a@b..c> address unknown"
    assert trusted.ask("RCPT TO:<postmaster>") == "553 <postmaster> address unknown"
    assert trusted.ask("RCPT TO: r@example.net") == "250 Ok"


def test_policy_is_told_behind_the_dot_and_nothing_earlier(trusted: Raw) -> None:
    content = b"From: Eve <eve@example.org>\r\n\r\nx\r\n"
    assert send(trusted, content, sender="mallory@example.org") == (
        "554 Message rejected: Email address is not verified. The following identities failed the check in region"
        " US-EAST-1: Eve <eve@example.org>, mallory@example.org"
    )
    assert send(trusted).startswith("250 Ok ")  # the session goes on


def test_a_long_list_of_failing_identities_is_cut_at_the_line_limit(trusted: Raw) -> None:
    many = ",\r\n ".join(f"somebody-{n:03}@unverified.example.org" for n in range(30)).encode()
    reply = send(trusted, b"From: " + many + b"\r\nSender: sender@example.com\r\n\r\nx\r\n")
    assert reply.startswith("554 Message rejected: Email address is not verified.")
    assert reply.endswith("example.org, ...")
    assert 460 < len(reply) + 2 <= 512


def test_more_than_fifty_recipients(trusted: Raw) -> None:
    trusted.ask("MAIL FROM:<sender@example.com>")
    for n in range(51):
        assert trusted.ask(f"RCPT TO:<r{n}@example.net>") == "250 Ok"
    trusted.ask("DATA")
    assert trusted.ask(MESSAGE + b".\r\n") == "554 Transaction failed: Recipient count exceeds 50."


def test_a_duplicate_header(trusted: Raw) -> None:
    assert send(trusted, b"Subject: one\r\n" + MESSAGE) == "554 Transaction failed: Duplicate header 'Subject'."


def test_a_configuration_set_that_does_not_exist(trusted: Raw) -> None:
    content = b"X-SES-CONFIGURATION-SET: nowhere\r\n" + MESSAGE
    assert send(trusted, content) == "554 Message rejected: Configuration set <nowhere> does not exist."


def test_a_configuration_set_named_by_its_header(trusting: Doors, trusted: Raw) -> None:
    content = b"X-SES-CONFIGURATION-SET: mine\r\n" + MESSAGE
    trusting.run(lambda tx: configuration_sets.create(tx, ACCOUNT, "us-east-1", "mine"))
    message, sent = stored(trusting, send(trusted, content))
    assert message.configuration_set == "mine"
    assert b"X-SES-" not in sent
    trusting.run(lambda tx: configuration_sets.set_sending(tx, ACCOUNT, "us-east-1", "mine", enabled=False))
    reply = send(trusted, content)
    assert reply.startswith("554 Message rejected: Sending paused for configuration set <mine>. For more information")


def test_another_accounts_identity(trusted: Raw) -> None:
    arn = f"arn:aws:ses:us-east-1:{OTHER}:identity/example.org"
    reply = send(trusted, f"X-SES-SOURCE-ARN: {arn}\r\n".encode() + MESSAGE)
    assert reply == (
        f"554 Access denied: User `arn:aws:iam::{ACCOUNT}:root' is not authorized to perform `ses:SendRawEmail'"
        f" on resource `{arn}'"
    )


def test_a_paused_and_a_closed_account(trusting: Doors, trusted: Raw) -> None:
    inbox = "For more information, please check the inbox of the email address associated with your AWS account."
    trusting.run(lambda tx: accounts.set_sending(tx, ACCOUNT, "us-east-1", enabled=False))
    assert send(trusted) == f"554 Message rejected: Sending paused for this account. {inbox}"
    trusting.run(lambda tx: accounts.close(tx, ACCOUNT))
    assert send(trusted) == f"554 Message rejected: Sending suspended for this account. {inbox}"


def test_the_daily_quota_and_the_rate(trusting: Doors, trusted: Raw) -> None:
    trusting.run(lambda tx: accounts.set_quota(tx, ACCOUNT, "us-east-1", max_24h=1, max_rate=-1))
    assert send(trusted).startswith("250 Ok")
    assert send(trusted) == "454 Throttling failure: Daily message quota exceeded."
    trusting.run(lambda tx: accounts.set_quota(tx, ACCOUNT, "us-east-1", max_24h=-1, max_rate=1))
    replies = [send(trusted) for _ in range(6)]
    assert replies[-1] == "454 Throttling failure: Maximum sending rate exceeded."
    assert all(reply.startswith("250 Ok") for reply in replies[:5])


def test_too_long_a_message(tmp_path: Path) -> None:
    with Doors(tmp_path, trusted=[("127.0.0.0/8", ACCOUNT)], submission={"max_message": 20_000}) as doors:
        with doors.raw() as raw:
            raw.reply()
            raw.ask("EHLO a.example")
            line = b"x" * 98 + b"\r\n"
            assert send(raw, MESSAGE + line * 300) == "552 Message is too long."
            assert send(raw, MESSAGE + line * 100).startswith("250 Ok")
        # An account's own limit, larger or smaller than the door's.
        doors.run(lambda tx: accounts.set_message_bytes(tx, ACCOUNT, "us-east-1", 5_000))
        doors.submitting._limits.clear()
        with doors.raw() as raw:
            raw.reply()
            raw.ask("EHLO a.example")
            assert send(raw, MESSAGE + line * 60) == "552 Message is too long."
        doors.run(lambda tx: accounts.set_message_bytes(tx, ACCOUNT, "us-east-1", 50_000))
        doors.submitting._limits.clear()
        with doors.raw() as raw:
            raw.reply()
            raw.ask("EHLO a.example")
            assert send(raw, MESSAGE + line * 300).startswith("250 Ok")


def test_bare_newlines_do_not_end_the_data(trusting: Doors, trusted: Raw) -> None:
    smuggled = b"\n.\nMAIL FROM:<evil@example.com>\r\n"
    _, content = stored(trusting, send(trusted, MESSAGE + smuggled))
    assert b"body\r\n\r\n.\r\nMAIL FROM:<evil@example.com>\r\n" in content
    assert trusted.ask("NOOP") == "250 Ok"


def test_bare_newlines_can_be_refused(tmp_path: Path) -> None:
    options = {"bare_newline": "refuse"}
    with Doors(tmp_path, trusted=[("127.0.0.0/8", ACCOUNT)], submission=options) as doors, doors.raw() as raw:
        raw.reply()
        raw.ask("EHLO a.example")
        assert send(raw, MESSAGE + b"one\ntwo\r\n") == "554 Transaction failed: Bare LF"


def test_a_line_of_ten_thousand_octets(trusted: Raw) -> None:
    assert send(trusted, MESSAGE + b"x" * 10_000 + b"\r\n") == "500 Line too long"
    assert trusted.ask("NOOP " + "x" * 10_000) == "500 Line too long"
    assert trusted.ask("NOOP") == "250 Ok"


def test_malformed_mime(trusted: Raw) -> None:
    content = b"Content-Type: multipart/mixed; boundary=x\r\n" + MESSAGE
    assert send(trusted, content).startswith("554 Transaction failed: ")


def test_unknown_and_unordered_commands(trusted: Raw) -> None:
    assert trusted.ask("FROB") == "500 Unknown command"
    assert trusted.ask("DATA") == "503 Bad sequence of commands"
    assert trusted.ask("EXPN list") == "502 Not implemented"
    assert trusted.ask("RSET") == "250 Ok"
    assert trusted.ask("VRFY a").startswith("252 ")


def test_commands_in_a_batch_are_done_in_order(trusting: Doors) -> None:
    transaction = b"MAIL FROM:<sender@example.com>\r\n" + RCPT.encode() + b"\r\nDATA\r\n" + MESSAGE + b".\r\n"
    with trusting.raw() as raw:
        raw.say(b"EHLO a.example\r\n" + transaction * 5 + b"QUIT\r\n")
        lines = raw.rest().decode().split("\r\n")
    assert sum(bool(OK.fullmatch(line)) for line in lines) == 5
    assert lines[-2:] == ["221 Bye", ""]


def test_who_hangs_up_after_the_last_word_still_gets_the_answers(trusting: Doors) -> None:
    transaction = b"MAIL FROM:<sender@example.com>\r\n" + RCPT.encode() + b"\r\nDATA\r\n" + MESSAGE + b".\r\n"
    with trusting.raw() as raw:
        raw.say(b"EHLO a.example\r\n" + transaction)
        raw.socket.shutdown(1)
        assert OK.search(raw.rest().decode())


# --- when something of ours is wrong


def test_what_cannot_be_received_now(trusting: Doors, trusted: Raw) -> None:
    trusting.faults["receive"] = 1
    assert send(trusted) == "454 Temporary service failure"
    assert send(trusted).startswith("250 Ok")


def test_what_cannot_be_processed_now(trusting: Doors, trusted: Raw) -> None:
    trusting.refuse_with = errors.Unreachable("the disk is full")
    assert send(trusted) == "451 Temporary service failure"
    trusting.refuse_with = None
    assert send(trusted).startswith("250 Ok")


def test_a_bug_is_logged_with_its_trace_and_told_as_temporary(
    trusting: Doors, trusted: Raw, caplog: pytest.LogCaptureFixture
) -> None:
    trusting.refuse_with = ZeroDivisionError("secret internals")
    assert send(trusted) == "451 Temporary service failure"
    assert "ZeroDivisionError" in caplog.text


# --- limits


def test_too_many_connections(tmp_path: Path) -> None:
    with Doors(tmp_path, submission={"connections": 2}) as doors:
        first, second = doors.raw(), doors.raw("submission")
        assert first.reply().startswith("220")
        assert second.reply().startswith("220")
        with doors.raw() as third:
            assert third.reply() == "421 Too many concurrent SMTP connections"
            assert third.rest() == b""
        with pytest.raises(smtplib.SMTPConnectError, match="421"):  # one limit for both listeners
            doors.smtp("submissions")
        first.ask("QUIT")
        first.rest()
        with doors.raw() as third:
            assert third.reply().startswith("220")
        first.close()
        second.close()


def test_too_many_connections_of_one_account(tmp_path: Path) -> None:
    options = {"connections_per_account": 1}
    with Doors(tmp_path, trusted=[("127.0.0.0/8", ACCOUNT)], submission=options) as doors:
        with secured(doors) as first, secured(doors) as second:
            assert log_in(doors, first).startswith("235")
            assert log_in(doors, second) == "421 Too many concurrent SMTP connections"
            assert second.rest() == b""
            with doors.raw() as third:
                third.reply()
                third.ask("EHLO a.example")
                assert third.ask("MAIL FROM:<sender@example.com>") == "421 Too many concurrent SMTP connections"
            first.ask("QUIT")
            first.rest()
        with secured(doors) as again:
            assert log_in(doors, again).startswith("235")


@pytest.mark.slow
def test_guessing_passwords_gets_slow(doors: Doors) -> None:
    with secured(doors) as raw:
        for _ in range(4):
            assert log_in(doors, raw, "wrong").startswith("535")
        raw.socket.settimeout(1.0)
        raw.say("AUTH PLAIN " + b64(f"\0{KEY}\0wrong"))
        with pytest.raises(TimeoutError):
            raw.line()


@pytest.mark.slow
def test_who_hangs_up_while_logging_in_is_not_counted_for_ever(tmp_path: Path) -> None:
    with Doors(tmp_path, submission={"connections_per_account": 1}) as doors:
        with secured(doors) as raw:
            for _ in range(3):
                log_in(doors, raw, "wrong")
            raw.say("AUTH PLAIN " + b64(f"\0{KEY}\0{doors.password()}"))  # is answered a second later
        time.sleep(1.5)
        with secured(doors) as raw:
            assert log_in(doors, raw).startswith("235")


def test_no_tls_to_be_had(tmp_path: Path) -> None:
    with Doors(tmp_path, tls=False) as doors, doors.raw() as raw:
        raw.reply()
        assert raw.ask("EHLO a.example") == f"250-{HOST}\n250-8BITMIME\n250-AUTH PLAIN LOGIN\n250 Ok"
        assert raw.ask("STARTTLS") == "502 Not implemented"
        assert raw.ask("MAIL FROM:<sender@example.com>") == "530 Must issue a STARTTLS command first"


def test_old_tls_is_refused_and_others_go_on(doors: Doors) -> None:
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.set_ciphers("DEFAULT:@SECLEVEL=0")
    old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with doors.raw("submissions") as raw, pytest.raises((ssl.SSLError, ConnectionError)):
        raw.start_tls(old)
    with doors.smtp("submissions") as smtp:
        assert smtp.noop()[0] == 250


# --- programs that users send with


@pytest.mark.slow
def test_swaks_sends(trusting: Doors) -> None:
    done = clients.swaks(
        *("--server", f"127.0.0.1:{trusting.ports['submission']}"),
        *("--from", "sender@example.com", "--to", "r@example.net"),
    )
    assert done.returncode == 0, done.stdout.decode()
    assert b"250 Ok 01" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", ["submission", "submissions"])
def test_curl_sends(doors: Doors, name: str) -> None:
    scheme = "smtps" if name == "submissions" else "smtp"
    done = clients.curl(
        *(f"{scheme}://127.0.0.1:{doors.ports[name]}", "--ssl-reqd", "--cacert", str(doors.certificate)),
        *("--user", f"{KEY}:{doors.password()}", "--mail-from", "sender@example.com", "--mail-rcpt", "r@example.net"),
        *("--upload-file", "-"),
        stdin=MESSAGE,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert doors.run(lambda tx: tx.value("SELECT count(*) FROM messages")) == 1
