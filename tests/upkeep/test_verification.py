"""Verification against a real name server: identities are proved, lose their proof and fail, as the clock goes on."""

from __future__ import annotations

import pytest

from mailstead.base.clock import DAY, HOUR, MINUTE, SECOND
from mailstead.net.dns import DnsResolver
from mailstead.proto.dkim_keys import dump_key, generate_rsa, public_record
from mailstead.runtime import Runtime
from mailstead.ses import dkim_changes, dkim_keys, identities, mail_from, verification
from mailstead.ses.identities import DkimSetup, Identity
from mailstead.upkeep.verification import Ours, Verification
from peers.database import Ground
from peers.nsd import Nsd

A, R = "111111111111", "us-east-1"
DOMAIN, PROVIDER = "example.com", "mail.test"
TOKENS = ("a" * 32, "b" * 32, "c" * 32)
RSA, OTHER = generate_rsa(1024), generate_rsa(1024)


class Watched:
    """The duty with a clock that stands; ``turn`` does what is due."""

    def __init__(self, ground: Ground, dns: str) -> None:
        self.ground = ground
        self.dns = DnsResolver(dns, ground.clock, timeout=2)
        self.runtime = Runtime(ground.db, None, ground.clock, self.dns, None, ground.vault, "w")  # type: ignore[arg-type]
        self.duty = Verification(self.runtime, Ours(PROVIDER, "mx.mail.test"))

    def turn(self) -> int:
        """Do the checks that are due; how many there were."""

        async def body() -> int:
            timers = await self.duty._claim(100)
            for timer in timers:
                await self.duty._do(timer)
            return len(timers)

        return self.ground.loop.run_until_complete(body())

    def pass_time(self, milliseconds: int) -> int:
        """Let time go on; how many checks are due then."""
        self.ground.clock.advance(milliseconds)
        return self.turn()

    def now(self, name: str = DOMAIN) -> Identity:
        return self.ground.read(lambda tx: identities.get(tx, A, R, name))

    def due(self, name: str = DOMAIN) -> int | None:
        """In how many milliseconds the next check is."""
        sql = "SELECT due FROM timers WHERE id = $1"
        found = self.ground.read(lambda tx: tx.value(sql, identities.timer_of(A, R, name)))
        return None if found is None else found - self.ground.clock.now()

    def add(self, name: str = DOMAIN, *, verified: bool = False) -> Identity:
        async def body(tx):
            key = dkim_keys.seal(self.ground.vault, A, R, name, selector=TOKENS[0], private=RSA)
            dkim = DkimSetup(TOKENS, key, "AWS_SES", "RSA_1024_BIT") if "@" not in name else None
            made = await identities.create(tx, A, R, name, dkim=dkim, verified=verified)
            await verification.watch(tx, A, R, name)
            return made

        return self.ground.run(body)

    def signer(self) -> list[str]:
        found = self.ground.read(lambda tx: identities.signing_identity(tx, A, R, DOMAIN))
        return [key.selector for key in found.keys] if found else []


@pytest.fixture
def watched(ground: Ground, dns: Nsd) -> Watched:
    return Watched(ground, dns.address)


def cname(token: str = TOKENS[0], target: str = "") -> str:
    return f"{token}._domainkey CNAME {target or token + '.dkim.mail.test'}.\n"


def txt(selector: str = TOKENS[0], private=RSA) -> str:
    return f'{selector}._domainkey TXT "{public_record(private)}"\n'


def test_the_legacy_token_proves_the_domain_and_not_its_dkim(watched: Watched, dns: Nsd) -> None:
    made = watched.add()
    assert watched.turn() == 1
    assert (watched.now().status, watched.now().check_error) == ("PENDING", "HOST_NOT_FOUND")
    assert watched.now().last_checked == watched.ground.clock.now()
    dns.set(DOMAIN, f'_amazonses TXT "wrong"\n_amazonses TXT "{made.token}"')
    assert watched.pass_time(9 * SECOND) == 0
    assert watched.pass_time(1 * SECOND) == 1
    now = watched.now()
    assert (now.status, now.dkim_status, now.check_error) == ("SUCCESS", "PENDING", "")
    assert now.last_success == watched.ground.clock.now()
    assert watched.signer() == []


