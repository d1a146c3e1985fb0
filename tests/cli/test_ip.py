"""ip: the operator gives addresses of this machine to accounts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Run = Callable[..., Any]
SOURCES = "delivery.sources=news:192.0.2.25=mail1.example.com, spare:[2001:db8::25]=mail2.example.com"
OTHER = "123456789012"


@pytest.fixture
def ip(run: Run) -> Run:
    run("account", "create", OTHER)
    return lambda *words: run("--set", SOURCES, "ip", *words)


def test_an_address_is_given_and_taken_back(ip: Run) -> None:
    spare = {
        "address": "2001:db8::25",
        "hostname": "mail2.example.com",
        "source_pool": "spare",
        "account": "",
        "region": "",
        "pool": "",
        "warmup": None,
    }
    first = {**spare, "address": "192.0.2.25", "hostname": "mail1.example.com", "source_pool": "news"}
    assert ip("list", "--json").json == [first, spare]
    owned = {**first, "account": OTHER, "region": "us-east-1", "pool": "ses-default-dedicated-pool", "warmup": 0}
    assert ip("assign", "192.0.2.25", "--account", OTHER, "--json").json == owned
    assert ip("list", "--json").json == [owned, spare]
    assert ip("assign", "2001:0DB8::25", "--json").json["account"] == "000000000000"
    assert ip("release", "192.0.2.25", "--json").json == first
    assert "mail1.example.com" in ip("list").out


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("assign", "192.0.2.26"), "192.0.2.26 is none of delivery.sources"),
        (("assign", "mail1.example.com"), "mail1.example.com is not an IP address"),
        (("assign", "192.0.2.25", "--account", "999999999999"), "Account 999999999999 does not exist"),
        (("assign", "192.0.2.25", "--region", "mars-north-1"), "region mars-north-1 is not served here"),
        (("release", "192.0.2.25"), "192.0.2.25 is assigned to no account"),
        (("release", "nothing"), "nothing is not an IP address"),
    ],
)
def test_what_is_refused(ip: Run, words: tuple[str, ...], text: str) -> None:
    done = ip(*words)
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith(f"mailstead: {text}")
    assert done.err.count("\n") == 1


def test_an_address_is_given_once(ip: Run) -> None:
    assert ip("assign", "192.0.2.25").status == 0
    done = ip("assign", "192.0.2.25", "--account", OTHER)
    assert (done.status, done.err) == (1, "mailstead: 192.0.2.25 is assigned to an account already\n")


def test_one_that_is_not_configured_any_more_can_be_taken_back(ip: Run, run: Run) -> None:
    ip("assign", "192.0.2.25")
    (row,) = run("ip", "list", "--json").json
    assert (row["address"], row["hostname"]) == ("192.0.2.25", "not in delivery.sources")
    assert run("ip", "release", "192.0.2.25", "--json").json == {
        "address": "192.0.2.25",
        "hostname": "not in delivery.sources",
    }
    assert run("ip", "list").out == "no addresses: name them in delivery.sources\n"
