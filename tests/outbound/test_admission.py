"""Admission: each reason to refuse, at the door, in SES's words; nothing of a refused message is left."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mailstead.base.clock import DAY, HOUR, SECOND
from mailstead.base.errors import Closed, Denied, MailsteadError, NotFound, Paused, Throttled, TooLarge
from mailstead.outbound.admission import NotVerified
from mailstead.outbound.composition import Options
from mailstead.ses import account as accounts
from mailstead.ses import configuration_sets, identities
from peers.database import Ground
from peers.yard import ACCOUNT, CALLER, RAW, REGION, Yard

INBOX = "For more information, please check the inbox of the email address associated with your AWS account."
FAILED = "Email address is not verified. The following identities failed the check in region US-EAST-1: "


def verify(yard: Yard, *names: str) -> None:
    for name in names:
        yard.run(lambda tx, name=name: identities.create(tx, ACCOUNT, REGION, name, verified=True))


def refused(yard: Yard, kind: type[MailsteadError], *to: str, **given: object) -> MailsteadError:
    """What the door says; it has kept nothing."""
    with pytest.raises(kind) as caught:
        yard.submit(*(to or ("r@example.net",)), **given)  # type: ignore[arg-type]
    for table in ("messages", "deliveries", "lanes", "events", "blobs"):
        assert yard.rows(f"SELECT count(*) FROM {table}") == [(0,)], table
    assert yard.files() == []
    return caught.value


# -- the account


@pytest.mark.parametrize(
    ("change", "kind", "error", "text"),
    [
        (accounts.close, "closed", Closed, "suspended"),
        (lambda tx, account: accounts.subscribe(tx, account, subscribed=False), "not-subscribed", Closed, "suspended"),
        (lambda tx, account: accounts.pause(tx, account, REGION), "enforcement", Paused, "paused"),
        (
            lambda tx, account: accounts.set_sending(tx, account, REGION, enabled=False),
            "account",
            Paused,
            "paused",
        ),
    ],
)
def test_an_account_that_may_not_send(yard: Yard, change, kind: str, error: type[MailsteadError], text: str) -> None:
    yard.run(lambda tx: change(tx, ACCOUNT))
    said = refused(yard, error)
    assert str(said) == f"Sending {text} for this account. {INBOX}"
    assert said.kind == kind


def test_the_operators_word_comes_before_the_accounts_own_switch(yard: Yard) -> None:
    yard.run(lambda tx: accounts.set_sending(tx, ACCOUNT, REGION, enabled=False))
    yard.run(lambda tx: accounts.pause(tx, ACCOUNT, REGION))
    assert refused(yard, Paused).kind == "enforcement"
    yard.run(lambda tx: accounts.close(tx, ACCOUNT))
    assert refused(yard, Closed).kind == "closed"


def test_an_account_under_review_goes_on(yard: Yard) -> None:
    yard.run(lambda tx: accounts.enforce(tx, ACCOUNT, REGION, "PROBATION"))
    assert yard.submit("r@example.net")


def test_an_unknown_account(yard: Yard) -> None:
    assert refused(yard, NotFound, caller=replace(CALLER, account="999999999999")).kind == "account"


def test_another_region_knows_none_of_the_identities(yard: Yard) -> None:
    said = refused(yard, NotVerified, caller=replace(CALLER, region="eu-west-1"))
    # The first use of a region makes it a sandbox: the recipient is looked at too.
    text = "failed the check in region EU-WEST-1: Sender <sender@example.com>, r@example.net"
    assert str(said).endswith(text)


# -- who it claims to be


@pytest.mark.parametrize(
    ("header", "given", "failing"),
    [
        (b"From: a@bad.example\r\n", {}, ["a@bad.example"]),
        (b"From: a@example.com\r\n", {"source": "b@bad.example"}, ["b@bad.example"]),
        (b"From: a@example.com\r\nSender: c@bad.example\r\n", {}, ["c@bad.example"]),
        (b"From: a@example.com\r\nReturn-Path: <d@bad.example>\r\n", {}, ["d@bad.example"]),
        (b"From: a@example.com\r\n", {"return_path": "e@bad.example"}, ["e@bad.example"]),
        (
            b"From: A <a@bad.example>\r\nSender: C <c@bad.example>\r\nReturn-Path: d@bad.example\r\n",
            {"source": "B <b@bad.example>", "return_path": "e@bad.example"},
            ["A <a@bad.example>", "B <b@bad.example>", "C <c@bad.example>", "e@bad.example", "d@bad.example"],
        ),
        (b"From: a@example.com, b@bad.example\r\n", {}, ["b@bad.example"]),
        (b"From: us: b@bad.example, a@example.com;\r\n", {}, ["b@bad.example"]),
        (b"From :\r\n (a@example.com) b@bad.example\r\n", {}, ["(a@example.com) b@bad.example"]),
        (b"From: a@bad.example\r\nSender: a@BAD.example\r\n", {"source": "a@Bad.example"}, ["a@bad.example"]),
        (b"From: a@example.com.bad.example\r\n", {}, ["a@example.com.bad.example"]),
        (b"From: a@notexample.com\r\n", {}, ["a@notexample.com"]),
    ],
)
def test_exactly_the_failing_ones_are_named(
    yard: Yard, header: bytes, given: dict[str, object], failing: list[str]
) -> None:
    said = refused(yard, NotVerified, raw=header + b"\r\nbody\r\n", **given)
    assert isinstance(said, NotVerified)
    assert str(said) == FAILED + ", ".join(failing)
    assert list(said.failed) == failing


def test_a_list_that_does_not_fit_ends_in_dots() -> None:
    said = NotVerified("us-east-1", [f"name{n}@bad.example" for n in range(20)])
    for room in range(len(said.beginning) + 3, len(str(said)) + 2):
        text = said.within(room)
        assert len(text) <= room
        if text != str(said):
            names = text.removeprefix(said.beginning).removesuffix("...")
            assert all(name in said.failed for name in names.removesuffix(", ").split(", ") if name)
    assert said.within(10_000) == str(said)


@pytest.mark.parametrize(
    "sender", ["a@example.com", "a@Example.COM", "a@sub.example.com", "a@deep.sub.example.com", "a+label@example.com"]
)
def test_what_a_domain_covers(yard: Yard, sender: str) -> None:
    assert yard.submit("r@example.net", source=sender, raw=f"From: {sender}\r\n\r\nx\r\n".encode())


def test_an_address_covers_itself_and_its_labels_only(yard: Yard) -> None:
    verify(yard, "Only@single.example")
    for bad in ("only@single.example", "other@single.example"):
        said = refused(yard, NotVerified, source=bad, raw=f"From: {bad}\r\n\r\nx\r\n".encode())
        assert str(said) == FAILED + bad
    for good in ("Only@single.example", "Only+x@SINGLE.example"):
        name = yard.submit("r@example.net", source=good, raw=f"From: {good}\r\n\r\nx\r\n".encode())
        assert yard.states(name) == [("r@example.net", "queued")]


def test_an_identity_that_is_pending_counts_for_nothing(yard: Yard) -> None:
    yard.run(lambda tx: identities.create(tx, ACCOUNT, REGION, "pending.example"))
    said = refused(yard, NotVerified, source="a@pending.example", raw=b"From: a@pending.example\r\n\r\nx\r\n")
    assert str(said) == FAILED + "a@pending.example"


# -- the sandbox


@pytest.fixture
def sandbox(yard: Yard) -> Yard:
    yard.run(lambda tx: accounts.review(tx, ACCOUNT, REGION, granted=False))
    return yard


def test_recipients_are_looked_at_too(sandbox: Yard) -> None:
    said = refused(sandbox, NotVerified, "R <r@example.net>", "x@example.com", "success@simulator.amazonses.com")
    assert str(said) == FAILED + "R <r@example.net>"
    both = refused(sandbox, NotVerified, "r@example.net", raw=b"From: a@bad.example\r\n\r\nx\r\n")
    assert str(both) == FAILED + "a@bad.example, r@example.net"


def test_verified_recipients_and_the_simulator_pass(sandbox: Yard) -> None:
    verify(sandbox, "friend@example.net")
    assert sandbox.submit("friend@example.net", "x@example.com", "bounce+label@simulator.amazonses.com")


# -- options


@pytest.mark.parametrize("option", ["source_arn", "from_arn", "return_path_arn"])
@pytest.mark.parametrize(
    "arn",
    [
        "arn:aws:ses:us-east-1:999999999999:identity/example.com",
        "arn:aws:ses:eu-west-1:111122223333:identity/example.com",
        "arn:aws:ses:us-east-1:111122223333:configuration-set/x",
        "nonsense",
    ],
)
def test_a_foreign_identity(yard: Yard, option: str, arn: str) -> None:
    said = refused(yard, Denied, options=Options(**{option: arn}))
    assert CALLER.arn in str(said)
    assert arn in str(said)
    header = {"source_arn": b"X-SES-SOURCE-ARN", "from_arn": b"X-SES-FROM-ARN"}.get(option, b"X-SES-RETURN-PATH-ARN")
    raw = header + b": " + arn.encode() + b"\r\nFrom: a@example.com\r\n\r\nx\r\n"
    assert str(refused(yard, Denied, raw=raw)) == str(said)


@pytest.mark.parametrize(
    ("operation", "action"), [("SendEmail", "SendEmail"), ("SendRawEmail", "SendRawEmail"), ("SMTP", "SendRawEmail")]
)
def test_the_denial_names_the_action_that_was_asked_for(yard: Yard, operation: str, action: str) -> None:
    options = Options(source_arn=f"arn:aws:ses:{REGION}:999999999999:identity/x.example")
    assert f"to perform `ses:{action}' on" in str(refused(yard, Denied, options=options, operation=operation))


def test_an_arn_of_our_own(yard: Yard) -> None:
    assert yard.submit(
        "r@example.net", options=Options(source_arn=f"arn:aws:ses:{REGION}:{ACCOUNT}:identity/example.com")
    )


def test_a_configuration_set_that_nobody_made(yard: Yard) -> None:
    raw = b"X-SES-Configuration-Set: mine\r\nFrom: a@example.com\r\n\r\nx\r\n"
    for given in ({"options": Options(configuration_set="mine")}, {"raw": raw}):
        said = refused(yard, NotFound, **given)
        assert (str(said), said.kind) == ("Configuration set <mine> does not exist.", "configuration-set")


def test_a_configuration_set_whose_sending_is_switched_off(yard: Yard) -> None:
    async def make(tx: object) -> None:
        await configuration_sets.create(tx, ACCOUNT, REGION, "mine")  # type: ignore[arg-type]
        await configuration_sets.set_sending(tx, ACCOUNT, REGION, "mine", enabled=False)  # type: ignore[arg-type]

    yard.run(make)
    said = refused(yard, Paused, options=Options(configuration_set="mine"))
    assert (str(said), said.kind) == (f"Sending paused for configuration set <mine>. {INBOX}", "configuration-set")
    yard.run(lambda tx: configuration_sets.set_sending(tx, ACCOUNT, REGION, "mine", enabled=True))
    assert yard.submit("r@example.net", options=Options(configuration_set="mine"))


def test_another_accounts_configuration_set(yard: Yard) -> None:
    yard.run(lambda tx: configuration_sets.create(tx, "999999999999", REGION, "mine"))
    yard.run(lambda tx: configuration_sets.create(tx, ACCOUNT, "eu-west-1", "mine"))
    assert refused(yard, NotFound, options=Options(configuration_set="mine")).kind == "configuration-set"


def test_a_default_set_that_is_gone(yard: Yard) -> None:
    yard.run(lambda tx: identities.set_configuration_set(tx, ACCOUNT, REGION, "example.com", "gone"))
    said = refused(yard, NotFound)
    assert (str(said), said.kind) == ("Configuration set <gone> does not exist.", "configuration-set")


# -- quota and rate


def quota(yard: Yard, day: int, rate: float) -> None:
    yard.run(lambda tx: accounts.set_quota(tx, ACCOUNT, REGION, max_24h=day, max_rate=rate))


def test_the_day_is_exact_and_rolls(yard: Yard) -> None:
    quota(yard, 5, -1)
    yard.submit("a@example.net", "b@example.net", "c@example.net")
    yard.clock.advance(HOUR)
    with pytest.raises(Throttled, match=r"^Daily message quota exceeded\.$") as caught:
        yard.submit("d@example.net", "e@example.net", "f@example.net")
    assert caught.value.kind == "daily"
    yard.submit("d@example.net", "e@example.net")
    with pytest.raises(Throttled):
        yard.submit("f@example.net")
    yard.clock.advance(DAY - HOUR + 5 * 60 * SECOND)  # the first three come free, the other two do not
    yard.submit("f@example.net", "g@example.net", "h@example.net")
    with pytest.raises(Throttled):
        yard.submit("i@example.net")


def test_a_throttled_message_leaves_no_file(yard: Yard) -> None:
    quota(yard, 0, -1)
    said = refused(yard, Throttled, raw=b"From: a@example.com\r\n\r\n" + b"x" * 10_000)
    assert said.kind == "daily"
    assert yard.files() == []


def test_the_simulator_is_not_counted_for_the_day_but_for_the_rate(yard: Yard) -> None:
    quota(yard, 1, 1)
    yard.submit("success@simulator.amazonses.com", "bounce@SIMULATOR.amazonses.com", "r@example.net")
    assert yard.rows("SELECT used FROM account_regions") == [(1,)]
    yard.submit("success@simulator.amazonses.com", "ooto@simulator.amazonses.com")
    with pytest.raises(Throttled, match="Maximum sending rate exceeded"):
        yard.submit("success@simulator.amazonses.com")


def test_the_rate_comes_back_with_time(yard: Yard) -> None:
    quota(yard, -1, 2)
    for n in range(10):
        yard.submit(f"r{n}@example.net")
    with pytest.raises(Throttled, match=r"^Maximum sending rate exceeded\.$") as caught:
        yard.submit("r@example.net")
    assert caught.value.kind == "rate"
    yard.clock.advance(SECOND)
    yard.submit("a@example.net", "b@example.net")
    with pytest.raises(Throttled):
        yard.submit("c@example.net")


def test_a_refused_message_takes_nothing_from_the_rate(yard: Yard) -> None:
    quota(yard, -1, 1)
    for _ in range(20):
        with pytest.raises(NotVerified):
            yard.submit("r@example.net", raw=b"From: a@bad.example\r\n\r\nx\r\n")
    yard.submit("r@example.net")


def test_the_ground_is_what_it_says(ground: Ground) -> None:
    assert ground.db.kind in ("sqlite", "postgres")


def test_an_accounts_own_size_limit_rules_either_way(yard: Yard) -> None:
    raw = RAW + b"x" * 500
    yard.run(lambda tx: accounts.set_message_bytes(tx, ACCOUNT, REGION, len(RAW) + 100))
    assert str(refused(yard, TooLarge, raw=raw)) == "Message is too long."
    yard.run(lambda tx: accounts.set_message_bytes(tx, ACCOUNT, REGION, len(raw)))
    assert yard.submit("r@example.net", raw=raw, limit=len(RAW))
    yard.run(lambda tx: accounts.set_message_bytes(tx, ACCOUNT, REGION, None))
    with pytest.raises(TooLarge):
        yard.submit("r@example.net", raw=raw, limit=len(RAW))