@pytest.mark.parametrize("records", [cname(), txt(), cname().replace("aaaa", "AAAA", 1)], ids=["CNAME", "TXT", "case"])
def test_dkim_proves_the_domain_too(watched: Watched, dns: Nsd, records: str) -> None:
    watched.add()
    dns.set(DOMAIN, records)
    assert watched.turn() == 1
    assert (watched.now().status, watched.now().dkim_status) == ("SUCCESS", "SUCCESS")
    assert watched.signer() == [TOKENS[0]]
    assert watched.due() == DAY


@pytest.mark.parametrize(
    ("records", "error"),
    [
        ("_amazonses A 127.0.0.1\n", "TYPE_NOT_FOUND"),
        ('_amazonses TXT "another token"\n', "INVALID_VALUE"),
        (cname(target="elsewhere.example"), "INVALID_VALUE"),
        (txt(private=OTHER), "INVALID_VALUE"),
        (f'{TOKENS[0]}._domainkey TXT "v=DKIM1; p="\n', "INVALID_VALUE"),
        (txt(TOKENS[1]), "HOST_NOT_FOUND"),
    ],
)
def test_what_proves_nothing(watched: Watched, dns: Nsd, records: str, error: str) -> None:
    watched.add()
    dns.set(DOMAIN, records)
    watched.turn()
    now = watched.now()
    assert (now.status, now.dkim_status, now.check_error) == ("PENDING", "PENDING", error)


def test_looks_become_rarer_and_end_after_72_hours(watched: Watched) -> None:
    watched.add()
    began, looks, gaps = watched.ground.clock.now(), 0, []
    watched.turn()
    while (due := watched.due()) is not None:
        gaps.append(due)
        assert watched.pass_time(due) == 1
        looks += 1
        assert looks < 500
    assert gaps[:60] == [10 * SECOND] * 60
    assert all(10 * SECOND < gap <= 2 * HOUR for gap in gaps[60:-1])
    assert sorted(gaps[60:-1]) == gaps[60:-1]
    assert watched.ground.clock.now() - began == 72 * HOUR
    assert (watched.now().status, watched.now().dkim_status) == ("FAILED", "FAILED")


def test_lost_records_may_come_back_within_72_hours(watched: Watched, dns: Nsd) -> None:
    watched.add()
    dns.set(DOMAIN, cname())
    watched.turn()
    dns.clear()
    assert watched.pass_time(DAY - 1) == 0
    assert watched.pass_time(1) == 1
    now = watched.now()
    assert (now.status, now.dkim_status, now.check_error) == (
        "TEMPORARY_FAILURE",
        "TEMPORARY_FAILURE",
        "HOST_NOT_FOUND",
    )
    assert now.verified  # mail goes on for three days
    assert watched.signer() == [TOKENS[0]]
    assert watched.pass_time(71 * HOUR) == 1
    dns.set(DOMAIN, cname())
    assert watched.pass_time(HOUR) == 1
    assert (watched.now().status, watched.now().dkim_status) == ("SUCCESS", "SUCCESS")


def test_lost_for_72_hours_is_failed(watched: Watched, dns: Nsd) -> None:
    watched.add()
    dns.set(DOMAIN, cname())
    watched.turn()
    dns.clear()
    watched.pass_time(DAY)
    watched.pass_time(72 * HOUR)
    now = watched.now()
    assert (now.status, now.dkim_status, now.verified) == ("FAILED", "FAILED", False)
    assert watched.signer() == []
    assert watched.due() is None
    dns.set(DOMAIN, cname())

    async def ask_again(tx):
        await identities.restart(tx, A, R, DOMAIN)
        await verification.watch(tx, A, R, DOMAIN)

    watched.ground.run(ask_again)
    assert watched.turn() == 1
    assert (watched.now().status, watched.now().dkim_status) == ("SUCCESS", "SUCCESS")


def test_no_answer_is_never_gone(watched: Watched, dns: Nsd) -> None:
    watched.add()
    dns.set(DOMAIN, cname())
    watched.turn()
    for gap in (DAY, 80 * HOUR):
        watched.dns.fail_next(100)
        assert watched.pass_time(gap) == 1
        now = watched.now()
        assert (now.status, now.dkim_status, now.check_error) == ("SUCCESS", "SUCCESS", "DNS_SERVER_ERROR")
    watched.dns.fail_next(0)
    watched.pass_time(DAY)
    assert watched.now().check_error == ""


