"""SPF: every case of the published suite, and what it does not ask: limits, hostile records, who decided."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mailstead.proto import spf
from mailstead.proto.dns import Answer, DnsError
from mailstead.proto.spf import Spf, check
from mailstead.proto.spf_macros import SpfSyntaxError
from mailstead.proto.spf_record import parse_record
from peers.ground import VECTORS

SUITE = VECTORS / "spf-rfc7208" / "rfc7208-tests.yml"


class Zones:
    """Answers from the ``zonedata`` of a scenario, or from records that a test writes: ``{name: [(type, data)]}``."""

    def __init__(self, data: dict[str, list[Any]]) -> None:
        self.asked: list[tuple[str, str]] = []
        self._names: dict[str, list[tuple[str, str]]] = {}
        self._silent = set()
        for name, entries in data.items():
            records = [record for entry in entries if isinstance(entry, dict) for record in entry.items()]
            if not any(kind == "TXT" for kind, _ in records):  # the suite: SPF stands for TXT, too
                records += [("TXT", value) for kind, value in records if kind == "SPF"]
            self._names[name.lower()] = [
                (kind, _text(kind, value)) for kind, value in records if kind != "SPF" and value != "NONE"
            ]
            if "TIMEOUT" in entries:
                self._silent.add(name.lower())

    async def query(self, name: str, kind: str) -> Answer:
        self.asked.append((name, kind))
        name = name.lower()
        for _ in range(8):
            records = self._names.get(name)
            found = tuple(value for of, value in records or () if of == kind)
            if not found and name in self._silent:
                raise DnsError("silence")
            alias = [value for of, value in records or () if of == "CNAME"]
            if found or not alias:
                return Answer(found, records is not None)
            name = alias[0].lower().rstrip(".")
        raise DnsError("a loop")


def _text(kind: str, value: Any) -> str:
    if kind == "MX":
        return f"{value[0]} {value[1]}"
    pieces = value if isinstance(value, list) else [value]
    # As the resolver has it: octets that are no UTF-8 are characters that say so.
    return "".join(str(piece) for piece in pieces).encode("latin-1").decode("utf-8", "replace")


def _cases() -> list[Any]:
    if not SUITE.exists():
        return [pytest.param({}, {}, id="suite")]
    scenarios = list(yaml.safe_load_all(SUITE.read_text()))
    return [
        pytest.param(case, scenario["zonedata"], id=name)
        for scenario in scenarios
        for name, case in scenario["tests"].items()
    ]


CASES = _cases()


def test_the_suite_is_whole(vectors: Path) -> None:
    assert SUITE.is_relative_to(vectors)
    assert len(CASES) == 203


@pytest.mark.parametrize(("case", "zonedata"), CASES)
def test_suite(vectors: Path, case: dict[str, Any], zonedata: dict[str, list[Any]]) -> None:
    found = asyncio.run(check(Zones(zonedata), case["host"], case["mailfrom"], case["helo"]))
    wanted = case["result"]
    assert found.result in ([wanted] if isinstance(wanted, str) else wanted), found
    if "explanation" in case:
        assert found.explanation == case["explanation"].replace("DEFAULT", "")


def evaluated(record: str, ip: str = "192.0.2.1", sender: str = "ann@d.test", **more: list[Any]) -> Spf:
    """What this record of d.test says of the client; other names are ``x_test=[…]``."""
    zones = {name.replace("_", "."): entries for name, entries in more.items()}
    return asyncio.run(check(Zones({"d.test": [{"TXT": record}], **zones}), ip, sender, "h.test"))


def test_it_says_which_term_decided_and_what_it_cost() -> None:
    found = evaluated("v=spf1 a include:i.test -all", i_test=[{"TXT": "v=spf1 ip4:192.0.2.0/24"}])
    assert found == Spf("pass", "d.test", "include:i.test", lookups=2)


def test_errors_say_what_is_wrong() -> None:
    assert evaluated("v=spf1 include:gone.test").problem == "d.test includes gone.test, which has no SPF record"
    assert evaluated("v=spf1 redirect=gone.test").problem == "d.test redirects to gone.test, which has no SPF record"
    assert evaluated("v=spf1 ip4:192.0.2").problem == "d.test: no address: 192.0.2"
    assert evaluated("v=spf1 frog -all").problem == "d.test: no mechanism: frog"
    assert evaluated("v=spf1 a:a.test a:b.test a:c.test").problem == "more than 2 look-ups that find nothing"
    ten = " ".join(f"a:a{number}.test" for number in range(11))
    assert evaluated(f"v=spf1 {ten}", **{f"a{n}_test": [{"A": "192.0.2.9"}] for n in range(11)}) == Spf(
        "permerror", "d.test", problem="more than 10 look-ups", lookups=11
    )
    assert evaluated("v=spf1 -all", d_test=[{"TXT": "v=spf1 -all"}, {"TXT": "v=spf1 ?all"}]).problem == (
        "d.test has 2 SPF records"
    )


def test_no_answer_is_temporary_wherever_it_is() -> None:
    silent = ["TIMEOUT"]
    for term in ("a:s.test", "mx:s.test", "exists:s.test", "include:s.test", "redirect=s.test"):
        assert evaluated(f"v=spf1 {term}", s_test=silent).result == "temperror", term
    ptr = evaluated("v=spf1 ptr ?all", **{"1_2_0_192_in-addr_arpa": silent})
    assert (ptr.result, ptr.term) == ("neutral", "?all")


def test_a_null_mx_names_nobody() -> None:
    assert evaluated("v=spf1 mx -all", d_test=[{"TXT": "v=spf1 mx -all"}, {"MX": [0, "."]}]).result == "fail"


@pytest.mark.parametrize(
    ("ip", "result"),
    [("::ffff:192.0.2.1", "pass"), ("192.0.2.2", "fail"), ("2001:db8::1", "pass"), ("2001:db8:1::1", "fail")],
)
def test_addresses_of_both_families(ip: str, result: str) -> None:
    assert evaluated("v=spf1 ip4:192.0.2.1 ip6:2001:db8::/48 -all", ip).result == result


def test_names_in_other_scripts_are_asked_for_as_they_are_registered() -> None:
    zones = Zones({"xn--bcher-kva.test": [{"TXT": "v=spf1 exists:%{l}.x.test include:%{o} -all"}]})
    found = asyncio.run(check(zones, "192.0.2.1", "ann@bücher.test", ""))
    assert (found.domain, found.result) == ("xn--bcher-kva.test", "permerror")  # it includes itself without end
    assert {name for name, _ in zones.asked} == {"xn--bcher-kva.test", "ann.x.test"}
    # RFC 8616 §4: a local part that is no ASCII matches nothing.
    assert evaluated("v=spf1 exists:%{l}.x.test -all", sender="än@d.test").result == "fail"


def test_an_explanation_that_would_break_a_reply_is_not_given() -> None:
    for text, shown in (("Go to %{d}", "Go to d.test"), ("two\r\nlines", ""), ("x" * 513, ""), ("%{s}" * 60, "")):
        found = evaluated("v=spf1 -all exp=e.test", sender=f"{'a' * 60}@d.test", e_test=[{"TXT": text}])
        assert (found.result, found.explanation) == ("fail", shown)


def test_a_check_has_an_end_however_the_record_is() -> None:
    """The most that a sender can make us ask: ten terms of mx with ten hosts each."""
    hosts = {f"h{n}_test": [{"A": "192.0.2.9"}] for n in range(10)}
    mx = [{"MX": [n, f"h{n}.test"]} for n in range(10)]
    record = "v=spf1 " + "mx:m.test " * 12
    zones = Zones({"d.test": [{"TXT": record}], "m.test": mx, **{n.replace("_", "."): e for n, e in hosts.items()}})
    found = asyncio.run(check(zones, "192.0.2.1", "ann@d.test", "h.test"))
    assert found.result == "permerror"
    assert len(zones.asked) == 1 + 10 * 11
    assert evaluated("v=spf1 a:" + "%{s}" * 200 + ".test").result == "permerror"
    long = evaluated("v=spf1 exists:" + "%{s}" * 60 + ".x.test -all", sender=f"{'a' * 60}@d.test")
    assert long.result == "fail"


@given(st.text(st.sampled_from("aim+-~?:/%{}.d1 x=\\\0é")), st.sampled_from(["a", "mx", "ip4:", "exp=", "%{", ""]))
def test_random_records_end_in_a_record_or_in_an_error_with_a_text(text: str, start: str) -> None:
    whole, problem, directives = f"v=spf1 {start}{text}", "", 0
    try:
        directives = len(parse_record(whole).directives)
    except SpfSyntaxError as error:
        problem = str(error)
    assert problem or (whole.isascii() and directives <= len(text.split(" ")))


WORDS = [
    "a",
    "-all",
    "mx",
    "ptr",
    "?exists:%{i}.x.test",
    "include:d.test",
    "redirect=%{d}",
    "ip6:::/0",
    "a:%{p}",
    "~a//9",
]


@given(st.lists(st.sampled_from(WORDS), max_size=14), st.sampled_from(["192.0.2.1", "2001:db8::1"]))
def test_every_record_has_a_result_within_the_limits(words: list[str], ip: str) -> None:
    zones = Zones({"d.test": [{"TXT": " ".join(["v=spf1", *words])}, {"A": "192.0.2.7"}, {"MX": [1, "d.test"]}]})
    found = asyncio.run(check(zones, ip, "ann@d.test", "h.test"))
    assert found.result in {"neutral", "pass", "fail", "softfail", "permerror"}
    assert (found.result == "permerror") == bool(found.problem)
    assert len(zones.asked) <= 11 * (1 + spf.MAX_HOSTS)


def test_what_is_no_domain_has_no_policy() -> None:
    names = [
        "",
        "x",
        "a..test",
        "[192.0.2.1]",
        f"{'a' * 64}.test",
        ".".join(itertools.repeat("abcdefg", 40)),
        "a b.test",
    ]
    for name in names:
        found = asyncio.run(check(Zones({}), "192.0.2.1", f"ann@{name}", ""))
        assert (found.result, found.problem) == ("none", "no domain"), name
