"""Identities: made, found, listed, verified, deleted; which one covers an address, which one signs."""

from __future__ import annotations

import base64
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailstead.base.errors import AlreadyExists, Invalid, LimitExceeded, NotFound
from mailstead.proto.dkim_keys import dump_key, generate_ed25519, generate_rsa, public_record
from mailstead.ses import dkim_keys, identities
from mailstead.ses.identities import DkimSetup

A, B, R = "111111111111", "222222222222", "us-east-1"

RSA = generate_rsa(1024)


def setup(ground, domain, account=A, region=R):
    """Easy DKIM with a key that does not take long to make."""
    key = dkim_keys.seal(ground.vault, account, region, domain, selector="t" * 32, private=RSA)
    return DkimSetup(("t" * 32, "u" * 32, "v" * 32), key, "AWS_SES", "RSA_2048_BIT")


def add(ground, *names, account=A, region=R, verified=True, dkim=False):
    for name in names:
        made = setup(ground, name, account, region) if dkim else None
        ground.run(
            lambda tx, name=name, made=made: identities.create(tx, account, region, name, verified=verified, dkim=made)
        )


def covering(ground, address, account=A, region=R):
    found = ground.read(lambda tx: identities.covering(tx, account, region, address))
    return found and found.name


def signer(ground, domain, account=A, region=R):
    return ground.read(lambda tx: identities.signing_identity(tx, account, region, domain))


@pytest.mark.parametrize(
    ("given_name", "stored"),
    [
        ("Example.COM", "example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("a_b.example.com", "a_b.example.com"),
        ("Anna@Example.COM", "Anna@example.com"),
        ("anna@BÜCHER.example", "anna@xn--bcher-kva.example"),
        ('"a b"@example.com', '"a b"@example.com'),
    ],
)
def test_names_as_they_are_compared(given_name, stored):
    assert identities.normalise(given_name) == stored
    assert identities.normalise(stored) == stored


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "com",
        "a..b",
        "example.com.",
        "-a.com",
        "a b.com",
        "a\r\nb.com",
        "[127.0.0.1]",
        "x" * 300 + ".com",
        "é" * 70 + ".de",
    ],
)
def test_no_domains(wrong):
    with pytest.raises(Invalid):
        identities.normalise(wrong)


@pytest.mark.parametrize(
    "wrong", ["@", "a@", "@b.com", "a b@c.com", "a@b@c.com", "a@b.com\r\nBcc: x", "x" * 65 + "@b.com"]
)
def test_no_addresses(wrong):
    with pytest.raises(Invalid, match=r"^Invalid email address<"):
        identities.normalise(wrong)


@given(st.text(max_size=40))
def test_any_text_is_a_name_or_invalid(text):
    try:
        name = identities.normalise(text)
    except Invalid:
        return
    assert identities.normalise(name) == name
    assert "\n" not in name
    assert "\r" not in name


def test_an_address(ground):
    made = ground.run(lambda tx: identities.create(tx, A, R, "anna@example.com"))
    assert (made.kind, made.status, made.verified, made.token) == ("EMAIL_ADDRESS", "PENDING", False, "")
    assert (made.dkim_enabled, made.dkim_status, made.dkim_tokens) == (False, "NOT_STARTED", ())
    assert made.arn == f"arn:aws:ses:{R}:{A}:identity/anna@example.com"
    with pytest.raises(AlreadyExists, match=r"^Email identity anna@example.com already exist\.$"):
        ground.run(lambda tx: identities.create(tx, A, R, "anna@example.com"))


def test_a_domain_with_easy_dkim(ground):
    dkim = identities.easy_dkim(ground.vault, A, R, "example.com", key_length="RSA_1024_BIT")
    made = ground.run(lambda tx: identities.create(tx, A, R, "example.com", dkim=dkim))
    assert (made.kind, made.status, made.dkim_status, made.dkim_enabled) == ("DOMAIN", "PENDING", "PENDING", True)
    assert len(base64.b64decode(made.token)) == 32
    assert len(set(made.dkim_tokens)) == 3
    assert all(re.fullmatch("[a-z2-7]{32}", token) for token in made.dkim_tokens)
    assert made.dkim_generated == ground.clock.now()
    (key,) = ground.read(lambda tx: dkim_keys.list_keys(tx, A, R, "example.com"))
    opened = dkim_keys.open_key(ground.vault, key)
    assert (opened.domain, opened.selector) == ("example.com", made.dkim_tokens[0])
    assert public_record(opened.private) == key.public
    assert opened.private.key_size == 1024
    records = dkim_keys.easy_dkim_records("example.com", made.dkim_tokens, "mail.test")
    assert (records[0].name, records[0].type) == (f"{made.dkim_tokens[0]}._domainkey.example.com", "CNAME")
    zone = {
        record.name: record.data for record in dkim_keys.provider_zone_records(made.dkim_tokens, [key], "mail.test")
    }
    assert [zone[record.data] for record in records] == [key.public, "v=DKIM1; k=rsa; p=", "v=DKIM1; k=rsa; p="]


