"""account, key and identity: what the operator makes is what a client can use."""

from __future__ import annotations

import base64
import configparser
import hashlib
import hmac
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import load_der_public_key

from mailstead.cli.frame import in_transaction
from mailstead.config import load
from mailstead.ses import account as accounts
from mailstead.store.port import Transaction

Run = Callable[..., Any]
FIRST = "000000000000"


def aws_smtp_password(secret: str, region: str) -> str:
    """The recipe as AWS documents it."""
    key = ("AWS4" + secret).encode()
    for word in ("11111111", region, "ses", "aws4_request", "SendRawEmail"):
        key = hmac.new(key, word.encode(), hashlib.sha256).digest()
    return base64.b64encode(b"\x04" + key).decode()


def test_the_first_command_makes_what_a_first_start_makes(run: Run, data: Path) -> None:
    assert run("account", "create", "123456789012").status == 0
    assert {one["account"] for one in run("account", "list", "--json").json} == {FIRST, "123456789012"}
    file = configparser.ConfigParser()
    file.read(data / "credentials")
    assert (data / "credentials").stat().st_mode & 0o777 == 0o600
    keys = [one["access_key"] for one in run("key", "list", "--json").json]
    assert keys == [file["default"]["aws_access_key_id"]]


def test_an_account_has_the_quota_it_was_given(run: Run) -> None:
    made = run("account", "create", "--quota", "100000/day,50/s", "--json").json
    (region,) = made["regions"]
    assert (region["region"], region["max_24h"], region["max_rate"], region["production"]) == (
        "us-east-1",
        100_000,
        50,
        True,
    )
    assert run("account", "show", made["account"], "--json").json == made


def test_an_account_is_made_once(run: Run) -> None:
    run("account", "create", "123456789012")
    done = run("account", "create", "123456789012")
    assert (done.status, done.err) == (1, "mailstead: Account 123456789012 already exists\n")


def test_a_request_for_production_access_is_seen_and_answered(run: Run, data: Path) -> None:
    run("account", "create", "123456789012")
    told = accounts.Details("MARKETING", "https://shop.example", "EN", "Letters to our customers\n" * 20)

    async def ask(tx: Transaction) -> None:
        await accounts.set_details(tx, "123456789012", "us-east-1", told, request=True)

    in_transaction(load(data=data), ask)
    (region,) = run("account", "show", "123456789012", "--json").json["regions"]
    assert (region["review"], region["details"]["website"]) == ("pending", "https://shop.example")
    shown = run("account", "show", "123456789012").out
    assert ("pending" in shown, "Letters" in shown) == (True, False)
    (region,) = run("account", "review", "123456789012", "--grant", "--json").json["regions"]
    assert (region["review"], region["production"]) == ("granted", True)


def test_switches(run: Run) -> None:
    def region() -> dict[str, Any]:
        return dict(run("account", "show", FIRST, "--json").json["regions"][0])

    run("account", "create", "123456789012")
    assert region()["production"] is False
    assert run("account", "review", FIRST, "--grant").status == 0
    assert (region()["production"], region()["max_24h"]) == (True, 50_000)
    run("account", "pause", FIRST)
    assert region()["enforcement"] == "SHUTDOWN"
    run("account", "resume", FIRST)
    assert region()["enforcement"] == "HEALTHY"
    run("account", "close", FIRST)
    assert run("account", "show", FIRST, "--json").json["state"] == "closed"
    run("account", "reopen", FIRST)
    run("account", "set", FIRST, "subscribed=false", "sending_enabled=off", "message_bytes=1MiB")
    assert run("account", "show", FIRST, "--json").json["state"] == "not subscribed"
    assert (region()["sending_enabled"], region()["message_bytes"]) == (False, 1 << 20)
    run("account", "set", FIRST, "quota=7/day,2/s")
    assert (region()["max_24h"], region()["max_rate"]) == (7, 2)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("subscribd=no", "did you mean subscribed?"),
        ("subscribed=perhaps", "true or false"),
        ("quota=lots", "sandbox"),
        ("message_bytes=big", "10MiB"),
        ("subscribed", "name=value"),
    ],
)
def test_a_change_that_cannot_be_changes_nothing(run: Run, change: str, said: str) -> None:
    run("account", "create", "123456789012")
    before = run("account", "show", FIRST).out
    done = run("account", "set", FIRST, "sending_enabled=false", change)
    assert done.status == 1
    assert said in done.err
    assert run("account", "show", FIRST).out == before


