"""Our DNS server answers as a public one would."""

from __future__ import annotations

import dns.message
import dns.query
import dns.rcode
import pytest

from peers.nsd import Nsd

pytestmark = pytest.mark.slow
ZONE = """
@ MX 10 mx1
@ MX 20 mx2
mx1 A 127.0.0.2
mx2 A 127.0.0.3
mx2 AAAA ::1
null MX 0 .
alias CNAME mx1
s1._domainkey TXT "v=DKIM1; k=rsa; p=AAAA" "BBBB"
over CNAME mx.other.test.
"""


def ask(server: Nsd, name: str, kind: str) -> tuple[str, list[str]]:
    answer = dns.query.udp(dns.message.make_query(name, kind), server.host, timeout=3, port=server.port)
    return dns.rcode.to_text(answer.rcode()), sorted(str(item) for rrset in answer.answer for item in rrset)


def test_every_kind_that_mail_asks_for(dns: Nsd) -> None:
    dns.set("example.test", ZONE)
    assert ask(dns, "example.test", "MX") == ("NOERROR", ["10 mx1.example.test.", "20 mx2.example.test."])
    assert ask(dns, "mx1.example.test", "A") == ("NOERROR", ["127.0.0.2"])
    assert ask(dns, "mx2.example.test", "AAAA") == ("NOERROR", ["::1"])
    assert ask(dns, "null.example.test", "MX") == ("NOERROR", ["0 ."])
    assert ask(dns, "alias.example.test", "A") == ("NOERROR", ["127.0.0.2", "mx1.example.test."])
    assert ask(dns, "s1._domainkey.example.test", "TXT") == ("NOERROR", ['"v=DKIM1; k=rsa; p=AAAA" "BBBB"'])
    assert ask(dns, "mx1.example.test", "MX") == ("NOERROR", [])


def test_what_was_not_given_does_not_exist(dns: Nsd) -> None:
    dns.set("example.test", ZONE)
    assert ask(dns, "nobody.example.test", "A")[0] == "NXDOMAIN"
    assert ask(dns, "elsewhere.example", "MX")[0] == "NXDOMAIN"


def test_records_change_while_it_runs(dns: Nsd) -> None:
    dns.set("example.test", ZONE)
    dns.set("other.test", "mx A 127.0.0.9")
    assert ask(dns, "over.example.test", "A") == ("NOERROR", ["127.0.0.9", "mx.other.test."])
    dns.set("other.test", "mx A 127.0.0.8")
    dns.add('sel._domainkey.other.test. 60 IN TXT "p=x"')
    assert ask(dns, "mx.other.test", "A") == ("NOERROR", ["127.0.0.8"])
    assert ask(dns, "sel._domainkey.other.test", "TXT") == ("NOERROR", ['"p=x"'])
    dns.remove("other.test")
    assert ask(dns, "mx.other.test", "A")[0] == "NXDOMAIN"