def test_verified_at_once(ground):
    add(ground, "example.com", dkim=True)
    made = ground.read(lambda tx: identities.get(tx, A, R, "example.com"))
    assert (made.status, made.dkim_status, made.last_success) == ("SUCCESS", "SUCCESS", ground.clock.now())


def test_a_key_of_ones_own(ground):
    dkim = identities.own_key(ground.vault, A, R, "example.com", selector="mine", private=dump_key(RSA))
    made = ground.run(lambda tx: identities.create(tx, A, R, "example.com", dkim=dkim, verified=True))
    assert (made.dkim_origin, made.dkim_tokens) == ("EXTERNAL", ("mine",))
    found = signer(ground, "example.com")
    assert [(key.selector, key.public) for key in found.keys] == [("mine", public_record(RSA))]
    with pytest.raises(Invalid):
        identities.own_key(ground.vault, A, R, "example.com", selector="mine", private="bm90IGEga2V5")


def test_paging_by_name(ground):
    names = sorted([f"d{n:02}.example.com" for n in range(7)] + [f"a{n}@example.com" for n in range(5)])
    add(ground, *names)
    seen, after = [], ""
    while page := ground.read(lambda tx, after=after: identities.list_page(tx, A, R, after=after, limit=5)):
        assert len(page) <= 5
        seen += [found.name for found in page]
        after = page[-1].name
    assert seen == names
    domains = ground.read(lambda tx: identities.list_page(tx, A, R, kind="DOMAIN"))
    assert [found.name for found in domains] == [f"d{n:02}.example.com" for n in range(7)]


def test_two_accounts_and_two_regions(ground):
    add(ground, "example.com", dkim=True)
    assert covering(ground, "x@example.com", account=B) is None
    assert covering(ground, "x@example.com", region="eu-west-1") is None
    assert signer(ground, "example.com", account=B) is None
    assert ground.read(lambda tx: identities.list_page(tx, B, R)) == []
    add(ground, "example.com", account=B)
    assert ground.run(lambda tx: identities.delete(tx, B, R, "example.com"))
    assert covering(ground, "x@example.com") == "example.com"


def test_delete_takes_the_keys_along(ground):
    add(ground, "example.com", dkim=True)
    assert ground.run(lambda tx: identities.delete(tx, A, R, "example.com"))
    assert not ground.run(lambda tx: identities.delete(tx, A, R, "example.com"))
    assert ground.read(lambda tx: dkim_keys.list_keys(tx, A, R, "example.com")) == []
    with pytest.raises(NotFound, match=r"^Email identity example.com does not exist\.$"):
        ground.read(lambda tx: identities.get(tx, A, R, "example.com"))


def test_vouch_mark_restart(ground):
    add(ground, "example.com", verified=False, dkim=True)
    found = ground.run(lambda tx: identities.vouch(tx, A, R, "example.com"))
    assert (found.status, found.dkim_status, found.verified) == ("SUCCESS", "SUCCESS", True)
    ground.clock.advance(1000)
    ground.run(lambda tx: identities.mark(tx, found, status="TEMPORARY_FAILURE", error="HOST_NOT_FOUND"))
    marked = ground.read(lambda tx: identities.get(tx, A, R, "example.com"))
    assert (marked.status, marked.dkim_status, marked.check_error) == ("TEMPORARY_FAILURE", "SUCCESS", "HOST_NOT_FOUND")
    assert (marked.last_checked, marked.last_success) == (ground.clock.now(), ground.clock.now() - 1000)
    ground.run(lambda tx: identities.restart(tx, A, R, "example.com"))
    assert ground.read(lambda tx: identities.get(tx, A, R, "example.com")).status == "TEMPORARY_FAILURE"
    ground.run(lambda tx: identities.mark(tx, marked, status="FAILED"))
    ground.run(lambda tx: identities.restart(tx, A, R, "example.com"))
    assert ground.read(lambda tx: identities.get(tx, A, R, "example.com")).status == "PENDING"
    with pytest.raises(NotFound):
        ground.run(lambda tx: identities.vouch(tx, A, R, "other.example"))