def test_no_answer_for_a_new_domain_goes_on_asking(watched: Watched) -> None:
    watched.add()
    watched.dns.fail_next(1000)
    watched.turn()
    watched.pass_time(80 * HOUR)
    assert (watched.now().status, watched.due()) == ("PENDING", 2 * HOUR)


def test_a_vouched_domain_needs_no_records(watched: Watched) -> None:
    watched.add()
    watched.ground.run(lambda tx: identities.vouch(tx, A, R, DOMAIN))
    watched.turn()
    watched.pass_time(100 * HOUR)
    assert (watched.now().status, watched.now().dkim_status) == ("SUCCESS", "SUCCESS")
    assert watched.due() is None


def test_a_switch_signs_with_nothing_until_the_new_key_is_there(watched: Watched, dns: Nsd) -> None:
    watched.add()
    dns.set(DOMAIN, txt())
    watched.turn()
    own = identities.own_key(watched.ground.vault, A, R, DOMAIN, selector="mine", private=dump_key(OTHER))

    async def switch(tx):
        await dkim_changes.switch(tx, await identities.get(tx, A, R, DOMAIN), own, verified=False)
        await verification.watch(tx, A, R, DOMAIN)

    watched.ground.run(switch)
    assert watched.signer() == []
    watched.turn()
    now = watched.now()
    assert (now.status, now.dkim_status, now.dkim_tokens) == ("SUCCESS", "PENDING", ("mine",))
    dns.set(DOMAIN, txt() + txt("mine", OTHER))
    watched.pass_time(10 * SECOND)
    assert watched.now().dkim_status == "SUCCESS"
    assert watched.signer() == ["mine"]
    dns.set(DOMAIN, txt("mine", OTHER))
    watched.pass_time(DAY)
    assert (watched.now().status, watched.now().dkim_status) == ("SUCCESS", "SUCCESS")


def test_a_rotation_goes_on_with_the_old_key_until_the_new_one_is_seen(watched: Watched, dns: Nsd) -> None:
    watched.add()
    dns.set(DOMAIN, "".join(map(cname, TOKENS)))
    dns.set("dkim.mail.test", f'{TOKENS[0]} TXT "{public_record(RSA)}"')
    watched.turn()
    key = dkim_keys.seal(watched.ground.vault, A, R, DOMAIN, selector=TOKENS[1], private=OTHER)

    async def rotate(tx):
        await dkim_changes.rotate(tx, await identities.get(tx, A, R, DOMAIN), key, "RSA_2048_BIT", verified=False)
        await verification.watch(tx, A, R, DOMAIN)

    watched.ground.run(rotate)
    watched.turn()
    assert (watched.now().dkim_status, watched.now().dkim_key_length) == ("SUCCESS", "RSA_1024_BIT")
    assert watched.signer() == [TOKENS[0]]
    dns.set("dkim.mail.test", f'{TOKENS[0]} TXT "{public_record(RSA)}"\n{TOKENS[1]} TXT "{public_record(OTHER)}"')
    assert watched.pass_time(10 * SECOND) == 1
    assert (watched.now().dkim_status, watched.now().dkim_key_length) == ("SUCCESS", "RSA_2048_BIT")
    assert watched.signer() == [TOKENS[1]]
    assert watched.due() == DAY


GOOD_MX = "10 feedback-smtp.us-east-1.mail.test."


