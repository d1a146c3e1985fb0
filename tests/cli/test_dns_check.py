"""dns check: says what is published, what is missing and what is wrong, against a real name server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mailstead.cli.frame import in_transaction
from mailstead.config import load
from mailstead.ses import identities, mail_from
from mailstead.store.port import Transaction
from peers.nsd import Nsd

Run = Callable[..., Any]
ACCOUNT, REGION = "000000000000", "us-east-1"
OWN = ("--set", "provider.domain=mail.test", "--set", "server.hostname=mx.mail.test")


@pytest.fixture
def at(dns: Nsd) -> tuple[str, ...]:
    return (*OWN, "--set", f"dns.resolver={dns.address}")


def levels(run: Run, *more: str) -> tuple[int, dict[tuple[str, str], str]]:
    """Exit status, and the level of each name and type."""
    import json

    done = run("dns", "check", "example.com", "--json", *more)
    return done.status, {(one["name"], one["type"]): one["level"] for one in json.loads(done.out)}


def test_what_dns_records_prints_is_ok(run: Run, dns: Nsd, data: Path, at: tuple[str, ...]) -> None:
    run("identity", "verify", "example.com")

    async def choose(tx: Transaction) -> None:
        found = await identities.get(tx, ACCOUNT, REGION, "example.com")
        await mail_from.put(tx, found, "bounce.example.com", on_failure="USE_DEFAULT_VALUE", verified=False)

    in_transaction(load(data=data), choose)
    status, found = levels(run, *at)
    assert (status, set(found.values())) == (1, {"missing"})
    records = run("dns", "records", "example.com", *OWN).out
    assert "bounce.example.com. 3600 IN MX 10 mx.mail.test." in records
    dns.add(records)
    status, found = levels(run, *at)
    assert (status, set(found.values())) == (0, {"ok"})
    assert ("_amazonses.example.com", "TXT") in found
    assert ("bounce.example.com", "MX") in found


def test_wrong_values_are_shown(run: Run, dns: Nsd, data: Path, at: tuple[str, ...]) -> None:
    run("identity", "verify", "example.com")
    token = run("dns", "records", "example.com").out.partition(".")[0]
    dns.set("example.com", f'{token}._domainkey TXT "v=DKIM1; k=rsa; p=AAAA"')
    done = run("dns", "check", "example.com", *at)
    assert done.status == 1
    wrong, missing = done.out.splitlines()
    assert wrong.startswith(f"wrong    {token}._domainkey.example.com TXT  should be v=DKIM1; k=rsa; p=MII")
    assert wrong.endswith("is v=DKIM1; k=rsa; p=AAAA")
    assert missing.startswith("missing  _amazonses.example.com TXT")


def test_a_cname_is_followed_to_its_key(run: Run, dns: Nsd, at: tuple[str, ...]) -> None:
    run("identity", "verify", "example.com")
    line = run("dns", "records", "example.com").out.splitlines()[0]
    token = line.partition(".")[0]
    dns.set("example.com", f"{token}._domainkey CNAME {token}.dkim.mail.test.")
    status, found = levels(run, *at)
    assert status == 1
    assert found == {
        (f"{token}._domainkey.example.com", "CNAME"): "ok",
        (f"{token}.dkim.mail.test", "TXT"): "missing",
        ("_amazonses.example.com", "TXT"): "missing",
    }
    dns.set("dkim.mail.test", f"{token} TXT {line.partition(' TXT ')[2]}")
    assert levels(run, *at)[0] == 0


def test_our_own_domain(run: Run, dns: Nsd, at: tuple[str, ...]) -> None:
    run("account", "list", *at)
    records = run("dns", "records", "mail.test", *at).out
    assert run("dns", "check", "mail.test", *at).status == 1
    dns.add(records)
    done = run("dns", "check", "mail.test", *at)
    assert (done.status, {text.split()[0] for text in done.out.splitlines()}) == (0, {"ok"})


def test_a_hosted_domain(run: Run, dns: Nsd, at: tuple[str, ...]) -> None:
    hosted = (*at, "--set", "hosted.domains=h.test")
    run("account", "create", "123456789012")
    assert run("dns", "check", "h.test", *hosted).out == "missing  h.test MX  should be 10 mx.mail.test\n"
    dns.set("h.test", "@ MX 10 mx.mail.test.\n@ MX 20 backup.test.")
    assert run("dns", "check", "h.test", *hosted).status == 0
    dns.set("h.test", "@ MX 10 other.test.")
    assert run("dns", "check", "h.test", *hosted).out.startswith("wrong ")


def test_no_answer_is_not_missing(run: Run, dns: Nsd) -> None:
    run("identity", "verify", "example.com")
    dead = ("--set", "dns.resolver=127.0.0.1:9")
    status, found = levels(run, *dead)
    assert (status, set(found.values())) == (1, {"unknown"})


def test_a_stranger(run: Run, at: tuple[str, ...]) -> None:
    run("account", "create", "123456789012")
    done = run("dns", "check", "stranger.example", *at)
    assert done.status == 1
    assert "is no identity" in done.err
    assert run("dns", "check", "no domain", *at).status == 1