def test_at_most_ten_thousand(ground, monkeypatch):
    monkeypatch.setattr(identities, "MAX_IDENTITIES", 2)
    add(ground, "a.example", "b.example")
    with pytest.raises(LimitExceeded):
        add(ground, "c.example")
    add(ground, "c.example", account=B)


def test_the_most_specific_covers(ground):
    add(ground, "example.com", "sub.example.com", "anna@sub.example.com", "bob@other.example", "bob+x@other.example")
    add(ground, "deep.sub.example.com", "late@example.com", verified=False)
    assert covering(ground, "anna@sub.example.com") == "anna@sub.example.com"
    assert covering(ground, "anna+tag@sub.example.com") == "anna@sub.example.com"
    assert covering(ground, "Anna@sub.example.com") == "sub.example.com"
    assert covering(ground, "x@SUB.Example.com") == "sub.example.com"
    assert covering(ground, "x@deep.sub.example.com") == "sub.example.com"
    assert covering(ground, "late@example.com") == "example.com"
    assert covering(ground, "bob@other.example") == "bob@other.example"
    assert covering(ground, "bob+x@other.example") == "bob+x@other.example"
    assert covering(ground, "bob+y@other.example") == "bob@other.example"
    for stranger in (
        "x@other.example",
        "+bob@other.example",
        "x@badexample.com",
        "x@com",
        "x@",
        "x",
        "",
        "a@b@example.org",
    ):
        assert covering(ground, stranger) is None


def test_names_of_many_labels_stay_bounded(ground):
    add(ground, "example.com")
    deep = ".".join(["a"] * 100)
    assert covering(ground, f"x@{deep}.example.com") == "example.com"
    assert len(identities.candidates(f"x+y@{deep}.example.com")) <= 22


def test_the_signing_domain_follows_the_header_from(ground):
    add(ground, "example.com", dkim=True)
    assert signer(ground, "a.sub.example.com").domain == "example.com"
    assert signer(ground, "example.com").keys[0].selector == "t" * 32
    assert signer(ground, "example.org") is None
    add(ground, "sub.example.com", dkim=True)
    assert signer(ground, "a.sub.example.com").domain == "sub.example.com"


def test_who_does_not_sign(ground):
    add(ground, "anna@example.net", "plain.example.com")
    add(ground, "example.com", "late.example.com", dkim=True)
    add(ground, "new.example.com", dkim=True, verified=False)
    assert signer(ground, "example.net") is None
    assert signer(ground, "plain.example.com") is None  # DKIM off for this one
    assert signer(ground, "new.example.com").domain == "example.com"  # not yet verified
    late = ground.read(lambda tx: identities.get(tx, A, R, "late.example.com"))
    ground.run(lambda tx: identities.mark(tx, late, dkim_status="PENDING"))
    assert signer(ground, "late.example.com").domain == "example.com"


def test_rsa_signs_first_and_ed25519_second(ground):
    add(ground, "example.com", dkim=True)
    second = dkim_keys.seal(ground.vault, A, R, "example.com", selector="ed", private=generate_ed25519())
    ground.clock.advance(1000)
    newer = dkim_keys.seal(ground.vault, A, R, "example.com", selector="new", private=RSA)
    for key in (second, newer):
        ground.run(lambda tx, key=key: dkim_keys.insert(tx, A, R, "example.com", key))
    assert [key.selector for key in signer(ground, "example.com").keys] == ["new", "ed"]
    assert ground.run(lambda tx: dkim_keys.retire(tx, A, R, "example.com", "new"))
    assert [key.selector for key in signer(ground, "example.com").keys] == ["t" * 32, "ed"]


def test_the_provider_has_a_key_of_its_own(ground):
    key = dkim_keys.seal(ground.vault, "", "", "mail.test", selector="s1", private=RSA)
    ground.run(lambda tx: dkim_keys.insert(tx, "", "", "mail.test", key))
    (found,) = ground.read(lambda tx: dkim_keys.provider_keys(tx, "mail.test"))
    assert dkim_keys.open_key(ground.vault, found).domain == "mail.test"
    assert [(r.name, r.type) for r in dkim_keys.key_records([found])] == [("s1._domainkey.mail.test", "TXT")]