def test_another_region_is_another_state(run: Run) -> None:
    both = ("--set", "regions=us-east-1,eu-west-1")
    run("account", "create", "123456789012", *both)
    run("account", "pause", "123456789012", "--region", "eu-west-1", *both)
    regions = run("account", "show", "123456789012", "--json").json["regions"]
    assert {one["region"]: one["enforcement"] for one in regions} == {"us-east-1": "HEALTHY", "eu-west-1": "SHUTDOWN"}
    refused = run("account", "pause", "123456789012", "--region", "eu-west-2", *both)
    assert (refused.status, "eu-west-2 is not served" in refused.err) == (1, True)


# -- keys --------------------------------------------------------------------------------------------------------------


def test_a_key_comes_with_the_smtp_password_of_each_region(run: Run) -> None:
    made = run("key", "create", "--set", "regions=us-east-1,eu-west-1", "--json").json
    wanted = {region: aws_smtp_password(made["secret"], region) for region in ("us-east-1", "eu-west-1")}
    assert made["smtp_passwords"] == wanted
    assert made["account"] == FIRST


def test_the_secret_is_shown_once(run: Run) -> None:
    secret = run("key", "create", "--json").json["secret"]
    assert secret not in run("key", "list").out + run("key", "list", "--json").out


def test_a_given_key_is_taken(run: Run) -> None:
    secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
    made = run("key", "create", "--access-key", "AKIAIOSFODNN7EXAMPLE", "--secret", secret, "--json").json
    assert made["smtp_passwords"]["us-east-1"] == "BLBM/9hSUELfq8Gw+rU1YcBjkOxGbhT2XG763xVLGWL9"
    again = run("key", "create", "--access-key", "AKIAIOSFODNN7EXAMPLE")
    assert (again.status, "already exists" in again.err) == (1, True)


POLICY = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "ses:Send*", "Resource": "*"}}


def test_a_principal_has_a_policy(run: Run, tmp_path: Path) -> None:
    policy = tmp_path / "policy.json"
    policy.write_text(json.dumps(POLICY))
    run("key", "create", "--user", "billing", "--policy", str(policy))
    (row,) = [one for one in run("key", "list", "--json").json if one["user"] == "billing"]
    assert row["policy"] is True
    policy.write_text("{")
    assert "Syntax errors" in run("key", "create", "--user", "other", "--policy", str(policy)).err
    policy.write_bytes(b"\xff")
    assert "is not UTF-8" in run("key", "create", "--user", "other", "--policy", str(policy)).err
    policy.write_text(json.dumps({"Statement": {"Effect": "Allow", "Action": "*"}}))
    assert "must contain resources" in run("key", "create", "--user", "other", "--policy", str(policy)).err
    assert [one["user"] for one in run("principal", "list", "--json").json] == ["billing", "root"]


def test_a_policy_is_shown_replaced_and_taken_away(run: Run, tmp_path: Path) -> None:
    run("key", "create")
    file = tmp_path / "policy.json"
    file.write_text(json.dumps(POLICY, indent=4))
    made = run("principal", "create", "billing", "--policy", str(file), "--json").json
    assert (made["arn"], made["policy"]) == ("arn:aws:iam::000000000000:user/billing", True)
    assert json.loads(run("principal", "policy", "billing", "--json").json["policy"]) == POLICY
    other = {**POLICY, "Statement": {**POLICY["Statement"], "Action": "ses:GetAccount"}}
    file.write_text(json.dumps(other))
    assert json.loads(run("principal", "policy", "billing", str(file), "--json").json["policy"]) == other
    assert run("principal", "policy", "billing", "--remove", "--json").json["policy"] == ""
    assert {one["user"]: one["policy"] for one in run("principal", "list", "--json").json} == {
        "billing": False,
        "root": False,
    }