@pytest.mark.parametrize(
    ("records", "state"),
    [
        (f'bounce MX {GOOD_MX}\nbounce TXT "v=spf1 include:mail.test ~all"', "SUCCESS"),
        ('bounce MX 10 mx.mail.test.\nbounce TXT "other" \nbounce TXT "v=spf1 a:mx.mail.test -all"', "SUCCESS"),
        (f"bounce MX {GOOD_MX}", "PENDING"),
        ('bounce TXT "v=spf1 include:mail.test ~all"', "PENDING"),
        (f'bounce MX {GOOD_MX}\nbounce TXT "v=spf1 -include:mail.test ~all"', "PENDING"),
        (f'bounce MX {GOOD_MX}\nbounce TXT "v=spf1 include:mail.test.evil ~all"', "PENDING"),
        (f'bounce MX {GOOD_MX}\nbounce TXT "v=spf1 include:mail.test"\nbounce TXT "v=spf1 -all"', "PENDING"),
        (f'bounce MX {GOOD_MX}\nbounce MX 20 other.\nbounce TXT "v=spf1 include:mail.test"', "PENDING"),
        ('bounce MX 10 other.\nbounce TXT "v=spf1 include:mail.test"', "PENDING"),
    ],
)
def test_the_records_of_a_mail_from_domain(watched: Watched, dns: Nsd, records: str, state: str) -> None:
    watched.add(verified=True)

    async def put(tx):
        found = await identities.get(tx, A, R, DOMAIN)
        await mail_from.put(tx, found, "bounce.example.com", on_failure="REJECT_MESSAGE", verified=False)
        await verification.watch(tx, A, R, DOMAIN)

    watched.ground.run(put)
    dns.set(DOMAIN, records)
    assert watched.turn() == 1
    assert watched.now().mail_from_status == state
    assert watched.due() == (DAY if state == "SUCCESS" else 10 * SECOND)
    dns.clear()
    watched.pass_time(73 * HOUR)
    if state == "SUCCESS":
        assert watched.now().mail_from_status == "TEMPORARY_FAILURE"
        watched.pass_time(72 * HOUR)
    assert watched.now().mail_from_status == "FAILED"
    assert watched.now().status == "SUCCESS"


def test_a_change_during_a_look_is_looked_at_again(watched: Watched, dns: Nsd) -> None:
    watched.add()
    dns.set(DOMAIN, cname())

    async def body():
        (timer,) = await watched.duty._claim(10)
        looked = await watched.ground.db.read(lambda tx: verification.plan(tx, A, R, DOMAIN))
        found = {TOKENS[0]: verification.Look(verification.Verdict.FOUND)}
        await watched.ground.db.run(lambda tx: identities.delete(tx, A, R, DOMAIN))
        key = dkim_keys.seal(watched.ground.vault, A, R, DOMAIN, selector="z" * 32, private=RSA)
        dkim = DkimSetup(("z" * 32,), key, "AWS_SES", "RSA_1024_BIT")
        await watched.ground.db.run(lambda tx: identities.create(tx, A, R, DOMAIN, dkim=dkim))
        evidence = verification.Evidence(keys=found)
        return await watched.ground.db.run(lambda tx: verification.settle(tx, timer, looked, evidence))

    assert watched.ground.loop.run_until_complete(body()) == {}
    assert watched.now().status == "PENDING"


def test_deleting_an_identity_ends_its_checks(watched: Watched) -> None:
    watched.add()
    watched.turn()
    watched.ground.run(lambda tx: identities.delete(tx, A, R, DOMAIN))
    assert watched.pass_time(DAY) == 0
    assert watched.ground.read(lambda tx: tx.value("SELECT count(*) FROM timers")) == 0


def test_what_was_there_before_the_duty_gets_its_timer(watched: Watched, dns: Nsd) -> None:
    watched.ground.run(lambda tx: identities.create(tx, A, R, "old.example"))
    watched.ground.run(lambda tx: identities.create(tx, A, R, "vouched.example", verified=True))
    watched.ground.run(lambda tx: identities.create(tx, A, R, "anna@old.example"))
    assert watched.turn() == 1
    assert watched.due("old.example") == 10 * SECOND


def test_the_loop_does_it_by_itself(watched: Watched, dns: Nsd) -> None:
    import asyncio

    watched.add()
    dns.set(DOMAIN, cname())

    async def body() -> None:
        task = asyncio.create_task(watched.duty.run())
        async with asyncio.timeout(10):
            while (await watched.ground.db.read(lambda tx: identities.get(tx, A, R, DOMAIN))).status != "SUCCESS":
                await asyncio.sleep(0.02)
        await watched.duty.stop(1)
        await task

    watched.ground.loop.run_until_complete(body())
    now = watched.now()
    assert (now.status, now.check_error) == ("SUCCESS", "")
    assert now.last_success == watched.ground.clock.now()


@pytest.mark.parametrize("age", [0, MINUTE, 10 * MINUTE, HOUR, 71 * HOUR, 72 * HOUR - 1])
def test_a_look_is_never_later_than_the_end(age: int) -> None:
    due = verification.next_look("PENDING", 0, age)
    assert due is not None
    assert age < due <= max(72 * HOUR, age + 10 * SECOND)
