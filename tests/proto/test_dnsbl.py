"""DNSBL: the names that are asked for are those of RFC 5782, and what answers mean."""

from __future__ import annotations

import pytest

from mailstead.proto.dnsbl import Verdict, name_of, verdict

SIX = "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2"


@pytest.mark.parametrize(
    ("ip", "name"),
    [
        ("192.0.2.99", "99.2.0.192.bad.example.com"),  # RFC 5782 §2.1
        ("2001:db8:1:2:3:4:567:89ab", f"{SIX}.bad.example.com"),  # RFC 5782 §2.4
        ("127.0.0.2", "2.0.0.127.bad.example.com"),
    ],
)
def test_names(ip: str, name: str) -> None:
    assert name_of(ip, "bad.example.com") == name


@pytest.mark.parametrize(
    ("addresses", "meaning"),
    [
        ([], Verdict.CLEAR),
        (["127.0.0.2"], Verdict.LISTED),
        (["127.0.0.11", "127.0.0.4"], Verdict.LISTED),
        (["127.255.255.254"], Verdict.REFUSED),
        (["127.0.0.2", "127.255.255.252"], Verdict.REFUSED),
        (["192.0.2.1"], Verdict.CLEAR),
    ],
)
def test_answers(addresses: list[str], meaning: Verdict) -> None:
    assert verdict(addresses) is meaning