@pytest.mark.parametrize(
    ("arguments", "status", "why"),
    [
        (("create", "root"), 1, "already exists"),
        (("create", "billing:x"), 1, "must be 1 to 64 letters"),
        (("create", "x", "--account", "999999999999"), 1, "does not exist"),
        (("policy", "nobody"), 1, "User nobody does not exist"),
        (("policy", "nobody", "--remove"), 1, "User nobody does not exist"),
        (("policy", "root", "--remove"), 1, "takes no policy"),
        (("policy", "root", "none.json"), 1, "cannot read none.json"),
        (("policy", "root", "none.json", "--remove"), 2, "--remove takes no FILE"),
        (("list", "--account", "999999999999"), 1, "does not exist"),
    ],
)
def test_what_is_said_of_principals_that_cannot_be(run: Run, arguments: tuple[str, ...], status: int, why: str) -> None:
    run("key", "create")
    done = run("principal", *arguments)
    assert (done.status, why in done.err) == (status, True), done.err


def test_a_deleted_key_is_gone(run: Run) -> None:
    key = run("key", "create", "--json").json["access_key"]
    assert run("key", "delete", key).status == 0
    assert key not in run("key", "list").out
    assert run("key", "delete", key).status == 1


def test_keys_of_nobody(run: Run) -> None:
    run("account", "create", "123456789012")
    assert run("key", "list", "--account", "123456789012").out == "no access keys\n"
    assert run("key", "list", "--account", "999999999999").status == 1


# -- identities --------------------------------------------------------------------------------------------------------


def test_the_operator_vouches(run: Run) -> None:
    assert run("identity", "verify", "Example.COM").status == 0
    assert run("identity", "verify", "ann@example.org").status == 0
    rows = {one["identity"]: one for one in run("identity", "list", "--json").json}
    assert {name: row["status"] for name, row in rows.items()} == {
        "example.com": "SUCCESS",
        "ann@example.org": "SUCCESS",
    }
    assert rows["example.com"]["dkim"] == "SUCCESS"
    assert rows["ann@example.org"]["dkim"] == "off"
    assert run("identity", "verify", "no domain").status == 1


def test_no_identities_is_said_in_words(run: Run) -> None:
    run("account", "create", "123456789012")
    assert run("identity", "list").out == "no identities\n"
    assert run("identity", "list", "--json").json == []


def test_dns_records_are_lines_of_a_zone(run: Run) -> None:
    import dns.zone

    run("identity", "verify", "example.com")
    done = run("dns", "records", "example.com")
    assert done.status == 0
    text = "$ORIGIN example.com.\n@ 3600 IN SOA ns. root. 1 1 1 1 1\n@ 3600 IN NS ns.test.\n" + done.out
    zone = dns.zone.from_text(text, origin="example.com", relativize=False)
    texts = {str(name): b"".join(rdata.strings) for name, _, rdata in zone.iterate_rdatas("TXT")}
    (dkim,) = [value for name, value in texts.items() if "._domainkey.example.com." in name]
    public = load_der_public_key(base64.b64decode(dkim.rpartition(b"p=")[2]))
    assert getattr(public, "key_size", 0) == 2048
    assert "_amazonses.example.com." in texts


def test_dns_records_of_our_own_domains(run: Run) -> None:
    own = ("--set", "provider.domain=mail.test", "--set", "server.hostname=mx1.mail.test")
    out = run("dns", "records", "mail.test", *own).out
    assert "mail.test. 3600 IN MX 10 mx1.mail.test.\n" in out
    assert 'mail.test. 3600 IN TXT "v=spf1 a:mx1.mail.test ~all"\n' in out
    assert "._domainkey.mail.test. 3600 IN TXT " in out
    hosted = run("dns", "records", "h.test", "--set", "hosted.domains=h.test", "--set", "server.hostname=mx1.mail.test")
    assert hosted.out == "h.test. 3600 IN MX 10 mx1.mail.test.\n"
    assert run("dns", "records", "stranger.example").status == 1
